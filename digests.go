package cdb

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"

	"golang.org/x/sync/errgroup"

	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
)

// digestAll reads every file of a listing once, several at a time, and calls
// found for each entry in order: e is as the file was when it was read, sum
// its digest, or bad is why it could not be read.
func digestAll(ctx context.Context, listing *scan.Listing, workers int, p *Progress, found func(e tree.Entry, sum [sha256.Size]byte, bad error) error) error {
	merger, err := newMerger(ctx, nil, nil, false)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	d := &digester{reader: newReader(listing, merger, workers), progress: p, found: found, links: map[string][sha256.Size]byte{}}
	d.start(ctx, g)
	g.Go(func() error { return d.run(ctx) })
	return g.Wait()
}

// A digester takes what a reader reads and keeps but the digests.
type digester struct {
	*reader
	progress *Progress
	found    func(tree.Entry, [sha256.Size]byte, error) error
	links    map[string][sha256.Size]byte // of files with several hard links
}

func (d *digester) run(ctx context.Context) error {
	for b := range d.ordered {
		select {
		case <-b.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		for i := range b.items {
			err := d.item(ctx, &b.items[i], b.chunk)
			b.items[i].Release()
			if err != nil {
				return err
			}
		}
		d.recycle(b.buf)
	}
	return ctx.Err()
}

func (d *digester) item(ctx context.Context, it *readItem, chunks <-chan chunk) error {
	bad := it.err
	switch sum, linked := d.links[it.Link]; {
	case it.Type != tree.File:
	case it.Link != "" && linked:
		it.sum = sum
	case it.Link != "" || chunks != nil || it.late:
		var err error
		if bad, err = d.large(ctx, it, chunks); err != nil {
			return err
		}
	case bad == nil:
		d.progress.addBytes(int64(len(it.data)))
	}
	if it.Type == tree.File && bad == nil {
		d.progress.addFile()
		if it.Link == "" && it.Stat().Nlink > 1 {
			d.links[it.Path] = it.sum
		}
	}
	if errors.Is(bad, fs.ErrNotExist) {
		bad = errors.New("it vanished while it was to be read")
	}
	return d.found(it.entry, it.sum, bad)
}

// large takes the chunks of a file; without chunks it is read here and now. A
// file that changes meanwhile is read again.
func (d *digester) large(ctx context.Context, it *readItem, chunks <-chan chunk) (bad, err error) {
	for range attempts {
		if chunks == nil {
			c := make(chan chunk, 2)
			go func() {
				defer close(c)
				_ = d.readLarge(ctx, it.Item, c) // an error is that of ctx
			}()
			chunks = c
		}
		bad = context.Canceled // unless there is a last chunk
		for c := range chunks {
			switch {
			case c.err != nil:
				bad = c.err
			case c.entry != nil:
				it.entry = *c.entry
			case c.sum != nil:
				it.sum, bad = *c.sum, nil
			}
			d.progress.addBytes(int64(len(c.data)))
			d.recycle(c.buf)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !errors.Is(bad, errChanged) {
			return bad, nil
		}
		chunks = nil
	}
	return bad, nil
}
