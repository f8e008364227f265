package scan_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/data-containers/cdb/internal/scan"
)

// TestReplacedBeforeRead changes the tree between the scan and the read: what
// is opened is never anything but a file in the folder that was scanned.
func TestReplacedBeforeRead(t *testing.T) {
	outside := makeTree(t, "file", "sub/file")
	tests := []struct {
		name   string
		change func(src string) error
	}{
		{"file vanishes", func(src string) error { return os.Remove(src + "/d/sub/file") }},
		{"folder vanishes", func(src string) error { return os.RemoveAll(src + "/d/sub") }},
		{"all vanishes", os.RemoveAll},
		{"file becomes a link", func(src string) error {
			return errors.Join(os.Remove(src+"/d/sub/file"), os.Symlink(outside+"/file", src+"/d/sub/file"))
		}},
		{"folder becomes a link", func(src string) error {
			return errors.Join(os.RemoveAll(src+"/d/sub"), os.Symlink(outside, src+"/d/sub"))
		}},
		{"folder above becomes a link", func(src string) error {
			return errors.Join(os.RemoveAll(src+"/d"), os.Symlink(outside, src+"/d"))
		}},
		{"file becomes a pipe", func(src string) error {
			return errors.Join(os.Remove(src+"/d/sub/file"), unix.Mkfifo(src+"/d/sub/file", 0o644))
		}},
		{"file becomes a folder", func(src string) error {
			return errors.Join(os.Remove(src+"/d/sub/file"), os.Mkdir(src+"/d/sub/file", 0o755))
		}},
		{"folder becomes a file", func(src string) error {
			return errors.Join(os.RemoveAll(src+"/d/sub"), os.WriteFile(src+"/d/sub", nil, 0o644))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			src := filepath.Join(t.TempDir(), "src")
			check(t, os.Rename(makeTree(t, "d/sub/file"), src))
			l := open(t, src, scan.Options{})
			check(t, test.change(src))
			f, err := items(t, l)["d/sub/file"].Open()
			if err == nil {
				f.Close()
				t.Fatal("opened")
			}
			if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), `open "d/sub/file": `) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestReplacedAfterItsItemWasRead(t *testing.T) {
	src := makeTree(t, "d/sub/file")
	outside := makeTree(t, "file")
	it := items(t, open(t, src, scan.Options{}))["d/sub/file"]
	check(t, os.Rename(src+"/d/sub", src+"/moved"))
	check(t, os.Symlink(outside, src+"/d/sub"))
	if got := read(t, it); got != "content of d/sub/file" {
		t.Errorf("read %q", got)
	}
}

func TestFileHasTheAttributesAtOpen(t *testing.T) {
	src := makeTree(t, "file")
	l := open(t, src, scan.Options{})
	p := filepath.Join(src, "file")
	check(t, os.WriteFile(p, []byte("longer than it was"), 0o644))
	check(t, os.Chmod(p, 0o755))
	setTime(t, p, time.Unix(42, 7))
	it := items(t, l)["file"]
	f, err := it.Open()
	check(t, err)
	defer f.Close()
	e := f.Entry()
	if e.Path != "file" || e.Size != 18 || e.Mode != 0o755 || !e.ModTime.Equal(time.Unix(42, 0)) {
		t.Errorf("opened %+v", e)
	}
	if it.Size != int64(len("content of file")) {
		t.Errorf("scanned %+v", it.Entry)
	}
	if s := f.Stat(); !s.ModTime.Equal(time.Unix(42, 7)) || s.Ino != it.Stat().Ino || s.ChangeTime.Equal(it.Stat().ChangeTime) {
		t.Errorf("state %+v, scanned %+v", s, it.Stat())
	}
}

func TestChanged(t *testing.T) {
	tests := []struct {
		name   string
		change func(p string) error
		want   bool
	}{
		{"nothing", func(string) error { return nil }, false},
		{"appended", func(p string) error { return appendTo(p, "more") }, true},
		{"truncated", func(p string) error { return os.Truncate(p, 3) }, true},
		{"overwritten in secret", func(p string) error {
			fi, err := os.Stat(p)
			if err == nil {
				err = os.WriteFile(p, []byte("CONTENT OF FILE"), 0o644)
			}
			return errors.Join(err, os.Chtimes(p, fi.ModTime(), fi.ModTime()))
		}, true},
		{"mode", func(p string) error { return os.Chmod(p, 0o600) }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			src := makeTree(t, "file")
			f, err := items(t, open(t, src, scan.Options{}))["file"].Open()
			check(t, err)
			defer f.Close()
			_, err = io.Copy(io.Discard, f)
			check(t, err)
			time.Sleep(10 * time.Millisecond) // change times tick in jiffies
			check(t, test.change(filepath.Join(src, "file")))
			got, err := f.Changed()
			check(t, err)
			if got != test.want {
				t.Errorf("changed is %t", got)
			}
		})
	}
}

func appendTo(p, s string) error {
	f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(s)
	return errors.Join(err, f.Close())
}

func TestItemsOutliveTheIteration(t *testing.T) {
	src := makeTree(t, "a/1", "a/2", "b/c/3", "4", "l -> 4")
	before := openFiles(t)
	l, err := scan.Open(t.Context(), src, scan.Options{})
	check(t, err)
	var all []*scan.Item
	for it, err := range l.Read(t.Context()) {
		check(t, err)
		all = append(all, it)
	}
	check(t, l.Close())
	var wg sync.WaitGroup
	for _, it := range all {
		wg.Go(func() {
			defer it.Release()
			for range 2 {
				f, err := it.Open()
				if it.Link == "" && it.Size > 0 {
					if err != nil {
						t.Error(err)
						continue
					}
					check := make([]byte, 100)
					n, err := f.Read(check)
					if got := string(check[:n]); err != nil || got != "content of "+it.Path {
						t.Errorf("%q holds %q, %v", it.Path, got, err)
					}
					f.Close()
				} else if err == nil {
					t.Errorf("opened the %s %q", it.Type, it.Path)
				}
			}
		})
	}
	wg.Wait()
	if n := openFiles(t); n != before {
		t.Errorf("%d descriptors left open", n-before)
	}
	if _, err := all[0].Open(); err == nil {
		t.Error("a released item opens")
	}
	for _, err := range l.Entries() {
		if err == nil {
			t.Error("a closed listing has entries")
		}
	}
}

func TestStoppedIterationsLeaveNothingOpen(t *testing.T) {
	l := open(t, makeTree(t, "a/b/c/d/e", "f"), scan.Options{})
	before := openFiles(t)
	for it, err := range l.Read(t.Context()) {
		check(t, err)
		it.Release()
		if it.Path == "a/b/c/d/e" {
			break
		}
	}
	for range l.Entries() {
		break
	}
	if n := openFiles(t); n != before {
		t.Errorf("%d descriptors left open", n-before)
	}
}

func TestClosedFile(t *testing.T) {
	f, err := items(t, open(t, makeTree(t, "f"), scan.Options{}))["f"].Open()
	check(t, err)
	check(t, f.Close())
	_, readErr := f.Read(make([]byte, 1))
	_, changedErr := f.Changed()
	for _, err := range []error{readErr, changedErr, f.Close()} {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("error %v", err)
		}
	}
}

