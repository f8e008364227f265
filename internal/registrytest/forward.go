package registrytest

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// ForwardProxy is an HTTP proxy as companies have them: what HTTP_PROXY and HTTPS_PROXY name. It tunnels with CONNECT
// and takes requests with absolute addresses.
//
// Programs use no proxy for 127.0.0.1 and localhost (Go's never do), so a test gives the registry another name with
// Map and asks for that: only the proxy can resolve it.
type ForwardProxy struct {
	Host   string // host:port
	URL    string // what the environment variables are set to; with user and password where it asks for them
	CAFile string // PEM file of the authority of its own certificate; empty without TLS

	credentials string // value of Proxy-Authorization; empty: none needed
	transport   *http.Transport
	journal     *journal

	mu      sync.Mutex
	names   map[string]string
	tunnels map[net.Conn]bool // open ends
}

// NewForwardProxy starts an HTTP proxy. It can have WithBasicAuth, WithTLS and WithListener.
func NewForwardProxy(t testing.TB, opts ...Option) *ForwardProxy {
	t.Helper()
	s := settingsOf(opts)
	if s.tokens != nil || s.storage != nil || s.http2 {
		t.Fatal("an HTTP proxy has no tokens, no storage host and no HTTP/2")
	}
	l, host, address, ca := s.listen(t)
	f := &ForwardProxy{Host: host, URL: address, journal: newJournal(), names: map[string]string{}, tunnels: map[net.Conn]bool{}}
	if ca != nil {
		f.CAFile = ca.File
	}
	if s.user != "" {
		scheme, rest, _ := strings.Cut(address, "://")
		f.URL = scheme + "://" + url.UserPassword(s.user, s.password).String() + "@" + rest
		f.credentials = "Basic " + base64.StdEncoding.EncodeToString([]byte(s.user+":"+s.password))
	}
	f.transport = &http.Transport{DialContext: f.dial, DisableCompression: true}
	server := &http.Server{Handler: f, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
	go server.Serve(l)
	t.Cleanup(func() {
		server.Close()
		f.transport.CloseIdleConnections()
		f.mu.Lock()
		defer f.mu.Unlock()
		for conn := range f.tunnels {
			conn.Close()
		}
	})
	return f
}

// Map lets the proxy find host:port name at another address, and only there.
func (f *ForwardProxy) Map(name, address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.names[name] = address
}

// Requests returns the requests that came until now: for a tunnel one CONNECT, whose Path is host:port, with the
// bytes that went through it so far.
func (f *ForwardProxy) Requests() []Request { return f.journal.requests(Any) }

// Transport returns a transport that uses the proxy for everything and trusts the authorities of the files (and its
// own certificate, if it has one).
func (f *ForwardProxy) Transport(t testing.TB, authorities ...string) *http.Transport {
	t.Helper()
	address, err := url.Parse(f.URL)
	if err != nil {
		t.Fatal(err)
	}
	if f.CAFile != "" {
		authorities = append(authorities, f.CAFile)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(address), TLSClientConfig: &tls.Config{RootCAs: readPool(t, authorities)}}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

func (f *ForwardProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	credentials := r.Header.Get("Proxy-Authorization")
	to := target{Kind: Other}
	if r.URL.IsAbs() {
		to = parseTarget(r)
	}
	entry := f.journal.begin(r, to)
	defer f.journal.end(entry)
	status := func(code int) {
		f.journal.change(func() { entry.Status = code })
		w.WriteHeader(code)
	}
	switch {
	case f.credentials != "" && credentials != f.credentials:
		w.Header().Set("Proxy-Authenticate", `Basic realm="registrytest"`)
		status(http.StatusProxyAuthRequired)
	case r.Method == http.MethodConnect:
		f.journal.change(func() { entry.Path = r.Host })
		f.tunnel(w, r, entry, status)
	case !r.URL.IsAbs():
		status(http.StatusBadRequest)
	default:
		f.pass(w, r, entry, status)
	}
}

// pass sends a request on that has an absolute address.
func (f *ForwardProxy) pass(w http.ResponseWriter, r *http.Request, entry *Request, status func(int)) {
	out := r.Clone(r.Context())
	out.RequestURI = ""
	if r.ContentLength == 0 {
		out.Body = http.NoBody
	}
	dropHopHeaders(out.Header)
	res, err := f.transport.RoundTrip(out)
	if err != nil {
		status(http.StatusBadGateway)
		return
	}
	defer res.Body.Close()
	dropHopHeaders(res.Header)
	for key, values := range res.Header {
		w.Header()[key] = values
	}
	status(res.StatusCode)
	n, err := io.Copy(w, res.Body)
	f.journal.change(func() {
		entry.Sent = n
		entry.Received = max(r.ContentLength, 0)
	})
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// tunnel joins the client's connection with one to where it wants to go. It lasts as long as the client wishes, so
// nobody waits for its end.
func (f *ForwardProxy) tunnel(w http.ResponseWriter, r *http.Request, entry *Request, status func(int)) {
	far, err := f.dial(r.Context(), "tcp", r.Host)
	if err != nil {
		status(http.StatusBadGateway)
		return
	}
	defer far.Close()
	near, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	f.journal.change(func() { entry.Status = http.StatusOK })
	// By hand: the server would announce chunks.
	if _, err := io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	defer f.keep(near, far)()
	f.journal.hold(true)
	defer f.journal.hold(false)
	count := func(total *int64) func(int) {
		return func(n int) { f.journal.change(func() { *total += int64(n) }) }
	}
	back := make(chan struct{})
	go func() {
		io.Copy(counter{near, count(&entry.Sent)}, far)
		near.Close()
		close(back)
	}()
	io.Copy(counter{far, count(&entry.Received)}, buffered)
	far.Close()
	<-back
}

// keep remembers connections until the function that it returns is called.
func (f *ForwardProxy) keep(conns ...net.Conn) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range conns {
		f.tunnels[c] = true
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, c := range conns {
			delete(f.tunnels, c)
		}
	}
}

func (f *ForwardProxy) dial(ctx context.Context, network, address string) (net.Conn, error) {
	f.mu.Lock()
	if mapped, ok := f.names[address]; ok {
		address = mapped
	}
	f.mu.Unlock()
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// counter tells what is written, before it is: whoever has got it finds it counted.
type counter struct {
	io.Writer
	count func(int)
}

func (c counter) Write(b []byte) (int, error) {
	c.count(len(b))
	return c.Writer.Write(b)
}
