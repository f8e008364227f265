package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// A Content is the bytes of a blob, which can be read again from any place.
type Content interface {
	io.ReaderAt
	Size() int64
}

// A streamer is a Content that is best read in one go, such as a Blob.
type streamer interface {
	Stream(ctx context.Context, off, n int64) (io.ReadCloser, error)
}

// section returns n bytes of c from off on.
func section(ctx context.Context, c Content, off, n int64) (io.ReadCloser, error) {
	if s, ok := c.(streamer); ok {
		return s.Stream(ctx, off, n)
	}
	return io.NopCloser(io.NewSectionReader(c, off, n)), nil
}

// UploadOptions say where a blob may be already, and who counts.
type UploadOptions struct {
	// From are repositories of the same registry that may have the blob.
	From []string
	// Sent is told of bytes as they are sent; a negative number takes back
	// those that are sent again.
	Sent func(n int64)
}

// How an upload ended.
const (
	Existed  = "existed"  // the repository had the blob
	Mounted  = "mounted"  // another repository of the registry had it
	Uploaded = "uploaded" // it was sent
)

// Upload brings a blob into the repository, unless it is there. What an
// earlier call left half-done, in another process even, is gone on with where
// the registry says it stopped.
func (r *Repository) Upload(ctx context.Context, desc ocispec.Descriptor, content Content, opts UploadOptions) (how string, err error) {
	if opts.Sent == nil {
		opts.Sent = func(int64) {}
	}
	u := &upload{r: r, desc: desc, content: content, opts: opts}
	how, err = u.run(ctx)
	if err != nil {
		return "", fmt.Errorf("upload blob %s to %s: %w", desc.Digest, r, err)
	}
	r.c.state().remember(desc.Digest, r)
	return how, nil
}

// An upload is one blob on its way.
type upload struct {
	r       *Repository
	desc    ocispec.Descriptor
	content Content
	opts    UploadOptions

	session *url.URL // where the next piece goes
	sent    int64    // bytes that the registry has
	chunk   int64    // size of pieces; 0 sends all in one
	stuck   int      // requests that failed in a row without any progress

	mu      sync.Mutex
	counted int64    // bytes that opts.Sent was told of
	body    *counted // the one under way: others, which a transport may still read, do not count
}

// errSession says that a session is no use any more: begin another.
var errSession = errors.New("the upload session is lost")

// errChunks says that the registry does not take blobs in pieces.
var errChunks = errors.New("the registry takes no pieces")

func (u *upload) run(ctx context.Context) (string, error) {
	if limit := Limits(u.r.Host).Layer; limit > 0 && u.desc.Size > limit {
		return "", fmt.Errorf("%w: it has %d bytes, %s takes %d", ErrTooLarge, u.desc.Size, u.r.Host, limit)
	}
	if has, err := u.r.HasBlob(ctx, u.desc.Digest); err != nil || has {
		return Existed, err
	}
	if u.desc.Size > u.r.c.opts.ChunkSize && !Limits(u.r.Host).NoChunks {
		u.chunk = u.r.c.opts.ChunkSize
	}
	ctx = u.r.pushing(ctx)
	u.resume(ctx)
	how, err := u.tries(ctx)
	switch {
	case err != nil:
		u.count(0)
		return "", err
	case how == Uploaded:
		u.count(u.desc.Size)
	default:
		u.count(0)
	}
	u.r.c.state().forget(u.desc.Digest, u.r)
	return how, nil
}

// tries sends the blob, from its beginning again where the session is lost.
func (u *upload) tries(ctx context.Context) (string, error) {
	for try := 1; ; try++ {
		how, err := u.try(ctx)
		if err == nil {
			return how, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		again := errors.Is(err, errSession) || errors.Is(err, errChunks) || worthUploading(err)
		// Without a session all was tried that can be.
		if !again || try >= u.r.c.opts.Attempts || u.session == nil {
			return "", err
		}
		// The blob may have arrived although the answer did not.
		if has, hasErr := u.r.HasBlob(ctx, u.desc.Digest); hasErr == nil && has {
			return Uploaded, nil
		}
		if errors.Is(err, errChunks) {
			u.chunk = 0
		}
		u.session = nil
		if !errors.Is(err, errChunks) {
			if err := u.r.rest(ctx, try); err != nil {
				return "", err
			}
		}
	}
}

// worthUploading says if an upload may fare better from the beginning.
func worthUploading(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		return retryable(status.Status) || isInvalid(err)
	}
	return !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNotFound) && worthRetrying(err)
}

// resume finds the session that an earlier process left.
func (u *upload) resume(ctx context.Context) {
	if u.chunk == 0 {
		return // in one go, nothing of it stays
	}
	location := u.r.c.state().session(u.desc.Digest, u.r)
	if location == nil {
		return
	}
	u.session = location
	if err := u.ask(ctx, true); err != nil || u.sent == 0 {
		u.session, u.sent = nil, 0
		u.r.c.state().forget(u.desc.Digest, u.r)
	}
}

