package pack

import (
	"container/list"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Source says where a pack lies and how it is cut.
type Source struct {
	Name        string // for errors
	Blob        io.ReaderAt
	Compression Compression
	FrameSize   int64
	TarSize     int64
	// Frame finds a frame by its number, from 0. It may be called from
	// several goroutines at once.
	Frame func(int) (Frame, error)
}

// A Reader reads the tar stream of a pack at any place. It decompresses the
// frames that a read touches, and checks each against its digest first. It
// may be used from several goroutines at once.
type Reader struct {
	src   Source
	cache *Cache
	id    uint64
	pool  sync.Pool // of *decompressor
}

var _ io.ReaderAt = (*Reader)(nil)

// ErrCorrupt is wrapped by errors about bytes that are not what their digest
// says.
var ErrCorrupt = errors.New("corrupt data")

// NewReader returns a Reader that keeps frames in cache, which several
// readers may share.
func NewReader(src Source, cache *Cache) (*Reader, error) {
	if src.FrameSize <= 0 || src.FrameSize > maxFrameSize || src.TarSize < 0 {
		return nil, fmt.Errorf("read pack %s: %w: frames of %d bytes for %d bytes", src.Name, ErrTable, src.FrameSize, src.TarSize)
	}
	return &Reader{src: src, cache: cache, id: cache.newID()}, nil
}

// Size returns the length of the tar stream in bytes.
func (r *Reader) Size() int64 { return r.src.TarSize }

// ReadAt implements io.ReaderAt over the tar stream.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read pack %s: negative offset", r.src.Name)
	}
	n := 0
	for n < len(p) {
		if off >= r.src.TarSize {
			return n, io.EOF
		}
		i := off / r.src.FrameSize
		frame, err := r.frame(int(i))
		if err != nil {
			return n, err
		}
		c := copy(p[n:], frame[off-i*r.src.FrameSize:])
		n, off = n+c, off+int64(c)
	}
	return n, nil
}

// frame returns the uncompressed bytes of a frame, which must not be changed.
func (r *Reader) frame(i int) ([]byte, error) {
	return r.cache.get(cacheKey{r.id, i}, func() ([]byte, error) {
		b, err := r.load(i)
		if err != nil {
			return nil, fmt.Errorf("read pack %s, frame %d: %w", r.src.Name, i, err)
		}
		return b, nil
	})
}

func (r *Reader) load(i int) ([]byte, error) {
	f, err := r.src.Frame(i)
	if err != nil {
		return nil, err
	}
	// No frame grows by more than this when it is stored.
	if f.Size < 0 || f.Offset < 0 || f.Size > r.src.FrameSize+r.src.FrameSize/8+1024 {
		return nil, fmt.Errorf("%w: a frame of %d bytes", ErrTable, f.Size)
	}
	packed := make([]byte, f.Size)
	if n, err := r.src.Blob.ReadAt(packed, f.Offset); n < len(packed) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if sha256.Sum256(packed) != f.SHA256 {
		return nil, fmt.Errorf("%w: digest does not match", ErrCorrupt)
	}
	dst := make([]byte, min(r.src.FrameSize, r.src.TarSize-int64(i)*r.src.FrameSize))
	k, _ := r.pool.Get().(*decompressor)
	if k == nil {
		if k, err = newDecompressor(r.src.Compression); err != nil {
			return nil, err
		}
	}
	if err := k.frame(dst, packed); err != nil {
		return nil, errors.Join(ErrCorrupt, err)
	}
	r.pool.Put(k)
	return dst, nil
}

// A Cache holds frames that were used last, for any number of readers. Two
// readers that want a frame at the same time load it once.
type Cache struct {
	limit int64 // bytes

	mu     sync.Mutex
	size   int64
	nextID uint64
	frames map[cacheKey]*list.Element // of *cached
	used   *list.List                 // latest first
}

type cacheKey struct {
	reader uint64
	frame  int
}

type cached struct {
	key  cacheKey
	done chan struct{}
	data []byte
	err  error
}

// NewCache returns a cache that holds about limit bytes.
func NewCache(limit int64) *Cache {
	return &Cache{limit: limit, frames: map[cacheKey]*list.Element{}, used: list.New()}
}

func (c *Cache) newID() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nextID++
	return c.nextID
}

// get returns the frame under key, loading it if needed.
func (c *Cache) get(key cacheKey, load func() ([]byte, error)) ([]byte, error) {
	c.mu.Lock()
	if e, ok := c.frames[key]; ok {
		c.used.MoveToFront(e)
		c.mu.Unlock()
		f := e.Value.(*cached)
		<-f.done
		return f.data, f.err
	}
	f := &cached{key: key, done: make(chan struct{})}
	e := c.used.PushFront(f)
	c.frames[key] = e
	c.mu.Unlock()

	f.data, f.err = load()
	close(f.done)

	c.mu.Lock()
	defer c.mu.Unlock()
	if f.err != nil {
		c.drop(e)
		return nil, f.err
	}
	c.size += int64(len(f.data))
	for back := c.used.Back(); c.size > c.limit && back != nil && back != e; back = c.used.Back() {
		if !c.drop(back) {
			break
		}
	}
	return f.data, nil
}

// drop removes a frame unless it is still being loaded.
func (c *Cache) drop(e *list.Element) bool {
	f := e.Value.(*cached)
	select {
	case <-f.done:
	default:
		return false
	}
	if _, ok := c.frames[f.key]; ok {
		delete(c.frames, f.key)
		c.used.Remove(e)
		c.size -= int64(len(f.data))
	}
	return true
}

// OpenBlob returns a Reader of a pack that ends in its own frame table. loc
// is where the table lies, as the layer's descriptor says it, or nil to find
// it by the footer.
func OpenBlob(ctx context.Context, name string, blob io.ReaderAt, size int64, c Compression, loc *Location, cache *Cache) (*Reader, error) {
	if loc == nil {
		found, err := Locate(blob, size, c)
		if err != nil {
			return nil, fmt.Errorf("open pack %s: %w", name, err)
		}
		loc = &found
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	table, err := ReadTable(blob, *loc, c)
	if err != nil {
		return nil, fmt.Errorf("open pack %s: %w", name, err)
	}
	index, err := table.Index(loc.Offset)
	if err != nil {
		return nil, fmt.Errorf("open pack %s: %w", name, err)
	}
	return NewReader(Source{Name: name, Blob: blob, Compression: c, FrameSize: table.FrameSize, TarSize: table.TarSize, Frame: index}, cache)
}
