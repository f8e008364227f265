package registrytest

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy stands between a client and a registry. It counts and injects faults.
type Proxy struct {
	Host        string // host:port, as it stands in a reference
	URL         string // scheme://host:port
	CAFile      string // PEM file of the private authority that signed its certificates; empty without TLS
	StorageHost string // host:port of the storage host; empty without WithStorage

	scheme    string
	upstream  *Registry
	transport *http.Transport // to upstream
	client    *http.Transport // to itself
	basic     [2]string       // user and password that it asks for itself
	tokens    *tokenServer    // nil: none
	storage   *storage        // nil: none
	journal   *journal
	done      chan struct{} // closed at the end of the test

	mu      sync.Mutex
	rules   []*Rule
	uploads map[string]*upload
	working sync.WaitGroup
}

// NewProxy starts a proxy before a registry. It can have every option.
func NewProxy(t testing.TB, upstream *Registry, opts ...Option) *Proxy {
	t.Helper()
	s := settingsOf(opts)
	l, host, address, ca := s.listen(t)
	p := &Proxy{
		Host: host, URL: address, upstream: upstream, transport: upstream.transport.Clone(), client: newTransport(ca),
		basic: [2]string{s.user, s.password}, journal: newJournal(), done: make(chan struct{}), uploads: map[string]*upload{},
	}
	p.scheme, _, _ = strings.Cut(address, ":")
	if ca != nil {
		p.CAFile = ca.File
	}
	if s.tokens != nil {
		p.tokens = newTokenServer(p, *s.tokens)
	}
	var servers []*http.Server
	if s.storage != nil {
		p.storage = &storage{p: p, Storage: *s.storage, signed: map[string]*grant{}}
		servers = append(servers, p.serve(p.storage.listen(t, &s, ca), p.storage))
	}
	// Last: whoever is left of a test before may ask at once.
	servers = append(servers, p.serve(l, http.HandlerFunc(p.handle)))
	t.Cleanup(func() { p.close(t, servers) })
	return p
}

// Client returns a client that trusts the proxy's certificates and sends no credentials by itself.
func (p *Proxy) Client() *http.Client { return &http.Client{Transport: p.client} }

// Registry returns the proxy as if it were the registry: for its helpers, and for a proxy before a proxy.
func (p *Proxy) Registry() *Registry {
	r := *p.upstream
	r.Host, r.URL, r.CAFile, r.transport = p.Host, p.URL, p.CAFile, p.client
	return &r
}

func (p *Proxy) serve(l net.Listener, handler http.Handler) *http.Server {
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
	go server.Serve(l)
	return server
}

// close ends what faults hold up, then everything else.
func (p *Proxy) close(t testing.TB, servers []*http.Server) {
	if t.Failed() {
		t.Logf("requests to %s:\n%s", p.Host, p.Log())
	}
	close(p.done)
	for _, s := range servers {
		s.Close()
	}
	ended := make(chan struct{})
	go func() { p.working.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Errorf("requests to %s do not end", p.Host)
	}
	p.client.CloseIdleConnections()
	p.transport.CloseIdleConnections()
	if p.storage != nil {
		p.storage.check(t)
	}
}

// exchange is a request on its way.
type exchange struct {
	p      *Proxy
	w      http.ResponseWriter
	r      *http.Request
	to     target
	entry  *Request
	faults []Fault
	cut    *hangUp // set when a fault ends the connection

	// What happens to the request's body is found by the goroutine that sends it on.
	requestCut, tooLarge atomic.Bool
}

// reference is the tag or digest that the request names, in its path or as the digest to be uploaded or mounted.
func (x *exchange) reference() string {
	if x.to.Reference != "" {
		return x.to.Reference
	}
	query := x.r.URL.Query()
	return query.Get("digest") + query.Get("mount")
}

func (p *Proxy) handle(w http.ResponseWriter, r *http.Request) {
	to := parseTarget(r)
	if p.tokens != nil && r.URL.Path == tokenPath {
		to.Kind = Token + Kind(" "+r.Method)
	}
	admit := func(x *exchange) bool { return p.authorized(x) && !p.refuseUpload(x) }
	p.run(w, r, to, admit, func(x *exchange) {
		switch {
		case Token.covers(x.to.Kind):
			p.tokens.issue(x)
		case p.storage != nil && x.to.Kind == BlobGet:
			p.storage.redirect(x)
		default:
			x.forward(p.upstreamURL(r.URL))
		}
	})
}

