package cdb

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/tree"
)

// A log has one version for an image built from a folder, with the names it
// has in the local store.
func TestLogOne(t *testing.T) {
	dir := timedTree(t, map[string]string{"a": "12345", "b/c": "678"})
	opts := testOptions(t)
	opts.Store, opts.Output, opts.Name, opts.Version = filepath.Join(t.TempDir(), "store"), "", "log:v1", "2024"
	res, err := Build(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(t.Context(), "log:v1", opts.Places)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	log, err := Log(t.Context(), c)
	if err != nil || len(log) != 1 {
		t.Fatalf("%d versions, %v", len(log), err)
	}
	e := log[0]
	if e.Image != res.Digest || !slices.Equal(e.Names, []string{"log:v1"}) || e.Parent != "" || e.Version.Version != "2024" ||
		e.Files != 2 || e.Bytes != 8 || e.Added != 2 || e.BytesAdded != 8 || e.Digest != res.Dataset.Digest {
		t.Errorf("%+v", e)
	}
}

// Each version but the newest goes by the digest that its child recorded.
func TestLogVersions(t *testing.T) {
	root := &catalog.Entry{Entry: tree.Entry{Type: tree.Dir, Mode: 0o755, ModTime: time.Unix(0, 0)}}
	ds := catalog.Dataset{Created: time.Unix(1e9, 0)}
	path := filepath.Join(t.TempDir(), "1.db")
	w, err := catalog.Create(path, catalog.WriterOptions{Prefix: "/data"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add(root); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(t.Context(), ds, catalog.Version{Message: "first"}); err != nil {
		t.Fatal(err)
	}
	for n := 2; n <= 3; n++ {
		parent, err := catalog.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		path = filepath.Join(t.TempDir(), "next.db")
		if w, err = catalog.Update(t.Context(), path, parent); err != nil {
			t.Fatal(err)
		}
		for e, err := range parent.Entries(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Keep(e); err != nil {
				t.Fatal(err)
			}
		}
		v := catalog.Version{Parent: fmt.Sprintf("sha256:%d", n-1), Message: fmt.Sprint("number ", n)}
		if _, err := w.Finish(t.Context(), ds, v); err != nil {
			t.Fatal(err)
		}
		parent.Close()
	}
	db, err := catalog.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c := &Container{db: db, Image: &image.Image{Root: ocispec.Descriptor{Digest: "sha256:3"}}}
	log, err := Log(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range log {
		got = append(got, e.Image+" "+e.Message)
	}
	if want := []string{"sha256:3 number 3", "sha256:2 number 2", "sha256:1 first"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
