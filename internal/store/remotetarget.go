package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/data-containers/cdb/internal/registry"
)

// uploads is how many blobs are sent to a registry at the same time, and how
// many finished ones may wait on disk while the next is being written.
const uploads = 4

// A Taker is a Target that takes blobs which are whole already, several at
// once, from content that can be read again.
type Taker interface {
	Target
	// Take brings a blob into the target. from is where content comes from.
	Take(ctx context.Context, desc ocispec.Descriptor, content Blob, from Source) error
	// PublishFrom is Publish for an image whose documents are in src.
	PublishFrom(ctx context.Context, root ocispec.Descriptor, src Source) (string, error)
}

// A remoteTarget writes an image to a repository of a registry. A blob that is
// being built lies in a file without a name until it is sent, which is done
// while the next ones are being built. Manifests, which registries take
// elsewhere than other blobs, are held until the image is published.
type remoteTarget struct {
	repo    *registry.Repository
	tag     string
	tempDir string
	sent    func(int64)

	ctx    context.Context // of uploads that nobody waits for
	cancel context.CancelCauseFunc
	slots  chan struct{}
	group  sync.WaitGroup

	mu     sync.Mutex
	docs   map[digest.Digest][]byte
	has    map[digest.Digest]bool // in the repository, for certain
	coming map[digest.Digest]bool // handed to the uploads
	err    error                  // of an upload
	closed bool
	open   map[*spooled]bool
}

var _ Taker = (*remoteTarget)(nil)

// remoteTarget prepares writing an image to HOST/NAME:TAG.
func (c Config) remoteTarget(name, tag string) (*remoteTarget, error) {
	r, err := c.openRepository(name)
	if err != nil {
		return nil, err
	}
	if tag == "" {
		tag = defaultTag
	}
	t := &remoteTarget{
		repo: r.Repository, tag: tag, tempDir: c.TempDir, sent: c.Sent,
		slots: make(chan struct{}, uploads),
		docs:  map[digest.Digest][]byte{}, has: map[digest.Digest]bool{}, coming: map[digest.Digest]bool{}, open: map[*spooled]bool{},
	}
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	return t, nil
}

func (t *remoteTarget) wrap(err error) error {
	return fmt.Errorf("write registry %s: %w", t.repo, err)
}

// MaxLayer implements Limiter.
func (t *remoteTarget) MaxLayer() (int64, string) {
	return registry.Limits(t.repo.Host).Layer, t.repo.Host
}

// usable returns why nothing can be written any more.
func (t *remoteTarget) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return t.wrap(errClosed)
	}
	return t.err
}

// Create begins a blob in a file without a name; several may be open.
func (t *remoteTarget) Create(ctx context.Context) (Upload, error) {
	if err := t.usable(ctx); err != nil {
		return nil, err
	}
	f, err := unnamedTemp(t.tempDir)
	if err != nil {
		return nil, t.wrap(err)
	}
	u := &spooled{t: t, f: f}
	t.mu.Lock()
	t.open[u] = true
	t.mu.Unlock()
	return u, nil
}

// Has says if the repository has the blob, or will have it soon.
func (t *remoteTarget) Has(ctx context.Context, d digest.Digest) (bool, error) {
	t.mu.Lock()
	known := t.has[d] || t.coming[d] || t.docs[d] != nil
	t.mu.Unlock()
	if known {
		return true, nil
	}
	has, err := t.repo.HasBlob(ctx, d)
	if has {
		t.mu.Lock()
		t.has[d] = true
		t.mu.Unlock()
	}
	return has, err
}

// Take implements Taker.
func (t *remoteTarget) Take(ctx context.Context, desc ocispec.Descriptor, content Blob, from Source) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	t.mu.Lock()
	known := t.has[desc.Digest]
	t.mu.Unlock()
	if known {
		t.count(desc.Size)
		return nil
	}
	opts := registry.UploadOptions{Sent: t.sent}
	if r, ok := from.(*repository); ok && r.Host == t.repo.Host {
		opts.From = []string{r.Name}
	}
	how, err := t.repo.Upload(ctx, desc, content, opts)
	if err != nil {
		return err
	}
	if how != registry.Uploaded {
		t.count(desc.Size)
	}
	t.mu.Lock()
	t.has[desc.Digest] = true
	t.mu.Unlock()
	return nil
}

