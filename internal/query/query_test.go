package query_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/query"
	"github.com/data-containers/cdb/internal/tree"
)

// A fixture is a folder and its catalog.
type fixture struct {
	dir   string
	db    *catalog.DB
	files *query.Folder
}

// catalogOf makes a catalog of the folder dir. meta is metadata by path.
func catalogOf(t testing.TB, dir string, opts catalog.WriterOptions, meta map[string]string, ds catalog.Dataset) *fixture {
	t.Helper()
	ctx := context.Background()
	files, err := query.DirFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	if opts.Prefix == "" {
		opts.Prefix = "/data"
	}
	path := filepath.Join(t.TempDir(), "catalog.db")
	w, err := catalog.Create(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	links := map[string]string{} // first path by content "@hard"
	for te, err := range files.Walk(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		e := &catalog.Entry{Entry: *te, Meta: meta[te.Path], Pack: 1}
		if e.Type == tree.File {
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			b, err := root.ReadFile(e.Path)
			root.Close()
			if err != nil {
				t.Fatal(err)
			}
			e.SHA256 = sha256.Sum256(b)
			if strings.HasPrefix(string(b), "hard") {
				e.Link = links[string(b)]
				if e.Link == "" {
					links[string(b)] = e.Path
				}
			}
		}
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if ds.Created.IsZero() {
		ds.Created = time.Unix(1592092800, 0)
	}
	if _, err := w.Finish(ctx, ds, catalog.Version{}); err != nil {
		t.Fatal(err)
	}
	db, err := catalog.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &fixture{dir, db, files}
}

func writeFiles(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			if err := os.Symlink(target, p); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p, time.Time{}, time.Unix(1592000000, 0)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// result is what a command line did.
type result struct {
	out, err string
	code     int
}

func (f *fixture) run(args ...string) result {
	return f.runEnv(func(*query.Env) {}, args...)
}

func (f *fixture) runEnv(change func(*query.Env), args ...string) result {
	var out, errs bytes.Buffer
	env := query.Env{DB: f.db, Files: f.files, Stdout: &out, Stderr: &errs, Version: "1.2.3"}
	change(&env)
	code := query.Run(context.Background(), env, args)
	return result{out.String(), errs.String(), code}
}

// fruit is the example of the first cdb's documentation.
func fruit(t testing.TB) *fixture {
	dir := writeFiles(t, map[string]string{"avocado.txt": "avocado!\n", "tomato.txt": "tomato!\n"})
	return catalogOf(t, dir, catalog.WriterOptions{}, nil, catalog.Dataset{})
}

const (
	avocadoJSON = `{"size": 9, "sha256": "327bf8231c9572ecdfdc53473319699e7b8e6a98adf0f383ff6be5b46094aba4"}`
	tomatoJSON  = `{"size": 8, "sha256": "3b7721618a86990a3a90f9fa5744d15812954fba6bb21ebf5b5b66ad78cf5816"}`
	avocado     = "/data/avocado.txt"
	tomato      = "/data/tomato.txt"
	dump        = avocado + " " + avocadoJSON + "\n" + tomato + " " + tomatoJSON + "\n"
	ls          = avocado + "\n" + tomato + "\n"
	bySize      = "Order by size\n" + tomato + ": " + tomatoJSON + "\n" + avocado + ": " + avocadoJSON + "\n"
)

// TestFirstCDB has every output that the first cdb documented or showed.
func TestFirstCDB(t *testing.T) {
	f := fruit(t)
	tests := []struct {
		args string
		out  string
	}{
		{"", dump},
		{"-ls", ls},
		{"--ls", ls},
		{"-ls=true", ls},
		{"-ls=false", dump},
		{"-metric size", bySize},
		{"-metric=size", bySize},
		{"-metric bogus -metric size", bySize},
		{"-metric size -search 8", tomato + " 8\n"},
		{"-metric sha256 -search 8", avocado + " 327bf8231c9572ecdfdc53473319699e7b8e6a98adf0f383ff6be5b46094aba4\n" +
			tomato + " 3b7721618a86990a3a90f9fa5744d15812954fba6bb21ebf5b5b66ad78cf5816\n"},
		{"-get /data/avocado.txt", avocado + " " + avocadoJSON + "\n"},
		{"-get /data/", dump},
		{"-get toma", tomato + " " + tomatoJSON + "\n"},
		{"-get TOMA", ""},
		{"-get nothing", ""},
		{"-search 8", dump},
		{"-metric size -search 7", ""},
		{"extra -ls", dump},
		// Flags are never combined.
		{"-get toma -metric size -search 9", tomato + " " + tomatoJSON + "\n"},
		{"-ls -get toma -metric size", ls},
		{"-get=", dump},
		{"-metric=", dump},
		{"-metric size -search=", bySize},
	}
	for _, tt := range tests {
		got := f.run(strings.Fields(tt.args)...)
		if want := (result{tt.out, "", 0}); got != want {
			t.Errorf("%q:\n%+v\nwant\n%+v", tt.args, got, want)
		}
	}
	for _, args := range []string{"-metric bogus", "-metric bogus -ls", "-metric bogus -start", "-metric SIZE"} {
		name := strings.Fields(args)[1]
		if got, want := f.run(strings.Fields(args)...), (result{"", name + " is not a valid metric\n", 1}); got != want {
			t.Errorf("%q: %+v, want %+v", args, got, want)
		}
	}
}

// many returns a catalog of n made-up files.
func many(t testing.TB, n int) *catalog.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "catalog.db")
	w, err := catalog.Create(path, catalog.WriterOptions{Prefix: "/data"})
	if err != nil {
		t.Fatal(err)
	}
	e := catalog.Entry{Entry: tree.Entry{Type: tree.Dir, Mode: 0o755}}
	if err := w.Add(&e); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if i%1000 == 0 {
			e := catalog.Entry{Entry: tree.Entry{Path: fmt.Sprintf("%04d", i/1000), Type: tree.Dir, Mode: 0o755}}
			if err := w.Add(&e); err != nil {
				t.Fatal(err)
			}
		}
		name := fmt.Sprintf("%04d/%06d", i/1000, i)
		e := catalog.Entry{Entry: tree.Entry{Path: name, Type: tree.File, Mode: 0o644, Size: int64(i * 7919 % 4001)}, SHA256: sha256.Sum256([]byte(name)), Pack: 1}
		e.Meta = fmt.Sprintf(`{"n": %d, "title": "number %d"}`, i*7907%n, i)
		if err := w.Add(&e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(t.Context(), catalog.Dataset{Created: time.Unix(1e9, 0)}, catalog.Version{}); err != nil {
		t.Fatal(err)
	}
	db, err := catalog.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}
