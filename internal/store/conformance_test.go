package store_test

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/data-containers/cdb/internal/registrytest"
	"github.com/data-containers/cdb/internal/store"
)

// A place is a kind of target with its folder.
type place struct {
	dest string // of OpenTarget
	cfg  store.Config
	dir  string // all files are in here
}

// Whatever a place is, images written there come back unchanged by the printed
// reference, and nothing half-written is ever visible.
func TestPlaces(t *testing.T) {
	for name, newPlace := range map[string]func(t *testing.T) place{
		"layout": func(t *testing.T) place {
			dir := t.TempDir()
			return place{"oci:" + filepath.Join(dir, "a b:c"), store.Config{}, dir}
		},
		"local": func(t *testing.T) place {
			dir := t.TempDir()
			return place{"", store.Config{Root: filepath.Join(dir, "new/store")}, dir}
		},
		"archive": func(t *testing.T) place {
			dir := t.TempDir()
			return place{filepath.Join(dir, "a b.tar"), store.Config{}, dir}
		},
		"daemon": func(t *testing.T) place {
			return place{"docker-daemon:example/name", store.Config{DockerHost: newFakeDocker(t).host, TempDir: t.TempDir()}, t.TempDir()}
		},
		"registry":        registryPlace(registrytest.Referrers),
		"docker-registry": registryPlace(registrytest.Distribution),
	} {
		t.Run(name, func(t *testing.T) {
			for _, c := range []struct {
				name string
				test func(t *testing.T, p place)
			}{
				{"round trip", testRoundTrip},
				{"rewind", testRewind},
				{"commit", testCommit},
				{"unpublished", testUnpublished},
				{"incomplete", testIncomplete},
				{"cancelled", testCancelled},
				{"closed", testClosed},
			} {
				t.Run(c.name, func(t *testing.T) { c.test(t, newPlace(t)) })
			}
		})
	}
}

func (p place) target(t testing.TB) store.Target {
	t.Helper()
	target, err := p.cfg.OpenTarget(t.Context(), p.dest, "example/name", "v1", "arm64")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { target.Close() })
	return target
}

// open opens what a reference stands for.
func (p place) open(t testing.TB, ref string) (store.Source, ocispec.Descriptor) {
	t.Helper()
	r := must(store.ParseRef(ref))(t)
	src, name, err := p.cfg.OpenSource(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src, must(src.Resolve(t.Context(), name))(t)
}

func testRoundTrip(t *testing.T, p place) {
	s := newSample(t, "x")
	ref := s.publish(t, p.target(t))
	if !strings.Contains(ref, "@sha256:") {
		t.Errorf("reference %q is not pinned", ref)
	}
	src, desc := p.open(t, ref)
	if desc.Digest != s.root.Digest || desc.MediaType != s.root.MediaType || desc.Size != s.root.Size {
		t.Errorf("resolved %+v, want %+v", desc, s.root)
	}
	s.check(t, src)
	_, err := src.Open(t.Context(), ocispec.Descriptor{Digest: digest.FromString("none")})
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("open a missing blob: %v", err)
	}
	_, err = src.Open(t.Context(), ocispec.Descriptor{Digest: "sha256:../../x"})
	wantError(t, err, "digest")
	_, err = src.Open(t.Context(), ocispec.Descriptor{Digest: s.root.Digest, Size: s.root.Size + 1})
	wantError(t, err, "damaged")
	if _, err := src.Resolve(t.Context(), "no-such"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("resolve a missing image: %v", err)
	}
	m, err := src.Resolve(t.Context(), string(s.order[3].Digest))
	if err != nil || m.Size != s.order[3].Size {
		t.Errorf("resolve the manifest of one architecture: %+v, %v", m, err)
	}
	_, err = src.Resolve(t.Context(), string(s.order[0].Digest))
	if _, remote := src.(store.Remote); remote {
		wantError(t, err, "manifest", string(s.order[0].Digest)) // in the words of the registry
	} else {
		wantError(t, err, "neither a manifest nor an index")
	}
	for _, f := range files(t, p.dir) {
		if strings.Contains(f, "tmp") {
			t.Errorf("%s was left", f)
		}
	}
}

