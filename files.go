package cdb

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"iter"
	"strings"
	"time"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/tree"
)

// Files are the files of a container, read where the image lies. Paths are
// relative to the root of the data and may hold any bytes; "" is the root.
type Files struct {
	ctx context.Context // of Open, which has the form of fs.FS
	c   *Container
}

// Files returns the files of the container. ctx is that of all reads.
func (c *Container) Files(ctx context.Context) *Files { return &Files{ctx, c} }

// Open opens the entry with this path. A link is not followed. Files can
// seek and read at any offset.
func (f *Files) Open(path string) (fs.File, error) {
	if path == "." {
		path = ""
	}
	e, err := f.c.db.Lookup(f.ctx, path)
	if err == nil && e == nil {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if e.Type != tree.File {
		return &plainFile{e, f}, nil
	}
	r, err := f.c.open1(f.ctx, e, false)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &dataFile{r, e}, nil
}

// open1 returns the bytes of a regular file. through says that they will be
// read from the first to the last.
func (c *Container) open1(ctx context.Context, e *catalog.Entry, through bool) (*io.SectionReader, error) {
	if e.Size == 0 {
		return io.NewSectionReader(strings.NewReader(""), 0, 0), nil
	}
	p, err := c.pack(ctx, e.Pack)
	if err != nil {
		return nil, err
	}
	return section(p, e.Offset, e.Size, through), nil
}

// Content returns the bytes of a regular file from its first to its last, and
// fails at the end if they are not those of its digest.
func (c *Container) Content(ctx context.Context, e *catalog.Entry) (io.ReadCloser, error) {
	r, err := c.open1(ctx, e, true)
	if err != nil {
		return nil, err
	}
	return &checkedReader{ctx: ctx, r: r, sum: sha256.New(), want: e.SHA256, path: e.Path, left: e.Size}, nil
}

// A checkedReader compares the digest of what it reads when it is at the end.
type checkedReader struct {
	ctx  context.Context
	r    io.Reader
	sum  hash.Hash
	want [sha256.Size]byte
	path string
	left int64
}

func (r *checkedReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	r.sum.Write(p[:n])
	r.left -= int64(n)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	if r.left != 0 || [sha256.Size]byte(r.sum.Sum(nil)) != r.want {
		return n, fmt.Errorf("read %q: %w: its digest does not match", r.path, pack.ErrCorrupt)
	}
	return n, err
}

func (r *checkedReader) Close() error { return nil }

// A dataFile is an open regular file.
type dataFile struct {
	*io.SectionReader
	e *catalog.Entry
}

func (f *dataFile) Stat() (fs.FileInfo, error) { return entryInfo{f.e}, nil }
func (f *dataFile) Close() error               { return nil }

// A plainFile is an open folder or link.
type plainFile struct {
	e *catalog.Entry
	f *Files
}

func (f *plainFile) Stat() (fs.FileInfo, error) { return entryInfo{f.e}, nil }
func (f *plainFile) Close() error               { return nil }

func (f *plainFile) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: f.e.Path, Err: fmt.Errorf("is a %s", f.e.Type)}
}

// entryInfo is an entry as an fs.FileInfo.
type entryInfo struct{ e *catalog.Entry }

func (i entryInfo) Name() string       { return tree.Base(i.e.Path) }
func (i entryInfo) Size() int64        { return i.e.Size }
func (i entryInfo) Mode() fs.FileMode  { return i.e.FileMode() }
func (i entryInfo) ModTime() time.Time { return i.e.ModTime }
func (i entryInfo) IsDir() bool        { return i.e.Type == tree.Dir }
func (i entryInfo) Sys() any           { return i.e }

// walkLayer yields the entries of a layer that lie in the data folder.
func (f *Files) walkLayer(ctx context.Context, l *image.Layer) iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		fail := func(err error) { yield(nil, fmt.Errorf("read layer %s: %w", l.Digest, err)) }
		stream, size, err := f.c.layerStream(ctx, l)
		if err != nil {
			fail(err)
			return
		}
		prefix := strings.Trim(f.c.db.Dataset().Prefix, "/")
		tr := tar.NewReader(section(stream, 0, size, true))
		for {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				fail(err)
				return
			}
			e, err := entryOf(h, prefix)
			if err != nil {
				fail(err)
				return
			}
			if e == nil {
				continue
			}
			if err := f.linkSize(ctx, e); err != nil {
				fail(err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// linkSize completes a hard link, of which the tar says only the target, with
// the size that the target has.
func (f *Files) linkSize(ctx context.Context, e *tree.Entry) error {
	if e.Type != tree.File || e.Link == "" {
		return nil
	}
	target, err := f.c.db.Lookup(ctx, e.Link)
	if target != nil {
		e.Size = target.Size
	}
	return err
}

// layerStream returns the tar stream of a data layer.
func (c *Container) layerStream(ctx context.Context, l *image.Layer) (io.ReaderAt, int64, error) {
	packs, err := c.db.Packs(ctx)
	if err != nil {
		return nil, 0, err
	}
	for i := range packs {
		if packs[i].DiffID == l.DiffID.String() {
			r, err := c.pack(ctx, packs[i].ID)
			return r, packs[i].TarSize, err
		}
	}
	return c.openLayer(ctx, l)
}

// entryOf returns the entry of a tar header, or nil if it lies outside of the
// folder prefix.
func entryOf(h *tar.Header, prefix string) (*tree.Entry, error) {
	name := strings.TrimSuffix(strings.TrimPrefix(h.Name, "./"), "/")
	below := func(name string) (string, bool) {
		switch {
		case prefix == "":
			return name, true
		case name == prefix:
			return "", true
		}
		return strings.CutPrefix(name, prefix+"/")
	}
	rel, ok := below(name)
	if !ok {
		return nil, nil
	}
	if err := tree.CheckPath(rel); err != nil {
		return nil, err
	}
	e := &tree.Entry{Path: rel, Mode: uint32(h.Mode) & 0o7777, UID: h.Uid, GID: h.Gid, ModTime: h.ModTime}
	switch h.Typeflag {
	case tar.TypeDir:
		e.Type = tree.Dir
	case tar.TypeSymlink:
		e.Type, e.Link = tree.Symlink, h.Linkname
	case tar.TypeReg:
		e.Type, e.Size = tree.File, h.Size
	case tar.TypeLink:
		target, ok := below(strings.TrimPrefix(h.Linkname, "./"))
		if !ok {
			return nil, fmt.Errorf("hard link %q leads to %q, outside of the data", rel, h.Linkname)
		}
		e.Type, e.Link = tree.File, target
	default:
		return nil, fmt.Errorf("entry %q has the type %q", rel, h.Typeflag)
	}
	return e, nil
}
