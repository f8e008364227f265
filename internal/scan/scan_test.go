package scan_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
)

func TestEntriesAreInByteOrderOfFilePaths(t *testing.T) {
	src := makeTree(t, "a/b", "a.b", "a-b", "a0", "a/c/d", "a/c.d", "ab/x", "b/", "a/c0", "empty.d/", "z -> a", "\xff\xfe/\x01", "Z", "new\nline/x", " /y", "a\\b")
	l := open(t, src, scan.Options{})
	var files []string
	seen := map[string]bool{}
	for _, e := range entries(t, l) {
		if e.Path != "" && !seen[tree.Parent(e.Path)] {
			t.Errorf("%q comes before its folder", e.Path)
		}
		if e.Type == tree.Dir {
			seen[e.Path] = true
		} else {
			files = append(files, e.Path)
		}
	}
	if !slices.IsSorted(files) {
		t.Errorf("not in byte order: %q", files)
	}
	if got, want := len(files), 14; got != want {
		t.Errorf("%d files and links, want %d: %q", got, want, files)
	}
}

func TestEntriesAndItemsAgree(t *testing.T) {
	src := makeTree(t, "a/b/c", "a/b/d", "a/e", "f", "g/", "l -> f", "h => f", "n/o/p/q")
	l := open(t, src, scan.Options{})
	want := entries(t, l)
	var got []tree.Entry
	for it, err := range l.Read(t.Context()) {
		check(t, err)
		got = append(got, it.Entry)
		if it.Type == tree.File && it.Link == "" {
			if data := read(t, it); data != "content of "+it.Path {
				t.Errorf("%q holds %q", it.Path, data)
			}
		}
		it.Release()
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestAttributes(t *testing.T) {
	src := makeTree(t, "dir/plain", "dir/run", "dir/secret", "link -> dir/nowhere")
	check(t, os.Chmod(filepath.Join(src, "dir"), 0o700))
	check(t, os.Chmod(filepath.Join(src, "dir/run"), 0o511))
	check(t, os.Chmod(filepath.Join(src, "dir/secret"), 0o600|fs.ModeSetgid))
	whole := time.Unix(mtime.Unix(), 0).UTC()
	l := open(t, src, scan.Options{})
	want := []tree.Entry{
		{Path: "", Type: tree.Dir, Mode: 0o755, ModTime: whole},
		{Path: "dir", Type: tree.Dir, Mode: 0o755, ModTime: whole},
		{Path: "dir/plain", Type: tree.File, Mode: 0o644, ModTime: whole, Size: 20},
		{Path: "dir/run", Type: tree.File, Mode: 0o755, ModTime: whole, Size: 18},
		{Path: "dir/secret", Type: tree.File, Mode: 0o644, ModTime: whole, Size: 21},
		{Path: "link", Type: tree.Symlink, Mode: 0o777, ModTime: whole, Link: "dir/nowhere"},
	}
	if d := cmp.Diff(want, entries(t, l)); d != "" {
		t.Error(d)
	}
	totals := scan.Totals{Files: 3, Dirs: 2, Links: 1, Bytes: 59, Newest: whole}
	if d := cmp.Diff(totals, l.Totals()); d != "" {
		t.Error(d)
	}
}

func TestPreserve(t *testing.T) {
	src := makeTree(t, "dir/secret", "link -> dir")
	secret, dir := filepath.Join(src, "dir/secret"), filepath.Join(src, "dir")
	if err := unix.Setxattr(secret, "user.colour", []byte("gr\x00en"), 0); err != nil {
		t.Skipf("no extended attributes here: %v", err)
	}
	check(t, unix.Setxattr(secret, "user.long", []byte(strings.Repeat("x", 3000)), 0))
	check(t, unix.Setxattr(dir, "user.dir", nil, 0))
	if os.Getuid() == 0 {
		check(t, os.Chown(secret, 1234, 5678))
	}
	check(t, os.Chmod(secret, 0o640|fs.ModeSetuid))
	l := open(t, src, scan.Options{Preserve: true})
	e := find(t, l, "dir/secret")
	want := tree.Entry{Path: "dir/secret", Type: tree.File, Mode: 0o4640, ModTime: mtime, Size: 21,
		UID: os.Getuid(), GID: os.Getgid(),
		Xattrs: map[string]string{"user.colour": "gr\x00en", "user.long": strings.Repeat("x", 3000)}}
	if os.Getuid() == 0 {
		want.UID, want.GID = 1234, 5678
	}
	if d := cmp.Diff(want, e); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]string{"user.dir": ""}, find(t, l, "dir").Xattrs); d != "" {
		t.Error(d)
	}
	f, err := items(t, l)["dir/secret"].Open()
	check(t, err)
	defer f.Close()
	if d := cmp.Diff(want, f.Entry()); d != "" {
		t.Error("opened file:", d)
	}
}

