package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/data-containers/cdb/internal/blobcache"
	"github.com/data-containers/cdb/internal/registry"
	"github.com/data-containers/cdb/internal/registrytest"
	"github.com/data-containers/cdb/internal/store"
)

// remoteConfig reaches registries, and keeps all files below dir.
func remoteConfig(t testing.TB, dir string) store.Config {
	t.Helper()
	c := must(registry.New(registry.Options{
		Stall: 20 * time.Second, Backoff: time.Millisecond, ChunkSize: 64 << 10, StateDir: t.TempDir(), TempDir: dir,
	}))(t)
	t.Cleanup(c.Close)
	return store.Config{Root: filepath.Join(t.TempDir(), "store"), Registries: c, TempDir: dir}
}

func registryPlace(start func(testing.TB, ...registrytest.Option) *registrytest.Registry) func(t *testing.T) place {
	return func(t *testing.T) place {
		r := start(t)
		dir := t.TempDir()
		return place{"docker://" + r.Host + "/example/name", remoteConfig(t, dir), dir}
	}
}

// push publishes a sample in a registry.
func push(t testing.TB, s *sample, cfg store.Config, dest string) string {
	t.Helper()
	return s.publish(t, must(cfg.OpenTarget(t.Context(), dest, "", "", ""))(t))
}

func openSource(t testing.TB, cfg store.Config, ref string) (store.Source, ocispec.Descriptor) {
	t.Helper()
	return place{cfg: cfg}.open(t, ref)
}

// addReferrers stores n manifests that refer to d, and one that refers to the
// first of them, with their blobs, and returns their digests.
func addReferrers(t testing.TB, cfg store.Config, dest string, root ocispec.Descriptor, n int) []string {
	t.Helper()
	target := must(cfg.OpenTarget(t.Context(), dest, "", "", ""))(t)
	defer target.Close()
	var digests []string
	subject := root
	for i := range n + 1 {
		layer := []byte(fmt.Sprintf("signature %d of %s", i, root.Digest))
		m := ocispec.Manifest{
			MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.example.signature",
			Config:      ocispec.Descriptor{MediaType: ocispec.MediaTypeEmptyJSON, Digest: digest.FromString("{}\n"), Size: 3},
			Layers:      []ocispec.Descriptor{{MediaType: "application/octet-stream", Digest: digest.FromBytes(layer), Size: int64(len(layer))}},
			Subject:     &ocispec.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size},
			Annotations: map[string]string{"number": fmt.Sprint(i)},
		}
		m.SchemaVersion = 2
		data := must(json.Marshal(m))(t)
		desc := ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(data), Size: int64(len(data)), ArtifactType: m.ArtifactType, Annotations: m.Annotations}
		if taker, ok := target.(store.Taker); !ok {
			writeBlob(t, target, layer)
			writeBlob(t, target, []byte("{}\n"))
		} else {
			// What is held is sent by Publish; blobs of referrers go at once.
			if err := taker.Take(t.Context(), m.Config, blobOf("{}\n"), nil); err != nil {
				t.Fatal(err)
			}
			if err := taker.Take(t.Context(), m.Layers[0], blobOf(string(layer)), nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := target.(store.ReferrerTarget).AddReferrer(t.Context(), subject.Digest, desc, data); err != nil {
			t.Fatal(err)
		}
		digests = append(digests, desc.Digest.String())
		if i == n-1 {
			subject = desc
		}
	}
	slices.Sort(digests)
	return digests
}

type blob struct{ *strings.Reader }

func (blob) Close() error { return nil }

func blobOf(s string) store.Blob { return blob{strings.NewReader(s)} }

// referrersOf lists what refers to d, and what to that, with types and
// annotations.
func referrersOf(t testing.TB, src store.Source, d digest.Digest) []string {
	t.Helper()
	var all []string
	for _, r := range must(src.(store.Referrer).Referrers(t.Context(), d))(t) {
		all = append(all, r.Digest.String())
		b := must(src.Open(t.Context(), r))(t)
		data := make([]byte, b.Size())
		b.ReadAt(data, 0)
		b.Close()
		if digest.FromBytes(data) != r.Digest {
			t.Errorf("referrer %s has other bytes", r.Digest)
		}
		all = append(all, referrersOf(t, src, r.Digest)...)
	}
	slices.Sort(all)
	return all
}

