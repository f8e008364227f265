package cdb

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/data-containers/cdb/internal/tree"
)

// A style is a way to say in a folder of changes that something is gone.
type style struct {
	whiteout func(dir, name string) error
	opaque   func(dir string) error
}

func inNames() style {
	return style{
		func(dir, name string) error { return os.WriteFile(filepath.Join(dir, ".wh."+name), nil, 0o644) },
		func(dir string) error { return os.WriteFile(filepath.Join(dir, ".wh..wh..opq"), nil, 0o644) },
	}
}

func inKernel() style {
	return style{
		func(dir, name string) error { return unix.Mknod(filepath.Join(dir, name), unix.S_IFCHR, 0) },
		func(dir string) error { return unix.Lsetxattr(dir, "trusted.overlay.opaque", []byte("y"), 0) },
	}
}

func inXattrs() style {
	return style{
		func(dir, name string) error {
			p := filepath.Join(dir, name)
			if err := os.WriteFile(p, nil, 0o644); err != nil {
				return err
			}
			return unix.Lsetxattr(p, "trusted.overlay.whiteout", []byte("y"), 0)
		},
		func(dir string) error { return unix.Lsetxattr(dir, "user.overlay.opaque", []byte("y"), 0) },
	}
}

// An upperWriter writes the folder of changes that lead from one folder to
// another.
type upperWriter struct {
	t           *testing.T
	rnd         *rand.Rand
	style       style
	before, now string
	upper       string
}

