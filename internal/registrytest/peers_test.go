package registrytest_test

import (
	"bytes"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/data-containers/cdb/bench/link"
	"github.com/data-containers/cdb/internal/clienttest"
	"github.com/data-containers/cdb/internal/registrytest"
)

// What becomes of an upload at each registry when the connection breaks in the midst of a chunk, or before its answer
// has arrived: distribution 2.8 forgets it, the others tell how much they have and go on, at the new location.
func TestBrokenChunks(t *testing.T) {
	for name, c := range map[string]struct {
		start  func(testing.TB, ...registrytest.Option) *registrytest.Registry
		resume bool
	}{
		"Distribution":   {registrytest.Distribution, false},
		"DistributionV3": {registrytest.DistributionV3, true},
		"Referrers":      {registrytest.Referrers, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := registrytest.NewProxy(t, c.start(t))
			for _, broken := range []struct {
				fault registrytest.Fault
				have  int // of the chunk
			}{{registrytest.CutRequest(50_000), 50_000}, {registrytest.LoseAnswer(), 100_000}} {
				testBrokenChunk(t, proxy, broken.fault, 100_000+broken.have, c.resume)
			}
		})
	}
}

func testBrokenChunk(t *testing.T, proxy *registrytest.Proxy, fault registrytest.Fault, have int, resume bool) {
	t.Helper()
	content, client := random(300_000, uint64(have)), proxy.Client()
	patch := func(at string, from, to int) answer {
		return request(t, client, http.MethodPatch, at, content[from:to], "Content-Type: application/octet-stream",
			fmt.Sprintf("Content-Range: %d-%d", from, to-1))
	}
	at := start(t, client, proxy.URL, "")
	at = location(t, proxy.URL, want(t, patch(at, 0, 100_000), http.StatusAccepted))
	proxy.Inject(registrytest.UploadPatch, fault, registrytest.Once())
	if got := patch(at, 100_000, 200_000); got.err == nil {
		t.Fatalf("%v: status %d", fault, got.status)
	}
	wanted := fmt.Sprintf("0-%d", have-1)
	var got answer
	for range 100 { // it may take the registry a moment to notice
		got = request(t, client, http.MethodGet, at, nil)
		if got.status == http.StatusNotFound || got.header.Get("Range") == wanted {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !resume {
		want(t, got, http.StatusNotFound)
		return
	}
	want(t, got, http.StatusNoContent)
	if r := got.header.Get("Range"); r != wanted {
		t.Fatalf("%v: the registry has %s, want %s", fault, r, wanted)
	}
	at = location(t, proxy.URL, want(t, patch(location(t, proxy.URL, got), have, len(content)), http.StatusAccepted))
	want(t, request(t, client, http.MethodPut, commit(at, registrytest.Digest(content)), nil), http.StatusCreated)
}

// skopeo finds its way through tokens that are used up, TLS and a storage host.
func TestSkopeo(t *testing.T) {
	skopeo := clienttest.Skopeo(t)
	proxy := registrytest.NewProxy(t, registrytest.Referrers(t), registrytest.WithTLS(),
		registrytest.WithTokenAuth(registrytest.Tokens{User: "user", Password: "secret"}),
		registrytest.WithStorage(registrytest.Storage{Uses: 1}))
	layer := random(100_000, 2)
	dir := filepath.Join(t.TempDir(), "image")
	config := []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["` + registrytest.Digest(layer) + `"]}}`)
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":%d},`+
		`"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":%q,"size":%d}]}`,
		manifestType, registrytest.Digest(config), len(config), registrytest.Digest(layer), len(layer))
	for name, content := range map[string]string{
		"version": "Directory Transport Version: 1.1\n", "manifest.json": manifest,
		registrytest.Digest(layer)[7:]: string(layer), registrytest.Digest(config)[7:]: string(config),
	} {
		clienttest.Write(t, filepath.Join(dir, name), content)
	}
	trust := filepath.Dir(proxy.CAFile)
	image := "docker://" + proxy.Host + "/a/b:v1"
	skopeo.Run(t, "copy", "--preserve-digests", "--dest-cert-dir", trust, "--dest-creds", "user:secret", "dir:"+dir, image)
	back := filepath.Join(t.TempDir(), "back")
	skopeo.Run(t, "copy", "--src-cert-dir", trust, "--src-creds", "user:secret", image, "dir:"+back)
	if n := len(proxy.StorageRequests()); n != 2 {
		t.Errorf("%d requests to the storage host, want 2", n)
	}
	if proxy.Count(registrytest.Token) == 0 || proxy.Count(registrytest.UploadPatch) != 2 || proxy.Totals(registrytest.Upload).Received < 100_000 {
		t.Errorf("requests:\n%s", proxy.Log())
	}
	got := skopeo.Try("inspect", "--cert-dir", trust, "--creds", "user:wrong", image)
	if got.Code == 0 {
		t.Error("skopeo reads with a wrong password")
	}
}

// A proxy and its storage host at the far end of a slow line.
func TestProxyOnALink(t *testing.T) {
	l, err := link.New(link.Options{Delay: 10 * time.Millisecond})
	if err != nil {
		t.Skip(err)
	}
	defer l.Close()
	listener, err := l.Server.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, 1000, registrytest.WithListener(listener), registrytest.WithTLS(), registrytest.WithStorage(registrytest.Storage{}))
	transport := f.Client().Transport.(*http.Transport).Clone()
	transport.DialContext = l.Client.DialContext
	defer transport.CloseIdleConnections()
	begin := time.Now()
	res, err := (&http.Client{Transport: transport}).Get(f.blob())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(res.Body); err != nil || !bytes.Equal(body.Bytes(), f.content) {
		t.Errorf("%d bytes, %v", body.Len(), err)
	}
	// Two connections with TLS 1.3 and a request each: six round trips.
	if took := time.Since(begin); took < 120*time.Millisecond {
		t.Errorf("took %v only", took)
	}
	if res.Request.URL.Host != f.StorageHost || len(f.StorageRequests()) != 1 {
		t.Errorf("answered by %s; %s", res.Request.URL.Host, f.Log())
	}
}
