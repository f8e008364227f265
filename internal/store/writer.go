package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

const (
	tempDir    = "tmp"
	tempPrefix = tempDir + "/upload-"
)

var errClosed = errors.New("the target is closed")

// writer writes images to a folder that is an OCI layout.
type writer struct {
	*Layout
	root   *os.Root
	names  map[string]string // annotations of the entry in index.json
	pinned string            // reference to print, without the digest
	use    *os.File          // holds the lock against collection, or nil

	created bool // the folder was not there before

	mu      sync.Mutex
	closed  bool
	uploads map[*upload]bool
}

var _ Target = (*writer)(nil)

// openWriter makes what is missing of a layout in dir.
func openWriter(dir, place string) (*writer, error) {
	wrap := func(err error) (*writer, error) { return nil, fmt.Errorf("write %s: %w", place, err) }
	_, statErr := os.Lstat(dir)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return wrap(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return wrap(err)
	}
	w := &writer{Layout: &Layout{dir: dir, place: place}, root: root, uploads: map[*upload]bool{}, created: errors.Is(statErr, fs.ErrNotExist)}
	if err := w.prepare(); err != nil {
		root.Close()
		return wrap(err)
	}
	if _, err := w.index(); err != nil {
		root.Close()
		return nil, err
	}
	return w, nil
}

// Outputs implements Outputter.
func (w *writer) Outputs() []string { return []string{w.dir} }

// prepare makes folders and the file oci-layout. A folder with something else
// in it is left alone.
func (w *writer) prepare() error {
	entries, err := fs.ReadDir(w.root.FS(), ".")
	if err != nil {
		return err
	}
	if len(entries) > 0 && !looksLikeLayout(entries) {
		return errors.New("the folder holds other files; give a new or empty folder or an OCI layout")
	}
	f, err := w.root.OpenFile("oci-layout", os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := waitLock(context.Background(), f, exclusive); err != nil {
		return err
	}
	if err := writeVersion(f); err != nil {
		return err
	}
	if err := w.root.MkdirAll("blobs/sha256", 0o777); err != nil {
		return err
	}
	_, err = sweepTemp(w.root, tempDir, filepath.Base(tempPrefix), false)
	return err
}

// looksLikeLayout says if any of our files is there: another process may just
// be making the layout.
func looksLikeLayout(entries []fs.DirEntry) bool {
	for _, e := range entries {
		switch e.Name() {
		case "oci-layout", lockFile:
			return true
		}
	}
	return false
}

// writeVersion fills the file oci-layout if it is new.
func writeVersion(f *os.File) error {
	data, err := readAtMost(f, maxDocument)
	if err != nil {
		return err
	}
	if len(data) > 0 {
		return checkLayoutVersion(data)
	}
	if _, err := f.WriteAt([]byte(layoutVersion), 0); err != nil {
		return err
	}
	return f.Sync()
}

// Create begins a blob in a temporary file; several may be open.
func (w *writer) Create(ctx context.Context) (Upload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, fmt.Errorf("write %s: %w", w.place, errClosed)
	}
	f, name, err := w.temp(tempPrefix)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", w.place, err)
	}
	u := &upload{w: w, f: f, name: name}
	w.uploads[u] = true
	return u, nil
}

// temp creates a temporary file in the folder tmp, which another target may
// remove when it ends.
func (w *writer) temp(prefix string) (*os.File, string, error) {
	const mostTries = 1000
	for try := 1; ; try++ {
		if err := w.root.Mkdir(tempDir, 0o777); ignore(err, fs.ErrExist) != nil {
			return nil, "", err
		}
		f, name, err := createTemp(w.root, prefix)
		if !errors.Is(err, fs.ErrNotExist) || try == mostTries {
			return f, name, err
		}
	}
}

// Has says if the blob is there.
func (w *writer) Has(ctx context.Context, d digest.Digest) (bool, error) {
	b, err := w.Open(ctx, ocispec.Descriptor{Digest: d})
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, b.Close()
}

// Publish checks that no blob is missing and enters the image in index.json.
func (w *writer) Publish(ctx context.Context, root ocispec.Descriptor) (string, error) {
	w.mu.Lock()
	closed := w.closed
	w.mu.Unlock()
	if closed {
		return "", fmt.Errorf("write %s: %w", w.place, errClosed)
	}
	if err := checkComplete(ctx, w, root); err != nil {
		return "", fmt.Errorf("write %s: %w", w.place, err)
	}
	entry := root
	entry.Annotations = maps.Clone(root.Annotations)
	if entry.Annotations == nil {
		entry.Annotations = map[string]string{}
	}
	maps.Copy(entry.Annotations, w.names)
	err := w.update(ctx, func(index *ocispec.Index) error {
		setEntry(index, entry)
		return nil
	})
	if err != nil {
		return "", err
	}
	return w.pinned + "@" + string(root.Digest), nil
}

// checkComplete opens everything the image names. Layers that live elsewhere
// by intention (URLs) may be missing.
func checkComplete(ctx context.Context, src Source, root ocispec.Descriptor) error {
	if !isIndex(root.MediaType) && !isManifest(root.MediaType) {
		return fmt.Errorf("publish %s: %q is not the type of a manifest or an index", root.Digest, root.MediaType)
	}
	return walk(ctx, src, root, func(desc ocispec.Descriptor, doc *document) error {
		if doc != nil || len(desc.URLs) > 0 {
			return nil
		}
		b, err := src.Open(ctx, desc)
		if err != nil {
			return err
		}
		return b.Close()
	})
}

