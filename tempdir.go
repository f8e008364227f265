package cdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// tempPrefix begins the names of folders that builds keep their catalogs in.
const tempPrefix = "cdb-build-"

// A tempDir is a temporary folder that is locked while it is in use, so that
// later builds can tell it from one that a killed build has left.
type tempDir struct {
	path string
	lock *os.File
}

// makeTempDir makes a temporary folder in dir, and removes those that killed
// builds of the same user have left there.
func makeTempDir(dir string) (*tempDir, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	sweepTempDirs(dir)
	for range 100 {
		path, err := os.MkdirTemp(dir, tempPrefix)
		if err != nil {
			return nil, fmt.Errorf("make temporary folder: %w", err)
		}
		lock, busy, err := lockDir(path)
		if err == nil && !busy && stillIs(path, lock) {
			return &tempDir{path, lock}, nil
		}
		if lock != nil {
			lock.Close()
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			os.RemoveAll(path)
			return nil, fmt.Errorf("make temporary folder: %w", err)
		}
		// Another build swept between making and locking.
	}
	return nil, fmt.Errorf("make temporary folder in %q: others remove it each time", dir)
}

// remove removes the folder with all that is in it.
func (d *tempDir) remove() error {
	return errors.Join(removeAll(d.path), d.lock.Close())
}

// removeAll removes a folder with all that is in it, also what was unpacked
// with modes that forbid it.
func removeAll(path string) error {
	err := os.RemoveAll(path)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && err == nil {
			// WalkDir reads a folder after it came by.
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	return os.RemoveAll(path)
}

// lockDir opens a folder and locks it, if the file system can: busy says that
// somebody else has it.
func lockDir(path string) (f *os.File, busy bool, err error) {
	f, err = os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, false, err
	}
	return f, errors.Is(tryLockDir(f), unix.EWOULDBLOCK), nil
}

// tryLockDir locks an open folder if nobody else has it.
func tryLockDir(f *os.File) error {
	for {
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// stillIs says if path is the open folder.
func stillIs(path string, f *os.File) bool {
	a, err := os.Lstat(path)
	if err != nil {
		return false
	}
	b, err := f.Stat()
	return err == nil && os.SameFile(a, b)
}

// sweepTempDirs removes what killed builds have left in dir. It is a courtesy
// to the disk, so errors do not matter.
func sweepTempDirs(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), tempPrefix)
		if !ok || number == "" || strings.Trim(number, "0123456789") != "" || !e.IsDir() {
			continue
		}
		sweepTempDir(filepath.Join(dir, e.Name()))
	}
}

// sweepTempDir removes one folder if it is the user's own and nobody uses it.
func sweepTempDir(path string) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
		return
	}
	if tryLockDir(f) == nil && stillIs(path, f) {
		_ = removeAll(path)
	}
}
