package scan_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
)

// marked lists the items of an overlay with their marks.
func marked(t *testing.T, dir string, opts scan.Options) (found []string, l *scan.Listing) {
	t.Helper()
	opts.Overlay, opts.IgnoreFile, opts.TempDir = true, "-", t.TempDir()
	l, err := scan.Open(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	for it, err := range l.Read(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		s := map[scan.Mark]string{scan.NoMark: "", scan.Whiteout: "- ", scan.Covered: "+ "}[it.Mark] + it.Path
		if it.Type == tree.Dir {
			s += "/"
		}
		if it.Opaque {
			s += "!"
		}
		found = append(found, s)
		it.Release()
	}
	return found, l
}

func put(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, n := range names {
		p := filepath.Join(dir, n)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// Whiteouts come where what they hide would, folders are announced, and
// neither is an entry.
func TestOverlayNames(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a", ".wh.b", "b-x", "c/.wh..wh..opq", "c/d", "c/.wh.e", "e/f", ".wh.e", ".wh.z/x", ".wh.", ".wh..wh.plnk", ".wh...", "excluded/x", ".wh.excluded")
	got, l := marked(t, dir, scan.Options{Exclude: []string{"excluded"}})
	want := []string{
		"/", "- .wh.", "- .wh...", "- .wh..wh.plnk", "+ .wh.z", "- .wh.z", "a", "- b", "b-x",
		"+ c", "c/!", "c/d", "- c/e", "+ e", "- e", "e/", "e/f",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	var entries []string
	for e, err := range l.Entries() {
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e.Path)
	}
	if want := []string{"", "a", "b-x", "c", "c/d", "e", "e/f"}; !slices.Equal(entries, want) {
		t.Errorf("entries %q, want %q", entries, want)
	}
	if n := len(l.Skipped()); n != 4 {
		t.Errorf("skipped %v", l.Skipped())
	}
	if totals := l.Totals(); totals.Files != 4 || totals.Dirs != 3 {
		t.Errorf("totals %+v", totals)
	}
}

// The kernel says the same by devices and attributes, of which none is left
// in the entries.
func TestOverlayOfTheKernel(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a", "c/d", "gone")
	if err := unix.Lsetxattr(filepath.Join(dir, "c"), "user.overlay.opaque", []byte("y"), 0); err != nil {
		t.Skipf("set an attribute: %v", err)
	}
	for p, attr := range map[string]string{"gone": "user.overlay.whiteout", "a": "user.overlay.origin", "c/d": "user.mine"} {
		if err := unix.Lsetxattr(filepath.Join(dir, p), attr, []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"/", "a", "+ c", "c/!", "c/d", "- gone"}
	if unix.Mknod(filepath.Join(dir, "device"), unix.S_IFCHR, 0) == nil {
		want = slices.Insert(want, 5, "- device")
	}
	got, l := marked(t, dir, scan.Options{Preserve: true})
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for e, err := range l.Entries() {
		if err != nil {
			t.Fatal(err)
		}
		for k := range e.Xattrs {
			if k != "user.mine" && strings.HasPrefix(k, "user.") {
				t.Errorf("%q has the attribute %s", e.Path, k)
			}
		}
	}
}

// What gives an upper folder away, and what does not.
func TestIsOverlay(t *testing.T) {
	for name, tt := range map[string]struct {
		make func(dir string) error
		want bool
	}{
		"nothing":       {func(string) error { return nil }, false},
		"a whiteout":    {func(dir string) error { return os.WriteFile(dir+"/d/.wh.x", nil, 0o644) }, true},
		"an opaque":     {func(dir string) error { return os.WriteFile(dir+"/d/.wh..wh..opq", nil, 0o644) }, true},
		"an attribute":  {func(dir string) error { return unix.Lsetxattr(dir+"/d", "user.overlay.origin", nil, 0) }, true},
		"a device":      {func(dir string) error { return unix.Mknod(dir+"/d/null", unix.S_IFCHR, 1<<8|3) }, false},
		"a device 0:0":  {func(dir string) error { return unix.Mknod(dir+"/d/x", unix.S_IFCHR, 0) }, true},
		"a pipe":        {func(dir string) error { return unix.Mkfifo(dir+"/d/pipe", 0o600) }, false},
		"a link to one": {func(dir string) error { return os.Symlink("/dev/null", dir+"/d/link") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "d/e/f")
			if err := tt.make(dir); err != nil {
				t.Skip(err)
			}
			if got, err := scan.IsOverlay(t.Context(), dir); err != nil || got != tt.want {
				t.Errorf("got %t, %v", got, err)
			}
		})
	}
}
