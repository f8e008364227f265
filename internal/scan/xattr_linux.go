package scan

import (
	"errors"
	"io/fs"
	"strconv"

	"golang.org/x/sys/unix"
)

const errNoAttr = unix.ENODATA

// entryXattrs returns the extended attributes of the entry of an open folder,
// without opening it: it may be a link or unreadable. There is no system call
// for that before Linux 6.13, but a path that begins at the descriptor.
func entryXattrs(dirfd int, name string) (map[string]string, error) {
	dir := "/proc/self/fd/" + strconv.Itoa(dirfd)
	p := dir + "/" + name
	attrs, err := readXattrs(
		func(buf []byte) (int, error) { return unix.Llistxattr(p, buf) },
		func(attr string, buf []byte) (int, error) { return unix.Lgetxattr(p, attr, buf) },
	)
	if errors.Is(err, fs.ErrNotExist) && unix.Access(dir, unix.F_OK) != nil {
		return nil, errors.New("read extended attributes: /proc is not mounted")
	}
	return attrs, err
}