func list(t *testing.T, dir string) map[string]fs.FileInfo {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	found := map[string]fs.FileInfo{}
	for _, e := range entries {
		if found[e.Name()], err = e.Info(); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// folder writes the changes of the folder rel; opaque hides what was there.
func (w *upperWriter) folder(rel string, opaque bool) {
	w.t.Helper()
	dir := filepath.Join(w.upper, rel)
	check := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	check(os.MkdirAll(dir, 0o755))
	was, is := list(w.t, filepath.Join(w.before, rel)), list(w.t, filepath.Join(w.now, rel))
	if opaque {
		check(w.style.opaque(dir))
		was = nil
	}
	for name, info := range is {
		old, p := was[name], filepath.Join(rel, name)
		from, to := filepath.Join(w.now, p), filepath.Join(w.upper, p)
		switch {
		case info.IsDir():
			if old != nil && !old.IsDir() || w.rnd.IntN(4) == 0 {
				w.folder(p, true)
			} else {
				w.folder(p, opaque)
			}
			continue
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(from)
			check(err)
			check(os.Symlink(target, to))
		default:
			if old != nil && old.Mode() == info.Mode() && old.Size() == info.Size() && old.ModTime().Equal(info.ModTime()) {
				continue
			}
			data, err := os.ReadFile(from)
			check(err)
			check(os.WriteFile(to, data, info.Mode()))
		}
		stamp := []unix.Timespec{unix.NsecToTimespec(info.ModTime().UnixNano()), unix.NsecToTimespec(info.ModTime().UnixNano())}
		check(unix.UtimesNanoAt(unix.AT_FDCWD, to, stamp, unix.AT_SYMLINK_NOFOLLOW))
	}
	for name := range was {
		if is[name] == nil {
			check(w.style.whiteout(dir, name))
		}
	}
	info, err := os.Stat(filepath.Join(w.now, rel))
	check(err)
	check(os.Chtimes(dir, info.ModTime(), info.ModTime()))
}

// Through many versions, committed from nothing but the changes, what is
// mounted is what the whole folder became.
func TestCommitChanges(t *testing.T) {
	styles := map[string]style{"names": inNames(), "kernel": inKernel(), "xattrs": inXattrs()}
	for name, style := range styles {
		t.Run(name, func(t *testing.T) {
			if name != "names" && os.Geteuid() != 0 {
				t.Skip("only root makes whiteouts as the kernel does")
			}
			rnd := rand.New(rand.NewPCG(uint64(len(name)), 3))
			dir := t.TempDir()
			opts := storeOptions(t, "set:v0")
			evolve(t, rnd, dir, 80)
			if _, err := Build(t.Context(), dir, opts); err != nil {
				t.Fatal(err)
			}
			upper := true
			for v := 1; v < 20; v++ {
				before := filepath.Join(t.TempDir(), "before")
				if err := os.CopyFS(before, os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
				copyTimes(t, dir, before)
				evolve(t, rnd, dir, 1+rnd.IntN(12))
				changes := t.TempDir()
				w := &upperWriter{t: t, rnd: rnd, style: style, before: before, now: dir, upper: changes}
				w.folder("", rnd.IntN(8) == 0)
				opts.Name, opts.Parent = fmt.Sprintf("set:v%d", v), fmt.Sprintf("set:v%d", v-1)
				res, err := Commit(t.Context(), changes, CommitOptions{BuildOptions: opts, Upper: &upper})
				if err != nil {
					t.Fatal(err)
				}
				checkVersion(t, opts, dir, res)
				if t.Failed() {
					t.Fatalf("version %d", v)
				}
			}
			checkStore(t, opts)
		})
	}
}

// copyTimes gives what is in the folder to the times of what is in from.
func copyTimes(t *testing.T, from, to string) {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(from, func(p string, _ fs.DirEntry, err error) error {
		paths = append(paths, p)
		return err
	})
	for i := len(paths) - 1; i >= 0 && err == nil; i-- {
		var info fs.FileInfo
		if info, err = os.Lstat(paths[i]); err == nil {
			stamp := unix.NsecToTimespec(info.ModTime().UnixNano())
			p := filepath.Join(to, strings.TrimPrefix(paths[i], from))
			err = unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{stamp, stamp}, unix.AT_SYMLINK_NOFOLLOW)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// checkStore verifies the whole store.
func checkStore(t *testing.T, opts BuildOptions) {
	t.Helper()
	_, err := VerifyStore(t.Context(), "", opts.Places, VerifyOptions{Report: func(f Finding) error {
		t.Errorf("%s %s: %v", f.Kind, f.What, f.Why)
		return nil
	}})
	if err != nil {
		t.Error(err)
	}
}

// mountOverlay mounts an overlay over lower and returns the upper folder and
// the merged one.
func mountOverlay(t *testing.T, lower, options string) (upper, merged string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root mounts")
	}
	dir := t.TempDir()
	// Overlays on overlays, as in containers, are not everywhere.
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("mount tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	upper, merged = dir+"/upper", dir+"/merged"
	for _, d := range []string{upper, merged, dir + "/work"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s/work", lower, upper, dir)
	if options != "" {
		data += "," + options
	}
	if err := unix.Mount("overlay", merged, "overlay", 0, data); err != nil {
		t.Skipf("mount overlay: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(merged, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return upper, merged
}

// What the kernel writes into the upper folder becomes what it shows in the
// mounted one.
func TestCommitMountedOverlay(t *testing.T) {
	lower := writeTree(t, map[string][]byte{
		"edit": noise(100), "append": noise(2 << 20), "delete": noise(3), "chmod": noise(4), "keep": noise(5),
		"gone/a": noise(6), "gone/b/c": noise(7), "again/a": noise(8), "again/b": noise(9), "again-/x": noise(1), "again.x": noise(2),
		"dir-to-file/a": noise(10), "file-to-dir": noise(11), "file-to-dir-x": noise(1), "move/a": noise(12), "move/b/c": noise(13), "to-link": noise(14),
	})
	opts := storeOptions(t, "set:v1")
	if _, err := Build(t.Context(), lower, opts); err != nil {
		t.Fatal(err)
	}
	// The lower folder is what a user has: an export.
	out := t.TempDir()
	exportTo(t, "set:v1", out, opts)
	upper, m := mountOverlay(t, out, "redirect_dir=off,metacopy=off")
	appendTo := func(p string) error {
		f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteString("more")
		return err
	}
	for i, step := range []func() error{
		func() error { return os.WriteFile(m+"/edit", []byte("edited"), 0o644) },
		func() error { return appendTo(m + "/append") },
		func() error { return os.Remove(m + "/delete") },
		func() error { return os.Chmod(m+"/chmod", 0o755) },
		func() error { return os.RemoveAll(m + "/gone") },
		func() error { return os.RemoveAll(m + "/again") },
		func() error { return os.Mkdir(m+"/again", 0o755) },
		func() error { return os.WriteFile(m+"/again/b", []byte("b again"), 0o644) },
		func() error { return os.RemoveAll(m + "/dir-to-file") },
		func() error { return os.WriteFile(m+"/dir-to-file", nil, 0o644) },
		func() error { return os.Remove(m + "/file-to-dir") },
		func() error { return os.MkdirAll(m+"/file-to-dir/new", 0o755) },
		func() error { return os.Rename(m+"/keep", m+"/kept") },
		func() error { return os.CopyFS(m+"/moved", os.DirFS(m+"/move")) }, // as mv does without redirects
		func() error { return os.RemoveAll(m + "/move") },
		func() error { return os.Remove(m + "/to-link") },
		func() error { return os.Symlink("edit", m+"/to-link") },
		func() error { return os.Symlink("nowhere", m+"/link") },
		func() error { return os.Link(m+"/edit", m+"/hard") },
		func() error { return os.Chtimes(m+"/again-/x", time.Unix(1e9, 0), time.Unix(1e9, 0)) },
	} {
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	if err := os.Rename(m+"/again-", m+"/renamed"); err == nil {
		t.Error("the mount redirects folders")
	}
	opts.Name, opts.Message = "set:v2", "through a mount"
	res, err := Commit(t.Context(), upper, CommitOptions{BuildOptions: opts})
	if err != nil {
		t.Fatal(err)
	}
	checkVersion(t, opts, m, res)
	// The mounted folder as a complete one is the same version.
	opts.Name, opts.Parent = "other:v2", "set:v1"
	whole, err := Commit(t.Context(), m, CommitOptions{BuildOptions: opts})
	if err != nil {
		t.Fatal(err)
	}
	checkVersion(t, opts, m, whole)
	if whole.Dataset.Digest != res.Dataset.Digest || !whole.Dataset.Created.Equal(res.Dataset.Created) {
		t.Errorf("of the changes %+v, of the whole %+v", res.Dataset, whole.Dataset)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for v := range 10 {
		evolve(t, rnd, m, 12)
		opts.Name = fmt.Sprintf("set:r%d", v)
		res, err := Commit(t.Context(), upper, CommitOptions{BuildOptions: opts})
		if err != nil {
			t.Fatal(err)
		}
		checkVersion(t, opts, m, res)
	}
	checkStore(t, opts)
}

func exportTo(t *testing.T, ref, dir string, opts BuildOptions) {
	t.Helper()
	c, err := Open(t.Context(), ref, opts.Places)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Export(t.Context(), dir, ExportOptions{}); err != nil {
		t.Fatal(err)
	}
}

// A hard link outlives the file that it was a link of, and the other links
// stay links.
func TestCommitHardLinks(t *testing.T) {
	for name, change := range map[string]func(upper string) error{
		"removed":             func(upper string) error { return os.WriteFile(upper+"/.wh.d", nil, 0o644) },
		"changed":             func(upper string) error { return os.WriteFile(upper+"/d/a", []byte("new"), 0o644) },
		"in an opaque folder": func(upper string) error { return os.WriteFile(upper+"/d/.wh..wh..opq", nil, 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			content := noise(3000)
			dir := writeTree(t, map[string][]byte{"d/a": content, "other": noise(10)})
			for _, link := range []string{"e", "f", "g"} {
				if err := os.Link(dir+"/d/a", dir+"/"+link); err != nil {
					t.Fatal(err)
				}
			}
			opts := storeOptions(t, "set:v1")
			if _, err := Build(t.Context(), dir, opts); err != nil {
				t.Fatal(err)
			}
			upper := t.TempDir()
			if name != "removed" {
				if err := os.Mkdir(upper+"/d", 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := change(upper); err != nil {
				t.Fatal(err)
			}
			opts.Name = "set:v2"
			yes := true
			res, err := Commit(t.Context(), upper, CommitOptions{BuildOptions: opts, Upper: &yes})
			if err != nil {
				t.Fatal(err)
			}
			want := map[string][]byte{"e": content, "f": content, "g": content, "other": noise(10)}
			if name == "changed" {
				want["d/a"] = []byte("new")
			}
			checkContents(t, res.Ref, "", want, opts.Places)
			c, err := Open(t.Context(), res.Ref, opts.Places)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			links := map[string]string{}
			for e, err := range c.Catalog().Entries(t.Context(), "") {
				if err != nil {
					t.Fatal(err)
				}
				if e.Type == tree.File && e.Link != "" {
					links[e.Path] = e.Link
				}
			}
			if diff := cmp.Diff(map[string]string{"f": "e", "g": "e"}, links); diff != "" {
				t.Error(diff)
			}
			checkStore(t, opts)
		})
	}
}

// A folder of changes that does not hold all of them is refused, with what to
// do about it; so is one that may be two things.
func TestCommitRefuses(t *testing.T) {
	dir := writeTree(t, map[string][]byte{"a": noise(1), "b/c": noise(2)})
	opts := storeOptions(t, "set:v1")
	if _, err := Build(t.Context(), dir, opts); err != nil {
		t.Fatal(err)
	}
	yes := true
	for name, tt := range map[string]struct {
		make   func(upper string) error
		change func(*CommitOptions)
		want   string
	}{
		"a redirect": {func(u string) error {
			return setxattr(u+"/moved", "user.overlay.redirect", "b")
		}, nil, "redirect_dir=off"},
		"a metacopy": {func(u string) error {
			if err := os.WriteFile(u+"/a", nil, 0o644); err != nil {
				return err
			}
			return setxattr(u+"/a", "user.overlay.metacopy", "")
		}, func(o *CommitOptions) { o.Upper = &yes }, "metacopy=off"},
		"a root or not":    {func(u string) error { return os.WriteFile(u+"/data/.wh.a", nil, 0o644) }, nil, "--root"},
		"no data":          {func(u string) error { return nil }, func(o *CommitOptions) { o.Root = &yes }, "nothing in it is below /data"},
		"data is a file":   {func(u string) error { return os.WriteFile(u+"/data", nil, 0o644) }, func(o *CommitOptions) { o.Root = &yes }, "take away /data"},
		"no earlier image": {func(u string) error { return nil }, func(o *CommitOptions) { o.Name = "new" }, "--parent"},
	} {
		t.Run(name, func(t *testing.T) {
			upper := t.TempDir()
			if name == "a root or not" {
				if err := os.Mkdir(upper+"/data", 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := tt.make(upper); err != nil {
				t.Skip(err)
			}
			o := CommitOptions{BuildOptions: opts}
			o.Name = "set:v2"
			if tt.change != nil {
				tt.change(&o)
			}
			_, err := Commit(t.Context(), upper, o)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// setxattr makes the folder p, unless something is there, and gives it an
// attribute.
func setxattr(p, name, value string) error {
	if err := os.Mkdir(p, 0o755); err != nil && !os.IsExist(err) {
		return err
	}
	return unix.Lsetxattr(p, name, []byte(value), 0)
}

// Changes of the root of an image: only those of the data count.
func TestCommitRoot(t *testing.T) {
	dir := writeTree(t, map[string][]byte{"a": noise(1), "b/c": noise(2)})
	opts := storeOptions(t, "set:v1")
	opts.Prefix, opts.Title, opts.Labels = "/srv/data", "A title", map[string]string{"lab": "12"}
	if _, err := Build(t.Context(), dir, opts); err != nil {
		t.Fatal(err)
	}
	opts.Prefix, opts.Title, opts.Labels = "", "", nil
	for name, tt := range map[string]struct {
		files []string
		want  map[string][]byte
	}{
		"whiteout":                {[]string{"etc/hosts", "srv/data/.wh.a", "srv/data/new"}, map[string][]byte{"b/c": noise(2), "new": nil}},
		"opaque":                  {[]string{"srv/data/.wh..wh..opq", "srv/data/new"}, map[string][]byte{"new": nil}},
		"opaque folder above":     {[]string{"srv/.wh..wh..opq", "srv/data/b/new"}, map[string][]byte{"b/new": nil}},
		"whiteout of what is new": {[]string{"srv/data/.wh.b", "srv/data/b/new"}, map[string][]byte{"a": noise(1), "b/new": nil}},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string][]byte{}
			for _, f := range tt.files {
				files[f] = nil
			}
			opts.Name, opts.Parent = "set:v2", "set:v1"
			yes := true
			res, err := Commit(t.Context(), writeTree(t, files), CommitOptions{BuildOptions: opts, Root: &yes})
			if err != nil {
				t.Fatal(err)
			}
			checkContents(t, res.Ref, "", tt.want, opts.Places)
			if ds := res.Dataset; ds.Title != "A title" || ds.Labels["lab"] != "12" || ds.Prefix != "/srv/data" {
				t.Errorf("dataset %+v", ds)
			}
		})
	}
}
