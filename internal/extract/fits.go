package extract

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

const (
	fitsBlock   = 2880
	fitsCard    = 80
	fitsMaxHDUs = 1000
)

// fitsFormat is FITS 4.0 (https://fits.gsfc.nasa.gov): the primary header and
// the headers of the extensions that are in reach.
func fitsFormat() *Format {
	return &Format{
		Name:      "fits",
		Version:   1,
		MediaType: "application/fits",
		Keys: []Key{
			{Name: "shape", Type: "array of integer", Doc: "NAXISn of the primary array: NAXIS1, which varies fastest, first; none without data"},
			{Name: "data_type", Type: "string", Doc: "uint8, int16, int32, int64, float32 or float64: BITPIX"},
			{Name: "object", Type: "string", Doc: "OBJECT: what was observed"},
			{Name: "telescope", Type: "string", Doc: "TELESCOP"},
			{Name: "instrument", Type: "string", Doc: "INSTRUME"},
			{Name: "filter", Type: "string", Doc: "FILTER"},
			{Name: "observed", Type: "string", Doc: "DATE-OBS, as the file has it"},
			{Name: "exposure", Type: "number", Unit: "s", Doc: "EXPTIME, else EXPOSURE"},
			{Name: "unit", Type: "string", Doc: "BUNIT: of the values"},
			{Name: "origin", Type: "string", Doc: "ORIGIN: who made the file"},
			{Name: "ra", Type: "number", Unit: "degrees", Doc: "RA, where it is a number"},
			{Name: "dec", Type: "number", Unit: "degrees", Doc: "DEC, where it is a number"},
			{Name: "equinox", Type: "number", Unit: "years", Doc: "EQUINOX"},
			{Name: "extensions", Type: "array of object", Doc: "type, name, data_type and shape of each; rows and columns of tables"},
			{Name: "partial", Type: "boolean", Doc: "true if not all extensions were in reach"},
		},
		Match: func(f *File) bool {
			return len(f.Head) >= fitsCard && strings.HasPrefix(string(f.Head[:30]), "SIMPLE  =                    T")
		},
		Tail:    true,
		Extract: func(f *File, m *Meta) error { return beyond(m, extractFITS(f, m)) },
	}
}

// A fitsHeader is the cards of a header, values as they are written.
type fitsHeader map[string]string

// readFITS reads the header at off. It returns where its data begin.
func readFITS(f *File, off int64) (fitsHeader, int64, error) {
	h := fitsHeader{}
	for {
		b, err := f.span(off, fitsBlock)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return h, 0, errors.New("a header has no END: it is cut short")
		}
		if err != nil {
			return h, 0, err
		}
		off += fitsBlock
		for ; len(b) > 0; b = b[fitsCard:] {
			key := strings.TrimRight(string(b[:8]), " ")
			if key == "END" {
				return h, off, nil
			}
			if _, ok := h[key]; !ok && string(b[8:10]) == "= " {
				h[key] = string(b[10:fitsCard])
			}
		}
	}
}

// text returns a character string, "" if the value is none.
func (h fitsHeader) text(key string) string {
	s, ok := strings.CutPrefix(strings.TrimLeft(h[key], " "), "'")
	if !ok {
		return ""
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\'' {
			if i+1 == len(s) || s[i+1] != '\'' {
				break
			}
			i++
		}
		b.WriteByte(s[i])
	}
	return headerText([]byte(b.String()))
}

// value returns what is before the comment.
func (h fitsHeader) value(key string) string {
	s, _, _ := strings.Cut(h[key], "/")
	return strings.TrimSpace(s)
}

func (h fitsHeader) integer(key string) (int64, bool) {
	n, err := strconv.ParseInt(h.value(key), 10, 64)
	return n, err == nil
}

func (h fitsHeader) number(key string) (float64, bool) {
	s := strings.Replace(h.value(key), "D", "E", 1)
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil
}

