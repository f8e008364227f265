package main

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// folder is a tree of 400 files in 4 folders.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	texts := map[string]string{}
	for _, sub := range []string{"a", "b", "c", "d"} {
		for i := range 100 {
			texts[filepath.Join(sub, string(rune('a'+i/26))+string(rune('a'+i%26)))] = strings.Repeat("x", i)
		}
	}
	if err := writeFiles(dir, texts); err != nil {
		t.Fatal(err)
	}
	return dir
}

// contents are all regular files below dir.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	list := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		list[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// differing counts the files that are not the same, and adds up their sizes.
func differing(before, after map[string]string) (n, size int64) {
	for name, text := range after {
		if old, ok := before[name]; !ok || old != text {
			n++
			size += int64(len(text))
		}
	}
	return n, size
}

func TestChanges(t *testing.T) {
	dir := folder(t)
	for round := range 20 {
		before := contents(t, dir)
		done, err := changeRun(t.Context(), dir, 400, 4, round)
		if err != nil {
			t.Fatal(err)
		}
		n, size := differing(before, contents(t, dir))
		if done.files != 4 || n != 4 || done.bytes != size || done.folders < 1 || done.folders > 2 {
			t.Errorf("neighbours, round %d: %+v, and %d files with %d bytes differ", round, done, n, size)
		}
		before = contents(t, dir)
		if done, err = changeSome(t.Context(), dir, 400, round); err != nil {
			t.Fatal(err)
		}
		n, size = differing(before, contents(t, dir))
		if done.files != 4 || n != 4 || done.bytes != size || done.folders != 4 {
			t.Errorf("everywhere, round %d: %+v, and %d files with %d bytes differ", round, done, n, size)
		}
	}
}

// A folder grows by files that no tool has seen, and what was there stays.
func TestGrow(t *testing.T) {
	dir := folder(t)
	seen := map[string]bool{}
	for version := 1; version <= 5; version++ {
		before := contents(t, dir)
		done, err := grow(t.Context(), dir, 400, version)
		if err != nil {
			t.Fatal(err)
		}
		after := contents(t, dir)
		n, size := differing(before, after)
		if done.files != 4 || n != 4 || done.bytes != size || len(after) != len(before)+4 {
			t.Errorf("version %d: %+v, and %d files with %d bytes differ", version, done, n, size)
		}
		maps.DeleteFunc(after, func(name, _ string) bool { _, old := before[name]; return old })
		for name, text := range after {
			if seen[text] {
				t.Errorf("%s is what another one was", name)
			}
			seen[text] = true
		}
	}
	if _, err := grow(t.Context(), dir, 400, 5); err == nil {
		t.Error("a version that is there is no error")
	}
}

func TestDescribeLayers(t *testing.T) {
	added := map[string]int64{"d2": 20, "c": 5, "manifest": 1}
	const rest = `{"role": "entrypoint", "digest": "sha256:e"}, {"role": "catalog", "digest": "sha256:c"}]}`
	tests := []struct {
		name, info string
		want       version
		share      string
	}{
		{"with dead bytes", `{"layers": [{"role": "data", "digest": "sha256:d1", "tarSize": 300, "live": 100},
			{"role": "data", "digest": "sha256:d2", "tarSize": 100, "live": 100}, ` + rest,
			version{data: 20, catalog: 5, packs: 2, dead: 0.5, deadKnown: true}, "50.0 %"},
		{"nothing dead, nothing new", `{"layers": [{"role": "data", "digest": "sha256:d1", "tarSize": 300, "live": 300}]}`,
			version{packs: 1, deadKnown: true}, "0.0 %"},
		{"not told", `{"layers": [{"role": "data", "digest": "sha256:d2"}, ` + rest,
			version{data: 20, catalog: 5, packs: 1}, "not told by this cdb"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got version
			if err := got.describeLayers([]byte(tt.info), added); err != nil {
				t.Fatal(err)
			}
			if got != tt.want || got.deadShare() != tt.share {
				t.Errorf("got %+v, %s; want %+v, %s", got, got.deadShare(), tt.want, tt.share)
			}
		})
	}
	var v version
	if err := v.describeLayers([]byte("no"), added); err == nil {
		t.Error("what is no JSON is no error")
	}
}

