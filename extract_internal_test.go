package cdb

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/data-containers/cdb/internal/extract"
	"github.com/data-containers/cdb/internal/tree"
)

// firstByte is an external extractor that says how files begin. It warns of
// those that begin with a "!".
type firstByte struct {
	version string
	calls   atomic.Int64
}

func (x *firstByte) Name() string    { return "first" }
func (x *firstByte) Version() string { return "1" + x.version }

func (x *firstByte) Extract(_ context.Context, f *extract.ExternalFile) (*extract.Meta, error) {
	x.calls.Add(1)
	data := f.Data
	if data == nil {
		var err error
		if data, err = os.ReadFile(f.Name); err != nil {
			return nil, err
		}
	}
	if len(data) == 0 {
		return nil, nil
	}
	m := &extract.Meta{}
	m.Set("first.byte", int(data[0]))
	m.SetString("first.version", x.version)
	if data[0] == '!' {
		return m, fmt.Errorf("it begins with a %q", data[0])
	}
	return m, nil
}

// metaOf returns the metadata of all files that have some.
func metaOf(t *testing.T, ref string, places Places) map[string]string {
	t.Helper()
	c, err := Open(t.Context(), ref, places)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	found := map[string]string{}
	counts := map[string]int64{}
	for e, err := range c.Catalog().Entries(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if e.Meta == "" {
			continue
		}
		found[e.Path] = e.Meta
		for _, m := range []string{"mime.type", "first.byte", "extract.warnings"} {
			if e.Value(m) != "" {
				counts[m]++
			}
		}
	}
	for m, n := range counts {
		if have, err := c.Catalog().MetricFiles(t.Context(), m); err != nil || have != n {
			t.Errorf("%d files are said to have %s, %d do: %v", have, m, n, err)
		}
	}
	return found
}

// settle makes the times of all files so old that they are trusted, but for
// those of change, which one has to wait for.
func settle(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(p, time.Unix(1e9, 0), time.Unix(1e9, 0))
	})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2200 * time.Millisecond)
}

func pdf(n int) []byte { return append([]byte("%PDF-1.7 "), noise(n)...) }

