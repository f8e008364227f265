package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A GCResult says what a collection removed, or would remove.
type GCResult struct {
	// Blobs is the number of blobs, without half-written ones.
	Blobs int
	// Bytes is the length of all that was removed.
	Bytes int64
}

// GC removes the blobs that no named image needs, and what killed builds left
// half-written; with dryRun it only counts. The error wraps ErrInUse while a
// build runs. If a named image cannot be read nothing is removed, because
// nobody can tell what belongs to it.
func (l *Local) GC(ctx context.Context, dryRun bool) (GCResult, error) {
	var res GCResult
	if _, err := os.Stat(l.layout.dir); errors.Is(err, fs.ErrNotExist) {
		return res, nil
	}
	lock, err := l.lock(ctx, exclusive)
	if errors.Is(err, errLocked) {
		err = ErrInUse
	}
	if err != nil {
		return res, fmt.Errorf("collect garbage in %s: %w", l.layout.place, err)
	}
	defer lock.Close()
	keep, err := l.reachable(ctx)
	if err != nil {
		return res, err
	}
	if !dryRun {
		if err := l.dropOrphans(ctx, keep); err != nil {
			return res, err
		}
	}
	root, err := os.OpenRoot(l.layout.dir)
	if err == nil {
		defer root.Close()
		err = res.sweep(ctx, root, keep, dryRun)
	}
	if err != nil {
		return res, fmt.Errorf("collect garbage in %s: %w", l.layout.place, err)
	}
	return res, nil
}

// dropOrphans takes out of index.json what refers to images that are gone. The
// lock is held.
func (l *Local) dropOrphans(ctx context.Context, keep map[digest.Digest]bool) error {
	index, err := l.layout.index()
	if err != nil || len(withoutOrphans(index.Manifests, keep)) == len(index.Manifests) {
		return err
	}
	w, err := openWriter(l.layout.dir, l.layout.place)
	if err != nil {
		return err
	}
	defer w.Close()
	return w.update(ctx, func(index *ocispec.Index) error {
		index.Manifests = withoutOrphans(index.Manifests, keep)
		return nil
	})
}

// reachable is the set of all blobs that named images consist of.
func (l *Local) reachable(ctx context.Context) (map[digest.Digest]bool, error) {
	index, err := l.layout.index()
	if err != nil {
		return nil, err
	}
	keep := map[digest.Digest]bool{}
	mark := func(root ocispec.Descriptor) error {
		err := walk(ctx, l, root, func(d ocispec.Descriptor, doc *document) error {
			keep[d.Digest] = true
			return nil
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			name := root.Annotations[ocispec.AnnotationRefName]
			return fmt.Errorf("collect garbage in %s: nothing was removed, because image %q is damaged (remove or rebuild it first): %w", l.layout.place, name, err)
		}
		return nil
	}
	for _, root := range named(index.Manifests) {
		if err := mark(root); err != nil {
			return nil, err
		}
	}
	// What refers to something that is kept is kept, and what refers to that.
	for changed := true; changed; {
		changed = false
		for _, d := range index.Manifests {
			if isReferrer(d) && !keep[d.Digest] && keep[digest.Digest(d.Annotations[annotationSubject])] {
				if err := mark(d); err != nil {
					return nil, err
				}
				changed = true
			}
		}
	}
	return keep, nil
}

func (r *GCResult) sweep(ctx context.Context, root *os.Root, keep map[digest.Digest]bool, dryRun bool) error {
	n, err := sweepTemp(root, tempDir, filepath.Base(tempPrefix), dryRun)
	r.Bytes += n
	if err != nil {
		return err
	}
	if !dryRun {
		root.Remove(tempDir) // if it is empty
	}
	algorithms, err := fs.ReadDir(root.FS(), "blobs")
	if err != nil {
		return ignore(err, fs.ErrNotExist)
	}
	for _, a := range algorithms {
		if a.IsDir() {
			if err := r.sweepBlobs(ctx, root, a.Name(), keep, dryRun); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweepBlobs leaves alone what is not called like a blob.
func (r *GCResult) sweepBlobs(ctx context.Context, root *os.Root, algorithm string, keep map[digest.Digest]bool, dryRun bool) error {
	dir := path.Join("blobs", algorithm)
	files, err := fs.ReadDir(root.FS(), dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		d := digest.Digest(algorithm + ":" + f.Name())
		if d.Validate() != nil || keep[d] || f.IsDir() {
			continue
		}
		info, err := f.Info()
		if err != nil {
			return err
		}
		if !dryRun {
			if err := root.Remove(path.Join(dir, f.Name())); err != nil {
				return err
			}
		}
		r.Blobs++
		r.Bytes += info.Size()
	}
	return nil
}