// setEntry replaces the entry of the same name or appends one.
func setEntry(index *ocispec.Index, entry ocispec.Descriptor) {
	name := entry.Annotations[ocispec.AnnotationRefName]
	kept := index.Manifests[:0]
	for _, d := range index.Manifests {
		if d.Annotations[ocispec.AnnotationRefName] != name {
			kept = append(kept, d)
		}
	}
	index.Manifests = append(kept, entry)
}

// update changes index.json under the lock on the file oci-layout. The new
// file is complete on disk before it takes the place of the old one.
func (w *writer) update(ctx context.Context, change func(*ocispec.Index) error) error {
	lock, err := w.root.OpenFile("oci-layout", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("write %s: %w", w.place, err)
	}
	defer lock.Close()
	if err := waitLock(ctx, lock, exclusive); err != nil {
		return fmt.Errorf("write %s: %w", w.place, err)
	}
	index, err := w.index()
	if err != nil {
		return err
	}
	if err := change(index); err != nil {
		return err
	}
	data, err := encode(index)
	if err == nil && len(data) > maxIndexFile {
		err = errors.New("there are too many images for one index.json")
	}
	if err == nil {
		err = w.replace(ocispec.ImageIndexFile, data)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", w.place, err)
	}
	return nil
}

// replace writes a small file beside, syncs and renames it.
func (w *writer) replace(name string, data []byte) error {
	f, temp, err := w.temp(tempPrefix)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = w.root.Rename(temp, name)
	}
	if err != nil {
		w.root.Remove(temp)
		return err
	}
	return syncDir(w.root, ".")
}

func syncDir(root *os.Root, name string) error {
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	// Some file systems cannot sync folders.
	return ignore(d.Sync(), unix.EINVAL, unix.ENOTSUP)
}

// removeUnused removes a layout that this writer made, if no image came into
// it. (Blobs of a layout that was there may be in use by somebody else.)
func (w *writer) removeUnused() error {
	lock, err := w.root.OpenFile("oci-layout", os.O_RDWR, 0)
	if err != nil {
		return nil // it is gone already
	}
	defer lock.Close()
	if err := waitLock(context.Background(), lock, exclusive); err != nil {
		return err
	}
	if index, err := w.index(); err != nil || len(index.Manifests) > 0 {
		return nil // it is in use
	}
	return os.RemoveAll(w.dir)
}

// Close drops open uploads and the lock.
func (w *writer) Close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed = true
	open := w.uploads
	w.uploads = nil
	w.mu.Unlock()
	var errs []error
	for u := range open {
		errs = append(errs, u.drop())
	}
	w.root.Remove(tempDir) // as long as nobody else has files there
	if w.use != nil {
		errs = append(errs, w.use.Close())
	} else if w.created {
		errs = append(errs, w.removeUnused())
	}
	return errors.Join(append(errs, w.root.Close())...)
}

// upload is a blob in a temporary file.
type upload struct {
	w    *writer
	f    *os.File // nil once committed or dropped
	name string
	size int64
	mu   sync.Mutex // Close of the target may come at any time
}

var errUploadEnded = errors.New("the upload has ended")

func (u *upload) wrap(err error) error {
	return fmt.Errorf("write blob to %s: %w", u.w.place, err)
}

func (u *upload) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.f == nil {
		return 0, u.wrap(errUploadEnded)
	}
	n, err := u.f.Write(p)
	startWriteback(u.f, u.size, int64(n))
	u.size += int64(n)
	if err != nil {
		err = u.wrap(err)
	}
	return n, err
}

func (u *upload) Rewind(size int64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.f == nil {
		return u.wrap(errUploadEnded)
	}
	if size < 0 || size > u.size {
		return u.wrap(fmt.Errorf("rewind to %d of %d bytes", size, u.size))
	}
	if err := u.f.Truncate(size); err != nil {
		return u.wrap(err)
	}
	if _, err := u.f.Seek(size, 0); err != nil {
		return u.wrap(err)
	}
	u.size = size
	return nil
}

func (u *upload) Commit(ctx context.Context, d digest.Digest, size int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.f == nil:
		return u.wrap(errUploadEnded)
	case size != u.size:
		return u.wrap(fmt.Errorf("commit %s: %d bytes were written, not %d", d, u.size, size))
	}
	if err := d.Validate(); err != nil {
		return u.wrap(fmt.Errorf("commit %q: %w", d, err))
	}
	if err := u.commit(d); err != nil {
		return u.wrap(err)
	}
	return nil
}

func (u *upload) commit(d digest.Digest) error {
	path := blobPath(d)
	if info, err := u.w.root.Stat(path); err == nil && info.Mode().IsRegular() && info.Size() == u.size {
		return u.end(true)
	}
	if err := u.f.Sync(); err != nil {
		return err
	}
	if err := u.w.root.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	if err := u.w.root.Rename(u.name, path); err != nil {
		return err
	}
	err := syncDir(u.w.root, filepath.Dir(path))
	return errors.Join(err, u.end(false))
}

// Abort removes the temporary file.
func (u *upload) Abort() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.f == nil {
		return nil
	}
	return u.end(true)
}

// drop is Abort for a target that ends.
func (u *upload) drop() error { return u.Abort() }

// end closes the file; u.mu is held.
func (u *upload) end(remove bool) error {
	var err error
	if remove {
		err = ignore(u.w.root.Remove(u.name), fs.ErrNotExist)
	}
	err = errors.Join(err, u.f.Close())
	u.f = nil
	u.w.mu.Lock()
	delete(u.w.uploads, u)
	u.w.mu.Unlock()
	return err
}
