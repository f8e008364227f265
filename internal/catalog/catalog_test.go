package catalog_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// sample returns the rows of a small tree in order, with names of all kinds.
func sample() []*catalog.Entry {
	mtime := time.Unix(1.6e9, 0)
	dir := func(p string) *catalog.Entry {
		return &catalog.Entry{Entry: tree.Entry{Path: p, Type: tree.Dir, Mode: 0o755, ModTime: mtime}}
	}
	file := func(p, content string) *catalog.Entry {
		return &catalog.Entry{
			Entry:  tree.Entry{Path: p, Type: tree.File, Mode: 0o644, ModTime: mtime, Size: int64(len(content))},
			SHA256: sha256.Sum256([]byte(content)), Pack: 1, Offset: 512,
		}
	}
	hard := file("b/y", "content of x")
	hard.Link = "b/x"
	return []*catalog.Entry{
		dir(""),
		file("a", "2"),
		file("a\nb\\c\rd", "3"),
		file("b-file", "4"),
		dir("b"),
		dir("b/empty"),
		{Entry: tree.Entry{Path: "b/link", Type: tree.Symlink, Mode: 0o777, ModTime: mtime, Link: "../../etc/passwd"}},
		file("b/x", "content of x"),
		hard,
		dir("c"),
		dir("c/d"),
		file("c/d/'quoted\" `name`", ""),
		file("\xff\xfe not UTF-8", "1"),
	}
}

func write(t testing.TB, rows []*catalog.Entry, opts catalog.WriterOptions) string {
	t.Helper()
	if opts.Prefix == "" {
		opts.Prefix = "/data"
	}
	path := filepath.Join(t.TempDir(), "catalog.db")
	w, err := catalog.Create(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if err := w.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	frames := make([]byte, 150*catalog.FrameRecordSize)
	for i := range 150 {
		frames[i*catalog.FrameRecordSize] = byte(i)
	}
	pack := catalog.Pack{ID: 1, Digest: "sha256:1", DiffID: "sha256:2", MediaType: "m", Size: 3, TarSize: 4, FrameSize: 5, Frames: frames}
	if err := w.AddPack(&pack); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(t.Context(), catalog.Dataset{Title: "T", Created: time.Unix(1e9, 0), Labels: map[string]string{"k": "v"}}, catalog.Version{}); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path string) *catalog.DB {
	t.Helper()
	db, err := catalog.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func paths(t testing.TB, db *catalog.DB, under string) []string {
	t.Helper()
	var out []string
	for e, err := range db.Entries(t.Context(), under) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Path)
	}
	return out
}

// What was written is read, from a file and through a reader.
func TestRoundTrip(t *testing.T) {
	for _, prefix := range []string{"/data", "/", "/srv/data sets/x"} {
		path := write(t, sample(), catalog.WriterOptions{Prefix: prefix, Text: true})
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		overReader, err := catalog.OpenReaderAt("test", bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		defer overReader.Close()
		for _, db := range []*catalog.DB{open(t, path), overReader} {
			want := sample()
			i := 0
			for e, err := range db.Entries(t.Context(), "") {
				if err != nil {
					t.Fatal(err)
				}
				want[i].ID = int64(i + 1)
				if diff := cmp.Diff(want[i], e); diff != "" {
					t.Errorf("prefix %s, entry %d: %s", prefix, i, diff)
				}
				found, err := db.Lookup(t.Context(), e.Path)
				if err != nil || found == nil || found.ID != e.ID {
					t.Errorf("prefix %s: Lookup(%q) = %v, %v", prefix, e.Path, found, err)
				}
				i++
			}
			if i != len(want) {
				t.Errorf("%d of %d entries", i, len(want))
			}
			if e, err := db.Lookup(t.Context(), "nothing"); e != nil || err != nil {
				t.Errorf("Lookup of a path that is not there: %v, %v", e, err)
			}
		}
	}
}

func TestPreserved(t *testing.T) {
	e := &catalog.Entry{Entry: tree.Entry{
		Path: "", Type: tree.Dir, Mode: 0o1777, UID: 12, GID: 34, ModTime: time.Unix(1e9, 123456789),
		Xattrs: map[string]string{"user.a": "\x00\xff"},
	}}
	db := open(t, write(t, []*catalog.Entry{e}, catalog.WriterOptions{Preserved: true}))
	got, err := db.Lookup(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e, got); diff != "" {
		t.Error(diff)
	}
}

func TestUnderAndChildren(t *testing.T) {
	db := open(t, write(t, sample(), catalog.WriterOptions{}))
	for under, want := range map[string][]string{
		"b":       {"b", "b/empty", "b/link", "b/x", "b/y"},
		"b/x":     {"b/x"},
		"c":       {"c", "c/d", "c/d/'quoted\" `name`"},
		"b/empty": {"b/empty"},
		"nothing": nil,
		"b-":      nil,
	} {
		if diff := cmp.Diff(want, paths(t, db, under)); diff != "" {
			t.Errorf("Entries(%q): %s", under, diff)
		}
	}
	for dir, want := range map[string][]string{
		"":        {"a", "a\nb\\c\rd", "b-file", "b", "c", "\xff\xfe not UTF-8"},
		"b":       {"b/empty", "b/link", "b/x", "b/y"},
		"b/empty": nil,
		"c":       {"c/d"},
	} {
		var got []string
		for e, err := range db.Children(t.Context(), dir) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e.Path)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Children(%q): %s", dir, diff)
		}
	}
}