// Between all places images arrive as they are, with what refers to them where
// the place can hold it.
func TestCopyEverywhere(t *testing.T) {
	cfg := remoteConfig(t, t.TempDir())
	cfg.DockerHost = newFakeDocker(t).host
	api, other, old := registrytest.Referrers(t), registrytest.Referrers(t), registrytest.Distribution(t)
	places := map[string]func(t *testing.T) string{
		"registry":             func(t *testing.T) string { return "docker://" + api.Host + "/r" + label(t) + ":v1" },
		"another registry":     func(t *testing.T) string { return "docker://" + other.Host + "/r" + label(t) + ":v1" },
		"registry without API": func(t *testing.T) string { return "docker://" + old.Host + "/r" + label(t) + ":v1" },
		"layout":               func(t *testing.T) string { return "oci:" + t.TempDir() + "/layout:v1" },
		"archive":              func(t *testing.T) string { return filepath.Join(t.TempDir(), "a.tar") },
		"daemon":               func(*testing.T) string { return "docker-daemon:example/name:v1" },
	}
	for from, newFrom := range places {
		if from == "daemon" {
			continue
		}
		for to, newTo := range places {
			t.Run(from+" to "+to, func(t *testing.T) {
				s := newSample(t, from+to)
				first := newFrom(t)
				var want []string
				if from != "archive" {
					push(t, s, cfg, first)
					want = addReferrers(t, cfg, first, s.root, 2)
				} else { // which takes what refers to an image with the image
					layout := "oci:" + t.TempDir() + "/l:v1"
					push(t, s, cfg, layout)
					want = addReferrers(t, cfg, layout, s.root, 2)
					copyTo(t, cfg, layout, first, true)
				}
				dest := newTo(t)
				if to == "daemon" {
					_, err := tryCopy(t, cfg, first, dest, true)
					wantError(t, err, "cannot hold them")
					copyTo(t, cfg, first, dest, false)
					return
				}
				res := copyTo(t, cfg, first, dest, true)
				if res.Blobs != len(s.blobs) || res.Referrers != 3 || !strings.HasSuffix(res.Ref, "@"+s.root.Digest.String()) {
					t.Errorf("%+v", res)
				}
				src, root := openSource(t, cfg, dest)
				if root.Digest != s.root.Digest {
					t.Errorf("arrived as %s", root.Digest)
				}
				s.check(t, src)
				if got := referrersOf(t, src, root.Digest); !slices.Equal(got, want) {
					t.Errorf("referrers %v, want %v", got, want)
				}
				// A second time nothing is sent, and nothing changes.
				copyTo(t, cfg, first, dest, true)
			})
		}
	}
}

func label(t *testing.T) string {
	return digest.FromString(t.Name() + time.Now().String()).Encoded()[:12]
}

func tryCopy(t *testing.T, cfg store.Config, from, to string, referrers bool) (store.CopyResult, error) {
	t.Helper()
	src, root := openSource(t, cfg, from)
	target := must(cfg.OpenTarget(t.Context(), to, "", "", ""))(t)
	defer target.Close()
	return store.Copy(t.Context(), src, root, target, store.CopyOptions{Referrers: referrers})
}

func copyTo(t *testing.T, cfg store.Config, from, to string, referrers bool) store.CopyResult {
	t.Helper()
	return must(tryCopy(t, cfg, from, to, referrers))(t)
}

// Within a registry nothing is sent: blobs are mounted.
func TestCopyMounts(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...registrytest.Option) *registrytest.Registry{"referrers": registrytest.Referrers, "distribution": registrytest.Distribution} {
		t.Run(name, func(t *testing.T) {
			p := registrytest.NewProxy(t, start(t))
			s := newSample(t, "x")
			push(t, s, remoteConfig(t, t.TempDir()), "docker://"+p.Host+"/a/b:v1")
			p.Reset()
			cfg := remoteConfig(t, t.TempDir()) // which knows nothing
			copyTo(t, cfg, "docker://"+p.Host+"/a/b:v1", "docker://"+p.Host+"/c/d:v2", false)
			documents := int64(0)
			for _, d := range s.order {
				if strings.Contains(d.MediaType, "manifest") || strings.Contains(d.MediaType, "index") {
					documents += d.Size
				}
			}
			if sum := p.Totals(registrytest.Any); sum.Received != documents || p.Count(registrytest.UploadPatch)+p.Count(registrytest.UploadPut) > 0 {
				t.Errorf("%d bytes were sent, want %d:\n%s", sum.Received, documents, p.Log())
			}
			src, _ := openSource(t, cfg, "docker://"+p.Host+"/c/d:v2")
			s.check(t, src)
		})
	}
}

