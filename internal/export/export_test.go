package export_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/export"
	"github.com/data-containers/cdb/internal/tree"
)

// A source is entries and their bytes.
type source struct {
	entries []*catalog.Entry
	content map[string]string
}

func when(i int) time.Time { return time.Unix(1.5e9+int64(i), 0) }

func (s *source) add(t tree.Type, path string, mode uint32, content string) *catalog.Entry {
	e := &catalog.Entry{ID: int64(len(s.entries) + 1)}
	e.Path, e.Type, e.Mode, e.ModTime = path, t, mode, when(len(s.entries))
	switch t {
	case tree.File:
		e.Size, e.SHA256 = int64(len(content)), sha256.Sum256([]byte(content))
		if s.content == nil {
			s.content = map[string]string{}
		}
		s.content[path] = content
	case tree.Symlink:
		e.Link = content
	}
	s.entries = append(s.entries, e)
	return e
}

func (s *source) all() iter.Seq2[*catalog.Entry, error] {
	return func(yield func(*catalog.Entry, error) bool) {
		for _, e := range s.entries {
			c := *e
			if !yield(&c, nil) {
				return
			}
			c.Path = "reused" // an entry is valid until the next one
		}
	}
}

func (s *source) open(_ context.Context, e *catalog.Entry) (io.ReadCloser, error) {
	content, ok := s.content[e.Path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(strings.NewReader(content)), nil
}

func (s *source) export(t testing.TB, dst string, opts export.Options) (export.Result, error) {
	t.Helper()
	return export.Tree(t.Context(), dst, s.all(), s.open, opts)
}

func stat(t testing.TB, path string) (fs.FileInfo, *syscall.Stat_t) {
	t.Helper()
	fi, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi, fi.Sys().(*syscall.Stat_t)
}

// Names, modes, times, links and bytes come back.
func TestTree(t *testing.T) {
	var s source
	s.add(tree.Dir, "", 0o750, "")
	s.add(tree.File, " odd\n\xffname", 0o640, "odd")
	s.add(tree.Dir, "dir", 0o555, "")
	s.add(tree.File, "dir/empty", 0o400, "")
	s.add(tree.File, "dir/exec", 0o755, "#!")
	first := s.add(tree.File, "dir/first", 0o644, "linked")
	s.add(tree.File, "dir/second", 0o644, "linked").Link = first.Path
	s.add(tree.Dir, "dir/sticky", 0o1777, "")
	s.add(tree.Symlink, "link", 0o777, "dir/exec")
	s.add(tree.Symlink, "outside", 0o777, "/etc/passwd")
	s.add(tree.File, "setuid", 0o4755, "x")
	s.entries[5].ModTime = s.entries[6].ModTime
	dst := filepath.Join(t.TempDir(), "new", "dst")
	res, err := s.export(t, dst, export.Options{Workers: 3})
	if err != nil {
		t.Fatal(err)
	}
	if want := (export.Result{Files: 6, Links: 2, Dirs: 3, Bytes: 3 + 2 + 6 + 6 + 1}); res != want {
		t.Errorf("%+v, want %+v", res, want)
	}
	for _, e := range s.entries {
		fi, _ := stat(t, filepath.Join(dst, e.Path))
		if fi.Mode() != e.FileMode() {
			t.Errorf("%q: mode %v, want %v", e.Path, fi.Mode(), e.FileMode())
		}
		if !fi.ModTime().Equal(e.ModTime) {
			t.Errorf("%q: time %v, want %v", e.Path, fi.ModTime(), e.ModTime)
		}
		if e.Type == tree.File {
			if b, _ := os.ReadFile(filepath.Join(dst, e.Path)); string(b) != s.content[e.Path] {
				t.Errorf("%q: %q", e.Path, b)
			}
		}
	}
	_, a := stat(t, filepath.Join(dst, "dir/first"))
	if _, b := stat(t, filepath.Join(dst, "dir/second")); a.Ino != b.Ino || a.Nlink != 2 {
		t.Error("the hard link is a copy")
	}
	if list, _ := filepath.Glob(filepath.Join(dst, "*", ".cdb-*")); len(list) > 0 {
		t.Errorf("left over: %q", list)
	}

	// Once more is an error, unless files may be replaced.
	if _, err := s.export(t, dst, export.Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("again: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dst, "setuid"), []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if res2, err := s.export(t, dst, export.Options{Overwrite: true}); err != nil || res2 != res {
		t.Errorf("overwriting: %+v, %v", res2, err)
	}
	if b, _ := os.ReadFile(filepath.Join(dst, "setuid")); string(b) != "x" {
		t.Errorf("not overwritten: %q", b)
	}
}

// Attributes of a folder that was there stay as they are.
func TestExistingRoot(t *testing.T) {
	var s source
	s.add(tree.Dir, "", 0o555, "")
	s.add(tree.File, "a", 0o644, "a")
	dst := t.TempDir()
	if err := os.Chmod(dst, 0o751); err != nil {
		t.Fatal(err)
	}
	if _, err := s.export(t, dst, export.Options{}); err != nil {
		t.Fatal(err)
	}
	if fi, _ := stat(t, dst); fi.Mode().Perm() != 0o751 {
		t.Errorf("mode is now %v", fi.Mode())
	}
}

// A part of a tree: folders that are no entries are made, and a hard link
// whose target is not there becomes a file, to which others are linked.
func TestPart(t *testing.T) {
	var s source
	s.add(tree.File, "x/y/one", 0o600, "same").Link = "elsewhere"
	s.add(tree.File, "x/two", 0o600, "same").Link = "elsewhere"
	s.add(tree.File, "b", 0o644, "target").Link = "z"
	s.add(tree.File, "z", 0o644, "target") // behind its link
	dst := t.TempDir()
	// A file of somebody's is no target.
	if err := os.WriteFile(filepath.Join(dst, "elsewhere"), []byte("same"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.export(t, dst, export.Options{}); err != nil {
		t.Fatal(err)
	}
	inode := func(p string) uint64 { _, st := stat(t, filepath.Join(dst, p)); return st.Ino }
	if inode("x/y/one") != inode("x/two") || inode("b") != inode("z") || inode("x/two") == inode("elsewhere") {
		t.Error("hard links are wrong")
	}
}

// Nothing is written through a link, whoever made it.
func TestHostileLinks(t *testing.T) {
	outside := t.TempDir()
	for name, prepare := range map[string]func(s *source, dst string){
		"exported link out":    func(s *source, _ string) { s.add(tree.Symlink, "d", 0o777, outside) },
		"exported link inside": func(s *source, _ string) { s.add(tree.Dir, "e", 0o755, ""); s.add(tree.Symlink, "d", 0o777, "e") },
		"old link out":         func(_ *source, dst string) { os.Symlink(outside, filepath.Join(dst, "d")) },
		"old link inside": func(_ *source, dst string) {
			os.Mkdir(filepath.Join(dst, "e"), 0o755)
			os.Symlink("e", filepath.Join(dst, "d"))
		},
		"file": func(s *source, _ string) { s.add(tree.File, "d", 0o644, "") },
	} {
		for _, opts := range []export.Options{{}, {Overwrite: true}} {
			for _, kind := range []tree.Type{tree.File, tree.Dir, tree.Symlink} {
				var s source
				dst := t.TempDir()
				prepare(&s, dst)
				s.add(kind, "d/evil", 0o644, "x")
				if _, err := s.export(t, dst, opts); err == nil && name != "file" {
					t.Errorf("%s, %v: no error", name, kind)
				}
				for _, p := range []string{filepath.Join(outside, "evil"), filepath.Join(dst, "e/evil")} {
					if _, err := os.Lstat(p); err == nil {
						t.Errorf("%s, %v: %s was made", name, kind, p)
					}
				}
			}
		}
	}
	// A link in the place of a file is replaced, not followed.
	var s source
	s.add(tree.File, "f", 0o644, "new")
	dst, target := t.TempDir(), filepath.Join(outside, "target")
	if err := errors.Join(os.WriteFile(target, []byte("old"), 0o644), os.Symlink(target, filepath.Join(dst, "f"))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.export(t, dst, export.Options{}); err == nil {
		t.Error("a link was replaced without leave")
	}
	if _, err := s.export(t, dst, export.Options{Overwrite: true}); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(target); string(b) != "old" {
		t.Errorf("written through a link: %q", b)
	}
}

func TestHostilePaths(t *testing.T) {
	for _, p := range []string{"..", "../x", "a/../../x", "/etc/x", "a//b", "a/./b", "a\x00b", "a/"} {
		var s source
		s.add(tree.File, p, 0o644, "x")
		dst := filepath.Join(t.TempDir(), "dst")
		if _, err := s.export(t, dst, export.Options{}); err == nil {
			t.Errorf("%q: no error", p)
		}
		if list, _ := os.ReadDir(dst); len(list) > 0 {
			t.Errorf("%q: made %v", p, list)
		}
	}
	var s source
	s.add(tree.File, "ok", 0o644, "x").Link = "../../../etc/passwd"
	dst := t.TempDir()
	if _, err := s.export(t, dst, export.Options{}); err != nil {
		t.Error(err)
	}
	if _, st := stat(t, filepath.Join(dst, "ok")); st.Nlink != 1 {
		t.Error("linked out of the folder")
	}
}

func TestDeep(t *testing.T) {
	var s source
	path := strings.Repeat("d", 200)
	for range 30 {
		s.add(tree.Dir, path, 0o755, "")
		s.add(tree.File, path+"/file", 0o644, "deep")
		s.add(tree.File, path+"/hard", 0o644, "deep").Link = path + "/file"
		s.add(tree.Symlink, path+"/link", 0o777, "file")
		path += "/" + strings.Repeat("e", 200)
	}
	res, err := s.export(t, t.TempDir(), export.Options{})
	if err != nil || res.Files != 60 || res.Dirs != 30 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestHoles(t *testing.T) {
	const mib = 1 << 20
	zeros := strings.Repeat("\x00", 8*mib)
	for name, content := range map[string]string{
		"all": zeros, "begin": zeros + "end", "end": "begin" + zeros, "middle": "begin" + zeros + "end", "small": zeros[:1000], "exact": zeros[:64<<10],
	} {
		var s source
		s.add(tree.File, "f", 0o644, content)
		dst := t.TempDir()
		if _, err := s.export(t, dst, export.Options{}); err != nil {
			t.Fatal(name, err)
		}
		b, err := os.ReadFile(filepath.Join(dst, "f"))
		if err != nil || string(b) != content {
			t.Errorf("%s: differs, %v", name, err)
		}
		if _, st := stat(t, filepath.Join(dst, "f")); len(content) > mib && st.Blocks*512 > mib {
			t.Errorf("%s: takes %d bytes on disk", name, st.Blocks*512)
		}
	}
}

// What does not match the catalog is not left behind.
func TestWrongBytes(t *testing.T) {
	for name, bytes := range map[string]string{"changed": "CONTENT", "short": "conten", "long": "content!", "endless": strings.Repeat("x", 1<<20)} {
		var s source
		s.add(tree.File, "before", 0o644, "fine")
		s.add(tree.File, "bad", 0o644, "content")
		s.content["bad"] = bytes
		dst := t.TempDir()
		_, err := s.export(t, dst, export.Options{Workers: 1})
		if err == nil || !strings.Contains(err.Error(), `"bad"`) {
			t.Errorf("%s: %v", name, err)
		}
		list, _ := os.ReadDir(dst)
		if len(list) != 1 || list[0].Name() != "before" {
			t.Errorf("%s: left %v", name, list)
		}
	}
	var s source
	s.add(tree.File, "gone", 0o644, "x")
	delete(s.content, "gone")
	if _, err := s.export(t, t.TempDir(), export.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("gone: %v", err)
	}
}

// A slowReader ends the context at its first read.
type slowReader struct {
	cancel func()
	io.Reader
}

func (r slowReader) Read(p []byte) (int, error) { r.cancel(); return r.Reader.Read(p[:1]) }
func (r slowReader) Close() error               { return nil }

func TestCanceled(t *testing.T) {
	var s source
	for i := range 200 {
		s.add(tree.File, fmt.Sprintf("%03d", i), 0o644, strings.Repeat("x", 1000))
	}
	ctx, cancel := context.WithCancel(t.Context())
	dst := t.TempDir()
	open := func(_ context.Context, e *catalog.Entry) (io.ReadCloser, error) {
		if e.Path == "100" {
			return slowReader{cancel, bytes.NewReader(nil)}, nil
		}
		return s.open(ctx, e)
	}
	if _, err := export.Tree(ctx, dst, s.all(), open, export.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	list, _ := os.ReadDir(dst)
	for _, d := range list {
		if fi, _ := d.Info(); strings.HasPrefix(d.Name(), ".cdb-") || fi.Size() != 1000 {
			t.Errorf("left %s", d.Name())
		}
	}
	broken := func(yield func(*catalog.Entry, error) bool) { yield(nil, errors.New("damaged")) }
	if _, err := export.Tree(t.Context(), dst, broken, s.open, export.Options{}); err == nil || err.Error() != "damaged" {
		t.Errorf("broken entries: %v", err)
	}
}

func TestBadDestination(t *testing.T) {
	var s source
	s.add(tree.Dir, "", 0o755, "")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, dst := range []string{file, file + "/x", "", "a\x00b"} {
		if _, err := s.export(t, dst, export.Options{}); err == nil {
			t.Errorf("%q: no error", dst)
		}
	}
	for _, kinds := range [][2]tree.Type{{tree.File, tree.Dir}, {tree.Dir, tree.File}, {tree.Dir, tree.Symlink}} {
		var s source
		s.add(kinds[0], "x", 0o755, "")
		s.add(kinds[1], "x", 0o755, "y")
		if _, err := s.export(t, t.TempDir(), export.Options{Workers: 1, Overwrite: true}); err == nil && kinds[0] == tree.Dir {
			t.Errorf("%v then %v: no error", kinds[0], kinds[1])
		}
	}
}

// With owners come extended attributes, of files and of folders.
func TestXattrs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root restores owners")
	}
	var s source
	s.add(tree.Dir, "", 0o755, "").Xattrs = map[string]string{"user.of": "root\x00\xff"}
	s.add(tree.File, "f", 0o644, "x").Xattrs = map[string]string{"user.a": "1", "user.b": ""}
	dst := filepath.Join(t.TempDir(), "dst")
	if _, err := s.export(t, dst, export.Options{Owners: true}); errors.Is(err, syscall.ENOTSUP) {
		t.Skip("the file system has no extended attributes")
	} else if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]map[string]string{"": s.entries[0].Xattrs, "f": s.entries[1].Xattrs} {
		for name, value := range want {
			buf := make([]byte, 100)
			n, err := syscall.Getxattr(filepath.Join(dst, path), name, buf)
			if err != nil || string(buf[:n]) != value {
				t.Errorf("attribute %s of %q is %q, want %q: %v", name, path, buf[:max(n, 0)], value, err)
			}
		}
	}
}
