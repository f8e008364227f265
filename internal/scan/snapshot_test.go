package scan_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
)

const (
	key     = "0123abc"
	options = "prefix=/data compression=zstd"
)

// sampleRecord is the n-th file of a made-up tree.
func sampleRecord(n, pack int) scan.Record {
	at := time.Unix(1_700_000_000+int64(n), int64(n)*12345%1e9).UTC()
	return scan.Record{
		Entry:   tree.Entry{Path: fmt.Sprintf("d/file-%06d", n), Type: tree.File, Mode: 0o644, Size: int64(n) * 7 % 5000, ModTime: time.Unix(at.Unix(), 0).UTC()},
		Stat:    scan.Stat{Dev: 42, Ino: uint64(1000 + n), Nlink: 1, ModTime: at, ChangeTime: at.Add(time.Second)},
		Settled: true,
		SHA256:  sha256.Sum256([]byte{byte(n), byte(n >> 8)}),
		Pack:    pack,
		Offset:  int64(n) * 8192,
	}
}

func samplePack(n int) scan.PackRecord {
	return scan.PackRecord{Digest: fmt.Sprint("sha256:", n), DiffID: "sha256:x", MediaType: "application/x", Size: 1 << 40, TarSize: -1, FrameSize: 1 << 20, Frames: []byte{byte(n), 1, 2}}
}

// oddRecords have every kind of field, in order.
func oddRecords() []scan.Record {
	stat := func(m, c time.Time) scan.Stat {
		return scan.Stat{Dev: math.MaxUint64, Ino: math.MaxUint64, Nlink: 3, ModTime: m.UTC(), ChangeTime: c.UTC()}
	}
	t1, t2 := time.Unix(1_600_000_000, 999_999_999), time.Unix(1_600_000_001, 0)
	far, old := time.Unix(1<<60, 5), time.Unix(-1<<60, 999_999_999)
	return []scan.Record{
		{Entry: tree.Entry{Type: tree.Dir, Mode: 0o7755, UID: -1, GID: math.MaxUint32, ModTime: t1.UTC()}, Stat: stat(t1, t2), Pack: 1},
		{Entry: tree.Entry{Path: "#", Type: tree.Symlink, Link: strings.Repeat("x", 300), ModTime: t2.UTC()}, Stat: stat(t2, t1), Pack: 1},
		{Entry: tree.Entry{Path: "a", Type: tree.Dir, ModTime: old.UTC()}, Stat: stat(old, far)},
		{Entry: tree.Entry{Path: "a/\xff\n", Type: tree.File, Size: math.MaxInt64, ModTime: far.UTC(), Xattrs: map[string]string{"user.a": "", "user.b": "\x00"}}, Stat: stat(t1, t1), Settled: true, SHA256: [32]byte{1}, Pack: 1, Offset: math.MaxInt64},
		{Entry: tree.Entry{Path: "a0", Type: tree.File, Link: "a/\xff\n", ModTime: time.Time{}.UTC()}, Stat: stat(time.Unix(0, 1), time.Unix(-1, 1)), SHA256: [32]byte{31: 1}},
		{Entry: tree.Entry{Path: "a0b", Type: tree.File, Size: 513, ModTime: time.Unix(-5, 0).UTC()}, Stat: stat(time.Unix(-5, 7), time.Unix(-6, 7)), SHA256: [32]byte{1}, Pack: 1, Offset: 512},
		{Entry: tree.Entry{Path: "a0c", Type: tree.File, ModTime: t1.UTC()}, Stat: stat(t1, t1), SHA256: [32]byte{1}, Pack: 1, Offset: 512 + 1024 + 512},
	}
}

func create(t *testing.T, dir string) *scan.SnapshotWriter {
	t.Helper()
	w, err := scan.CreateSnapshot(dir, key, options)
	check(t, err)
	t.Cleanup(func() { check(t, w.Close()) })
	return w
}

func add(t *testing.T, w *scan.SnapshotWriter, records ...scan.Record) {
	t.Helper()
	for i := range records {
		check(t, w.Add(&records[i]))
	}
}

// addRun adds the files from to to, as one pack.
func addRun(t *testing.T, w *scan.SnapshotWriter, pack, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		add(t, w, sampleRecord(n, pack))
	}
	check(t, w.EndPack(samplePack(from)))
}

