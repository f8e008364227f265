package extract

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/bep/imagemeta"
)

// Bounds of TIFF: directories that are counted, entries of the first one, and
// values of one entry.
const (
	maxTIFFPages   = 1 << 20
	maxTIFFEntries = 1 << 12
	maxTIFFValues  = 1 << 16
)

// Tags of TIFF 6.0, Exif and GeoTIFF that are looked at.
const (
	tiffWidth        = 256
	tiffHeight       = 257
	tiffBits         = 258
	tiffCompression  = 259
	tiffDescription  = 270
	tiffMake         = 271
	tiffModel        = 272
	tiffOrientation  = 274
	tiffSamples      = 277
	tiffSoftware     = 305
	tiffDateTime     = 306
	tiffArtist       = 315
	tiffSampleFormat = 339
	tiffPixelScale   = 33550
	tiffTiepoint     = 33922
	tiffExif         = 34665
	tiffGeoKeys      = 34735
	tiffGeoText      = 34737
)

func tiffKeys() []Key {
	return []Key{
		{"bigtiff", "boolean", "", "a TIFF file with offsets of 64 bits"},
		{"compression", "string", "", "compression of TIFF: none, lzw, jpeg, deflate, zstd … or its number"},
		{"sample_format", "string", "", "numbers of TIFF, unless plain unsigned: int, float, complex"},
		{"description", "string", "", "image description of TIFF, its first KiB"},
		{"geo.epsg", "integer", "", "coordinate system of GeoTIFF, its number in the EPSG registry"},
		{"geo.citation", "string", "", "coordinate system of GeoTIFF in words"},
		{"geo.pixel_scale", "array of number", "", "size of a pixel of GeoTIFF in units of the coordinate system: x, y"},
		{"geo.origin", "array of number", "", "coordinates of the first tie point of GeoTIFF: x, y"},
		{"ome.size_x", "integer", "pixels", "columns that OME-TIFF tells"},
		{"ome.size_y", "integer", "pixels", "rows"},
		{"ome.size_z", "integer", "", "planes of depth"},
		{"ome.size_c", "integer", "", "channels"},
		{"ome.size_t", "integer", "", "points in time"},
		{"ome.type", "string", "", "type of a sample, such as uint16"},
		{"ome.physical_size_x", "number", "µm", "width of a pixel, unless OME-TIFF tells another unit"},
		{"ome.physical_size_y", "number", "µm", "height of a pixel"},
		{"ome.physical_size_z", "number", "µm", "distance of planes"},
		{"ome.physical_unit", "string", "", "unit of the physical sizes where it is not µm"},
	}
}

func isTIFF(b []byte) bool {
	return len(b) >= 8 && (string(b[:4]) == "II*\x00" || string(b[:4]) == "MM\x00*" ||
		string(b[:8]) == "II+\x00\x08\x00\x00\x00" || string(b[:8]) == "MM\x00+\x00\x08\x00\x00")
}

// A tiffFile reads directories of TIFF 6.0 and BigTIFF.
type tiffFile struct {
	f     *File
	order binary.ByteOrder
	big   bool
}

// A tiffEntry is one entry of a directory; its value may lie elsewhere.
type tiffEntry struct {
	kind  uint16
	count uint64
	value []byte // 4 or 8 bytes: the value or its offset
}

func (r imageReader) tiff(f *File, m *Meta) error {
	t := tiffFile{f: f, order: binary.LittleEndian}
	if f.Head[0] == 'M' {
		t.order = binary.BigEndian
	}
	t.big = t.order.Uint16(f.Head[2:]) == 43
	if t.big {
		m.Set("bigtiff", true)
	}
	first, err := t.firstDirectory()
	if err != nil {
		return err
	}
	dir, _, err := t.directory(first)
	if err != nil {
		return err
	}
	if err := t.describe(dir, m); err != nil {
		return err
	}
	t.geo(dir, m)
	if !t.big && hasAny(dir, tiffExif, tiffMake, tiffModel, tiffOrientation, tiffSoftware, tiffDateTime, tiffArtist) {
		r.exifFrom(io.NewSectionReader(f, 0, f.Size), imagemeta.TIFF, m)
	}
	pages, err := t.pages(first)
	if err != nil {
		return err
	}
	m.Set("pages", pages)
	return nil
}

func hasAny(dir map[uint16]tiffEntry, tags ...uint16) bool {
	for _, tag := range tags {
		if _, ok := dir[tag]; ok {
			return true
		}
	}
	return false
}

