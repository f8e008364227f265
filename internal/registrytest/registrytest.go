// Package registrytest is container registries as tests see them: real ones on loopback, and between them and the
// client a Proxy that counts every request and makes go wrong what goes wrong on the way to a registry: cut
// connections, expired tokens, refused chunks, storage that answers in the registry's place.
//
// Distribution starts Debian's docker-registry, DistributionV3 the current one, and Referrers one in this process that
// has the referrers API, which the other two have not. Everything listens on 127.0.0.1 and is gone when the test ends.
// Where a registry cannot be had the test skips and says why; with CDB_TEST_REQUIRE set it fails instead.
package registrytest

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Registry is a registry that listens on this machine.
type Registry struct {
	Host     string // host:port, as it stands in a reference
	URL      string // scheme://host:port
	CAFile   string // PEM file of the private authority that signed its certificate; empty without TLS
	User     string // who may do everything; empty: anybody may
	Password string
	Dir      string // where it keeps its data

	transport *http.Transport
}

// Client returns a client that trusts the registry's certificate. It sends no credentials by itself.
func (r *Registry) Client() *http.Client { return &http.Client{Transport: r.transport} }

// PutBlob stores a blob in a repository and returns its digest.
func (r *Registry) PutBlob(t testing.TB, repo string, content []byte) string {
	t.Helper()
	digest := Digest(content)
	res := r.do(t, http.MethodPost, r.URL+"/v2/"+repo+"/blobs/uploads/", "", nil)
	if res.StatusCode != http.StatusAccepted {
		t.Fatalf("begin an upload to %s: status %s", repo, res.Status)
	}
	location, err := res.Location()
	if err != nil {
		t.Fatal(err)
	}
	location.RawQuery = strings.TrimPrefix(location.RawQuery+"&digest="+url.QueryEscape(digest), "&")
	res = r.do(t, http.MethodPut, location.String(), "application/octet-stream", content)
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("upload a blob to %s: status %s", repo, res.Status)
	}
	return digest
}

// PutManifest stores a manifest under a tag or its digest and returns its digest.
func (r *Registry) PutManifest(t testing.TB, repo, reference, mediaType string, content []byte) string {
	t.Helper()
	res := r.do(t, http.MethodPut, r.URL+"/v2/"+repo+"/manifests/"+reference, mediaType, content)
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("put manifest %s:%s: status %s", repo, reference, res.Status)
	}
	return Digest(content)
}

// Get returns status and body of a GET of a path below /v2/, with the registry's credentials.
func (r *Registry) Get(t testing.TB, path string) (int, []byte) {
	t.Helper()
	res := r.do(t, http.MethodGet, r.URL+"/v2/"+path, "", nil)
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, body
}

func (r *Registry) do(t testing.TB, method, address, contentType string, body []byte) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if r.User != "" {
		req.SetBasicAuth(r.User, r.Password)
	}
	res, err := r.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

// Digest returns the sha256 digest of content, as the specifications write it.
func Digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Option is a property of a registry or a proxy. One that what it is given to cannot have ends the test.
type Option func(*settings)

type settings struct {
	user, password string
	tls            bool
	names          []string // of the certificate
	listener       net.Listener
	tokens         *Tokens
	storage        *Storage
	http2          bool
}

// WithBasicAuth lets only that user in, by Basic authentication.
func WithBasicAuth(user, password string) Option {
	return func(s *settings) { s.user, s.password = user, password }
}

// WithTLS serves over TLS, with a certificate of a private authority (see CAFile) for 127.0.0.1, localhost, the
// address of the listener and the names.
func WithTLS(names ...string) Option {
	return func(s *settings) { s.tls, s.names = true, names }
}

// WithListener serves on a listener of the caller's instead of a free port of 127.0.0.1: one in another network
// namespace, for example.
func WithListener(l net.Listener) Option {
	return func(s *settings) { s.listener = l }
}

// WithHTTP2 offers HTTP/2, which goes with TLS only.
func WithHTTP2() Option { return func(s *settings) { s.http2 = true } }

func settingsOf(opts []Option) settings {
	var s settings
	for _, o := range opts {
		o(&s)
	}
	return s
}

// listen returns the listener to serve on, its host:port and URL, and where TLS is asked for the authority.
func (s *settings) listen(t testing.TB) (l net.Listener, host, address string, ca *Authority) {
	t.Helper()
	l = s.listener
	if l == nil {
		l = listenLoopback(t)
	}
	host, address = l.Addr().String(), "http://"+l.Addr().String()
	if s.tls {
		ca = NewAuthority(t)
		address = "https://" + host
	}
	return s.wrap(t, l, ca), host, address, ca
}

// wrap puts TLS around a listener if there is an authority.
func (s *settings) wrap(t testing.TB, l net.Listener, ca *Authority) net.Listener {
	t.Helper()
	if ca == nil {
		return l
	}
	names := append(slices.Clone(s.names), l.Addr().String())
	config := &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, names...)}, NextProtos: []string{"http/1.1"}}
	if s.http2 {
		config.NextProtos = []string{"h2", "http/1.1"}
	}
	return tls.NewListener(l, config)
}

func listenLoopback(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// newTransport makes a transport that trusts ca (nil: no TLS) and uses no proxy.
func newTransport(ca *Authority) *http.Transport {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true, ResponseHeaderTimeout: time.Minute}
	if ca != nil {
		transport.TLSClientConfig = &tls.Config{RootCAs: ca.Pool}
	}
	return transport
}

func skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CDB_TEST_REQUIRE") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
