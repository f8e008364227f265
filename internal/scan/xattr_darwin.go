package scan

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

const errNoAttr = unix.ENOATTR

// entryXattrs returns the extended attributes of the entry of an open folder.
// One that cannot be opened has none: a link, or an unreadable file, which is
// found when it is opened for reading.
func entryXattrs(dirfd int, name string) (map[string]string, error) {
	fd, err := openat(dirfd, name, 0)
	if err == unix.ELOOP || errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return fdXattrs(fd)
}
