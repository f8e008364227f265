// Package extract is metadata from bytes: what the formats of files say of
// themselves. It sees the stream that the build reads anyway. Formats are
// recognised by their content first and by their name second; the first one
// that matches describes the file, under keys of its own ("csv.rows").
//
// All that a file says is taken for hostile: nothing is allocated by a number
// that was read, and damage is a warning about that file, never a failure.
package extract

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// What of a file a header format can look at, in bytes.
const (
	HeadSize = 1 << 20
	TailSize = 1 << 20
)

// A File is a regular file as formats see it while it is read.
type File struct {
	// Path is relative to the root of the data, with slashes.
	Path string
	Size int64
	// Head is the first HeadSize bytes, all of a smaller file. It must not be
	// kept or changed.
	Head []byte
	// Tail is the last TailSize bytes of a file that is larger than Head, for
	// formats that ask for it. To those that match a file it is not there yet.
	Tail []byte

	name string // what Name returned last; dozens of formats ask
}

// ErrBeyond is what ReadAt returns for bytes in the midst of a large file.
var ErrBeyond = errors.New("it lies beyond what is looked at")

// ReadAt implements io.ReaderAt over the head and the tail.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at %d: negative offset", off)
	}
	if off >= f.Size {
		return 0, io.EOF
	}
	n := 0
	for n < len(p) && off < f.Size {
		var c int
		tail := f.Size - int64(len(f.Tail))
		switch {
		case off < int64(len(f.Head)):
			c = copy(p[n:], f.Head[off:])
		case off >= tail:
			c = copy(p[n:], f.Tail[off-tail:])
		default:
			return n, ErrBeyond
		}
		n, off = n+c, off+int64(c)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Whole says if the head is all of the file.
func (f *File) Whole() bool { return int64(len(f.Head)) == f.Size }

// Name returns the last part of the path, in lower case.
func (f *File) Name() string {
	if f.name == "" {
		f.name = strings.ToLower(path.Base(f.Path))
	}
	return f.name
}

// HasSuffix says if the name ends in one of suffixes (".csv"), whatever the
// case.
func (f *File) HasSuffix(suffixes ...string) bool {
	name := f.Name()
	for _, s := range suffixes {
		if strings.HasSuffix(name, s) {
			return true
		}
	}
	return false
}

// A Format is a kind of file. Either Extract or Stream is set.
type Format struct {
	// Name begins the keys: the format "csv" makes "csv.rows".
	Name string
	// Version is raised whenever the same bytes give other metadata.
	Version int
	// MediaType is the IANA media type of such files; Meta.SetMediaType
	// overrides it for one file.
	MediaType string
	// Keys are all keys that it can make, for the documentation.
	Keys []Key
	// OnRequest says that it is not among the defaults.
	OnRequest bool
	// Match says if f is of this format, by its head and name.
	Match func(f *File) bool
	// Tail says that Extract wants the end of large files.
	Tail bool
	// Extract looks at the head, and the tail, of a file. An error is a
	// warning; what was set before stays.
	Extract func(f *File, m *Meta) error
	// Stream begins to look at all bytes of a file, those of the head
	// included.
	Stream func(f *File) Stream
}

// A Stream takes the bytes of one file as they are read. It must not keep
// them. What it keeps must be bounded, however large or odd the file is.
type Stream interface {
	// Write has the contract of io.Writer. After an error nothing more
	// comes, and Finish is called.
	io.Writer
	// Finish says what was found. It is called once in any case, for a stream
	// may hold a goroutine. An error is a warning; what was set before
	// stays.
	Finish(m *Meta) error
}

// A Key documents one key of metadata.
type Key struct {
	Name string // without that of the format
	Type string // "string", "integer", "number", "boolean", "array of …", "object"
	Unit string // "bytes", "mm", "s" …; "" for none
	Doc  string // one line
}