// array returns the shape and type of the data, and their size in bytes.
func (h fitsHeader) array() (shape []int64, dataType string, size int64, err error) {
	bits, _ := h.integer("BITPIX")
	dataType = map[int64]string{8: "uint8", 16: "int16", 32: "int32", 64: "int64", -32: "float32", -64: "float64"}[bits]
	if dataType == "" {
		return nil, "", 0, fmt.Errorf("BITPIX is %q", h.value("BITPIX"))
	}
	n, ok := h.integer("NAXIS")
	if !ok || n < 0 || n > 999 {
		return nil, dataType, 0, fmt.Errorf("NAXIS is %q", h.value("NAXIS"))
	}
	elements := 1.0
	for i := range n {
		d, ok := h.integer("NAXIS" + strconv.FormatInt(i+1, 10))
		if !ok || d < 0 {
			return nil, dataType, 0, fmt.Errorf("NAXIS%d is missing or negative", i+1)
		}
		shape = append(shape, d)
		if i > 0 || d > 0 || h.value("GROUPS") != "T" { // random groups begin with a 0
			elements *= float64(d)
		}
	}
	if n == 0 {
		elements = 0
	}
	if p, ok := h.integer("PCOUNT"); ok && p > 0 {
		elements += float64(p)
	}
	if g, ok := h.integer("GCOUNT"); ok && g > 0 {
		elements *= float64(g)
	}
	bytes := elements * math.Abs(float64(bits)) / 8
	if bytes > 1<<60 {
		return shape, dataType, 0, errors.New("the data are larger than any file")
	}
	size = (int64(bytes) + fitsBlock - 1) / fitsBlock * fitsBlock
	return shape, dataType, size, nil
}

func extractFITS(f *File, m *Meta) error {
	h, off, err := readFITS(f, 0)
	h.set(m)
	if err != nil {
		return err
	}
	shape, dataType, size, err := h.array()
	if len(shape) > 0 {
		m.Set("shape", shape)
		m.SetString("data_type", dataType)
	}
	var extensions []*Meta
	for err == nil && len(extensions) < fitsMaxHDUs {
		if size > f.Size-off {
			err = errors.New("the data go beyond the end of the file: it is cut short")
			break
		}
		if off += size; off == f.Size {
			break
		}
		x := &Meta{}
		if size, off, err = readExtension(f, off, x); len(x.Keys()) > 0 {
			extensions = append(extensions, x)
		}
	}
	if len(extensions) > 0 {
		m.Set("extensions", extensions)
	}
	return err
}

// set sets what the primary header says.
func (h fitsHeader) set(m *Meta) {
	for _, k := range [][2]string{{"object", "OBJECT"}, {"telescope", "TELESCOP"}, {"instrument", "INSTRUME"},
		{"filter", "FILTER"}, {"observed", "DATE-OBS"}, {"unit", "BUNIT"}, {"origin", "ORIGIN"}} {
		m.SetString(k[0], h.text(k[1]))
	}
	for _, k := range [][2]string{{"exposure", "EXPOSURE"}, {"exposure", "EXPTIME"}, {"ra", "RA"}, {"dec", "DEC"}, {"equinox", "EQUINOX"}} {
		if n, ok := h.number(k[1]); ok {
			m.Set(k[0], n)
		}
	}
}

// readExtension reads the header at off. It returns the size of the data and
// where they begin.
func readExtension(f *File, off int64, x *Meta) (size, data int64, err error) {
	b, err := f.span(off, 8)
	if err == nil && string(b) != "XTENSION" {
		return 0, f.Size, nil // special records, which nothing says anything about
	}
	h, data, err := readFITS(f, off)
	if err != nil {
		return 0, 0, err
	}
	x.SetString("type", h.text("XTENSION"))
	x.SetString("name", h.text("EXTNAME"))
	shape, dataType, size, err := h.array()
	switch kind := h.text("XTENSION"); {
	case err != nil:
	case (kind == "BINTABLE" || kind == "TABLE") && len(shape) == 2:
		x.Set("rows", shape[1])
		if n, ok := h.integer("TFIELDS"); ok && n >= 0 && n <= 999 {
			var names []string
			for i := range n {
				names = append(names, h.text("TTYPE"+strconv.FormatInt(i+1, 10)))
			}
			x.Set("columns", names)
		}
	case len(shape) > 0:
		x.SetString("data_type", dataType)
		x.Set("shape", shape)
	}
	return size, data, err
}