func TestFrameGroups(t *testing.T) {
	db := open(t, write(t, sample(), catalog.WriterOptions{}))
	packs, err := db.Packs(t.Context())
	if err != nil || len(packs) != 1 || packs[0].Digest != "sha256:1" || packs[0].FrameSize != 5 {
		t.Fatalf("packs %v, %v", packs, err)
	}
	for _, tt := range []struct {
		frame, first, n int
		offset          int64
	}{{0, 0, 64, 0}, {63, 0, 64, 0}, {64, 64, 64, 2016}, {149, 128, 22, 8128}} {
		first, offset, records, err := db.FrameGroup(t.Context(), 1, tt.frame)
		if err != nil || first != tt.first || offset != tt.offset || len(records) != tt.n*catalog.FrameRecordSize {
			t.Errorf("frame %d: first %d, offset %d, %d bytes, %v", tt.frame, first, offset, len(records), err)
		}
	}
	for _, frame := range []int{192, 1 << 40, -100} {
		if _, _, _, err := db.FrameGroup(t.Context(), 1, frame); err == nil {
			t.Errorf("frame %d exists", frame)
		}
	}
}

// Rows come in the order of the tree, and no path twice.
func TestOrderIsChecked(t *testing.T) {
	for _, second := range []string{"b", "a"} {
		w, err := catalog.Create(filepath.Join(t.TempDir(), "c"), catalog.WriterOptions{Prefix: "/data"})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Abort()
		if err := w.Add(&catalog.Entry{Entry: tree.Entry{Path: "b", Type: tree.File}}); err != nil {
			t.Fatal(err)
		}
		if err := w.Add(&catalog.Entry{Entry: tree.Entry{Path: second, Type: tree.File}}); err == nil {
			t.Errorf("%q behind \"b\" passes", second)
		}
	}
}

// The same rows make the same bytes.
func TestDeterministic(t *testing.T) {
	var rows []*catalog.Entry
	rows = append(rows, sample()[0])
	for i := range 20_000 {
		rows = append(rows, &catalog.Entry{
			Entry:  tree.Entry{Path: fmt.Sprintf("f%06d with words %d", i, i%97), Type: tree.File, Size: int64(i * 7919 % 10007)},
			SHA256: sha256.Sum256([]byte{byte(i), byte(i >> 8)}), Pack: 1,
		})
	}
	a, err := os.ReadFile(write(t, rows, catalog.WriterOptions{Text: true}))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(write(t, rows, catalog.WriterOptions{Text: true}))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Error("two catalogs of the same rows differ")
	}
}

// The dataset digest is what coreutils compute from the files.
func TestDatasetDigest(t *testing.T) {
	if _, err := exec.LookPath("sha256sum"); err != nil {
		t.Skip("sha256sum is not installed")
	}
	dir := t.TempDir()
	rows := []*catalog.Entry{sample()[0]}
	for _, name := range []string{"\xff", "a b", "back\\slash", "new\nline"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, &catalog.Entry{Entry: tree.Entry{Path: name, Type: tree.File, Size: int64(len(name))}, SHA256: sha256.Sum256([]byte(name))})
	}
	cmd := exec.Command("sh", "-c", `find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum`)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	// The order of rows is that of bytes.
	ordered := []*catalog.Entry{rows[0], rows[2], rows[3], rows[4], rows[1]}
	db := open(t, write(t, ordered, catalog.WriterOptions{}))
	if want := "sha256:" + strings.Fields(string(out))[0]; db.Dataset().Digest != want {
		t.Errorf("digest %s, sha256sum says %s", db.Dataset().Digest, want)
	}
	if got := db.Dataset(); got.Files != 4 || got.Dirs != 1 || got.Bytes != 22 || got.Labels["k"] != "v" {
		t.Errorf("dataset %+v", got)
	}
}