func (t *remoteTarget) count(n int64) {
	if t.sent != nil {
		t.sent(n)
	}
}

// later takes a blob while the caller goes on. It waits as long as too many
// are on their way. done is called in the end.
func (t *remoteTarget) later(ctx context.Context, desc ocispec.Descriptor, content Blob, done func()) error {
	select {
	case t.slots <- struct{}{}:
	case <-ctx.Done():
		done()
		return ctx.Err()
	}
	t.mu.Lock()
	twice := t.coming[desc.Digest]
	t.coming[desc.Digest] = true
	t.mu.Unlock()
	if twice { // a registry may not bear the same blob twice at a time
		<-t.slots
		done()
		return nil
	}
	t.group.Go(func() {
		defer func() { <-t.slots }()
		defer done()
		if err := t.Take(t.ctx, desc, content, nil); err != nil {
			t.fail(err)
		}
	})
	return nil
}

// fail keeps the first error for the next call.
func (t *remoteTarget) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = err
	}
}

// failed returns why an upload failed. Nothing more needs to be written then.
func (t *remoteTarget) failed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// wait waits for all blobs that are on their way.
func (t *remoteTarget) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		t.group.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	}
	return t.usable(ctx)
}

// Publish sends the documents that were written, and gives the image its tag.
func (t *remoteTarget) Publish(ctx context.Context, root ocispec.Descriptor) (string, error) {
	return t.PublishFrom(ctx, root, heldDocuments{t})
}

// PublishFrom implements Taker.
func (t *remoteTarget) PublishFrom(ctx context.Context, root ocispec.Descriptor, src Source) (string, error) {
	if err := t.usable(ctx); err != nil {
		return "", err
	}
	if !isDocument(root) {
		return "", t.wrap(fmt.Errorf("publish %s: %q is not the type of a manifest or an index", root.Digest, root.MediaType))
	}
	if err := t.wait(ctx); err != nil {
		return "", err
	}
	if err := t.publish(ctx, root, src); err != nil {
		return "", err
	}
	return t.repo.String() + ":" + t.tag + "@" + root.Digest.String(), nil
}

func (t *remoteTarget) publish(ctx context.Context, root ocispec.Descriptor, src Source) error {
	type held struct {
		desc ocispec.Descriptor
		data []byte
	}
	var docs []held // parents first
	err := walk(ctx, src, root, func(desc ocispec.Descriptor, doc *document) error {
		if doc == nil {
			return t.ensure(ctx, desc, src)
		}
		data, err := readDocument(ctx, src, desc)
		if desc.MediaType == "" {
			desc.MediaType = doc.mediaType()
		}
		docs = append(docs, held{desc, data})
		return err
	})
	if err != nil {
		return t.wrap(err)
	}
	for i := len(docs) - 1; i >= 0; i-- {
		ref := docs[i].desc.Digest.String()
		if i == 0 {
			ref = t.tag
		}
		if _, err := t.repo.PutManifest(ctx, ref, docs[i].desc.MediaType, docs[i].data); err != nil {
			return err
		}
	}
	return nil
}

// ensure sees that a blob is in the repository.
func (t *remoteTarget) ensure(ctx context.Context, desc ocispec.Descriptor, src Source) error {
	if len(desc.URLs) > 0 {
		return nil
	}
	t.mu.Lock()
	known := t.has[desc.Digest]
	t.mu.Unlock()
	if known {
		return nil
	}
	b, err := src.Open(ctx, desc)
	if errors.Is(err, ErrNotFound) {
		if has, hasErr := t.repo.HasBlob(ctx, desc.Digest); hasErr != nil || has {
			return hasErr
		}
	}
	if err != nil {
		return err
	}
	defer b.Close()
	return t.Take(ctx, desc, b, src)
}