func TestEpochIsTheNewestTime(t *testing.T) {
	src := makeTree(t, "old", "new")
	setTime(t, filepath.Join(src, "old"), time.Unix(-5, 5e8))
	for _, epoch := range []int64{0, 1000} {
		l := open(t, src, scan.Options{Epoch: time.Unix(epoch, 0)})
		for p, want := range map[string]int64{"": epoch, "old": -5, "new": epoch} {
			if got := find(t, l, p).ModTime; !got.Equal(time.Unix(want, 0)) {
				t.Errorf("epoch %d: time of %q is %v, want %d", epoch, p, got, want)
			}
		}
		if got := l.Totals().Newest; !got.Equal(time.Unix(epoch, 0)) {
			t.Errorf("epoch %d: newest is %v", epoch, got)
		}
	}
}

func TestLinksAreKeptNotFollowed(t *testing.T) {
	long := strings.Repeat("x/", 2000)
	src := makeTree(t, "d/f", "d/loop -> ..", "self -> self", "dangling -> no/where", "abs -> /etc", "long -> "+long)
	l := open(t, src, scan.Options{})
	want := []string{"/", "abs", "d/", "d/f", "d/loop", "dangling", "long", "self"}
	if d := cmp.Diff(want, paths(t, l)); d != "" {
		t.Error(d)
	}
	if got := find(t, l, "long").Link; got != long {
		t.Errorf("target of %d bytes, want %d", len(got), len(long))
	}
}

func TestHardLinks(t *testing.T) {
	src := makeTree(t, "b/one", "a/two => b/one", "c => b/one", "lone", "x", "y => x")
	outside := filepath.Join(t.TempDir(), "outside")
	check(t, os.Link(filepath.Join(src, "lone"), outside))
	l := open(t, src, scan.Options{})
	got := map[string]string{}
	for _, e := range entries(t, l) {
		if e.Type == tree.File {
			got[e.Path] = e.Link
			if e.Size == 0 {
				t.Errorf("%q has no size", e.Path)
			}
		}
	}
	want := map[string]string{"a/two": "", "b/one": "a/two", "c": "a/two", "lone": "", "x": "", "y": "x"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got, want := l.Totals().Bytes, int64(len("content of b/one")+len("content of lone")+len("content of x")); got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
}

func TestWhatIsNoDataIsSkippedByName(t *testing.T) {
	src := makeTree(t, "d/file")
	check(t, unix.Mkfifo(filepath.Join(src, "d/pipe"), 0o644))
	t.Chdir(src) // the path of a socket is short
	s, err := net.Listen("unix", "socket")
	check(t, err)
	defer s.Close()
	l := open(t, src, scan.Options{})
	if d := cmp.Diff([]string{"/", "d/", "d/file"}, paths(t, l)); d != "" {
		t.Error(d)
	}
	var got []string
	for _, s := range l.Skipped() {
		got = append(got, s.Path+": "+s.Err.Error())
	}
	want := []string{"d/pipe: named pipe: not data", "socket: socket: not data"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	ignored := open(t, src, scan.Options{Exclude: []string{"pipe", "socket"}})
	if s := ignored.Skipped(); len(s) != 0 {
		t.Errorf("excluded, yet skipped: %v", s)
	}
}

func TestPreserveOfASingleFile(t *testing.T) {
	p := filepath.Join(makeTree(t, "file"), "file")
	if err := unix.Setxattr(p, "user.a", []byte("b"), 0); err != nil {
		t.Skipf("no extended attributes here: %v", err)
	}
	l := open(t, p, scan.Options{Preserve: true})
	if e := find(t, l, "file"); e.Xattrs["user.a"] != "b" || !e.ModTime.Equal(mtime) {
		t.Errorf("%+v", e)
	}
}

func TestSources(t *testing.T) {
	src := makeTree(t, "d/file", "d/x/y", "link -> d", "flink -> d/file", "dangling -> nowhere")
	check(t, unix.Mkfifo(filepath.Join(src, "pipe"), 0o644))
	tests := []struct {
		src  string
		want []string
		err  string
	}{
		{src: "d", want: []string{"/", "file", "x/", "x/y"}},
		{src: "d/", want: []string{"/", "file", "x/", "x/y"}},
		{src: "link", want: []string{"/", "file", "x/", "x/y"}},
		{src: "d/file", want: []string{"/", "file"}},
		{src: "flink", want: []string{"/", "flink"}},
		{src: "dangling", err: "no such file"},
		{src: "none", err: "no such file"},
		{src: "d/file/", err: "not a directory"},
		{src: "pipe", err: "neither a folder nor a regular file"},
	}
	for _, test := range tests {
		t.Run(test.src, func(t *testing.T) {
			p := src + "/" + test.src
			l, err := scan.Open(t.Context(), p, scan.Options{Exclude: []string{"flink"}})
			if test.err != "" {
				want := fmt.Sprintf("scan %q: ", p)
				if err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), test.err) {
					t.Errorf("error %v, want %s… %s", err, want, test.err)
				}
				return
			}
			check(t, err)
			defer l.Close()
			if d := cmp.Diff(test.want, paths(t, l)); d != "" {
				t.Error(d)
			}
			if len(test.want) == 2 {
				root := find(t, l, "")
				if root.Mode != 0o755 || root.ModTime.Unix() != mtime.Unix() {
					t.Errorf("root is %+v", root)
				}
				if got := read(t, items(t, l)[test.want[1]]); got != "content of d/file" {
					t.Errorf("file holds %q", got)
				}
			}
		})
	}
}

