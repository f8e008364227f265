package cdb

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/store"
)

// cacheSize is the size of the cache of uncompressed frames of a container,
// in bytes.
const cacheSize = 64 << 20

// A Container is an open data container. What is read from it is read where
// the image lies, and no more of it than the question needs. Its methods may
// be called from several goroutines at once.
type Container struct {
	Ref   string
	Image *image.Image

	places Places
	ctx    context.Context // of reads of an image in a registry, whoever they are for
	cancel context.CancelFunc
	source store.Source
	cache  *pack.Cache
	db     *catalog.DB
	// deltaSize is the length of all deltas of the catalog, in bytes.
	deltaSize int64

	mu     sync.Mutex
	closer []io.Closer
	packs  map[int]*openPack
}

// An openPack is a data layer that was opened, once.
type openPack struct {
	once   sync.Once
	reader io.ReaderAt // of the tar stream
	err    error
}

// Open opens the data container that ref names: NAME[:TAG][@DIGEST] in the
// local store, oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE,
// docker-daemon:NAME, docker://HOST/NAME[:TAG][@DIGEST] in a registry (also
// without docker:// where the local store has no such image), or the path of a
// layout or an archive. ctx is that of all reads of an image in a registry.
func Open(ctx context.Context, ref string, places Places) (*Container, error) {
	r, err := store.ParseRef(ref)
	if err != nil {
		return nil, err
	}
	source, name, err := places.config().OpenSource(ctx, r)
	if err != nil {
		return nil, err
	}
	size := int64(cacheSize)
	if _, far := source.(store.Remote); far {
		size = remoteCache
	}
	c := newContainer(ctx, ref, places, source, size)
	if err := c.open(ctx, name); err != nil {
		c.Close()
		return nil, fmt.Errorf("open %s: %w", ref, err)
	}
	return c, nil
}

// newContainer returns a container that is not open yet, whose frames may take
// cache bytes of memory.
func newContainer(ctx context.Context, ref string, places Places, source store.Source, cache int64) *Container {
	c := &Container{Ref: ref, places: places, source: source, cache: pack.NewCache(cache), packs: map[int]*openPack{}}
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c
}

