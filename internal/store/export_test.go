package store

import (
	"bytes"
	"io"
)

// NewArchive opens an archive in memory.
func NewArchive(data []byte) (*Archive, error) {
	return newArchive(bytes.NewReader(data), int64(len(data)), "archive")
}

// NewArchiveReader opens an archive that need not be in memory.
func NewArchiveReader(r io.ReaderAt, size int64) (*Archive, error) {
	return newArchive(r, size, "archive")
}

var (
	CheckComplete = checkComplete
	TarHeader     = tarHeader
)
