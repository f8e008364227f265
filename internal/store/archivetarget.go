package store

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	blockSize = 512
	// ustarLimit is the first size that needs the GNU form of the header.
	ustarLimit = 8 << 30
)

// archiveWriter writes an archive that is both an OCI archive and a
// docker-archive in one pass: blobs go right to their place in the tar, with a
// gap for the header, which is known only at the end. It is for one goroutine
// at a time.
type archiveWriter struct {
	place  string
	f      *os.File
	finish func() error // makes the complete file visible
	drop   func() error // removes the file unless finish was called
	files  []string     // what is written, and where it ends up
	name   string
	tag    string
	arch   string
	pinned string

	referrers []ocispec.Descriptor // entries of index.json beside the image

	end     int64 // where the next member begins
	members map[string]member
	open    *archiveUpload
	state   error // why nothing can be written any more
}

var _ Target = (*archiveWriter)(nil)

var errPublished = errors.New("the image is published already")

// ArchiveTarget prepares writing an image to the archive file path, which
// "docker load", "podman load", skopeo and containerd understand. name and tag
// (default "latest") are what the image is called after loading; name may be
// empty. arch says which manifest of an index older Docker engines get; ""
// means the first. The file is written beside path, and takes its place on
// Publish. Only one upload may be open at a time. Same input, same file.
func ArchiveTarget(path string, name, tag, arch string) (Target, error) {
	place := fmt.Sprintf("archive %q", path)
	wrap := func(err error) (Target, error) { return nil, fmt.Errorf("write %s: %w", place, err) }
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return wrap(errors.New("it exists and is not a regular file"))
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return wrap(err)
	}
	base := filepath.Base(path)
	prefix := base + ".tmp-"
	if _, err := sweepTemp(root, ".", prefix, false); err != nil {
		root.Close()
		return wrap(err)
	}
	f, temp, err := createTemp(root, prefix)
	if err != nil {
		root.Close()
		return wrap(err)
	}
	dir := filepath.Dir(path)
	w := &archiveWriter{
		place: place, f: f, pinned: TransportOCIArchive + ":" + path,
		files: []string{filepath.Join(dir, base), filepath.Join(dir, temp)},
	}
	published := false
	w.finish = func() error {
		if err := f.Sync(); err != nil {
			return err
		}
		if err := root.Rename(temp, base); err != nil {
			return err
		}
		published = true
		return syncDir(root, ".")
	}
	w.drop = func() error {
		var err error
		if !published {
			err = ignore(root.Remove(temp), fs.ErrNotExist)
		}
		return errors.Join(err, f.Close(), root.Close())
	}
	if err := w.begin(name, tag, arch); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// Outputs implements Outputter.
func (w *archiveWriter) Outputs() []string { return w.files }

// begin checks names and writes the first member.
func (w *archiveWriter) begin(name, tag, arch string) error {
	if tag == "" {
		tag = defaultTag
	}
	if !isTag(tag) {
		return w.wrap(fmt.Errorf("%q is not a valid tag", tag))
	}
	if name != "" {
		if err := checkRepository(name); err != nil {
			return w.wrap(fmt.Errorf("name %q: %w", name, err))
		}
	}
	w.name, w.tag, w.arch = name, tag, arch
	w.members = map[string]member{}
	// Unpacked by an ordinary user, a folder that has no entry would get
	// owner and mode that skopeo cannot set.
	for _, dir := range []string{"blobs/", "blobs/sha256/"} {
		if err := w.addFile(dir, nil); err != nil {
			return err
		}
	}
	return w.addFile("oci-layout", []byte(layoutVersion))
}

func (w *archiveWriter) wrap(err error) error {
	return fmt.Errorf("write %s: %w", w.place, err)
}

// tarHeader is one block: a regular file, or a folder if its name ends in a
// slash, without owner and time.
func tarHeader(name string, size int64) ([]byte, error) {
	h := &tar.Header{
		Typeflag: tar.TypeReg,
		Name:     name,
		Size:     size,
		Mode:     0o644,
		ModTime:  time.Unix(0, 0),
		Format:   tar.FormatUSTAR,
	}
	if strings.HasSuffix(name, "/") {
		h.Typeflag, h.Mode = tar.TypeDir, 0o755
	}
	if size >= ustarLimit {
		h.Format = tar.FormatGNU // the size in base 256
	}
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(h); err != nil {
		return nil, err
	}
	if b.Len() != blockSize {
		return nil, fmt.Errorf("tar header of %q has %d bytes", name, b.Len())
	}
	return b.Bytes(), nil
}

