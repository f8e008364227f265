package e2e_test

import (
	"encoding/csv"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/clienttest"
)

// A source is a folder that changes from version to version. What is wrong with a change ends the test.
type source struct {
	t    *testing.T
	root string
}

func (s source) path(name string) string { return filepath.Join(s.root, name) }

// write writes a file, in place if it is there.
func (s source) write(name, content string) {
	s.t.Helper()
	clienttest.Write(s.t, s.path(name), content)
}

// anew writes a file in the place of whatever is there.
func (s source) anew(name, content string) {
	s.t.Helper()
	s.remove(name)
	s.write(name, content)
}

func (s source) remove(names ...string) {
	s.t.Helper()
	for _, name := range names {
		must(s.t, os.RemoveAll(s.path(name)))
	}
}

func (s source) folder(name string) {
	s.t.Helper()
	must(s.t, os.MkdirAll(s.path(name), 0o755))
}

// symlink makes a symbolic link in the place of whatever is there.
func (s source) symlink(target, name string) {
	s.t.Helper()
	s.remove(name)
	must(s.t, os.Symlink(target, s.path(name)))
}

func (s source) link(old, name string) {
	s.t.Helper()
	must(s.t, os.Link(s.path(old), s.path(name)))
}

func (s source) rename(old, name string) {
	s.t.Helper()
	must(s.t, os.Rename(s.path(old), s.path(name)))
}

func (s source) mode(mode fs.FileMode, names ...string) {
	s.t.Helper()
	for _, name := range names {
		must(s.t, os.Chmod(s.path(name), mode))
	}
}

func (s source) date(year int, names ...string) {
	s.t.Helper()
	when := time.Date(year, 2, 3, 4, 5, 6, 789, time.UTC)
	for _, name := range names {
		must(s.t, os.Chtimes(s.path(name), when, when))
	}
}

// sameTime changes something and gives the file or folder the time back that it had.
func (s source) sameTime(name string, change func()) {
	s.t.Helper()
	info, err := os.Stat(s.path(name))
	must(s.t, err)
	change()
	must(s.t, os.Chtimes(s.path(name), info.ModTime(), info.ModTime()))
}

// noise returns bytes that do not compress.
func noise(seed byte, size int) string {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return string(b)
}

// deep is a folder whose path is near what a path may be.
var deep = "deep" + strings.Repeat("/"+strings.Repeat("d", 200), 14)

// A step is what leads to a version.
type step struct {
	name   string
	change func(source)
}

