package registry

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// A request is what a Repository sends, as often as it takes.
type request struct {
	method string
	url    *url.URL
	header http.Header
	// body opens the body of size bytes, anew for each try; nil for none.
	body func() (io.ReadCloser, error)
	size int64
	// patient says that the answer may take its time: the registry has
	// something to compute.
	patient bool
	// once says that the caller knows better what to do about a failure.
	once bool
}

const (
	maxRedirects  = 10
	maxRetryAfter = 2 * time.Minute
	longestPause  = 10 * time.Second
	// patience is how many times longer than Options.Stall an answer may take
	// that the registry has to compute something for.
	patience = 15
	// leastMove is how many bytes must move, within Options.Stall, for a
	// request not to be stalled: a byte now and then is no progress.
	leastMove = 4 << 10
)

// errStalled ends a request on which nothing moves.
var errStalled = errors.New("nothing came for too long")

// errLater says that a registry wants to be left alone for longer than anybody
// waits.
var errLater = errors.New("the registry asks to come back later")

// exhausted is an error after which everything has been tried again already.
type exhausted struct{ error }

func (e exhausted) Unwrap() error { return e.error }

// do sends a request until there is an answer that trying again would not
// change, follows redirects, and returns the answer whatever its status.
// Credentials go to the registry's own origin alone. The final URL is that of
// the answer's request.
func (r *Repository) do(ctx context.Context, req *request) (*http.Response, error) {
	for try := 1; ; try++ {
		resp, err := r.follow(ctx, req)
		last := req.once || try >= r.c.opts.Attempts
		switch {
		case ctx.Err() != nil:
			closeBody(resp)
			return nil, ctx.Err()
		case err == nil && (!retryable(resp.StatusCode) || last):
			return resp, nil
		case err != nil && !r.host.answered.Load() && nobodyThere(err):
			return nil, exhausted{err}
		case err != nil && last && !req.once:
			return nil, exhausted{err}
		case err != nil && (last || !worthRetrying(err)):
			return nil, err
		}
		wait, err := r.pause(resp, try)
		closeBody(resp)
		if err != nil {
			return nil, err
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// nobodyThere says if a host has no such name or nobody who listens. Where
// nobody ever did, that is a mistake rather than a mishap.
func nobodyThere(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound || errors.Is(err, syscall.ECONNREFUSED)
}

// worthRetrying says if the same request may fare better.
func worthRetrying(err error) bool {
	var cert *tls.CertificateVerificationError
	var answer *errcode.ErrorResponse // of a token server
	var tried exhausted
	switch {
	case errors.Is(err, errRedirect), errors.Is(err, ErrDenied), errors.Is(err, errLater), errors.Is(err, errCredentials), errors.As(err, &cert), errors.As(err, &tried):
		return false
	case errors.As(err, &answer):
		return retryable(answer.StatusCode)
	}
	return true
}

func retryable(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusRequestTimeout, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// pause returns how long to wait before another try: what the registry asks
// for, or longer from try to try.
func (r *Repository) pause(resp *http.Response, try int) (time.Duration, error) {
	d := min(r.c.opts.Backoff<<(try-1), longestPause)
	d += rand.N(d/4 + 1)
	if resp == nil {
		return d, nil
	}
	after, ok := retryAfter(resp.Header.Get("Retry-After"), time.Now())
	if !ok {
		return d, nil
	}
	if after > maxRetryAfter {
		return 0, fmt.Errorf("%s %s: %s: %w: in %v", resp.Request.Method, place(resp.Request.URL), resp.Status, errLater, after.Round(time.Second))
	}
	return max(d, after), nil
}

// retryAfter reads the header Retry-After: seconds or a date (RFC 9110, 10.2.3).
func retryAfter(s string, now time.Time) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second, true
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(0, t.Sub(now)), true
	}
	return 0, false
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errRedirect is wrapped by errors about redirects that are not followed.
var errRedirect = errors.New("redirect refused")

// follow sends a request once, and to where it is redirected.
func (r *Repository) follow(ctx context.Context, req *request) (*http.Response, error) {
	to := req.url
	for range maxRedirects {
		resp, err := r.send(ctx, req, to)
		if err != nil {
			return nil, err
		}
		switch resp.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
			http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return resp, nil
		}
		next, err := to.Parse(resp.Header.Get("Location"))
		closeBody(resp)
		switch {
		case err != nil || resp.Header.Get("Location") == "":
			return nil, fmt.Errorf("%s %s: %w: it names no place", req.method, place(to), errRedirect)
		case next.Scheme != "https" && next.Scheme != "http", to.Scheme == "https" && next.Scheme == "http":
			return nil, fmt.Errorf("%s %s: %w: it leads from %s to %s", req.method, place(to), errRedirect, to.Scheme, next.Scheme)
		case next.User != nil:
			next.User = nil
		}
		to = next
	}
	return nil, fmt.Errorf("%s %s: %w: more than %d in a row", req.method, place(req.url), errRedirect, maxRedirects)
}

// send sends a request once. Only the registry itself gets credentials.
func (r *Repository) send(ctx context.Context, req *request, to *url.URL) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	limit := r.c.opts.Stall
	hr, err := http.NewRequestWithContext(ctx, req.method, to.String(), nil)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	watch := &watch{limit: limit, left: limit, timer: time.AfterFunc(limit, func() { cancel(errStalled) })}
	if req.body != nil {
		hr.GetBody = func() (io.ReadCloser, error) {
			b, err := req.body()
			if err != nil {
				return nil, err
			}
			return &watchedRequest{ReadCloser: b, watch: watch, patient: req.patient}, nil
		}
		if hr.Body, err = hr.GetBody(); err != nil {
			watch.end()
			cancel(nil)
			return nil, err
		}
		hr.ContentLength = req.size
		if req.size == 0 {
			hr.Body.Close()
			hr.Body = http.NoBody
		}
	} else if req.patient {
		watch.extend(patience * limit)
	}
	for k, v := range req.header {
		hr.Header[k] = v
	}
	hr.Header.Set("User-Agent", r.c.opts.UserAgent)
	var resp *http.Response
	if sameOrigin(to, r.host.base("")) {
		resp, err = r.auth.Do(hr)
	} else {
		resp, err = r.host.http.Do(hr)
	}
	if err != nil {
		watch.end()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel(nil)
		return nil, fmt.Errorf("%s %s: %w", req.method, place(to), denied(plain(err)))
	}
	r.host.answered.Store(true)
	watch.answered()
	resp.Body = &watchedAnswer{ReadCloser: resp.Body, watch: watch, done: func() { cancel(context.Canceled) }, cause: func() error { return context.Cause(ctx) }}
	return resp, nil
}

// plain takes the URL out of an error: it may hold what signs it.
func plain(err error) error {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	return err
}

// denied makes the refusals of a token server errors that wrap ErrDenied.
func denied(err error) error {
	var answer *errcode.ErrorResponse
	switch {
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		return fmt.Errorf("%w: no credentials for it are known", ErrDenied)
	case errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden):
		return fmt.Errorf("%w: %s answers %d %s %s", ErrDenied, place(answer.URL), answer.StatusCode, http.StatusText(answer.StatusCode), printable(answer.Errors.Error()))
	}
	return err
}