// What files say is in the catalog, in the same bytes whatever the number of
// workers; of plain text there is nothing.
func TestExtract(t *testing.T) {
	files := map[string][]byte{
		"small.pdf": pdf(10), "large.pdf": pdf(5 << 20), "edge": pdf(1<<20 - 9), "plain.txt": []byte("avocado!\n"), "empty": nil,
	}
	for i := range 300 {
		files[fmt.Sprintf("many/%d", i)] = pdf(i)
	}
	dir := writeTree(t, files)
	if err := os.Link(filepath.Join(dir, "small.pdf"), filepath.Join(dir, "z-link")); err != nil {
		t.Fatal(err)
	}
	settle(t, dir)
	digests := map[string]bool{}
	for workers := 1; workers <= 4; workers++ {
		opts := testOptions(t)
		opts.Workers, opts.Extract = workers, []string{"mime"}
		opts.Extractors = []extract.External{&firstByte{}}
		res, err := Build(t.Context(), dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		digests[res.Digest] = true
		if res.Dataset.Extract != "first@1,mime@1" {
			t.Errorf("recorded %q", res.Dataset.Extract)
		}
		if res.Warned != 0 {
			t.Errorf("%d files have warnings", res.Warned)
		}
		got := metaOf(t, opts.Output, Places{})
		for _, name := range []string{"small.pdf", "large.pdf", "edge", "many/7", "z-link"} {
			if want := `{"mime.type": "application/pdf", "first.byte": 37}`; got[name] != want {
				t.Errorf("%s: %s, want %s", name, got[name], want)
			}
		}
		if got["plain.txt"] != `{"first.byte": 97}` || got["empty"] != "" || len(got) != 305 {
			t.Errorf("%q %q %d", got["plain.txt"], got["empty"], len(got))
		}
	}
	if len(digests) != 1 {
		t.Errorf("%d digests: %v", len(digests), digests)
	}
	opts := testOptions(t)
	opts.Extract = []string{"mime"}
	if _, err := Build(t.Context(), filepath.Join(dir, "large.pdf"), opts); err != nil {
		t.Fatal(err)
	}
	if got := metaOf(t, opts.Output, Places{}); got["large.pdf"] != `{"mime.type": "application/pdf"}` {
		t.Errorf("of a single file: %v", got)
	}
	opts.Extract = []string{"nonsense"}
	if _, err := Build(t.Context(), dir, opts); err == nil || !strings.Contains(err.Error(), `extract "nonsense": known are basic,`) {
		t.Errorf("an unknown name: %v", err)
	}
}

// place is where the bytes of each file lie.
func places(t *testing.T, ref string, p Places) map[string]string {
	t.Helper()
	c, err := Open(t.Context(), ref, p)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	found := map[string]string{}
	for e, err := range c.Catalog().Entries(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type == tree.File {
			found[e.Path] = fmt.Sprint(e.Pack, e.Offset)
		}
	}
	return found
}

// When another set is extracted, files are read for their metadata but not
// packed again; while it is the same, what did not change keeps its own.
func TestExtractVersions(t *testing.T) {
	files := map[string][]byte{
		"a.pdf": pdf(10), "large": append([]byte("!"), noise(3<<20)...), "sub/b.pdf": pdf(20), "text": []byte("text\n"), "warns": []byte("!"),
	}
	dir := writeTree(t, files)
	if err := os.Link(filepath.Join(dir, "a.pdf"), filepath.Join(dir, "z-link")); err != nil {
		t.Fatal(err)
	}
	settle(t, dir)
	opts := storeOptions(t, "set")
	build := func(set string, x *firstByte) (*BuildResult, map[string]string) {
		t.Helper()
		opts.Extract, opts.Extractors, opts.Progress = []string{set}, nil, &Progress{}
		if x != nil {
			opts.Extractors = []extract.External{x}
		}
		res, err := Build(t.Context(), dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		return res, metaOf(t, res.Ref, opts.Places)
	}
	first, got := build("basic", nil)
	if len(got) > 0 || first.Dataset.Extract != "" {
		t.Errorf("basic: %v %q", got, first.Dataset.Extract)
	}
	where := places(t, first.Ref, opts.Places)

	x := &firstByte{}
	res, got := build("mime", x)
	want := map[string]string{
		"a.pdf":     `{"mime.type": "application/pdf", "first.byte": 37}`,
		"large":     `{"first.byte": 33, "extract.warnings": ["first: it begins with a '!'"]}`,
		"sub/b.pdf": `{"mime.type": "application/pdf", "first.byte": 37}`,
		"text":      `{"first.byte": 116}`,
		"warns":     `{"first.byte": 33, "extract.warnings": ["first: it begins with a '!'"]}`,
		"z-link":    `{"mime.type": "application/pdf", "first.byte": 37}`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if res.Unchanged || res.Packs != first.Packs || res.Warned != 2 || x.calls.Load() != 5 {
		t.Errorf("unchanged %t, %d packs, %d warnings, %d calls", res.Unchanged, res.Packs, res.Warned, x.calls.Load())
	}
	if n := opts.Progress.Sample().Bytes; n != res.Dataset.Bytes {
		t.Errorf("%d of %d bytes are said to be done", n, res.Dataset.Bytes)
	}
	if d := cmp.Diff(where, places(t, res.Ref, opts.Places)); d != "" {
		t.Error(d)
	}
	checkContents(t, res.Ref, dir, maps.Collect(func(yield func(string, []byte) bool) {
		for name, data := range files {
			if !yield(name, data) {
				return
			}
		}
		yield("z-link", files["a.pdf"])
	}), opts.Places)

	x = &firstByte{}
	same, _ := build("mime", x)
	if !same.Unchanged || same.Digest != res.Digest || same.Warned != 2 || x.calls.Load() != 0 {
		t.Errorf("the same again: unchanged %t, %d warnings, %d calls", same.Unchanged, same.Warned, x.calls.Load())
	}

	// One file changes: only that one is looked at, and loses its warning.
	if err := os.WriteFile(filepath.Join(dir, "warns"), []byte("not any more"), 0o644); err != nil {
		t.Fatal(err)
	}
	want["warns"] = `{"first.byte": 110}`
	res, got = build("mime", x)
	if d := cmp.Diff(want, got); d != "" || res.Warned != 1 || x.calls.Load() != 1 {
		t.Errorf("%d warnings, %d calls: %s", res.Warned, x.calls.Load(), d)
	}

	// A newer extractor, and a cache that is lost: all is read.
	opts.Rehash = true
	x = &firstByte{version: "b"}
	_, got = build("basic", x)
	if got["a.pdf"] != `{"first.byte": 37, "first.version": "b"}` || len(got) != 6 || x.calls.Load() != 5 {
		t.Errorf("%d calls: %v", x.calls.Load(), got)
	}
	if res, got = build("basic", nil); len(got) > 0 || res.Dataset.Extract != "" {
		t.Errorf("basic again: %v", got)
	}
}

// A parent with other metadata than the cache is of is read anew.
func TestExtractOtherParent(t *testing.T) {
	dir := writeTree(t, map[string][]byte{"a.pdf": pdf(10), "b.pdf": pdf(2 << 20)})
	settle(t, dir)
	opts := storeOptions(t, "plain")
	opts.Extract = []string{"basic"}
	plain, err := Build(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	opts.Name, opts.Extract = "rich", []string{"mime"}
	if _, err := Build(t.Context(), dir, opts); err != nil {
		t.Fatal(err)
	}
	opts.Name, opts.Parent = "richer", plain.Ref
	res, err := Build(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	if got := metaOf(t, res.Ref, opts.Places); len(got) != 2 || res.Parent != plain.Digest {
		t.Errorf("%v of %s", got, res.Parent)
	}
}

// ages is a context: a table of what is to be said of files.
func ages() *extract.ContextFormat {
	return &extract.ContextFormat{
		Name: "ages", Version: 1, Namespaces: []string{"ages"},
		Prepare: func(ctx context.Context, ds *extract.Dataset) (extract.Context, error) {
			f, err := ds.Open(ctx, "ages.table")
			if err != nil {
				return nil, err
			}
			defer f.Close()
			table := ageTable{}
			lines := bufio.NewScanner(f)
			for lines.Scan() {
				path, age, _ := strings.Cut(lines.Text(), "\t")
				table[path] = age
			}
			var all []string
			for path, err := range ds.Paths(ctx) {
				if err != nil {
					return nil, err
				}
				all = append(all, path)
			}
			table["ages.table"] = strings.Join(all, " ")
			return table, lines.Err()
		},
	}
}

type ageTable map[string]string

func (c ageTable) Meta(path string) *extract.Meta {
	m := &extract.Meta{}
	if m.SetString("ages.age", c[path]); len(m.Keys()) == 0 {
		return nil
	}
	return m
}

// What the dataset says of a file follows the dataset, though the file and
// its pack stay as they are; also when changes alone are committed.
func TestContextVersions(t *testing.T) {
	dir := writeTree(t, map[string][]byte{
		"ages.table": []byte("a.pdf\t31\nbig\t40\n"), "a.pdf": pdf(10), "big": noise(2 << 20), "c": []byte("c"), "gone": []byte("g"),
	})
	settle(t, dir)
	opts := storeOptions(t, "set")
	newBuild := func(src string) *build {
		set, err := extract.NewSet([]string{"mime"}, extract.Options{})
		if err != nil {
			t.Fatal(err)
		}
		set.AddContexts(ages())
		b := &build{opts: opts, src: src}
		if err := b.useSet(t.Context(), set, nil); err != nil {
			t.Fatal(err)
		}
		return b
	}
	run := func(b *build, want map[string]string) *BuildResult {
		t.Helper()
		res, err := b.start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, metaOf(t, res.Ref, opts.Places)); d != "" {
			t.Error(d)
		}
		return res
	}
	want := map[string]string{
		"ages.table": `{"ages.age": "a.pdf ages.table big c gone"}`,
		"a.pdf":      `{"mime.type": "application/pdf", "ages.age": "31"}`,
		"big":        `{"ages.age": "40"}`,
	}
	first := run(newBuild(dir), want)

	if err := os.WriteFile(filepath.Join(dir, "ages.table"), []byte("a.pdf\t32\nc\t7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	opts.Progress = &Progress{}
	want["a.pdf"] = `{"mime.type": "application/pdf", "ages.age": "32"}`
	want["c"] = `{"ages.age": "7"}`
	delete(want, "big")
	second := run(newBuild(dir), want)
	before, after := places(t, first.Ref, opts.Places), places(t, second.Ref, opts.Places)
	for name := range before {
		if (before[name] != after[name]) != (name == "ages.table") {
			t.Errorf("%s lies at %s, then at %s", name, before[name], after[name])
		}
	}

	// Changes: the table is the parent's, then one of their own.
	commit := func(changes map[string][]byte) {
		t.Helper()
		b := newBuild(writeTree(t, changes))
		parent, err := Open(t.Context(), "set", opts.Places)
		if err != nil {
			t.Fatal(err)
		}
		b.parent, b.overlay, b.opts.Cache = parent, newOverlay(), ""
		b.opts.Compression = opts.Compression
		run(b, want)
	}
	want["ages.table"] = `{"ages.age": "a.pdf ages.table big c new.pdf"}`
	want["new.pdf"] = `{"mime.type": "application/pdf"}`
	commit(map[string][]byte{"new.pdf": pdf(5), ".wh.gone": nil})
	want["big"], want["new.pdf"] = `{"ages.age": "1"}`, `{"mime.type": "application/pdf", "ages.age": "2"}`
	want["a.pdf"] = `{"mime.type": "application/pdf"}`
	delete(want, "c")
	commit(map[string][]byte{"ages.table": []byte("big\t1\nnew.pdf\t2\n"), ".wh.nothing": nil})

	// A dataset that is none of the kind any more.
	if err := os.Remove(filepath.Join(dir, "ages.table")); err != nil {
		t.Fatal(err)
	}
	res := run(newBuild(dir), map[string]string{"a.pdf": `{"mime.type": "application/pdf"}`})
	if len(res.DatasetWarnings) != 1 || !strings.Contains(res.DatasetWarnings[0].Error(), "ages: ") {
		t.Errorf("warnings %v", res.DatasetWarnings)
	}
}

// Commits extract what their parent did.
func TestExtractCommit(t *testing.T) {
	dir := writeTree(t, map[string][]byte{"a.pdf": pdf(10)})
	opts := storeOptions(t, "set")
	for _, set := range []string{"mime", "basic"} {
		opts.Extract, opts.NoParent = []string{set}, true
		if _, err := Build(t.Context(), dir, opts); err != nil {
			t.Fatal(err)
		}
		for _, upper := range []bool{true, false} {
			changes := map[string][]byte{"b.pdf": pdf(2 << 20), "c.pdf": pdf(11)}
			if !upper {
				changes["a.pdf"] = pdf(10)
			}
			c := CommitOptions{BuildOptions: opts, Upper: &upper}
			c.Extract = []string{"nonsense"}
			res, err := Commit(t.Context(), writeTree(t, changes), c)
			if err != nil {
				t.Fatal(err)
			}
			got := slices.Sorted(maps.Keys(metaOf(t, res.Ref, opts.Places)))
			if want := "[a.pdf b.pdf c.pdf]"; set == "mime" && fmt.Sprint(got) != want || set == "basic" && len(got) > 0 {
				t.Errorf("%s, upper %t: %v have metadata", set, upper, got)
			}
		}
	}
}

// A change that nothing but the content shows, found while a large file is
// read for its metadata, is packed.
func TestExtractChangedUnseen(t *testing.T) {
	data := noise(3 << 20)
	dir := writeTree(t, map[string][]byte{"large": data})
	settle(t, dir)
	opts := storeOptions(t, "set")
	opts.Extract = []string{"basic"}
	if _, err := Build(t.Context(), dir, opts); err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(data)
	copy(changed, pdf(0))
	if err := os.WriteFile(filepath.Join(dir, "large"), changed, 0o644); err != nil {
		t.Fatal(err)
	}
	settle(t, dir)
	opts.Extract = []string{"mime"}
	res, err := Build(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	checkContents(t, res.Ref, dir, map[string][]byte{"large": changed}, opts.Places)
	if got := metaOf(t, res.Ref, opts.Places)["large"]; got != `{"mime.type": "application/pdf"}` {
		t.Errorf("metadata %s", got)
	}
}
