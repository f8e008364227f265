package cdb

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/tree"
)

// layer writes a layer of a few entries of our own.
func (b *build) layer(ctx context.Context, role image.Role, opts pack.WriterOptions, fill func(*pack.Writer) error) (image.Layer, error) {
	up, err := b.target.Create(ctx)
	if err != nil {
		return image.Layer{}, err
	}
	defer up.Abort()
	opts.Workers = b.opts.Workers
	w, err := pack.NewWriter(ctx, up, opts)
	if err != nil {
		return image.Layer{}, err
	}
	defer w.Abort()
	if err := fill(w); err != nil {
		return image.Layer{}, err
	}
	info, err := w.Close()
	if err != nil {
		return image.Layer{}, err
	}
	return image.NewLayer(info, role), up.Commit(ctx, info.Digest, info.Size)
}

// hidden returns the compression of the layers that are not data: those are
// never plain, as a frame table has no place in a plain tar.
func (b *build) hidden() pack.Compression {
	if b.opts.Compression == pack.None {
		return pack.Gzip
	}
	return b.opts.Compression
}

// entrypointLayer writes the layer with the entrypoint for arch. It holds
// nothing of the dataset, so all images of a release share it.
func (b *build) entrypointLayer(ctx context.Context, arch string) (image.Layer, error) {
	program, err := b.opts.Entrypoint(arch)
	if err != nil {
		return image.Layer{}, fmt.Errorf("build for %s: %w", arch, err)
	}
	return b.layer(ctx, image.RoleEntrypoint, pack.WriterOptions{Compression: b.hidden()}, func(w *pack.Writer) error {
		e := tree.Entry{Type: tree.File, Mode: 0o755, Size: int64(len(program)), ModTime: time.Unix(0, 0)}
		if err := w.Header(image.EntrypointPath, &e); err != nil {
			return err
		}
		_, err := w.Write(program)
		return err
	})
}

// pageAlign is where in the tar stream of the catalog layer the catalog
// begins, so that no page of it lies in two frames.
const pageAlign = 4096

// catalogLayer writes a layer with the catalog, or a delta, of size bytes.
func (b *build) catalogLayer(ctx context.Context, name string, size int64, date time.Time, write func(io.Writer) error) (image.Layer, error) {
	opts := pack.WriterOptions{Compression: b.hidden(), FrameSize: pack.CatalogFrameSize}
	return b.layer(ctx, image.RoleCatalog, opts, func(w *pack.Writer) error {
		dir := tree.Entry{Type: tree.Dir, Mode: 0o755, ModTime: date}
		if err := w.Header(image.CatalogDir, &dir); err != nil {
			return err
		}
		file := tree.Entry{Type: tree.File, Mode: 0o644, Size: size, ModTime: date}
		if err := w.AlignedHeader(name, &file, pageAlign); err != nil {
			return err
		}
		return write(w)
	})
}

// findInTar returns where the bytes of a regular file lie in a tar stream.
func findInTar(r io.ReaderAt, size int64, name string) (offset, length int64, err error) {
	// The tar reader takes whole blocks and nothing ahead, so the section's
	// position is where the file's bytes begin.
	section := io.NewSectionReader(r, 0, size)
	tr := tar.NewReader(section)
	for range 1000 {
		h, err := tr.Next()
		if err != nil {
			return 0, 0, fmt.Errorf("find %s: %w", name, err)
		}
		if strings.TrimPrefix(h.Name, "./") != name || h.Typeflag != tar.TypeReg {
			continue
		}
		offset, err := section.Seek(0, io.SeekCurrent)
		if err != nil {
			return 0, 0, err
		}
		if h.Size < 0 || h.Size > size-offset {
			return 0, 0, fmt.Errorf("find %s: it ends outside its layer", name)
		}
		return offset, h.Size, nil
	}
	return 0, 0, fmt.Errorf("find %s: not in its layer", name)
}
