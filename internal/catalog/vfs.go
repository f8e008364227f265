package catalog

import (
	"errors"
	"io"
	"io/fs"
	"time"
)

// readerFS is a file system with one file, "catalog.db", whose bytes come
// from an io.ReaderAt: what SQLite needs to run over a part of an image.
type readerFS struct {
	r    io.ReaderAt
	size int64
}

func (f *readerFS) Open(name string) (fs.File, error) {
	if name != "catalog.db" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &readerFile{SectionReader: io.NewSectionReader(f.r, 0, f.size)}, nil
}

type readerFile struct{ *io.SectionReader }

func (f *readerFile) Stat() (fs.FileInfo, error) { return readerInfo(f.Size()), nil }
func (f *readerFile) Close() error               { return nil }

func (f *readerFile) Read(p []byte) (int, error) {
	n, err := io.ReadFull(f.SectionReader, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// readerInfo is the length of the file, as an fs.FileInfo.
type readerInfo int64

func (i readerInfo) Name() string       { return "catalog.db" }
func (i readerInfo) Size() int64        { return int64(i) }
func (i readerInfo) Mode() fs.FileMode  { return 0o444 }
func (i readerInfo) ModTime() time.Time { return time.Time{} }
func (i readerInfo) IsDir() bool        { return false }
func (i readerInfo) Sys() any           { return nil }
