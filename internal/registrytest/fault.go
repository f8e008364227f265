package registrytest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Fault is one thing that goes wrong with a request, for Proxy.Inject.
type Fault struct {
	name     string
	when     func(x *exchange) bool                // nil: for every request
	answer   func(x *exchange) bool                // instead of the registry's answer; false: the request goes on
	request  func(x *exchange, out *http.Request)  // changes the request on its way
	response func(x *exchange, res *http.Response) // changes the answer on its way
}

// String returns the name of the fault, as the log shows it.
func (f Fault) String() string { return f.name }

// errCut ends a body where a fault cuts it.
var errCut = errors.New("cut by a fault")

// Status answers with a status and the JSON error of the specification that goes with it.
func Status(status int) Fault {
	return Fault{name: "status " + strconv.Itoa(status), answer: func(x *exchange) bool {
		x.refuse(status, "")
		return true
	}}
}

// RetryAfter is Status with a Retry-After header in seconds.
func RetryAfter(status int, d time.Duration) Fault {
	return retryAfter(status, func() string { return strconv.Itoa(int(d.Seconds())) })
}

// RetryAfterDate is Status with a Retry-After header that is a date, d from the answer on. Dates have whole seconds.
func RetryAfterDate(status int, d time.Duration) Fault {
	return retryAfter(status, func() string { return time.Now().Add(d).UTC().Format(http.TimeFormat) })
}

func retryAfter(status int, value func() string) Fault {
	return Fault{name: fmt.Sprintf("status %d with Retry-After", status), answer: func(x *exchange) bool {
		x.w.Header().Set("Retry-After", value())
		x.refuse(status, "")
		return true
	}}
}

// HTML answers with a status and a web page, as gateways do.
func HTML(status int) Fault {
	return Fault{name: fmt.Sprintf("status %d, HTML", status), answer: func(x *exchange) bool {
		x.w.Header().Set("Content-Type", "text/html; charset=utf-8")
		x.w.WriteHeader(status)
		if x.r.Method != http.MethodHead {
			fmt.Fprintf(x.w, "<html><head><title>%d %s</title></head><body><h1>%s</h1></body></html>\n", status, http.StatusText(status), http.StatusText(status))
		}
		return true
	}}
}

// Answer answers with a status, header fields as "Key: value" and a body.
func Answer(status int, body string, fields ...string) Fault {
	return Fault{name: fmt.Sprintf("answer %d", status), answer: func(x *exchange) bool {
		for _, f := range fields {
			key, value, _ := strings.Cut(f, ":")
			x.w.Header().Add(key, strings.TrimSpace(value))
		}
		x.w.WriteHeader(status)
		io.WriteString(x.w, body)
		return true
	}}
}

// HangUp closes the connection without an answer; the registry does not see the request.
func HangUp() Fault {
	return Fault{name: "hang up", answer: func(x *exchange) bool {
		x.cut = &hangUp{}
		x.hangUp()
		return true
	}}
}

// LoseAnswer lets the registry do what it was asked and closes the connection instead of saying so.
func LoseAnswer() Fault {
	return Fault{name: "lose the answer", response: func(x *exchange, res *http.Response) {
		io.Copy(io.Discard, res.Body)
		x.cut = &hangUp{}
	}}
}

// CutResponse closes the connection after n bytes of the answer's body. What is sent until then arrives.
func CutResponse(n int64) Fault { return cutResponse("cut", n, false) }

// ResetResponse is CutResponse with a reset: what is under way may be lost, too.
func ResetResponse(n int64) Fault { return cutResponse("reset", n, true) }

func cutResponse(name string, n int64, reset bool) Fault {
	return Fault{name: fmt.Sprintf("%s after %d bytes", name, n), response: func(x *exchange, res *http.Response) {
		wrapBody(&res.Body, &cutter{r: res.Body, left: n, cut: func() { x.cut = &hangUp{reset: reset} }})
	}}
}

// CutRequest closes both connections, to the client and to the registry, after n bytes of the request's body.
func CutRequest(n int64) Fault {
	return Fault{name: fmt.Sprintf("cut the request after %d bytes", n), request: func(x *exchange, out *http.Request) {
		wrapBody(&out.Body, &cutter{r: out.Body, left: n, cut: func() { x.requestCut.Store(true) }})
	}}
}

// Truncate sends the first n bytes of the body under the length of the whole and closes the connection.
func Truncate(n int64) Fault {
	return Fault{name: fmt.Sprintf("truncate to %d bytes", n), response: func(x *exchange, res *http.Response) {
		wrapBody(&res.Body, io.LimitReader(res.Body, n))
	}}
}

// Shorten sends the first n bytes of the body as if they were all: the length in the header is n, too.
func Shorten(n int64) Fault {
	return Fault{name: fmt.Sprintf("shorten to %d bytes", n), response: func(x *exchange, res *http.Response) {
		if size, err := strconv.ParseInt(res.Header.Get("Content-Length"), 10, 64); err == nil {
			res.Header.Set("Content-Length", strconv.FormatInt(min(n, size), 10))
		}
		wrapBody(&res.Body, io.LimitReader(res.Body, n))
	}}
}

// Flip turns the lowest bit of the byte at an offset of the blob or manifest, also where only a range of it is sent.
func Flip(offset int64) Fault {
	return Fault{name: fmt.Sprintf("flip a bit at %d", offset), response: func(x *exchange, res *http.Response) {
		var first int64
		if res.StatusCode == http.StatusPartialContent {
			fmt.Sscanf(res.Header.Get("Content-Range"), "bytes %d-", &first)
		}
		wrapBody(&res.Body, &flipper{r: res.Body, left: offset - first})
	}}
}