func TestSizes(t *testing.T) {
	dir := t.TempDir()
	if got, err := sizes(filepath.Join(dir, "absent")); err != nil || len(got) != 0 {
		t.Errorf("no folder: %v, %v", got, err)
	}
	if err := writeFiles(dir, map[string]string{"index.json": "list", "blobs/sha256/aa": "four"}); err != nil {
		t.Fatal(err)
	}
	got, err := sizes(dir)
	if err != nil || !maps.Equal(got, map[string]int64{filepath.Join(dir, "blobs/sha256/aa"): 4}) {
		t.Errorf("got %v, %v", got, err)
	}
}

// took is a version of so many seconds that wrote data and catalog.
func took(s float64, data, catalog int64) version {
	return version{usage: usage{Wall: time.Duration(s * float64(time.Second)), Output: data + catalog},
		data: data, catalog: catalog, packs: 1, deadKnown: true}
}

func TestVersionTables(t *testing.T) {
	ours, other := &keeper{tool: tool{name: reference}, grows: true}, &keeper{tool: tool{name: "other", note: "encrypts"}, grows: true}
	broken := &keeper{tool: tool{name: "broken"}, whole: true}
	rows := func(a, b version) []versionRow {
		return []versionRow{{keeper: ours, runs: []version{a}}, {keeper: other, runs: []version{b}}}
	}
	first := append(rows(took(10, 1e8, 2e8), took(20, 9e7, 0)), versionRow{keeper: broken, err: errors.New("no space")})
	tl := &timeline{corpus: corpus{part: "query", name: "1,000,000 files", about: "tiny", files: 1_000_000, bytes: 1000}, cache: 3 << 20,
		steps: []step{
			{name: firstBuild, rounds: 1, rows: first},
			{name: nothingChanged, rounds: 1, rows: append(rows(took(3, 0, 0), took(9, 0, 0)),
				versionRow{keeper: findKeeper(), runs: []version{{usage: usage{Wall: time.Second}}}})},
			{name: oneChanged, rounds: 2, change: change{2, 2, 2}, rows: rows(took(1, 10, 2e6), took(9, 10, 0))},
			{name: "1 % changed, everywhere", rounds: 2, change: change{20_000, 40, 2000}, rows: rows(took(1, 3e6, 1e8), took(9, 10, 0))},
		},
		added: change{20, 2000, 2},
		grown: []growth{
			{keeper: ours, versions: []version{took(9, 1, 1), took(2, 1, 1), took(3, 1<<20, 2<<20)}, total: 5 << 20},
			{keeper: broken, err: errors.New("no space")},
		}}
	r := &report{timelines: []*timeline{tl}, ten: &tenResult{corpus: corpus{name: "10 files", about: "none", files: 10_000_000}, first: took(100, 1, 12e8)}}
	r.ten.first.Peak = 2 << 30
	for _, want := range []string{
		"| first build | cdb build (gzip) | 10.0 s | 1.00× |",
		"|  | other | 20.0 s | 2.00× |",
		"- broken failed at \"first build\": no space\n",
		"- other: encrypts\n",
		"files: 10,000, in folders: 1,000; they hold 2 % of all bytes. cdb build (gzip) writes 3 % of the data and 50 % of the catalog",
		"The change cache of cdb takes 3.0 MiB",
		"2 versions, each with one folder of 10 files more",
		"| 2 | 3.00 s |", "| 1 | 0.0 % |",
		"| cdb build (gzip) | 2 | 5.00 s | 0.0 ms | ≤ 0 bytes | 3.0 MiB | 1.0 MiB | 2.0 MiB | 5.0 MiB |",
		"| broken | failed: no space |",
		"takes at most 2 times what `find` does | **not met** | 3.00 s against 1.00 s: 3.00× |",
		"these files have | **not met** | 1,000,000 files, everywhere: 3.00 % for 2.00 % |",
		"After a change of one file of 100,000 or more at most 10 % of the catalog is written | met | 1,000,000 files: 1.9 MiB of 191 MiB |",
		"of which at most 30 % is dead | met | 1,000,000 files: 1 layers, dead: 0.0 % |",
		"bytes per file as shipped | **not met** | 1,000,000 files: 200.0; 10,000,000 files: 120.0 |",
		"Build 10,000,000 files in less than 1 GiB | **not met** | 2 GiB",
	} {
		if text := r.document(); !strings.Contains(strings.ToLower(text), strings.ToLower(want)) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
