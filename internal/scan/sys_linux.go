package scan

import (
	"os"

	"golang.org/x/sys/unix"
)

// Where a directory entry, as the kernel returns it, has its type and name.
const (
	direntType = 18
	direntName = 19
)

// skipIno tells whether a directory entry with this inode number is none.
func skipIno(uint64) bool { return false }

// noAtime asks the kernel not to note that the file was read. Only owners of
// a file may.
const noAtime = unix.O_NOATIME

// openSearch opens a folder only to open what is in it.
const openSearch = unix.O_PATH

// createUnlinked returns a new file in dir that has no name. It does not
// touch the folder (which may be part of what is scanned) where the file
// system allows for that.
func createUnlinked(dir string) (*os.File, error) {
	fd, err := retry(func() (int, error) {
		return unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	})
	if err == nil {
		return os.NewFile(uintptr(fd), dir), nil
	}
	return createRemoved(dir)
}

// seesTrusted says if this process sees extended attributes of the class
// trusted.
func seesTrusted() bool {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}
