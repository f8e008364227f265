package cdb

import (
	"path/filepath"
	"slices"
	"testing"
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
