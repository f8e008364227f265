package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Locks are flock locks: they belong to an open file, so they hold between
// goroutines as well as between processes, and the kernel drops them when a
// process dies.
const (
	shared    = unix.LOCK_SH
	exclusive = unix.LOCK_EX
)

// errLocked says that somebody else holds the lock.
var errLocked = errors.New("locked by another process")

// tryLock takes the lock or returns errLocked at once.
func tryLock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return errLocked
		case err != nil:
			return fmt.Errorf("lock %q: %w", f.Name(), err)
		default:
			return nil
		}
	}
}

// waitLock takes the lock as soon as it is free. It asks again and again
// because a waiting flock could not be ended by ctx.
func waitLock(ctx context.Context, f *os.File, how int) error {
	const longest = 50 * time.Millisecond
	for pause := time.Millisecond; ; pause = min(2*pause, longest) {
		err := tryLock(f, how)
		if !errors.Is(err, errLocked) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// createTemp makes a new file called prefix and 16 hexadecimal digits, and
// keeps it locked while it is open: sweepTemp leaves it alone.
func createTemp(root *os.Root, prefix string) (*os.File, string, error) {
	for range 100 {
		name := prefix + randomHex()
		f, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		if err := tryLock(f, exclusive); err == nil && linked(root, name, f) {
			return f, name, nil
		} else if err != nil && !errors.Is(err, errLocked) {
			// A file system without locks still takes images; only the
			// sweep of what killed writers left is lost there.
			return f, name, nil
		}
		f.Close() // a sweep came between creating and locking
	}
	return nil, "", fmt.Errorf("create temporary file %q: no free name", prefix)
}

// linked says if name still stands for the open file f.
func linked(root *os.Root, name string, f *os.File) bool {
	a, err := root.Lstat(name)
	if err != nil {
		return false
	}
	b, err := f.Stat()
	return err == nil && os.SameFile(a, b)
}

// sweepTemp removes the temporary files in dir with the prefix that no living
// process writes to, and returns their total size.
func sweepTemp(root *os.Root, dir, prefix string, dryRun bool) (n int64, err error) {
	entries, err := fs.ReadDir(root.FS(), dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !isTemp(e.Name(), prefix) {
			continue
		}
		size, err := sweepOne(root, dir+"/"+e.Name(), dryRun)
		if err != nil {
			return n, err
		}
		n += size
	}
	return n, nil
}

// sweepOne removes one temporary file unless it is in use.
func sweepOne(root *os.Root, name string, dryRun bool) (int64, error) {
	f, err := root.OpenFile(name, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, ignore(err, fs.ErrNotExist, fs.ErrPermission)
	}
	defer f.Close()
	if tryLock(f, exclusive) != nil {
		return 0, nil
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if dryRun {
		return info.Size(), nil
	}
	return info.Size(), ignore(root.Remove(name), fs.ErrNotExist)
}

// isTemp says if name is prefix and 16 hexadecimal digits.
func isTemp(name, prefix string) bool {
	return len(name) == len(prefix)+16 && name[:len(prefix)] == prefix && isHex(name[len(prefix):])
}

// ignore returns nil for the errors that do not matter.
func ignore(err error, harmless ...error) error {
	for _, h := range harmless {
		if errors.Is(err, h) {
			return nil
		}
	}
	return err
}
