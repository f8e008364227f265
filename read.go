package cdb

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
)

// The reading stage: files are read ahead by several goroutines and handed on
// in order. Small files travel in batches that share a buffer; a large one is
// a batch of its own and comes in chunks.
const (
	batchBytes = 1 << 20 // of a batch's buffer, and of a chunk
	batchItems = 256
	attempts   = 3 // to read a file that changes meanwhile
)

// errChanged says that a file never held still while it was read.
var errChanged = fmt.Errorf("it changed while it was read, %d times in a row; build again when nothing writes to it", attempts)

// A batch is some consecutive items on their way to the packer.
type batch struct {
	items []readItem
	done  chan struct{} // closed when the items have been read
	buf   []byte
	chunk chan chunk // of a large file, the only item
}

// A readItem is an item and, of a small file, what was read.
type readItem struct {
	*scan.Item
	ordinal int64
	entry   tree.Entry // as the opened file says it
	sum     [sha256.Size]byte
	data    []byte
	err     error // why the file could not be read
	late    bool  // it outgrew its batch and has not been read
}

// A chunk is a part of a large file.
type chunk struct {
	entry *tree.Entry // in the first: the opened file
	data  []byte
	buf   []byte             // to be given back
	sum   *[sha256.Size]byte // in the last
	err   error              // in the last
}

// A reader is the reading stage of one build.
type reader struct {
	listing *scan.Listing
	workers int
	ordered chan *batch // to the packer
	work    chan *batch // to the workers
	bufs    chan []byte // free buffers
}

func newReader(l *scan.Listing, workers int) *reader {
	return &reader{
		listing: l,
		workers: workers,
		ordered: make(chan *batch, 2*workers),
		work:    make(chan *batch, 2*workers),
		bufs:    make(chan []byte, 8*workers+8),
	}
}

// start begins the stage in g.
func (r *reader) start(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error { return r.dispatch(ctx) })
	for range r.workers {
		g.Go(func() error { return r.readBatches(ctx) })
	}
}

// dispatch cuts the listing into batches.
func (r *reader) dispatch(ctx context.Context) error {
	defer close(r.ordered)
	defer close(r.work)
	b := &batch{done: make(chan struct{})}
	var size, ordinal int64
	send := func() error {
		if len(b.items) == 0 {
			return nil
		}
		// To the packer first: it closes what never gets read.
		for _, c := range []chan *batch{r.ordered, r.work} {
			select {
			case c <- b:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		b, size = &batch{done: make(chan struct{})}, 0
		return nil
	}
	for it, err := range r.listing.Read(ctx) {
		if err != nil {
			return err
		}
		want := int64(0)
		if it.Type == tree.File && it.Link == "" {
			want = it.Size
		}
		if size+want > batchBytes || len(b.items) == batchItems {
			if err := send(); err != nil {
				return err
			}
		}
		b.items = append(b.items, readItem{Item: it, ordinal: ordinal, entry: it.Entry})
		size += want
		ordinal++
		if want > batchBytes {
			b.chunk = make(chan chunk, 2)
			if err := send(); err != nil {
				return err
			}
		}
	}
	return send()
}

// readBatches is one worker.
func (r *reader) readBatches(ctx context.Context) error {
	for b := range r.work {
		if b.chunk != nil {
			close(b.done)
			err := r.readLarge(ctx, b.items[0].Item, b.chunk)
			close(b.chunk)
			if err != nil {
				return err
			}
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		b.buf = r.buffer()
		rest := b.buf[:cap(b.buf)]
		for i := range b.items {
			it := &b.items[i]
			if it.Type == tree.File && it.Link == "" {
				it.readSmall(rest)
				rest = rest[len(it.data):]
			}
		}
		close(b.done)
	}
	return nil
}

func (r *reader) buffer() []byte {
	select {
	case b := <-r.bufs:
		return b
	default:
		return make([]byte, batchBytes)
	}
}

func (r *reader) recycle(b []byte) {
	if b == nil {
		return
	}
	select {
	case r.bufs <- b:
	default:
	}
}

// readSmall reads a whole file into buf, again if it changes meanwhile.
func (it *readItem) readSmall(buf []byte) {
	for range attempts {
		it.data, it.late, it.err = nil, false, nil
		n, changed, err := it.tryRead(buf)
		if err != nil {
			it.err = err
			return
		}
		if it.late {
			return
		}
		if !changed {
			it.data = buf[:n]
			it.sum = sha256.Sum256(it.data)
			return
		}
		it.err = errChanged
	}
}

// tryRead reads the file once.
func (it *readItem) tryRead(buf []byte) (n int, changed bool, err error) {
	f, err := it.Open()
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	it.entry = f.Entry()
	if it.entry.Size > int64(len(buf)) {
		it.late = true
		return 0, false, nil
	}
	n, err = readFull(f, buf[:it.entry.Size])
	if err != nil {
		return n, false, err
	}
	changed, err = f.Changed()
	return n, changed || int64(n) < it.entry.Size, err
}

// readFull reads until buf is full or the file ends.
func readFull(f *scan.File, buf []byte) (int, error) {
	n, err := io.ReadFull(f, buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}

// readLarge reads a file of any size once and sends it in chunks. Only ctx
// ends it with an error; what is wrong with the file goes into the last
// chunk.
func (r *reader) readLarge(ctx context.Context, it *scan.Item, out chan<- chunk) error {
	send := func(c chunk) error {
		select {
		case out <- c:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f, err := it.Open()
	if err != nil {
		return send(chunk{err: err})
	}
	defer f.Close()
	e := f.Entry()
	if err := send(chunk{entry: &e}); err != nil {
		return err
	}
	sum := sha256.New()
	for left := e.Size; left > 0; {
		c, err := r.readChunk(f, sum, left)
		if err != nil {
			return send(chunk{err: err})
		}
		left -= int64(len(c.data))
		if err := send(c); err != nil {
			return err
		}
	}
	if changed, err := f.Changed(); err != nil || changed {
		if err == nil {
			err = errChanged
		}
		return send(chunk{err: err})
	}
	last := chunk{sum: new([sha256.Size]byte)}
	sum.Sum(last.sum[:0])
	return send(last)
}

func (r *reader) readChunk(f *scan.File, sum hash.Hash, left int64) (chunk, error) {
	buf := r.buffer()
	n, err := readFull(f, buf[:min(left, int64(len(buf)))])
	if err == nil && n == 0 {
		err = errChanged // it has become shorter
	}
	if err != nil {
		r.recycle(buf)
		return chunk{}, err
	}
	sum.Write(buf[:n])
	return chunk{data: buf[:n], buf: buf}, nil
}