// padded rounds up to full blocks.
func padded(n int64) int64 { return (n + blockSize - 1) &^ (blockSize - 1) }

// seal writes the header in front of size bytes that are already there, and
// zeros behind them.
func (w *archiveWriter) seal(name string, size int64) error {
	header, err := tarHeader(name, size)
	if err != nil {
		return err
	}
	if _, err := w.f.WriteAt(header, w.end); err != nil {
		return err
	}
	body := w.end + blockSize
	if _, err := w.f.WriteAt(make([]byte, padded(size)-size), body+size); err != nil {
		return err
	}
	w.members[name] = member{offset: body, size: size}
	w.end = body + padded(size)
	return nil
}

func (w *archiveWriter) addFile(name string, data []byte) error {
	_, err := w.f.WriteAt(data, w.end+blockSize)
	if err == nil {
		err = w.seal(name, int64(len(data)))
	}
	if err != nil {
		return w.wrap(err)
	}
	return nil
}

// Create begins a blob at the end of the file.
func (w *archiveWriter) Create(ctx context.Context) (Upload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if w.state != nil {
		return nil, w.wrap(w.state)
	}
	if w.open != nil {
		return nil, w.wrap(errors.New("an archive takes one blob after the other, and one is still open"))
	}
	w.open = &archiveUpload{w: w}
	return w.open, nil
}

// Has says if the blob was written before.
func (w *archiveWriter) Has(ctx context.Context, d digest.Digest) (bool, error) {
	if err := d.Validate(); err != nil {
		return false, w.wrap(fmt.Errorf("digest %q: %w", d, err))
	}
	_, ok := w.members[blobPath(d)]
	return ok, ctx.Err()
}

// Open makes the writer a Source of what it holds already.
func (w *archiveWriter) Open(ctx context.Context, desc ocispec.Descriptor) (Blob, error) {
	if err := checkDescriptor(desc); err != nil {
		return nil, err
	}
	m, ok := w.members[blobPath(desc.Digest)]
	if !ok {
		return nil, fmt.Errorf("open blob %s in %s: %w", desc.Digest, w.place, ErrNotFound)
	}
	if err := checkSize(desc, m.size); err != nil {
		return nil, err
	}
	return archiveBlob{io.NewSectionReader(w.f, m.offset, m.size)}, ctx.Err()
}

// Resolve is there for walk and finds nothing.
func (w *archiveWriter) Resolve(context.Context, string) (ocispec.Descriptor, error) {
	return ocispec.Descriptor{}, ErrNotFound
}