func TestOutputsAreNoEntries(t *testing.T) {
	src := makeTree(t, "keep", "out.tar", "d/img/blobs/x", "d/other", "only/out", "also/deep/out", "real/x", "link -> real")
	setTime(t, filepath.Join(src, "d/other"), time.Unix(77, 0))
	setTime(t, filepath.Join(src, "also/deep"), time.Unix(99, 0))
	opts := scan.Options{Outputs: []string{
		src + "/out.tar", src + "/d/img", src + "/only/out", src + "/also/deep/out", src + "/also/not-yet",
		src + "/link/out", "/elsewhere/keep", src + "/d/oth",
	}}
	before := open(t, src, opts)
	check(t, os.Remove(filepath.Join(src, "out.tar")))
	makeEntry(t, src, "also/not-yet")
	makeEntry(t, src, "real/out")
	after := open(t, src, opts)
	if d := cmp.Diff(entries(t, before), entries(t, after)); d != "" {
		t.Error("depends on whether outputs exist:", d)
	}
	want := []string{"/", "also/", "also/deep/", "d/", "d/other", "keep", "link", "only/", "real/", "real/x"}
	if d := cmp.Diff(want, paths(t, after)); d != "" {
		t.Error(d)
	}
	for p, want := range map[string]int64{"": mtime.Unix(), "d": 77, "only": 0, "also/deep": 0, "also": 0} {
		if got := find(t, after, p).ModTime.Unix(); got != want {
			t.Errorf("time of %q is %d, want %d", p, got, want)
		}
	}
	if got := open(t, src+"/only", scan.Options{Outputs: []string{src + "/only/..."}}).Totals().Files; got != 1 {
		t.Errorf("%d files, want 1", got)
	}
	for _, bad := range []string{src, filepath.Dir(src), "relative"} {
		if _, err := scan.Open(t.Context(), src, scan.Options{Outputs: []string{bad}}); err == nil {
			t.Errorf("output %q: no error", bad)
		}
	}
}

func TestPathsLongerThanTheSystemAllows(t *testing.T) {
	src := t.TempDir()
	const depth = 300 // of 20 bytes each: 6,000 in all
	elem := strings.Repeat("d", 19)
	fd, err := unix.Open(src, unix.O_DIRECTORY, 0)
	check(t, err)
	for i := range depth {
		name := elem
		if i%100 == 50 {
			makeAt(t, fd, "a", "shallow") // before and after the folder
			makeAt(t, fd, "e", "shallow")
		}
		check(t, unix.Mkdirat(fd, name, 0o755))
		next, err := unix.Openat(fd, name, unix.O_DIRECTORY, 0)
		check(t, err)
		unix.Close(fd)
		fd = next
	}
	makeAt(t, fd, "file", "deep down")
	unix.Close(fd)
	// Not all folders may be open at once.
	before := openFiles(t)
	l := open(t, src, scan.Options{})
	if s := l.Skipped(); len(s) > 0 {
		t.Fatal(s)
	}
	got := map[string]int{}
	most := 0
	for it, err := range l.Read(t.Context()) {
		check(t, err)
		if it.Type == tree.File {
			got[read(t, it)]++
			most = max(most, openFiles(t)-before)
		}
		it.Release()
	}
	if d := cmp.Diff(map[string]int{"deep down": 1, "shallow": 6}, got); d != "" {
		t.Error(d)
	}
	if most > 80 {
		t.Errorf("%d descriptors open at the same time", most)
	}
	check(t, l.Close())
	if n := openFiles(t); n > before {
		t.Errorf("%d descriptors left open", n-before)
	}
}

