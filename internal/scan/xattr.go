package scan

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// fdXattrs returns the extended attributes of an open file or folder, nil if
// there are none.
func fdXattrs(fd int) (map[string]string, error) {
	return readXattrs(
		func(buf []byte) (int, error) { return unix.Flistxattr(fd, buf) },
		func(attr string, buf []byte) (int, error) { return unix.Fgetxattr(fd, attr, buf) },
	)
}

// readXattrs collects attributes through the two system calls it is given.
func readXattrs(list func([]byte) (int, error), get func(string, []byte) (int, error)) (map[string]string, error) {
	names, err := grow(list)
	if err != nil {
		return nil, xattrError(err)
	}
	var attrs map[string]string
	for attr := range strings.SplitSeq(string(names), "\x00") {
		if attr == "" {
			continue
		}
		v, err := grow(func(buf []byte) (int, error) { return get(attr, buf) })
		if err == errNoAttr {
			continue // removed meanwhile
		}
		if err != nil {
			if err := xattrError(err); err != nil {
				return nil, err
			}
			continue
		}
		if attrs == nil {
			attrs = map[string]string{}
		}
		attrs[attr] = string(v)
	}
	return attrs, nil
}

// xattrError returns what is wrong, if err is not only that there are no
// attributes to see: on this file system, or for this user. (An unreadable
// file is found when it is opened.)
func xattrError(err error) error {
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return fmt.Errorf("read extended attributes: %w", err)
}

// grow calls f with buffers of growing size until one is large enough.
func grow(f func([]byte) (int, error)) ([]byte, error) {
	for size := 256; ; size *= 4 {
		buf := make([]byte, size)
		n, err := retry(func() (int, error) { return f(buf) })
		if err != unix.ERANGE || size > 1<<26 {
			return buf[:max(n, 0)], err
		}
	}
}