// try sends what the registry lacks.
func (u *upload) try(ctx context.Context) (string, error) {
	if u.session == nil {
		u.sent = 0
		if mounted, err := u.begin(ctx); err != nil || mounted {
			return Mounted, err
		}
	}
	u.count(u.sent)
	if u.chunk == 0 {
		return Uploaded, u.put(ctx)
	}
	for u.sent < u.desc.Size {
		if err := u.patch(ctx); err != nil {
			return "", err
		}
		u.r.c.state().keep(u.desc.Digest, u.r, u.session)
	}
	return Uploaded, u.finish(ctx)
}

// count tells how far it is.
func (u *upload) count(at int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.opts.Sent(at - u.counted)
	u.counted, u.body = at, nil
}

// begin mounts the blob from where it may be, or opens a session.
func (u *upload) begin(ctx context.Context) (mounted bool, err error) {
	for _, from := range append(u.opts.From, u.r.c.state().known(u.desc.Digest, u.r)...) {
		if from == u.r.Name {
			continue
		}
		// The token has to allow both.
		ctx := auth.AppendScopesForHost(ctx, u.r.host.addr, auth.ScopeRepository(from, auth.ActionPull))
		mounted, err := u.post(ctx, "?mount="+url.QueryEscape(u.desc.Digest.String())+"&from="+url.QueryEscape(from))
		if err == nil {
			return mounted, nil // if not mounted, a session has been opened
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
	return u.post(ctx, "")
}

func (u *upload) post(ctx context.Context, query string) (mounted bool, err error) {
	to := u.r.url("blobs/uploads/")
	to.RawQuery = strings.TrimPrefix(query, "?")
	resp, err := u.r.do(ctx, &request{method: http.MethodPost, url: to, body: noBody})
	if err != nil {
		return false, err
	}
	switch resp.StatusCode {
	case http.StatusCreated:
		closeBody(resp)
		return query != "", nil
	case http.StatusAccepted:
		closeBody(resp)
		least, _ := strconv.ParseInt(resp.Header.Get("OCI-Chunk-Min-Length"), 10, 64)
		if u.chunk > 0 {
			u.chunk = max(u.chunk, least)
		}
		return false, u.moved(resp)
	}
	return false, statusError(resp)
}

func noBody() (io.ReadCloser, error) { return http.NoBody, nil }

// moved takes the place of the next piece from an answer.
func (u *upload) moved(resp *http.Response) error {
	at := resp.Request.URL
	next, err := at.Parse(resp.Header.Get("Location"))
	if err != nil || resp.Header.Get("Location") == "" {
		return fmt.Errorf("%s %s: the registry names no place for the next piece", resp.Request.Method, place(at))
	}
	// A registry behind a proxy may not know that it is spoken to by https, or
	// at which port.
	if next.Scheme == "http" && at.Scheme == "https" && next.Hostname() == at.Hostname() {
		next.Scheme, next.Host = at.Scheme, at.Host
	}
	if next.Scheme != "https" && next.Scheme != "http" || at.Scheme == "https" && next.Scheme == "http" {
		return fmt.Errorf("%s %s: %w: it leads from %s to %s", resp.Request.Method, place(at), errRedirect, at.Scheme, next.Scheme)
	}
	next.User = nil
	u.session = next
	return nil
}

// piece returns the bytes of the content from off on as the body of a
// request, counted as they are sent.
func (u *upload) piece(ctx context.Context, off, n int64) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		s, err := section(ctx, u.content, off, n)
		if err != nil {
			return nil, err
		}
		u.count(off)
		c := &counted{ReadCloser: s, u: u}
		u.mu.Lock()
		defer u.mu.Unlock()
		u.body = c
		return c, nil
	}
}

type counted struct {
	io.ReadCloser
	u *upload
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.u.mu.Lock()
	defer c.u.mu.Unlock()
	if c.u.body == c {
		c.u.opts.Sent(int64(n))
		c.u.counted += int64(n)
	}
	return n, err
}

// patch sends one piece. If it fails the registry is asked what it has.
func (u *upload) patch(ctx context.Context) error {
	n := min(u.chunk, u.desc.Size-u.sent)
	first := u.sent == 0
	resp, err := u.r.do(ctx, &request{
		method: http.MethodPatch,
		url:    u.session,
		header: http.Header{
			"Content-Type":  {"application/octet-stream"},
			"Content-Range": {fmt.Sprintf("%d-%d", u.sent, u.sent+n-1)},
		},
		body: u.piece(ctx, u.sent, n),
		size: n,
		once: true,
	})
	if ctx.Err() != nil {
		closeBody(resp)
		return ctx.Err()
	}
	if err == nil && (resp.StatusCode == http.StatusAccepted || resp.StatusCode == http.StatusNoContent) {
		closeBody(resp)
		if err := u.moved(resp); err != nil {
			return err
		}
		u.sent, u.stuck = u.sent+n, 0
		if end, ok := uploadedRange(resp.Header.Get("Range")); ok && end != u.sent {
			return fmt.Errorf("%w: it has %d bytes of the %d that were sent", errSession, end, u.sent)
		}
		return nil
	}
	var cause error
	switch {
	case err != nil:
		cause = err
	default:
		cause = statusError(resp)
	}
	if first && refusesChunks(cause) {
		return errChunks
	}
	if errors.Is(cause, ErrDenied) || errors.Is(cause, ErrTooLarge) {
		return u.explain(cause)
	}
	wait, err := u.r.pause(resp, 1)
	if err != nil {
		return err
	}
	if err := sleep(ctx, wait); err != nil {
		return err
	}
	before := u.sent
	if err := u.ask(ctx, false); err != nil {
		return fmt.Errorf("%w (%w)", errSession, cause)
	}
	if u.sent >= before+progress {
		u.stuck = 0
		return nil
	}
	if u.stuck++; u.stuck >= u.r.c.opts.Attempts {
		return cause
	}
	return u.r.rest(ctx, u.stuck)
}

