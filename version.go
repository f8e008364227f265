package cdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/store"
	"github.com/data-containers/cdb/internal/tree"
)

// openParent opens the image that the build makes a new version of: the one
// that was asked for, or the newest with the same name in the local store, or
// the one that is in the registry where the build does not use the store.
func (b *build) openParent(ctx context.Context, name string) error {
	ref := b.opts.Parent
	if ref == "" {
		if b.opts.NoParent || b.opts.Output != "" {
			return nil
		}
		if b.opts.NoStore {
			var err error
			if ref, err = b.newestPushed(ctx, name); err != nil || ref == "" {
				return err
			}
		} else {
			local, err := store.OpenLocal(b.opts.Store)
			if err != nil {
				return err
			}
			desc, err := local.Latest(ctx, name)
			if errors.Is(err, store.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			ref = name + "@" + desc.Digest.String()
		}
	}
	c, err := Open(ctx, ref, b.opts.Places)
	if b.opts.Parent == "" && errors.Is(err, image.ErrNoDataContainer) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open parent: %w", err)
	}
	ds := c.Catalog().Dataset()
	switch {
	case b.opts.Parent == "" && !b.sameCompression(c.Image):
		return c.Close()
	case ds.Prefix == b.opts.Prefix && ds.Preserved == b.opts.Preserve && c.Catalog().HasText() == !b.opts.NoText:
		b.parent = c
		return nil
	case b.opts.Parent == "":
		return c.Close()
	}
	c.Close()
	return fmt.Errorf("build on %s: it has the prefix %s, preserved=%t, text=%t; build with the same or with --no-parent",
		ref, ds.Prefix, ds.Preserved, c.Catalog().HasText())
}

// newestPushed returns the image of the registry that has the name of the
// build, or else the newest of its repository, "" if there is none.
func (b *build) newestPushed(ctx context.Context, name string) (string, error) {
	found, err := Search(ctx, "", SearchOptions{Places: b.opts.Places, Repositories: []string{name}, AllTags: true})
	if err != nil {
		return "", fmt.Errorf("look for a parent: %w", err)
	}
	var newest *Found
	for i := range found {
		f := &found[i]
		if f.Ref == b.opts.Name || f.Ref == b.opts.Name+":latest" {
			newest = f
			break
		}
		if newest == nil || f.Created.After(newest.Created) {
			newest = f
		}
	}
	if newest == nil {
		return "", nil
	}
	return "docker://" + name + "@" + newest.Digest, nil
}

// sameCompression says if the newest pack of an image is compressed as those
// of the build would be. A mix is well-formed, but not what was asked for.
func (b *build) sameCompression(img *image.Image) bool {
	for _, l := range slices.Backward(img.Layers) {
		if l.Role == image.RoleData {
			return l.MediaType == b.opts.Compression.MediaType()
		}
	}
	return true
}

// beginCatalog begins the catalog: a copy of the parent's, or a new one.
func (b *build) beginCatalog(ctx context.Context) (*catalog.Writer, error) {
	path := filepath.Join(b.temp, "catalog.db")
	if b.parent != nil {
		return catalog.Update(ctx, path, b.parent.Catalog())
	}
	return catalog.Create(path, catalog.WriterOptions{
		Prefix: b.opts.Prefix, Preserved: b.opts.Preserve, Text: !b.opts.NoText,
	})
}

// isUnchanged says if the listing is what the last build of this source saw,
// to the last stamp, and that build made the parent, with the same words
// about the dataset. Then nothing needs to be read, not even the catalog.
func (b *build) isUnchanged(listing *scan.Listing, snapshot *scan.Snapshot) (bool, error) {
	if b.parent == nil || snapshot == nil || snapshot.Note() != b.parent.Image.Root.Digest.String() || len(listing.Skipped()) > 0 {
		return false, nil
	}
	if !b.sameWords(b.dataset(b.newest)) || !b.sameProgram() {
		return false, nil
	}
	cursor := snapshot.Cursor()
	n := int64(0)
	for st, err := range listing.States() {
		if err != nil {
			return false, err
		}
		n++
		r := cursor.Lookup(&st.Entry)
		if r == nil || !sameAttributes(&r.Entry, &st.Entry, b.opts.Preserve) {
			return false, nil
		}
		if st.Type == tree.File && st.Link == "" && !r.Trusts(&st.Entry, st.Stat) {
			return false, nil
		}
	}
	return n == snapshot.Len() && cursor.Err() == nil, nil
}

// isParent says if the image is the parent again, now that all is read.
func (b *build) isParent(cat *catalog.Writer) bool {
	return b.parent != nil && !cat.Dirty() && b.sameWords(b.dataset(b.newest)) && b.sameProgram()
}

// sameWords says if the parent says the same of the dataset as a whole.
func (b *build) sameWords(ds catalog.Dataset) bool {
	old := b.parent.Catalog().Dataset()
	return old.SameWords(&ds) && old.Created.Equal(ds.Created) && old.Generator == ds.Generator && old.Extract == ds.Extract && maps.Equal(old.Labels, ds.Labels) &&
		maps.Equal(old.Queries, ds.Queries)
}

// sameProgram says if the parent has the architectures, the entrypoints, the
// user and the volumes that the build would give it.
func (b *build) sameProgram() bool {
	have := map[string]bool{}
	for _, p := range b.parent.Image.Platforms {
		have[p.Architecture] = true
	}
	for _, arch := range b.opts.Arch {
		if !have[arch] {
			return false
		}
	}
	_, volume := b.parent.Image.Config.Volumes[b.opts.Prefix]
	return len(have) == len(b.opts.Arch) && volume == b.opts.Volume
}

