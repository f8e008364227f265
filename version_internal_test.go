package cdb

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/extract"
	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/tree"
)

// storeOptions builds into a local store of the test's own, with a change
// cache.
func storeOptions(t *testing.T, name string) BuildOptions {
	opts := testOptions(t)
	opts.Output, opts.Name = "", name
	opts.Store, opts.Cache = filepath.Join(t.TempDir(), "store"), filepath.Join(t.TempDir(), "cache")
	return opts
}

// unpacked is a tree as a runtime sees it: what each path is.
type unpacked map[string]string

func describeEntry(e *tree.Entry, content []byte) string {
	switch e.Type {
	case tree.Dir:
		return fmt.Sprintf("dir %o %d", e.Mode, e.ModTime.Unix())
	case tree.Symlink:
		return "link " + e.Link
	}
	return fmt.Sprintf("file %o %d %x", e.Mode, e.ModTime.Unix(), sha256.Sum256(content))
}

// mount applies the layers of a container as the OCI image-spec says.
func mount(t *testing.T, c *Container) unpacked {
	t.Helper()
	fs := unpacked{}
	for i := range c.Image.Layers {
		l := &c.Image.Layers[i]
		if l.Role != image.RoleData {
			continue
		}
		stream, size, err := c.layerStream(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		fs.apply(t, tar.NewReader(io.NewSectionReader(stream, 0, size)))
	}
	return fs
}

func (fs unpacked) remove(p string) {
	for q := range fs {
		if tree.Within(q, p) {
			delete(fs, q)
		}
	}
}

// apply applies one layer: whiteouts to what lies below, then the entries.
func (fs unpacked) apply(t *testing.T, tr *tar.Reader) {
	t.Helper()
	own := unpacked{}
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(h.Name, "/")
		if base := path.Base(name); strings.HasPrefix(base, ".wh.") {
			fs.remove(path.Join(path.Dir(name), strings.TrimPrefix(base, ".wh.")))
			continue
		}
		e := &tree.Entry{Type: tree.File, Mode: uint32(h.Mode), ModTime: h.ModTime, Link: h.Linkname}
		switch h.Typeflag {
		case tar.TypeDir:
			e.Type = tree.Dir
		case tar.TypeSymlink:
			e.Type = tree.Symlink
		case tar.TypeLink:
			own[name] = own[h.Linkname]
			continue
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := own[name]; twice {
			t.Errorf("%s stands twice in a layer", name)
		}
		own[name] = describeEntry(e, content)
	}
	for p, what := range own {
		if have, ok := fs[p]; ok && (!strings.HasPrefix(what, "dir") || !strings.HasPrefix(have, "dir")) {
			fs.remove(p)
		}
	}
	for p, what := range own {
		fs[p] = what
	}
}

// folder is the tree of a real folder, under data.
func folder(t *testing.T, dir string) unpacked {
	t.Helper()
	fs := unpacked{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		e := &tree.Entry{Type: tree.File, Mode: 0o644, ModTime: info.ModTime()}
		var content []byte
		switch {
		case d.IsDir():
			e.Type, e.Mode = tree.Dir, 0o755
		case info.Mode()&os.ModeSymlink != 0:
			e.Type = tree.Symlink
			e.Link, err = os.Readlink(p)
		default:
			if info.Mode()&0o111 != 0 {
				e.Mode = 0o755
			}
			content, err = os.ReadFile(p)
		}
		fs[path.Join("data", filepath.ToSlash(rel))] = describeEntry(e, content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// evolve makes random changes of all kinds in a folder.
func evolve(t *testing.T, rnd *rand.Rand, dir string, changes int) {
	t.Helper()
	// Times before the cache's doubt, so that it is used.
	stamp := time.Unix(1e9+int64(rnd.IntN(1e6)), 0)
	pick := func() string {
		p := dir
		for range 1 + rnd.IntN(3) {
			p = filepath.Join(p, fmt.Sprintf("n%d", rnd.IntN(6)))
		}
		return p
	}
	for range changes {
		p := pick()
		var err error
		switch rnd.IntN(8) {
		case 0, 1:
			err = os.RemoveAll(p)
		case 2:
			err = errors.Join(os.RemoveAll(p), os.MkdirAll(p, 0o755))
		case 3:
			if err = os.RemoveAll(p); err == nil {
				err = os.Symlink(fmt.Sprintf("target%d", rnd.IntN(9)), p)
			}
		case 4:
			if info, e := os.Lstat(p); e == nil && info.Mode()&os.ModeSymlink == 0 {
				err = os.Chtimes(p, stamp, stamp)
			}
		default:
			if info, e := os.Lstat(p); e == nil && !info.Mode().IsRegular() {
				err = os.RemoveAll(p)
			}
			if err == nil {
				err = os.WriteFile(p, noise(rnd.IntN(4)*rnd.IntN(1000)+1), 0o644)
			}
		}
		// Few different times, so that the same things come again.
		when := time.Unix(1e9+int64(rnd.IntN(3)), 0)
		if info, e := os.Lstat(p); e == nil && info.Mode()&os.ModeSymlink == 0 {
			err = errors.Join(err, os.Chtimes(p, when, when))
		}
		// What lies below a file or nowhere cannot be made.
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrExist) && !strings.Contains(err.Error(), "not a directory") {
			t.Fatal(err)
		}
	}
}

// Through many versions, what is mounted is what the folder was, what the
// catalog says is what a build from nothing says, and layers stay few.
func TestVersions(t *testing.T) {
	for seed := range uint64(4) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		dir := t.TempDir()
		opts := storeOptions(t, "set:v")
		opts.Compression = []pack.Compression{pack.Gzip, pack.Zstd, pack.None, pack.Gzip}[seed]
		evolve(t, rnd, dir, 60)
		var before string
		for v := range 40 {
			evolve(t, rnd, dir, rnd.IntN(12))
			opts.Name, opts.Message = fmt.Sprintf("set:v%d", v), fmt.Sprintf("version %d", v)
			res, err := Build(t.Context(), dir, opts)
			if err != nil {
				t.Fatalf("seed %d, version %d: %v", seed, v, err)
			}
			if res.Parent != before {
				t.Errorf("seed %d, version %d: parent %q, want %q", seed, v, res.Parent, before)
			}
			checkVersion(t, opts, dir, res)
			if t.Failed() {
				t.Fatalf("seed %d, version %d", seed, v)
			}
			before = res.Digest
		}
	}
}

func checkVersion(t *testing.T, opts BuildOptions, dir string, res *BuildResult) {
	t.Helper()
	c, err := Open(t.Context(), opts.Name, opts.Places)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if diff := cmp.Diff(folder(t, dir), mount(t, c)); diff != "" {
		t.Errorf("mounted: %s", diff)
	}
	anew := opts
	anew.Output, anew.NoParent, anew.Cache = "oci:"+filepath.Join(t.TempDir(), "anew"), true, ""
	want, err := Build(t.Context(), dir, anew)
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Dataset; got.Digest != want.Dataset.Digest || got.Files != want.Dataset.Files || got.Dirs != want.Dataset.Dirs || got.Links != want.Dataset.Links {
		t.Errorf("dataset %+v, anew %+v", got, want.Dataset)
	}
	if res.Packs > 14 {
		t.Errorf("%d packs", res.Packs)
	}
	next, stop := iter.Pull2(c.Files(t.Context()).Walk(t.Context()))
	defer stop()
	for e, err := range c.Catalog().Entries(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if w, err, _ := next(); err != nil || w == nil || w.Path != e.Path || w.Type != e.Type || w.Size != e.Size || !w.ModTime.Equal(e.ModTime) {
			t.Fatalf("the layers have %+v, the catalog %+v: %v", w, e, err)
		}
		if e.Type != tree.File {
			continue
		}
		r, err := c.Content(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Errorf("%s: %v", e.Path, err)
		}
	}
}

// An unchanged folder is the parent again, whether the cache knows its files
// or not, and nothing is packed.
func TestUnchanged(t *testing.T) {
	for _, cache := range []bool{true, false} {
		dir := writeTree(t, map[string][]byte{"a": noise(100), "b/large": noise(3 << 20), "b/c": nil})
		opts := storeOptions(t, "set:1")
		if !cache {
			opts.Cache = ""
		}
		first, err := Build(t.Context(), dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		opts.Name = "set:2"
		second, err := Build(t.Context(), dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		if !second.Unchanged || second.Digest != first.Digest || second.Ref != "set:2@"+first.Digest {
			t.Errorf("cache %t: %+v", cache, second)
		}
		opts.Title = "with a title"
		third, err := Build(t.Context(), dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		if third.Unchanged || third.Parent != first.Digest || third.Packs != first.Packs {
			t.Errorf("cache %t, with another title: %+v", cache, third)
		}
	}
}

// A new version holds little more than what changed.
func TestVersionIsSmall(t *testing.T) {
	files := map[string][]byte{}
	for i := range 3000 {
		files[fmt.Sprintf("d%02d/%04d", i%30, i)] = noise(1000 + i)
	}
	dir := writeTree(t, files)
	opts := storeOptions(t, "set")
	blobs := func() (n int, size int64) {
		found, err := filepath.Glob(opts.Store + "/blobs/sha256/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if info, err := os.Stat(f); err == nil {
				size += info.Size()
			}
		}
		return len(found), size
	}
	if _, err := Build(t.Context(), dir, opts); err != nil {
		t.Fatal(err)
	}
	_, before := blobs()
	if err := os.WriteFile(filepath.Join(dir, "d03/0003"), noise(5000), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "d04/0004")); err != nil {
		t.Fatal(err)
	}
	res, err := Build(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	_, after := blobs()
	if grown := after - before; grown > before/20 {
		t.Errorf("%d bytes for a change of 5,000 in %d", grown, before)
	}
	c, err := Open(t.Context(), res.Ref, opts.Places)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	versions, err := c.Catalog().Versions(t.Context())
	if err != nil || len(versions) != 2 || versions[1].Changed != 1 || versions[1].Removed != 1 || versions[1].Added != 0 {
		t.Errorf("versions %+v, %v", versions, err)
	}
	if n := len(c.Image.Catalog()); n != 2 {
		t.Errorf("%d catalog layers, want a base and a delta", n)
	}
}

// A build that was interrupted left packs that the next build takes over
// without reading their files.
func TestResume(t *testing.T) {
	files := map[string][]byte{}
	for i := range 40 {
		files[fmt.Sprintf("%02d", i)] = noise(9 << 20)
	}
	dir := writeTree(t, files)
	old := time.Now().Add(-time.Hour)
	for name := range files {
		if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(2200 * time.Millisecond) // until the times of change are settled
	opts := storeOptions(t, "set")
	opts.Compression = pack.None
	opts.Extractors = []extract.External{new(firstByte)}
	opts.Progress = &Progress{}
	fail := errors.New("interrupted")
	broken := opts
	broken.Entrypoint = func(string) ([]byte, error) { return nil, fail } // after all packs
	if _, err := Build(t.Context(), dir, broken); !errors.Is(err, fail) {
		t.Fatal(err)
	}
	whole := opts
	whole.Progress, whole.Cache = nil, ""
	whole.Output = "oci:" + filepath.Join(t.TempDir(), "whole")
	want, err := Build(t.Context(), dir, whole)
	if err != nil {
		t.Fatal(err)
	}
	opts.Progress = &Progress{}
	res, err := Build(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	if n := opts.Progress.Sample().Bytes; n > 0 {
		t.Errorf("%d bytes were read again", n)
	}
	if got := metaOf(t, res.Ref, opts.Places)["07"]; !strings.HasPrefix(got, `{"first.byte": `) {
		t.Errorf("metadata of a pack that was found again: %q", got)
	}
	if res.Digest != want.Digest {
		t.Errorf("digest %s, of an uninterrupted build %s", res.Digest, want.Digest)
	}
	checkContents(t, res.Ref, dir, files, opts.Places)
}

func TestSpans(t *testing.T) {
	for _, tt := range []struct {
		name      string
		tar, live []int64
		above     int
		want      []span
	}{
		{"one", []int64{100}, []int64{100}, 1, nil},
		{"empty", []int64{100, 100}, []int64{0, 100}, 1, []span{{0, 0}}},
		{"dead", []int64{100 << 20, 100 << 20}, []int64{60 << 20, 80 << 20}, 1, []span{{0, 0}}},
		{"seven small", []int64{1e9, 1, 1, 1, 1, 1, 1, 1}, []int64{1e9, 1, 1, 1, 1, 1, 1, 1}, 1, nil},
		{"eight small", []int64{1e9, 1, 1, 1, 1, 1, 1, 1, 1}, []int64{1e9, 1, 1, 1, 1, 1, 1, 1, 1}, 1, []span{{1, 8}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var list []catalog.Pack
			live := map[int]int64{}
			for i := range tt.tar {
				list = append(list, catalog.Pack{ID: i + 1, TarSize: tt.tar[i]})
				live[i+1] = tt.live[i]
			}
			if got := spans(list, live, tt.above, 0); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	t.Run("never too many", func(t *testing.T) {
		var list []catalog.Pack
		live := map[int]int64{}
		for i := range 200 {
			list = append(list, catalog.Pack{ID: i + 1, TarSize: int64(1e9) + int64(i)})
			live[i+1] = int64(1e9) + int64(i)
		}
		left := len(list)
		for _, s := range spans(list, live, 2, 0) {
			left -= s.last - s.first
		}
		if left+2 > maxPacks {
			t.Errorf("%d packs are left", left)
		}
	})
}