// What a registry answers to a request for an image, whatever it is, ends in
// an error or the image.
func TestResolveRemote(t *testing.T) {
	r := registrytest.Referrers(t)
	cfg := remoteConfig(t, t.TempDir())
	s := newSample(t, "x")
	push(t, s, cfg, "docker://"+r.Host+"/a/b:v1")
	p := registrytest.NewProxy(t, r)
	for body, want := range map[string]string{
		"": "JSON", "[]": "cannot unmarshal", "{}": "not the type of a manifest", `{"schemaVersion":1,"mediaType":"x"}`: "not the type",
		`{"schemaVersion":2,"config":{"digest":"x"}}`:                                                    "digest",
		`{"schemaVersion":2,"config":{"digest":"` + s.root.Digest.String() + `","size":-1},"layers":[]}`: "negative",
		`{"schemaVersion":2,"manifests":[{"digest":"sha256:../../../../../etc/passwd","size":1}]}`:       "digest",
		strings.Repeat(`{"manifests":[`, 10_000):                                                         "read sha256:",
	} {
		rule := p.Inject(registrytest.ManifestGet, registrytest.Answer(200, body, "Content-Type: text/html"))
		src, name, err := cfg.OpenSource(t.Context(), must(store.ParseRef("docker://"+p.Host+"/a/b:v1"))(t))
		if err != nil {
			t.Fatal(err)
		}
		_, err = src.Resolve(t.Context(), name)
		wantError(t, err, want)
		src.Close()
		rule.Remove()
	}
}

func FuzzRemoteManifest(f *testing.F) {
	s := newSample(f, "x")
	for _, d := range s.order[1:] {
		f.Add(s.blobs[d.Digest], d.MediaType, "v1")
	}
	f.Add([]byte(`{"schemaVersion":2,"manifests":[]}`), "", s.root.Digest.String())
	var body []byte
	var mediaType string
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{strings.Map(func(c rune) rune {
			if c < ' ' || c > '~' {
				return -1
			}
			return c
		}, mediaType)}
		w.Write(body)
	})}
	cfg, host := remoteConfig(f, f.TempDir()), serve(f, server)
	f.Fuzz(func(t *testing.T, data []byte, kind, ref string) {
		body, mediaType = data, kind
		r, err := store.ParseRef("docker://" + host + "/a/b:" + ref)
		if err != nil || strings.Contains(ref, "@") {
			return
		}
		src, name, err := cfg.OpenSource(t.Context(), r)
		if err != nil {
			return
		}
		defer src.Close()
		desc, err := src.Resolve(t.Context(), name)
		if err == nil && (desc.Digest != digest.FromBytes(data) || desc.Size != int64(len(data))) {
			t.Errorf("%+v for %d bytes", desc, len(data))
		}
	})
}

// The manifest of a pinned image, and small blobs, come from the cache.
func TestRemoteCache(t *testing.T) {
	r := registrytest.Referrers(t)
	cfg := remoteConfig(t, t.TempDir())
	s := newSample(t, "x")
	push(t, s, cfg, "docker://"+r.Host+"/a/b:v1")
	p := registrytest.NewProxy(t, r)
	dir := t.TempDir()
	read := func(ref string) {
		t.Helper()
		c := cfg
		c.Pieces = blobcache.New(dir, 0)
		src, _ := openSource(t, c, ref)
		s.check(t, src)
	}
	read("docker://" + p.Host + "/a/b:v1")
	if n := p.Count(registrytest.Any); n == 0 {
		t.Fatal("nothing was asked")
	}
	for ref, want := range map[string]int{"docker://" + p.Host + "/a/b:v1": 1, "docker://" + p.Host + "/a/b@" + s.root.Digest.String(): 0} {
		p.Reset()
		read(ref)
		if n := p.Count(registrytest.Any); n != want {
			t.Errorf("%s: %d requests, want %d:\n%s", ref, n, want, p.Log())
		}
	}
	// A cache that is damaged costs time alone.
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			err = os.WriteFile(path, []byte("damaged"), 0o600)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	read("docker://" + p.Host + "/a/b:v1")
}