func openSnapshot(t *testing.T, dir string) *scan.Snapshot {
	t.Helper()
	s, err := scan.OpenSnapshot(dir, key, options)
	check(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func openPartial(t *testing.T, dir string) *scan.Snapshot {
	t.Helper()
	s, err := scan.OpenPartial(dir, key, options)
	check(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// lookups returns what a cursor knows of entries.
func lookups(s *scan.Snapshot, entries []scan.Record) []scan.Record {
	var all []scan.Record
	c := s.Cursor()
	for i := range entries {
		if r := c.Lookup(&entries[i].Entry); r != nil {
			all = append(all, *r)
		}
	}
	return all
}

func runOf(t *testing.T, s *scan.Snapshot, i int) []scan.Record {
	t.Helper()
	var all []scan.Record
	for r, err := range s.Run(i) {
		check(t, err)
		all = append(all, *r)
	}
	return all
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestSnapshotRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "cache")
	w := create(t, dir)
	records := oddRecords()
	add(t, w, records...)
	check(t, w.EndPack(samplePack(1)))
	check(t, w.EndPack(samplePack(2))) // whiteouts only
	check(t, w.Commit())
	check(t, w.Close())

	s := openSnapshot(t, dir)
	if d := cmp.Diff(records, lookups(s, records)); d != "" {
		t.Error(d)
	}
	want := []scan.PackRun{{First: "", Last: "a0c", Records: 5, PackRecord: samplePack(1)}, {PackRecord: samplePack(2)}}
	if d := cmp.Diff(want, s.Packs()); d != "" {
		t.Error(d)
	}
	var packed []scan.Record
	for _, r := range records {
		if r.Pack == 1 {
			packed = append(packed, r)
		}
	}
	if d := cmp.Diff(packed, runOf(t, s, 0)); d != "" {
		t.Error(d)
	}
	if got := runOf(t, s, 1); len(got) != 0 {
		t.Errorf("%d records in a pack of none", len(got))
	}
	if got := names(t, dir); len(got) != 1 || got[0] != key {
		t.Errorf("files %q are left", got)
	}
}

// Entries come and go between builds; each that stayed is found.
func TestCursorMerges(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir)
	for n := 0; n < 9000; n += 2 {
		add(t, w, sampleRecord(n, 0))
	}
	check(t, w.Commit())
	c := openSnapshot(t, dir).Cursor()
	for n := 0; n < 9100; n++ {
		if n%3 == 1 {
			continue
		}
		want := sampleRecord(n, 0)
		r, ok := c.Find(&want.Entry, want.Stat)
		if ok != (n%2 == 0 && n < 9000) {
			t.Fatalf("found file %d: %v", n, ok)
		}
		if ok && r.SHA256 != want.SHA256 {
			t.Fatalf("file %d has the digest of another", n)
		}
	}
	first := sampleRecord(0, 0)
	if r, ok := c.Find(&first.Entry, first.Stat); ok || r != nil {
		t.Error("found an entry behind the cursor")
	}
	check(t, c.Err())
}

// A file that became a folder, or the other way round, is another entry and
// lies elsewhere in the order.
func TestCursorTypes(t *testing.T) {
	entry := func(p string, typ tree.Type) scan.Record {
		return scan.Record{Entry: tree.Entry{Path: p, Type: typ, ModTime: mtime}, Stat: scan.Stat{ModTime: mtime, ChangeTime: mtime}, Settled: true, SHA256: [32]byte{1}}
	}
	dir := t.TempDir()
	w := create(t, dir)
	add(t, w, entry("", tree.Dir), entry("!", tree.File), entry("a", tree.File), entry("a b", tree.File), entry("b", tree.Dir), entry("b/c", tree.File), entry("b0", tree.Symlink))
	check(t, w.Commit())
	c := openSnapshot(t, dir).Cursor()
	var found []string
	for _, e := range []scan.Record{entry("", tree.Dir), entry("!", tree.Symlink), entry("a b", tree.File), entry("a", tree.Dir), entry("a/x", tree.File), entry("b", tree.File), entry("b0", tree.Symlink)} {
		if _, ok := c.Find(&e.Entry, e.Stat); ok {
			found = append(found, e.Path)
		}
	}
	if d := cmp.Diff([]string{"", "a b", "b0"}, found); d != "" {
		t.Error(d)
	}
}

func TestSnapshotRefuses(t *testing.T) {
	bad := map[string][]scan.Record{
		"twice":         {sampleRecord(1, 0), sampleRecord(1, 0)},
		"out of order":  {sampleRecord(2, 0), sampleRecord(1, 0)},
		"below a later": {{Entry: tree.Entry{Path: "d/z", Type: tree.File}}, {Entry: tree.Entry{Path: "d", Type: tree.Dir}}},
		"future pack":   {sampleRecord(1, 2)},
		"no type":       {{Entry: tree.Entry{Path: "x"}}},
		"no path":       {{Entry: tree.Entry{Type: tree.File}}},
		"negative":      {{Entry: tree.Entry{Path: "x", Type: tree.File, Size: -1}}},
	}
	for name, records := range bad {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := create(t, dir)
			add(t, w, records[:len(records)-1]...)
			err := w.Add(&records[len(records)-1])
			if err == nil {
				t.Fatal("no error")
			}
			if w.Commit() == nil || w.EndPack(samplePack(1)) == nil {
				t.Error("it goes on after an error")
			}
			check(t, w.Close())
			if got := names(t, dir); len(got) > 0 {
				t.Errorf("files %q are left", got)
			}
		})
	}
	for _, k := range []string{"", "a/b", "..", "a.b", strings.Repeat("x", 201), "\x00"} {
		if _, err := scan.CreateSnapshot(t.TempDir(), k, ""); err == nil {
			t.Errorf("key %q: no error", k)
		}
	}
	w := create(t, t.TempDir())
	add(t, w, sampleRecord(1, 1))
	if w.Commit() == nil {
		t.Error("committed with a pack that did not end")
	}
}