// place is a URL in messages: without its query, which may hold secrets.
func place(u *url.URL) string {
	p := *u
	p.RawQuery, p.User, p.Fragment = "", nil, ""
	return p.String()
}

func sameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(hostPort(a), hostPort(b))
}

func hostPort(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "http":
		port = "80"
	default:
		port = "443"
	}
	return u.Hostname() + ":" + port
}

// closeBody drops an answer. A short rest is read, so that the connection can
// be used again.
func closeBody(resp *http.Response) {
	if resp == nil {
		return
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 16<<10) // the connection's use is all that depends on it
	resp.Body.Close()
}

// A StatusError is what a registry answered instead of what was asked for.
type StatusError struct {
	Method, URL string // without the query
	Status      int
	Code        string // of the registry's error, such as "DENIED"; may be ""
	Message     string // its text; may be ""
}

func (e *StatusError) Error() string {
	s := fmt.Sprintf("%s %s: %d %s", e.Method, e.URL, e.Status, http.StatusText(e.Status))
	if e.Code != "" {
		s += ": " + e.Code
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// Is makes the statuses errors that callers know.
func (e *StatusError) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Status == http.StatusNotFound
	case ErrDenied:
		return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
	case ErrTooLarge:
		return e.Status == http.StatusRequestEntityTooLarge
	}
	return false
}

// statusError reads the error that an answer is, and closes it.
func statusError(resp *http.Response) error {
	defer closeBody(resp)
	e := &StatusError{Method: resp.Request.Method, URL: place(resp.Request.URL), Status: resp.StatusCode}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 8<<10)) // the status says enough
	var doc struct {
		Errors []struct{ Code, Message string }
	}
	if json.Unmarshal(body, &doc) == nil && len(doc.Errors) > 0 {
		e.Code, e.Message = printable(doc.Errors[0].Code), printable(doc.Errors[0].Message)
	}
	return e
}

// printable keeps a registry from steering a terminal.
func printable(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 {
			return ' '
		}
		return c
	}, s)
	const most = 300
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
