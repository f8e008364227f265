package cdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
)

// setOldTimes gives all files and folders of a test tree one time.
func setOldTimes(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.Type() == fs.ModeSymlink {
			return err
		}
		return os.Chtimes(p, time.Unix(1e9, 5), time.Unix(1e9, 5))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// timedTree is a folder with files that all have the same time.
func timedTree(t *testing.T, files map[string]string) string {
	t.Helper()
	data := map[string][]byte{}
	for name, s := range files {
		data[name] = []byte(s)
	}
	dir := writeTree(t, data)
	setOldTimes(t, dir)
	return dir
}

// buildRef builds dir and returns a reference to the image.
func buildRef(t *testing.T, dir string, change func(*BuildOptions)) string {
	t.Helper()
	opts := testOptions(t)
	if change != nil {
		change(&opts)
	}
	if _, err := Build(t.Context(), dir, opts); err != nil {
		t.Fatal(err)
	}
	return opts.Output
}

// brief is a change in a line.
func brief(c *Change) string {
	s := string(c.Kind) + " " + c.Path
	if c.OldPath != "" {
		s = string(c.Kind) + " " + c.OldPath + " -> " + c.Path
	}
	value := func(v *string) string {
		if v == nil {
			return "none"
		}
		return *v
	}
	for _, f := range c.Fields {
		s += fmt.Sprintf(" [%s %s %s]", f.Name, value(f.Old), value(f.New))
	}
	return s
}

func diffRefs(t *testing.T, a, b string, opts DiffOptions) []string {
	t.Helper()
	got := []string{}
	for c, err := range openDiff(t, a, b, opts) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, brief(c))
	}
	return got
}

