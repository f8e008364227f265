package catalog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A delta makes the catalog of a parent image that of the next version: the
// pages that differ, and their numbers. It is laid out in pages:
//
//	page 0: "cdbdelta", page size (4 bytes), pages of the new catalog (4),
//	        pages in the delta (4), zeros
//	then the numbers of the pages, from 0, ascending, 4 bytes each, zeros up
//	to the end of the page, then the pages.
const deltaMagic = "cdbdelta"

// MaxDeltas is the number of deltas that a catalog may have.
const MaxDeltas = 16

// maxPages bounds the pages of a catalog: 4 TiB.
const maxPages = 1 << 30

// A Delta is what makes one catalog another.
type Delta struct {
	path    string // of the new catalog
	pages   int64  // of the new catalog
	changed []uint32
}

// NewDelta compares the catalog old, which may have deltas of its own, with the
// catalog file at path.
func NewDelta(ctx context.Context, old *DB, path string) (*Delta, error) {
	d := &Delta{path: path}
	if err := d.compare(ctx, old); err != nil {
		return nil, fmt.Errorf("compare catalogs: %w", err)
	}
	return d, nil
}

func (d *Delta) compare(ctx context.Context, old *DB) error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	src, err := old.bytes()
	if err != nil {
		return err
	}
	defer src.Close()
	d.pages = fi.Size() / pageSize
	d.changed, err = changedPages(ctx, src, old.size, f, fi.Size())
	return err
}

// Size returns the length of the delta in bytes.
func (d *Delta) Size() int64 {
	return (1 + tablePages(len(d.changed)) + int64(len(d.changed))) * pageSize
}

// Write writes the delta.
func (d *Delta) Write(dst io.Writer) error {
	f, err := os.Open(d.path)
	if err != nil {
		return fmt.Errorf("write catalog delta: %w", err)
	}
	defer f.Close()
	head := make([]byte, pageSize)
	copy(head, deltaMagic)
	binary.LittleEndian.PutUint32(head[8:], pageSize)
	binary.LittleEndian.PutUint32(head[12:], uint32(d.pages))
	binary.LittleEndian.PutUint32(head[16:], uint32(len(d.changed)))
	numbers := make([]byte, tablePages(len(d.changed))*pageSize)
	for i, p := range d.changed {
		binary.LittleEndian.PutUint32(numbers[4*i:], p)
	}
	if _, err := dst.Write(append(head, numbers...)); err != nil {
		return fmt.Errorf("write catalog delta: %w", err)
	}
	page := make([]byte, pageSize)
	for _, p := range d.changed {
		if _, err := f.ReadAt(page, int64(p)*pageSize); err != nil {
			return fmt.Errorf("write catalog delta: %w", err)
		}
		if _, err := dst.Write(page); err != nil {
			return fmt.Errorf("write catalog delta: %w", err)
		}
	}
	return nil
}

// tablePages returns the pages that n page numbers take.
func tablePages(n int) int64 { return (4*int64(n) + pageSize - 1) / pageSize }

// bytes returns the bytes of the catalog.
func (db *DB) bytes() (readAtCloser, error) {
	if db.r != nil {
		return struct {
			io.ReaderAt
			io.Closer
		}{db.r, io.NopCloser(nil)}, nil
	}
	return os.Open(db.name)
}

type readAtCloser interface {
	io.ReaderAt
	io.Closer
}

// changedPages returns the numbers of the pages of new that old has not.
func changedPages(ctx context.Context, old io.ReaderAt, oldSize int64, new io.ReaderAt, newSize int64) ([]uint32, error) {
	const chunk = 256 * pageSize
	a, b := make([]byte, chunk), make([]byte, chunk)
	var changed []uint32
	for off := int64(0); off < newSize; off += chunk {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := min(chunk, newSize-off)
		if _, err := io.ReadFull(io.NewSectionReader(new, off, n), b[:n]); err != nil {
			return nil, err
		}
		have := max(0, min(n, oldSize-off))
		if _, err := io.ReadFull(io.NewSectionReader(old, off, have), a[:have]); err != nil {
			return nil, err
		}
		for p := int64(0); p < n; p += pageSize {
			if p >= have || !bytes.Equal(a[p:p+pageSize], b[p:p+pageSize]) {
				changed = append(changed, uint32((off+p)/pageSize))
			}
		}
	}
	return changed, nil
}

// A Part is a file that a catalog is made of: the base, or a delta.
type Part struct {
	io.ReaderAt
	Size int64 // in bytes
}

// A stack is a base and its deltas as one file.
type stack struct {
	base   Part
	deltas []delta // oldest first
	pages  int64
}

type delta struct {
	Part
	numbers []uint32
	data    int64 // where the pages begin
}