// Publish appends the lists of images and gives the file its name.
func (w *archiveWriter) Publish(ctx context.Context, root ocispec.Descriptor) (string, error) {
	if w.state != nil {
		return "", w.wrap(w.state)
	}
	if w.open != nil {
		return "", w.wrap(errors.New("a blob is still open"))
	}
	if err := checkComplete(ctx, w, root); err != nil {
		return "", w.wrap(err)
	}
	lists, err := w.lists(ctx, root)
	if err != nil {
		return "", w.wrap(err)
	}
	w.state = errPublished
	for _, l := range lists {
		if err := w.addFile(l.name, l.data); err != nil {
			return "", err
		}
	}
	if _, err := w.f.WriteAt(make([]byte, 2*blockSize), w.end); err != nil {
		return "", w.wrap(err)
	}
	// An upload that was dropped may have left bytes behind the end.
	if err := w.f.Truncate(w.end + 2*blockSize); err != nil {
		return "", w.wrap(err)
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := w.finish(); err != nil {
		return "", w.wrap(err)
	}
	return w.pinned + "@" + string(root.Digest), nil
}

type namedFile struct {
	name string
	data []byte
}

// lists makes index.json and manifest.json.
func (w *archiveWriter) lists(ctx context.Context, root ocispec.Descriptor) ([]namedFile, error) {
	entry := root
	entry.Annotations = maps.Clone(root.Annotations)
	if entry.Annotations == nil {
		entry.Annotations = map[string]string{}
	}
	maps.Copy(entry.Annotations, nameAnnotations(w.tag, w.name, w.tag))
	index := newIndex()
	index.Manifests = append(append(index.Manifests, entry), w.referrers...)
	indexJSON, err := encode(index)
	if err != nil {
		return nil, err
	}
	image, err := w.dockerImage(ctx, root)
	if err != nil {
		return nil, err
	}
	manifestJSON, err := encode([]dockerImage{image})
	return []namedFile{{ocispec.ImageIndexFile, indexJSON}, {"manifest.json", manifestJSON}}, err
}

// dockerImage describes the manifest for the wanted architecture, else the
// first one, for engines that do not read index.json.
func (w *archiveWriter) dockerImage(ctx context.Context, root ocispec.Descriptor) (dockerImage, error) {
	var first, wanted *document
	err := walk(ctx, w, root, func(d ocispec.Descriptor, doc *document) error {
		if doc == nil || doc.Config == nil || d.Platform != nil && d.Platform.OS == "unknown" {
			return nil
		}
		if first == nil {
			first = doc
		}
		if wanted == nil && d.Platform != nil && d.Platform.Architecture == w.arch {
			wanted = doc
		}
		return nil
	})
	if err != nil {
		return dockerImage{}, err
	}
	doc := cmp.Or(wanted, first)
	if doc == nil {
		return dockerImage{}, fmt.Errorf("%s names no manifest that is there", root.Digest)
	}
	image := dockerImage{Config: blobPath(doc.Config.Digest), Layers: []string{}}
	for _, l := range doc.Layers {
		image.Layers = append(image.Layers, blobPath(l.Digest))
	}
	if w.name != "" {
		image.RepoTags = []string{w.name + ":" + w.tag}
	}
	return image, nil
}

// Close removes the file unless it was published.
func (w *archiveWriter) Close() error {
	if w.drop == nil {
		return nil
	}
	if w.state == nil {
		w.state = errClosed
	}
	w.open = nil
	drop := w.drop
	w.drop = nil
	return drop()
}

// archiveUpload is a blob on its way into the archive.
type archiveUpload struct {
	w    *archiveWriter
	size int64
}

// check says if the upload is still the one that is open.
func (u *archiveUpload) check() error {
	if u.w.open != u {
		return u.w.wrap(errUploadEnded)
	}
	return nil
}

func (u *archiveUpload) Write(p []byte) (int, error) {
	if err := u.check(); err != nil {
		return 0, err
	}
	at := u.w.end + blockSize + u.size
	n, err := u.w.f.WriteAt(p, at)
	startWriteback(u.w.f, at, int64(n))
	u.size += int64(n)
	if err != nil {
		err = u.w.wrap(err)
	}
	return n, err
}

func (u *archiveUpload) Rewind(size int64) error {
	if err := u.check(); err != nil {
		return err
	}
	if size < 0 || size > u.size {
		return u.w.wrap(fmt.Errorf("rewind to %d of %d bytes", size, u.size))
	}
	if err := u.w.f.Truncate(u.w.end + blockSize + size); err != nil {
		return u.w.wrap(err)
	}
	u.size = size
	return nil
}

// Commit writes the header. The whole file is synced on Publish.
func (u *archiveUpload) Commit(ctx context.Context, d digest.Digest, size int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := u.check(); err != nil {
		return err
	}
	if size != u.size {
		return u.w.wrap(fmt.Errorf("commit %s: %d bytes were written, not %d", d, u.size, size))
	}
	if err := d.Validate(); err != nil {
		return u.w.wrap(fmt.Errorf("commit %q: %w", d, err))
	}
	if m, ok := u.w.members[blobPath(d)]; ok && m.size != size {
		return u.w.wrap(fmt.Errorf("commit %s: the digest is that of %d other bytes", d, m.size))
	} else if ok {
		return u.Abort()
	}
	if err := u.w.seal(blobPath(d), size); err != nil {
		return u.w.wrap(err)
	}
	u.w.open = nil
	return nil
}

func (u *archiveUpload) Abort() error {
	if u.w.open != u {
		return nil
	}
	u.w.open = nil
	if err := u.w.f.Truncate(u.w.end); err != nil {
		return u.w.wrap(err)
	}
	return nil
}
