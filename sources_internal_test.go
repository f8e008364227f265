package cdb

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/store"
)

// anyImage writes an image, not one of cdb, with these layers into a layout. A
// layer is the names of its members, folders with a slash at the end, each with
// its own name as content. damage changes the diffIDs.
func anyImage(t *testing.T, damage bool, layers ...[]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	target, err := store.LayoutTarget(dir, "latest", "")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	add := func(mediaType string, data []byte) ocispec.Descriptor {
		up, err := target.Create(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer up.Abort()
		d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
		if _, err := up.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := up.Commit(t.Context(), d.Digest, d.Size); err != nil {
			t.Fatal(err)
		}
		return d
	}
	addJSON := func(mediaType string, doc any) ocispec.Descriptor {
		b, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		return add(mediaType, b)
	}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}, RootFS: ocispec.RootFS{Type: "layers"}}
	for i, names := range layers {
		plain := tarOf(t, names)
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(plain)
		z.Close()
		m.Layers = append(m.Layers, add(ocispec.MediaTypeImageLayerGzip, b.Bytes()))
		if damage {
			plain = append(plain, byte(i))
		}
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(plain))
	}
	m.Config = addJSON(ocispec.MediaTypeImageConfig, config)
	if _, err := target.Publish(t.Context(), addJSON(ocispec.MediaTypeImageManifest, m)); err != nil {
		t.Fatal(err)
	}
	return "oci:" + dir
}