// A record that no block would hold says less, and is not trusted.
func TestSnapshotHugeAttributes(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir)
	r := sampleRecord(1, 1)
	r.Xattrs = map[string]string{"user.x": strings.Repeat("x", 17<<20)}
	add(t, w, r)
	check(t, w.EndPack(samplePack(1)))
	check(t, w.Commit())
	c := openSnapshot(t, dir).Cursor()
	if _, ok := c.Find(&r.Entry, r.Stat); ok {
		t.Error("it is trusted")
	}
	if got := c.Lookup(&r.Entry); got == nil || len(got.Xattrs) > 0 {
		t.Error("it is not there, or with attributes")
	}
}

func TestNoSnapshot(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir)
	addRun(t, w, 1, 0, 10)
	check(t, w.Commit())
	check(t, os.Mkdir(filepath.Join(dir, "folder"), 0o755))
	check(t, os.WriteFile(filepath.Join(dir, "text"), []byte("cdb snapshot 0\n\x00 and more"), 0o644))
	data, err := os.ReadFile(filepath.Join(dir, key))
	check(t, err)
	check(t, os.WriteFile(filepath.Join(dir, "copy"), data, 0o644)) // under another key
	for _, s := range [][3]string{
		{dir, key, "other"}, {dir, "absent", options}, {dir + "/absent", key, options}, {dir, "../x", options},
		{dir, "folder", options}, {dir, "text", options}, {dir, "copy", options},
	} {
		for name, open := range map[string]func(a, b, c string) (*scan.Snapshot, error){"OpenSnapshot": scan.OpenSnapshot, "OpenPartial": scan.OpenPartial} {
			if _, err := open(s[0], s[1], s[2]); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s%q: %v", name, s, err)
			}
		}
	}
}

func TestPartial(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir)
	add(t, w, scan.Record{Entry: tree.Entry{Path: "a", Type: tree.File}}) // kept
	addRun(t, w, 1, 0, 3000)
	addRun(t, w, 2, 3000, 3001)
	add(t, w, sampleRecord(3002, 3))
	if _, err := scan.OpenPartial(dir, key, options); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("that of a build that runs: %v", err)
	}
	check(t, w.Close())

	s := openPartial(t, dir)
	p := s.Packs()
	if len(p) != 2 || p[0].First != "d/file-000000" || p[0].Last != "d/file-002999" || p[0].Records != 3000 || p[1].Digest != "sha256:3000" {
		t.Fatalf("packs %+v", p)
	}
	for n, r := range runOf(t, s, 0) {
		if d := cmp.Diff(sampleRecord(n, 1), r); d != "" {
			t.Fatal(d)
		}
	}
	if n := len(runOf(t, s, 1)); n != 1 {
		t.Errorf("%d records in the second pack", n)
	}
	if _, err := scan.OpenPartial(dir, key, "other"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("other options: %v", err)
	}
	// The next build takes over the first pack and is killed too, then one
	// that completes.
	w = create(t, dir)
	addRun(t, w, 1, 0, 3000)
	check(t, w.Close())
	if got := openPartial(t, dir).Packs(); len(got) != 2 {
		t.Errorf("%d packs of two builds", len(got))
	}
	w = create(t, dir)
	check(t, w.Commit())
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("files %q are left", got)
	}
	if n := len(runOf(t, s, 0)); n != 3000 {
		t.Errorf("%d records after the file is gone", n)
	}
}

