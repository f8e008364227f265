package cdb

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

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
	// wanted says that there is something to read.
	wanted bool
}

// A readItem is an item and, of a small file, what was read.
type readItem struct {
	*scan.Item // nil for a row of the parent that is gone or stays
	match
	ordinal int64
	entry   tree.Entry // as the opened file says it
	state   state
	sum     [sha256.Size]byte
	data    []byte
	err     error  // why the file could not be read
	fresh   bool   // meta was extracted by this build
	meta    string // without contexts
	late    bool   // it outgrew its batch and has not been read
}

// wanted says if the bytes of the item must be read.
func (it *readItem) wanted() bool {
	return it.Item != nil && it.Type == tree.File && it.Link == "" && !it.keep && it.adopt == nil
}

// A state is what the next build is to recognise an unchanged file by.
type state struct {
	stat    scan.Stat
	settled bool
}

func stateOf(f *scan.File, start time.Time) state {
	return state{f.Stat(), scan.Settled(f.Stat(), start)}
}

// A chunk is a part of a large file.
type chunk struct {
	entry *tree.Entry // in the first: the opened file
	state state       // in the first
	data  []byte
	buf   []byte             // to be given back
	sum   *[sha256.Size]byte // in the last
	meta  string             // in the last
	err   error              // in the last
}

// A reader is the reading stage of one build.
type reader struct {
	listing    *scan.Listing
	merger     *merger
	extraction *extraction
	workers    int
	ordered    chan *batch // to the packer
	work       chan *batch // to the workers
	bufs       chan []byte // free buffers
}

func newReader(l *scan.Listing, m *merger, workers int) *reader {
	return &reader{
		listing: l,
		merger:  m,

		extraction: &extraction{},
		workers:    workers,
		ordered:    make(chan *batch, 2*workers),
		work:       make(chan *batch, 2*workers),
		bufs:       make(chan []byte, 8*workers+8),
	}
}

// start begins the stage in g.
func (r *reader) start(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error { return r.dispatch(ctx) })
	for range r.workers {
		g.Go(func() error { return r.readBatches(ctx) })
	}
}

// dispatch cuts the listing into batches, with what the parent image has and
// the listing has not in between.
func (r *reader) dispatch(ctx context.Context) error {
	defer close(r.ordered)
	defer close(r.work)
	b := &batcher{reader: r}
	b.next()
	passed := func(m match) error { return b.add(ctx, readItem{match: m}) }
	var ordinal int64
	for it, err := range r.listing.Read(ctx) {
		if err != nil {
			return err
		}
		ri := readItem{Item: it, ordinal: ordinal, entry: it.Entry}
		if err := r.merger.match(&ri, passed); err != nil {
			return err
		}
		if it.Mark != scan.NoMark {
			it.Release()
			continue
		}
		if err := b.add(ctx, ri); err != nil {
			return err
		}
		ordinal++
	}
	if err := r.merger.rest(passed); err != nil {
		return err
	}
	return b.send(ctx)
}

// A batcher makes batches for the workers and the packer.
type batcher struct {
	*reader
	batch *batch
	size  int64
}

func (b *batcher) next() {
	b.batch, b.size = &batch{done: make(chan struct{})}, 0
}

// add puts an item into the current batch, or a new one.
func (b *batcher) add(ctx context.Context, it readItem) error {
	want := int64(0)
	if it.wanted() {
		want = it.Size
	}
	if b.size+want > batchBytes || len(b.batch.items) == batchItems {
		if err := b.send(ctx); err != nil {
			return err
		}
	}
	b.batch.items = append(b.batch.items, it)
	b.batch.wanted = b.batch.wanted || it.wanted()
	b.size += want
	if want > batchBytes {
		b.batch.chunk = make(chan chunk, 2)
		return b.send(ctx)
	}
	return nil
}