// evolution is the life of a dataset. Each step has changes that some client could get wrong.
var evolution = []step{
	{"first", func(s source) {
		for i, name := range trickyNames {
			s.write("names/"+name, fmt.Sprintf("%d %q\n", i, name))
		}
		s.write("kept", "never touched\n")
		s.write("changed", "as it was\n")
		s.write("secret", "one\n")
		s.date(2001, "kept", "secret")
		s.write("big", noise(1, 3<<20+17))
		s.write("album/a", "a\n")
		s.write("album/b", "b\n")
		s.write("album/sub/c", "c\n")
		s.write("album/becomes folder", "file\n")
		s.folder("empty/below")
		s.folder("bare")
		s.write(deep+"/file", "far down\n")
		for _, name := range []string{"file to folder", "file to link", "swap/x"} {
			s.write(name, name+"\n")
		}
		for _, name := range []string{"folder to file/in/it", "folder to link/in/it", "swap/y/in/it"} {
			s.write(name, name+"\n")
		}
		s.symlink("kept", "link")
		s.symlink("album", "link to folder")
		s.symlink("album", "link becomes folder")
		s.symlink("no/such", "link becomes file")
		s.write("hard/one", "linked\n")
		s.link("hard/one", "hard/two")
		s.write("hard/a", "three names\n")
		s.link("hard/a", "hard/b")
		s.link("hard/a", "names/c")
		s.date(2002, "hard", "names", "bare")
	}},
	{"files added and changed", func(s source) {
		s.write("new/a", "a\n")
		s.write("new/b/c", "c\n")
		s.write("album/sub/d", "d\n")
		s.write("changed", "as it is now\n")
		s.sameTime("secret", func() { s.write("secret", "two\n") })
		s.write("hard/one", "linked, both changed\n")
		s.write("empty now", "")
	}},
	{"files and folders removed", func(s source) {
		s.sameTime("names", func() {
			for i, name := range trickyNames {
				if i%2 == 1 || len(name) == 255 {
					s.remove("names/" + name)
				}
			}
		})
		s.remove("empty/below", "bare", "new/b", "empty now", "link")
	}},
	{"a folder removed and made again", func(s source) {
		s.remove("album")
		s.write("album/b", "another b\n")
		s.write("album/becomes folder/with", "a file\n")
		s.write("album/sub/e", "e\n")
	}},
	{"other types", func(s source) {
		s.remove("file to folder", "link becomes folder", "link becomes file")
		s.write("file to folder/in/it", "now a folder\n")
		s.anew("folder to file", "now a file\n")
		s.symlink("kept", "file to link")
		s.symlink("album/sub", "folder to link")
		s.write("link becomes folder/a", "not the a of the album\n")
		s.write("link becomes file", "now a file\n")
		s.rename("swap/x", "swap/z")
		s.rename("swap/y", "swap/x")
		s.rename("swap/z", "swap/y")
	}},
	{"links", func(s source) {
		s.symlink("new", "link to folder")
		s.symlink("../kept", "album/out")
		s.link("kept", "hard/kept")
		s.link("big", "hard/big")
		s.remove("hard/a")
		s.anew("hard/two", "on its own\n")
		s.write("hard/fresh", "fresh\n")
		s.link("hard/fresh", "new/fresh")
	}},
	{"modes and times", func(s source) {
		s.mode(0o755, "kept", "hard/b", "album/b")
		s.date(1971, "changed", "album", "hard/fresh", deep)
		s.date(2040, "big", "new")
	}},
	{"deep", func(s source) {
		s.remove(deep + "/file")
		s.write(deep+"/other/file", "further down\n")
		s.write(filepath.Dir(filepath.Dir(deep))+"/between", "on the way\n")
	}},
	{"what was removed is back", func(s source) {
		for i, name := range trickyNames {
			s.write("names/"+name, fmt.Sprintf("again %d %q\n", i, name))
		}
		s.folder("bare")
		s.folder("empty/below")
		s.anew("file to folder", "a file again\n")
		s.anew("file to link", "a file again\n")
		s.remove("folder to file", "folder to link")
		s.write("folder to file/in/it", "a folder again\n")
		s.write("folder to link/in/it", "a folder again\n")
		s.symlink("album", "link becomes folder")
		s.mode(0o644, "kept", "hard/b")
	}},
	{"renamed", func(s source) {
		s.rename("album", "book")
		s.rename("names/case", "names/other")
		s.rename("names/CASE", "names/case")
		s.rename("names/other", "names/CASE")
		s.rename("big", "small")
		s.remove("deep")
	}},
	{"almost nothing left", func(s source) {
		all, err := os.ReadDir(s.root)
		must(s.t, err)
		for _, d := range all {
			if d.Name() != "kept" {
				s.remove(d.Name())
			}
		}
	}},
	{"and a full one", func(s source) {
		s.write("album/a", "a\n")
		s.write("names/\xff\xfe", "bytes\n")
		s.write(deep+"/file", "far down\n")
		s.link("kept", "album/kept")
		s.write("hard/one", "linked\n")
		s.link("hard/one", "hard/two")
	}},
}

// A version is an image that was built, and the folder that it was built from.
type version struct {
	tag    string
	name   string // set:TAG
	folder string // a copy of the source, hard links kept
	file   string // the image, an archive
	layout string // the image, as cdb and skopeo name it: in an OCI layout of all versions, or that archive
	digest string

	want  listing  // of the folder
	links []string // groups of hard links of the folder
	ls    string   // what cdb says of the paths, NUL-terminated
	built []string // groups of hard links, as the catalog has them
}

// A history is a dataset with all its versions in the local store of cdb.
type history struct {
	cdb      clienttest.Client
	versions []*version
	args     []string // of every build
	brief    bool     // versions have an archive, but no copy of their folder and no layout
}

// live builds a version after each step, and after more changes if that is not nil.
func (h *history) live(t *testing.T, steps []step, more func(source, int)) {
	t.Helper()
	s := source{t, filepath.Join(t.TempDir(), "source")}
	s.folder(".")
	for i, step := range steps {
		step.change(s)
		if more != nil {
			more(s, i)
		}
		h.add(t, s, step.name)
	}
}

