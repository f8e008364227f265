package registrytest

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Storage is a storage host of its own, as the large registries have: the registry answers a GET of a blob with a
// redirect to a signed address there, which works for a while. It refuses credentials (400) and HEAD (403: the
// signature is for GET), and addresses that have expired (403).
type Storage struct {
	TTL  time.Duration // how long a signed address works; 0: until the test ends
	Uses int           // how often it works; 0: any number
	Name string        // host name instead of the address of the listener: "localhost", for example
	Code int           // of the redirect; 0: 307
}

// WithStorage lets a proxy send blobs from a storage host.
func WithStorage(s Storage) Option { return func(o *settings) { o.storage = &s } }

type storage struct {
	Storage
	p    *Proxy
	host string

	mu       sync.Mutex
	signed   map[string]*grant
	tolerant bool // of credentials, in tests of ourselves
}

// grant is a signed address.
type grant struct {
	repo, digest string
	expires      time.Time // zero: never
	uses         int       // left; below 0: any number
}

func (s *storage) listen(t testing.TB, o *settings, ca *Authority) net.Listener {
	t.Helper()
	address, _, err := net.SplitHostPort(s.p.Host)
	if err != nil {
		t.Fatal(err)
	}
	own := settings{tls: o.tls, names: append(o.names, s.Name), http2: o.http2}
	if o.listener == nil {
		own.listener = listenLoopback(t)
	} else if l, ok := o.listener.(interface{ Sibling() (net.Listener, error) }); ok {
		if own.listener, err = l.Sibling(); err != nil {
			t.Fatal(err)
		}
	} else {
		t.Fatalf("no storage host beside %s: its listener has no method Sibling", s.p.Host)
	}
	_, port, err := net.SplitHostPort(own.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "" {
		address = s.Name
	}
	s.host = net.JoinHostPort(address, port)
	s.p.StorageHost = s.host
	return own.wrap(t, own.listener, ca)
}

// ExpireStorage ends all signed addresses that were given out until now.
func (p *Proxy) ExpireStorage() {
	p.storage.mu.Lock()
	defer p.storage.mu.Unlock()
	for _, g := range p.storage.signed {
		g.uses = 0
	}
}

// redirect sends a client to the storage host, if the registry has the blob.
func (s *storage) redirect(x *exchange) {
	known := httptest.NewRecorder()
	head := &exchange{p: s.p, w: known, r: x.r.Clone(x.r.Context()), to: x.to, entry: &Request{}}
	head.r.Method, head.r.Body = http.MethodHead, http.NoBody
	head.r.Header.Del("Range")
	head.forward(s.p.upstreamURL(x.r.URL))
	if known.Code != http.StatusOK {
		x.forward(s.p.upstreamURL(x.r.URL)) // the registry says why
		return
	}
	code := s.Code
	if code == 0 {
		code = http.StatusTemporaryRedirect
	}
	res := &http.Response{StatusCode: code, Header: http.Header{}, Body: http.NoBody}
	res.Header.Set("Location", s.sign(x.to.Repo, x.to.Reference))
	res.Header.Set("Docker-Content-Digest", x.to.Reference)
	res.Header.Set("Content-Length", "0")
	for _, f := range x.faults {
		if f.response != nil {
			f.response(x, res)
		}
	}
	x.send(res)
}

// sign makes an address of a blob.
func (s *storage) sign(repo, digest string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &grant{repo: repo, digest: digest, uses: s.Uses}
	if s.Uses == 0 {
		g.uses = -1
	}
	query := url.Values{}
	if s.TTL > 0 {
		g.expires = time.Now().Add(s.TTL)
		query.Set("exp", strconv.FormatInt(g.expires.Unix(), 10))
	}
	signature := Digest(fmt.Append(nil, repo, digest, len(s.signed), s.host))[len("sha256:"):]
	s.signed[signature] = g
	query.Set("sig", signature)
	path := url.URL{Scheme: s.p.scheme, Host: s.host, Path: "/store/" + strings.ReplaceAll(digest, ":", "/") + "/data", RawQuery: query.Encode()}
	return path.String()
}

func (s *storage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g, left := s.use(r)
	to := target{Kind: "storage " + Kind(r.Method)}
	if g != nil {
		to.Repo, to.Reference = g.repo, g.digest
	}
	admit := func(x *exchange) bool {
		switch {
		case r.Header.Get("Authorization") != "":
			storageError(x, http.StatusBadRequest, "InvalidArgument", "Only one auth mechanism allowed")
		case g == nil || r.Method != http.MethodGet:
			storageError(x, http.StatusForbidden, "SignatureDoesNotMatch", "The signature does not match the request")
		case !left:
			storageError(x, http.StatusForbidden, "AccessDenied", "Request has expired")
		default:
			return true
		}
		return false
	}
	s.p.run(w, r, to, admit, func(x *exchange) {
		x.forward(s.p.upstreamURL(&url.URL{Path: "/v2/" + g.repo + "/blobs/" + g.digest}))
	})
}

// use looks a signature up, and takes one of its uses if it has any left. A HEAD takes none.
func (s *storage) use(r *http.Request) (g *grant, left bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g = s.signed[r.URL.Query().Get("sig")]
	if g == nil || g.uses == 0 || !g.expires.IsZero() && time.Now().After(g.expires) {
		return g, false
	}
	if g.uses > 0 && r.Method == http.MethodGet {
		g.uses--
	}
	return g, true
}

// check fails the test where a client sent its credentials to the storage host.
func (s *storage) check(t testing.TB) {
	for _, r := range s.p.StorageRequests() {
		if r.Authorization != "" && !s.tolerant {
			t.Errorf("%s %s: the storage host got credentials (%s)", r.Method, r.Path, r.Authorization)
		}
	}
}

// storageError answers as S3 does.
func storageError(x *exchange, status int, code, message string) {
	x.w.Header().Set("Content-Type", "application/xml")
	x.w.WriteHeader(status)
	fmt.Fprintf(x.w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>\n", code, message)
}
