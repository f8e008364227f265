package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Layout is an OCI layout: a folder with the files oci-layout and index.json
// and the folder blobs. It may be used from several goroutines, and while
// others write to the folder.
type Layout struct {
	dir   string
	place string // for messages
}

var _ Source = (*Layout)(nil)

// OpenLayout opens the layout in the folder dir for reading. The error wraps
// fs.ErrNotExist if there is none.
func OpenLayout(dir string) (*Layout, error) {
	l := &Layout{dir: dir, place: fmt.Sprintf("layout %q", dir)}
	data, err := l.readFile("oci-layout", maxDocument)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open %s: it has no file oci-layout: %w", l.place, fs.ErrNotExist)
	}
	if err == nil {
		err = checkLayoutVersion(data)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", l.place, err)
	}
	if _, err := l.index(); err != nil {
		return nil, err
	}
	return l, nil
}

// Resolve finds an image by its tag (the annotation ref.name, or the tag part
// of it), its full name or its digest; "" is the only image.
func (l *Layout) Resolve(ctx context.Context, name string) (ocispec.Descriptor, error) {
	index, err := l.index()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return resolve(ctx, l, l.place, named(index.Manifests), name)
}

// Open opens a blob. Its file may be removed meanwhile; the open blob stays.
func (l *Layout) Open(ctx context.Context, desc ocispec.Descriptor) (Blob, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := checkDescriptor(desc); err != nil {
		return nil, fmt.Errorf("open blob in %s: %w", l.place, err)
	}
	f, size, err := openRegular(filepath.Join(l.dir, blobPath(desc.Digest)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open blob %s in %s: %w", desc.Digest, l.place, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open blob in %s: %w", l.place, err)
	}
	if err := checkSize(desc, size); err != nil {
		f.Close()
		return nil, fmt.Errorf("open blob in %s: %w", l.place, err)
	}
	return &fileBlob{f, size}, nil
}

// Close does nothing: a layout holds no files open.
func (l *Layout) Close() error { return nil }

// index reads index.json; a folder without one holds no images.
func (l *Layout) index() (*ocispec.Index, error) {
	data, err := l.readFile(ocispec.ImageIndexFile, maxIndexFile)
	if errors.Is(err, fs.ErrNotExist) {
		return newIndex(), nil
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", l.place, err)
	}
	index, err := parseIndexFile(data)
	if err != nil {
		return nil, fmt.Errorf("open %s: index.json is damaged: %w", l.place, err)
	}
	return index, nil
}

func (l *Layout) readFile(name string, limit int64) ([]byte, error) {
	f, _, err := openRegular(filepath.Join(l.dir, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := readAtMost(f, limit)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

// openRegular opens a file and refuses what is none; a FIFO does not block.
func openRegular(path string) (*os.File, int64, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("open %q: it is not a regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// fileBlob is a blob that is a file.
type fileBlob struct {
	*os.File
	size int64
}

func (b *fileBlob) Size() int64 { return b.size }

// blobPath is the path of a blob below a layout. The digest must be valid.
func blobPath(d digest.Digest) string {
	return "blobs/" + string(d.Algorithm()) + "/" + d.Encoded()
}

// checkSize compares the length found with the length stated. Size 0 means
// that it is not known.
func checkSize(desc ocispec.Descriptor, size int64) error {
	if desc.Size != 0 && desc.Size != size {
		return fmt.Errorf("blob %s has %d bytes instead of %d: it is damaged", desc.Digest, size, desc.Size)
	}
	return nil
}

// LayoutTarget prepares writing an image to the layout in the folder dir,
// which is made if need be. The image gets the tag (default "latest"), other
// images stay. imageName, if not empty, is the repository name that Docker and
// containerd will give to the image. Tags are read and written under a lock,
// so many targets may publish to one layout at the same time.
func LayoutTarget(dir, tag, imageName string) (Target, error) {
	if tag == "" {
		tag = defaultTag
	}
	place := fmt.Sprintf("layout %q", dir)
	if !isTag(tag) {
		return nil, fmt.Errorf("write %s: %q is not a valid tag", place, tag)
	}
	if imageName != "" {
		if err := checkRepository(imageName); err != nil {
			return nil, fmt.Errorf("write %s: name %q: %w", place, imageName, err)
		}
	}
	w, err := openWriter(dir, place)
	if err != nil {
		return nil, err
	}
	w.names = nameAnnotations(tag, imageName, tag)
	w.pinned = TransportOCI + ":" + dir
	return w, nil
}

// nameAnnotations are the annotations of an entry of index.json.
func nameAnnotations(ref, imageName, tag string) map[string]string {
	names := map[string]string{ocispec.AnnotationRefName: ref}
	if imageName != "" {
		names[annotationFullName] = normalise(imageName + ":" + tag)
	}
	return names
}