// add builds the next version into the local store, on top of the one before, and the same again elsewhere: its digest
// does not depend on where it goes, nor on what the change cache knows.
func (h *history) add(t *testing.T, s source, message string, args ...string) *version {
	t.Helper()
	n := len(h.versions) + 1
	dir := t.TempDir()
	v := &version{tag: "v" + strconv.Itoa(n), folder: filepath.Join(dir, "folder"), file: filepath.Join(dir, "image.tar")}
	v.name = "set:" + v.tag
	v.layout = "oci:" + filepath.Join(h.cdb.Env["CDB_STORE"], "..", "layout") + ":" + v.tag
	v.digest = digestOf(h.build(t, s.root, v, message, args...))
	if h.brief {
		v.folder, v.layout = s.root, "oci-archive:"+v.file
		h.build(t, s.root, v, message, "--parent", v.name, "-o", v.file)
	} else {
		h.elsewhere(t, s, v, message)
	}
	v.want, v.links = listFolder(t, v.folder), linkGroups(t, v.folder)
	v.ls = h.cdb.Run(t, "query", v.name, "-ls", "-0")
	v.built = h.linksOf(t, v)
	h.versions = append(h.versions, v)
	return v
}

// elsewhere copies the folder of a version, builds it from the copy into an archive and from the source into a layout.
func (h *history) elsewhere(t *testing.T, s source, v *version, message string) {
	t.Helper()
	clienttest.Client{Path: "cp"}.Run(t, "--archive", s.root, v.folder)
	parent := []string{"--no-parent"}
	n := len(h.versions) + 1
	if n > 1 {
		parent = []string{"--parent", h.versions[n-2].name}
	}
	archived := h.build(t, v.folder, v, message, append(parent, "-o", v.file)...)
	laid := h.build(t, s.root, v, message, append(parent, "-o", v.layout)...)
	if got := []string{digestOf(archived), digestOf(laid)}; got[0] != v.digest || got[1] != v.digest {
		t.Errorf("%s in the store is %s, elsewhere %v", v.name, v.digest, got)
	}
}

func (h *history) build(t *testing.T, folder string, v *version, message string, args ...string) string {
	t.Helper()
	return build(t, h.cdb, slices.Concat([]string{folder, "-t", v.name, "-m", message}, h.args, args)...)
}

func digestOf(reference string) string {
	_, digest, _ := strings.Cut(reference, "@")
	return digest
}

// linksOf returns the groups of hard links that a catalog speaks of.
func (h *history) linksOf(t *testing.T, v *version) []string {
	t.Helper()
	groups := map[string][]string{}
	rows := h.cdb.Run(t, "query", v.name, "-format", "csv",
		"-sql", "SELECT path, link FROM files WHERE type = 'file' AND link IS NOT NULL ORDER BY path")
	records, err := csv.NewReader(strings.NewReader(rows)).ReadAll()
	must(t, err)
	for _, r := range records[1:] {
		groups["/data/"+r[1]] = append(groups["/data/"+r[1]], r[0])
	}
	return grouped(groups)
}

// linkGroups returns the names of files that have several, a group of them in one string.
func linkGroups(t *testing.T, root string) []string {
	t.Helper()
	groups := map[string][]string{}
	must(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		id := fmt.Sprint(st.Dev, st.Ino)
		groups[id] = append(groups[id], "/data"+strings.TrimPrefix(p, root))
		return nil
	}))
	all := map[string][]string{}
	for _, g := range groups {
		if len(g) > 1 {
			all[g[0]] = g[1:]
		}
	}
	return grouped(all)
}

func grouped(groups map[string][]string) []string {
	var all []string
	for first, others := range groups {
		all = append(all, fmt.Sprintf("%q", slices.Sorted(slices.Values(append(others, first)))))
	}
	slices.Sort(all)
	return all
}

// mounted demands that a folder with the tree of a version is what was built.
func (v *version) mounted(t *testing.T, folder string) {
	t.Helper()
	sameTree(t, listFolder(t, folder), v.want)
	if got := linkGroups(t, folder); !slices.Equal(got, v.built) {
		t.Errorf("hard links are %v, want %v", got, v.built)
	}
}

// answers demands that the entrypoint of a version says the same of it as cdb does, and finds nothing wrong.
func (v *version) answers(t *testing.T, entrypoint clienttest.Client) {
	t.Helper()
	entrypoint.Run(t, "-verify")
	if got := entrypoint.Run(t, "-ls", "-0"); got != v.ls {
		t.Errorf("-ls: got  %q\nwant %q", got, v.ls)
	}
	if got, want := entrypoint.Run(t, "-count"), fmt.Sprintln(strings.Count(v.ls, "\x00")); got != want {
		t.Errorf("-count: got %q, want %q", got, want)
	}
}
