package registrytest_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/registrytest"
)

// The three registries, through a proxy, do what the distribution specification says.
func TestRegistries(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...registrytest.Option) *registrytest.Registry{
		"Distribution": registrytest.Distribution, "DistributionV3": registrytest.DistributionV3, "Referrers": registrytest.Referrers,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			registry := start(t)
			proxy := registrytest.NewProxy(t, registry)
			testUpload(t, proxy)
			testManifest(t, proxy)
			if got := proxy.Count(registrytest.UploadPatch); got != 2 {
				t.Errorf("counted %d PATCH requests, want 2", got)
			}
			status, body := proxy.Registry().Get(t, "a/b/tags/list")
			if status != http.StatusOK || !bytes.Contains(body, []byte(`"v1"`)) {
				t.Errorf("tags: status %d: %s", status, body)
			}
		})
	}
}

// testUpload sends a blob in two chunks, reads a range of it, and mounts it elsewhere.
func testUpload(t *testing.T, proxy *registrytest.Proxy) {
	t.Helper()
	content, client := random(100_000, 1), proxy.Client()
	digest := registrytest.Digest(content)
	at := start(t, client, proxy.URL, "")
	for _, chunk := range [][2]int{{0, 60_000}, {60_000, 100_000}} {
		got := want(t, request(t, client, http.MethodPatch, at, content[chunk[0]:chunk[1]],
			"Content-Type: application/octet-stream", fmt.Sprintf("Content-Range: %d-%d", chunk[0], chunk[1]-1)), http.StatusAccepted)
		if r := got.header.Get("Range"); r != fmt.Sprintf("0-%d", chunk[1]-1) {
			t.Errorf("range after a chunk: %q", r)
		}
		at = location(t, proxy.URL, got)
		if !strings.HasPrefix(at, proxy.URL) {
			t.Fatalf("the location %s is not at the proxy %s", at, proxy.URL)
		}
	}
	got := want(t, request(t, client, http.MethodGet, at, nil), http.StatusNoContent)
	if r := got.header.Get("Range"); r != "0-99999" {
		t.Errorf("range of the upload: %q", r)
	}
	want(t, request(t, client, http.MethodPut, commit(at, digest), nil), http.StatusCreated)
	got = want(t, request(t, client, http.MethodGet, proxy.URL+"/v2/a/b/blobs/"+digest, nil, "Range: bytes=5-9"), http.StatusPartialContent)
	if !bytes.Equal(got.body, content[5:10]) {
		t.Errorf("a range of the blob: %x, want %x", got.body, content[5:10])
	}
	mount := proxy.URL + "/v2/c/blobs/uploads/?mount=" + digest + "&from=a/b"
	want(t, request(t, client, http.MethodPost, mount, nil), http.StatusCreated)
	proxy.Inject(registrytest.Mount, registrytest.RefuseMount(), registrytest.Once())
	want(t, request(t, client, http.MethodPost, mount, nil), http.StatusAccepted)
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"

func testManifest(t *testing.T, proxy *registrytest.Proxy) {
	t.Helper()
	registry := proxy.Registry()
	config := []byte("{}")
	registry.PutBlob(t, "a/b", config)
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":2},"layers":[]}`,
		manifestType, registrytest.Digest(config))
	digest := registry.PutManifest(t, "a/b", "v1", manifestType, manifest)
	for _, reference := range []string{"v1", digest} {
		got := want(t, request(t, proxy.Client(), http.MethodGet, proxy.URL+"/v2/a/b/manifests/"+reference, nil, "Accept: "+manifestType), http.StatusOK)
		if !bytes.Equal(got.body, manifest) || got.header.Get("Docker-Content-Digest") != digest {
			t.Errorf("manifest %s: %v: %s", reference, got.header, got.body)
		}
	}
}