func (t tiffFile) firstDirectory() (int64, error) {
	b, err := t.f.span(4, 4)
	if t.big {
		b, err = t.f.span(8, 8)
	}
	if err != nil {
		return 0, err
	}
	return t.offset(b), nil
}

// offset reads 4 or 8 bytes; what is no offset becomes negative.
func (t tiffFile) offset(b []byte) int64 {
	if len(b) == 8 {
		return int64(t.order.Uint64(b))
	}
	return int64(t.order.Uint32(b))
}

// layout returns the sizes of the count of entries, of an entry and of an
// offset.
func (t tiffFile) layout() (count, entry, offset int64) {
	if t.big {
		return 8, 20, 8
	}
	return 2, 12, 4
}

// entries returns how many entries the directory at off has, and the offset
// of the first.
func (t tiffFile) entries(off int64) (n, start int64, err error) {
	size, _, _ := t.layout()
	b, err := t.f.span(off, size)
	if err != nil {
		return 0, 0, err
	}
	if t.big {
		n = int64(t.order.Uint64(b))
	} else {
		n = int64(t.order.Uint16(b))
	}
	if n <= 0 || n > 1<<16 {
		return 0, 0, fmt.Errorf("a directory of %d entries", uint64(n))
	}
	return n, off + size, nil
}

// next returns the offset of the directory after that at off, 0 for none.
func (t tiffFile) next(off int64) (int64, error) {
	n, start, err := t.entries(off)
	if err != nil {
		return 0, err
	}
	_, entry, size := t.layout()
	b, err := t.f.span(start+n*entry, size)
	if err != nil {
		return 0, err
	}
	return t.offset(b), nil
}

