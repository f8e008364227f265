package cdb

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/data-containers/cdb/internal/extract"
	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/store"
	"github.com/data-containers/cdb/internal/unpack"
)

// image returns the files of an image: of a data container the data, which it
// also describes, of any other image all that its layers make.
func (u *unpacking) image(ctx context.Context, ref string) (scan.Mount, error) {
	u.opts.Progress.restart("unpack")
	c, err := Open(ctx, ref, u.opts.Places)
	if errors.Is(err, image.ErrNoDataContainer) {
		return u.anyImage(ctx, ref)
	}
	if err != nil {
		return scan.Mount{}, err
	}
	kept, err := hasOwn(ctx, c.Catalog())
	if err != nil || !kept {
		defer c.Close()
	} else {
		u.sources.kept = append(u.sources.kept, &keptMeta{c, u.src.To, u.src.Folder, extract.Own()})
	}
	if err != nil {
		return scan.Mount{}, err
	}
	if u.sources.words == nil {
		words := *c.Catalog().Dataset()
		words.Version = "" // what is built from it has its own
		u.sources.words = &words
	}
	_, err = c.Export(ctx, u.dir, ExportOptions{
		Owners: u.opts.Preserve && os.Geteuid() == 0, Workers: u.opts.Workers,
	})
	if err != nil {
		return scan.Mount{}, err
	}
	return u.unpacked()
}

// anyImage unpacks the layers of an image, one on top of the other.
func (u *unpacking) anyImage(ctx context.Context, ref string) (scan.Mount, error) {
	r, err := store.ParseRef(ref)
	if err != nil {
		return scan.Mount{}, err
	}
	source, name, err := u.opts.config().OpenSource(ctx, r)
	if err != nil {
		return scan.Mount{}, err
	}
	defer source.Close()
	root, err := source.Resolve(ctx, name)
	if err != nil {
		return scan.Mount{}, err
	}
	fetch := func(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
		return readDocument(ctx, source, desc)
	}
	img, err := image.ParseAny(ctx, fetch, root, runtime.GOARCH)
	if err != nil {
		return scan.Mount{}, err
	}
	return u.unpack(func(to *unpack.Folder) error {
		for i := range img.Layers {
			if err := unpackLayer(ctx, source, &img.Layers[i], to); err != nil {
				return fmt.Errorf("layer %s: %w", img.Layers[i].Digest, err)
			}
		}
		return nil
	})
}

// unpackLayer applies a layer, whose content must have its diffID.
func unpackLayer(ctx context.Context, source store.Source, l *image.Layer, to *unpack.Folder) error {
	if err := l.DiffID.Validate(); err != nil || l.DiffID.Algorithm() != digest.SHA256 {
		return fmt.Errorf("diffID %q: must be one of SHA-256", l.DiffID)
	}
	kind, err := pack.CompressionOf(l.MediaType)
	if err != nil {
		return err
	}
	blob, err := source.Open(ctx, l.Descriptor)
	if err != nil {
		return err
	}
	defer blob.Close()
	raw, err := store.Reader(ctx, blob)
	if err != nil {
		return err
	}
	defer raw.Close()
	stream, err := pack.Decompress(raw, kind)
	if err != nil {
		return err
	}
	defer stream.Close()
	sum := sha256.New()
	if err := to.Layer(ctx, io.TeeReader(stream, sum)); err != nil {
		return err
	}
	if got := digest.NewDigest(digest.SHA256, sum); got != l.DiffID {
		return fmt.Errorf("%w: its content is %s instead of %s", pack.ErrCorrupt, got, l.DiffID)
	}
	return nil
}