// refusesChunks says if an answer to the first piece means that there must be
// none.
func refusesChunks(err error) bool {
	var status *StatusError
	if !errors.As(err, &status) {
		return false
	}
	switch status.Status {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotImplemented,
		http.StatusRequestedRangeNotSatisfiable, http.StatusUnsupportedMediaType, http.StatusLengthRequired:
		return true
	}
	return false
}

// explain says what limit an answer 413 means.
func (u *upload) explain(err error) error {
	if errors.Is(err, ErrTooLarge) {
		return fmt.Errorf("%w: it has %d bytes (%w)", ErrTooLarge, u.desc.Size, err)
	}
	return err
}

// ask asks how much of the blob the registry has. Of a session of another
// process it may know more than was noted.
func (u *upload) ask(ctx context.Context, earlier bool) error {
	resp, err := u.r.do(ctx, &request{method: http.MethodGet, url: u.session, once: earlier})
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusNoContent && resp.StatusCode != http.StatusAccepted && resp.StatusCode != http.StatusOK {
		return statusError(resp)
	}
	closeBody(resp)
	end, ok := uploadedRange(resp.Header.Get("Range"))
	if !ok || end > u.desc.Size {
		return errSession
	}
	if resp.Header.Get("Location") != "" {
		if err := u.moved(resp); err != nil {
			return err
		}
	}
	u.sent = end
	return nil
}

// uploadedRange reads the header Range of an upload, "0-LAST", and returns the
// number of bytes. "0-0" is what registries say of nothing, and of one byte;
// nothing is the safe guess, as too little is refused and asked about.
func uploadedRange(s string) (int64, bool) {
	s = strings.TrimPrefix(s, "bytes=")
	a, z, ok := strings.Cut(s, "-")
	if !ok || a != "0" {
		return 0, false
	}
	last, err := strconv.ParseInt(z, 10, 63)
	if err != nil || last < -1 {
		return 0, false
	}
	if last <= 0 {
		return 0, true
	}
	return last + 1, true
}

// put sends all of the blob in one request.
func (u *upload) put(ctx context.Context) error {
	return u.close(ctx, &request{body: u.piece(ctx, 0, u.desc.Size), size: u.desc.Size})
}

// finish ends a session that has all bytes. If that fails, the registry is
// asked what it has.
func (u *upload) finish(ctx context.Context) error {
	for try := 1; ; try++ {
		err := u.close(ctx, &request{body: noBody})
		if err == nil || ctx.Err() != nil || errors.Is(err, errSession) || !worthUploading(err) || isInvalid(err) || try >= u.r.c.opts.Attempts {
			return err
		}
		if err := u.r.rest(ctx, try); err != nil {
			return err
		}
		if askErr := u.ask(ctx, false); askErr != nil || u.sent != u.desc.Size {
			return fmt.Errorf("%w (%w)", errSession, err)
		}
	}
}

// isInvalid says if the registry got other bytes than were sent.
func isInvalid(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && status.Code == "DIGEST_INVALID"
}

func (u *upload) close(ctx context.Context, req *request) error {
	to := *u.session
	q := to.Query()
	q.Set("digest", u.desc.Digest.String())
	to.RawQuery = q.Encode()
	req.method, req.url, req.once, req.patient = http.MethodPut, &to, true, true
	req.header = http.Header{"Content-Type": {"application/octet-stream"}}
	resp, err := u.r.do(ctx, req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusNoContent && resp.StatusCode != http.StatusOK {
		after := resp.Header.Get("Retry-After")
		wait, tooLong := u.r.pause(resp, 1)
		err := statusError(resp)
		if errors.Is(err, ErrNotFound) {
			return fmt.Errorf("%w (%w)", errSession, err)
		}
		if after != "" && worthUploading(err) {
			if tooLong != nil {
				return tooLong
			}
			if err := sleep(ctx, wait); err != nil {
				return err
			}
		}
		return u.explain(err)
	}
	defer closeBody(resp)
	if d := digest.Digest(resp.Header.Get("Docker-Content-Digest")); d != "" && d != u.desc.Digest {
		return fmt.Errorf("%w: the registry says that it got %s", ErrDamaged, printable(d.String()))
	}
	return nil
}