// AddReferrer implements ReferrerTarget.
func (t *remoteTarget) AddReferrer(ctx context.Context, subject digest.Digest, desc ocispec.Descriptor, data []byte) error {
	return t.repo.AddReferrer(ctx, subject, desc, data)
}

// Close ends all uploads and drops what was not published.
func (t *remoteTarget) Close() error {
	t.mu.Lock()
	closed := t.closed
	t.closed = true
	open := t.open
	t.open = nil
	t.mu.Unlock()
	if closed {
		return nil
	}
	t.cancel(errClosed)
	var errs []error
	for u := range open {
		errs = append(errs, u.Abort())
	}
	t.group.Wait()
	return errors.Join(errs...)
}

// heldDocuments are the documents of a remoteTarget, as a Source.
type heldDocuments struct{ t *remoteTarget }

func (s heldDocuments) Resolve(context.Context, string) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, ErrNotFound
}

func (s heldDocuments) Open(_ context.Context, desc ocispec.Descriptor) (Blob, error) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	data, ok := s.t.docs[desc.Digest]
	if !ok {
		return nil, fmt.Errorf("open blob %s: %w", desc.Digest, ErrNotFound)
	}
	return memBlob{bytes.NewReader(data)}, nil
}

func (s heldDocuments) Close() error { return nil }

// spooled is a blob in a file until it is sent.
type spooled struct {
	t    *remoteTarget
	mu   sync.Mutex
	f    *os.File // nil once committed or dropped
	size int64
}

func (u *spooled) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.f == nil {
		return 0, u.t.wrap(errUploadEnded)
	}
	if err := u.t.failed(); err != nil {
		return 0, err
	}
	n, err := u.f.Write(p)
	u.size += int64(n)
	if err != nil {
		err = u.t.wrap(err)
	}
	return n, err
}

func (u *spooled) Rewind(size int64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.f == nil {
		return u.t.wrap(errUploadEnded)
	}
	if size < 0 || size > u.size {
		return u.t.wrap(fmt.Errorf("rewind to %d of %d bytes", size, u.size))
	}
	if err := u.f.Truncate(size); err != nil {
		return u.t.wrap(err)
	}
	if _, err := u.f.Seek(size, io.SeekStart); err != nil {
		return u.t.wrap(err)
	}
	u.size = size
	return nil
}

// Commit hands the blob to the uploads, or holds it if it is a document.
func (u *spooled) Commit(ctx context.Context, d digest.Digest, size int64) error {
	if err := u.t.usable(ctx); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.f == nil:
		return u.t.wrap(errUploadEnded)
	case size != u.size:
		return u.t.wrap(fmt.Errorf("commit %s: %d bytes were written, not %d", d, u.size, size))
	}
	if err := d.Validate(); err != nil {
		return u.t.wrap(fmt.Errorf("commit %q: %w", d, err))
	}
	f := u.f
	u.f = nil
	u.t.mu.Lock()
	delete(u.t.open, u)
	u.t.mu.Unlock()
	if size <= maxDocument {
		// What looks like a document may be one. If it is none, it is sent in
		// the end.
		data, err := io.ReadAll(io.NewSectionReader(f, 0, size))
		if err != nil {
			f.Close()
			return u.t.wrap(err)
		}
		if len(data) > 0 && data[0] == '{' {
			u.t.mu.Lock()
			u.t.docs[d] = data
			u.t.mu.Unlock()
			return f.Close()
		}
	}
	desc := ocispec.Descriptor{Digest: d, Size: size}
	return u.t.later(ctx, desc, &fileBlob{f, size}, func() { f.Close() })
}

// Abort drops the file.
func (u *spooled) Abort() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.f == nil {
		return nil
	}
	f := u.f
	u.f = nil
	u.t.mu.Lock()
	delete(u.t.open, u)
	u.t.mu.Unlock()
	return f.Close()
}
