package cdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/external"
	"github.com/data-containers/cdb/internal/extract"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
)

// An extraction is what a build does to know more of files than their sizes
// and digests. The zero value does nothing.
type extraction struct {
	set *extract.Set
	// record is the set as the catalog has it. That of changes alone is the
	// parent's, whatever release made it: most rows are.
	record   string
	contexts *extract.Contextual
	warnings []error              // about the dataset
	own      *external.Extractors // nil for none
	// source returns the absolute name of the file with this path.
	source func(path string) string
}

// chooseSet decides what is extracted, and starts extractors of users. A
// commit, which has done so, does what its parent did.
func (b *build) chooseSet(ctx context.Context) error {
	if b.extraction.set != nil {
		return nil
	}
	words, specs, err := external.Split(b.opts.Extract)
	if err != nil {
		return fmt.Errorf("build: %w", err)
	}
	set, err := extract.NewSet(words, extract.Options{
		GPS: b.opts.GPS, Identifying: b.opts.Identifying, TempDir: b.opts.TempDir,
	})
	if err != nil {
		return fmt.Errorf("build: %w", err)
	}
	return b.useSet(ctx, set, specs)
}

// useSet extracts by a set, and by extractors of users.
func (b *build) useSet(ctx context.Context, set *extract.Set, specs []external.Spec) error {
	own, err := external.Open(ctx, specs, external.Options{
		Base: b.opts.ExtractBase, Workers: b.opts.Workers, Timeout: b.opts.ExtractTimeout, Python: b.opts.Python,
		Log: b.opts.ExtractLog, TempDir: b.opts.TempDir, Cache: b.opts.Cache,
	})
	if err != nil {
		return err
	}
	set.Add(own.List()...)
	set.Add(b.opts.Extractors...)
	b.extraction.set, b.extraction.record, b.extraction.own = set, set.String(), own
	return nil
}

// useParentSet extracts as the parent did. Extractors of users are not in an
// image: those that opts do not give again are missed.
func (b *build) useParentSet(ctx context.Context) error {
	_, specs, err := external.Split(b.opts.Extract)
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	recorded := b.parent.Catalog().Dataset().Extract
	if err := b.useSet(ctx, extract.ParseSet(recorded, extract.Options{TempDir: b.opts.TempDir}), specs); err != nil {
		return err
	}
	for _, name := range b.extraction.set.Missing(recorded) {
		if name == keptName {
			continue // nobody can give it again
		}
		b.extraction.warnings = append(b.extraction.warnings,
			fmt.Errorf("the parent's metadata was extracted by %s, too, which an image does not hold: give it again with --extract", name))
	}
	return nil
}

// close ends extractors of users.
func (x *extraction) close() error {
	if x.own == nil {
		return nil
	}
	return x.own.Close()
}

// file extracts from a file that was read whole.
func (x *extraction) file(ctx context.Context, path string, data []byte) string {
	if x.set == nil {
		return ""
	}
	return x.set.File(ctx, extract.Source{Path: path, Name: x.source(path)}, data).Meta
}

// begin begins with a file that comes in chunks.
func (x *extraction) begin(path string, size int64) *extract.Job {
	if x.set == nil {
		return (&extract.Set{}).Begin(extract.Source{})
	}
	return x.set.Begin(extract.Source{Path: path, Name: x.source(path), Size: size})
}

// prepare looks at the dataset as a whole, before its files are read.
func (b *build) prepare(ctx context.Context, listing *scan.Listing) error {
	if b.sources != nil && !b.sources.isOne() {
		return b.prepareSources(ctx, listing)
	}
	src := b.src
	if b.sources != nil {
		src = b.sources.mounts[0].Src
	}
	src, err := filepath.Abs(src)
	if err != nil {
		return fmt.Errorf("build: %w", err)
	}
	fi, err := os.Stat(src)
	if err != nil {
		return fmt.Errorf("build: %w", err)
	}
	ds := &extract.Dataset{
		Paths: func(ctx context.Context) iter.Seq2[string, error] { return b.paths(ctx, listing) },
	}
	if !fi.IsDir() {
		b.extraction.source = func(string) string { return src }
		ds.Open = func(context.Context, string) (io.ReadCloser, error) { return openRegular(os.OpenFile, src) }
	} else {
		b.extraction.source = func(path string) string { return filepath.Join(src, filepath.FromSlash(path)) }
		root, err := os.OpenRoot(src)
		if err != nil {
			return fmt.Errorf("build: %w", err)
		}
		defer root.Close()
		ds.Open = func(ctx context.Context, path string) (io.ReadCloser, error) {
			f, err := openRegular(root.OpenFile, path)
			if err != nil && b.overlay != nil {
				return b.openParents(ctx, path)
			}
			return f, err
		}
	}
	return b.prepareContexts(ctx, ds)
}

func (b *build) prepareContexts(ctx context.Context, ds *extract.Dataset) error {
	contexts, warnings, err := b.extraction.set.Prepare(ctx, ds)
	b.extraction.contexts = contexts
	b.extraction.warnings = append(b.extraction.warnings, warnings...)
	return err
}

// openRegular opens a regular file, and waits for nobody at a pipe that took
// its place.
func openRegular(open func(string, int, os.FileMode) (*os.File, error), path string) (io.ReadCloser, error) {
	f, err := open(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		f.Close()
		return nil, errors.Join(fmt.Errorf("open %q: not a regular file", path), err)
	}
	return f, nil
}

// openParents opens a file of the parent that the changes do not touch.
func (b *build) openParents(ctx context.Context, path string) (io.ReadCloser, error) {
	e, err := b.parent.Catalog().Lookup(ctx, path)
	if err != nil {
		return nil, err
	}
	if e == nil || e.Type != tree.File {
		return nil, fmt.Errorf("open %q: %w", path, os.ErrNotExist)
	}
	return b.parent.Content(ctx, e)
}

// paths yields the paths of the files that the image will have.
func (b *build) paths(ctx context.Context, listing *scan.Listing) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if b.overlay != nil {
			b.mergedPaths(ctx, listing, yield)
			return
		}
		for e, err := range listing.Entries() {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield("", err)
				return
			}
			if e.Type == tree.File && !yield(e.Path, nil) {
				return
			}
		}
	}
}

// mergedPaths is paths for changes: what of the parent stays, and what comes.
func (b *build) mergedPaths(ctx context.Context, listing *scan.Listing, yield func(string, error) bool) {
	m, err := newMerger(ctx, b.parent, nil, b.opts.Preserve)
	if err != nil {
		yield("", err)
		return
	}
	defer m.close()
	m.overlay = newOverlay()
	m.overlay.covers = slices.Clone(b.overlay.covers)
	errDone := errors.New("done")
	passed := func(what match) error {
		if what.stay != nil && what.stay.Type == tree.File && !yield(what.stay.Path, nil) {
			return errDone
		}
		return nil
	}
	each := func() error {
		for it, err := range listing.Read(ctx) {
			if err != nil {
				return err
			}
			err = m.match(&readItem{Item: it, entry: it.Entry}, passed)
			it.Release()
			if err != nil {
				return err
			}
			if it.Mark == scan.NoMark && it.Type == tree.File && !yield(it.Path, nil) {
				return errDone
			}
		}
		return m.rest(passed)
	}
	if err := each(); err != nil && err != errDone {
		yield("", err)
	}
}

// warned returns how many files of the parent have warnings in their metadata.
func warned(ctx context.Context, db *catalog.DB) (int64, error) {
	return db.MetricFiles(ctx, extract.WarningsKey)
}
