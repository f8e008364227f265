package registrytest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// Request is one request that came to a proxy, and what became of it.
type Request struct {
	Kind          Kind
	Method        string
	Host          string // of the Host header
	Path, Query   string
	Repo          string
	Reference     string // tag or digest
	Range         string
	ContentRange  string
	Authorization string      // the scheme only: "Bearer", "Basic"; empty: none came
	Header        http.Header // of the request, without credentials
	Status        int         // that was sent; 0: the connection was closed without any
	Received      int64       // bytes of the request's body
	Sent          int64       // bytes of the answer's body
	HeadReceived  int64       // about what request line and header took, in bytes of HTTP/1.1
	HeadSent      int64
	Faults        []string // that were injected
	Begin         time.Time
	Took          time.Duration // 0 while it lasts
}

// Totals are sums over requests.
type Totals struct {
	Requests           int
	Sent, Received     int64 // bytes of bodies, seen from the proxy: Sent is what the client downloaded
	HeadSent, HeadRecv int64 // about, of headers
}

// journal holds the requests in the order in which they came.
type journal struct {
	mu      sync.Mutex
	changed sync.Cond
	entries []*Request
	active  int // requests that are neither over nor held by a fault
}

// settle bounds how long the journal waits for requests whose answer the client may have already: the counts are
// complete as soon as the client knows the answer, unless it went away itself.
const settle = time.Second

func newJournal() *journal {
	j := &journal{}
	j.changed.L = &j.mu
	return j
}

func (j *journal) begin(r *http.Request, to target) *Request {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	header := r.Header.Clone()
	header.Del("Authorization")
	header.Del("Proxy-Authorization")
	e := &Request{
		Kind: to.Kind, Method: r.Method, Host: r.Host, Path: r.URL.Path, Query: r.URL.RawQuery,
		Repo: to.Repo, Reference: to.Reference,
		Range: r.Header.Get("Range"), ContentRange: r.Header.Get("Content-Range"),
		Authorization: scheme, Header: header, Begin: time.Now(),
		HeadReceived: int64(len(r.Method)+len(r.RequestURI)+len(" HTTP/1.1\r\n ")) + headSize(r.Header) + int64(len("Host: \r\n")+len(r.Host)),
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, e)
	j.active++
	return e
}

// change edits an entry.
func (j *journal) change(f func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f()
}

// hold says that a fault keeps a request waiting (true) or no more (false): nobody needs to wait for it.
func (j *journal) hold(held bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if held {
		j.active--
	} else {
		j.active++
	}
	j.changed.Broadcast()
}

func (j *journal) end(e *Request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.Took = max(time.Since(e.Begin), 1)
	j.active--
	j.changed.Broadcast()
}

// requests returns copies of the entries of a kind.
func (j *journal) requests(kind Kind) []Request {
	j.mu.Lock()
	defer j.mu.Unlock()
	expired := false
	timer := time.AfterFunc(settle, func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		expired = true
		j.changed.Broadcast()
	})
	defer timer.Stop()
	for j.active > 0 && !expired {
		j.changed.Wait()
	}
	var list []Request
	for _, e := range j.entries {
		if kind.covers(e.Kind) {
			list = append(list, *e)
		}
	}
	return list
}

func (j *journal) reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = nil
}

func headSize(h http.Header) int64 {
	size := int64(len("\r\n"))
	for key, values := range h {
		for _, v := range values {
			size += int64(len(key) + len(": \r\n") + len(v))
		}
	}
	return size
}

// Requests returns the requests of a kind that came until now, in the order of their coming.
func (p *Proxy) Requests(kind Kind) []Request { return p.journal.requests(kind) }

// Count returns the number of requests of a kind.
func (p *Proxy) Count(kind Kind) int { return len(p.Requests(kind)) }

// Totals returns the sums over the requests of a kind.
func (p *Proxy) Totals(kind Kind) Totals {
	var sum Totals
	for _, r := range p.Requests(kind) {
		sum.Requests++
		sum.Sent += r.Sent
		sum.Received += r.Received
		sum.HeadSent += r.HeadSent
		sum.HeadRecv += r.HeadReceived
	}
	return sum
}

// StorageRequests returns the requests that came to the storage host. The test fails by itself when one of them
// carries credentials.
func (p *Proxy) StorageRequests() []Request { return p.Requests(StorageAny) }

// Reset forgets the requests; rules, tokens and uploads stay.
func (p *Proxy) Reset() { p.journal.reset() }

// Log returns the requests as a table, one a line. A test that fails logs it by itself.
func (p *Proxy) Log() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, r := range p.Requests(Any) {
		extra := r.Range + r.ContentRange
		if r.Authorization != "" {
			extra += " " + r.Authorization
		}
		if len(r.Faults) > 0 {
			extra += " [" + strings.Join(r.Faults, ", ") + "]"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\tin %d\tout %d\t%v\t%s\n", r.Kind, r.Path, r.Status, r.Received, r.Sent,
			r.Took.Round(time.Millisecond/10), strings.TrimSpace(extra))
	}
	w.Flush()
	return text.String()
}
