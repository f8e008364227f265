package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// A Referrer is a Source that knows which manifests have another one as their
// subject.
type Referrer interface {
	Referrers(ctx context.Context, d digest.Digest) ([]ocispec.Descriptor, error)
}

// A ReferrerTarget is a Target that takes such manifests, after their blobs and
// their subject.
type ReferrerTarget interface {
	AddReferrer(ctx context.Context, subject digest.Digest, desc ocispec.Descriptor, data []byte) error
}

// A Limiter is a Target that does not take blobs of any size.
type Limiter interface {
	// MaxLayer is the size of the largest blob in bytes, 0 if it is not
	// known, and who says so.
	MaxLayer() (limit int64, who string)
}

// ErrLayerTooLarge is wrapped by errors about layers that the target does not
// take.
var ErrLayerTooLarge = errors.New("the layer is too large for the target")

// CopyOptions say what a copy does beside copying an image.
type CopyOptions struct {
	// Workers is how many blobs are copied at once, default 4.
	Workers int
	// Referrers copies signatures and other manifests that refer to the image
	// too.
	Referrers bool
	// Begin is told how much there is to copy, in bytes, before anything is
	// copied.
	Begin func(blobs int, bytes int64)
	// Done is told of bytes as they are copied or found to be there already.
	Done func(bytes int64)
}

// A CopyResult says what was copied.
type CopyResult struct {
	Ref       string // as Target.Publish says it
	Blobs     int    // distinct ones of the image
	Bytes     int64  // of them all
	Referrers int
}

// Copy copies the image root, with all that it names, from src to dst, and
// publishes it there. Nothing is changed on the way: digests stay.
func Copy(ctx context.Context, src Source, root ocispec.Descriptor, dst Target, opts CopyOptions) (CopyResult, error) {
	if opts.Workers <= 0 {
		opts.Workers = 4
	}
	c := &copier{src: src, dst: dst, opts: opts}
	if _, ok := referrerTarget(dst); !ok && opts.Referrers {
		return CopyResult{}, errors.New("copy referrers: the target cannot hold them; copy to a registry, a layout or an archive")
	}
	if err := c.list(ctx, root); err != nil {
		return CopyResult{}, err
	}
	if err := c.checkLimit(); err != nil {
		return CopyResult{}, err
	}
	if opts.Begin != nil {
		opts.Begin(len(c.blobs), c.bytes)
	}
	if err := c.copyBlobs(ctx); err != nil {
		return CopyResult{}, err
	}
	res := CopyResult{Blobs: len(c.blobs), Bytes: c.bytes}
	var err error
	// An archive is complete when it is published. Elsewhere the image comes
	// first: what refers to it is no use without it.
	_, first := dst.(*archiveWriter)
	if first && opts.Referrers {
		if res.Referrers, err = c.referrers(ctx); err != nil {
			return res, err
		}
	}
	if t, ok := dst.(Taker); ok {
		res.Ref, err = t.PublishFrom(ctx, root, src)
	} else {
		res.Ref, err = dst.Publish(ctx, root)
	}
	if err == nil && opts.Referrers && !first {
		res.Referrers, err = c.referrers(ctx)
	}
	return res, err
}

// referrerTarget says if a target can hold referrers. Docker drops them from
// what it loads.
func referrerTarget(dst Target) (ReferrerTarget, bool) {
	if _, docker := dst.(*Daemon); docker {
		return nil, false
	}
	t, ok := dst.(ReferrerTarget)
	return t, ok
}

type copier struct {
	src       Source
	dst       Target
	opts      CopyOptions
	blobs     []ocispec.Descriptor // documents too, parents first
	documents []ocispec.Descriptor
	bytes     int64
}

// list finds what there is to copy.
func (c *copier) list(ctx context.Context, root ocispec.Descriptor) error {
	return walk(ctx, c.src, root, func(desc ocispec.Descriptor, doc *document) error {
		if len(desc.URLs) > 0 {
			return nil
		}
		c.blobs = append(c.blobs, desc)
		c.bytes += desc.Size
		if doc != nil {
			c.documents = append(c.documents, desc)
		}
		return nil
	})
}

// checkLimit says what the target would refuse, before anything is sent.
func (c *copier) checkLimit() error {
	l, ok := c.dst.(Limiter)
	if !ok {
		return nil
	}
	limit, who := l.MaxLayer()
	for _, b := range c.blobs {
		if limit > 0 && b.Size > limit {
			return fmt.Errorf("copy %s: %w: it has %d bytes, %s takes %d; build the image with smaller packs (--pack-size)", b.Digest, ErrLayerTooLarge, b.Size, who, limit)
		}
	}
	return nil
}

