package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// lockFile is locked by whoever adds to a local store (shared) and by the
// collection (exclusive).
const lockFile = "lock"

// ErrInUse is wrapped by the error of a collection that found a build running.
var ErrInUse = errors.New("a build is using the store; try again when it has ended")

// A Local is the local store: an OCI layout in which images have full names
// (the annotation ref.name is NAME:TAG), with a lock file and a collection of
// blobs that no image needs any more. Several processes may use one store.
type Local struct {
	layout Layout
}

var _ Source = (*Local)(nil)

// DefaultRoot is the folder of the local store: $CDB_STORE, else
// $XDG_DATA_HOME/cdb, else ~/.local/share/cdb. It is "" if getenv knows none
// of CDB_STORE, XDG_DATA_HOME and HOME.
func DefaultRoot(getenv func(string) string) string {
	if dir := getenv("CDB_STORE"); dir != "" {
		return dir
	}
	// By the XDG specification a relative path there is to be ignored.
	if dir := getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "cdb")
	}
	if home := getenv("HOME"); home != "" {
		return filepath.Join(home, ".local/share/cdb")
	}
	return ""
}

// OpenLocal opens the local store in the folder root. A store that does not
// exist is empty; the first image that is written creates it.
func OpenLocal(root string) (*Local, error) {
	if root == "" {
		return nil, errors.New("open local store: its folder is not known; set CDB_STORE or HOME")
	}
	l := &Local{Layout{dir: root, place: fmt.Sprintf("local store %q", root)}}
	info, err := os.Stat(root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return l, nil
	case err != nil:
		return nil, fmt.Errorf("open local store: %w", err)
	case !info.IsDir():
		return nil, fmt.Errorf("open local store: %q is not a folder", root)
	}
	if _, err := l.layout.index(); err != nil {
		return nil, err
	}
	return l, nil
}

// Resolve finds an image by NAME[:TAG], by NAME@DIGEST, by its digest or by
// sha256: and the beginning of its digest as long as only one image has it.
// An image that lost its name is found by its full digest until GC.
func (l *Local) Resolve(ctx context.Context, name string) (ocispec.Descriptor, error) {
	index, err := l.layout.index()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return resolve(ctx, l, l.layout.place, named(index.Manifests), fullName(name))
}

// fullName adds the default tag to a name without one.
func fullName(name string) string {
	if strings.Contains(name, "@") {
		return name
	}
	if _, tag := cutTag(name); tag != "" || name == "" {
		return name
	}
	return name + ":" + defaultTag
}

// Open opens a blob.
func (l *Local) Open(ctx context.Context, desc ocispec.Descriptor) (Blob, error) {
	return l.layout.Open(ctx, desc)
}

// Close does nothing: the store holds no files open.
func (l *Local) Close() error { return nil }

// Target prepares writing an image that will be called name:tag (default
// "latest"). If another image has that name it loses it on Publish. Until
// Close nothing is collected; a running collection is waited for.
func (l *Local) Target(name, tag string) (Target, error) {
	if name == "" {
		return nil, errors.New("write local store: the image needs a name (-t NAME[:TAG])")
	}
	if tag == "" {
		tag = defaultTag
	}
	full := name + ":" + tag
	if _, _, err := ParseName(full); err != nil {
		return nil, err
	}
	w, err := l.writer(context.Background())
	if err != nil {
		return nil, err
	}
	w.names = nameAnnotations(full, name, tag)
	w.pinned = full
	return w, nil
}

// writer opens the store for changes, locked against collection.
func (l *Local) writer(ctx context.Context) (*writer, error) {
	lock, err := l.lock(ctx, shared)
	if err != nil {
		return nil, err
	}
	w, err := openWriter(l.layout.dir, l.layout.place)
	if err != nil {
		lock.Close()
		return nil, err
	}
	w.use = lock
	return w, nil
}

