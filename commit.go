package cdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/store"
)

// CommitOptions say what [Commit] makes a new version of. Prefix, Preserve,
// NoText, Volume and what is extracted are those of the parent whatever is given,
// but that Extract may have extractors of users, which an image does not hold; the
// compression and, as in [Build], what is said of the dataset are the parent's unless
// something else is given.
type CommitOptions struct {
	BuildOptions
	// Upper says if the source is the upper folder of an overlay, with only
	// the changes in it, or a complete folder. nil is to look for whiteouts
	// and the like.
	Upper *bool
	// Root says if the overlay's lower folder was the root of the image, so
	// that the changes lie below the image's prefix, or its data. nil is the
	// data, unless the upper folder looks like that of a root.
	Root *bool
}

// Commit makes a new version of an image, opts.Parent or the newest of the
// same name in the local store, from a changed copy of its data, or from the
// changes alone: the upper folder of an overlay file system whose lower folder
// is the data. Of the parent no more is read than its catalog, and the packs
// that are due to be compacted.
func Commit(ctx context.Context, src string, opts CommitOptions) (*BuildResult, error) {
	parent, err := openCommitted(ctx, &opts)
	if err != nil {
		return nil, err
	}
	b := &build{opts: opts.BuildOptions, src: src, parent: parent}
	b.inherit()
	upper, err := b.isUpper(ctx, opts)
	if err == nil {
		err = b.useParentSet(ctx)
	}
	if err == nil && upper {
		// What is remembered of a folder is for complete ones.
		b.overlay, b.opts.Cache = newOverlay(), ""
		b.extraction.record = parent.Catalog().Dataset().Extract
		b.src, err = b.upperData(ctx, opts.Root)
	}
	if err != nil {
		return nil, errors.Join(err, b.extraction.close(), parent.Close())
	}
	result, err := b.start(ctx)
	if err != nil {
		return nil, err
	}
	if below, err := filepath.Rel(src, b.src); err == nil && below != "." {
		for i := range result.Skipped {
			result.Skipped[i].Path = path.Join(filepath.ToSlash(below), result.Skipped[i].Path)
		}
	}
	return result, nil
}

// openCommitted opens the parent.
func openCommitted(ctx context.Context, opts *CommitOptions) (*Container, error) {
	ref := opts.Parent
	if ref == "" {
		name, _, err := store.ParseName(opts.Name)
		if err != nil {
			return nil, err
		}
		local, err := store.OpenLocal(opts.Store)
		if err != nil {
			return nil, err
		}
		desc, err := local.Latest(ctx, name)
		if errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("commit: the local store has no earlier version of %q; give --parent IMAGE: %w", name, err)
		}
		if err != nil {
			return nil, err
		}
		ref = name + "@" + desc.Digest.String()
	}
	c, err := Open(ctx, ref, opts.Places)
	if err != nil {
		return nil, fmt.Errorf("open parent: %w", err)
	}
	return c, nil
}

// inherit takes from the parent what the new version has in common with it.
func (b *build) inherit() {
	o, ds := &b.opts, b.parent.Catalog().Dataset()
	o.Prefix, o.Preserve, o.NoText = ds.Prefix, ds.Preserved, !b.parent.Catalog().HasText()
	_, o.Volume = b.parent.Image.Config.Volumes[ds.Prefix]
	for _, l := range slices.Backward(b.parent.Image.Layers) {
		if kind, err := pack.CompressionOf(l.MediaType); err == nil && l.Role == image.RoleData && o.Compression == "" {
			o.Compression = kind
		}
	}
}

// isUpper says if the source holds only changes.
func (b *build) isUpper(ctx context.Context, opts CommitOptions) (bool, error) {
	fi, err := os.Stat(b.src)
	if err != nil {
		return false, fmt.Errorf("commit: %w", err)
	}
	switch {
	case !fi.IsDir():
		return false, fmt.Errorf("commit %q: it is not a folder", b.src)
	case opts.Upper != nil:
		return *opts.Upper, nil
	case opts.Root != nil:
		return true, nil
	}
	return scan.IsOverlay(ctx, b.src)
}

// upperData returns the folder with the changes of the data in an upper
// folder: that itself, or below the prefix if the image's root was overlaid.
func (b *build) upperData(ctx context.Context, isRoot *bool) (string, error) {
	prefix := strings.Trim(b.opts.Prefix, "/")
	if prefix == "" || isRoot != nil && !*isRoot {
		return b.src, nil
	}
	if isRoot == nil {
		if like, err := b.looksLikeRoot(ctx, prefix); err != nil || !like {
			return b.src, err
		}
		return "", fmt.Errorf("commit %q: all that is in it is the folder %s: give --root if the root of the image was the overlay's lower folder, or --root=false if it was the data",
			b.src, strings.Split(prefix, "/")[0])
	}
	dir := b.src
	for elem := range strings.SplitSeq(prefix, "/") {
		opaque, err := scan.IsOpaque(dir)
		if err != nil {
			return "", fmt.Errorf("commit %q: %w", b.src, err)
		}
		if opaque {
			b.overlay.covers = []cover{{"", coverContent}}
		}
		dir = filepath.Join(dir, elem)
		fi, err := os.Lstat(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("commit %q: nothing in it is below %s, where the data of the image lies", b.src, b.opts.Prefix)
		}
		if err != nil {
			return "", fmt.Errorf("commit %q: %w", b.src, err)
		}
		if !fi.IsDir() {
			return "", fmt.Errorf("commit %q: the changes take away %s, where the data of the image lies", b.src, b.opts.Prefix)
		}
	}
	return dir, nil
}

// looksLikeRoot says if the first folder of the prefix is all there is in the
// upper folder, and the data has none of that name.
func (b *build) looksLikeRoot(ctx context.Context, prefix string) (bool, error) {
	entries, err := os.ReadDir(b.src)
	if err != nil {
		return false, fmt.Errorf("commit: %w", err)
	}
	first := strings.Split(prefix, "/")[0]
	if len(entries) != 1 || entries[0].Name() != first || !entries[0].IsDir() {
		return false, nil
	}
	e, err := b.parent.Catalog().Lookup(ctx, first)
	return e == nil, err
}
