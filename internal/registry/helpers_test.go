package registry_test

import (
	"bytes"
	"context"
	"flag"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/data-containers/cdb/internal/registry"
	"github.com/data-containers/cdb/internal/registrytest"
)

// TestMain runs more tests side by side than there are CPUs: they mostly wait.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

const (
	kib = 1 << 10
	mib = 1 << 20
)

// random returns n bytes that differ from those of another seed.
func random(n int, seed uint64) []byte {
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	b := make([]byte, n)
	_, _ = source.Read(b)
	return b
}

// options are quick to try again, and to give up.
func options(t testing.TB) registry.Options {
	return registry.Options{
		Stall: 20 * time.Second, Backoff: time.Millisecond, ChunkSize: 256 * kib,
		StateDir: t.TempDir(), TempDir: t.TempDir(),
	}
}

// newClient returns a client that is closed at the end.
func newClient(t testing.TB, opts registry.Options) *registry.Client {
	t.Helper()
	c, err := registry.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		wantEmpty(t, opts.TempDir)
	})
	return c
}

// checkGoroutines fails the test if code of the package still runs. No test
// may run beside it.
func checkGoroutines(t testing.TB) {
	t.Helper()
	const ours = "cdb/internal/registry."
	left := ""
	for range 300 {
		buf := make([]byte, 4*mib)
		left = ""
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(g, ours) {
				left += g + "\n\n"
			}
		}
		if left == "" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("goroutines are left:\n%s", left)
}

func wantEmpty(t testing.TB, dir string) {
	t.Helper()
	if dir == "" {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) || len(entries) > 0 {
		t.Errorf("%s holds %v (%v)", dir, entries, err)
	}
}

func repository(t testing.TB, c *registry.Client, host, name string) *registry.Repository {
	t.Helper()
	r, err := c.Repository(host, name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A fixture is a registry behind a proxy, and a repository as the client has
// it.
type fixture struct {
	*registrytest.Proxy
	upstream *registrytest.Registry
	client   *registry.Client
	repo     *registry.Repository
}

func newFixture(t testing.TB, upstream *registrytest.Registry, change func(*registry.Options), opts ...registrytest.Option) *fixture {
	t.Helper()
	f := &fixture{Proxy: registrytest.NewProxy(t, upstream, opts...), upstream: upstream}
	o := options(t)
	if f.CAFile != "" {
		o.CAFiles = []string{f.CAFile}
	}
	if change != nil {
		change(&o)
	}
	f.client = newClient(t, o)
	f.repo = repository(t, f.client, f.Host, "a/b")
	return f
}

// put stores a blob behind the proxy.
func (f *fixture) put(t testing.TB, content []byte) ocispec.Descriptor {
	t.Helper()
	f.upstream.PutBlob(t, "a/b", content)
	return descriptor(content)
}

func descriptor(content []byte) ocispec.Descriptor {
	return ocispec.Descriptor{Digest: digest.FromBytes(content), Size: int64(len(content))}
}

// has says if a repository of the registry holds exactly this blob.
func has(t testing.TB, r *registrytest.Registry, repo string, content []byte) bool {
	t.Helper()
	status, body := r.Get(t, repo+"/blobs/"+digest.FromBytes(content).String())
	if status == http.StatusOK && !bytes.Equal(body, content) {
		t.Fatalf("the registry holds other bytes under %s", digest.FromBytes(content))
	}
	return status == http.StatusOK
}

// content is a blob to be uploaded.
type content struct{ *bytes.Reader }

func contentOf(b []byte) content { return content{bytes.NewReader(b)} }

// A counter sums what an upload tells.
type counter struct{ n atomic.Int64 }

func (c *counter) sent(n int64) { c.n.Add(n) }

// upload uploads and checks what was counted.
func (f *fixture) upload(t testing.TB, data []byte, from ...string) (string, error) {
	t.Helper()
	var sum counter
	how, err := f.repo.Upload(t.Context(), descriptor(data), contentOf(data), registry.UploadOptions{From: from, Sent: sum.sent})
	want := int64(0)
	if how == registry.Uploaded {
		want = int64(len(data))
	}
	if got := sum.n.Load(); got != want {
		t.Errorf("%d bytes were counted as sent, want %d (%q, %v)", got, want, how, err)
	}
	return how, err
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
	for _, secret := range []string{"s3cret", "Bearer ", "sig=", "_state=", "refresh-token-"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("error %q holds a secret (%q)", err, secret)
		}
	}
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

// within fails the test if f does not end in time.
func within(t *testing.T, d time.Duration, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(d):
		t.Fatalf("it takes more than %v", d)
	}
}

// readAll reads a part of a blob as a stream.
func readAll(ctx context.Context, b *registry.Blob, off, n int64) ([]byte, error) {
	s, err := b.Stream(ctx, off, n)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return io.ReadAll(s)
}

// each runs tests side by side, under their names.
func each[T any](t *testing.T, cases map[string]T, test func(t *testing.T, c T)) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, c)
		})
	}
}

// registries are those that tests run against.
var registries = map[string]func(testing.TB, ...registrytest.Option) *registrytest.Registry{
	"referrers": registrytest.Referrers, "distribution 2": registrytest.Distribution, "distribution 3": registrytest.DistributionV3,
}
