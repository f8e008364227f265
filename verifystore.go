package cdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/store"
)

// A StoreResult says what [VerifyStore] looked at.
type StoreResult struct {
	Images int   // different ones, whatever their names
	Blobs  int   // that are there
	Bytes  int64 // in them
	// Unneeded are blobs that belong to no image, and Unfinished uploads that
	// were never completed: what builds left that were interrupted, or images
	// that were removed. Nothing is wrong with that.
	Unneeded, Unfinished int
}

// An inventoried store is a Source that can say what it holds.
type inventoried interface {
	store.Source
	Inventory(ctx context.Context) (*store.Inventory, error)
}

// A storeCheck is one run of VerifyStore.
type storeCheck struct {
	source inventoried
	places Places
	opts   VerifyOptions
	images []*storedImage
	needed map[digest.Digest][]string // by the names of images
	tables sync.Map                   // frame tables of blobs, by digest: *blobTable
}

// A storedImage is an image of a store, with all its names.
type storedImage struct {
	root  ocispec.Descriptor
	name  string
	whole bool // all its blobs are there
}

// HoldsSeveral says if ref, an IMAGE of a command line, names an OCI layout as
// a whole, and that holds more than one image.
func HoldsSeveral(ctx context.Context, ref string, places Places) (bool, error) {
	r, err := store.ParseRef(ref)
	if err != nil || r.Transport != store.TransportOCI || r.Name != "" || r.Tag != "" || r.Digest != "" {
		return false, err
	}
	source, err := openInventoried(ctx, ref, places)
	if err != nil {
		return false, err
	}
	defer source.Close()
	inv, err := source.Inventory(ctx)
	if err != nil {
		return false, err
	}
	return len(distinct(inv.Images)) > 1, nil
}

// VerifyStore checks all of the OCI layout ref, such as oci:DIR, or of the
// local store if that is "": every blob against its digest, every image for
// being complete, its catalog against its packs, and what else lies there. It
// does not unpack: that is what the verification of one image does. Each
// finding goes to opts.Report. Builds may run meanwhile.
func VerifyStore(ctx context.Context, ref string, places Places, opts VerifyOptions) (*StoreResult, error) {
	opts.check()
	source, err := openInventoried(ctx, ref, places)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	if local, ok := source.(*store.Local); ok {
		hold, err := local.Hold(ctx)
		if err != nil {
			return nil, err
		}
		defer hold.Close()
	}
	inv, err := source.Inventory(ctx)
	if err != nil {
		return nil, err
	}
	v := &storeCheck{source: source, places: places, opts: opts, images: distinct(inv.Images), needed: map[digest.Digest][]string{}}
	for _, step := range []func(context.Context, *store.Inventory) error{v.files, v.complete, v.blobs, v.catalogs} {
		if err := step(ctx, inv); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, err
		}
	}
	return v.result(inv), nil
}

func openInventoried(ctx context.Context, ref string, places Places) (inventoried, error) {
	r := store.Ref{Transport: store.TransportStore}
	if ref != "" {
		var err error
		if r, err = store.ParseRef(ref); err != nil {
			return nil, err
		}
	}
	source, _, err := places.config().OpenSource(ctx, r)
	if err != nil {
		return nil, err
	}
	if s, ok := source.(inventoried); ok {
		return s, nil
	}
	return nil, errors.Join(fmt.Errorf("verify %s: only the local store and OCI layouts (oci:DIR) can be checked as a whole", ref), source.Close())
}

// distinct returns the images that entries of an index.json stand for, in
// their order.
func distinct(entries []ocispec.Descriptor) []*storedImage {
	var images []*storedImage
	seen := map[digest.Digest]*storedImage{}
	for _, e := range entries {
		if img := seen[e.Digest]; img != nil {
			img.name += "," + store.Name(e)
			continue
		}
		img := &storedImage{root: e, name: store.Name(e)}
		seen[e.Digest] = img
		images = append(images, img)
	}
	return images
}

func (v *storeCheck) result(inv *store.Inventory) *StoreResult {
	res := &StoreResult{Images: len(v.images), Blobs: len(inv.Blobs), Unfinished: len(inv.Unfinished)}
	for _, b := range inv.Blobs {
		res.Bytes += b.Size
		if len(v.needed[b.Digest]) == 0 {
			res.Unneeded++
		}
	}
	return res
}

// files reports what does not belong into a store, and what it lacks.
func (v *storeCheck) files(_ context.Context, inv *store.Inventory) error {
	for _, name := range inv.Missing {
		if err := v.opts.Report(Finding{"missing", name, errors.New("every OCI layout has one")}); err != nil {
			return err
		}
	}
	for _, name := range inv.Stray {
		if err := v.opts.Report(Finding{"extra", name, errors.New("it does not belong into the store")}); err != nil {
			return err
		}
	}
	return nil
}

// complete looks if all that images name is there, and has the right length.
func (v *storeCheck) complete(ctx context.Context, _ *store.Inventory) error {
	v.opts.Progress.setPhase("verify images")
	// What several images lack is one finding.
	var order []digest.Digest
	found := map[digest.Digest]store.Problem{}
	for _, img := range v.images {
		problems, err := store.Check(ctx, v.source, img.root, func(desc ocispec.Descriptor) {
			v.needed[desc.Digest] = append(v.needed[desc.Digest], img.name)
		})
		if err != nil {
			return err
		}
		img.whole = len(problems) == 0
		for _, p := range problems {
			if _, ok := found[p.Desc.Digest]; !ok {
				order = append(order, p.Desc.Digest)
				found[p.Desc.Digest] = p
			}
		}
	}
	for _, d := range order {
		kind := "mismatch"
		if errors.Is(found[d].Err, store.ErrNotFound) {
			kind = "missing"
		}
		if err := v.opts.Report(Finding{kind, d.String(), fmt.Errorf("%s: %w", v.users(d), found[d].Err)}); err != nil {
			return err
		}
	}
	return nil
}

