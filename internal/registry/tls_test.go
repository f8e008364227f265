package registry_test

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/data-containers/cdb/internal/registry"
	"github.com/data-containers/cdb/internal/registrytest"
)

// A host on this machine is asked what it speaks; who vouches for it is asked
// in any case.
func TestSchemes(t *testing.T) {
	upstream := registrytest.Referrers(t)
	plain := registrytest.NewProxy(t, upstream)
	secure := registrytest.NewProxy(t, upstream, registrytest.WithTLS())
	http2 := registrytest.NewProxy(t, upstream, registrytest.WithTLS(), registrytest.WithHTTP2())
	upstream.PutBlob(t, "a/b", []byte("x"))
	copyTo := func(t *testing.T, file, host string) string {
		dir := t.TempDir()
		data := must(os.ReadFile(file))(t)
		if err := os.Mkdir(filepath.Join(dir, host), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, host, "ca.crt"), data, 0o644); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for name, c := range map[string]struct {
		host   string
		change func(t *testing.T, o *registry.Options)
		err    string
	}{
		"plain":             {plain.Host, nil, ""},
		"plain by name":     {strings.Replace(plain.Host, "127.0.0.1", "localhost", 1), nil, ""},
		"plain asked for":   {plain.Host, func(_ *testing.T, o *registry.Options) { o.PlainHTTP = true }, ""},
		"unknown authority": {secure.Host, nil, "certificate"},
		"file":              {secure.Host, func(_ *testing.T, o *registry.Options) { o.CAFiles = []string{secure.CAFile} }, ""},
		"HTTP/2":            {http2.Host, func(_ *testing.T, o *registry.Options) { o.CAFiles = []string{http2.CAFile} }, ""},
		"another file":      {secure.Host, func(_ *testing.T, o *registry.Options) { o.CAFiles = []string{http2.CAFile} }, "certificate"},
		"two files":         {secure.Host, func(_ *testing.T, o *registry.Options) { o.CAFiles = []string{http2.CAFile, secure.CAFile} }, ""},
		"certs.d": {secure.Host, func(t *testing.T, o *registry.Options) {
			o.CertDirs = []string{"/nowhere", copyTo(t, secure.CAFile, secure.Host)}
		}, ""},
		"certs.d of another":     {secure.Host, func(t *testing.T, o *registry.Options) { o.CertDirs = []string{copyTo(t, secure.CAFile, http2.Host)} }, "certificate"},
		"plain asked, TLS there": {secure.Host, func(_ *testing.T, o *registry.Options) { o.PlainHTTP = true }, "400"},
		"nobody there":           {"127.0.0.1:1", nil, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := options(t)
			if c.change != nil {
				c.change(t, &opts)
			}
			size, err := repository(t, newClient(t, opts), c.host, "a/b").BlobSize(t.Context(), digest.FromString("x"))
			if c.err != "" {
				wantError(t, err, c.err)
			} else if size != 1 || err != nil {
				t.Errorf("%d, %v", size, err)
			}
		})
	}
	if n := secure.Count(registrytest.Any); n > 20 {
		t.Errorf("%d requests", n)
	}
	_, err := registry.New(registry.Options{CAFiles: []string{"/nowhere/ca.pem"}})
	wantError(t, err, "/nowhere/ca.pem")
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = registry.New(registry.Options{CAFiles: []string{empty}})
	wantError(t, err, empty, "PEM")
}

// A server on this machine that says nothing does not hold up for long.
func TestSilentHost(t *testing.T) {
	t.Parallel()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer l.Close()
	opts := options(t)
	opts.Stall, opts.Attempts = 300*time.Millisecond, 2
	r := repository(t, newClient(t, opts), l.Addr().String(), "a/b")
	within(t, 20*time.Second, func() {
		_, _, err := r.Manifest(t.Context(), "v1")
		wantError(t, err, "nothing came for too long")
	})
}

// Companies let their people out through HTTP proxies only.
func TestForwardProxy(t *testing.T) {
	upstream := registrytest.Referrers(t)
	data := random(600*kib, 1)
	upstream.PutBlob(t, "a/b", data)
	for name, c := range map[string]struct {
		tls   bool
		proxy []registrytest.Option
	}{
		"http": {false, nil}, "https": {true, nil}, "https, with a password": {true, []registrytest.Option{registrytest.WithBasicAuth("you", "s3cret")}},
		"http, with a password": {false, []registrytest.Option{registrytest.WithBasicAuth("you", "s3cret")}},
	} {
		t.Run(name, func(t *testing.T) {
			var opts []registrytest.Option
			if c.tls {
				opts = append(opts, registrytest.WithTLS("registry.test"))
			}
			server := registrytest.NewProxy(t, upstream, opts...)
			proxy := registrytest.NewForwardProxy(t, c.proxy...)
			_, port, _ := net.SplitHostPort(server.Host)
			host := "registry.test:" + port
			proxy.Map(host, server.Host)
			o := options(t)
			o.Proxy = http.ProxyURL(must(url.Parse(proxy.URL))(t))
			o.PlainHTTP = !c.tls
			if c.tls {
				o.CAFiles = []string{server.CAFile}
			}
			r := repository(t, newClient(t, o), host, "a/b")
			b := must(r.Blob(t.Context(), descriptor(data)))(t)
			if got, err := readAll(t.Context(), b, 0, b.Size()); err != nil || len(got) != len(data) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			second := random(600*kib, 2)
			to := repository(t, newClient(t, o), host, "p/"+strings.Map(func(c rune) rune {
				if c < 'a' || c > 'z' {
					return -1
				}
				return c
			}, name))
			if how, err := to.Upload(t.Context(), descriptor(second), contentOf(second), registry.UploadOptions{}); how != registry.Uploaded || err != nil {
				t.Errorf("%q, %v", how, err)
			}
			if len(proxy.Requests()) == 0 {
				t.Error("nothing went through the proxy")
			}
			if c.proxy == nil {
				return
			}
			bad := must(url.Parse(proxy.URL))(t)
			bad.User = url.UserPassword("you", "another s3cret")
			o.Proxy = http.ProxyURL(bad)
			_, err := repository(t, newClient(t, o), host, "a/b").BlobSize(t.Context(), digest.FromString("x"))
			wantError(t, err, "look for blob")
			if errors.Is(err, registry.ErrNotFound) {
				t.Error(err)
			}
		})
	}
}
