package scan_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
)

// rebuild is what a build does with a snapshot: it reads what is not known
// and writes the next one. now is its clock when it starts to read. It
// returns digests and which files were read.
func rebuild(t *testing.T, src, cache string, now time.Time) (sums map[string][32]byte, read map[string]bool) {
	t.Helper()
	sums, read = map[string][32]byte{}, map[string]bool{}
	var c *scan.Cursor
	if s, err := scan.OpenSnapshot(cache, key, options); err == nil {
		defer s.Close()
		c = s.Cursor()
	}
	w := create(t, cache)
	for it, err := range open(t, src, scan.Options{}).Read(t.Context()) {
		check(t, err)
		r := scan.Record{Entry: it.Entry, Stat: it.Stat(), Pack: 1}
		if it.Type == tree.File {
			known, ok := (*scan.Record)(nil), false
			if c != nil {
				known, ok = c.Find(&it.Entry, it.Stat())
			}
			if ok {
				r.SHA256, r.Settled = known.SHA256, known.Settled
			} else {
				read[it.Path] = true
				readRecord(t, it, &r)
				r.Settled = scan.Settled(r.Stat, now)
			}
			sums[it.Path] = r.SHA256
		}
		it.Release()
		add(t, w, r)
	}
	check(t, w.EndPack(samplePack(1)))
	check(t, w.Commit())
	return sums, read
}

func readRecord(t *testing.T, it *scan.Item, r *scan.Record) {
	t.Helper()
	f, err := it.Open()
	check(t, err)
	defer f.Close()
	data, err := io.ReadAll(f)
	check(t, err)
	r.Entry, r.Stat, r.SHA256 = f.Entry(), f.Stat(), sha256.Sum256(data)
}

func TestTimelines(t *testing.T) {
	at := func(src string) func(string) string {
		return func(p string) string { return filepath.Join(src, p) }
	}
	write := func(p, content string) error { // in place, time restored
		err := os.WriteFile(p, []byte(content), 0o644)
		return errors.Join(err, os.Chtimes(p, mtime, mtime))
	}
	tests := []struct {
		name   string
		change func(p func(string) string) error
		read   []string // what the next build must read
	}{
		{"nothing", func(p func(string) string) error { return nil }, nil},
		{"content, size and time kept", func(p func(string) string) error { return write(p("a"), "CONTENT OF A") }, []string{"a"}},
		{"content, in place through a map", func(p func(string) string) error { return writeMapped(p("a"), mtime) }, []string{"a"}},
		{"time only", func(p func(string) string) error { return os.Chtimes(p("a"), mtime, mtime.Add(time.Nanosecond)) }, []string{"a"}},
		{"mode only", func(p func(string) string) error { return os.Chmod(p("a"), 0o600) }, []string{"a"}},
		{"hard link added", func(p func(string) string) error { return os.Link(p("a"), p("a2")) }, []string{"a", "a2"}},
		{"another file renamed over it", func(p func(string) string) error {
			return errors.Join(write(p("new"), "CONTENT OF A"), os.Rename(p("new"), p("a")))
		}, []string{"a"}},
		{"inode reused", func(p func(string) string) error { return reuseInode(p("a"), "CONTENT OF A") }, []string{"a"}},
		{"files swapped", func(p func(string) string) error {
			return errors.Join(os.Rename(p("a"), p("x")), os.Rename(p("b"), p("a")), os.Rename(p("x"), p("b")))
		}, []string{"a", "b"}},
		{"folders swapped", func(p func(string) string) error {
			return errors.Join(os.Rename(p("d"), p("x")), os.Rename(p("e"), p("d")), os.Rename(p("x"), p("e")))
		}, []string{"d/f", "e/f"}},
		{"file becomes a folder", func(p func(string) string) error {
			return errors.Join(os.Remove(p("a")), os.Mkdir(p("a"), 0o755), write(p("a/a"), "x"))
		}, []string{"a/a"}},
		{"files before and behind", func(p func(string) string) error {
			return errors.Join(write(p("!"), "x"), write(p("zz"), "x"), os.Remove(p("b")))
		}, []string{"!", "zz"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, cache := makeTree(t, "a", "b", "c", "d/f", "e/f"), t.TempDir()
			later := time.Now().Add(time.Minute) // so all is settled
			rebuild(t, src, cache, later)
			time.Sleep(20 * time.Millisecond) // some ticks of the file system's clock
			check(t, tt.change(at(src)))
			sums, read := rebuild(t, src, cache, later)
			truth(t, src, sums)
			for _, p := range tt.read {
				if !read[p] {
					t.Errorf("%q was not read", p)
				}
			}
			if len(read) != len(tt.read) {
				t.Errorf("%v were read, not %v", read, tt.read)
			}
			if _, read = rebuild(t, src, cache, later); len(read) > 0 {
				t.Errorf("%v were read again", read)
			}
		})
	}
}

