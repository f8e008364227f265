package catalog_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// contents returns all that a catalog says of its entries, without the numbers
// of rows.
func contents(t *testing.T, db *catalog.DB) []catalog.Entry {
	t.Helper()
	var out []catalog.Entry
	for e, err := range db.Entries(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		e.ID = 0
		out = append(out, *e)
	}
	return out
}

func file(path string, seed int) *catalog.Entry {
	return &catalog.Entry{
		Entry:  tree.Entry{Path: path, Type: tree.File, Mode: 0o644, ModTime: time.Unix(int64(seed), 0), Size: int64(seed % 5000)},
		SHA256: sha256.Sum256(fmt.Append(nil, path, seed)), Pack: 1, Offset: int64(seed) * 512,
	}
}

// version is the state of a tree: seeds by path.
type version map[string]int

func (v version) entries() []*catalog.Entry {
	out := []*catalog.Entry{{Entry: tree.Entry{Type: tree.Dir, Mode: 0o755, ModTime: time.Unix(0, 0)}}}
	for i := range 3000 {
		p := fmt.Sprintf("f%05d", i)
		if seed, ok := v[p]; ok {
			out = append(out, file(p, seed))
		}
	}
	return out
}

// next makes the catalog of v from that of the parent.
func (v version) next(t *testing.T, parent *catalog.DB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "next.db")
	w, err := catalog.Update(t.Context(), path, parent)
	if err != nil {
		t.Fatal(err)
	}
	old := map[string]*catalog.Entry{}
	for e, err := range parent.Entries(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		old[e.Path] = e
	}
	for _, e := range v.entries() {
		o := old[e.Path]
		delete(old, e.Path)
		switch {
		case o == nil:
			err = w.Add(e)
		case o.SHA256 == e.SHA256:
			err = w.Keep(o)
		default:
			err = w.Replace(o, e)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range old {
		if err := w.Remove(o); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(t.Context(), catalog.Dataset{Created: time.Unix(1e9, 0)}, catalog.Version{Parent: "sha256:x", Message: "m"}); err != nil {
		t.Fatal(err)
	}
	return path
}

// Through many versions a catalog that is updated says what one says that is
// made anew, and its deltas, stacked, are the same file.
func TestUpdate(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	v := version{}
	for i := range 2000 {
		v[fmt.Sprintf("f%05d", i*3/2)] = i
	}
	dir := t.TempDir()
	basePath := write(t, v.entries(), catalog.WriterOptions{Text: true})
	base, err := os.ReadFile(basePath)
	if err != nil {
		t.Fatal(err)
	}
	stacked := filepath.Join(dir, "catalog.db")
	if err := os.WriteFile(stacked, base, 0o644); err != nil {
		t.Fatal(err)
	}
	for n := range 8 {
		for range 20 {
			p := fmt.Sprintf("f%05d", rnd.IntN(3000))
			if rnd.IntN(3) == 0 {
				delete(v, p)
			} else {
				v[p] = rnd.IntN(1e6)
			}
		}
		parent, err := catalog.OpenFile(stacked)
		if err != nil {
			t.Fatal(err)
		}
		next := v.next(t, parent)
		var delta bytes.Buffer
		d, err := catalog.NewDelta(t.Context(), parent, next)
		if err != nil {
			t.Fatal(err)
		}
		size := d.Size()
		if err := d.Write(&delta); err != nil || size != int64(delta.Len()) {
			t.Fatalf("delta of %d bytes, said %d: %v", delta.Len(), size, err)
		}
		parent.Close()
		if size > int64(len(base)) {
			t.Errorf("version %d: a delta of %d bytes for 20 changes", n, size)
		}
		if err := os.WriteFile(catalog.DeltaName(stacked, n+1), delta.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		updated, err := catalog.OpenFile(stacked)
		if err != nil {
			t.Fatal(err)
		}
		anew := open(t, write(t, v.entries(), catalog.WriterOptions{Text: true}))
		if diff := cmp.Diff(contents(t, anew), contents(t, updated)); diff != "" {
			t.Fatalf("version %d: %s", n, diff)
		}
		a, u := anew.Dataset(), updated.Dataset()
		if a.Digest != u.Digest || a.Files != u.Files || a.Bytes != u.Bytes || a.Dirs != u.Dirs {
			t.Errorf("version %d: %+v, anew %+v", n, u, a)
		}
		versions, err := updated.Versions(t.Context())
		if err != nil || len(versions) != n+2 || versions[n+1].Message != "m" {
			t.Errorf("versions %+v, %v", versions, err)
		}
		updated.Close()
	}
}

// No prefix of a delta, and no damaged one, is taken without an error or
// makes a panic.
func TestDeltaDamage(t *testing.T) {
	v := version{"f00001": 1, "f00002": 2}
	parentPath := write(t, v.entries(), catalog.WriterOptions{})
	parent := open(t, parentPath)
	v["f00003"] = 3
	var delta bytes.Buffer
	d, err := catalog.NewDelta(t.Context(), parent, v.next(t, parent))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Write(&delta); err != nil {
		t.Fatal(err)
	}
	base, err := os.ReadFile(parentPath)
	if err != nil {
		t.Fatal(err)
	}
	stack := func(d []byte) error {
		r, size, err := catalog.Stack(catalog.Part{ReaderAt: bytes.NewReader(base), Size: int64(len(base))},
			[]catalog.Part{{ReaderAt: bytes.NewReader(d), Size: int64(len(d))}})
		if err != nil {
			return err
		}
		db, err := catalog.OpenReaderAt("test", r, size)
		if err != nil {
			return err
		}
		return db.Close()
	}
	if err := stack(delta.Bytes()); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < delta.Len(); n += 61 {
		if err := stack(delta.Bytes()[:n]); err == nil {
			t.Errorf("the first %d of %d bytes pass", n, delta.Len())
		}
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		d := bytes.Clone(delta.Bytes())
		d[rnd.IntN(min(len(d), 8300))] ^= byte(1 + rnd.IntN(255))
		_ = stack(d) // an error or none, but no panic
	}
}

func FuzzDelta(f *testing.F) {
	f.Add([]byte("cdbdelta\x00\x10\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, d []byte) {
		r, size, err := catalog.Stack(catalog.Part{ReaderAt: bytes.NewReader(nil)}, []catalog.Part{{ReaderAt: bytes.NewReader(d), Size: int64(len(d))}})
		if err == nil {
			_, _ = r.ReadAt(make([]byte, min(size, 1<<16)), 0)
		}
	})
}

// Rows that came in between later are in their places in every order.
func TestMixedOrder(t *testing.T) {
	v := version{}
	for i := range 300 {
		v[fmt.Sprintf("f%05d", i*2)] = i % 7
	}
	parent := open(t, write(t, v.entries(), catalog.WriterOptions{Text: true}))
	for i := range 100 {
		v[fmt.Sprintf("f%05d", i*4+1)] = i % 7
	}
	mixed := open(t, v.next(t, parent))
	anew := open(t, write(t, v.entries(), catalog.WriterOptions{Text: true}))
	if !mixed.Dataset().Mixed || anew.Dataset().Mixed {
		t.Fatal("the catalogs are not what the test wants")
	}
	for _, q := range []catalog.Query{
		{}, {Desc: true}, {Order: "size"}, {Order: "size", Desc: true}, {Order: "size", Limit: 20}, {Order: "sha256"},
		{Order: "link"}, {Text: "f00005"}, {Get: "f0000", Order: "link", Limit: 7}, {Where: "size = 3", Order: "sha256", Desc: true},
	} {
		rows := func(db *catalog.DB) (paths []string) {
			for r, err := range db.Select(t.Context(), q) {
				if err != nil {
					t.Fatal(err)
				}
				paths = append(paths, r.Path)
			}
			return paths
		}
		if diff := cmp.Diff(rows(anew), rows(mixed)); diff != "" {
			t.Errorf("%+v: %s", q, diff)
		}
	}
}
