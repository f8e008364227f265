package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/data-containers/cdb/internal/blobcache"
	"github.com/data-containers/cdb/internal/registry"
)

// smallBlob is the size in bytes up to which a blob of a registry is taken
// whole: it costs one round trip, as any part of it would.
const smallBlob = 128 << 10

// A Remote is a Source that is far away: each read costs a round trip.
type Remote interface {
	Source
	// Prefetch begins to fetch small blobs that will be opened soon.
	Prefetch(ctx context.Context, descs ...ocispec.Descriptor)
	// Pieces is where pieces of blobs are kept that were checked; nil keeps
	// none.
	Pieces() *blobcache.Cache
}

// A repository is a repository of a registry as a Source.
type repository struct {
	*registry.Repository
	place  string
	pieces *blobcache.Cache

	ctx     context.Context // of what is fetched ahead
	cancel  context.CancelFunc
	fetches sync.WaitGroup

	mu    sync.Mutex
	small map[digest.Digest]*smallOne
}

var _ Remote = (*repository)(nil)

// A smallOne is a small blob that is there or on its way.
type smallOne struct {
	done chan struct{}
	data []byte
	err  error
}

// splitHost cuts HOST/NAME as Docker does: without a host it is docker.io, and
// there a name of one part lies in library.
func splitHost(name string) (hostName, rest string) {
	hostName, rest, ok := strings.Cut(name, "/")
	if !ok || !isHost(hostName) {
		hostName, rest = "docker.io", name
	}
	if hostName == "docker.io" && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	return hostName, rest
}

func (c Config) openRepository(name string) (*repository, error) {
	if c.Registries == nil {
		return nil, fmt.Errorf("open %q: %w: there is no client for registries", name, errors.ErrUnsupported)
	}
	hostName, rest := splitHost(name)
	r, err := c.Registries.Repository(hostName, rest)
	if err != nil {
		return nil, err
	}
	repo := &repository{Repository: r, place: "registry " + r.String(), pieces: c.Pieces, small: map[digest.Digest]*smallOne{}}
	repo.ctx, repo.cancel = context.WithCancel(context.Background())
	return repo, nil
}

// Tags returns the tags of the repository HOST/NAME.
func (c Config) Tags(ctx context.Context, name string) ([]string, error) {
	r, err := c.openRepository(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	const most = 100_000
	var tags []string
	for tag, err := range r.Tags(ctx) {
		if err != nil {
			return nil, err
		}
		if isTag(tag) && len(tags) < most {
			tags = append(tags, tag)
		}
	}
	return tags, nil
}

// Pieces implements Remote.
func (r *repository) Pieces() *blobcache.Cache { return r.pieces }

// Close ends what is fetched ahead. Connections belong to the client.
func (r *repository) Close() error {
	r.cancel()
	r.fetches.Wait()
	return nil
}

// Resolve asks the registry for the manifest that a name stands for, unless
// its digest is in the name and the manifest in the cache.
func (r *repository) Resolve(ctx context.Context, name string) (ocispec.Descriptor, error) {
	ref := defaultTag
	if _, d, ok := cutDigest(name); ok {
		ref = d.String()
		if data, ok := r.cached(d); ok {
			return documentDescriptor(d, data, "")
		}
	} else if _, tag := cutTag(name); tag != "" {
		ref = tag
	}
	desc, data, err := r.Manifest(ctx, ref)
	if err != nil {
		return desc, err
	}
	r.hold(desc.Digest, data)
	return documentDescriptor(desc.Digest, data, desc.MediaType)
}

// documentDescriptor describes a manifest, whose type is the one that it
// states itself, or the one that came with it.
func documentDescriptor(d digest.Digest, data []byte, mediaType string) (ocispec.Descriptor, error) {
	doc, err := parseDocument(data)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("read %s: %w", d, err)
	}
	if t := doc.mediaType(); t != "" {
		mediaType = t
	}
	if !isIndex(mediaType) && !isManifest(mediaType) {
		return ocispec.Descriptor{}, fmt.Errorf("read %s: %q is not the type of a manifest or an index", d, mediaType)
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}, nil
}

// hold keeps a small blob, and puts it into the cache.
func (r *repository) hold(d digest.Digest, data []byte) {
	one := &smallOne{done: make(chan struct{}), data: data}
	close(one.done)
	r.mu.Lock()
	r.small[d] = one
	r.mu.Unlock()
	r.keep(d, data)
}

func sum256(d digest.Digest) (sum [sha256.Size]byte, ok bool) {
	if d.Validate() != nil || d.Algorithm() != digest.SHA256 {
		return sum, false
	}
	n, err := hex.Decode(sum[:], []byte(d.Encoded()))
	return sum, err == nil && n == len(sum)
}

