package registrytest_test

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/data-containers/cdb/internal/registrytest"
)

// A registry with a name that only the HTTP proxy knows, over HTTP and in a tunnel.
func TestForwardProxy(t *testing.T) {
	for name, c := range map[string]struct{ registry, proxy []registrytest.Option }{
		"absolute": {nil, nil},
		"tunnel":   {[]registrytest.Option{registrytest.WithTLS("registry.example")}, []registrytest.Option{registrytest.WithBasicAuth("me", "p/w")}},
		"secure":   {[]registrytest.Option{registrytest.WithTLS("registry.example")}, []registrytest.Option{registrytest.WithTLS()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 50_000, c.registry...)
			forward := registrytest.NewForwardProxy(t, c.proxy...)
			forward.Map("registry.example:5000", f.Host)
			scheme, authorities := "http", []string(nil)
			if f.CAFile != "" {
				scheme, authorities = "https", []string{f.CAFile}
			}
			client := &http.Client{Transport: forward.Transport(t, authorities...)}
			address := scheme + "://registry.example:5000/v2/a/b/blobs/" + f.digest
			got := want(t, request(t, client, http.MethodGet, address, nil), http.StatusOK)
			if !bytes.Equal(got.body, f.content) {
				t.Errorf("got %d other bytes", len(got.body))
			}
			requests := forward.Requests()
			if len(requests) != 1 {
				t.Fatalf("%d requests: %+v", len(requests), requests)
			}
			r := requests[0]
			if r.Host != "registry.example:5000" || r.Status != http.StatusOK || r.Sent < 50_000 || (r.Method == http.MethodConnect) != (scheme == "https") {
				t.Errorf("request to the HTTP proxy: %+v", r)
			}
			if seen := f.Requests(registrytest.BlobGet); len(seen) != 1 || seen[0].Host != "registry.example:5000" {
				t.Errorf("requests to the registry: %+v", seen)
			}
		})
	}
}

func TestForwardProxyRefuses(t *testing.T) {
	f := newFixture(t, 10)
	forward := registrytest.NewForwardProxy(t, registrytest.WithBasicAuth("me", "secret"))
	want(t, request(t, http.DefaultClient, http.MethodGet, "http://"+forward.Host+"/", nil), http.StatusProxyAuthRequired)
	client := &http.Client{Transport: forward.Transport(t)}
	want(t, request(t, client, http.MethodGet, f.blob(), nil), http.StatusOK)
	want(t, request(t, client, http.MethodGet, "http://127.0.0.1:1/v2/", nil), http.StatusBadGateway)
	if got := request(t, client, http.MethodGet, "https://127.0.0.1:1/v2/", nil); got.err == nil {
		t.Errorf("a tunnel to nowhere: status %d", got.status)
	}
}
