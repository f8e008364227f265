package cdb

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"iter"

	"golang.org/x/sync/errgroup"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
)

// A batch of files to hash goes to one worker.
const (
	hashBatchItems = 64
	hashBatchBytes = 1 << 20 // but a larger file is a batch of its own
	hashBuffer     = 256 << 10
	hashAttempts   = 3 // to read a file that changes meanwhile
)

// A hashedFolder is a scanned folder whose entries come with digests, as a
// build of it would have them.
type hashedFolder struct {
	listing  *scan.Listing
	workers  int
	progress *Progress
	skip     func(scan.Skip)
	links    map[string]*linkSum // of files that have hard links still to come
}

// A linkSum is what hard links share.
type linkSum struct {
	size int64
	sum  [sha256.Size]byte
	left uint64
}

// A hashBatch is some consecutive entries on their way to the iteration.
type hashBatch struct {
	items []hashItem
	done  chan struct{} // closed when the files have been hashed
}

type hashItem struct {
	entry catalog.Entry
	item  *scan.Item // of a file to hash
	nlink uint64
	err   error // why the file could not be read
}

// entries yields the entry with path under and all below it. Files are hashed
// ahead by several goroutines, which end with the iteration.
func (f *hashedFolder) entries(ctx context.Context, under string) iter.Seq2[*catalog.Entry, error] {
	return func(yield func(*catalog.Entry, error) bool) {
		inner, cancel := context.WithCancel(ctx)
		defer cancel()
		g, inner := errgroup.WithContext(inner)
		ordered, work := make(chan *hashBatch, 2*f.workers), make(chan *hashBatch, 2*f.workers)
		g.Go(func() error {
			defer close(ordered)
			defer close(work)
			return f.dispatch(inner, under, ordered, work)
		})
		for range f.workers {
			g.Go(func() error {
				f.hashBatches(inner, work)
				return nil
			})
		}
		more := f.deliver(inner, ordered, yield)
		if !more {
			cancel()
		}
		err := g.Wait()
		if err == nil {
			err = ctx.Err()
		}
		if more && err != nil {
			yield(nil, err)
		}
	}
}

// dispatch cuts what lies below under into batches.
func (f *hashedFolder) dispatch(ctx context.Context, under string, outs ...chan<- *hashBatch) error {
	b, size := &hashBatch{done: make(chan struct{})}, int64(0)
	send := func() error {
		for _, out := range outs {
			select {
			case out <- b:
			case <-ctx.Done():
				b.release()
				return ctx.Err()
			}
		}
		b, size = &hashBatch{done: make(chan struct{})}, 0
		return nil
	}
	for it, err := range f.listing.Read(ctx) {
		if err != nil {
			b.release()
			return err
		}
		if !tree.Within(it.Path, under) {
			it.Release()
			continue
		}
		h := hashItem{entry: catalog.Entry{Entry: it.Entry}, nlink: it.Stat().Nlink, item: it}
		want := it.Size
		if it.Type != tree.File || it.Link != "" && tree.Within(it.Link, under) {
			it.Release()
			h.item, want = nil, 0
		}
		if len(b.items) > 0 && (size+want > hashBatchBytes || len(b.items) == hashBatchItems) {
			if err := send(); err != nil {
				if h.item != nil {
					it.Release()
				}
				return err
			}
		}
		b.items = append(b.items, h)
		size += want
	}
	return send()
}

// release drops the items of a batch that no worker got.
func (b *hashBatch) release() {
	for i := range b.items {
		if b.items[i].item != nil {
			b.items[i].item.Release()
		}
	}
}

// hashBatches is one worker. When ctx ends it goes on, as that is how the
// rest is released, but reads no more.
func (f *hashedFolder) hashBatches(ctx context.Context, work <-chan *hashBatch) {
	buf := make([]byte, hashBuffer)
	for b := range work {
		for i := range b.items {
			h := &b.items[i]
			if h.item == nil {
				continue
			}
			h.err = f.hash(ctx, h, buf)
			h.item.Release()
		}
		close(b.done)
	}
}

// hash reads a file, again if it changes meanwhile.
func (f *hashedFolder) hash(ctx context.Context, h *hashItem, buf []byte) error {
	for range hashAttempts {
		if err := ctx.Err(); err != nil {
			return err
		}
		file, err := h.item.Open()
		if err != nil {
			return err
		}
		h.entry.Entry = file.Entry()
		sum := sha256.New()
		// It may grow faster than it is read.
		src := io.LimitReader(&contextReader{ctx, file}, h.entry.Size+1)
		n, err := io.CopyBuffer(sum, src, buf)
		changed := n != h.entry.Size
		if err == nil && !changed {
			changed, err = file.Changed()
		}
		file.Close()
		f.progress.addBytes(n)
		if err != nil {
			return err
		}
		if !changed {
			sum.Sum(h.entry.SHA256[:0])
			f.progress.addFile()
			return nil
		}
	}
	return errors.New("it changed while it was read; compare again when nothing writes to it")
}

// deliver yields the batches in order. It returns false if yield did.
func (f *hashedFolder) deliver(ctx context.Context, ordered <-chan *hashBatch, yield func(*catalog.Entry, error) bool) bool {
	for b := range ordered {
		select {
		case <-b.done:
		case <-ctx.Done():
			return true
		}
		if ctx.Err() != nil {
			return true // errors of files may be that of ctx
		}
		for i := range b.items {
			h := &b.items[i]
			if err := f.finish(h); err != nil {
				f.skip(scan.Skip{Path: h.entry.Path, Err: err})
				continue
			}
			if !yield(&h.entry, nil) {
				return false
			}
		}
	}
	return true
}

// finish completes hard links, which were not read again.
func (f *hashedFolder) finish(h *hashItem) error {
	e := &h.entry
	switch {
	case errors.Is(h.err, fs.ErrNotExist):
		return errors.New("it vanished during the comparison")
	case h.err != nil:
		return h.err
	case e.Type != tree.File:
	case h.item != nil:
		if h.nlink > 1 {
			f.links[e.Path] = &linkSum{e.Size, e.SHA256, h.nlink - 1}
		}
	default:
		l := f.links[e.Link]
		if l == nil {
			return errors.New("the file that it is a hard link of could not be read")
		}
		if l.left--; l.left == 0 {
			delete(f.links, e.Link)
		}
		f.progress.addFile()
		e.Size, e.SHA256 = l.size, l.sum
	}
	if e.Type == tree.File {
		e.Link = ""
	}
	return nil
}