func (c *copier) copyBlobs(ctx context.Context) error {
	workers := c.opts.Workers
	switch c.dst.(type) {
	case *writer, Taker:
	default:
		workers = 1 // it may refuse a second open upload
	}
	_, takes := c.dst.(Taker)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for _, desc := range c.blobs {
		if takes && isDocument(desc) {
			continue // PublishFrom sends it
		}
		g.Go(func() error { return c.copyBlob(gctx, desc) })
	}
	if err := g.Wait(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	return nil
}

func (c *copier) done(n int64) {
	if c.opts.Done != nil {
		c.opts.Done(n)
	}
}

// copyBlob copies a blob that the target lacks.
func (c *copier) copyBlob(ctx context.Context, desc ocispec.Descriptor) error {
	if t, ok := c.dst.(Taker); ok {
		b, err := c.src.Open(ctx, desc)
		if err != nil {
			return err
		}
		defer b.Close()
		return t.Take(ctx, desc, b, c.src) // which counts
	}
	return CopyBlob(ctx, c.src, c.dst, desc, c.done)
}

// CopyBlob copies a blob that the target lacks, and compares it with its
// digest on the way. done, if not nil, counts bytes.
func CopyBlob(ctx context.Context, src Source, dst Target, desc ocispec.Descriptor, done func(int64)) error {
	if done == nil {
		done = func(int64) {}
	}
	if has, err := dst.Has(ctx, desc.Digest); err != nil || has {
		done(desc.Size)
		return err
	}
	b, err := src.Open(ctx, desc)
	if err != nil {
		return err
	}
	defer b.Close()
	if t, ok := dst.(Taker); ok {
		return t.Take(ctx, desc, b, src)
	}
	r, err := Reader(ctx, b)
	if err != nil {
		return err
	}
	defer r.Close()
	up, err := dst.Create(ctx)
	if err != nil {
		return err
	}
	defer up.Abort()
	sum := desc.Digest.Verifier()
	n, err := io.CopyBuffer(io.MultiWriter(up, sum, countWriter(done)), &contextReader{ctx, r}, make([]byte, 256<<10))
	if err != nil {
		return fmt.Errorf("copy %s: %w", desc.Digest, err)
	}
	if !sum.Verified() {
		return fmt.Errorf("copy %s: %w", desc.Digest, errDamaged)
	}
	return up.Commit(ctx, desc.Digest, n)
}

var errDamaged = errors.New("its digest does not match, it is damaged")

// countWriter counts what is written.
type countWriter func(int64)

func (f countWriter) Write(p []byte) (int, error) {
	f(int64(len(p)))
	return len(p), nil
}

// A contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// referrers copies what refers to the documents of the image, and what refers
// to that.
func (c *copier) referrers(ctx context.Context) (int, error) {
	src, ok := c.src.(Referrer)
	if !ok {
		return 0, nil
	}
	dst, _ := referrerTarget(c.dst) // Copy has seen to it that it is one
	const most = 10_000
	seen := map[digest.Digest]bool{}
	queue := c.documents
	n := 0
	for len(queue) > 0 {
		subject := queue[0]
		queue = queue[1:]
		list, err := src.Referrers(ctx, subject.Digest)
		if err != nil {
			return n, err
		}
		for _, desc := range list {
			if seen[desc.Digest] {
				continue
			}
			seen[desc.Digest] = true
			if n++; n > most {
				return n, fmt.Errorf("copy referrers of %s: there are more than %d", subject.Digest, most)
			}
			if err := c.referrer(ctx, dst, subject.Digest, desc); err != nil {
				return n, fmt.Errorf("copy referrer %s: %w", desc.Digest, err)
			}
			queue = append(queue, desc)
		}
	}
	return n, nil
}

func (c *copier) referrer(ctx context.Context, dst ReferrerTarget, subject digest.Digest, desc ocispec.Descriptor) error {
	data, err := readDocument(ctx, c.src, desc)
	if err != nil {
		return err
	}
	doc, err := parseDocument(data)
	if err != nil {
		return err
	}
	// Registries err in their lists: the manifest itself says it.
	if t := doc.mediaType(); t != "" {
		desc.MediaType = t
	}
	desc.Size, desc.ArtifactType, desc.Annotations = int64(len(data)), doc.artifactType(), maps.Clone(doc.Annotations)
	for _, child := range doc.children() {
		if isDocument(child) {
			return errors.New("it names other manifests, which is not supported")
		}
		if err := c.copyBlob(ctx, child); err != nil {
			return err
		}
	}
	return dst.AddReferrer(ctx, subject, desc, data)
}