// TestScanOfAChangingTree makes, moves and removes entries all the time: a
// scan must end with a listing in order.
func TestScanOfAChangingTree(t *testing.T) {
	src := makeTree(t, "a/b/c", "a/d", "e/f", "g")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			os.Rename(src+"/a", src+"/e/a")
			os.Rename(src+"/g", src+"/h")
			os.Mkdir(src+"/g", 0o755)
			os.WriteFile(src+"/g/x", nil, 0o644)
			os.RemoveAll(src + "/g")
			os.Symlink("/etc", src+"/a")
			os.Remove(src + "/a")
			os.Rename(src+"/e/a", src+"/a")
			os.Rename(src+"/h", src+"/g")
		}
	})
	defer wg.Wait()
	defer close(stop)
	for range 200 {
		l, err := scan.Open(t.Context(), src, scan.Options{})
		check(t, err)
		prev := ""
		for it, err := range l.Read(t.Context()) {
			check(t, err)
			if it.Type.String() != "dir" {
				if it.Path <= prev {
					t.Errorf("%q after %q", it.Path, prev)
				}
				prev = it.Path
			}
			if f, err := it.Open(); err == nil {
				f.Close()
			}
			if strings.Contains(it.Path, "passwd") {
				t.Errorf("followed a link to %q", it.Path)
			}
			it.Release()
		}
		check(t, l.Close())
	}
}
