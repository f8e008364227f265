package scan

import (
	"os"

	"golang.org/x/sys/unix"
)

// Where a directory entry, as the C library returns it, has its type and name.
const (
	direntType = 20
	direntName = 21
)

// skipIno tells whether a directory entry with this inode number is none.
func skipIno(ino uint64) bool { return ino == 0 }

// noAtime is nothing here: there is no such flag.
const noAtime = 0

// openSearch opens a folder only to open what is in it.
const openSearch = unix.O_RDONLY

// createUnlinked returns a new file in dir that has no name.
func createUnlinked(dir string) (*os.File, error) { return createRemoved(dir) }

// seesTrusted says if this process sees extended attributes of the class
// trusted, which only Linux has.
func seesTrusted() bool { return true }