// lock takes the lock file, which it makes if need be.
func (l *Local) lock(ctx context.Context, how int) (*os.File, error) {
	if err := l.mayCreate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(l.layout.dir, 0o777); err != nil {
		return nil, fmt.Errorf("open %s: %w", l.layout.place, err)
	}
	f, err := os.OpenFile(filepath.Join(l.layout.dir, lockFile), os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", l.layout.place, err)
	}
	if how == exclusive {
		err = tryLock(f, how)
	} else {
		err = waitLock(ctx, f, how)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// mayCreate refuses to make a store among other files.
func (l *Local) mayCreate() error {
	entries, err := os.ReadDir(l.layout.dir)
	if err != nil {
		return ignore(err, fs.ErrNotExist)
	}
	if len(entries) > 0 && !looksLikeLayout(entries) {
		return fmt.Errorf("open %s: the folder holds other files; give a new or empty folder", l.layout.place)
	}
	return nil
}

// An Image is an image of the local store.
type Image struct {
	Name string // the repository
	Tag  string
	Desc ocispec.Descriptor
	// Size is the sum of all its distinct blobs in bytes.
	Size int64
	// Created is zero if the image does not say.
	Created time.Time
	Title   string
	// Annotations are those of the manifest or index, and of the first
	// manifest where the index has none of that key.
	Annotations map[string]string
	// Err says why the image cannot be read; size and annotations are
	// incomplete then.
	Err error
}

// Latest returns the image with this name, whatever its tag, that was
// published last. The error wraps ErrNotFound if there is none.
func (l *Local) Latest(ctx context.Context, name string) (ocispec.Descriptor, error) {
	index, err := l.layout.index()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	for _, d := range slices.Backward(index.Manifests) {
		if have, _ := cutTag(d.Annotations[ocispec.AnnotationRefName]); have == name {
			return d, ctx.Err()
		}
	}
	return ocispec.Descriptor{}, fmt.Errorf("find %q in local store: %w", name, ErrNotFound)
}

// List returns all images by name and tag. A damaged image is listed with its
// Err set.
func (l *Local) List(ctx context.Context) ([]Image, error) {
	index, err := l.layout.index()
	if err != nil {
		return nil, err
	}
	images := make([]Image, 0, len(index.Manifests))
	for _, d := range named(index.Manifests) {
		image := Image{Desc: d}
		image.Name, image.Tag = cutTag(d.Annotations[ocispec.AnnotationRefName])
		if err := l.describe(ctx, &image); ctx.Err() != nil {
			return nil, ctx.Err()
		} else if err != nil {
			image.Err = fmt.Errorf("read image %s:%s: %w", image.Name, image.Tag, err)
		}
		images = append(images, image)
	}
	slices.SortStableFunc(images, func(a, b Image) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Tag, b.Tag))
	})
	return images, nil
}

// describe fills in what the manifests tell.
func (l *Local) describe(ctx context.Context, image *Image) error {
	image.Annotations = map[string]string{}
	manifests := 0
	err := walk(ctx, l, image.Desc, func(d ocispec.Descriptor, doc *document) error {
		image.Size += d.Size
		if doc == nil {
			return nil
		}
		if isManifest(d.MediaType) {
			manifests++
		}
		if manifests <= 1 {
			for k, v := range doc.Annotations {
				if _, ok := image.Annotations[k]; !ok {
					image.Annotations[k] = v
				}
			}
		}
		return nil
	})
	image.Title = image.Annotations[ocispec.AnnotationTitle]
	if t, err := time.Parse(time.RFC3339, image.Annotations[ocispec.AnnotationCreated]); err == nil {
		image.Created = t
	}
	return err
}

// Tag gives the image that Resolve finds for from one more name.
func (l *Local) Tag(ctx context.Context, from, name, tag string) error {
	desc, err := l.Resolve(ctx, from)
	if err != nil {
		return err
	}
	t, err := l.Target(name, tag)
	if err != nil {
		return err
	}
	defer t.Close()
	desc.Annotations = nil
	_, err = t.Publish(ctx, desc)
	return err
}

// Remove takes away the name NAME[:TAG], or with a digest all names of the
// image (NAME@DIGEST: those of that repository). The blobs stay until GC. It
// returns the names that were removed.
func (l *Local) Remove(ctx context.Context, name string) ([]string, error) {
	index, err := l.layout.index()
	if err != nil {
		return nil, err
	}
	desc, err := resolve(ctx, l, l.layout.place, named(index.Manifests), fullName(name))
	if err != nil {
		return nil, err
	}
	w, err := l.writer(ctx)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	var removed []string
	err = w.update(ctx, func(index *ocispec.Index) error {
		index.Manifests = slices.DeleteFunc(index.Manifests, func(d ocispec.Descriptor) bool {
			ref := d.Annotations[ocispec.AnnotationRefName]
			if !removes(name, ref, d.Digest, desc.Digest) {
				return false
			}
			removed = append(removed, ref)
			return true
		})
		if len(removed) == 0 {
			return notFound(l.layout.place, name, index.Manifests)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return removed, nil
}

// removes says if the entry called ref is meant by name.
func removes(name, ref string, d, want digest.Digest) bool {
	if hex, ok := strings.CutPrefix(name, "sha256:"); ok && isHex(hex) {
		return d == want
	}
	before, _, pinned := cutDigest(name)
	if !pinned {
		return ref == fullName(name)
	}
	repository, tag := cutTag(before)
	have, haveTag := cutTag(ref)
	return d == want && (before == "" || repository == have && (tag == "" || tag == haveTag))
}