func TestLargeFolderAndManyFolders(t *testing.T) {
	src := t.TempDir()
	for i := range 5000 {
		check(t, os.WriteFile(fmt.Sprintf("%s/file %d", src, i*7919%5000), nil, 0o644))
	}
	for i := range 1000 {
		check(t, os.MkdirAll(fmt.Sprintf("%s/dir/%d/x", src, i), 0o755))
	}
	l := open(t, src, scan.Options{})
	if got, want := l.Totals(), (scan.Totals{Files: 5000, Dirs: 2002}); got.Files != want.Files || got.Dirs != want.Dirs {
		t.Errorf("%+v", got)
	}
	all := paths(t, l)
	if len(all) != 7002 || !slices.IsSorted(all) {
		t.Errorf("%d entries, sorted: %t", len(all), slices.IsSorted(all))
	}
}

func TestCancel(t *testing.T) {
	src := makeTree(t, "a/b", "c", "d")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l := open(t, src, scan.Options{})
	var last error
	n := 0
	for it, err := range l.Read(ctx) {
		if last = err; err != nil {
			break
		}
		it.Release()
		n++
		cancel()
	}
	if n != 1 || last != context.Canceled {
		t.Errorf("%d items, then %v", n, last)
	}
	if _, err := scan.Open(ctx, src, scan.Options{}); err != context.Canceled {
		t.Errorf("open returns %v", err)
	}
}

func TestTempDir(t *testing.T) {
	src := makeTree(t, "tmp/", "file")
	open(t, src, scan.Options{TempDir: src + "/tmp"})
	if names, _ := os.ReadDir(src + "/tmp"); len(names) > 0 {
		t.Errorf("left in the folder: %v", names)
	}
	_, err := scan.Open(t.Context(), src, scan.Options{TempDir: src + "/none"})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// TestUnreadable runs itself as another user if the user is root, whom
// permissions do not bind.
func TestUnreadable(t *testing.T) {
	if src := os.Getenv("CDB_TEST_UNREADABLE"); src != "" {
		testUnreadable(t, src)
		return
	}
	src := makeTree(t, "open/file", "closed/file", "secret", "blind/file")
	check(t, os.Chmod(src+"/secret", 0))
	check(t, os.Chmod(src+"/closed", 0))
	check(t, os.Chmod(src+"/blind", 0o444))
	defer os.Chmod(src+"/closed", 0o755)
	defer os.Chmod(src+"/blind", 0o755)
	if os.Getuid() != 0 {
		testUnreadable(t, src)
		return
	}
	// The test program and the folders above are perhaps root's alone.
	open := t.TempDir()
	for d := open; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		check(t, os.Chmod(d, 0o777))
	}
	for d := src; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		check(t, os.Chmod(d, 0o755))
	}
	program, err := os.ReadFile(os.Args[0])
	check(t, err)
	check(t, os.WriteFile(open+"/test", program, 0o755))
	cmd := exec.Command(open+"/test", "-test.run=^TestUnreadable$", "-test.v")
	cmd.Dir = "/"
	cmd.Env = []string{"CDB_TEST_UNREADABLE=" + src, "TMPDIR=" + open}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, fs.ErrPermission) {
		t.Skipf("another user cannot work in %s: %v", os.TempDir(), err)
	}
	t.Logf("%s", out)
	check(t, err)
}

func testUnreadable(t *testing.T, src string) {
	for _, preserve := range []bool{false, true} {
		l := open(t, src, scan.Options{Preserve: preserve})
		if d := cmp.Diff([]string{"/", "blind/", "open/", "open/file", "secret"}, paths(t, l)); d != "" {
			t.Error(d)
		}
		var got []string
		for _, s := range l.Skipped() {
			got = append(got, s.Path)
			if !errors.Is(s.Err, fs.ErrPermission) {
				t.Errorf("%q: %v", s.Path, s.Err)
			}
		}
		if d := cmp.Diff([]string{"blind/file", "closed"}, got); d != "" {
			t.Error(d)
		}
		all := items(t, l)
		if _, err := all["secret"].Open(); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("open: %v", err)
		}
		read(t, all["open/file"])
	}
	if _, err := scan.Open(t.Context(), src+"/closed", scan.Options{}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("closed source: %v", err)
	}
}

// Names that mean deletion in an image cannot be part of one.
func TestWhiteoutNames(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{".wh.gone", ".wh..wh..opq", ".whale"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, ".wh.folder/sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := scan.Open(t.Context(), dir, scan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := len(l.Skipped()); got != 3 || l.Totals().Files != 1 {
		t.Errorf("%d skipped, %d files: %v", got, l.Totals().Files, l.Skipped())
	}
	if _, err := scan.Open(t.Context(), filepath.Join(dir, ".wh.gone"), scan.Options{}); err == nil {
		t.Error("a whiteout passes as the only file")
	}
}
