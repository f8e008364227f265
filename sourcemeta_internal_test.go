package cdb

import (
	"testing"

	"github.com/data-containers/cdb/internal/extract"
)

// What extractors of users said of the files of a data container is kept where
// that is a source, and what cdb says itself is said anew.
func TestSourceKeepsMetadata(t *testing.T) {
	dir := writeTree(t, map[string][]byte{"sub/a.pdf": pdf(10), "b.txt": []byte("avocado!\n")})
	opts := testOptions(t)
	opts.Extractors = []extract.External{&firstByte{}}
	res, err := Build(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	extracted := func(src Source, set ...string) map[string]string {
		t.Helper()
		derived := opts
		derived.Name, derived.Extractors, derived.Extract, derived.NoParent = "example/derived", nil, set, true
		other := Source{Path: writeTree(t, map[string][]byte{"c.txt": []byte("x")}), To: "other"}
		made, err := BuildSources(t.Context(), []Source{src, other}, derived)
		if err != nil {
			t.Fatal(err)
		}
		return metaOf(t, made.Ref, derived.Places)
	}
	want := `{"mime.type": "application/pdf", "pdf.version": "1.7", "first.byte": 37`
	for _, c := range []struct {
		src  Source
		path string
	}{
		{Source{Image: res.Ref}, "sub/a.pdf"},
		{Source{Image: res.Ref, To: "x/y"}, "x/y/sub/a.pdf"},
		{Source{Image: res.Ref, Folder: "sub"}, "a.pdf"},
	} {
		got := extracted(c.src)[c.path]
		if len(got) < len(want) || got[:len(want)] != want {
			t.Errorf("%s: %s, want %s …", c.path, got, want)
		}
	}
	if got := extracted(Source{Image: res.Ref}, "basic"); len(got) != 0 {
		t.Errorf("with nothing to extract: %v", got)
	}
}