// No prefix of a catalog, and no damaged one, makes a panic, and what is not
// a catalog is called so.
func TestTruncatedAndDamaged(t *testing.T) {
	data, err := os.ReadFile(write(t, sample(), catalog.WriterOptions{Text: true}))
	if err != nil {
		t.Fatal(err)
	}
	use := func(b []byte) error {
		db, err := catalog.OpenReaderAt("test", bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return err
		}
		defer db.Close()
		for _, err := range db.Entries(context.Background(), "") {
			if err != nil {
				return err
			}
		}
		for _, err := range db.Children(context.Background(), "b") {
			if err != nil {
				return err
			}
		}
		_, _, _, err = db.FrameGroup(context.Background(), 1, 0)
		return err
	}
	for n := 0; n < len(data); n += 509 {
		if err := use(data[:n]); err == nil {
			t.Errorf("the first %d of %d bytes pass for a catalog", n, len(data))
		}
	}
	for _, b := range [][]byte{nil, []byte("no"), bytes.Repeat([]byte("x"), 8192)} {
		if err := use(b); !errors.Is(err, catalog.ErrFormat) {
			t.Errorf("%.10q: %v", b, err)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		b := bytes.Clone(data)
		for range 1 + rnd.IntN(20) {
			b[rnd.IntN(len(b))] = byte(rnd.Uint32())
		}
		_ = use(b) // an error or none, but no panic
	}
}

// A catalog whose schema can do more than ours is refused.
func TestForeignSchema(t *testing.T) {
	for _, script := range []string{
		"CREATE VIEW extra AS SELECT 1",
		"CREATE TRIGGER x AFTER INSERT ON entry BEGIN SELECT 1; END",
		"DROP VIEW files; CREATE VIEW files AS SELECT path, size FROM entry",
		"DROP INDEX entry_path",
		"PRAGMA user_version = 99",
		"PRAGMA application_id = 1",
		"DELETE FROM dataset WHERE key = 'prefix'",
		"UPDATE dataset SET value = '-1' WHERE key = 'files'",
	} {
		path := write(t, sample(), catalog.WriterOptions{})
		conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
		if err != nil {
			t.Fatal(err)
		}
		if err := sqlitex.ExecuteScript(conn, script, nil); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		if db, err := catalog.Open(path); !errors.Is(err, catalog.ErrFormat) {
			t.Errorf("after %q: %v", script, err)
			if err == nil {
				db.Close()
			}
		}
	}
}

// Rows that lead out of the tree are refused by whoever reads them.
func TestHostileRows(t *testing.T) {
	for _, script := range []string{
		"UPDATE entry SET path = '/data/../../etc/passwd' WHERE id = 3",
		"UPDATE entry SET path = '/elsewhere' WHERE id = 3",
		"UPDATE entry SET path = '/data//a' WHERE id = 3",
		"UPDATE entry SET link = '/etc/passwd' WHERE id = 9",
		"UPDATE entry SET type = 'x' WHERE id = 3",
		"UPDATE entry SET type = 'd' WHERE id = 3",
		"UPDATE entry SET path = '/data/a/' WHERE id = 3",
		"UPDATE entry SET sha256 = x'00' WHERE id = 3",
		"UPDATE entry SET size = -1 WHERE id = 3",
		"UPDATE entry SET attrs = '{' WHERE id = 3",
	} {
		path := write(t, sample(), catalog.WriterOptions{})
		conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
		if err != nil {
			t.Fatal(err)
		}
		if err := sqlitex.ExecuteScript(conn, script, nil); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		db := open(t, path)
		var failed error
		for _, err := range db.Entries(t.Context(), "") {
			failed = err
		}
		if failed == nil {
			t.Errorf("after %q all rows pass", script)
		}
	}
}

// A query ends with its context, and says so.
func TestCancel(t *testing.T) {
	db := open(t, write(t, sample(), catalog.WriterOptions{}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var failed error
	for _, err := range db.Entries(ctx, "") {
		failed = err
	}
	if !errors.Is(failed, context.Canceled) {
		t.Errorf("error %v", failed)
	}
}

// JSON is what Python's json.dumps makes.
func TestAppendJSON(t *testing.T) {
	e := &catalog.Entry{Entry: tree.Entry{Type: tree.File, Size: 9}, Meta: `{"k": [1, "x"]}`}
	e.SHA256 = sha256.Sum256([]byte("avocado!\n"))
	want := `{"size": 9, "sha256": "` + hex.EncodeToString(e.SHA256[:]) + `", "k": [1, "x"]}`
	if got := string(e.AppendJSON(nil)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for s, want := range map[string]string{
		"a\"b\\c\n\t\r\b\f/": `"a\"b\\c\n\t\r\b\f/"`,
		"\x00\x1b\x7f":       `"\u0000\u001b\u007f"`,
		"é€😀":                `"\u00e9\u20ac\ud83d\ude00"`,
		"\xff\xc3":           `"\udcff\udcc3"`,
	} {
		if got := string(catalog.AppendString(nil, s)); got != want {
			t.Errorf("AppendString(%q) = %s, want %s", s, got, want)
		}
	}
}