// send hands the batch on: to the packer first, in order, then to the workers.
func (b *batcher) send(ctx context.Context) error {
	if len(b.batch.items) == 0 {
		return nil
	}
	to := []chan *batch{b.ordered, b.work}
	if !b.batch.wanted {
		close(b.batch.done)
		to = to[:1]
	}
	for _, c := range to {
		select {
		case c <- b.batch:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	b.next()
	return nil
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
			if it.wanted() {
				it.readSmall(rest)
				if it.err == nil && !it.late {
					it.meta, it.fresh = r.extraction.file(ctx, it.Path, it.data), true
				}
				rest = rest[len(it.data):]
			}
		}
		// What extractors said while they were being ended is not to be kept.
		if err := ctx.Err(); err != nil {
			return err
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

// readSmall reads a whole file into buf, again if it changes meanwhile, or may
// have changed unnoticed.
func (it *readItem) readSmall(buf []byte) {
	var before *[sha256.Size]byte // what the last attempt read, if it may do
	for range attempts {
		it.data, it.late, it.err = nil, false, nil
		n, sure, err := it.tryRead(buf)
		if err != nil && !errors.Is(err, errChanged) {
			it.err = err
			return
		}
		if it.late {
			return
		}
		if err != nil {
			it.err, before = err, nil
			continue
		}
		sum := sha256.Sum256(buf[:n])
		if sure || before != nil && *before == sum {
			it.data, it.sum = buf[:n], sum
			return
		}
		it.err, before = errChanged, &sum
	}
}

// tryRead reads the file once. It is not sure if the file may have changed
// without a trace; if it has, with a trace, that is errChanged.
func (it *readItem) tryRead(buf []byte) (n int, sure bool, err error) {
	start := time.Now()
	f, err := it.Open()
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	it.entry, it.state = f.Entry(), stateOf(f, start)
	if it.entry.Size > int64(len(buf)) {
		it.late = true
		return 0, false, nil
	}
	n, err = readFull(f, buf[:it.entry.Size])
	if err != nil {
		return n, false, err
	}
	changed, err := f.Changed()
	if err == nil && (changed || int64(n) < it.entry.Size) {
		err = errChanged
	}
	return n, showsChanges(f.Stat(), start), err
}

// Times of files stand still for a tick, so a file can change while it is read
// and have the same times as when it was opened, if those are not older than a
// tick. A write in place sets them once, when it begins, so ticks are counted
// generously.
const (
	tick       = 100 * time.Millisecond
	coarseTick = 2100 * time.Millisecond // where times are whole seconds, or two
)

// showsChanges says if a change of a file, which was in state st when it was
// opened after start, would show in its times.
func showsChanges(st scan.Stat, start time.Time) bool {
	longest := tick
	if st.ChangeTime.Nanosecond() == 0 {
		longest = coarseTick
	}
	return st.ChangeTime.Before(start.Round(0).Add(-longest))
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
	start := time.Now()
	f, err := it.Open()
	if err != nil {
		return send(chunk{err: err})
	}
	defer f.Close()
	e := f.Entry()
	if err := send(chunk{entry: &e, state: stateOf(f, start)}); err != nil {
		return err
	}
	sum := sha256.New()
	job := r.extraction.begin(it.Path, e.Size)
	defer job.Close()
	for left := e.Size; left > 0; {
		c, err := r.readChunk(f, io.MultiWriter(sum, job), left)
		if err != nil {
			return send(chunk{err: err})
		}
		left -= int64(len(c.data))
		if err := send(c); err != nil {
			return err
		}
	}
	last := chunk{sum: new([sha256.Size]byte), meta: job.Finish(ctx).Meta}
	if err := ctx.Err(); err != nil {
		return err
	}
	if changed, err := f.Changed(); err != nil || changed {
		if err == nil {
			err = errChanged
		}
		return send(chunk{err: err})
	}
	sum.Sum(last.sum[:0])
	if !showsChanges(f.Stat(), start) {
		if err := r.compareAgain(ctx, it, *last.sum); err != nil {
			return send(chunk{err: err})
		}
	}
	return send(last)
}

// compareAgain reads a file once more, which must have the same content.
func (r *reader) compareAgain(ctx context.Context, it *scan.Item, want [sha256.Size]byte) error {
	f, err := it.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	buf := r.buffer()
	defer r.recycle(buf)
	sum := sha256.New()
	for left := f.Entry().Size; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := readFull(f, buf[:min(left, int64(len(buf)))])
		if err != nil {
			return err
		}
		if n == 0 {
			return errChanged
		}
		sum.Write(buf[:n])
		left -= int64(n)
	}
	if [sha256.Size]byte(sum.Sum(nil)) != want {
		return errChanged
	}
	return nil
}

func (r *reader) readChunk(f *scan.File, to io.Writer, left int64) (chunk, error) {
	buf := r.buffer()
	n, err := readFull(f, buf[:min(left, int64(len(buf)))])
	if err == nil && n == 0 {
		err = errChanged // it has become shorter
	}
	if err != nil {
		r.recycle(buf)
		return chunk{}, err
	}
	to.Write(buf[:n]) // neither digests nor jobs fail
	return chunk{data: buf[:n], buf: buf}, nil
}
