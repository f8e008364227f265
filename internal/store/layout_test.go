package store_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/data-containers/cdb/internal/store"
)

// Other images of a layout stay, a tag moves, and both annotations by which
// clients find the name are there.
func TestLayoutTags(t *testing.T) {
	dir := t.TempDir()
	x, y := newSample(t, "x"), newSample(t, "y")
	x.publish(t, must(store.LayoutTarget(dir, "", "name"))(t))
	x.publish(t, must(store.LayoutTarget(dir, "v1", ""))(t))
	ref := y.publish(t, must(store.LayoutTarget(dir, "v1", "ghcr.io/a/b"))(t))
	if want := "oci:" + dir + "@" + string(y.root.Digest); ref != want {
		t.Errorf("reference %q, want %q", ref, want)
	}
	l := must(store.OpenLayout(dir))(t)
	for name, want := range map[string]*sample{
		"latest": x, "v1": y, "name": x, "docker.io/library/name:latest": x, "ghcr.io/a/b:v1": y, string(x.root.Digest): x,
	} {
		if got, err := l.Resolve(t.Context(), name); err != nil || got.Digest != want.root.Digest {
			t.Errorf("%s: %s, %v", name, got.Digest, err)
		}
	}
	if got := files(t, dir); strings.Join(got[len(got)-2:], " ") != "index.json oci-layout" {
		t.Errorf("files %q", got)
	}
}

// Layouts of other programs may have full names as tags, or no tags at all.
func TestForeignLayout(t *testing.T) {
	dir := t.TempDir()
	x := newSample(t, "x")
	x.publish(t, must(store.LayoutTarget(dir, "", ""))(t))
	entry := x.root
	for _, c := range []struct {
		ref  string
		find string
		ok   bool
	}{
		{"", "", true}, {"", "latest", false},
		{"docker.io/library/x:v1", "v1", true}, {"docker.io/library/x:v1", "x:v1", true}, {"docker.io/library/x:v1", "", true},
		{"docker.io/library/x:v1", "x", false}, {"with space", "with space", true},
	} {
		entry.Annotations = map[string]string{ocispec.AnnotationRefName: c.ref}
		index := map[string]any{"schemaVersion": 2, "manifests": []ocispec.Descriptor{entry}}
		writeFile(t, filepath.Join(dir, "index.json"), []byte(toJSON(t, index)))
		_, err := must(store.OpenLayout(dir))(t).Resolve(t.Context(), c.find)
		if (err == nil) != c.ok || err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("find %q where there is %q: %v", c.find, c.ref, err)
		}
	}
}

// 32 writers at once lose no image.
func TestLayoutConcurrentPublish(t *testing.T) {
	const n = 32
	dir := filepath.Join(t.TempDir(), "new")
	var wg sync.WaitGroup
	errs := make(chan error, n)
	for i := range n {
		wg.Go(func() { errs <- publishOne(t, dir, i) })
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	l := must(store.OpenLayout(dir))(t)
	for i := range n {
		if _, err := l.Resolve(t.Context(), fmt.Sprintf("v%d", i)); err != nil {
			t.Error(err)
		}
	}
	for _, f := range files(t, dir) {
		if strings.HasPrefix(f, "tmp") {
			t.Errorf("%s was left", f)
		}
	}
}

// publishOne is for goroutines, which must not end the test.
func publishOne(t *testing.T, dir string, i int) error {
	target, err := store.LayoutTarget(dir, fmt.Sprintf("v%d", i), "")
	if err != nil {
		return err
	}
	defer target.Close()
	s := newSample(t, fmt.Sprint(i%4))
	for _, d := range s.order {
		u, err := target.Create(t.Context())
		if err != nil {
			return err
		}
		if _, err := u.Write(s.blobs[d.Digest]); err != nil {
			return err
		}
		if err := u.Commit(t.Context(), d.Digest, d.Size); err != nil {
			return err
		}
	}
	_, err = target.Publish(t.Context(), s.root)
	return err
}

func TestLayoutUploadsInParallel(t *testing.T) {
	target := must(store.LayoutTarget(t.TempDir(), "", ""))(t)
	defer target.Close()
	a, b := must(target.Create(t.Context()))(t), must(target.Create(t.Context()))(t)
	for range 3 {
		a.Write([]byte("a"))
		b.Write([]byte("b"))
	}
	if err := errors.Join(a.Commit(t.Context(), digest.FromString("aaa"), 3), b.Commit(t.Context(), digest.FromString("bbb"), 3)); err != nil {
		t.Error(err)
	}
}

func TestOpenLayoutErrors(t *testing.T) {
	dir := t.TempDir()
	_, err := store.OpenLayout(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for content, part := range map[string]string{"": "oci-layout", `{"imageLayoutVersion":"2.0.0"}`: `version "2.0.0"`, "{}": `version ""`} {
		writeFile(t, filepath.Join(dir, "oci-layout"), []byte(content))
		_, err := store.OpenLayout(dir)
		wantError(t, err, dir, part)
	}
	writeFile(t, filepath.Join(dir, "oci-layout"), []byte("{}"))
	_, err = store.LayoutTarget(dir, "", "")
	wantError(t, err, `version ""`)
	_, err = store.LayoutTarget(t.TempDir(), "a b", "")
	wantError(t, err, "tag")
	_, err = store.LayoutTarget(t.TempDir(), "", "Upper")
	wantError(t, err, "lower case")
}

// What stands for a blob but is none must not block or be read.
func TestOddBlobs(t *testing.T) {
	dir := t.TempDir()
	newSample(t, "x").publish(t, must(store.LayoutTarget(dir, "", ""))(t))
	l := must(store.OpenLayout(dir))(t)
	path := filepath.Join(dir, "blobs/sha256", strings.TrimPrefix(someDigest, "sha256:"))
	desc := ocispec.Descriptor{Digest: someDigest}
	for name, create := range map[string]func() error{
		"fifo":   func() error { return syscall.Mkfifo(path, 0o644) },
		"folder": func() error { return os.Mkdir(path, 0o755) },
		"device": func() error { return os.Symlink("/dev/zero", path) },
	} {
		if err := create(); err != nil {
			t.Fatal(err)
		}
		_, err := l.Open(t.Context(), desc)
		wantError(t, err, "not a regular file")
		if err := os.Remove(path); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every beginning of index.json is an error, not a panic and not an image.
func TestIndexTruncated(t *testing.T) {
	dir := t.TempDir()
	newSample(t, "x").publish(t, must(store.LayoutTarget(dir, "", "name"))(t))
	path := filepath.Join(dir, "index.json")
	data := must(os.ReadFile(path))(t)
	for i := range data {
		writeFile(t, path, data[:i])
		if _, err := store.OpenLayout(dir); err == nil {
			t.Errorf("index.json cut at %d was read", i)
		}
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"a","digest":"`+someDigest+`","size":3}]}`), "latest")
	f.Add([]byte(`{"schemaVersion":2,"manifests":null}`), "")
	dir := f.TempDir()
	writeFile(f, filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`))
	writeFile(f, filepath.Join(dir, "blobs/sha256/x"), nil)
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		writeFile(t, filepath.Join(dir, "index.json"), data)
		l, err := store.OpenLayout(dir)
		if err != nil {
			return
		}
		if d, err := l.Resolve(t.Context(), name); err == nil {
			if d.Digest.Validate() != nil || d.Size < 0 {
				t.Errorf("resolved %+v", d)
			}
			store.CheckComplete(t.Context(), l, d)
		}
	})
}
