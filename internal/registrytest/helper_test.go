package registrytest_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/registrytest"
)

// random returns n bytes that differ from those of another seed.
func random(n int, seed uint64) []byte {
	source := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(source.Uint32())
	}
	return b
}

// answer is what a client saw.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // of the request, or of reading the body
}

// request sends a request with header fields as "Key: value". Redirects are not followed.
func request(t *testing.T, client *http.Client, method, address string, body []byte, fields ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		key, value, _ := strings.Cut(f, ": ")
		req.Header.Set(key, value)
	}
	direct := *client
	direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := direct.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, got, err}
}

func want(t *testing.T, got answer, status int) answer {
	t.Helper()
	if got.err != nil || got.status != status {
		t.Fatalf("got status %d, error %v, want %d: %s", got.status, got.err, status, got.body)
	}
	return got
}

// fixture is a proxy before a registry that holds one blob.
type fixture struct {
	*registrytest.Proxy
	registry *registrytest.Registry
	content  []byte
	digest   string
}

func newFixture(t *testing.T, size int, opts ...registrytest.Option) fixture {
	t.Helper()
	registry := registrytest.Referrers(t)
	f := fixture{registrytest.NewProxy(t, registry, opts...), registry, random(size, 7), ""}
	f.digest = registry.PutBlob(t, "a/b", f.content)
	return f
}

func (f fixture) blob() string { return f.URL + "/v2/a/b/blobs/" + f.digest }

func (f fixture) get(t *testing.T, fields ...string) answer {
	t.Helper()
	return request(t, f.Client(), http.MethodGet, f.blob(), nil, fields...)
}

// start opens an upload and returns its location.
func start(t *testing.T, client *http.Client, base, query string) string {
	t.Helper()
	got := want(t, request(t, client, http.MethodPost, base+"/v2/a/b/blobs/uploads/"+query, nil), http.StatusAccepted)
	return location(t, base, got)
}

func location(t *testing.T, base string, got answer) string {
	t.Helper()
	from, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	to, err := from.Parse(got.header.Get("Location"))
	if err != nil || got.header.Get("Location") == "" {
		t.Fatalf("no location: %v, %v", got.header, err)
	}
	return to.String()
}

func commit(location, digest string) string {
	sign := "?"
	if strings.Contains(location, "?") {
		sign = "&"
	}
	return location + sign + "digest=" + url.QueryEscape(digest)
}