// Stack puts deltas, oldest first, on a base. It returns the catalog as one
// file and its size, for OpenReaderAt.
func Stack(base Part, deltas []Part) (io.ReaderAt, int64, error) {
	s := &stack{base: base, pages: base.Size / pageSize}
	if len(deltas) > MaxDeltas {
		return nil, 0, fmt.Errorf("%w: %d deltas", ErrFormat, len(deltas))
	}
	for i, p := range deltas {
		d, pages, err := openDelta(p)
		if err != nil {
			return nil, 0, fmt.Errorf("open catalog delta %d: %w", i+1, err)
		}
		s.deltas, s.pages = append(s.deltas, *d), pages
	}
	return s, s.pages * pageSize, nil
}

func openDelta(p Part) (*delta, int64, error) {
	head := make([]byte, pageSize)
	if _, err := io.ReadFull(io.NewSectionReader(p, 0, min(p.Size, pageSize)), head); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	size, pages, n := binary.LittleEndian.Uint32(head[8:]), int64(binary.LittleEndian.Uint32(head[12:])), int(binary.LittleEndian.Uint32(head[16:]))
	if string(head[:8]) != deltaMagic || size != pageSize || pages > maxPages || int64(n) > pages {
		return nil, 0, fmt.Errorf("%w: it does not begin as a delta", ErrFormat)
	}
	d := &delta{Part: p, data: (1 + tablePages(n)) * pageSize}
	if p.Size != d.data+int64(n)*pageSize {
		return nil, 0, fmt.Errorf("%w: %d bytes for %d pages", ErrFormat, p.Size, n)
	}
	// The length has been compared with that of the file.
	table := make([]byte, 4*n)
	if _, err := io.ReadFull(io.NewSectionReader(p, pageSize, int64(len(table))), table); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	d.numbers = make([]uint32, n)
	for i := range d.numbers {
		d.numbers[i] = binary.LittleEndian.Uint32(table[4*i:])
		if int64(d.numbers[i]) >= pages || i > 0 && d.numbers[i] <= d.numbers[i-1] {
			return nil, 0, fmt.Errorf("%w: page numbers out of order", ErrFormat)
		}
	}
	return d, pages, nil
}

// ReadAt implements io.ReaderAt.
func (s *stack) ReadAt(b []byte, off int64) (int, error) {
	n := 0
	for n < len(b) {
		page := (off + int64(n)) / pageSize
		if page >= s.pages {
			return n, io.EOF
		}
		in := (off + int64(n)) % pageSize
		want := min(int64(len(b)-n), pageSize-in)
		part, at, err := s.find(page)
		if err != nil {
			return n, err
		}
		got, err := part.ReadAt(b[n:n+int(want)], at+in)
		n += got
		if got < int(want) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		}
	}
	return n, nil
}

// find returns where the newest copy of a page lies.
func (s *stack) find(page int64) (io.ReaderAt, int64, error) {
	for _, d := range slices.Backward(s.deltas) {
		if i, ok := slices.BinarySearch(d.numbers, uint32(page)); ok {
			return d, d.data + int64(i)*pageSize, nil
		}
	}
	if (page+1)*pageSize > s.base.Size {
		return nil, 0, fmt.Errorf("%w: page %d is in no delta", ErrFormat, page)
	}
	return s.base, page * pageSize, nil
}

// DeltaName returns the name of delta number n, from 1, beside the base name.
func DeltaName(base string, n int) string { return base + "." + strconv.Itoa(n) }

// OpenFile opens the catalog file at path with the deltas that lie beside it.
func OpenFile(path string) (*DB, error) {
	deltas, err := filepath.Glob(strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path) + ".*")
	if err != nil || len(deltas) == 0 {
		return Open(path)
	}
	var parts []Part
	var files files
	for n := range MaxDeltas + 1 {
		name := path
		if n > 0 {
			name = DeltaName(path, n)
		}
		f, err := os.Open(name)
		if n > 0 && errors.Is(err, os.ErrNotExist) {
			break
		}
		if err != nil {
			files.Close()
			return nil, fmt.Errorf("open catalog: %w", err)
		}
		files = append(files, f)
		fi, err := f.Stat()
		if err != nil {
			files.Close()
			return nil, fmt.Errorf("open catalog: %w", err)
		}
		parts = append(parts, Part{f, fi.Size()})
	}
	r, size, err := Stack(parts[0], parts[1:])
	if err != nil {
		files.Close()
		return nil, fmt.Errorf("open catalog %q: %w", path, err)
	}
	db, err := OpenReaderAt(path, r, size)
	if err != nil {
		files.Close()
		return nil, err
	}
	db.under = files
	return db, nil
}

// files are open files that are closed together.
type files []*os.File

func (fs files) Close() error {
	var errs []error
	for _, f := range fs {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
