package cdb

import (
	"context"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/extract"
	"github.com/data-containers/cdb/internal/tree"
)

// A keptMeta is what a source that is a data container knows of its files
// beyond what cdb extracts itself: what extractors of users made, who may not
// be at hand here.
type keptMeta struct {
	c      *Container
	to     string // where the source lies in the tree
	folder string // the folder of the container that it is
	own    func(key string) bool
}

var _ extract.External = (*keptMeta)(nil)

// keptName is the name of keptMeta in the record of a set.
const keptName = "source"

// Name implements extract.External.
func (k *keptMeta) Name() string { return keptName }

// Version implements extract.External.
func (k *keptMeta) Version() string { return k.c.Image.Root.Digest.Encoded()[:16] }

// Extract implements extract.External.
func (k *keptMeta) Extract(ctx context.Context, f *extract.ExternalFile) (*extract.Meta, error) {
	path := f.Path
	if k.to != "" {
		if !tree.Within(path, k.to) || path == k.to {
			return nil, nil
		}
		path = path[len(k.to)+1:]
	}
	if k.folder != "" {
		path = k.folder + "/" + path
	}
	e, err := k.c.db.Lookup(ctx, path)
	if err != nil || e == nil || e.Meta == "" {
		return nil, err
	}
	all, err := extract.ParseMeta([]byte(e.Meta))
	if err != nil {
		return nil, err
	}
	kept := &extract.Meta{}
	kept.Yield() // to the same extractor, if it is asked again
	for _, key := range all.Keys() {
		if !k.own(key) {
			kept.Set(key, all.Get(key))
		}
	}
	return kept, nil
}

// hasOwn says if any file of a data container has metadata that cdb does not
// make itself.
func hasOwn(ctx context.Context, db *catalog.DB) (bool, error) {
	metrics, err := db.Metrics(ctx)
	if err != nil {
		return false, err
	}
	own := extract.Own()
	for _, m := range metrics {
		switch m {
		case "size", "sha256", "link":
			continue
		}
		if !own(m) {
			return true, nil
		}
	}
	return false, nil
}

// keepMeta lets the build ask the sources that are data containers about their
// files, unless nothing is to be extracted.
func (b *build) keepMeta() {
	set := b.extraction.set
	if set == nil || set.Empty() {
		return
	}
	for _, k := range b.sources.kept {
		set.Add(k)
	}
	b.extraction.record = set.String()
}