// run does what every request needs: it is noted and counted, and where it is admitted, faults answer it, or answer
// does. So a fault is never spent on a request that comes without its token.
func (p *Proxy) run(w http.ResponseWriter, r *http.Request, to target, admit func(*exchange) bool, answer func(*exchange)) {
	p.working.Add(1)
	defer p.working.Done()
	entry := p.journal.begin(r, to)
	defer p.journal.end(entry)
	x := &exchange{p: p, r: r, to: to, entry: entry}
	x.w = &countingWriter{ResponseWriter: w, x: x}
	r.Body = &countingReader{ReadCloser: r.Body, x: x}
	if !admit(x) {
		return
	}
	x.faults = p.faultsFor(x)
	p.journal.change(func() {
		for _, f := range x.faults {
			entry.Faults = append(entry.Faults, f.name)
		}
	})
	if !x.answeredByFault() {
		answer(x)
	}
}

// authorized lets a request pass or answers it with a challenge.
func (p *Proxy) authorized(x *exchange) bool {
	switch {
	case Token.covers(x.to.Kind):
		return true
	case p.tokens != nil:
		return p.tokens.admit(x)
	}
	user, password, _ := x.r.BasicAuth()
	if p.basic[0] == "" || p.basic == [2]string{user, password} {
		return true
	}
	x.w.Header().Set("WWW-Authenticate", `Basic realm="registrytest"`)
	x.refuse(http.StatusUnauthorized, "")
	return false
}

func (x *exchange) answeredByFault() bool {
	for _, f := range x.faults {
		if f.answer != nil && f.answer(x) {
			return true
		}
	}
	return false
}

func (p *Proxy) upstreamURL(from *url.URL) *url.URL {
	to, _ := url.Parse(p.upstream.URL) // it is ours
	to.Path, to.RawPath, to.RawQuery = from.Path, from.RawPath, from.RawQuery
	return to
}

// outgoing is the request as it is sent on, with the faults of requests, and the body that it has for that time.
func (x *exchange) outgoing(to *url.URL) (*http.Request, *lentBody) {
	out := x.r.Clone(x.r.Context())
	out.URL, out.RequestURI = to, ""
	lent := &lentBody{body: x.r.Body}
	if out.Body = lent; x.r.ContentLength == 0 {
		out.Body = http.NoBody
	}
	dropHopHeaders(out.Header)
	out.Header.Set("X-Forwarded-Proto", x.p.scheme)
	if x.p.tokens != nil || x.p.basic[0] != "" || StorageAny.covers(x.to.Kind) {
		out.Header.Del("Authorization")
		if x.p.upstream.User != "" {
			out.SetBasicAuth(x.p.upstream.User, x.p.upstream.Password)
		}
	}
	for _, f := range x.faults {
		if f.request != nil {
			f.request(x, out)
		}
	}
	return out, lent
}

// forward sends the request on and its answer back, both through the faults.
func (x *exchange) forward(to *url.URL) {
	out, lent := x.outgoing(to)
	res, err := x.p.transport.RoundTrip(out)
	lent.giveBack()
	switch {
	case x.requestCut.Load():
		x.cut = &hangUp{}
		x.hangUp()
		return
	case x.tooLarge.Load():
		x.refuse(http.StatusRequestEntityTooLarge, "")
		return
	case err != nil && x.r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // the client has gone
	case err != nil:
		x.refuse(http.StatusBadGateway, "")
		return
	}
	defer res.Body.Close()
	x.p.noteUpload(x, res)
	for _, f := range x.faults {
		if f.response != nil {
			f.response(x, res)
		}
	}
	x.send(res)
}

