package extract

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	npzMaxArrays = 1000
	npzMaxHead   = 8 << 10 // of an array, before and after decompression
	zipEnd       = 22      // size of the end of the central directory
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
			return f.HasSuffix(".npz") && len(f.Head) >= 4 && string(f.Head[:2]) == "PK"
		},
		Tail:    true,
		Extract: func(f *File, m *Meta) error { return beyond(m, extractNPZ(f, m)) },
	}
}

// A zipEntry is what the central directory of a zip says of a file. Package
// archive/zip is not for this: it allocates by the number of files that a zip
// claims, measured against the size of the file, most of which is not here.
type zipEntry struct {
	name   string
	method uint16
	offset int64 // of the local header
}

func extractNPZ(f *File, m *Meta) error {
	directory, err := zipDirectory(f)
	if err != nil {
		return err
	}
	var arrays []*Meta
	var problem error
	for len(directory) > 0 && problem == nil {
		var e zipEntry
		if e, directory, problem = nextZipEntry(directory); problem != nil {
			break
		}
		name, ok := strings.CutSuffix(e.name, ".npy")
		if !ok {
			continue
		}
		if len(arrays) == npzMaxArrays {
			m.Set("partial", true)
			break
		}
		a := &Meta{}
		a.Set("name", headerText([]byte(name)))
		arrays = append(arrays, a)
		if err := readZipped(f, e, a); beyond(m, err) != nil {
			problem = fmt.Errorf("array %q: %w", headerText([]byte(name)), err)
		}
	}
	if len(arrays) > 0 {
		m.Set("arrays", arrays)
	}
	return problem
}

// zipDirectory returns the central directory (APPNOTE.TXT, 4.3.12 to 4.3.16).
func zipDirectory(f *File) ([]byte, error) {
	cut := errors.New("the zip has no central directory: it is cut short")
	begin := max(f.Size-zipEnd-1<<16, 0)
	b, err := f.View(begin, f.Size-begin)
	if err != nil {
		return nil, err
	}
	i := len(b) - zipEnd
	for ; i >= 0; i-- {
		if string(b[i:i+4]) == "PK\x05\x06" && i+zipEnd+int(binary.LittleEndian.Uint16(b[i+20:])) == len(b) {
			break
		}
	}
	if i < 0 {
		return nil, cut
	}
	size, offset := uint64(binary.LittleEndian.Uint32(b[i+12:])), uint64(binary.LittleEndian.Uint32(b[i+16:]))
	if offset == 1<<32-1 || size == 1<<32-1 || binary.LittleEndian.Uint16(b[i+10:]) == 1<<16-1 {
		locator, err := f.View(begin+int64(i)-20, 20)
		if err == nil && string(locator[:4]) == "PK\x06\x07" {
			if b, err = f.View(int64(binary.LittleEndian.Uint64(locator[8:])), 56); err != nil {
				return nil, err
			}
			size, offset = binary.LittleEndian.Uint64(b[40:]), binary.LittleEndian.Uint64(b[48:])
		}
	}
	if offset > uint64(f.Size) || size > uint64(f.Size)-offset {
		return nil, cut
	}
	return f.View(int64(offset), int64(size))
}

// nextZipEntry parses the first entry of a central directory and returns
// what follows it.
func nextZipEntry(b []byte) (e zipEntry, rest []byte, err error) {
	damaged := errors.New("the central directory of the zip is damaged")
	if len(b) < 46 || string(b[:4]) != "PK\x01\x02" {
		return e, nil, damaged
	}
	le := binary.LittleEndian
	n, x, c := int(le.Uint16(b[28:])), int(le.Uint16(b[30:])), int(le.Uint16(b[32:]))
	if len(b) < 46+n+x+c {
		return e, nil, damaged
	}
	e = zipEntry{name: string(b[46 : 46+n]), method: le.Uint16(b[10:]), offset: int64(le.Uint32(b[42:]))}
	for extra := b[46+n : 46+n+x]; len(extra) >= 4; {
		id, size := le.Uint16(extra), int(le.Uint16(extra[2:]))
		if extra = extra[4:]; size > len(extra) {
			break
		}
		if id == 1 && e.offset == 1<<32-1 && size >= 8 { // zip64: the offset is the last of the sizes there
			at := 0
			for _, field := range []int{24, 20} {
				if le.Uint32(b[field:]) == 1<<32-1 {
					at += 8
				}
			}
			if at+8 <= size {
				e.offset = int64(le.Uint64(extra[at:]))
			}
		}
		extra = extra[size:]
	}
	return e, b[46+n+x+c:], nil
}

// readZipped reads the header of one array.
func readZipped(f *File, e zipEntry, a *Meta) error {
	b, err := f.View(e.offset, 30)
	if err != nil {
		return err
	}
	off := e.offset + 30 + int64(binary.LittleEndian.Uint16(b[26:])) + int64(binary.LittleEndian.Uint16(b[28:]))
	if off > f.Size {
		return io.ErrUnexpectedEOF
	}
	data := make([]byte, min(npzMaxHead, f.Size-off))
	n, err := f.ReadAt(data, off)
	if err != nil && n < 128 {
		return err
	}
	switch data = data[:n]; e.method {
	case 0:
		return readNumpy(data, a)
	case 8:
		var head bytes.Buffer
		io.Copy(&head, io.LimitReader(flate.NewReader(bytes.NewReader(data)), npzMaxHead)) // the end is cut off
		return readNumpy(head.Bytes(), a)
	}
	return fmt.Errorf("it is compressed by method %d, which is not read", e.method)
}
