package store_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/data-containers/cdb/internal/store"
)

// sample is an image of two architectures that share a layer.
type sample struct {
	root  ocispec.Descriptor
	blobs map[digest.Digest][]byte
	order []ocispec.Descriptor // as written: layers first, root last
}

func (s *sample) add(t testing.TB, mediaType string, content any) ocispec.Descriptor {
	t.Helper()
	data, ok := content.([]byte)
	if !ok {
		var err error
		if data, err = json.Marshal(content); err != nil {
			t.Fatal(err)
		}
	}
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	s.blobs[d.Digest] = data
	s.order = append(s.order, d)
	return d
}

func layerTar(t testing.TB, name, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, content)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(data)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// newSample makes an image whose content depends on seed.
func newSample(t testing.TB, seed string) *sample {
	t.Helper()
	s := &sample{blobs: map[digest.Digest][]byte{}}
	data := layerTar(t, "data/file", "shared "+seed)
	layer := s.add(t, ocispec.MediaTypeImageLayerGzip, gzipped(t, data))
	var manifests []ocispec.Descriptor
	for _, arch := range []string{"amd64", "arm64"} {
		own := layerTar(t, "entrypoint", arch)
		ownLayer := s.add(t, ocispec.MediaTypeImageLayerGzip, gzipped(t, own))
		platform := ocispec.Platform{Architecture: arch, OS: "linux"}
		config := s.add(t, ocispec.MediaTypeImageConfig, ocispec.Image{
			Platform: platform,
			RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(own), digest.FromBytes(data)}},
		})
		m := s.add(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{
			Versioned:   specs.Versioned{SchemaVersion: 2},
			MediaType:   ocispec.MediaTypeImageManifest,
			Config:      config,
			Layers:      []ocispec.Descriptor{ownLayer, layer},
			Annotations: map[string]string{ocispec.AnnotationTitle: "manifest " + seed, "only.manifest": arch},
		})
		m.Platform = &platform
		manifests = append(manifests, m)
	}
	s.root = s.add(t, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: manifests,
		Annotations: map[string]string{
			ocispec.AnnotationTitle:   "title " + seed,
			ocispec.AnnotationCreated: "2020-02-02T20:20:20Z",
		},
	})
	return s
}

func writeBlob(t testing.TB, target store.Target, data []byte) {
	t.Helper()
	u, err := target.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := u.Commit(t.Context(), digest.FromBytes(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
}

// write puts all blobs of s into target.
func (s *sample) write(t testing.TB, target store.Target) {
	t.Helper()
	for _, d := range s.order {
		writeBlob(t, target, s.blobs[d.Digest])
	}
}

// publish writes, publishes and closes.
func (s *sample) publish(t testing.TB, target store.Target) string {
	t.Helper()
	s.write(t, target)
	ref, err := target.Publish(t.Context(), s.root)
	if err != nil {
		t.Fatal(err)
	}
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
	return ref
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// check reads every blob of s from src.
func (s *sample) check(t testing.TB, src store.Source) {
	t.Helper()
	for _, d := range s.order {
		b, err := src.Open(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		if b.Size() != d.Size {
			t.Errorf("%s: size %d, want %d", d.Digest, b.Size(), d.Size)
		}
		got := make([]byte, d.Size)
		if n, err := b.ReadAt(got, 0); n < len(got) {
			t.Errorf("%s: read %d bytes: %v", d.Digest, n, err)
		}
		if digest.FromBytes(got) != d.Digest {
			t.Errorf("%s: other bytes", d.Digest)
		}
		tail := make([]byte, 10)
		if n, err := b.ReadAt(tail, d.Size-4); n != 4 || err != io.EOF || !bytes.Equal(tail[:4], got[d.Size-4:]) {
			t.Errorf("%s: read of the last 4 bytes: %d, %v", d.Digest, n, err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// files lists the regular files below dir.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	sort.Strings(names)
	return names
}

func wantError(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not say %q", err, p)
		}
	}
}

// tarFile is a member of an archive made by hand.
type tarFile struct {
	name, content string
	link          string
	kind          byte
}

func makeTar(t testing.TB, members ...tarFile) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Mode: 0o644, Size: int64(len(m.content)), Typeflag: tar.TypeReg, Linkname: m.link}
		if m.kind != 0 {
			h.Typeflag = m.kind
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, m.content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func writeFile(t testing.TB, path string, data []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func toJSON(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func env(pairs ...string) func(string) string {
	return func(key string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == key {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// serve starts a server on this machine until the test ends.
func serve(t testing.TB, server *http.Server) (host string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return l.Addr().String()
}
