package extract

import (
	"encoding/binary"
	"io"

	"github.com/bep/imagemeta"
)

// heifBrand returns "avif" or "heif" for the brands of images in a file type
// box (ISO/IEC 23008-12, section 10), else "".
func heifBrand(head []byte) string {
	if len(head) < 12 {
		return ""
	}
	end := min(int(binary.BigEndian.Uint32(head)), len(head), 128)
	kind := ""
	for off := 8; off+4 <= end; off += 4 {
		if off == 12 { // the version, between the major brand and the others
			continue
		}
		switch string(head[off : off+4]) {
		case "avif", "avis":
			return "avif"
		case "heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1":
			kind = "heif"
		}
		if off == 8 && kind == "" && string(head[8:12]) != "miaf" {
			return "" // a film that may hold images too
		}
	}
	return kind
}

// heif reads the properties of the primary image.
func (r imageReader) heif(f *File, m *Meta) error {
	format := imagemeta.HEIF
	if m.Get("format") == "avif" {
		format = imagemeta.AVIF
	}
	size := r.exifFrom(io.NewSectionReader(f, 0, f.Size), format, m)
	if size.Width <= 0 || size.Height <= 0 {
		return errNoSize
	}
	return setSize(m, uint64(size.Width), uint64(size.Height))
}