// keepParent publishes the parent under the new name.
func (b *build) keepParent(ctx context.Context) (*BuildResult, error) {
	root := b.parent.Image.Root
	copied, err := store.Copy(ctx, b.parent.source, root, b.target, store.CopyOptions{})
	if err != nil {
		return nil, err
	}
	result := &BuildResult{
		Digest: root.Digest.String(), Dataset: b.parent.Catalog().Dataset(), Skipped: b.skipped, DatasetWarnings: b.warned, Unchanged: true, Parent: root.Digest.String(),
	}
	for _, l := range b.parent.Image.Layers {
		if l.Role == image.RoleData {
			result.Packs++
		}
	}
	blobs, err := image.Blobs(ctx, b.parent.document, root)
	if err != nil {
		return nil, err
	}
	for _, blob := range blobs {
		if _, err := pack.CompressionOf(blob.MediaType); err == nil { // a layer
			result.Size += blob.Size
		}
	}
	if result.Warned, err = warned(ctx, b.parent.Catalog()); err != nil {
		return nil, err
	}
	result.Ref = copied.Ref
	return result, nil
}

// versionLayers makes the layers of a new version: those of the parent that
// stay, in their places, what compaction made of others, and the new packs on
// top.
func (b *build) versionLayers(ctx context.Context, cat *catalog.Writer, packs []catalog.Pack, fresh []packLayer) ([]image.Layer, error) {
	top, err := b.whiteoutPack(ctx, cat, fresh)
	if err != nil {
		return nil, err
	}
	replaced, err := b.compact(ctx, cat, packs, len(top))
	if err != nil {
		return nil, err
	}
	var layers []image.Layer
	for _, l := range b.parent.Image.Layers[1:] {
		if l.Role == image.RoleData {
			// Packs are in the order of layers. Their digests do not tell
			// them apart: the same whiteouts may come again.
			if len(packs) == 0 || packs[0].DiffID != l.DiffID.String() {
				return nil, fmt.Errorf("%w: layer %s is not the next pack of the catalog", catalog.ErrFormat, l.Digest)
			}
			id := packs[0].ID
			packs = packs[1:]
			if by, moved := replaced[id]; moved {
				for _, p := range by {
					layers = append(layers, p.Layer)
				}
				continue
			}
		}
		if err := store.CopyBlob(ctx, b.parent.source, b.target, l.Descriptor, nil); err != nil {
			return nil, err
		}
		layers = append(layers, l)
	}
	for _, p := range top {
		layers = append(layers, p.Layer)
	}
	return layers, nil
}

// whiteoutPack writes the pack that hides what was removed. It lies below the
// other new packs and holds nothing else, so that what came in the place of
// something else is not hidden.
func (b *build) whiteoutPack(ctx context.Context, cat *catalog.Writer, fresh []packLayer) ([]packLayer, error) {
	w := &packWriter{ctx: ctx, opts: &b.opts, target: b.target, id: b.whites}
	defer w.abort()
	var failed error
	err := b.whiteouts(ctx, w, cat, func(yield func(string) bool) {
		for path, err := range cat.Whiteouts(b.whites, b.whites) {
			if err != nil {
				failed = err
				return
			}
			if !yield(path) {
				return
			}
		}
	})
	return append(w.layers, fresh...), errors.Join(err, failed)
}

// whiteouts packs whiteouts, and ends the pack.
func (b *build) whiteouts(ctx context.Context, w *packWriter, cat *catalog.Writer, paths iter.Seq[string]) error {
	for path := range paths {
		dir, err := cat.Find(tree.Parent(path), tree.Dir)
		if err != nil {
			return err
		}
		if dir == nil {
			continue // hidden with its folder
		}
		if err := b.enter(w, cat, path); err != nil {
			return err
		}
		mark := tree.Entry{Type: tree.File, Mode: 0o644, ModTime: time.Unix(0, 0)}
		mark.Path = whiteoutPrefix + tree.Base(path)
		if dir.Path != "" {
			mark.Path = dir.Path + "/" + mark.Path
		}
		if err := w.header(ctx, &catalog.Entry{Entry: mark}); err != nil {
			return err
		}
	}
	return b.endPack(ctx, w, cat)
}

// endPack ends the current pack of w and records it.
func (b *build) endPack(ctx context.Context, w *packWriter, cat *catalog.Writer) error {
	done, err := w.close(ctx)
	if err != nil || done == nil {
		return err
	}
	return cat.AddPack(done)
}

// catalogLayers returns layers with those of the new catalog: a delta on that
// of the parent, unless it would not be much smaller.
func (b *build) catalogLayers(ctx context.Context, layers []image.Layer, ds *catalog.Dataset) ([]image.Layer, error) {
	path := filepath.Join(b.temp, "catalog.db")
	if b.parent != nil {
		deltas := len(b.parent.Image.Catalog())
		delta, err := catalog.NewDelta(ctx, b.parent.Catalog(), path)
		if err != nil {
			return nil, err
		}
		fi, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if deltas < catalog.MaxDeltas && b.parent.deltaSize+delta.Size() <= fi.Size()/2 {
			l, err := b.catalogLayer(ctx, catalog.DeltaName(image.CatalogPath, deltas), delta.Size(), ds.Created, delta.Write)
			return append(layers, l), err
		}
		layers = slices.DeleteFunc(layers, func(l image.Layer) bool { return l.Role == image.RoleCatalog })
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	l, err := b.catalogLayer(ctx, image.CatalogPath, fi.Size(), ds.Created, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		return err
	})
	return append(layers, l), err
}
