package extract

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"strings"
)

const (
	npzMaxArrays = 1000
	npzMaxHead   = 8 << 10 // of an array, before and after decompression
)

// npzFormat is the .npz of NumPy: a zip of .npy files.
func npzFormat() *Format {
	return &Format{
		Name:      "npz",
		Version:   1,
		MediaType: "application/x-npz",
		Keys: []Key{
			{Name: "arrays", Type: "array of object", Doc: "name; version, shape, data_type, endian and order as in npy, of those in reach"},
			{Name: "partial", Type: "boolean", Doc: "true if not all arrays were in reach or told"},
		},
		Match: func(f *File) bool {
			return f.HasSuffix(".npz") && f.hasMagic(0, "PK")
		},
		Tail:    true,
		Extract: func(f *File, m *Meta) error { return beyond(m, extractNPZ(f, m)) },
	}
}

func extractNPZ(f *File, m *Meta) error {
	d, err := readZipDirectory(f)
	if err != nil {
		return reading("zip", err)
	}
	if d.body == nil {
		return ErrBeyond
	}
	var arrays []*Meta
	var problem error
	err = d.each(func(e zipEntry) bool {
		name, ok := strings.CutSuffix(e.name, ".npy")
		if !ok {
			return true
		}
		if len(arrays) == npzMaxArrays {
			m.Set("partial", true)
			return false
		}
		a := &Meta{}
		a.Set("name", headerText([]byte(name)))
		arrays = append(arrays, a)
		if err := beyond(m, d.array(e, a)); err != nil {
			problem = reading(fmt.Sprintf("array %q", headerText([]byte(name))), err)
		}
		return problem == nil
	})
	if len(arrays) > 0 {
		m.Set("arrays", arrays)
	}
	if problem == nil {
		problem = reading("zip", err)
	}
	return problem
}

// array reads the header of one array, of which only the first bytes must be
// in reach.
func (d *zipDirectory) array(e zipEntry, a *Meta) error {
	off, err := d.begin(e)
	if err != nil {
		return err
	}
	data := d.f.upTo(off, npzMaxHead)
	if len(data) == 0 {
		return ErrBeyond
	}
	switch e.method {
	case 0:
		return readNumpy(data, a)
	case 8:
		var head bytes.Buffer
		io.Copy(&head, io.LimitReader(flate.NewReader(bytes.NewReader(data)), npzMaxHead)) // the end is cut off
		return readNumpy(head.Bytes(), a)
	}
	return fmt.Errorf("it is compressed by method %d, which is not read", e.method)
}
