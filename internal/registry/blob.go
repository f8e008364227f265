package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// wholeSize is up to which length, in bytes, a blob is taken whole from a
	// registry that answers so when asked for a part.
	wholeSize = 4 << 20
	// progress is what a try must bring, in bytes, to be followed by as many
	// tries as the first.
	progress = 64 << 10
)

// A Blob is a blob of a repository that is read where it is, range by range.
// Its bytes are not checked; what fails on the way is tried again. It may be
// used from several goroutines.
type Blob struct {
	ctx  context.Context // of ReadAt, which has the form of io.ReaderAt
	r    *Repository
	desc ocispec.Descriptor

	mu       sync.Mutex
	storage  *url.URL // where the registry redirected to last; nil for nowhere
	noRanges bool     // the registry does not read ranges

	download sync.Mutex
	local    *os.File // the whole blob, where it has to be so
	localErr error    // why it cannot be had
}

var _ io.ReaderAt = (*Blob)(nil)

// Blob returns a blob, whose size desc must tell. Nothing is asked of the
// registry yet. ctx is that of all reads at an offset.
func (r *Repository) Blob(ctx context.Context, desc ocispec.Descriptor) (*Blob, error) {
	if err := desc.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("open blob %q of %s: %w", desc.Digest, r, err)
	}
	if desc.Size < 0 {
		return nil, fmt.Errorf("open blob %s of %s: its size is %d", desc.Digest, r, desc.Size)
	}
	return &Blob{ctx: ctx, r: r, desc: desc}, nil
}

// BlobSize asks for the length of a blob in bytes.
func (r *Repository) BlobSize(ctx context.Context, d digest.Digest) (int64, error) {
	resp, err := r.do(r.pulling(ctx), &request{method: http.MethodHead, url: r.url("blobs/%s", d)})
	if err == nil && resp.StatusCode != http.StatusOK {
		err = statusError(resp)
	}
	if err == nil && resp.ContentLength < 0 {
		err = errors.New("the registry does not tell its length")
	}
	if err != nil {
		return 0, fmt.Errorf("look for blob %s in %s: %w", d, r, err)
	}
	closeBody(resp)
	return resp.ContentLength, nil
}

// Size returns the length of the blob in bytes.
func (b *Blob) Size() int64 { return b.desc.Size }

// Close drops what was kept of the blob.
func (b *Blob) Close() error {
	b.download.Lock()
	defer b.download.Unlock()
	if b.local != nil {
		return b.local.Close()
	}
	return nil
}

// ReadAt implements io.ReaderAt by one closed range.
func (b *Blob) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read blob %s: negative offset", b.desc.Digest)
	}
	want := min(int64(len(p)), b.desc.Size-off)
	if want <= 0 {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	s, err := b.Stream(b.ctx, off, want)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	n, err := io.ReadFull(s, p[:want])
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// Stream returns the n bytes from off on, in one go. Where the connection
// breaks, another one goes on. The bytes end early only with an error.
func (b *Blob) Stream(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if off < 0 || n < 0 || off > b.desc.Size-n {
		return nil, fmt.Errorf("read blob %s: bytes %d to %d of %d", b.desc.Digest, off, off+n, b.desc.Size)
	}
	return &stream{ctx: ctx, b: b, off: off, end: off + n}, nil
}

// A stream is a part of a blob on its way.
type stream struct {
	ctx      context.Context
	b        *Blob
	off, end int64
	body     io.ReadCloser
	tries    int   // without progress
	since    int64 // bytes since the last failure
}

func (s *stream) Close() error {
	if s.body == nil {
		return nil
	}
	body := s.body
	s.body = nil
	return body.Close()
}

func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if s.off == s.end {
			return 0, io.EOF
		}
		if err := s.ctx.Err(); err != nil {
			return 0, err
		}
		err := s.open()
		n := 0
		if err == nil {
			n, err = s.body.Read(p[:min(int64(len(p)), s.end-s.off)])
			s.off += int64(n)
			if s.since += int64(n); s.since >= progress {
				s.tries = 0
			}
			if n > 0 {
				return n, nil
			}
			if err == nil {
				continue
			}
		}
		if err := s.failed(err); err != nil {
			return 0, fmt.Errorf("read blob %s of %s: %w", s.b.desc.Digest, s.b.r, err)
		}
	}
}

