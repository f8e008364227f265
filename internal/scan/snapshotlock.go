package scan

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A snapshot that is being written is called KEY.partial- and 16 hexadecimal
// digits, and its writer holds a lock on it, which the kernel drops when the
// writer dies: so each writer has a file of its own, and the next build knows
// those that nobody writes any more.
const (
	partialInfix = ".partial-"
	randomDigits = 16
)

// staleAfter is the age at which a partial snapshot that nobody came back for
// is removed.
const staleAfter = 30 * 24 * time.Hour

// forgottenAfter is the age at which the complete snapshot of a source that
// nobody built again is removed.
const forgottenAfter = 365 * 24 * time.Hour

// partialOf returns the key of a partial snapshot, "" if name is none.
func partialOf(name string) string {
	key, digits, ok := strings.Cut(name, partialInfix)
	if !ok || len(digits) != randomDigits || strings.Trim(digits, "0123456789abcdef") != "" {
		return ""
	}
	return key
}

// A lockState says if anybody writes to a file.
type lockState int

const (
	free lockState = iota
	busy
	unknown // the file system has no locks
)

// tryLock takes a lock on f if it is free.
func tryLock(f *os.File, how int) lockState {
	_, err := retry(func() (int, error) { return 0, unix.Flock(int(f.Fd()), how|unix.LOCK_NB) })
	switch {
	case err == nil:
		return free
	case errors.Is(err, unix.EWOULDBLOCK):
		return busy
	}
	return unknown
}

// createPartial makes a file for a new partial snapshot and locks it.
func createPartial(root *os.Root, key string) (*os.File, string, error) {
	for range 100 {
		var random [randomDigits / 2]byte
		rand.Read(random[:])
		name := key + partialInfix + hex.EncodeToString(random[:])
		f, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		if tryLock(f, unix.LOCK_EX) != busy && isStill(root, name, f) {
			return f, name, nil
		}
		f.Close() // somebody swept between creating and locking
	}
	return nil, "", fmt.Errorf("no free name for %q", key+partialInfix)
}

// isStill tells whether name still is the open file.
func isStill(root *os.Root, name string, f *os.File) bool {
	a, err := root.Lstat(name)
	if err != nil {
		return false
	}
	b, err := f.Stat()
	return err == nil && os.SameFile(a, b)
}

// openOwn opens a file for reading if it is a regular one and the user's own:
// what others put there is not to be believed.
func openOwn(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	if st := (unix.Stat_t{}); !info.Mode().IsRegular() || fstat(int(f.Fd()), &st) != nil || int(st.Uid) != os.Geteuid() {
		f.Close()
		return nil, nil, errDamaged
	}
	return f, info, nil
}

// partials returns the names of the partial snapshots of a key; of all if key
// is "".
func partials(root *os.Root, key string) []string {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if k := partialOf(e.Name()); k != "" && (key == "" || k == key) {
			names = append(names, e.Name())
		}
	}
	return names
}

// sweep removes partial snapshots that nobody writes and that are older than
// age: those of a key, or of all if key is "". It is a courtesy, so errors do
// not matter.
func sweep(root *os.Root, key string, age time.Duration) {
	for _, name := range partials(root, key) {
		if f, info, err := openOwn(root, name); err == nil {
			old := time.Since(info.ModTime())
			if s := tryLock(f, unix.LOCK_EX); s == free && (age == 0 || old >= age) || s == unknown && old >= staleAfter {
				root.Remove(name)
			}
			f.Close()
		}
	}
}

// sweepForgotten removes complete snapshots of sources that have not been
// built for long, such as those that are gone. Errors do not matter.
func sweepForgotten(root *os.Root) {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || checkKey(e.Name()) != nil || !info.Mode().IsRegular() || time.Since(info.ModTime()) < forgottenAfter {
			continue
		}
		if f, _, err := openOwn(root, e.Name()); err == nil {
			f.Close()
			root.Remove(e.Name())
		}
	}
}
