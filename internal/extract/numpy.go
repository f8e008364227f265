package extract

import (
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

const (
	numpyMagic     = "\x93NUMPY"
	numpyMaxHeader = 64 << 10
)

// numpyFormat is the .npy of NumPy (NEP 1), versions 1 to 3.
func numpyFormat() *Format {
	return &Format{
		Name:      "npy",
		Version:   1,
		MediaType: "application/x-npy",
		Keys: []Key{
			{Name: "version", Type: "string", Doc: "1.0, 2.0 or 3.0"},
			{Name: "shape", Type: "array of integer", Doc: "size of each dimension, none for a scalar"},
			{Name: "data_type", Type: "string", Doc: "float32, string … or structured"},
			{Name: "endian", Type: "string", Doc: "little or big, where it matters"},
			{Name: "order", Type: "string", Doc: "C or F"},
		},
		Match:   func(f *File) bool { return strings.HasPrefix(string(f.Head[:min(len(f.Head), 6)]), numpyMagic) },
		Extract: func(f *File, m *Meta) error { return readNumpy(f.Head, m) },
	}
}

// readNumpy sets what the header of an array says, of which b is the
// beginning.
func readNumpy(b []byte, m *Meta) error {
	if len(b) < 12 || string(b[:6]) != numpyMagic {
		return errors.New("it has no NumPy header")
	}
	n, begin := int(binary.LittleEndian.Uint16(b[8:])), 10
	if b[6] >= 2 {
		n, begin = int(min(binary.LittleEndian.Uint32(b[8:]), numpyMaxHeader+1)), 12
	}
	m.Set("version", fmt.Sprintf("%d.%d", b[6], b[7]))
	if n > numpyMaxHeader {
		return errors.New("its header is too long")
	}
	if begin+n > len(b) {
		return errors.New("its header goes beyond the end of the file: it is cut short")
	}
	return numpyDict(string(b[begin:begin+n]), m)
}

// numpyDict reads the literal of a Python dict that makes the header.
func numpyDict(s string, m *Meta) error {
	shape := regexp.MustCompile(`'shape'\s*:\s*\(([0-9L, ]*)\)`).FindStringSubmatch(s)
	order := regexp.MustCompile(`'fortran_order'\s*:\s*(True|False)`).FindStringSubmatch(s)
	descr := regexp.MustCompile(`'descr'\s*:\s*(?:'([^']*)'|(\[))`).FindStringSubmatch(s)
	if shape == nil || order == nil || descr == nil {
		return errors.New("its header lacks shape, fortran_order or descr")
	}
	dims := []int64{}
	for d := range strings.SplitSeq(shape[1], ",") {
		if d = strings.TrimSuffix(strings.TrimSpace(d), "L"); d == "" { // a long of Python 2
			continue
		}
		n, err := strconv.ParseInt(d, 10, 64)
		if err != nil || len(dims) == 64 {
			return fmt.Errorf("its shape holds %q", d[:min(len(d), 40)])
		}
		dims = append(dims, n)
	}
	m.Set("shape", dims)
	if descr[2] != "" {
		m.Set("data_type", "structured")
	} else {
		name, endian := numpyType(descr[1])
		m.SetString("data_type", name)
		m.SetString("endian", endian)
	}
	m.Set("order", map[string]string{"True": "F", "False": "C"}[order[1]])
	return nil
}

// numpyType names a type of NumPy's array interface, such as "<f4", and its
// byte order, "" where it does not matter.
func numpyType(descr string) (name, endian string) {
	if descr == "" {
		return "", ""
	}
	endian = map[byte]string{'<': "little", '>': "big"}[descr[0]]
	kind := strings.TrimLeft(descr, "<>|=")
	if kind == "" {
		return "", ""
	}
	size, _ := strconv.Atoi(kind[1:])
	switch kind[0] {
	case 'b', '?':
		return "bool", ""
	case 'S', 'U', 'a':
		return "string", endian
	case 'O':
		return "object", ""
	case 'V':
		return "void", ""
	}
	base := map[byte]string{'i': "int", 'u': "uint", 'f': "float", 'c': "complex"}[kind[0]]
	switch {
	case kind[0] == 'M' || kind[0] == 'm':
		unit := ""
		if i := strings.IndexByte(kind, '['); i >= 0 {
			unit = headerText([]byte(kind[i:min(len(kind), i+12)]))
		}
		return map[byte]string{'M': "datetime64", 'm': "timedelta64"}[kind[0]] + unit, endian
	case base == "" || size < 1 || size > 64:
		return headerText([]byte(descr)), ""
	case size == 1:
		endian = ""
	}
	return base + strconv.Itoa(8*size), endian
}