func (c *Container) open(ctx context.Context, name string) error {
	root, err := c.source.Resolve(ctx, name)
	if err != nil {
		return err
	}
	seen := func(m *ocispec.Manifest) {
		if r := c.remote(); r != nil {
			// They are on their way while the config is.
			r.Prefetch(ctx, image.CatalogLayers(m)...)
		}
	}
	if c.Image, err = image.ParseWith(ctx, c.document, root, runtime.GOARCH, seen); err != nil {
		return err
	}
	layers := c.Image.Catalog()
	parts := make([]catalog.Part, len(layers))
	// Not with a context of its own: what is opened outlives the group.
	var g errgroup.Group
	for i := range layers {
		g.Go(func() (err error) {
			parts[i], err = c.openCatalog(ctx, &layers[i], i)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, p := range parts[1:] {
		c.deltaSize += p.Size
	}
	all, size, err := catalog.Stack(parts[0], parts[1:])
	if err != nil {
		return err
	}
	c.db, err = catalog.OpenReaderAt(root.Digest.String(), all, size)
	return err
}

// openCatalog opens the catalog, or its delta with the number i.
func (c *Container) openCatalog(ctx context.Context, l *image.Layer, i int) (catalog.Part, error) {
	name := image.CatalogPath
	if i > 0 {
		name = catalog.DeltaName(name, i)
	}
	stream, size, err := c.openLayer(ctx, l)
	if err != nil {
		return catalog.Part{}, fmt.Errorf("open catalog layer: %w", err)
	}
	offset, length, err := findInTar(stream, size, name)
	if err != nil {
		return catalog.Part{}, err
	}
	return catalog.Part{ReaderAt: section(stream, offset, length, false), Size: length}, nil
}

// section returns n bytes of a tar stream from off on. through says that they
// will be read from the first to the last.
func section(stream io.ReaderAt, off, n int64, through bool) *io.SectionReader {
	if p, ok := stream.(*pack.Reader); ok {
		return p.Section(off, n, through)
	}
	return io.NewSectionReader(stream, off, n)
}

// Close ends the use of the container.
func (c *Container) Close() error {
	var errs []error
	c.cancel()
	c.cache.Wait()
	if c.db != nil {
		errs = append(errs, c.db.Close())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cl := range c.closer {
		errs = append(errs, cl.Close())
	}
	c.closer = nil
	return errors.Join(append(errs, c.source.Close())...)
}

// Catalog returns the catalog, which is open as long as the container is.
func (c *Container) Catalog() *catalog.DB { return c.db }

// document reads a small blob.
func (c *Container) document(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	return readDocument(ctx, c.source, desc)
}

func readDocument(ctx context.Context, source store.Source, desc ocispec.Descriptor) ([]byte, error) {
	b, err := source.Open(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	if b.Size() > image.MaxDocument {
		return nil, fmt.Errorf("a document of %d bytes", b.Size())
	}
	return io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
}

// blob opens the blob of a layer until the container is closed.
func (c *Container) blob(ctx context.Context, l *image.Layer) (store.Blob, error) {
	b, err := c.source.Open(ctx, l.Descriptor)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closer = append(c.closer, b)
	return b, nil
}

// openLayer returns the tar stream of a layer that ends in its own frame
// table. A layer that has none, as some client on its way compressed it anew,
// is unpacked into a temporary file.
func (c *Container) openLayer(ctx context.Context, l *image.Layer) (io.ReaderAt, int64, error) {
	blob, err := c.blob(ctx, l)
	if err != nil {
		return nil, 0, err
	}
	kind, err := pack.CompressionOf(l.MediaType)
	if err != nil {
		return nil, 0, err
	}
	loc, _ := l.TableLocation()
	far := c.remote() != nil
	switch {
	case kind == pack.None && !far:
		return blob, blob.Size(), nil
	case far && (kind == pack.None || loc == nil):
		// Nothing that the manifest vouches for says where its frames are.
		return c.unpack(ctx, l, blob, kind)
	}
	src := pack.Source{Name: l.Digest.String(), Blob: blob, Compression: kind}
	c.setRemote(&src)
	r, err := pack.OpenBlob(ctx, src, blob.Size(), loc, c.cache)
	if err == nil {
		return r, r.Size(), nil
	}
	if !errors.Is(err, pack.ErrTable) {
		return nil, 0, err
	}
	return c.unpack(ctx, l, blob, kind)
}

// setRemote says how a blob of the image is best read.
func (c *Container) setRemote(src *pack.Source) {
	r := c.remote()
	if r == nil {
		return
	}
	src.Remote = true
	if pieces := r.Pieces(); pieces != nil {
		src.Frames = pieces
	}
}

// unpack decompresses a whole layer into a temporary file and checks it
// against its diffID.
func (c *Container) unpack(ctx context.Context, l *image.Layer, blob store.Blob, kind pack.Compression) (io.ReaderAt, int64, error) {
	f, err := os.CreateTemp(c.places.TempDir, "cdb-layer-")
	if err != nil {
		return nil, 0, fmt.Errorf("unpack layer %s: %w", l.Digest, err)
	}
	c.mu.Lock()
	c.closer = append(c.closer, f)
	c.mu.Unlock()
	// Nobody else needs its name, and so it never outlives the process.
	if err := os.Remove(f.Name()); err != nil {
		return nil, 0, fmt.Errorf("unpack layer %s: %w", l.Digest, err)
	}
	raw, err := store.Reader(ctx, blob)
	if err != nil {
		return nil, 0, fmt.Errorf("unpack layer %s: %w", l.Digest, err)
	}
	defer raw.Close()
	src, err := pack.Decompress(raw, kind)
	if err != nil {
		return nil, 0, fmt.Errorf("unpack layer %s: %w", l.Digest, err)
	}
	defer src.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), &contextReader{ctx, src})
	if err != nil {
		return nil, 0, fmt.Errorf("unpack layer %s: %w", l.Digest, err)
	}
	if got := digest.NewDigest(digest.SHA256, sum); got != l.DiffID {
		return nil, 0, fmt.Errorf("unpack layer %s: %w: its content is %s instead of %s", l.Digest, pack.ErrCorrupt, got, l.DiffID)
	}
	return f, n, nil
}

// A contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// pack returns the tar stream of the pack with this ID.
func (c *Container) pack(ctx context.Context, id int) (io.ReaderAt, error) {
	c.mu.Lock()
	p := c.packs[id]
	if p == nil {
		p = &openPack{}
		c.packs[id] = p
	}
	c.mu.Unlock()
	if c.remote() != nil {
		ctx = c.ctx // who opens it first may be gone when others read it
	}
	p.once.Do(func() { p.reader, p.err = c.openPack(ctx, id) })
	if p.err != nil && ctx.Err() == nil && errors.Is(p.err, context.Canceled) {
		// Another caller gave up while opening: that is not this one's.
		return c.openPack(ctx, id)
	}
	return p.reader, p.err
}

func (c *Container) openPack(ctx context.Context, id int) (io.ReaderAt, error) {
	packs, err := c.db.Packs(ctx)
	if err != nil {
		return nil, err
	}
	for i := range packs {
		if packs[i].ID == id {
			return c.openDataLayer(ctx, &packs[i])
		}
	}
	return nil, fmt.Errorf("%w: the catalog has no pack %d", catalog.ErrFormat, id)
}

// openDataLayer opens the layer that holds p. As long as it is the blob that
// was built, the catalog knows its frames.
func (c *Container) openDataLayer(ctx context.Context, p *catalog.Pack) (io.ReaderAt, error) {
	for i := range c.Image.Layers {
		l := &c.Image.Layers[i]
		if l.DiffID.String() != p.DiffID {
			continue
		}
		if l.Digest.String() != p.Digest {
			r, _, err := c.openLayer(ctx, l)
			return r, err
		}
		kind, err := pack.CompressionOf(p.MediaType)
		if err != nil {
			return nil, err
		}
		blob, err := c.blob(ctx, l)
		if err != nil {
			return nil, err
		}
		src := pack.Source{
			Name:        p.Digest,
			Blob:        blob,
			Compression: kind,
			FrameSize:   p.FrameSize,
			TarSize:     p.TarSize,
			Frame:       c.frames(p.ID),
		}
		c.setRemote(&src)
		return pack.NewReader(src, c.cache)
	}
	return nil, fmt.Errorf("%w: no layer has the diffID %s of pack %d", catalog.ErrFormat, p.DiffID, p.ID)
}

// frames finds frames of a pack in the catalog. It remembers the group that
// was asked for last, as reads mostly go on where they were.
func (c *Container) frames(id int) func(int) (pack.Frame, error) {
	var mu sync.Mutex
	var group pack.Table
	var first int
	var offset int64
	return func(i int) (pack.Frame, error) {
		mu.Lock()
		defer mu.Unlock()
		if i < first || i >= first+group.Frames() {
			f, o, records, err := c.db.FrameGroup(context.Background(), id, i)
			if err != nil {
				return pack.Frame{}, err
			}
			first, offset, group.Records = f, o, records
		}
		return group.Frame(i-first, offset)
	}
}