// Small blobs are compared with their digests, too.
func TestRemoteDamaged(t *testing.T) {
	r := registrytest.Referrers(t)
	cfg := remoteConfig(t, t.TempDir())
	s := newSample(t, "x")
	push(t, s, cfg, "docker://"+r.Host+"/a/b:v1")
	p := registrytest.NewProxy(t, r)
	src, _ := openSource(t, cfg, "docker://"+p.Host+"/a/b:v1")
	rule := p.Inject(registrytest.BlobGet, registrytest.Flip(3))
	_, err := src.Open(t.Context(), s.order[0])
	wantError(t, err, "digest does not match", p.Host)
	rule.Remove()
	p.Inject(registrytest.BlobGet, registrytest.Flip(3), registrytest.Once())
	b := must(src.Open(t.Context(), s.order[0]))(t)
	got := make([]byte, b.Size())
	b.ReadAt(got, 0)
	if !bytes.Equal(got, s.blobs[s.order[0].Digest]) {
		t.Error("other bytes")
	}
	// Copied to another place they are compared as well.
	p.Inject(registrytest.BlobGet, registrytest.Flip(3))
	for _, dest := range []string{"oci:" + t.TempDir() + "/x", filepath.Join(t.TempDir(), "x.tar"), "docker://" + r.Host + "/new:v1"} {
		src, root := openSource(t, cfg, "docker://"+p.Host+"/a/b:v1")
		target := must(cfg.OpenTarget(t.Context(), dest, "", "", ""))(t)
		_, err := store.Copy(t.Context(), src, root, target, store.CopyOptions{})
		wantError(t, err, "digest")
		if err := target.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A layer that the registry is known not to take ends a copy before anything
// is sent.
func TestCopyLimit(t *testing.T) {
	s := newSample(t, "x")
	cfg := remoteConfig(t, t.TempDir())
	layout := "oci:" + t.TempDir() + "/l:v1"
	push(t, s, cfg, layout)
	src, root := openSource(t, cfg, layout)
	target := &limited{Target: must(cfg.OpenTarget(t.Context(), "oci:"+t.TempDir()+"/m", "", "", ""))(t), limit: 20}
	defer target.Close()
	_, err := store.Copy(t.Context(), src, root, target, store.CopyOptions{})
	wantError(t, err, "too large", "20", "registry.example", "--pack-size")
	if !errors.Is(err, store.ErrLayerTooLarge) || target.created {
		t.Errorf("%v; created %v", err, target.created)
	}
}

type limited struct {
	store.Target
	limit   int64
	created bool
}

func (l *limited) MaxLayer() (int64, string) { return l.limit, "registry.example" }

func (l *limited) Create(ctx context.Context) (store.Upload, error) {
	l.created = true
	return l.Target.Create(ctx)
}

// An upload that fails in the background ends the writing at once, and what
// waits on disk is gone.
func TestUploadFailsBehind(t *testing.T) {
	for _, keep := range []bool{false, true} {
		r := registrytest.Referrers(t)
		p := registrytest.NewProxy(t, r)
		dir := t.TempDir()
		cfg := remoteConfig(t, dir)
		p.Inject(registrytest.UploadPatch, registrytest.Status(403))
		target := must(cfg.PushTarget(t.Context(), p.Host+"/a/b", "v1", keep))(t)
		writeBlob(t, target, make([]byte, 200_000))
		u, err := target.Create(t.Context())
		deadline := time.Now().Add(20 * time.Second)
		for err == nil && time.Now().Before(deadline) {
			_, err = u.Write(make([]byte, 1000))
			time.Sleep(time.Millisecond)
		}
		wantError(t, err, "403", p.Host)
		if err := target.Close(); err != nil {
			t.Error(err)
		}
		if left := files(t, dir); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
		for _, f := range files(t, cfg.Root) {
			if strings.Contains(f, "tmp/") {
				t.Errorf("left: %s", f)
			}
		}
	}
}

// What the registry refuses in the end is in the store, and the error says so.
func TestPushTargetRefused(t *testing.T) {
	p := registrytest.NewProxy(t, registrytest.Referrers(t))
	p.Inject(registrytest.ManifestPut, registrytest.Status(403))
	cfg := remoteConfig(t, t.TempDir())
	s := newSample(t, "x")
	target := must(cfg.PushTarget(t.Context(), p.Host+"/a/b", "v1", true))(t)
	defer target.Close()
	s.write(t, target)
	_, err := target.Publish(t.Context(), s.root)
	wantError(t, err, "403", "it is in the local store now: \"cdb push "+p.Host+"/a/b:v1\" sends it")
	src, _ := openSource(t, cfg, p.Host+"/a/b:v1")
	s.check(t, src)
}

// An image goes to the store and the registry at once.
func TestPushTarget(t *testing.T) {
	r := registrytest.Referrers(t)
	cfg := remoteConfig(t, t.TempDir())
	s := newSample(t, "x")
	ref := s.publish(t, must(cfg.PushTarget(t.Context(), r.Host+"/a/b", "v1", true))(t))
	if ref != r.Host+"/a/b:v1@"+s.root.Digest.String() {
		t.Errorf("reference %s", ref)
	}
	for _, from := range []string{"docker://" + r.Host + "/a/b:v1", r.Host + "/a/b:v1", ref} {
		src, root := openSource(t, cfg, from)
		if root.Digest != s.root.Digest {
			t.Errorf("%s: %s", from, root.Digest)
		}
		s.check(t, src)
	}
}