func testRewind(t *testing.T, p place) {
	s := newSample(t, "x")
	target := p.target(t)
	u := must(target.Create(t.Context()))(t)
	data := s.blobs[s.order[0].Digest]
	io.WriteString(u, "wrong and much longer than what comes after it, to leave bytes behind the end")
	if err := u.Rewind(0); err != nil {
		t.Fatal(err)
	}
	u.Write(data[:7])
	io.WriteString(u, "wrong")
	if err := u.Rewind(7); err != nil {
		t.Fatal(err)
	}
	if err := u.Rewind(8); err == nil {
		t.Error("rewound forward")
	}
	if err := u.Rewind(-1); err == nil {
		t.Error("rewound before the beginning")
	}
	u.Write(data[7:])
	if err := u.Commit(t.Context(), s.order[0].Digest, s.order[0].Size); err != nil {
		t.Fatal(err)
	}
	for _, again := range []bool{false, true} { // once more: a blob that is there already
		s.write(t, target)
		if ok, err := target.Has(t.Context(), s.root.Digest); !ok || err != nil {
			t.Errorf("has (again %v): %v, %v", again, ok, err)
		}
	}
	ref := must(target.Publish(t.Context(), s.root))(t)
	src, _ := p.open(t, ref)
	s.check(t, src)
}

func testCommit(t *testing.T, p place) {
	target := p.target(t)
	data := []byte("some bytes")
	d := digest.FromBytes(data)
	u := must(target.Create(t.Context()))(t)
	u.Write(data)
	wantError(t, u.Commit(t.Context(), d, 11), "10 bytes", "not 11")
	wantError(t, u.Commit(t.Context(), "sha256:zz", 10), "sha256:zz")
	if err := u.Commit(t.Context(), d, 10); err != nil {
		t.Fatal(err)
	}
	wantError(t, u.Commit(t.Context(), d, 10), "ended")
	if err := u.Abort(); err != nil {
		t.Errorf("abort after commit: %v", err)
	}
	if ok, _ := target.Has(t.Context(), d); !ok {
		t.Error("abort after commit dropped the blob")
	}
	u = must(target.Create(t.Context()))(t)
	io.WriteString(u, "dropped")
	if err := u.Abort(); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write(data); err == nil {
		t.Error("wrote after abort")
	}
	wantError(t, u.Rewind(0), "ended")
	if ok, _ := target.Has(t.Context(), digest.FromString("dropped")); ok {
		t.Error("an aborted blob is there")
	}
	empty := must(target.Create(t.Context()))(t)
	if err := empty.Commit(t.Context(), digest.FromString(""), 0); err != nil {
		t.Errorf("empty blob: %v", err)
	}
}

func testUnpublished(t *testing.T, p place) {
	s := newSample(t, "x")
	target := p.target(t)
	s.write(t, target)
	u := must(target.Create(t.Context()))(t)
	io.WriteString(u, "half")
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
	if err := u.Abort(); err != nil {
		t.Errorf("abort after close: %v", err)
	}
	for _, f := range files(t, p.dir) {
		if strings.Contains(f, "tmp") || strings.HasSuffix(f, "index.json") || strings.HasSuffix(f, ".tar") {
			t.Errorf("%s was left", f)
		}
	}
}

func testIncomplete(t *testing.T, p place) {
	s := newSample(t, "x")
	target := p.target(t)
	for _, d := range s.order[1:] {
		writeBlob(t, target, s.blobs[d.Digest])
	}
	_, err := target.Publish(t.Context(), s.root)
	if !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("published without a layer: %v", err)
	}
	wantError(t, err, string(s.order[0].Digest))
	_, err = target.Publish(t.Context(), s.order[1])
	wantError(t, err, "type of a manifest")
}

func testCancelled(t *testing.T, p place) {
	s := newSample(t, "x")
	target := p.target(t)
	s.write(t, target)
	ctx, cancel := context.WithCancel(t.Context())
	u := must(target.Create(ctx))(t)
	cancel()
	if err := u.Commit(ctx, digest.FromString(""), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("commit: %v", err)
	}
	u.Abort()
	if _, err := target.Create(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("create: %v", err)
	}
	if _, err := target.Publish(ctx, s.root); !errors.Is(err, context.Canceled) {
		t.Errorf("publish: %v", err)
	}
	if _, err := p.cfg.OpenTarget(ctx, p.dest, "n", "", ""); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v", err)
	}
	ref := must(target.Publish(t.Context(), s.root))(t)
	src, _ := p.open(t, ref)
	if _, err := src.Open(ctx, s.root); !errors.Is(err, context.Canceled) {
		t.Errorf("open blob: %v", err)
	}
	if _, err := src.Resolve(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("resolve: %v", err)
	}
}

func testClosed(t *testing.T, p place) {
	s := newSample(t, "x")
	target := p.target(t)
	s.write(t, target)
	for range 2 {
		if err := target.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := target.Create(t.Context())
	wantError(t, err, "closed")
	_, err = target.Publish(t.Context(), s.root)
	wantError(t, err, "closed")
}