// open opens a body unless there is one.
func (s *stream) open() (err error) {
	if s.body == nil {
		s.since = 0
		s.body, err = s.b.open(s.ctx, s.off, s.end-s.off)
	}
	return err
}

// failed drops a connection that broke. It returns the error that ends the
// stream, if there is no use in going on.
func (s *stream) failed(err error) error {
	if s.body != nil {
		s.body.Close()
		s.body = nil
	}
	if s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	var status *StatusError
	if errors.As(err, &status) || errors.Is(err, ErrDamaged) || errors.Is(err, errFinal) || !worthRetrying(err) {
		return err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if s.tries++; s.tries >= s.b.r.c.opts.Attempts {
		return err
	}
	return s.b.r.rest(s.ctx, s.tries)
}

// errFinal is wrapped by errors after which nothing is tried again.
var errFinal = errors.New("given up")

// errNoRanges says that the registry does not read parts of blobs.
var errNoRanges = errors.New("the registry does not read ranges")

// errLied says that the answer was another range than the one asked for.
var errLied = errors.New("another range than the one asked for")

// open asks for n bytes from off on.
func (b *Blob) open(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	whole := off == 0 && n == b.desc.Size
	b.mu.Lock()
	noRanges := b.noRanges
	b.mu.Unlock()
	if !noRanges || whole {
		body, err := b.fetch(ctx, off, n)
		if !errors.Is(err, errNoRanges) {
			return body, err
		}
		b.mu.Lock()
		b.noRanges = true
		b.mu.Unlock()
	}
	local, err := b.whole(ctx)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(io.NewSectionReader(local, off, n)), nil
}

// whole returns the whole blob in a file, which is fetched once.
func (b *Blob) whole(ctx context.Context) (*os.File, error) {
	b.download.Lock()
	defer b.download.Unlock()
	if b.local == nil && b.localErr == nil {
		f, err := b.toFile(ctx)
		if err != nil && ctx.Err() != nil {
			return nil, err // who is not cancelled may try
		}
		b.local, b.localErr = f, err
	}
	return b.local, b.localErr
}

// fetch sends the request, to the storage that the registry named last, if it
// did. What that refuses the registry is asked for again: its signature may be
// too old.
func (b *Blob) fetch(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	b.mu.Lock()
	storage := b.storage
	b.mu.Unlock()
	for try := 1; ; try++ {
		resp, err := b.get(ctx, storage, off, n)
		if err != nil && storage == nil {
			return nil, err
		}
		if err == nil && (resp.StatusCode < 400 || resp.StatusCode == http.StatusRequestedRangeNotSatisfiable) {
			b.remember(resp.Request.URL)
			body, err := b.body(resp, off, n)
			if (errors.Is(err, errLied) || errors.Is(err, errNoRanges)) && try == 1 {
				continue // it may have been some proxy's mistake, or a cache that had nothing yet
			}
			if errors.Is(err, errLied) {
				err = errNoRanges
			}
			return body, err
		}
		elsewhere := err != nil || !sameOrigin(resp.Request.URL, b.r.host.base(""))
		if !elsewhere || try >= 3 {
			if err != nil {
				return nil, err
			}
			return nil, statusError(resp)
		}
		closeBody(resp)
		storage = nil
		b.mu.Lock()
		b.storage = nil
		b.mu.Unlock()
	}
}

func (b *Blob) get(ctx context.Context, storage *url.URL, off, n int64) (*http.Response, error) {
	req := &request{method: http.MethodGet, url: storage, once: storage != nil}
	if storage == nil {
		req.url = b.r.url("blobs/%s", b.desc.Digest)
	}
	if off > 0 || n < b.desc.Size {
		req.header = http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", off, off+n-1)}}
	}
	return b.r.do(b.r.pulling(ctx), req)
}

// remember keeps where the registry redirected to.
func (b *Blob) remember(to *url.URL) {
	if sameOrigin(to, b.r.host.base("")) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.storage = to
}

// body returns the bytes that an answer brings, if they are those of the
// range.
func (b *Blob) body(resp *http.Response, off, n int64) (io.ReadCloser, error) {
	size := b.desc.Size
	switch resp.StatusCode {
	case http.StatusPartialContent:
		first, last, total, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || first != off || last >= off+n || total >= 0 && total != size {
			resp.Body.Close()
			if off == 0 && n == size {
				return nil, fmt.Errorf("%w: asked for all of %d bytes, it answers %q", ErrDamaged, size, printable(resp.Header.Get("Content-Range")))
			}
			return nil, errLied
		}
		return limited{io.LimitReader(resp.Body, last-first+1), resp.Body}, nil
	case http.StatusOK:
		if resp.ContentLength >= 0 && resp.ContentLength != size {
			resp.Body.Close()
			return nil, fmt.Errorf("%w: it has %d bytes instead of %d", ErrDamaged, resp.ContentLength, size)
		}
		// The whole blob is a legal answer. It is used where little of it is
		// in vain.
		if off+n > wholeSize && n < size/2 {
			resp.Body.Close()
			return nil, errNoRanges
		}
		if _, err := io.CopyN(io.Discard, resp.Body, off); err != nil {
			resp.Body.Close()
			return nil, err
		}
		return limited{io.LimitReader(resp.Body, n), resp.Body}, nil
	case http.StatusRequestedRangeNotSatisfiable:
		closeBody(resp)
		if off == 0 && n == size {
			return nil, fmt.Errorf("%w: it has not the size of %d bytes", ErrDamaged, size)
		}
		return nil, errNoRanges
	}
	err := statusError(resp)
	return nil, err
}

// limited is a part of a body.
type limited struct {
	io.Reader
	io.Closer
}

// contentRange reads "bytes FIRST-LAST/TOTAL" (RFC 9110, 14.4). total is -1 if
// it is not told.
func contentRange(s string) (first, last, total int64, ok bool) {
	rest, ok := strings.CutPrefix(s, "bytes ")
	if !ok {
		return 0, 0, 0, false
	}
	span, all, ok := strings.Cut(rest, "/")
	if !ok {
		return 0, 0, 0, false
	}
	a, z, ok := strings.Cut(span, "-")
	if !ok {
		return 0, 0, 0, false
	}
	first, err1 := strconv.ParseInt(a, 10, 64)
	last, err2 := strconv.ParseInt(z, 10, 64)
	total = -1
	var err3 error
	if all != "*" {
		total, err3 = strconv.ParseInt(all, 10, 64)
	}
	return first, last, total, err1 == nil && err2 == nil && err3 == nil && first >= 0 && last >= first
}

// toFile takes the whole blob into a file without a name, and checks it.
func (b *Blob) toFile(ctx context.Context) (*os.File, error) {
	f, err := os.CreateTemp(b.r.c.opts.TempDir, "cdb-blob-")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errFinal, err)
	}
	// Nobody else needs its name, and so it never outlives the process.
	err = os.Remove(f.Name())
	if err == nil {
		err = b.downloadTo(ctx, f)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%w: %w", errFinal, err)
	}
	return f, nil
}

func (b *Blob) downloadTo(ctx context.Context, f *os.File) error {
	for try := 1; ; try++ {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		sum := b.desc.Digest.Verifier()
		body, err := b.fetch(ctx, 0, b.desc.Size)
		n := int64(0)
		if err == nil {
			n, err = io.Copy(io.MultiWriter(f, sum), body)
			body.Close()
		}
		switch {
		case err == nil && n == b.desc.Size && sum.Verified():
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && n < b.desc.Size:
			err = io.ErrUnexpectedEOF
		case err == nil:
			err = fmt.Errorf("%w: its digest does not match", ErrDamaged)
		}
		if try >= b.r.c.opts.Attempts || !worthRetrying(err) || errors.Is(err, ErrDamaged) && try > 1 {
			return err
		}
		if err := b.r.rest(ctx, try); err != nil {
			return err
		}
	}
}