func TestReferrersAPI(t *testing.T) {
	proxy := registrytest.NewProxy(t, registrytest.Referrers(t))
	registry := proxy.Registry()
	subject := registrytest.Digest([]byte("subject"))
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":2},"layers":[],"subject":{"mediaType":%q,"digest":%q,"size":7}}`,
		manifestType, registrytest.Digest([]byte("{}")), manifestType, subject)
	digest := registry.PutManifest(t, "a/b", registrytest.Digest(manifest), manifestType, manifest)
	status, body := registry.Get(t, "a/b/referrers/"+subject)
	if status != http.StatusOK || !bytes.Contains(body, []byte(digest)) {
		t.Errorf("referrers: status %d: %s", status, body)
	}
	proxy.Inject(registrytest.ReferrersGet, registrytest.NoReferrers())
	if status, _ := registry.Get(t, "a/b/referrers/"+subject); status != http.StatusNotFound {
		t.Errorf("referrers that are not there: status %d", status)
	}
}

// Uploads go to disk, and refused ones leave no blob.
func TestReferrersUploads(t *testing.T) {
	registry := registrytest.Referrers(t)
	content := random(1000, 3)
	digest := registrytest.Digest(content)
	client := registry.Client()
	at := start(t, client, registry.URL, "")
	want(t, request(t, client, http.MethodPatch, at, content[10:], "Content-Range: 10-999"), http.StatusRequestedRangeNotSatisfiable)
	at = location(t, registry.URL, want(t, request(t, client, http.MethodPatch, at, content[:10]), http.StatusAccepted))
	if files, err := os.ReadDir(registry.Dir + "/uploads"); err != nil || len(files) != 1 {
		t.Errorf("uploads on disk: %v, %v", files, err)
	}
	want(t, request(t, client, http.MethodPut, commit(at, digest), content[11:]), http.StatusBadRequest)
	want(t, request(t, client, http.MethodDelete, at, nil), http.StatusNoContent)
	want(t, request(t, client, http.MethodGet, at, nil), http.StatusNotFound)
	want(t, request(t, client, http.MethodHead, registry.URL+"/v2/a/b/blobs/"+digest, nil), http.StatusNotFound)
	want(t, request(t, client, http.MethodPost, registry.URL+"/v2/a/b/blobs/uploads/?digest="+digest, content), http.StatusCreated)
	want(t, request(t, client, http.MethodHead, registry.URL+"/v2/a/b/blobs/"+digest, nil), http.StatusOK)
}

// Basic authentication and a private authority, at the real registry and at ours.
func TestPrivateRegistry(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...registrytest.Option) *registrytest.Registry{
		"Distribution": registrytest.Distribution, "Referrers": registrytest.Referrers,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			registry := start(t, registrytest.WithBasicAuth("user", "secret"), registrytest.WithTLS())
			if got := request(t, http.DefaultClient, http.MethodGet, registry.URL+"/v2/", nil); got.err == nil {
				t.Error("a client that does not know the authority trusts it")
			}
			got := want(t, request(t, registry.Client(), http.MethodGet, registry.URL+"/v2/", nil), http.StatusUnauthorized)
			if !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Basic ") {
				t.Errorf("challenge: %q", got.header.Get("WWW-Authenticate"))
			}
			registry.PutBlob(t, "a/b", []byte("content"))
			// Through a proxy that asks for tokens: it knows the registry's password, the client does not.
			proxy := registrytest.NewProxy(t, registry, registrytest.WithTokenAuth(registrytest.Tokens{AnonymousPull: true}))
			address := proxy.URL + "/v2/a/b/blobs/" + registrytest.Digest([]byte("content"))
			want(t, request(t, proxy.Client(), http.MethodGet, address, nil), http.StatusUnauthorized)
			bearer := token(t, proxy, "repository:a/b:pull", "")
			want(t, request(t, proxy.Client(), http.MethodGet, address, nil, "Authorization: Bearer "+bearer), http.StatusOK)
		})
	}
}
