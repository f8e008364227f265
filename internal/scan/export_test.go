package scan

import (
	"bytes"
	"io"

	"github.com/data-containers/cdb/internal/tree"
)

// Ignored tells whether the lines of an ignore file at the root leave an
// entry out.
func Ignored(lines []byte, path string, isDir bool) bool {
	return ignored(nil, parseRules(lines, "", nil), path, isDir)
}

// EncodeSpool returns entries as a spool holds them.
func EncodeSpool(entries []tree.Entry) []byte {
	var b bytes.Buffer
	w := newSpoolWriter(&b)
	for i, e := range entries {
		r := record{path: e.Path, typ: e.Type, mode: e.Mode, uid: uint32(e.UID), gid: uint32(e.GID), size: e.Size, link: e.Link,
			xattrs: e.Xattrs, mtime: stamp{e.ModTime.Unix(), int64(e.ModTime.Nanosecond())}, dev: uint64(i) / 2, ino: ^uint64(0) / uint64(i+1)}
		if err := w.write(&r, true); err != nil {
			panic(err)
		}
	}
	w.w.Flush()
	return b.Bytes()
}

// DecodeSpool returns the entries in a spool.
func DecodeSpool(data []byte) ([]tree.Entry, error) {
	s := newSpoolReader(bytes.NewReader(data), int64(len(data)))
	var all []tree.Entry
	for {
		r, err := s.next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, (&Options{Preserve: true}).entry(r))
	}
}
