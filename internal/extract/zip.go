package extract

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// maxZipMember bounds a member of a zip archive that is decompressed, in bytes.
const maxZipMember = 256 << 10

// A zipDirectory is the central directory of a zip archive (PKWARE's
// APPNOTE.TXT, section 4.3.12).
type zipDirectory struct {
	f       *File
	entries uint64
	body    []byte // nil where it begins in the midst of a large file
	base    int64  // what lies before the archive, such as a program
}

// A zipEntry is an entry of a central directory.
type zipEntry struct {
	name        string
	flags       uint16
	method      uint16
	packed      uint64
	size        uint64
	localHeader uint64
}

// readZipDirectory finds the central directory by the record at the end.
func readZipDirectory(f *File) (*zipDirectory, error) {
	start := max(0, f.Size-(1<<16+22))
	b, err := f.span(start, f.Size-start)
	if err != nil {
		return nil, err
	}
	i := len(b)
	for {
		if i = bytes.LastIndex(b[:i], []byte("PK\x05\x06")); i < 0 {
			return nil, errors.New("there is no directory at its end")
		}
		if len(b)-i >= 22 && int(binary.LittleEndian.Uint16(b[i+20:])) <= len(b)-i-22 {
			break
		}
	}
	end := b[i:]
	d := &zipDirectory{f: f, entries: uint64(binary.LittleEndian.Uint16(end[10:]))}
	size, offset := uint64(binary.LittleEndian.Uint32(end[12:])), uint64(binary.LittleEndian.Uint32(end[16:]))
	behind := start + int64(i)
	if i >= 20 && string(b[i-20:i-16]) == "PK\x06\x07" {
		off := binary.LittleEndian.Uint64(b[i-12:])
		rec, err := f.span(int64(off&math.MaxInt64), 56)
		if err != nil {
			return nil, err
		}
		if string(rec[:4]) != "PK\x06\x06" {
			return nil, errors.New("its directory is not where it should be")
		}
		d.entries, size, offset = binary.LittleEndian.Uint64(rec[32:]), binary.LittleEndian.Uint64(rec[40:]), binary.LittleEndian.Uint64(rec[48:])
		behind = int64(off)
	}
	if size > uint64(behind) || d.entries > size/46 {
		return nil, errors.New("its directory is not where it should be")
	}
	if offset <= uint64(behind)-size {
		d.base = behind - int64(size) - int64(offset)
	}
	d.body, err = f.span(behind-int64(size), int64(size))
	if err == nil && d.body == nil {
		d.body = []byte{}
	}
	return d, unlessBeyond(err)
}

// each calls f with the entries, until it returns false.
func (d *zipDirectory) each(f func(zipEntry) bool) error {
	b := d.body
	for n := range d.entries {
		if len(b) < 46 || string(b[:4]) != "PK\x01\x02" {
			return fmt.Errorf("its directory has %d entries, not %d", n, d.entries)
		}
		name, extra, comment := int(binary.LittleEndian.Uint16(b[28:])), int(binary.LittleEndian.Uint16(b[30:])), int(binary.LittleEndian.Uint16(b[32:]))
		if len(b) < 46+name+extra+comment {
			return io.ErrUnexpectedEOF
		}
		e := zipEntry{
			name:        string(b[46 : 46+name]),
			flags:       binary.LittleEndian.Uint16(b[8:]),
			method:      binary.LittleEndian.Uint16(b[10:]),
			packed:      uint64(binary.LittleEndian.Uint32(b[20:])),
			size:        uint64(binary.LittleEndian.Uint32(b[24:])),
			localHeader: uint64(binary.LittleEndian.Uint32(b[42:])),
		}
		e.zip64(b[46+name : 46+name+extra])
		if !f(e) {
			return nil
		}
		b = b[46+name+extra+comment:]
	}
	return nil
}

// zip64 replaces what does not fit 32 bits by what the extra field says.
func (e *zipEntry) zip64(extra []byte) {
	for len(extra) >= 4 {
		id, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		extra = extra[4:]
		n = min(n, len(extra))
		if id == 1 {
			field := extra[:n]
			for _, v := range []*uint64{&e.size, &e.packed, &e.localHeader} {
				if *v == math.MaxUint32 && len(field) >= 8 {
					*v = binary.LittleEndian.Uint64(field)
					field = field[8:]
				}
			}
			return
		}
		extra = extra[n:]
	}
}

// begin returns where the bytes of a member begin.
func (d *zipDirectory) begin(e zipEntry) (int64, error) {
	if e.localHeader > uint64(d.f.Size) {
		return 0, io.ErrUnexpectedEOF
	}
	off := d.base + int64(e.localHeader)
	head, err := d.f.span(off, 30)
	if err != nil {
		return 0, err
	}
	return off + 30 + int64(binary.LittleEndian.Uint16(head[26:])) + int64(binary.LittleEndian.Uint16(head[28:])), nil
}

// member returns the first maxZipMember bytes of a member.
func (d *zipDirectory) member(e zipEntry) ([]byte, error) {
	if e.flags&1 != 0 {
		return nil, errors.New("it is encrypted")
	}
	if e.packed > uint64(d.f.Size) {
		return nil, io.ErrUnexpectedEOF
	}
	off, err := d.begin(e)
	if err != nil {
		return nil, err
	}
	raw, err := d.f.span(off, int64(e.packed))
	if err != nil {
		return nil, err
	}
	switch e.method {
	case 0:
		return raw[:min(len(raw), maxZipMember)], nil
	case 8:
		b, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(raw)), maxZipMember))
		if len(b) > 0 {
			err = nil
		}
		return b, err
	}
	return nil, fmt.Errorf("compression method %d", e.method)
}

// extractZip counts the members of a zip archive.
func extractZip(f *File, m *Meta) error {
	d, err := readZipDirectory(f)
	if err != nil {
		return err
	}
	m.Set("members", d.entries)
	if d.body == nil {
		return nil
	}
	var size uint64
	encrypted := false
	err = d.each(func(e zipEntry) bool {
		size += min(e.size, math.MaxInt64-size)
		encrypted = encrypted || e.flags&1 != 0
		return true
	})
	if err != nil {
		return err
	}
	m.Set("bytes", size)
	if encrypted {
		m.Set("encrypted", true)
	}
	return nil
}
