package cdb

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/data-containers/cdb/internal/extract"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
)

// isOne says if there is just one source, whose paths are those of the tree.
func (s *sources) isOne() bool { return len(s.mounts) == 1 && s.mounts[0].To == "" }

// prepareSources is prepare for several sources.
func (b *build) prepareSources(ctx context.Context, listing *scan.Listing) error {
	l, err := b.locator(listing)
	if err != nil {
		return fmt.Errorf("build: %w", err)
	}
	defer l.close()
	b.extraction.source = func(path string) string {
		if p, ok := l.find(path); ok {
			return p.name(path)
		}
		return ""
	}
	ds := &extract.Dataset{
		Paths: func(ctx context.Context) iter.Seq2[string, error] { return b.paths(ctx, listing) },
		Open:  func(_ context.Context, path string) (io.ReadCloser, error) { return l.open(path) },
	}
	return b.prepareContexts(ctx, ds)
}

// A locator finds the files of the tree in its sources.
type locator struct {
	listing *scan.Listing
	places  []place
}

// A place is one source.
type place struct {
	src, to string
	root    *os.Root // nil of a single file
}

// locator returns one for the sources of the build.
func (b *build) locator(listing *scan.Listing) (*locator, error) {
	l := &locator{listing: listing}
	for i := range b.sources.mounts {
		if err := l.add(&b.sources.mounts[i]); err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

// open opens a regular file.
func (l *locator) open(path string) (io.ReadCloser, error) {
	p, ok := l.find(path)
	if !ok {
		return nil, fmt.Errorf("open %q: %w", path, fs.ErrNotExist)
	}
	if p.root == nil {
		return openRegular(os.OpenFile, p.src)
	}
	return openRegular(p.root.OpenFile, p.rel(path))
}

func (l *locator) add(m *scan.Mount) error {
	src, err := filepath.Abs(m.Src)
	if err != nil {
		return err
	}
	fi, err := os.Stat(src)
	if err != nil {
		return err
	}
	p := place{src: src, to: m.To}
	if !fi.IsDir() {
		p.to = path.Join(m.To, filepath.Base(m.Src))
	} else if p.root, err = os.OpenRoot(src); err != nil {
		return err
	}
	l.places = append(l.places, p)
	return nil
}

// close ends opening files; find goes on.
func (l *locator) close() {
	for i := range l.places {
		if p := &l.places[i]; p.root != nil {
			p.root.Close()
		}
	}
}

// rel returns the path in the source of what has this one in the tree.
func (p *place) rel(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, p.to), "/")
}

func (p *place) name(path string) string {
	return filepath.Join(p.src, filepath.FromSlash(p.rel(path)))
}

// find returns the source of a file. Where several have one at this path, all
// but one leave it out; which one does not is in the listing.
func (l *locator) find(path string) (*place, bool) {
	var found *place
	for i := range l.places {
		p := &l.places[i]
		if !tree.Within(path, p.to) || p.root == nil && path != p.to {
			continue
		}
		if fi, err := os.Lstat(p.name(path)); p.root != nil && (err != nil || !fi.Mode().IsRegular()) {
			continue
		}
		if found != nil {
			n, err := l.listing.Mounted(path)
			if err != nil || n >= len(l.places) {
				return nil, false
			}
			return &l.places[n], true
		}
		found = p
	}
	return found, found != nil
}
