package extract

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	matHeader       = 128
	matMaxVariables = 1000
	matMaxHead      = 4 << 10 // of a variable, decompressed
	matMatrix       = 14
	matCompressed   = 15
)

// matlabFormat is the MAT-file of level 5, of MATLAB 5 to 7.2 ("MAT-File
// Format", MathWorks). Those of 7.3 are HDF5.
func matlabFormat() *Format {
	return &Format{
		Name:      "matlab",
		Version:   1,
		MediaType: "application/x-matlab-data",
		Keys: []Key{
			{Name: "header", Type: "string", Doc: "the text that the file begins with"},
			{Name: "endian", Type: "string", Doc: "little or big"},
			{Name: "variables", Type: "array of object", Doc: "name, shape, type (double, char, cell, struct …); complex where it is"},
			{Name: "partial", Type: "boolean", Doc: "true if not all variables were in reach or told"},
		},
		Match: func(f *File) bool {
			return len(f.Head) >= matHeader && bytes.HasPrefix(f.Head, []byte("MATLAB 5.0 MAT-file")) && matOrder(f.Head) != nil
		},
		Tail:    true,
		Extract: func(f *File, m *Meta) error { return beyond(m, extractMATLAB(f, m)) },
	}
}

func matOrder(b []byte) binary.ByteOrder {
	switch string(b[126:128]) {
	case "IM":
		return binary.LittleEndian
	case "MI":
		return binary.BigEndian
	}
	return nil
}

func extractMATLAB(f *File, m *Meta) (err error) {
	o := matOrder(f.Head)
	m.SetString("header", headerText(f.Head[:116]))
	m.Set("endian", endianName(o))
	var list []*Meta
	for off := int64(matHeader); off < f.Size && err == nil; {
		var b []byte
		if b, err = f.span(off, 8); err != nil {
			break
		}
		kind, size := o.Uint32(b), int64(o.Uint32(b[4:]))
		if off += 8; size > f.Size-off {
			err = io.ErrUnexpectedEOF
			break
		}
		if len(list) == matMaxVariables {
			m.Set("partial", true)
			break
		}
		if kind == matMatrix || kind == matCompressed {
			var v *Meta
			if v, err = matVariable(f, o, kind, off, size); v != nil {
				list = append(list, v)
			}
		}
		if off += size; kind != matCompressed {
			off = (off + 7) / 8 * 8
		}
	}
	if len(list) > 0 {
		m.Set("variables", list)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("a variable goes beyond the end of the file: it is cut short")
	}
	return err
}

// matVariable reads the head of the variable of size bytes at off; nil if it
// has no name, as what MATLAB keeps for itself.
func matVariable(f *File, o binary.ByteOrder, kind uint32, off, size int64) (*Meta, error) {
	b, err := f.span(off, min(size, matMaxHead))
	if err != nil {
		return nil, err
	}
	if kind == matCompressed {
		z, err := zlib.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("decompress a variable: %w", err)
		}
		var head bytes.Buffer
		io.Copy(&head, io.LimitReader(z, matMaxHead)) // the end is cut off
		if b = head.Bytes(); len(b) < 8 || o.Uint32(b) != matMatrix {
			return nil, errors.New("a compressed variable is none")
		}
		b = b[8:]
	}
	flags, b := matElement(o, b)
	dims, b := matElement(o, b)
	name, _ := matElement(o, b)
	if len(flags) < 8 || len(dims) < 8 {
		return nil, errors.New("a variable has no shape")
	}
	if len(name) == 0 {
		return nil, nil
	}
	shape := []int64{}
	for ; len(dims) >= 4 && len(shape) < 64; dims = dims[4:] {
		shape = append(shape, int64(int32(o.Uint32(dims))))
	}
	v := &Meta{}
	v.Set("name", headerText(name))
	v.Set("shape", shape)
	word := o.Uint32(flags)
	v.SetString("type", matClass(word))
	if word&0x800 != 0 {
		v.Set("complex", true)
	}
	return v, nil
}

// matElement returns the first element of b and what follows; nil, nil if
// there is none.
func matElement(o binary.ByteOrder, b []byte) (data, rest []byte) {
	if len(b) < 8 {
		return nil, nil
	}
	word := o.Uint32(b)
	if n := word >> 16; n != 0 { // a small element
		if n > 4 {
			return nil, nil
		}
		return b[4 : 4+n], b[8:]
	}
	n := int64(o.Uint32(b[4:]))
	b = b[8:]
	if n > int64(len(b)) {
		return nil, nil
	}
	return b[:n], b[min((n+7)/8*8, int64(len(b))):]
}

func matClass(word uint32) string {
	names := strings.Split(",cell,struct,object,char,sparse,double,single,int8,uint8,int16,uint16,int32,uint32,int64,uint64,function,opaque", ",")
	class := word & 0xff
	if word&0x200 != 0 && class != 5 {
		return "logical"
	}
	if class >= uint32(len(names)) {
		return ""
	}
	return names[class]
}