// truth compares digests with the files.
func truth(t *testing.T, src string, sums map[string][32]byte) {
	t.Helper()
	for p, sum := range sums {
		data, err := os.ReadFile(filepath.Join(src, p))
		check(t, err)
		if sum != sha256.Sum256(data) {
			t.Errorf("%q: not the digest of %q", p, data)
		}
	}
}

func writeMapped(p string, at time.Time) error {
	f, err := os.OpenFile(p, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, 1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	m[0] ^= 1
	return errors.Join(unix.Munmap(m), f.Sync(), os.Chtimes(p, at, at))
}

// reuseInode replaces a file by one with the same inode, size and time, if
// the file system gives it that inode.
func reuseInode(p, content string) error {
	was, err := os.Stat(p)
	if err != nil {
		return err
	}
	for range 50 {
		err := errors.Join(os.Remove(p), os.WriteFile(p, []byte(content), 0o644), os.Chtimes(p, mtime, mtime))
		if now, err2 := os.Stat(p); err != nil || err2 != nil || os.SameFile(was, now) {
			return errors.Join(err, err2)
		}
	}
	return nil
}

// Whoever writes right after the build read, within a tick of the clock, is
// found out because such a file is not trusted.
func TestRacyWrites(t *testing.T) {
	src, cache := makeTree(t, "a"), t.TempDir()
	p := filepath.Join(src, "a")
	for i := range 200 {
		sums, read := rebuild(t, src, cache, time.Now())
		if !read["a"] {
			t.Fatal("a file of this moment was trusted")
		}
		truth(t, src, sums)
		check(t, os.WriteFile(p, fmt.Appendf(nil, "content %04d", i), 0o644))
		check(t, os.Chtimes(p, mtime, mtime))
	}
}

// A file from the future is read each time, until the clock is past it.
func TestFutureFiles(t *testing.T) {
	src, cache := makeTree(t, "a"), t.TempDir()
	future := time.Now().Add(24 * time.Hour)
	check(t, os.Chtimes(filepath.Join(src, "a"), future, future))
	for range 2 {
		if _, read := rebuild(t, src, cache, time.Now().Add(time.Hour)); !read["a"] {
			t.Error("it was trusted")
		}
	}
	rebuild(t, src, cache, future.Add(time.Hour))
	if _, read := rebuild(t, src, cache, future.Add(time.Hour)); read["a"] {
		t.Error("it is never trusted")
	}
}

func TestSettled(t *testing.T) {
	now := time.Unix(1_700_000_000, 500)
	old := now.Add(-time.Hour)
	tests := []struct {
		name         string
		mtime, ctime time.Time
		want         bool
	}{
		{"old", old, old, true},
		{"old, time of modification older", old.Add(-time.Hour), old, true},
		{"time of modification set to later than the change", old.Add(time.Minute), old, true},
		{"just changed", old, now, false},
		{"same second", old, now.Truncate(time.Second), false},
		{"one tick of FAT", old, now.Add(-2 * time.Second), false},
		{"beyond it", old, now.Add(-2100 * time.Millisecond), true},
		{"modified just now where changes have no time", now, old, false},
		{"changed in the future", old, now.Add(time.Hour), false},
		{"modified in the future", now.Add(time.Hour), old, false},
		{"no time of change", time.Unix(1_600_000_000, 0), time.Unix(1_600_000_000, 0), false},
		{"whole seconds", time.Unix(1_600_000_000, 0), time.Unix(1_600_000_001, 0), true},
		{"at the epoch", time.Unix(0, 0), time.Unix(0, 0), false},
	}
	for _, tt := range tests {
		if got := scan.Settled(scan.Stat{ModTime: tt.mtime, ChangeTime: tt.ctime}, now); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// Every part of the state counts.
func TestTrusts(t *testing.T) {
	good := sampleRecord(1, 1)
	tests := map[string]func(r *scan.Record){
		"size":          func(r *scan.Record) { r.Size++ },
		"type":          func(r *scan.Record) { r.Type = tree.Symlink },
		"device":        func(r *scan.Record) { r.Stat.Dev++ },
		"inode":         func(r *scan.Record) { r.Stat.Ino++ },
		"modification":  func(r *scan.Record) { r.Stat.ModTime = r.Stat.ModTime.Add(1) },
		"change":        func(r *scan.Record) { r.Stat.ChangeTime = r.Stat.ChangeTime.Add(-1) },
		"was racy":      func(r *scan.Record) { r.Settled = false },
		"never had sum": func(r *scan.Record) { r.SHA256 = [32]byte{} },
	}
	if !good.Trusts(&good.Entry, good.Stat) {
		t.Error("the same is not trusted")
	}
	for name, change := range tests {
		r := good
		change(&r)
		if r.Trusts(&good.Entry, good.Stat) {
			t.Errorf("%s: trusted", name)
		}
	}
}
