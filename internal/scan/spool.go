package scan

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/data-containers/cdb/internal/tree"
)

// The spool is a file without a name that holds the records of a scan, one
// after the other, in variable-length integers and relative to the record
// before, some 30 bytes for each. So the memory a scan takes does not grow
// with the number of files.

// Bits of the first byte of a record; the two lowest are the type.
const (
	hasLink = 1 << (iota + 2)
	hasXattrs
	hasOwner // and all bits of the mode
	newDev
	flagged // a folder that is opaque, a mark that is Covered
	newRoot
)

// markBits is the type of marks.
const markBits = byte(len(spoolTypes))

const spoolBuffer = 64 << 10

// newSpool returns an empty file without a name in dir, by default
// os.TempDir().
func newSpool(dir string) (*os.File, error) {
	f, err := createUnlinked(cmp.Or(dir, os.TempDir()))
	if err != nil {
		return nil, fmt.Errorf("create a temporary file: %w", err)
	}
	return f, nil
}

// createRemoved returns a new file in dir and removes its name.
func createRemoved(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".cdb-scan-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

type spoolWriter struct {
	w    *bufio.Writer
	n    int64
	prev record
	buf  []byte
}

func newSpoolWriter(f io.Writer) *spoolWriter {
	return &spoolWriter{w: bufio.NewWriterSize(f, spoolBuffer)}
}

// write appends r.
func (s *spoolWriter) write(r *record, preserve bool) error {
	s.buf = appendRecord(s.buf[:0], &s.prev, r, preserve)
	s.prev = *r
	n, err := s.w.Write(s.buf)
	s.n += int64(n)
	return err
}

func appendRecord(b []byte, prev, r *record, preserve bool) []byte {
	head := markBits
	if r.mark == NoMark {
		head = typeBits(r.typ)
	}
	if r.opaque || r.mark == Covered {
		head |= flagged
	}
	if r.link != "" {
		head |= hasLink
	}
	if len(r.xattrs) > 0 {
		head |= hasXattrs
	}
	if preserve {
		head |= hasOwner
	}
	if r.dev != prev.dev {
		head |= newDev
	}
	if r.root != prev.root {
		head |= newRoot
	}
	b = append(b, head)
	shared := commonPrefix(prev.path, r.path)
	b = binary.AppendUvarint(b, uint64(shared))
	b = appendString(b, r.path[shared:])
	b = binary.AppendUvarint(b, uint64(r.mode))
	b = binary.AppendUvarint(b, uint64(r.size))
	b = binary.AppendVarint(b, r.mtime.sec-prev.mtime.sec)
	b = binary.AppendUvarint(b, uint64(r.mtime.nsec))
	b = binary.AppendVarint(b, r.ctime.sec-r.mtime.sec)
	b = binary.AppendUvarint(b, uint64(r.ctime.nsec))
	b = binary.AppendVarint(b, int64(r.ino-prev.ino))
	b = binary.AppendUvarint(b, r.nlink)
	return appendOptional(b, head, r)
}

func appendOptional(b []byte, head byte, r *record) []byte {
	if head&newDev != 0 {
		b = binary.AppendUvarint(b, r.dev)
	}
	if head&newRoot != 0 {
		b = binary.AppendUvarint(b, uint64(r.root))
	}
	if head&hasOwner != 0 {
		b = binary.AppendUvarint(b, uint64(r.uid))
		b = binary.AppendUvarint(b, uint64(r.gid))
	}
	if head&hasLink != 0 {
		b = appendString(b, r.link)
	}
	if head&hasXattrs != 0 {
		b = binary.AppendUvarint(b, uint64(len(r.xattrs)))
		for _, k := range slices.Sorted(maps.Keys(r.xattrs)) {
			b = appendString(b, k)
			b = appendString(b, r.xattrs[k])
		}
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func commonPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

func typeBits(t tree.Type) byte {
	return byte(strings.IndexByte(spoolTypes, byte(t)))
}

// spoolTypes are the types of entries in the order of their numbers.
const spoolTypes = string(tree.File) + string(tree.Dir) + string(tree.Symlink)

var errSpool = errors.New("damaged: the temporary file was changed by somebody else")

// A spoolReader decodes the records of a spool.
type spoolReader struct {
	r    *bufio.Reader
	size int64 // no string is longer
	prev record
	path []byte
	err  error
}

func newSpoolReader(f io.ReaderAt, size int64) *spoolReader {
	return &spoolReader{r: bufio.NewReaderSize(io.NewSectionReader(f, 0, size), spoolBuffer), size: size}
}

// next returns the next record, which is overwritten by the next call, and
// io.EOF after the last.
func (s *spoolReader) next() (*record, error) {
	head, err := s.r.ReadByte()
	if err != nil {
		return nil, err
	}
	prev := &s.prev
	r := record{path: s.readPath()}
	switch kind := head & 3; {
	case kind != markBits:
		r.typ, r.opaque = tree.Type(spoolTypes[kind]), head&flagged != 0
	case head&flagged != 0:
		r.mark = Covered
	default:
		r.mark = Whiteout
	}
	r.mode = uint32(s.uvarint())
	r.size = int64(s.uvarint())
	r.mtime.sec = prev.mtime.sec + s.varint()
	r.mtime.nsec = int64(s.uvarint())
	r.ctime.sec = r.mtime.sec + s.varint()
	r.ctime.nsec = int64(s.uvarint())
	r.ino = prev.ino + uint64(s.varint())
	r.nlink = s.uvarint()
	r.dev, r.root = prev.dev, prev.root
	s.readOptional(head, &r)
	if s.err != nil {
		return nil, fmt.Errorf("read spool: %w", s.err)
	}
	s.prev = r
	return &s.prev, nil
}

func (s *spoolReader) readOptional(head byte, r *record) {
	if head&newDev != 0 {
		r.dev = s.uvarint()
	}
	if head&newRoot != 0 {
		r.root = int(s.uvarint())
	}
	if head&hasOwner != 0 {
		r.uid, r.gid = uint32(s.uvarint()), uint32(s.uvarint())
	}
	if head&hasLink != 0 {
		r.link = string(s.bytes(nil))
	}
	if head&hasXattrs != 0 {
		r.xattrs = map[string]string{}
		for n := s.uvarint(); n > 0 && s.err == nil; n-- {
			k := string(s.bytes(nil))
			r.xattrs[k] = string(s.bytes(nil))
		}
	}
}

func (s *spoolReader) readPath() string {
	shared := s.uvarint()
	if shared > uint64(len(s.path)) {
		s.fail(errSpool)
		return ""
	}
	s.path = s.bytes(s.path[:shared])
	return string(s.path)
}

// bytes appends a string to dst.
func (s *spoolReader) bytes(dst []byte) []byte {
	n := s.uvarint()
	if n > uint64(s.size) {
		s.fail(errSpool)
	}
	if s.err != nil {
		return dst
	}
	start := len(dst)
	dst = slices.Grow(dst, int(n))[:start+int(n)]
	if _, err := io.ReadFull(s.r, dst[start:]); err != nil {
		s.fail(err)
	}
	return dst
}

func (s *spoolReader) uvarint() uint64 {
	v, err := binary.ReadUvarint(s.r)
	if err != nil {
		s.fail(err)
	}
	return v
}

func (s *spoolReader) varint() int64 {
	v, err := binary.ReadVarint(s.r)
	if err != nil {
		s.fail(err)
	}
	return v
}

// fail notes the first error.
func (s *spoolReader) fail(err error) {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if s.err == nil {
		s.err = err
	}
}