func openDiff(t *testing.T, a, b string, opts DiffOptions) func(func(*Change, error) bool) {
	t.Helper()
	var sides []*Side
	for _, ref := range []string{a, b} {
		s, err := OpenSide(t.Context(), ref, Places{TempDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		sides = append(sides, s)
	}
	return Diff(t.Context(), sides[0], sides[1], opts)
}

// Whatever the sides are, images or folders, their differences are the same.
func TestDiff(t *testing.T) {
	long := strings.Repeat("moved ", 1000)
	a := timedTree(t, map[string]string{
		"same": "same", "sub/changed": "old", "sub/mode": "m", "gone": "gone", "moves/from": long, "kind": "file",
		"a": "was a file", "a!": "between", "a-": "between", "b/in": "b was a folder", "b!": "between", "touched": "t", "empty1": "",
	})
	b := timedTree(t, map[string]string{
		"same": "same", "sub/changed": "new!", "sub/mode": "m", "moves/to": long, "came": "came",
		"a/in": "is a folder", "a!": "between", "a-": "other", "b": "b is a file", "b!": "between", "touched": "t", "empty2": "",
	})
	for link, target := range map[string]string{"kind": "same", "link": "there"} {
		if err := os.Symlink(target, filepath.Join(b, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("here", filepath.Join(a, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(b, "sub/mode"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(b, "touched"), time.Unix(2e9, 0), time.Unix(2e9, 0)); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"type a", "changed a-", "added a/in", "type b", "removed b/in", "added came", "removed empty1", "added empty2",
		"removed gone", "type kind", "metadata link [link here there]", "renamed moves/from -> moves/to", "changed sub/changed",
		"metadata sub/mode [mode 0644 0755]", "metadata touched [time 2001-09-09T01:46:40Z 2033-05-18T03:33:20Z]",
	}
	imageA, imageB := buildRef(t, a, nil), buildRef(t, b, nil)
	noTimesOfLinks := func(lines []string) []string { // Chtimes does not set them
		for i, l := range lines {
			if strings.HasPrefix(l, "metadata link [time") {
				lines[i] = "metadata link" + l[strings.Index(l, "]")+1:]
			}
		}
		return lines
	}
	for _, refs := range [][2]string{{imageA, imageB}, {imageA, b}, {a, imageB}, {a, b}} {
		if diff := cmp.Diff(want, noTimesOfLinks(diffRefs(t, refs[0], refs[1], DiffOptions{Workers: 2}))); diff != "" {
			t.Errorf("%s to %s: %s", refs[0], refs[1], diff)
		}
	}
	for _, refs := range [][2]string{{imageA, imageA}, {imageA, a}, {b, imageB}, {a, a}} {
		if got := diffRefs(t, refs[0], refs[1], DiffOptions{Times: TimesOfAll}); len(got) > 0 {
			t.Errorf("%s to %s: %q", refs[0], refs[1], got)
		}
	}
	got := diffRefs(t, imageA, b, DiffOptions{Paths: []string{"/data/moves/", "gone", "moves/to"}, NoRenames: true})
	if diff := cmp.Diff([]string{"removed gone", "removed moves/from", "added moves/to"}, got); diff != "" {
		t.Error(diff)
	}
}

// A rename across folders, and those of files with the same bytes, keep the
// name where they can; each file takes part in one.
func TestDiffRenames(t *testing.T) {
	a := timedTree(t, map[string]string{"x/1": "same", "x/2": "same", "x/3": "same", "x/4": "same", "e": ""})
	b := timedTree(t, map[string]string{"y/2": "same", "y/3": "same", "z": "same", "f": ""})
	want := []string{
		"removed e", "added f", "removed x", "removed x/4", "added y", "renamed x/2 -> y/2", "renamed x/3 -> y/3", "renamed x/1 -> z",
	}
	if diff := cmp.Diff(want, diffRefs(t, a, b, DiffOptions{})); diff != "" {
		t.Error(diff)
	}
}

// Changes that do not fit into memory are reported, in order, without the
// renames that reach further.
func TestHoldLimit(t *testing.T) {
	var got []string
	h := &holder{renames: true, limit: 5000, fields: func(a, b *catalog.Entry) []Field { return nil }}
	h.yield = func(c *Change) bool {
		got = append(got, brief(c))
		return true
	}
	add := func(kind Kind, path string, sum byte) {
		e := &catalog.Entry{Entry: tree.Entry{Path: path, Type: tree.File, Size: 1}, SHA256: [32]byte{sum}}
		c := &Change{Kind: kind, Path: path, Old: e}
		if kind == Added {
			c.Old, c.New = nil, e
		}
		if err := h.add(e, c); err != nil {
			t.Fatal(err)
		}
	}
	add(Removed, "0-far", 200)
	add(Removed, "1-near", 201)
	add(Added, "2-near", 201)
	for i := range 100 {
		add(Removed, fmt.Sprintf("3-%03d", i), byte(i))
	}
	add(Added, "4-far", 200)
	if err := h.flush(); err != nil {
		t.Fatal(err)
	}
	if len(got) != 103 || got[0] != "removed 0-far" || got[1] != "renamed 1-near -> 2-near" || got[102] != "added 4-far" {
		t.Errorf("%d changes: %q", len(got), got)
	}
}

// Attributes are compared as far as both sides keep them, and what is said of
// the datasets field by field.
func TestDiffPreserved(t *testing.T) {
	dir := timedTree(t, map[string]string{"f": "x", "sub/g": "y"})
	if err := os.Chmod(filepath.Join(dir, "f"), 0o640); err != nil {
		t.Fatal(err)
	}
	plain := buildRef(t, dir, func(o *BuildOptions) { o.Title, o.Labels = "T", map[string]string{"lab": "1", "old": "x"} })
	exact := buildRef(t, dir, func(o *BuildOptions) {
		o.Preserve, o.License, o.Prefix, o.Labels = true, "MIT", "/d", map[string]string{"lab": "2"}
	})
	want := []string{
		"dataset  [title T none]", "dataset  [license none MIT]", "dataset  [prefix /data /d]", "dataset  [preserved false true]",
		"dataset  [label.lab 1 2]", "dataset  [label.old x none]",
	}
	if diff := cmp.Diff(want, diffRefs(t, plain, exact, DiffOptions{Times: TimesOfAll})); diff != "" {
		t.Error(diff)
	}
	if err := os.Chmod(filepath.Join(dir, "f"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(dir, "sub/g"), time.Unix(1e9, 6), time.Unix(1e9, 6)); err != nil {
		t.Fatal(err)
	}
	if got := diffRefs(t, plain, dir, DiffOptions{}); len(got) > 0 {
		t.Errorf("what a build normalises differs: %q", got)
	}
	want = []string{"metadata f [mode 0640 0644]", "metadata sub/g [time 2001-09-09T01:46:40.000000005Z 2001-09-09T01:46:40.000000006Z]"}
	if diff := cmp.Diff(want, diffRefs(t, exact, dir, DiffOptions{})); diff != "" {
		t.Error(diff)
	}
}

// Hard links are files with the same bytes, wherever they were packed.
func TestDiffHardLinks(t *testing.T) {
	dir := timedTree(t, map[string]string{"a/1": "linked", "z": "z"})
	for _, name := range []string{"a/2", "b"} {
		if err := os.Link(filepath.Join(dir, "a/1"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	image := buildRef(t, dir, nil)
	for _, paths := range [][]string{nil, {"a/2", "b"}, {"a"}} {
		if got := diffRefs(t, image, dir, DiffOptions{Paths: paths}); len(got) > 0 {
			t.Errorf("%q: %q", paths, got)
		}
	}
	copied := timedTree(t, map[string]string{"a/1": "linked", "a/2": "linked", "b": "linked", "z": "z"})
	if got := diffRefs(t, image, copied, DiffOptions{}); len(got) > 0 {
		t.Errorf("copies differ from links: %q", got)
	}
}

// Ignore rules are those of a build, and what a build leaves out is named.
func TestDiffFolderRules(t *testing.T) {
	dir := timedTree(t, map[string]string{"keep": "k", "skip.tmp": "s", ".cdbignore": "*.tmp\n", "other": "o"})
	image := buildRef(t, dir, func(o *BuildOptions) { o.Output = "oci:" + filepath.Join(dir, "layout") })
	if got := diffRefs(t, image, dir, DiffOptions{}); len(got) > 0 {
		t.Errorf("what a build leaves out differs: %q", got)
	}
	if got := diffRefs(t, image, dir, DiffOptions{Exclude: []string{"/other"}}); len(got) != 1 || got[0] != "removed other" {
		t.Errorf("with an exclusion: %q", got)
	}
	if err := os.Symlink("x", filepath.Join(dir, ".wh.x")); err != nil {
		t.Fatal(err)
	}
	var skipped []string
	diffRefs(t, image, dir, DiffOptions{Skipped: func(_ *Side, s scan.Skip) { skipped = append(skipped, s.Path) }})
	if !slices.Equal(skipped, []string{".wh.x"}) {
		t.Errorf("skipped %q", skipped)
	}
}

// Metadata is compared by key.
func TestMetaFields(t *testing.T) {
	var got []string
	for _, f := range metaFields(`{"w": 1, "same": [1, 2], "gone": "x"}`, `{"same": [1,2], "w": 2, "new": null}`) {
		got = append(got, brief(&Change{Fields: []Field{f}}))
	}
	if want := []string{"  [meta.gone \"x\" none]", "  [meta.new none null]", "  [meta.w 1 2]"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if f := metaFields(`{"a": 1}`, `{"a"`); len(f) != 1 || f[0].Name != "meta" {
		t.Errorf("damaged metadata: %v", f)
	}
}

// A comparison that is cancelled says so, one that is left early ends, and a
// path that is on no side is an error.
func TestDiffEnds(t *testing.T) {
	files := map[string]string{}
	for i := range 700 {
		files[fmt.Sprintf("%04d", i)] = fmt.Sprint(i)
	}
	a, b := timedTree(t, files), t.TempDir()
	for _, err := range openDiff(t, a, b, DiffOptions{NoRenames: true}) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	for _, err := range openDiff(t, a, b, DiffOptions{Paths: []string{"nowhere"}}) {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a path that is not there: %v", err)
		}
	}
	sides := []*Side{{Ref: a, dir: a}, {Ref: b, dir: b}}
	for after := range 4 {
		ctx, cancel := context.WithCancel(t.Context())
		var last error
		n := 0
		for _, err := range Diff(ctx, sides[0], sides[1], DiffOptions{NoRenames: true, Workers: 2}) {
			if n == after*after*after {
				cancel()
			}
			n++
			last = err
		}
		cancel()
		if !errors.Is(last, context.Canceled) {
			t.Errorf("cancelled after %d changes: %v", after*after*after, last)
		}
	}
}

// A word that is a folder and an image is refused.
func TestOpenSideAmbiguous(t *testing.T) {
	dir := timedTree(t, map[string]string{"photos/f": "x"})
	t.Chdir(dir)
	places := Places{Store: filepath.Join(t.TempDir(), "store"), TempDir: t.TempDir()}
	s, err := OpenSide(t.Context(), "photos", places)
	if err != nil || s.Dataset() != nil {
		t.Fatalf("a folder: %v", err)
	}
	opts := testOptions(t)
	opts.Name, opts.Output, opts.Places = "photos", "", places
	if _, err := Build(t.Context(), "photos", opts); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSide(t.Context(), "photos", places); err == nil || !strings.Contains(err.Error(), `"./photos"`) {
		t.Errorf("an image and a folder: %v", err)
	}
	for _, ref := range []string{"./photos", "photos:latest", dir + "/photos"} {
		s, err := OpenSide(t.Context(), ref, places)
		if err != nil {
			t.Fatal(err)
		}
		if (s.Dataset() == nil) == (ref == "photos:latest") {
			t.Errorf("%s is the wrong side", ref)
		}
		s.Close()
	}
}
