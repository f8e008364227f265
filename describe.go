package cdb

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/describe"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
)

// describe finds what the files in the root of the tree say of the dataset.
// These few small files are read before all others, as what they say decides
// if there is anything to build.
func (b *build) describe(ctx context.Context, listing *scan.Listing) error {
	if b.opts.NoDescribe {
		return nil
	}
	names, open, done, err := b.described(ctx, listing)
	if err != nil {
		return err
	}
	defer done()
	found, warnings := describe.Read(names, open)
	b.found = found
	for _, w := range warnings {
		b.warned = append(b.warned, w)
	}
	return ctx.Err()
}

// described returns the names of the files in the root that describe the
// dataset, sorted, and a function to open them.
func (b *build) described(ctx context.Context, listing *scan.Listing) ([]string, func(string) (io.ReadCloser, error), func(), error) {
	names, err := describingNames(listing)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("build: %w", err)
	}
	done := func() {}
	if b.sources != nil {
		l, err := b.locator(listing)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("build: %w", err)
		}
		if b.sources.isOne() && l.places[0].root == nil {
			names = nil // a single file describes nothing
		}
		return names, l.open, l.close, nil
	}
	var root *os.Root
	if len(names) > 0 {
		if root, err = os.OpenRoot(b.src); err != nil {
			// The source is a single file, which describes nothing.
			return nil, nil, done, nil
		}
		done = func() { root.Close() }
	}
	open := func(name string) (io.ReadCloser, error) {
		return root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	}
	if b.overlay == nil {
		return names, open, done, nil
	}
	inherited, err := b.inheritedNames(ctx, listing, names)
	if err != nil {
		done()
		return nil, nil, nil, err
	}
	openBoth := func(name string) (io.ReadCloser, error) {
		if e := inherited[name]; e != nil {
			return b.parent.Content(ctx, e)
		}
		return open(name)
	}
	return slices.Sorted(slices.Values(append(names, slices.Collect(maps.Keys(inherited))...))), openBoth, done, nil
}

// describingNames returns the names of regular files in the root that
// describe a dataset. All of them come early in the order of the tree.
func describingNames(listing *scan.Listing) ([]string, error) {
	var names []string
	for e, err := range listing.Entries() {
		if err != nil {
			return nil, err
		}
		if e.Path > "s" { // no name that describes begins with a letter behind r
			break
		}
		if e.Type == tree.File && strings.IndexByte(e.Path, '/') < 0 && describe.Describes(e.Path) {
			names = append(names, e.Path)
		}
	}
	return names, nil
}

// inheritedNames returns the describing files of the parent that the changes
// in an overlay leave as they are.
func (b *build) inheritedNames(ctx context.Context, listing *scan.Listing, changed []string) (map[string]*catalog.Entry, error) {
	hidden := map[string]bool{}
	allHidden := len(b.overlay.covers) > 0
	for it, err := range listing.Read(ctx) {
		if err != nil {
			return nil, err
		}
		if strings.IndexByte(it.Path, '/') < 0 {
			hidden[it.Path] = true
			allHidden = allHidden || it.Path == "" && it.Opaque
		}
		it.Release()
	}
	kept := map[string]*catalog.Entry{}
	if allHidden {
		return kept, nil
	}
	for e, err := range b.parent.Catalog().Children(ctx, "") {
		if err != nil {
			return nil, err
		}
		if e.Type == tree.File && describe.Describes(e.Path) && !hidden[e.Path] && !slices.Contains(changed, e.Path) {
			kept[e.Path] = e
		}
	}
	return kept, nil
}

// dataset is what is said of the dataset: by the user, to this build or to one
// that this is a later version of, and by the files of the tree as they are
// now. Its date is that of the newest file: no clock may decide a digest.
func (b *build) dataset(newest time.Time) catalog.Dataset {
	created := newest
	if !b.opts.Epoch.IsZero() {
		created = b.opts.Epoch
	}
	if created.Unix() < 0 || created.Year() > 9999 {
		created = time.Unix(0, 0)
	}
	ds := catalog.Dataset{
		Title:       b.opts.Title,
		Description: b.opts.Description,
		License:     b.opts.License,
		Version:     b.opts.Version,
		Author:      b.opts.Author,
		About:       b.opts.About,
		Labels:      maps.Clone(b.opts.Labels),
		Queries:     maps.Clone(b.opts.Queries),
		Created:     created.UTC().Truncate(time.Second),
		Generator:   "cdb " + Version,
		Extract:     b.extraction.record,
	}
	ds.Origins = nil
	if b.parent != nil {
		given := b.parent.Catalog().Dataset().Given()
		given.Version = "" // each version has its own
		ds.Complete(given, "")
		inheritLabels(&ds, b.parent.Catalog().Dataset().Labels)
		inheritQueries(&ds, b.parent.Catalog().Dataset())
	}
	words := b.sourceWords()
	if words != nil {
		ds.Complete(words.Given(), "")
		inheritLabels(&ds, words.Labels)
		inheritQueries(&ds, words)
	}
	if b.found != nil {
		ds.Complete(b.found, "")
	}
	if words != nil {
		ds.Complete(words, "") // files that said it may lie elsewhere now
	}
	return ds
}

// inheritLabels completes the labels of a version with those of its parent.
func inheritLabels(ds *catalog.Dataset, labels map[string]string) {
	for k, v := range labels {
		if _, given := ds.Labels[k]; !given {
			if ds.Labels == nil {
				ds.Labels = map[string]string{}
			}
			ds.Labels[k] = v
		}
	}
}
