package e2e_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/data-containers/cdb/internal/clienttest"
)

// A listing says for each path below a folder what lies there: type, mode, time, and content or target.
type listing map[string]string

func line(mode fs.FileMode, modified time.Time, content string) string {
	if mode&fs.ModeSymlink != 0 {
		mode = fs.ModeSymlink // permissions of links mean nothing
	}
	return fmt.Sprintf("%v %s %s", mode, modified.UTC().Truncate(time.Second).Format(time.RFC3339), content)
}

func sum(b []byte) string { return fmt.Sprintf("%d bytes %x", len(b), sha256.Sum256(b)) }

// listFolder lists a folder, itself under the name "", as the file system shows it.
func listFolder(t *testing.T, root string) listing {
	t.Helper()
	l := listing{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var content string
		switch {
		case d.Type() == fs.ModeSymlink:
			content, err = os.Readlink(p)
		case d.Type().IsRegular():
			var b []byte
			b, err = os.ReadFile(p)
			content = sum(b)
		}
		l[strings.TrimPrefix(p[len(root):], "/")] = line(info.Mode(), info.ModTime(), content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// listTar lists what a tar holds of a folder, itself under the name "".
func listTar(t *testing.T, stream io.Reader, root string) listing {
	t.Helper()
	l, contents := listing{}, map[string]string{}
	for r := tar.NewReader(stream); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return l
		}
		if err != nil {
			t.Fatal(err)
		}
		name := path.Clean(h.Name)
		content := h.Linkname
		switch h.Typeflag {
		case tar.TypeReg:
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			content = sum(b)
		case tar.TypeLink:
			content = contents[path.Clean(h.Linkname)]
		}
		contents[name] = content
		if below, ok := strings.CutPrefix(name, root); ok && (below == "" || below[0] == '/') {
			l[strings.TrimPrefix(below, "/")] = line(h.FileInfo().Mode(), h.ModTime, content)
		}
	}
}

func sameTree(t *testing.T, got, want listing) {
	t.Helper()
	paths := maps.Clone(got)
	maps.Copy(paths, want)
	different := slices.DeleteFunc(slices.Sorted(maps.Keys(paths)), func(p string) bool { return got[p] == want[p] })
	for i, p := range different {
		if i == 10 {
			t.Fatalf("... %d differences in all", len(different))
		}
		t.Errorf("%.200q\ngot  %q\nwant %q", p, got[p], want[p])
	}
}

// trickyNames are names of files that tools get wrong.
var trickyNames = []string{
	"a space", " leading", "trailing ", "'single'", `"double"`, "`tick`", "$(touch x)", `back\slash`, "new\nline",
	"tab\there", "esc\x1b[31mred", "cr\rhere", "-dash", "--", "\ufeffbom", "é", "e\u0301", "latin1-\xe9", "\xff\xfe",
	"case", "CASE", "*", "?", "#", "%41", "a.txt", "ba.txt.bak", ".hidden", strings.Repeat("n", 255), "~", "a:b", "{}",
}

// tricky makes a tree with every kind of name, file and link that a build must keep.
func tricky(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "tricky")
	for i, name := range trickyNames {
		clienttest.Write(t, root+"/names/"+name, fmt.Sprintf("%d %q\n", i, name))
	}
	clienttest.Write(t, root+"/empty", "")
	long := root + strings.Repeat("/"+strings.Repeat("d", 200), 14)
	clienttest.Write(t, long+"/file", "far down\n")

	random := make([]byte, 3<<20+17)
	source := rand.NewChaCha8([32]byte{1})
	source.Read(random)
	clienttest.Write(t, root+"/big/random", string(random))
	clienttest.Write(t, root+"/big/text", strings.Repeat("the same line again and again\n", 200_000))
	clienttest.Write(t, root+"/big/sparse", "")
	must(t, os.Truncate(root+"/big/sparse", 9<<20))

	must(t, os.MkdirAll(root+"/empty dir/below", 0o755))
	must(t, os.Link(root+"/big/random", root+"/names/hard link"))
	for name, target := range map[string]string{
		"relative": "names/a.txt", "absolute": "/data/empty", "dangling": "no/such/file", "self": "self",
		"outside": "../../etc/passwd", "folder": "names", "non-utf8": "\xff",
	} {
		must(t, os.Symlink(target, root+"/link "+name))
	}
	must(t, os.Chmod(root+"/names/a.txt", 0o755))
	for name, year := range map[string]int{"names/a.txt": 1971, "empty": 2001, "big/text": 2040} {
		when := time.Date(year, 2, 3, 4, 5, 6, 0, time.UTC)
		must(t, os.Chtimes(root+"/"+name, when, when))
	}
	return root
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// names returns the paths in the container of all files and links of a listing, in byte order.
func names(l listing) []string {
	var all []string
	for _, p := range slices.Sorted(maps.Keys(l)) {
		if !strings.HasPrefix(l[p], "d") {
			all = append(all, "/data/"+p)
		}
	}
	return all
}

func TestDockerShowsTheTreeThatWasBuilt(t *testing.T) {
	docker := clienttest.Docker(t)
	cdb := clienttest.CDB(t)
	cdb.Env["DOCKER_HOST"] = docker.Env["DOCKER_HOST"]
	source := tricky(t)
	want := listFolder(t, source)
	build(t, cdb, source, "-t", "tricky", "-o", "docker-daemon:tricky")
	docker.Run(t, "create", "--name", "tricky", "--network", "none", "tricky")

	t.Run("copy", func(t *testing.T) {
		sameTree(t, listTar(t, strings.NewReader(docker.Run(t, "cp", "tricky:/data", "-")), "data"), want)
	})
	t.Run("export", func(t *testing.T) {
		sameTree(t, listTar(t, strings.NewReader(docker.Run(t, "export", "tricky")), "data"), want)
	})
	run := docker.With("run", "--rm", "--network", "none", "--volume", "changed:/data", "tricky")
	t.Run("names", func(t *testing.T) {
		if got := strings.Split(strings.TrimSuffix(run.Run(t, "-ls", "-0"), "\x00"), "\x00"); !slices.Equal(got, names(want)) {
			t.Errorf("got  %q\nwant %q", got, names(want))
		}
	})
	t.Run("every file by its name", func(t *testing.T) {
		docker.Run(t, "run", "--detach", "--name", "up", "--network", "none", "tricky", "-start")
		ask := docker.With("exec", "up", "/entrypoint")
		for i, name := range trickyNames {
			if !utf8.ValidString(name) {
				continue // Docker's API carries arguments as JSON
			}
			if got, want := ask.Run(t, "-cat", "/data/names/"+name), fmt.Sprintf("%d %q\n", i, name); got != want {
				t.Errorf("%q: got %q, want %q", name, got, want)
			}
		}
	})
	t.Run("verify", func(t *testing.T) { verifyFindsChanges(t, docker, run) })
}

// verifyFindsChanges changes the volume that run uses and demands that -verify names each change.
func verifyFindsChanges(t *testing.T, docker *clienttest.Daemon, run clienttest.Client) {
	run.Run(t, "-verify")
	docker.Run(t, "import", clienttest.Busybox(t), "busybox")
	docker.Run(t, "run", "--rm", "--network", "none", "--volume", "changed:/data", "busybox", "sh", "-c",
		"echo other >/data/names/case; : >/data/added; cd /data/names && /bin/busybox rm CASE")
	got := run.Try("-verify")
	if got.Code == 0 {
		t.Error("-verify is content with changed files")
	}
	for _, name := range []string{"/data/names/case", "/data/names/CASE", "/data/added"} {
		if !strings.Contains(got.Stdout+got.Stderr, name) {
			t.Errorf("-verify does not name %s:\n%s%s", name, got.Stdout, got.Stderr)
		}
	}
}

func TestPodmanShowsTheTreeThatWasBuilt(t *testing.T) {
	podman := clienttest.Podman(t)
	cdb := clienttest.CDB(t)
	source := tricky(t)
	want := listFolder(t, source)
	file := filepath.Join(t.TempDir(), "tricky.tar")
	build(t, cdb, source, "-t", "tricky", "-o", file)
	podman.Run(t, "load", "--quiet", "--input", file)
	folder := strings.TrimSpace(podman.Run(t, "image", "mount", "tricky"))
	defer podman.Run(t, "image", "unmount", "tricky")
	sameTree(t, listFolder(t, folder+"/data"), want)

	one, err := os.Stat(folder + "/data/big/random")
	must(t, err)
	two, err := os.Stat(folder + "/data/names/hard link")
	must(t, err)
	if !os.SameFile(one, two) {
		t.Error("a hard link became a second file")
	}
}

func TestExportRestoresTheTreeThatWasBuilt(t *testing.T) {
	cdb := clienttest.CDB(t)
	source := tricky(t)
	build(t, cdb, source, "-t", "tricky")
	to := filepath.Join(t.TempDir(), "out")
	cdb.Run(t, "export", "tricky", "-o", to)
	sameTree(t, listFolder(t, to), listFolder(t, source))
	if got, want := cdb.Run(t, "cat", "tricky", "/data/big/random"), read(t, source+"/big/random"); !bytes.Equal([]byte(got), want) {
		t.Errorf("cdb cat gives %d bytes, the file has %d or others", len(got), len(want))
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}
