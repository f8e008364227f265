package cdb

import (
	"fmt"

	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/store"
	"github.com/data-containers/cdb/internal/tree"
)

// compresses is how much smaller than its tar stream a layer may well become:
// of a larger file it is certain that it does not fit.
const compresses = 4

// largestPack returns the size of tar stream in bytes that no pack of the
// build may exceed, 0 for any: what was asked for, or what the target takes.
// A file that the target cannot take, whatever is done, ends the build before
// it begins.
func (b *build) largestPack(listing *scan.Listing) (int64, error) {
	most := b.opts.PackSize
	l, ok := b.target.(store.Limiter)
	if !ok {
		return most, nil
	}
	limit, who := l.MaxLayer()
	if limit == 0 {
		return most, nil
	}
	if most > limit {
		return 0, fmt.Errorf("build: %w: packs of %d bytes, and %s takes %d: make --pack-size smaller", store.ErrLayerTooLarge, most, who, limit)
	}
	factor := int64(compresses)
	if b.opts.Compression == pack.None {
		factor = 1
	}
	for e, err := range listing.Entries() {
		if err != nil {
			return 0, err
		}
		if e.Type == tree.File && e.Size/factor > limit {
			return 0, fmt.Errorf("build %q: %w: the file has %d bytes, and a layer of %s at most %d; no --pack-size splits a file: split it, leave it out (--exclude), or push elsewhere",
				e.Path, store.ErrLayerTooLarge, e.Size, who, limit)
		}
	}
	if most == 0 {
		// What does not compress becomes a little longer, and tables come on top.
		most = limit - limit/64
	}
	return most, nil
}