// cached returns a small blob from the cache.
func (r *repository) cached(d digest.Digest) ([]byte, bool) {
	sum, ok := sum256(d)
	if !ok || r.pieces == nil {
		return nil, false
	}
	return r.pieces.Get(sum)
}

// Prefetch implements Remote.
func (r *repository) Prefetch(ctx context.Context, descs ...ocispec.Descriptor) {
	for _, d := range descs {
		if isSmall(d) {
			r.fetches.Go(func() {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				defer context.AfterFunc(r.ctx, cancel)()
				_, _ = r.fetchSmall(ctx, d) // who needs it finds the error again
			})
		}
	}
}

func isSmall(desc ocispec.Descriptor) bool {
	return isDocument(desc) || desc.Size > 0 && desc.Size <= smallBlob
}

func isDocument(desc ocispec.Descriptor) bool {
	return isIndex(desc.MediaType) || isManifest(desc.MediaType)
}

// Open opens a blob. Nothing but a small one is read before it is asked for.
func (r *repository) Open(ctx context.Context, desc ocispec.Descriptor) (Blob, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := checkDescriptor(desc); err != nil {
		return nil, fmt.Errorf("open blob in %s: %w", r.place, err)
	}
	r.mu.Lock()
	held := r.small[desc.Digest] != nil
	r.mu.Unlock()
	if held || isSmall(desc) {
		data, err := r.fetchSmall(ctx, desc)
		if err != nil {
			return nil, err
		}
		if err := checkSize(desc, int64(len(data))); err != nil {
			return nil, fmt.Errorf("open blob in %s: %w", r.place, err)
		}
		return memBlob{bytes.NewReader(data)}, nil
	}
	if desc.Size == 0 {
		size, err := r.BlobSize(ctx, desc.Digest)
		if err != nil {
			return nil, err
		}
		desc.Size = size
	}
	return r.Blob(ctx, desc)
}

// fetchSmall returns a small blob, which is fetched once and compared with its
// digest.
func (r *repository) fetchSmall(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	r.mu.Lock()
	one := r.small[desc.Digest]
	mine := one == nil
	if mine {
		one = &smallOne{done: make(chan struct{})}
		r.small[desc.Digest] = one
	}
	r.mu.Unlock()
	if !mine {
		select {
		case <-one.done:
			if errors.Is(one.err, context.Canceled) && ctx.Err() == nil {
				return r.fetchSmall(ctx, desc) // another caller gave up, not this one
			}
			return one.data, one.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	one.data, one.err = r.getSmall(ctx, desc)
	if one.err != nil {
		r.mu.Lock()
		delete(r.small, desc.Digest)
		r.mu.Unlock()
	}
	close(one.done)
	return one.data, one.err
}

func (r *repository) getSmall(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	if data, ok := r.cached(desc.Digest); ok {
		return data, nil
	}
	if isDocument(desc) {
		_, data, err := r.Manifest(ctx, desc.Digest.String())
		if err == nil {
			r.keep(desc.Digest, data)
		}
		return data, err
	}
	b, err := r.Blob(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	for try := 1; ; try++ {
		s, err := b.Stream(ctx, 0, desc.Size)
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(s)
		s.Close()
		if err != nil {
			return nil, err
		}
		if desc.Digest.Algorithm().FromBytes(data) == desc.Digest {
			r.keep(desc.Digest, data)
			return data, nil
		}
		if try == 2 {
			return nil, fmt.Errorf("read blob %s in %s: %w: its digest does not match", desc.Digest, r.place, registry.ErrDamaged)
		}
	}
}

func (r *repository) keep(d digest.Digest, data []byte) {
	if sum, ok := sum256(d); ok && r.pieces != nil {
		r.pieces.Put(sum, data)
	}
}

// Referrers implements Referrer.
func (r *repository) Referrers(ctx context.Context, d digest.Digest) ([]ocispec.Descriptor, error) {
	list, _, err := r.Repository.Referrers(ctx, d)
	return list, err
}

// memBlob is a blob in memory.
type memBlob struct{ *bytes.Reader }

func (memBlob) Close() error { return nil }

// Reader returns the bytes of a blob from the first to the last, as one
// stream where the blob is far away.
func Reader(ctx context.Context, b Blob) (io.ReadCloser, error) {
	if s, ok := b.(interface {
		Stream(ctx context.Context, off, n int64) (io.ReadCloser, error)
	}); ok {
		return s.Stream(ctx, 0, b.Size())
	}
	return io.NopCloser(io.NewSectionReader(b, 0, b.Size())), nil
}