// users says for people which images need a blob.
func (v *storeCheck) users(d digest.Digest) string {
	const most = 5
	names := v.needed[d]
	switch n := len(names); {
	case n == 0:
		return "of no image"
	case n > most:
		return fmt.Sprintf("of %s and %d more", strings.Join(names[:most], ", "), n-most)
	}
	return "of " + strings.Join(names, ", ")
}

// blobs reads every blob, needed or not: builds reuse what they find.
func (v *storeCheck) blobs(ctx context.Context, inv *store.Inventory) error {
	v.opts.Progress.setPhase("verify blobs")
	size := int64(0)
	for _, b := range inv.Blobs {
		size += b.Size
	}
	v.opts.Progress.setTotal(0, size)
	return inOrder(ctx, v.opts, func(yield func(func() *Finding) bool) error {
		for _, desc := range inv.Blobs {
			if !yield(func() *Finding { return v.blob(ctx, desc) }) {
				break
			}
		}
		return nil
	})
}

// blob reads one blob.
func (v *storeCheck) blob(ctx context.Context, desc ocispec.Descriptor) *Finding {
	bad := func(kind string, err error) *Finding {
		return &Finding{kind, desc.Digest.String(), fmt.Errorf("%s: %w", v.users(desc.Digest), err)}
	}
	b, err := v.source.Open(ctx, ocispec.Descriptor{Digest: desc.Digest})
	if errors.Is(err, store.ErrNotFound) && len(v.needed[desc.Digest]) == 0 {
		return nil // somebody removed it since
	}
	if err != nil {
		return bad("unreadable", err)
	}
	defer b.Close()
	sum := desc.Digest.Verifier()
	to := io.MultiWriter(sum, (*byteCounter)(v.opts.Progress))
	if _, err := io.Copy(to, &contextReader{ctx, io.NewSectionReader(b, 0, b.Size())}); err != nil {
		return bad("unreadable", err)
	}
	if !sum.Verified() {
		return bad("mismatch", errors.New("its digest does not match"))
	}
	return nil
}

// catalogs compares the catalogs of complete images with their packs, several
// at once, and reports in the order of images.
func (v *storeCheck) catalogs(ctx context.Context, _ *store.Inventory) error {
	v.opts.Progress.setPhase("verify catalogs")
	v.opts.Progress.setTotal(0, 0)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make([]chan []Finding, len(v.images))
	for i := range results {
		results[i] = make(chan []Finding, 1)
	}
	reported := make(chan error, 1)
	go func() { reported <- v.reportAll(ctx, cancel, results) }()
	var g errgroup.Group
	g.SetLimit(v.opts.Workers)
	for i, img := range v.images {
		g.Go(func() error {
			results[i] <- v.catalog(ctx, img)
			return nil
		})
	}
	// The checks cannot fail: what they meet are findings.
	_ = g.Wait()
	return <-reported
}

// reportAll reports findings as they come. After an error nobody needs more.
func (v *storeCheck) reportAll(ctx context.Context, cancel func(), results []chan []Finding) error {
	defer cancel()
	for _, r := range results {
		findings := <-r
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, f := range findings {
			if err := v.opts.Report(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// catalog checks one image. Images of others have no catalog.
func (v *storeCheck) catalog(ctx context.Context, img *storedImage) []Finding {
	if !img.whole || ctx.Err() != nil {
		return nil
	}
	c := newContainer(ctx, img.name, v.places, v.source, cacheSize/int64(v.opts.Workers))
	defer c.Close()
	err := c.open(ctx, img.root.Digest.String())
	switch {
	case errors.Is(err, image.ErrNoDataContainer):
		return nil
	case err != nil:
		return []Finding{{"unreadable", img.name, err}}
	}
	check := &catalogCheck{Container: c, store: v}
	if err := check.run(ctx); err != nil {
		check.add("unreadable", "", err)
	}
	return check.findings
}

// A blobTable is the frame table that a blob has of its own.
type blobTable struct {
	once  sync.Once
	table *pack.Table
	err   error
}

// table returns the frame table of a layer, which images share.
func (v *storeCheck) table(ctx context.Context, l *image.Layer, frameSize int64) (*pack.Table, error) {
	found, _ := v.tables.LoadOrStore(l.Digest, &blobTable{})
	t := found.(*blobTable)
	t.once.Do(func() { t.table, t.err = v.readTable(ctx, l, frameSize) })
	return t.table, t.err
}

// readTable reads the table at the end of a blob. One that is not compressed
// has none, so it is made of what the blob holds.
func (v *storeCheck) readTable(ctx context.Context, l *image.Layer, frameSize int64) (*pack.Table, error) {
	kind, err := pack.CompressionOf(l.MediaType)
	if err != nil {
		return nil, err
	}
	blob, err := v.source.Open(ctx, l.Descriptor)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	if kind == pack.None {
		return plainTable(ctx, blob, frameSize)
	}
	loc, err := pack.Locate(blob, blob.Size(), kind)
	if err != nil {
		return nil, err
	}
	return pack.ReadTable(blob, loc, kind)
}
