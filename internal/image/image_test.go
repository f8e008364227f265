package image_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/pack"
)

// blobs are documents by digest.
type blobs map[digest.Digest][]byte

func (b blobs) add(mediaType string, doc []byte) ocispec.Descriptor {
	desc := image.Describe(mediaType, doc)
	b[desc.Digest] = doc
	return desc
}

func (b blobs) fetch(_ context.Context, desc ocispec.Descriptor) ([]byte, error) {
	if doc, ok := b[desc.Digest]; ok {
		return doc, nil
	}
	return nil, errors.New("no such blob")
}

func dataset() *catalog.Dataset {
	return &catalog.Dataset{
		Title: "A title", License: "CC0-1.0", Version: "2", Created: time.Unix(1e9, 0), Prefix: "/data",
		Files: 3, Bytes: 17, Digest: "sha256:abc", Labels: map[string]string{"org.example.key": "value"},
	}
}

func layers() []image.Layer {
	info := func(s string) *pack.Info {
		return &pack.Info{
			Digest: digest.FromString(s), DiffID: digest.FromString("diff" + s), MediaType: ocispec.MediaTypeImageLayerGzip, Size: 100,
			Location: pack.Location{Offset: 12, Size: 34, SHA256: [32]byte{1, 2}},
		}
	}
	return []image.Layer{
		image.NewLayer(info("program"), image.RoleEntrypoint),
		image.NewLayer(info("data 1"), image.RoleData),
		image.NewLayer(info("data 2"), image.RoleData),
		image.NewLayer(info("catalog"), image.RoleCatalog),
	}
}