func tarOf(t *testing.T, names []string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i, name := range names {
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(name)), ModTime: time.Unix(1e9+int64(i), 0), Typeflag: tar.TypeReg}
		if strings.HasSuffix(name, "/") {
			h.Typeflag, h.Size = tar.TypeDir, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			w.Write([]byte(name))
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// named returns files that hold their own names.
func named(names ...string) map[string][]byte {
	files := map[string][]byte{}
	for _, n := range names {
		files[n] = []byte(n)
	}
	return files
}

func TestImageSource(t *testing.T) {
	ref := anyImage(t, false,
		[]string{"etc/", "etc/passwd", "etc/hosts", "usr/bin/sh", "tmp/a", "tmp/b"},
		[]string{"etc/.wh.hosts", "tmp/.wh..wh..opq", "tmp/c", "usr/bin/sh"},
	)
	opts := testOptions(t)
	r, err := BuildSources(t.Context(), []Source{{Image: ref}}, opts)
	if err != nil {
		t.Fatal(err)
	}
	checkContents(t, opts.Output, "", named("etc/passwd", "tmp/c", "usr/bin/sh"))
	again, err := BuildSources(t.Context(), []Source{{Image: ref}}, testOptions(t))
	if err != nil || again.Digest != r.Digest {
		t.Errorf("built again it is %v, not %s: %v", again, r.Digest, err)
	}
	// One folder of it, elsewhere.
	opts = testOptions(t)
	if _, err := BuildSources(t.Context(), []Source{{Image: ref, Folder: "usr/bin", To: "x"}}, opts); err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"x/sh": []byte("usr/bin/sh")}
	checkContents(t, opts.Output, "", want)
	for folder, want := range map[string]string{"usr/lib": "no such file", "etc/passwd/x": "not a folder"} {
		if _, err := BuildSources(t.Context(), []Source{{Image: ref, Folder: folder}}, testOptions(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("folder %s: %v", folder, err)
		}
	}
	_, err = BuildSources(t.Context(), []Source{{Image: anyImage(t, true, []string{"a"})}}, testOptions(t))
	if err == nil || !strings.Contains(err.Error(), "its content is sha256:") {
		t.Errorf("a layer with another diffID: %v", err)
	}
}

// Folders that are split into several sources make the image of the whole.
func TestSplitSources(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "a-b/x", "a.txt", "b/a", "b/a!", "b/b/c", "b/b/d", "b!c", "b-/x", "c/d/e/f", "c/d/e0", "c/d.e", "z"}
	for range 10 {
		whole := t.TempDir()
		var sources []Source
		for range 1 + rnd.IntN(4) {
			sources = append(sources, Source{Path: t.TempDir()})
		}
		// Every part has all folders, so their times are the same everywhere.
		at := time.Unix(1.5e9, 0)
		for _, dir := range append([]Source{{Path: whole}}, sources...) {
			for _, n := range names {
				if err := os.MkdirAll(filepath.Join(dir.Path, filepath.Dir(n)), 0o755); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, n := range names {
			part := sources[rnd.IntN(len(sources))].Path
			for _, dir := range []string{whole, part} {
				p := filepath.Join(dir, n)
				if err := errors.Join(os.WriteFile(p, []byte(n), 0o644), os.Chtimes(p, at, at)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, dir := range append([]Source{{Path: whole}}, sources...) {
			err := filepath.WalkDir(dir.Path, func(p string, d os.DirEntry, err error) error {
				return errors.Join(err, os.Chtimes(p, at, at))
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		want, err := Build(t.Context(), whole, testOptions(t))
		if err != nil {
			t.Fatal(err)
		}
		got, err := BuildSources(t.Context(), sources, testOptions(t))
		if err != nil {
			t.Fatal(err)
		}
		if got.Digest != want.Digest {
			t.Errorf("%d sources make %s, the whole %s", len(sources), got.Digest, want.Digest)
		}
	}
}

// Of several folders nothing is read again that did not change.
func TestSourcesAreRemembered(t *testing.T) {
	a, b := writeTree(t, named("a/x", "y")), writeTree(t, named("b/x"))
	old := time.Now().Add(-time.Hour)
	for _, p := range []string{a + "/a/x", a + "/y", b + "/b/x"} {
		if err := os.Chtimes(p, old, old); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(coarseTick + 100*time.Millisecond) // so that the times of changes are old enough to be trusted
	opts := storeOptions(t, "x")
	sources := []Source{{Path: a}, {Path: b, To: "b"}}
	first, err := BuildSources(t.Context(), sources, opts)
	if err != nil {
		t.Fatal(err)
	}
	var p Progress
	opts.Progress = &p
	second, err := BuildSources(t.Context(), sources, opts)
	if err != nil || !second.Unchanged || second.Digest != first.Digest {
		t.Errorf("%+v %v", second, err)
	}
	if phase := p.Sample().Phase; phase != "scan" {
		t.Errorf("the second build came to the phase %q: it looked at more than names and times", phase)
	}
	if err := os.WriteFile(a+"/y", []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	third, err := BuildSources(t.Context(), sources, opts)
	if err != nil || third.Unchanged || third.Parent != first.Digest {
		t.Errorf("%+v %v", third, err)
	}
	want := named("a/x")
	want["b/b/x"], want["y"] = []byte("b/x"), []byte("changed")
	checkContents(t, third.Ref, "", want, opts.Places)
}

func TestSourceChecks(t *testing.T) {
	zero := "sha256:" + strings.Repeat("0", 64)
	for _, s := range []Source{
		{}, {Path: "a", Image: "b"}, {URL: "https://x/y"}, {URL: "ftp://x/y", Digest: zero}, {URL: "https:///y", Digest: zero},
		{Path: "a", Digest: "md5:1"}, {Path: "a", Digest: "sha512:" + strings.Repeat("0", 128)}, {Image: "a", Digest: zero},
		{Path: "a", To: "../b"}, {Path: "a", To: "b//c"}, {Path: "a", Folder: ".."}, {Path: "a", Folder: "b", Keep: true},
	} {
		if err := s.Check(); err == nil {
			t.Errorf("%+v: no error", s)
		}
	}
	ok := Source{Path: "a", To: "/b/c/"}
	if err := ok.Check(); err != nil || ok.To != "b/c" {
		t.Errorf("%+v %v", ok, err)
	}
	for src, want := range map[string]Source{
		"photos":                           {Path: "photos"},
		"./oci:x":                          {Path: "./oci:x"},
		"a:b/c.tar":                        {Path: "a:b/c.tar"},
		"docker:x":                         {Path: "docker:x"},
		"docker://alpine:3":                {Image: "docker://alpine:3"},
		"oci:dir:v1":                       {Image: "oci:dir:v1"},
		"docker-daemon:x":                  {Image: "docker-daemon:x"},
		"https://x/y?z#sha256=" + zero[7:]: {URL: "https://x/y?z", Digest: zero},
		"http://x:80/y#sha256=" + zero[7:]: {URL: "http://x:80/y", Digest: zero},
	} {
		if got, err := ParseSource(src); err != nil || got.Path != want.Path || got.Image != want.Image || got.URL != want.URL || got.Digest != want.Digest {
			t.Errorf("%q: %+v %v", src, got, err)
		}
	}
	for _, src := range []string{"", "https://x/y", "https://x/y#sha256=1", "ftp://x/y", "docker://A"} {
		if got, err := ParseSource(src); err == nil {
			t.Errorf("%q: %+v", src, got)
		}
	}
}

// Nothing that was unpacked is left, whatever happens.
func TestSourcesLeaveNothing(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(archive, tarOf(t, []string{"a/", "a/b", "../c"}), 0o644); err != nil {
		t.Fatal(err)
	}
	opts := testOptions(t)
	if _, err := BuildSources(t.Context(), []Source{{Path: archive}}, opts); err == nil || !strings.Contains(err.Error(), `member "../c"`) {
		t.Errorf("a member that leads out: %v", err)
	}
	good := filepath.Join(t.TempDir(), "b.tar")
	if err := os.WriteFile(good, tarOf(t, []string{"a/", "a/b"}), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := BuildSources(ctx, []Source{{Path: good}}, opts); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if _, err := BuildSources(t.Context(), []Source{{Path: good}, {Path: good}}, opts); err == nil || !strings.Contains(err.Error(), "comes twice") {
		t.Errorf("twice the same: %v", err)
	}
	if _, err := BuildSources(t.Context(), []Source{{Path: good, Digest: "sha256:" + strings.Repeat("0", 64)}}, opts); err == nil || !strings.Contains(err.Error(), "its digest is") {
		t.Errorf("another digest: %v", err)
	}
	entries, err := os.ReadDir(opts.TempDir)
	if err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}

// Metadata comes from the source that has the file, whatever others leave out.
func TestSourcesAreExtracted(t *testing.T) {
	a := writeTree(t, map[string][]byte{"x.csv": []byte("a,b\n1,2\n3,4\n"), "skip.csv": []byte("a\n")})
	b := writeTree(t, map[string][]byte{"skip.csv": []byte("a,b,c\n1,2,3\n")})
	opts := storeOptions(t, "x")
	for range 2 { // the second time nothing changed
		r, err := BuildSources(t.Context(), []Source{{Path: a, Exclude: []string{"skip.csv"}}, {Path: b}, {Path: filepath.Join(a, "x.csv"), To: "sub"}}, opts)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Open(t.Context(), r.Ref, opts.Places)
		if err != nil {
			t.Fatal(err)
		}
		for p, want := range map[string]string{"x.csv": "text/csv", "sub/x.csv": "text/csv", "skip.csv": "text/csv"} {
			e, err := c.Catalog().Lookup(t.Context(), p)
			if err != nil || e == nil || !strings.Contains(e.Meta, want) {
				t.Errorf("%s: %+v %v, want %s", p, e, err, want)
			}
		}
		c.Close()
	}
	l, err := scan.OpenMounts(t.Context(), []scan.Mount{{Src: a, Exclude: []string{"skip.csv"}}, {Src: b}}, scan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	where := &locator{listing: l}
	defer where.close()
	for _, dir := range []string{a, b} {
		if err := where.add(&scan.Mount{Src: dir}); err != nil {
			t.Fatal(err)
		}
	}
	for p, want := range map[string]string{"x.csv": a + "/x.csv", "skip.csv": b + "/skip.csv", "none": ""} {
		got := ""
		if place, ok := where.find(p); ok {
			got = place.name(p)
		}
		if got != want {
			t.Errorf("%s is found at %q, want %q", p, got, want)
		}
	}
}
