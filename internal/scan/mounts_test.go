package scan_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
)

// mounted lists several sources: "PATH TYPE", and opens all files.
func mounted(t *testing.T, mounts []scan.Mount, opts scan.Options) (string, error) {
	t.Helper()
	l, err := scan.OpenMounts(t.Context(), mounts, opts)
	if err != nil {
		return "", err
	}
	defer func() { check(t, l.Close()) }()
	var lines []string
	var files, dirs, links int64
	for it, err := range l.Read(t.Context()) {
		check(t, err)
		line := it.Path + " " + string(it.Type)
		switch it.Type {
		case tree.File:
			files++
			f, err := it.Open()
			check(t, err)
			b, err := io.ReadAll(f)
			check(t, err)
			check(t, f.Close())
			line += strings.TrimPrefix(string(b), "content of")
			if it.Link != "" {
				line += " = " + it.Link
			}
		case tree.Symlink:
			links++
		case tree.Dir:
			dirs++
		}
		it.Release()
		lines = append(lines, line)
	}
	if got := l.Totals(); got.Files != files || got.Dirs != dirs || got.Links != links {
		t.Errorf("totals %+v, found %d files, %d folders, %d links", got, files, dirs, links)
	}
	for _, s := range l.Skipped() {
		lines = append(lines, "skipped "+s.Path)
	}
	return strings.Join(lines, "\n"), nil
}

func TestMounts(t *testing.T) {
	a := makeTree(t, "d/x", "d-e", "f", "h => f", "l -> f", "only/a/")
	b := makeTree(t, "d/y", "g", "d/sub/z")
	file := filepath.Join(makeTree(t, "table.csv"), "table.csv")
	link := filepath.Join(t.TempDir(), "link.csv")
	check(t, os.Symlink(file, link))
	for name, test := range map[string]struct {
		mounts []scan.Mount
		want   string
	}{
		"one": {[]scan.Mount{{Src: b}}, " d\nd d\nd/sub d\nd/sub/z f d/sub/z\nd/y f d/y\ng f g"},
		"merged": {[]scan.Mount{{Src: a}, {Src: b}},
			" d\nd-e f d-e\nd d\nd/sub d\nd/sub/z f d/sub/z\nd/x f d/x\nd/y f d/y\nf f f\ng f g\nh f f = f\nl l\nonly d\nonly/a d"},
		"below":             {[]scan.Mount{{Src: b, To: "p/q"}}, " d\np d\np/q d\np/q/d d\np/q/d/sub d\np/q/d/sub/z f d/sub/z\np/q/d/y f d/y\np/q/g f g"},
		"links":             {[]scan.Mount{{Src: a, To: "p", Exclude: []string{"d*", "only", "l"}}, {Src: file}}, " d\np d\np/f f f\np/h f f = p/f\ntable.csv f table.csv"},
		"a file, by a link": {[]scan.Mount{{Src: link, To: "t"}, {Src: b, Exclude: []string{"/d"}}}, " d\ng f g\nt d\nt/link.csv f table.csv"},
		"inside another":    {[]scan.Mount{{Src: b, Exclude: []string{"y"}}, {Src: file, To: "d/sub"}}, " d\nd d\nd/sub d\nd/sub/table.csv f table.csv\nd/sub/z f d/sub/z\ng f g"},
	} {
		got, err := mounted(t, test.mounts, scan.Options{})
		if err != nil || got != test.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, test.want)
		}
	}
}

func TestMountCollisions(t *testing.T) {
	a := makeTree(t, "x", "x-y", "x.z/a", "d/e")
	for name, test := range map[string]struct {
		other []string
		to    string
		want  string
	}{
		"file":             {[]string{"x"}, "", `"x" comes from both "one" and "two"`},
		"folder for file":  {[]string{"x/y"}, "", `"x" comes from both "one" and "two"`},
		"behind others":    {[]string{"x-/a", "x!", "x/y"}, "", `"x" comes from both "one" and "two"`},
		"file for folder":  {[]string{"d"}, "", `"d" comes from both "two" and "one"`},
		"link":             {[]string{"d/e -> y"}, "", `"d/e" comes from both "one" and "two"`},
		"target is a file": {[]string{"y"}, "x/z", `"x" comes from both "one" and "two"`},
	} {
		mounts := []scan.Mount{{Src: a, Name: "one"}, {Src: makeTree(t, test.other...), Name: "two", To: test.to}}
		if got, err := mounted(t, mounts, scan.Options{}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
	if _, err := mounted(t, []scan.Mount{{Src: a}, {Src: a, To: "../x"}}, scan.Options{}); err == nil {
		t.Error("a target that leads out")
	}
	if _, err := mounted(t, []scan.Mount{{Src: a}, {Src: a + "/nothing", Name: "two"}}, scan.Options{}); err == nil || !strings.Contains(err.Error(), `scan "two"`) {
		t.Errorf("a source that is not there: %v", err)
	}
}

// Folders are as new as the newest that they are made of, and those that only
// targets need as what is mounted in them.
func TestMountTimes(t *testing.T) {
	a, b := makeTree(t, "d/x"), makeTree(t, "d/y")
	newer := mtime.Add(time.Hour)
	setTime(t, b+"/d", newer)
	times := func(mounts ...scan.Mount) string {
		l, err := scan.OpenMounts(t.Context(), mounts, scan.Options{})
		check(t, err)
		defer l.Close()
		var s []string
		for e, err := range l.Entries() {
			check(t, err)
			if e.Type == tree.Dir {
				s = append(s, e.Path+"+"+e.ModTime.Sub(mtime.Truncate(time.Second)).String())
			}
		}
		return strings.Join(s, " ")
	}
	if got := times(scan.Mount{Src: a}, scan.Mount{Src: b}); got != "+0s d+1h0m0s" {
		t.Error(got)
	}
	if got := times(scan.Mount{Src: a, To: "p"}, scan.Mount{Src: b + "/d", To: "q/r"}); got != "+1h0m0s p+0s p/d+0s q+1h0m0s q/r+1h0m0s" {
		t.Error(got)
	}
}

// An output in any of the sources is left out, and so is the change of the
// folder's time that it makes.
func TestMountOutputs(t *testing.T) {
	a, b := makeTree(t, "x", "out/y"), makeTree(t, "d/z", "d/image.tar")
	got, err := mounted(t, []scan.Mount{{Src: a}, {Src: b, To: "b"}}, scan.Options{Outputs: []string{a + "/out", b + "/d/image.tar"}})
	if want := " d\nb d\nb/d d\nb/d/z f d/z\nx f x"; err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}
