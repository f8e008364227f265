package cdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/store"
	"github.com/data-containers/cdb/internal/tree"
)

// VerifyOptions say how a verification works.
type VerifyOptions struct {
	Workers  int       // layers or files read at once; default one per CPU
	Progress *Progress // counts, if not nil
	// Report gets each finding, in order. An error from it ends the
	// verification.
	Report func(Finding) error
}

// A Finding is something that is not as it should be.
type Finding struct {
	Kind string // "mismatch", "missing" or "unreadable"
	What string // a path in the image, or the digest of a blob
	Why  error
}

func (o *VerifyOptions) check() {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Report == nil {
		o.Report = func(Finding) error { return nil }
	}
}

// VerifyBlobs reads every layer of every platform of the image, and compares
// it with its digest, its size and its diffID. Manifests and configs are
// compared on the way.
func (c *Container) VerifyBlobs(ctx context.Context, opts VerifyOptions) error {
	opts.check()
	layers, findings, err := c.allLayers(ctx)
	if err != nil {
		return err
	}
	for _, f := range findings {
		if err := opts.Report(f); err != nil {
			return err
		}
	}
	opts.Progress.setPhase("verify blobs")
	size := int64(0)
	for _, l := range layers {
		size += l.Size
	}
	opts.Progress.setTotal(0, size)
	return inOrder(ctx, opts, func(yield func(func() *Finding) bool) error {
		for i := range layers {
			if !yield(func() *Finding { return c.verifyLayer(ctx, &layers[i], opts.Progress) }) {
				break
			}
		}
		return nil
	})
}

// VerifyFiles reads the files with these paths and all below them, and
// compares them with the catalog.
func (c *Container) VerifyFiles(ctx context.Context, paths []string, opts VerifyOptions) error {
	opts.check()
	paths, err := c.cover(ctx, paths)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	opts.Progress.setPhase("verify files")
	return inOrder(ctx, opts, func(yield func(func() *Finding) bool) error {
		for _, p := range paths {
			for e, err := range c.readAhead(ctx, c.db.Entries(ctx, p)) {
				if err != nil {
					return err
				}
				if e.Type != tree.File {
					continue
				}
				mine := *e
				if !yield(func() *Finding { return c.verifyFile(ctx, &mine, opts.Progress) }) {
					return nil
				}
			}
		}
		return nil
	})
}

// inOrder runs the checks that produce yields, several at once, and reports
// their findings in order.
func inOrder(ctx context.Context, opts VerifyOptions, produce func(yield func(func() *Finding) bool) error) error {
	g, ctx := errgroup.WithContext(ctx)
	limit := make(chan struct{}, opts.Workers)
	results := make(chan chan *Finding, 8*opts.Workers)
	g.Go(func() error {
		defer close(results)
		err := produce(func(check func() *Finding) bool {
			result := make(chan *Finding, 1)
			select {
			case limit <- struct{}{}:
			case <-ctx.Done():
				return false
			}
			go func() {
				result <- check()
				<-limit
			}()
			// A result that nobody waits for is still sent.
			select {
			case results <- result:
				return true
			case <-ctx.Done():
				<-result
				return false
			}
		})
		return errors.Join(err, ctx.Err())
	})
	g.Go(func() error {
		var failed error
		for result := range results {
			if f := <-result; f != nil && failed == nil && ctx.Err() == nil {
				failed = opts.Report(*f)
			}
			if failed != nil {
				return failed
			}
		}
		return nil
	})
	return g.Wait()
}

// allLayers returns the distinct layers of all platforms, and what is wrong
// with the documents that name them.
func (c *Container) allLayers(ctx context.Context) ([]image.Layer, []Finding, error) {
	var layers []image.Layer
	var findings []Finding
	seen := map[string]bool{}
	for _, p := range c.Image.Platforms {
		img, err := image.Parse(ctx, c.document, c.Image.Root, p.Architecture)
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if err != nil {
			findings = append(findings, Finding{"unreadable", p.OS + "/" + p.Architecture, err})
			continue
		}
		for _, l := range img.Layers {
			// The same blob may be there with two diffIDs, one of them wrong.
			if key := l.Digest.String() + l.DiffID.String(); !seen[key] {
				seen[key] = true
				layers = append(layers, l)
			}
		}
	}
	return layers, findings, nil
}

// verifyLayer reads one layer, once.
func (c *Container) verifyLayer(ctx context.Context, l *image.Layer, progress *Progress) *Finding {
	what := string(l.Digest)
	bad := func(kind string, err error) *Finding {
		return &Finding{kind, what, fmt.Errorf("%s layer: %w", l.Role, err)}
	}
	blob, err := c.source.Open(ctx, l.Descriptor)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return bad("missing", err)
	case err != nil:
		return bad("unreadable", err)
	}
	defer blob.Close()
	if blob.Size() != l.Size {
		return bad("mismatch", fmt.Errorf("has %d bytes instead of %d", blob.Size(), l.Size))
	}
	if err := errors.Join(l.Digest.Validate(), l.DiffID.Validate()); err != nil {
		return bad("unreadable", err)
	}
	sum, diff := l.Digest.Verifier(), l.DiffID.Verifier()
	all, err := store.Reader(ctx, blob)
	if err != nil {
		return bad("unreadable", err)
	}
	defer all.Close()
	raw := io.TeeReader(&contextReader{ctx, all}, io.MultiWriter(sum, (*byteCounter)(progress)))
	unpackErr := unpackTo(diff, raw, l.MediaType)
	if _, err := io.Copy(io.Discard, raw); err != nil {
		return bad("unreadable", err)
	}
	switch {
	case !sum.Verified():
		return bad("mismatch", errors.New("its digest does not match"))
	case unpackErr != nil:
		return bad("unreadable", unpackErr)
	case !diff.Verified():
		return bad("mismatch", fmt.Errorf("its content is not %s, as the config says", l.DiffID))
	}
	return nil
}

// unpackTo writes the tar stream of a layer to w.
func unpackTo(w io.Writer, r io.Reader, mediaType string) error {
	kind, err := pack.CompressionOf(mediaType)
	if err != nil {
		return err
	}
	src, err := pack.Decompress(r, kind)
	if err != nil {
		return err
	}
	defer src.Close()
	_, err = io.Copy(w, src)
	return err
}

// verifyFile reads one file.
func (c *Container) verifyFile(ctx context.Context, e *catalog.Entry, progress *Progress) *Finding {
	r, err := c.Content(ctx, e)
	if err == nil {
		_, err = io.CopyBuffer((*byteCounter)(progress), r, make([]byte, 128<<10))
		r.Close()
	}
	progress.addFile()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pack.ErrCorrupt):
		return &Finding{"mismatch", c.db.Dataset().Abs(e.Path), err}
	}
	return &Finding{"unreadable", c.db.Dataset().Abs(e.Path), err}
}

// A byteCounter counts what is written to it.
type byteCounter Progress

func (p *byteCounter) Write(b []byte) (int, error) {
	(*Progress)(p).addBytes(int64(len(b)))
	return len(b), nil
}
