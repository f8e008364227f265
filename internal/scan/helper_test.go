package scan_test

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
)

// mtime is the time of every entry that makeTree makes.
var mtime = time.Unix(1_500_000_000, 123_456_789).UTC()

// makeTree makes a folder with files (and "x/" folders, "x -> y" links, "x
// => y" hard links), and sets all times.
func makeTree(t *testing.T, entries ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, e := range entries {
		makeEntry(t, dir, e)
	}
	setTimes(t, dir)
	return dir
}

func makeEntry(t *testing.T, dir, e string) {
	t.Helper()
	if p, target, ok := strings.Cut(e, " -> "); ok {
		makeParent(t, dir, p)
		check(t, os.Symlink(target, filepath.Join(dir, p)))
		return
	}
	if p, target, ok := strings.Cut(e, " => "); ok {
		makeParent(t, dir, p)
		check(t, os.Link(filepath.Join(dir, target), filepath.Join(dir, p)))
		return
	}
	if strings.HasSuffix(e, "/") {
		check(t, os.MkdirAll(filepath.Join(dir, e), 0o755))
		return
	}
	makeParent(t, dir, e)
	check(t, os.WriteFile(filepath.Join(dir, e), []byte("content of "+e), 0o644))
}

func makeParent(t *testing.T, dir, p string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, p)), 0o755))
}

func setTimes(t *testing.T, dir string) {
	t.Helper()
	var paths []string
	check(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		paths = append(paths, p)
		return err
	}))
	for _, p := range paths {
		setTime(t, p, mtime)
	}
}

func setTime(t *testing.T, p string, at time.Time) {
	t.Helper()
	ts := unix.NsecToTimespec(at.UnixNano())
	check(t, unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, src string, opts scan.Options) *scan.Listing {
	t.Helper()
	l, err := scan.Open(t.Context(), src, opts)
	check(t, err)
	t.Cleanup(func() { check(t, l.Close()) })
	return l
}

func entries(t *testing.T, l *scan.Listing) []tree.Entry {
	t.Helper()
	var all []tree.Entry
	for e, err := range l.Entries() {
		check(t, err)
		all = append(all, *e)
	}
	return all
}

func paths(t *testing.T, l *scan.Listing) []string {
	t.Helper()
	var all []string
	for _, e := range entries(t, l) {
		p := e.Path
		if e.Type == tree.Dir {
			p += "/"
		}
		all = append(all, p)
	}
	return all
}

// find returns the entry at p.
func find(t *testing.T, l *scan.Listing, p string) tree.Entry {
	t.Helper()
	for _, e := range entries(t, l) {
		if e.Path == p {
			return e
		}
	}
	t.Fatalf("no entry %q", p)
	return tree.Entry{}
}

// items returns all items, to be released by the test's end.
func items(t *testing.T, l *scan.Listing) map[string]*scan.Item {
	t.Helper()
	all := map[string]*scan.Item{}
	for it, err := range l.Read(t.Context()) {
		check(t, err)
		all[it.Path] = it
		t.Cleanup(it.Release)
	}
	return all
}

func read(t *testing.T, it *scan.Item) string {
	t.Helper()
	f, err := it.Open()
	check(t, err)
	defer f.Close()
	data, err := io.ReadAll(f)
	check(t, err)
	return string(data)
}

func makeAt(t *testing.T, dirfd int, name, content string) {
	t.Helper()
	fd, err := unix.Openat(dirfd, name, unix.O_WRONLY|unix.O_CREAT, 0o644)
	check(t, err)
	_, err = unix.Write(fd, []byte(content))
	check(t, err)
	check(t, unix.Close(fd))
}

func openFiles(t *testing.T) int {
	t.Helper()
	n := 0
	for fd := range 1024 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	return n
}