// Trickle sends the answer's body slowly.
func Trickle(bytesPerSecond int) Fault {
	return Fault{name: fmt.Sprintf("trickle %d B/s", bytesPerSecond), response: func(x *exchange, res *http.Response) {
		wrapBody(&res.Body, &trickler{r: res.Body, x: x, rate: bytesPerSecond})
	}}
}

// TrickleRequest takes the request's body slowly. Sockets buffer much: it takes a large body to be noticed.
func TrickleRequest(bytesPerSecond int) Fault {
	return Fault{name: fmt.Sprintf("take %d B/s", bytesPerSecond), request: func(x *exchange, out *http.Request) {
		wrapBody(&out.Body, &trickler{r: out.Body, x: x, rate: bytesPerSecond})
	}}
}

// Stall sends n bytes of the answer's body, then nothing for d, then the rest.
func Stall(n int64, d time.Duration) Fault {
	return Fault{name: fmt.Sprintf("stall after %d bytes", n), response: func(x *exchange, res *http.Response) {
		wrapBody(&res.Body, &cutter{r: res.Body, left: n, wait: func() bool { return x.wait(d) }})
	}}
}

// Delay waits before the request is handled.
func Delay(d time.Duration) Fault {
	return Fault{name: "delay " + d.String(), answer: func(x *exchange) bool { return !x.wait(d) }}
}

// WrongContentRange moves the range that an answer says to be by one byte, not its body.
func WrongContentRange() Fault {
	return Fault{name: "wrong Content-Range", response: func(x *exchange, res *http.Response) {
		var first, last int64
		var size string
		if n, _ := fmt.Sscanf(res.Header.Get("Content-Range"), "bytes %d-%d/%s", &first, &last, &size); n == 3 {
			res.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%s", first+1, last+1, size))
		}
	}}
}

// SetHeader sets a header field of the answer; an empty value removes it.
func SetHeader(key, value string) Fault {
	return Fault{name: "header " + key, response: func(x *exchange, res *http.Response) {
		res.Header.Set(key, value)
		if value == "" {
			res.Header.Del(key)
		}
	}}
}

// WrongDigest names another digest in Docker-Content-Digest.
func WrongDigest() Fault {
	f := SetHeader("Docker-Content-Digest", Digest([]byte("another")))
	f.name = "wrong Docker-Content-Digest"
	return f
}

// IgnoreRange answers a range with 200 and the whole body.
func IgnoreRange() Fault {
	return Fault{
		name:    "ignore Range",
		when:    func(x *exchange) bool { return x.r.Header.Get("Range") != "" },
		request: func(x *exchange, out *http.Request) { out.Header.Del("Range") },
	}
}

// NoReferrers returns the fault that makes the referrers API one that is not there: for ReferrersGet.
func NoReferrers() Fault {
	f := Answer(http.StatusNotFound, "404 page not found\n", "Content-Type: text/plain; charset=utf-8")
	f.name = "no referrers API"
	return f
}

func wrapBody(body *io.ReadCloser, r io.Reader) {
	*body = struct {
		io.Reader
		io.Closer
	}{r, *body}
}

// cutter ends a body after some bytes, or waits there.
type cutter struct {
	r    io.Reader
	left int64
	cut  func()
	wait func() bool // false: there is no more to wait for
	past bool
}

func (c *cutter) Read(b []byte) (int, error) {
	switch {
	case c.past:
		return c.r.Read(b)
	case c.left > 0:
		n, err := c.r.Read(b[:min(int64(len(b)), c.left)])
		c.left -= int64(n)
		return n, err
	case c.cut != nil:
		c.cut()
		return 0, errCut
	case !c.wait():
		return 0, errCut
	}
	c.past = true
	return c.r.Read(b)
}

type flipper struct {
	r    io.Reader
	left int64
}

func (f *flipper) Read(b []byte) (int, error) {
	n, err := f.r.Read(b)
	if f.left >= 0 && f.left < int64(n) {
		b[f.left] ^= 1
	}
	f.left -= int64(n)
	return n, err
}

type trickler struct {
	r    io.Reader
	x    *exchange
	rate int // bytes per second
	sent bool
}

// Read gives what is due in a twentieth of a second, and lets that pass first.
func (t *trickler) Read(b []byte) (int, error) {
	const step = 20
	portion := max(t.rate/step, 1)
	if t.sent && !t.x.wait(time.Second*time.Duration(portion)/time.Duration(max(t.rate, 1))) {
		return 0, errCut
	}
	t.sent = true
	return t.r.Read(b[:min(len(b), portion)])
}

// writeError answers with an error of the distribution specification. Without a code it is one that goes with the
// status; the body of a HEAD is dropped by the server.
func writeError(w http.ResponseWriter, status int, code string) {
	if code == "" {
		code = errorCodes[status]
	}
	if code == "" {
		code = "UNKNOWN"
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`+"\n", code, strings.ToLower(http.StatusText(status)))
}

var errorCodes = map[int]string{
	http.StatusUnauthorized:                 "UNAUTHORIZED",
	http.StatusForbidden:                    "DENIED",
	http.StatusNotFound:                     "NAME_UNKNOWN",
	http.StatusMethodNotAllowed:             "UNSUPPORTED",
	http.StatusRequestEntityTooLarge:        "SIZE_INVALID",
	http.StatusRequestedRangeNotSatisfiable: "BLOB_UPLOAD_INVALID",
	http.StatusTooManyRequests:              "TOOMANYREQUESTS",
	http.StatusServiceUnavailable:           "UNAVAILABLE",
}
