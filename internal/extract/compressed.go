package extract

import (
	"encoding/binary"
	"time"
)

// compressedFormats returns formats that only say how a file is compressed.
// They come last: formats that read compressed tables know more.
func compressedFormats() []*Format {
	return []*Format{compressedFormat()}
}

// compressedFormat describes single compressed files. They are not
// decompressed; how large they become is not known without that.
func compressedFormat() *Format {
	return &Format{
		Name:    "compressed",
		Version: 1,
		Keys: []Key{
			{"format", "string", "", "gzip, zstd, xz, bzip2 or lz4"},
			{"name", "string", "", "name that gzip says the file had"},
			{"modified", "string", "", "when gzip says that it was modified, in UTC"},
		},
		Match: func(f *File) bool { return compressedKind(f) != "" },
		Extract: func(f *File, m *Meta) error {
			kind := compressedKind(f)
			m.Set("format", kind)
			m.SetMediaType(map[string]string{
				"gzip": "application/gzip", "zstd": "application/zstd", "xz": "application/x-xz",
				"bzip2": "application/x-bzip2", "lz4": "application/x-lz4",
			}[kind])
			if kind == "gzip" {
				return reading("gzip file", gzipHeader(f, m))
			}
			return nil
		},
	}
}

func compressedKind(f *File) string {
	switch {
	case f.hasMagic(0, "\x1f\x8b\x08"):
		return "gzip"
	case f.hasMagic(0, "\x28\xb5\x2f\xfd"):
		return "zstd"
	case f.hasMagic(0, "\xfd7zXZ\x00"):
		return "xz"
	case f.hasMagic(0, "BZh") && f.hasMagic(4, "\x31\x41\x59\x26\x53\x59"):
		return "bzip2"
	case f.hasMagic(0, "\x04\x22\x4d\x18"):
		return "lz4"
	}
	return ""
}

// gzipHeader reads the header of the first member (RFC 1952, section 2.3).
func gzipHeader(f *File, m *Meta) error {
	b, err := f.span(0, 10)
	if err != nil {
		return err
	}
	flags, off := b[3], int64(10)
	modified := binary.LittleEndian.Uint32(b[4:])
	if flags&4 != 0 { // extra fields
		if b, err = f.span(off, 2); err != nil {
			return err
		}
		off += 2 + int64(binary.LittleEndian.Uint16(b))
	}
	if flags&8 != 0 {
		m.setText("name", f.upTo(off, maxText))
	}
	if modified != 0 {
		m.Set("modified", time.Unix(int64(modified), 0).UTC().Format(time.RFC3339))
	}
	return nil
}