// build writes the documents of an image and returns its root.
func build(t testing.TB, b blobs, archs ...string) ocispec.Descriptor {
	t.Helper()
	must := func(doc []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	var manifests []ocispec.Descriptor
	for _, arch := range archs {
		config := b.add(ocispec.MediaTypeImageConfig, must(image.Config(dataset(), layers(), image.ConfigOptions{Arch: arch, User: "1:1", Volume: true})))
		m := b.add(ocispec.MediaTypeImageManifest, must(image.Manifest(dataset(), config, layers())))
		m.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
		manifests = append(manifests, m)
	}
	if len(manifests) == 1 {
		return manifests[0]
	}
	return b.add(ocispec.MediaTypeImageIndex, must(image.Index(dataset(), layers(), manifests)))
}

// What was written is parsed, and each reader gets the manifest for its
// architecture, or any.
func TestParse(t *testing.T) {
	b := blobs{}
	root := build(t, b, "amd64", "arm64")
	for arch, want := range map[string]string{"amd64": "amd64", "arm64": "arm64", "riscv64": "amd64"} {
		img, err := image.Parse(t.Context(), b.fetch, root, arch)
		if err != nil {
			t.Fatal(err)
		}
		if img.Platform.Architecture != want || len(img.Platforms) != 2 || img.Root.Digest != root.Digest {
			t.Errorf("%s: got %s of %v", arch, img.Platform.Architecture, img.Platforms)
		}
		if diff := cmp.Diff(layers(), img.Layers); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(image.Labels(dataset(), layers()), img.Labels); diff != "" {
			t.Error(diff)
		}
		l := img.Catalog()[0]
		if loc, ok := l.TableLocation(); !ok || *loc != (pack.Location{Offset: 12, Size: 34, SHA256: [32]byte{1, 2}}) {
			t.Errorf("table at %v", loc)
		}
	}
}

// The documents are what other clients want of an image.
func TestDocuments(t *testing.T) {
	b := blobs{}
	root := build(t, b, "arm64")
	doc := string(b[root.Digest])
	if root.MediaType != ocispec.MediaTypeImageManifest || strings.Contains(doc, "artifactType") {
		t.Errorf("manifest %s: %s", root.MediaType, doc)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(b[root.Digest], &m); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(image.Labels(dataset(), layers()), m.Annotations); diff != "" {
		t.Errorf("annotations are not the labels: %s", diff)
	}
	for k, want := range map[string]string{
		"org.opencontainers.image.title":       "A title",
		"org.opencontainers.image.created":     "2001-09-09T01:46:40Z",
		"io.github.data-containers.cdb.files":  "3",
		"org.example.key":                      "value",
		"org.opencontainers.image.description": "",
		"io.github.data-containers.cdb.digest": "sha256:abc",
	} {
		if got, ok := m.Annotations[k]; got != want || ok != (want != "") {
			t.Errorf("annotation %s is %q, want %q", k, got, want)
		}
	}
	var config map[string]any
	if err := json.Unmarshal(b[m.Config.Digest], &config); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"User": "1:1", "Entrypoint": []any{"/entrypoint"}, "WorkingDir": "/", "Volumes": map[string]any{"/data": map[string]any{}},
	}
	got := config["config"].(map[string]any)
	delete(got, "Labels")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseRefuses(t *testing.T) {
	other := func(change func(m *ocispec.Manifest, c *ocispec.Image)) (blobs, ocispec.Descriptor) {
		b := blobs{}
		root := build(t, b, "amd64")
		var m ocispec.Manifest
		var c ocispec.Image
		if err := errors.Join(json.Unmarshal(b[root.Digest], &m), json.Unmarshal(b[m.Config.Digest], &c)); err != nil {
			t.Fatal(err)
		}
		media := m.Config.MediaType
		change(&m, &c)
		config, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if m.Config.MediaType == media {
			m.Config = b.add(media, config)
		}
		doc, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b, b.add(ocispec.MediaTypeImageManifest, doc)
	}
	tests := []struct {
		name   string
		change func(m *ocispec.Manifest, c *ocispec.Image)
		want   string
	}{
		{"an image of others", func(m *ocispec.Manifest, c *ocispec.Image) { c.Config.Labels = nil }, "not a data container"},
		{"an artifact", func(m *ocispec.Manifest, c *ocispec.Image) { m.Config.MediaType = "application/x" }, "not a data container"},
		{"no catalog", func(m *ocispec.Manifest, c *ocispec.Image) { delete(c.Config.Labels, image.LabelCatalog) }, "names no layers"},
		{"a catalog outside", func(m *ocispec.Manifest, c *ocispec.Image) { c.Config.Labels[image.LabelCatalog] = "4" }, "names no layers"},
		{"two names for one layer", func(m *ocispec.Manifest, c *ocispec.Image) { c.Config.Labels[image.LabelCatalog] = "3,3" }, "names no layers"},
		{"a newer format", func(m *ocispec.Manifest, c *ocispec.Image) { c.Config.Labels[image.LabelFormat] = "9" }, "newer cdb"},
		{"missing layers", func(m *ocispec.Manifest, c *ocispec.Image) { m.Layers = m.Layers[:1] }, "1 layers for 4 diffIDs"},
		{"no layers", func(m *ocispec.Manifest, c *ocispec.Image) { m.Layers, c.RootFS.DiffIDs = nil, nil }, "0 layers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, root := other(tt.change)
			_, err := image.Parse(t.Context(), b.fetch, root, "amd64")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
	t.Run("damage", func(t *testing.T) {
		b := blobs{}
		root := build(t, b, "amd64", "arm64")
		for d := range b {
			damaged := blobs{}
			for k, v := range b {
				damaged[k] = v
			}
			damaged[d] = append([]byte(" "), b[d]...)
			if _, err := image.Parse(t.Context(), damaged.fetch, root, "amd64"); err == nil && d != root.Digest {
				// The document of the other architecture is not read.
				if _, err := image.Parse(t.Context(), damaged.fetch, root, "arm64"); err == nil {
					t.Errorf("damage of %s goes unseen", d)
				}
			}
		}
	})
	t.Run("huge documents", func(t *testing.T) {
		root := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(""), Size: 1 << 50}
		if _, err := image.Parse(t.Context(), blobs{}.fetch, root, "amd64"); err == nil {
			t.Error("a document of a petabyte is read")
		}
	})
}

func FuzzParse(f *testing.F) {
	b := blobs{}
	for _, root := range []ocispec.Descriptor{build(f, b, "amd64"), build(f, b, "amd64", "arm64")} {
		f.Add(b[root.Digest], root.MediaType == ocispec.MediaTypeImageIndex)
	}
	f.Fuzz(func(t *testing.T, doc []byte, index bool) {
		b := blobs{}
		build(t, b, "amd64")
		mediaType := ocispec.MediaTypeImageManifest
		if index {
			mediaType = ocispec.MediaTypeImageIndex
		}
		img, err := image.Parse(t.Context(), b.fetch, b.add(mediaType, doc), "amd64")
		if err == nil && len(img.Layers) < 2 {
			t.Errorf("an image of %d layers", len(img.Layers))
		}
	})
}

// Labels are made of all that is said, and stay small whatever a file says.
func TestLabelsOfAbout(t *testing.T) {
	ds := &catalog.Dataset{Description: strings.Repeat("ü", 5000), About: catalog.About{
		Creators: []catalog.Person{{Name: "Ada"}, {Name: "Bob"}}, Publisher: "P", Identifiers: []string{"https://doi.org/10.1234/x"},
		Source: []string{"words", "https://example.org/raw"},
	}}
	labels := image.Labels(ds, nil)
	for key, want := range map[string]string{"authors": "Ada, Bob", "vendor": "P", "url": "https://doi.org/10.1234/x", "source": "https://example.org/raw"} {
		if got := labels["org.opencontainers.image."+key]; got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	if d := labels["org.opencontainers.image.description"]; len(d) > 4096 || !strings.HasSuffix(d, "ü…") {
		t.Errorf("a description of %d bytes", len(d))
	}
	const vendor = "org.opencontainers.image.vendor"
	for origin, want := range map[string]string{"": "P", "datacite.json": "mine"} {
		ds := &catalog.Dataset{Labels: map[string]string{vendor: "mine"}, About: catalog.About{Publisher: "P", Origins: map[string]string{"publisher": origin}}}
		if got := image.Labels(ds, nil)[vendor]; got != want {
			t.Errorf("%q said by %q: the label is %q", "P", origin, got)
		}
	}
	if _, ok := image.Labels(&catalog.Dataset{}, nil)[vendor]; ok {
		t.Error("a label without a value")
	}
}