// send copies an answer to the client.
func (x *exchange) send(res *http.Response) {
	if x.cut != nil {
		x.hangUp()
		return
	}
	dropHopHeaders(res.Header)
	x.relocate(res.Header)
	header := x.w.Header()
	for key, values := range res.Header {
		header[key] = values
	}
	if res.StatusCode >= 400 && !x.drain() {
		header.Set("Connection", "close")
	}
	x.w.WriteHeader(res.StatusCode)
	control := http.NewResponseController(x.w)
	buf := make([]byte, 32<<10)
	for {
		n, err := res.Body.Read(buf)
		if n > 0 {
			if _, err := x.w.Write(buf[:n]); err != nil {
				panic(http.ErrAbortHandler)
			}
			control.Flush()
		}
		switch {
		case x.cut != nil:
			x.hangUp()
			return
		case err == io.EOF:
			return
		case err != nil:
			panic(http.ErrAbortHandler) // what the registry does not send, the client must miss
		}
	}
}

// relocate makes a location at the registry one at the proxy, by the name that the client knows it by.
func (x *exchange) relocate(header http.Header) {
	location, err := url.Parse(header.Get("Location"))
	if err != nil || location.Host != x.p.upstream.Host && location.Host != x.r.Host {
		return
	}
	location.Scheme, location.Host = x.p.scheme, x.r.Host
	header.Set("Location", location.String())
}

func dropHopHeaders(h http.Header) {
	for _, key := range []string{"Connection", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"} {
		h.Del(key)
	}
}

// hangUp is how a connection ends: closed in the midst, or reset.
type hangUp struct{ reset bool }

// hangUp closes the connection to the client without ending the answer.
func (x *exchange) hangUp() {
	control := http.NewResponseController(x.w)
	if x.entry.Status != 0 { // only this goroutine writes it
		control.Flush()
	}
	conn, _, err := control.Hijack()
	if err != nil { // HTTP/2: the stream is reset
		panic(http.ErrAbortHandler)
	}
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn() // no close_notify either
	}
	if tcp, ok := conn.(*net.TCPConn); ok && x.cut.reset {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// drainLimit bounds what of a refused upload is read.
const drainLimit = 8 << 20

// refuse answers with an error. What the client is still sending is read first, within bounds: else the connection
// would be reset, and whether the client reads the answer before that would be a matter of luck.
func (x *exchange) refuse(status int, code string) {
	x.drain()
	writeError(x.w, status, code)
}

// drain says whether nothing of the request's body is left.
func (x *exchange) drain() bool {
	if x.r.Header.Get("Expect") != "" {
		return false
	}
	_, err := io.CopyN(io.Discard, x.r.Body, drainLimit)
	return err == io.EOF
}

// lentBody is the body of a request as long as it is sent on. A transport may go on reading it after the answer has
// come, and close it: so it never gets the body itself.
type lentBody struct {
	mu   sync.Mutex
	body io.Reader // nil: given back
}

func (l *lentBody) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.body == nil {
		return 0, http.ErrBodyReadAfterClose
	}
	return l.body.Read(b)
}

// Close does nothing: the server closes the body.
func (l *lentBody) Close() error { return nil }

func (l *lentBody) giveBack() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.body = nil
}

// wait lets time pass, unless the client goes away or the test ends. It says whether all of it has passed.
func (x *exchange) wait(d time.Duration) bool {
	x.p.journal.hold(true)
	defer x.p.journal.hold(false)
	ctx, cancel := context.WithTimeout(x.r.Context(), d)
	defer cancel()
	select {
	case <-ctx.Done():
		return x.r.Context().Err() == nil
	case <-x.p.done:
		return false
	}
}

type countingWriter struct {
	http.ResponseWriter
	x *exchange
}

func (w *countingWriter) WriteHeader(status int) {
	w.x.p.journal.change(func() {
		w.x.entry.Status = status
		w.x.entry.HeadSent = int64(len("HTTP/1.1 200 OK\r\n")) + headSize(w.Header())
	})
	w.ResponseWriter.WriteHeader(status)
}

func (w *countingWriter) Write(b []byte) (int, error) {
	if w.x.entry.Status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.ResponseWriter.Write(b)
	w.x.p.journal.change(func() { w.x.entry.Sent += int64(n) })
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

type countingReader struct {
	io.ReadCloser
	x *exchange
}

func (r *countingReader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	r.x.p.journal.change(func() { r.x.entry.Received += int64(n) })
	return n, err
}
