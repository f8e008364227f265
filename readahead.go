package cdb

import (
	"context"
	"iter"
	"sync"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/store"
	"github.com/data-containers/cdb/internal/tree"
)

// Where each read costs a round trip, the frames of the files that are wanted
// next are fetched while others are being written: neighbours together, as
// long as what lies between them is not much, and several at the same time.
const (
	aheadGap     = 256 << 10 // bytes of a blob that are fetched in vain rather than asked for apart
	aheadRun     = 4 << 20   // bytes of a blob in one request, about
	aheadFrames  = 16 << 20  // bytes of tar stream in one request, at the most, about
	aheadBytes   = 64 << 20  // bytes of frames that wait for who writes files: half of remoteCache
	aheadLarge   = 2 << 20   // a larger file is read ahead by itself, when it is opened
	aheadWorkers = 6
	// remoteWorkers is how many files are written at once: waiting is most of
	// what they do.
	remoteWorkers = 8
	// remoteCache is the size in bytes of the cache of frames of a remote
	// container.
	remoteCache = 192 << 20
)

// remote returns the source, if it is far away.
func (c *Container) remote() store.Remote {
	r, _ := c.source.(store.Remote)
	return r
}

// readAhead yields entries as they come, and fetches what the files among
// them will need.
func (c *Container) readAhead(ctx context.Context, entries iter.Seq2[*catalog.Entry, error]) iter.Seq2[*catalog.Entry, error] {
	if c.remote() == nil {
		return entries
	}
	return func(yield func(*catalog.Entry, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		a := &ahead{c: c, ctx: ctx, out: make(chan aheadItem, 4096), room: newBudget(aheadBytes), slots: make(chan struct{}, aheadWorkers)}
		var plan sync.WaitGroup
		plan.Go(func() { a.plan(entries) })
		defer func() {
			cancel()
			a.room.close()
			for range a.out {
				continue // what was planned and is not wanted any more
			}
			plan.Wait()
			a.fetches.Wait()
		}()
		for it := range a.out {
			if it.err != nil {
				yield(nil, it.err)
				return
			}
			if !yield(it.entry, nil) {
				return
			}
			a.room.give(it.size)
		}
	}
}

// An ahead plans reads.
type ahead struct {
	c       *Container
	ctx     context.Context
	out     chan aheadItem
	room    *budget
	slots   chan struct{}
	fetches sync.WaitGroup

	held []aheadItem // entries of the current run
	run  frameRun
}

type aheadItem struct {
	entry *catalog.Entry
	size  int64
	err   error
}

// A frameRun is neighbouring frames of a pack.
type frameRun struct {
	pack       *pack.Reader
	first, end int   // frames
	offset     int64 // of its end in the blob
	size       int64 // in the blob
}

func (a *ahead) plan(entries iter.Seq2[*catalog.Entry, error]) {
	defer close(a.out)
	for e, err := range entries {
		if err == nil {
			err = a.ctx.Err()
		}
		if err != nil {
			a.flush()
			a.send(aheadItem{err: err})
			return
		}
		mine := *e
		it := aheadItem{entry: &mine}
		if e.Type == tree.File && e.Link == "" && e.Size > 0 && e.Size <= aheadLarge {
			a.want(&mine)
		}
		a.held = append(a.held, it)
		if len(a.held) >= 1024 && !a.flush() {
			return
		}
	}
	a.flush()
}

// want adds the frames of a file to the current run, or begins another one.
func (a *ahead) want(e *catalog.Entry) {
	r, err := a.c.pack(a.ctx, e.Pack)
	p, ok := r.(*pack.Reader)
	if err != nil || !ok {
		return // who reads it finds the error
	}
	first, end := p.FrameRange(e.Offset, e.Size)
	if first < a.run.end && p == a.run.pack && end <= a.run.end && first >= a.run.first {
		return
	}
	begin, err1 := p.FrameAt(first)
	last, err2 := p.FrameAt(end - 1)
	if err1 != nil || err2 != nil {
		return
	}
	offset := last.Offset + last.Size
	near := p == a.run.pack && first >= a.run.first && begin.Offset-a.run.offset <= aheadGap && a.run.size < aheadRun &&
		int64(end-a.run.first)*p.FrameSize() <= aheadFrames
	if !near {
		a.flush()
		a.run = frameRun{pack: p, first: first, end: end, offset: offset, size: offset - begin.Offset}
		return
	}
	a.run.size += offset - a.run.offset
	a.run.end, a.run.offset = end, offset
}

// flush sends for the frames of the current run, and hands on its entries.
func (a *ahead) flush() bool {
	run, held := a.run, a.held
	a.run, a.held = frameRun{}, nil
	if run.pack != nil {
		// Frames are kept for as long as the last of their files is not there.
		size := int64(run.end-run.first) * run.pack.FrameSize()
		held[len(held)-1].size = size
		if !a.room.take(a.ctx, size) {
			return false
		}
		select {
		case a.slots <- struct{}{}:
		case <-a.ctx.Done():
			return false
		}
		a.fetches.Go(func() {
			defer func() { <-a.slots }()
			run.pack.Fetch(run.first, run.end-run.first)
		})
	}
	for _, it := range held {
		if !a.send(it) {
			return false
		}
	}
	return true
}

func (a *ahead) send(it aheadItem) bool {
	select {
	case a.out <- it:
		return true
	case <-a.ctx.Done():
		return false
	}
}

// A budget is an amount that is taken and given back.
type budget struct {
	mu     sync.Mutex
	given  *sync.Cond
	left   int64
	all    int64
	closed bool
}

func newBudget(n int64) *budget {
	b := &budget{left: n, all: n}
	b.given = sync.NewCond(&b.mu)
	return b
}

// take waits until n is there, or all of it where n is more than that.
func (b *budget) take(ctx context.Context, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.left < min(n, b.all) && !b.closed && ctx.Err() == nil {
		b.given.Wait()
	}
	b.left -= n
	return !b.closed && ctx.Err() == nil
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left += n
	b.given.Broadcast()
}

func (b *budget) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.given.Broadcast()
}
