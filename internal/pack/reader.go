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
	// Remote says that each read of the blob costs a round trip: neighbouring
	// frames are then read together, and ahead of who reads on.
	Remote bool
	// Frames keeps compressed frames, checked, for longer than the process
	// lives; nil keeps none.
	Frames FrameStore
}

// A FrameStore keeps bytes by their sha256. What it returns it has compared
// with that.
type FrameStore interface {
	Get(sum [sha256.Size]byte) ([]byte, bool)
	Put(sum [sha256.Size]byte, data []byte)
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

// FrameSize returns how many bytes of tar stream a frame holds.
func (r *Reader) FrameSize() int64 { return r.src.FrameSize }

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
	if f := r.cache.reserve(r.id, i); f != nil {
		r.load([]*cached{f})
		return f.data, f.err
	}
	return r.cache.wait(cacheKey{r.id, i}, func() ([]byte, error) { return r.frame(i) })
}

// maxRun is the length in bytes of what is read of a blob at once, at the
// most, about.
const maxRun = 4 << 20

// Fetch loads n frames from number first on, but those that are there or on
// their way, with as few reads of the blob as possible. What fails is found
// again by who reads it.
func (r *Reader) Fetch(first, n int) {
	var run []*cached
	for i := first; i < first+n; i++ {
		f := r.cache.reserve(r.id, i)
		if len(run) > 0 && (f == nil || len(run) >= r.longestRun()) {
			r.load(run)
			run = run[:0]
		}
		if f != nil {
			run = append(run, f)
		}
	}
	if len(run) > 0 {
		r.load(run)
	}
}

// longestRun is the number of frames that are read at once, at the most.
func (r *Reader) longestRun() int {
	return int(min(max(maxRun/r.src.FrameSize, 1), 64))
}

// load loads neighbouring frames and hands them to who waits for them.
func (r *Reader) load(run []*cached) {
	frames, err := r.locate(run)
	packed := make([][]byte, len(run))
	if err == nil {
		err = r.read(frames, packed)
	}
	for i, f := range run {
		var data []byte
		ferr := err
		if ferr == nil {
			data, ferr = r.unpack(f.key.frame, frames[i], packed[i])
		}
		if ferr != nil {
			ferr = fmt.Errorf("read pack %s, frame %d: %w", r.src.Name, f.key.frame, ferr)
		}
		r.cache.fill(f, data, ferr)
	}
}

// locate finds out where the frames of a run lie.
func (r *Reader) locate(run []*cached) ([]Frame, error) {
	frames := make([]Frame, len(run))
	for i := range run {
		f, err := r.src.Frame(run[i].key.frame)
		if err != nil {
			return nil, err
		}
		// No frame grows by more than this when it is stored.
		if f.Size < 0 || f.Offset < 0 || f.Size > r.src.FrameSize+r.src.FrameSize/8+1024 {
			return nil, fmt.Errorf("%w: a frame of %d bytes", ErrTable, f.Size)
		}
		if i > 0 && f.Offset != frames[i-1].Offset+frames[i-1].Size {
			return nil, fmt.Errorf("%w: a frame at %d instead of %d", ErrTable, f.Offset, frames[i-1].Offset+frames[i-1].Size)
		}
		frames[i] = f
	}
	return frames, nil
}

// read reads the compressed bytes of neighbouring frames: those that are not
// kept, with all in between, in one go.
func (r *Reader) read(frames []Frame, packed [][]byte) error {
	first, last := len(frames), -1
	for i, f := range frames {
		if r.src.Frames != nil {
			packed[i], _ = r.src.Frames.Get(f.SHA256)
		}
		if packed[i] == nil {
			first, last = min(first, i), i
		}
	}
	if last < 0 {
		return nil
	}
	offset := frames[first].Offset
	all := make([]byte, frames[last].Offset+frames[last].Size-offset)
	if err := r.readFull(all, offset); err != nil {
		return err
	}
	for i := first; i <= last; i++ {
		f := frames[i]
		part := all[f.Offset-offset:][:f.Size:f.Size]
		if sha256.Sum256(part) != f.SHA256 {
			// What went wrong on the way may go right the next time.
			part = make([]byte, f.Size)
			if err := r.readFull(part, f.Offset); err != nil {
				return err
			}
			if sha256.Sum256(part) != f.SHA256 {
				return fmt.Errorf("%w: digest does not match", ErrCorrupt)
			}
		}
		if packed[i] == nil && r.src.Frames != nil {
			r.src.Frames.Put(f.SHA256, part)
		}
		packed[i] = part
	}
	return nil
}

func (r *Reader) readFull(p []byte, off int64) error {
	n, err := r.src.Blob.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// unpack decompresses a frame that was checked.
func (r *Reader) unpack(i int, f Frame, packed []byte) (_ []byte, err error) {
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
	under  sync.WaitGroup             // loads that nobody waits for
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

// Go runs f in a goroutine that Wait waits for.
func (c *Cache) Go(f func()) { c.under.Go(f) }

// Wait waits for what is read ahead.
func (c *Cache) Wait() { c.under.Wait() }

// reserve makes a place for a frame, which the caller must fill. It returns
// nil if the frame is there or on its way.
func (c *Cache) reserve(reader uint64, frame int) *cached {
	key := cacheKey{reader, frame}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.frames[key]; ok {
		return nil
	}
	f := &cached{key: key, done: make(chan struct{})}
	c.frames[key] = c.used.PushFront(f)
	return f
}

// wait returns a frame that is there or on its way; gone is called if it has
// gone meanwhile.
func (c *Cache) wait(key cacheKey, gone func() ([]byte, error)) ([]byte, error) {
	c.mu.Lock()
	e, ok := c.frames[key]
	if !ok {
		c.mu.Unlock()
		return gone()
	}
	c.used.MoveToFront(e)
	c.mu.Unlock()
	f := e.Value.(*cached)
	<-f.done
	return f.data, f.err
}

// fill ends the loading of a frame, and makes room for it.
func (c *Cache) fill(f *cached, data []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.data, f.err = data, err
	close(f.done)
	e := c.frames[f.key]
	if err != nil {
		c.drop(e)
		return
	}
	c.size += int64(len(f.data))
	for back := c.used.Back(); c.size > c.limit && back != nil && back != e; back = c.used.Back() {
		if !c.drop(back) {
			break
		}
	}
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

// OpenBlob returns a Reader of a pack of size bytes that ends in its own frame
// table, which tells what src does not. loc is where the table lies, as the
// layer's descriptor says it, or nil to find it by the footer. A table that
// src.Frames has is not read again.
func OpenBlob(ctx context.Context, src Source, size int64, loc *Location, cache *Cache) (*Reader, error) {
	name, blob, c := src.Name, src.Blob, src.Compression
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
	table, err := readTable(src, *loc)
	if err != nil {
		return nil, fmt.Errorf("open pack %s: %w", name, err)
	}
	index, err := table.Index(loc.Offset)
	if err != nil {
		return nil, fmt.Errorf("open pack %s: %w", name, err)
	}
	src.FrameSize, src.TarSize, src.Frame = table.FrameSize, table.TarSize, index
	return NewReader(src, cache)
}
