// Package tree is the entries of a dataset's tree: what a file, a folder or
// a link is called and which attributes it carries. Every other package
// speaks of files in these terms. It uses the standard library only.
package tree

import (
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// A Type says what kind of thing an entry is.
type Type byte

// The types an entry can have. Devices, sockets and pipes are no data: scans
// name and skip them.
const (
	File    Type = 'f' // a regular file, hard links included
	Dir     Type = 'd'
	Symlink Type = 'l'
)

// String returns "file", "dir" or "symlink".
func (t Type) String() string {
	switch t {
	case File:
		return "file"
	case Dir:
		return "dir"
	case Symlink:
		return "symlink"
	}
	return fmt.Sprintf("type %q", byte(t))
}

// An Entry is one file, folder or link of a tree.
type Entry struct {
	// Path is relative to the root of the tree, separated by slashes,
	// without a leading or trailing one; "" is the root itself. It may hold
	// any byte but NUL and need not be UTF-8.
	Path string
	Type Type
	// Mode holds the permission bits, set-uid, set-gid and sticky included
	// (0o7777).
	Mode uint32
	UID  int
	GID  int
	// ModTime has whole seconds unless the build preserves attributes.
	ModTime time.Time
	// Size is the length of a regular file in bytes, else 0.
	Size int64
	// Link is the target of a symbolic link, as it stands in the link; for
	// a regular file it is empty, or the Path of an earlier entry that this
	// one is a hard link of.
	Link string
	// Xattrs are the extended attributes, where the build preserves them.
	Xattrs map[string]string
}

// FileMode returns the mode of e in the form of package fs.
func (e *Entry) FileMode() fs.FileMode {
	m := fs.FileMode(e.Mode & 0o777)
	if e.Mode&0o4000 != 0 {
		m |= fs.ModeSetuid
	}
	if e.Mode&0o2000 != 0 {
		m |= fs.ModeSetgid
	}
	if e.Mode&0o1000 != 0 {
		m |= fs.ModeSticky
	}
	switch e.Type {
	case Dir:
		m |= fs.ModeDir
	case Symlink:
		m |= fs.ModeSymlink
	}
	return m
}

// Base returns the last element of p, and "" for the root.
func Base(p string) string { return p[strings.LastIndexByte(p, '/')+1:] }

// Parent returns p without its last element: the path of its folder, and ""
// for an entry of the root.
func Parent(p string) string {
	i := strings.LastIndexByte(p, '/')
	if i < 0 {
		return ""
	}
	return p[:i]
}

// CompareNames orders the entries of one folder so that a walk that descends
// into each folder as it meets it yields all files in byte order of their
// paths: a folder sorts as if its name ended in a slash. (Git orders its
// trees the same way.)
func CompareNames(a string, aIsDir bool, b string, bIsDir bool) int {
	n := min(len(a), len(b))
	if c := strings.Compare(a[:n], b[:n]); c != 0 {
		return c
	}
	if c := int(charAt(a, n, aIsDir)) - int(charAt(b, n, bIsDir)); c != 0 {
		return c
	}
	return len(a) - len(b)
}

// Compare orders the entries of a tree as such a walk yields them: the root,
// then in byte order of paths, where those of folders end in a slash.
func Compare(a, b *Entry) int {
	return CompareNames(a.Path, a.Type == Dir && a.Path != "", b.Path, b.Type == Dir && b.Path != "")
}

// Within says if path is in the folder dir or is dir itself.
func Within(path, dir string) bool {
	return dir == "" || strings.HasPrefix(path, dir) && (len(path) == len(dir) || path[len(dir)] == '/')
}

// charAt returns the byte of name at i, where the name of a folder ends in a
// slash and any name in a NUL.
func charAt(name string, i int, isDir bool) byte {
	switch {
	case i < len(name):
		return name[i]
	case isDir:
		return '/'
	}
	return 0
}

// CheckPath returns an error unless p is a path as [Entry] wants it: not
// absolute, without empty, "." and ".." elements, and without NUL. Paths from
// an image, an archive or a catalog go through it before they are used.
func CheckPath(p string) error {
	if p == "" {
		return nil
	}
	if strings.IndexByte(p, 0) >= 0 {
		return fmt.Errorf("path %q: holds a NUL byte", p)
	}
	for elem := range strings.SplitSeq(p, "/") {
		switch elem {
		case "", ".", "..":
			return fmt.Errorf("path %q: element %q is not allowed", p, elem)
		}
	}
	return nil
}