// pages counts the directories.
func (t tiffFile) pages(off int64) (int, error) {
	seen := map[int64]bool{}
	for n := 0; n < maxTIFFPages; n++ {
		if off == 0 {
			return n, nil
		}
		if seen[off] {
			return 0, errors.New("its directories go round in a circle")
		}
		seen[off] = true
		var err error
		if off, err = t.next(off); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("more than %d directories", maxTIFFPages)
}

// directory reads the entries of the directory at off.
func (t tiffFile) directory(off int64) (dir map[uint16]tiffEntry, n int64, err error) {
	n, start, err := t.entries(off)
	if err != nil {
		return nil, 0, err
	}
	_, size, width := t.layout()
	b, err := t.f.span(start, min(n, maxTIFFEntries)*size)
	if err != nil {
		return nil, 0, err
	}
	dir = map[uint16]tiffEntry{}
	for ; int64(len(b)) >= size; b = b[size:] {
		e := tiffEntry{kind: t.order.Uint16(b[2:]), value: b[size-width : size]}
		if t.big {
			e.count = t.order.Uint64(b[4:])
		} else {
			e.count = uint64(t.order.Uint32(b[4:]))
		}
		if tag := t.order.Uint16(b); !hasAny(dir, tag) {
			dir[tag] = e
		}
	}
	return dir, n, nil
}

// tiffSizes are the bytes of each type (TIFF 6.0, section 2; BigTIFF).
var tiffSizes = [...]uint64{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}

// bytes returns the value of an entry, or nil where it cannot be seen.
func (t tiffFile) bytes(e tiffEntry) []byte {
	if int(e.kind) >= len(tiffSizes) || tiffSizes[e.kind] == 0 || e.count > HeadSize {
		return nil
	}
	n := tiffSizes[e.kind] * e.count
	if n <= uint64(len(e.value)) {
		return e.value[:n]
	}
	b, err := t.f.span(t.offset(e.value), int64(n))
	if err != nil {
		return nil
	}
	return b
}

// integers returns the value of an entry of an unsigned type.
func (t tiffFile) integers(e tiffEntry) []uint64 {
	if e.count > maxTIFFValues {
		return nil
	}
	var list []uint64
	for b := t.bytes(e); len(b) > 0; b = b[tiffSizes[e.kind]:] {
		switch e.kind {
		case 1:
			list = append(list, uint64(b[0]))
		case 3:
			list = append(list, uint64(t.order.Uint16(b)))
		case 4, 13:
			list = append(list, uint64(t.order.Uint32(b)))
		case 16, 18:
			list = append(list, t.order.Uint64(b))
		default:
			return nil
		}
	}
	return list
}

// integer returns the first integer of an entry, or other.
func (t tiffFile) integer(e tiffEntry, other uint64) uint64 {
	if list := t.integers(e); len(list) > 0 {
		return list[0]
	}
	return other
}

// doubles returns the value of an entry of 64-bit floating-point numbers.
func (t tiffFile) doubles(e tiffEntry) []float64 {
	if e.kind != 12 || e.count > maxTIFFValues {
		return nil
	}
	var list []float64
	for b := t.bytes(e); len(b) >= 8; b = b[8:] {
		list = append(list, math.Float64frombits(t.order.Uint64(b)))
	}
	return list
}

// describe sets what the first directory says of the pixels.
func (t tiffFile) describe(dir map[uint16]tiffEntry, m *Meta) error {
	err := setSize(m, t.integer(dir[tiffWidth], 0), t.integer(dir[tiffHeight], 0))
	if err != nil {
		return err
	}
	setSamples(m, int(min(t.integer(dir[tiffSamples], 1), 1<<16)), int(min(t.integer(dir[tiffBits], 1), 1<<10)))
	m.Set("compression", tiffCompressionName(t.integer(dir[tiffCompression], 1)))
	switch t.integer(dir[tiffSampleFormat], 1) {
	case 2:
		m.Set("sample_format", "int")
	case 3:
		m.Set("sample_format", "float")
	case 5, 6:
		m.Set("sample_format", "complex")
	}
	if e := dir[tiffDescription]; e.kind == 2 {
		if b := t.bytes(e); isOME(b) {
			setOME(b, m)
		} else {
			m.setText("description", b)
		}
	}
	return nil
}

func tiffCompressionName(n uint64) string {
	names := map[uint64]string{
		1: "none", 2: "ccitt rle", 3: "ccitt g3", 4: "ccitt g4", 5: "lzw", 6: "old jpeg", 7: "jpeg", 8: "deflate",
		32773: "packbits", 32946: "deflate", 33003: "jpeg 2000", 33005: "jpeg 2000", 34712: "jpeg 2000",
		34887: "lerc", 34925: "lzma", 50000: "zstd", 50001: "webp", 50002: "jpeg xl",
	}
	if s, ok := names[n]; ok {
		return s
	}
	return strconv.FormatUint(n, 10)
}

// geo sets what the keys of GeoTIFF say (OGC 19-008r4, section 7).
func (t tiffFile) geo(dir map[uint16]tiffEntry, m *Meta) {
	const citation, geographic, projected = 1026, 2048, 3072
	keys := t.integers(dir[tiffGeoKeys])
	for k := 4; k+4 <= len(keys); k += 4 {
		id, where, count, value := keys[k], keys[k+1], keys[k+2], keys[k+3]
		switch {
		case id == projected && where == 0 && value < 32767,
			id == geographic && where == 0 && value < 32767 && m.Get("geo.epsg") == nil:
			m.Set("geo.epsg", int64(value))
		case id == citation && where == tiffGeoText:
			text := t.bytes(dir[tiffGeoText])
			if value < uint64(len(text)) {
				text = text[value:min(value+count, uint64(len(text)))]
				m.setText("geo.citation", bytes.TrimRight(text, "|\x00"))
			}
		}
	}
	if s := t.doubles(dir[tiffPixelScale]); len(s) >= 2 {
		m.Set("geo.pixel_scale", s[:2])
	}
	if p := t.doubles(dir[tiffTiepoint]); len(p) >= 6 {
		m.Set("geo.origin", p[3:5])
	}
}

func isOME(b []byte) bool {
	b = bytes.TrimSpace(b[:min(len(b), HeadSize)])
	return bytes.HasPrefix(b, []byte("<")) && bytes.Contains(b[:min(len(b), 2<<10)], []byte("<OME "))
}

// setOME sets what the first Pixels element of OME-XML says.
func setOME(b []byte, m *Meta) {
	eachElement(b, func(e xml.StartElement, _ []byte) bool {
		if e.Name.Local != "Pixels" {
			return true
		}
		for _, a := range e.Attr {
			setOMEAttribute(a.Name.Local, a.Value, m)
		}
		return false
	})
}

func setOMEAttribute(name, value string, m *Meta) {
	switch name {
	case "SizeX", "SizeY", "SizeZ", "SizeC", "SizeT":
		if n, err := strconv.ParseInt(value, 10, 64); err == nil && n > 0 {
			m.Set("ome.size_"+string(name[4]|0x20), n)
		}
	case "Type":
		m.setText("ome.type", []byte(value))
	case "PhysicalSizeX", "PhysicalSizeY", "PhysicalSizeZ":
		if v, err := strconv.ParseFloat(value, 64); err == nil && v > 0 {
			m.Set("ome.physical_size_"+string(name[12]|0x20), v)
		}
	case "PhysicalSizeXUnit":
		if value != "µm" {
			m.setText("ome.physical_unit", []byte(value))
		}
	}
}