// Several builds died, each with some packs: all are found, none twice, and
// ordinals are those of the list.
func TestPartialsJoin(t *testing.T) {
	dir := t.TempDir()
	for i, runs := range [][][2]int{{{0, 10}, {20, 30}, {40, 50}}, {{5, 15}, {60, 70}}, {{20, 30}}} {
		w := create(t, dir)
		for pack, r := range runs {
			addRun(t, w, pack+1, r[0], r[1])
		}
		check(t, w.Close())
		for _, n := range names(t, dir) { // the newest last
			p := filepath.Join(dir, n)
			if fi, err := os.Stat(p); err == nil && time.Since(fi.ModTime()) < time.Minute {
				setTime(t, p, time.Now().Add(time.Duration(i-10)*time.Hour))
			}
		}
	}
	s := openPartial(t, dir)
	var firsts []string
	for _, p := range s.Packs() {
		firsts = append(firsts, p.First)
	}
	if d := cmp.Diff([]string{"d/file-000005", "d/file-000020", "d/file-000040", "d/file-000060"}, firsts); d != "" {
		t.Error(d)
	}
	var all []scan.Record
	for n := range 80 {
		all = append(all, sampleRecord(n, 0))
	}
	packs := map[int]int{}
	for _, r := range lookups(s, all) {
		packs[r.Pack]++
	}
	if d := cmp.Diff(map[int]int{1: 10, 2: 10, 3: 10, 4: 10}, packs); d != "" {
		t.Error(d)
	}
	for i := range 4 {
		for _, r := range runOf(t, s, i) {
			if r.Pack != i+1 {
				t.Errorf("%q of pack %d says %d", r.Path, i+1, r.Pack)
			}
		}
	}
	if n := len(names(t, dir)); n != 3 {
		t.Errorf("%d files", n)
	}
}

// What adds nothing to newer leftovers, or is old, goes.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		w := create(t, dir)
		addRun(t, w, 1, 0, 10)
		check(t, w.Close())
	}
	s := openPartial(t, dir)
	left := names(t, dir)
	if len(left) != 1 || len(s.Packs()) != 1 {
		t.Fatalf("files %q are left", left)
	}
	w, err := scan.CreateSnapshot(dir, "other", "")
	check(t, err)
	if len(names(t, dir)) != 2 {
		t.Error("another source swept it")
	}
	setTime(t, filepath.Join(dir, left[0]), time.Now().Add(-60*24*time.Hour))
	w2, err := scan.CreateSnapshot(dir, "other", "")
	check(t, err)
	if len(names(t, dir)) != 2 { // both others are running
		t.Errorf("files %q are left", names(t, dir))
	}
	check(t, errors.Join(w.Close(), w2.Close()))
	if got := names(t, dir); len(got) > 0 {
		t.Errorf("files %q are left", got)
	}
}

// Builds at the same time do not see each other; the last to commit wins.
func TestConcurrentSnapshots(t *testing.T) {
	dir := t.TempDir()
	a, b := create(t, dir), create(t, dir)
	addRun(t, a, 1, 0, 5000)
	addRun(t, b, 1, 0, 7)
	addRun(t, a, 2, 5000, 6000)
	check(t, b.Commit())
	old := openSnapshot(t, dir)
	addRun(t, a, 3, 6000, 6001)
	check(t, a.Commit())
	if n := len(openSnapshot(t, dir).Packs()); n != 3 {
		t.Errorf("%d packs", n)
	}
	if n := len(runOf(t, old, 0)); n != 7 {
		t.Errorf("the one before has %d records while it is open", n)
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			w, err := scan.CreateSnapshot(dir, key, options)
			if err == nil {
				r := sampleRecord(i, 1)
				err = errors.Join(w.Add(&r), w.EndPack(samplePack(i)))
			}
			if err == nil && i%4 != 0 {
				err = w.Commit()
			}
			if err := errors.Join(err, w.Close()); err != nil {
				t.Error(err)
			}
			for _, open := range []func(a, b, c string) (*scan.Snapshot, error){scan.OpenSnapshot, scan.OpenPartial} {
				s, err := open(dir, key, options)
				if errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if err != nil {
					t.Error(err)
					continue
				}
				for _, err := range s.Run(0) {
					if err != nil {
						t.Error(err)
					}
				}
				s.Close()
			}
		})
	}
	wg.Wait()
	openSnapshot(t, dir)
}

// The order is that of full paths where folders end in a slash, the root first.
func TestComparePaths(t *testing.T) {
	order := []string{"", "!", "a", "a b", "a.txt", "a/", "a/!", "a/b/", "a/b/c", "a/b0", "a0", "b/", "b/x/"}
	for i, a := range order {
		for j, b := range order {
			pa, pb := strings.TrimSuffix(a, "/"), strings.TrimSuffix(b, "/")
			got := scan.ComparePaths(pa, i == 0 || pa != a, pb, j == 0 || pb != b)
			if (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("compare %q, %q: %d", a, b, got)
			}
		}
	}
}

// Snapshots of sources that nobody builds any more go, others stay.
func TestForgotten(t *testing.T) {
	dir := t.TempDir()
	year := time.Now().Add(-400 * 24 * time.Hour)
	for _, name := range []string{"old", "recent", "not.ours"} {
		check(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		if name != "recent" {
			check(t, os.Chtimes(filepath.Join(dir, name), year, year))
		}
	}
	create(t, dir)
	for name, want := range map[string]bool{"old": false, "recent": true, "not.ours": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s is there: %t, want %t", name, err == nil, want)
		}
	}
}
