package cdb

import (
	"context"
	"errors"
	"io/fs"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/extract"
	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
)

// A packer is the packing stage of one build: it takes items in order, writes
// packs, and sends rows to the catalog.
type packer struct {
	*packWriter
	reader *reader
	rows   chan<- row
	skip   func(scan.Skip) error // says if the build goes on
	memory *memory               // of what was packed, for the next build

	contexts *extract.Contextual

	starts []int64 // ordinals at which packs begin, those passed left out
	limit  int64   // bytes of tar stream at which a pack ends; 0 for none
	most   int64   // bytes of tar stream that a pack has at the most, about; 0 for any
	whites int     // the pack for whiteouts
	gone   string  // folder that was removed; what was in it needs no whiteout

	links    map[string]*linked
	adopting *adoption // whose rows are being taken over

	failed *scan.Item // the one that ended the packing, if it was being read
}

// A row is a message to the catalog.
type row struct {
	op    rowOp
	entry *catalog.Entry
	old   *catalog.Entry
	pack  *catalog.Pack
	white catalog.Whiteout
}

type rowOp int

const (
	rowAdd rowOp = iota
	rowKeep
	rowReplace
	rowRemove
	rowPack
	rowWhiteout
)

// linked is a file with several hard links, until all have been seen.
type linked struct {
	entry *catalog.Entry
	left  uint64
}

// run packs all batches. Whoever waits for the workers releases p.failed.
func (p *packer) run(ctx context.Context) error {
	p.links = map[string]*linked{}
	for b := range p.reader.ordered {
		select {
		case <-b.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		for i := range b.items {
			it := &b.items[i]
			err := p.item(ctx, it, b.chunk)
			switch {
			case it.Item == nil:
			case err != nil && b.chunk != nil:
				p.failed = it.Item // a worker may still read it
			default:
				it.Release()
			}
			if err != nil {
				return err
			}
		}
		p.reader.recycle(b.buf)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return p.finish(ctx)
}

// item packs one entry, or takes note that it is there, or that it is gone.
func (p *packer) item(ctx context.Context, it *readItem, chunks <-chan chunk) error {
	switch {
	case it.stay != nil:
		return p.stay(ctx, it)
	case it.Item == nil:
		return p.remove(ctx, it.old)
	}
	p.leave(it.Path)
	if err := p.cut(ctx, it); err != nil {
		return err
	}
	switch {
	case it.adopt != nil:
		return p.adopted(ctx, it)
	case it.Type != tree.File:
		return p.plain(ctx, it)
	case it.Link != "":
		return p.link(ctx, it)
	case it.keep:
		return p.kept(ctx, it)
	case chunks != nil:
		return p.large(ctx, it, chunks)
	case it.late:
		return p.large(ctx, it, nil)
	case it.err != nil:
		return p.skipped(it, it.err)
	}
	return p.small(ctx, it)
}

// cut ends the current pack if another begins with it.
func (p *packer) cut(ctx context.Context, it *readItem) error {
	full := p.limit > 0 && p.pack != nil && p.pack.Offset() >= p.limit
	if p.most > 0 && p.pack != nil && p.pack.Offset() > 0 && p.pack.Offset()+it.Size > p.most {
		full = true
	}
	if len(p.starts) > 0 && it.ordinal >= p.starts[0] {
		p.starts = p.starts[1:]
		full = true
	}
	if !full {
		return nil
	}
	return p.finish(ctx)
}

// small packs a file that was read.
func (p *packer) small(ctx context.Context, it *readItem) error {
	if it.unchanged(&it.entry, it.sum, p.reader.merger) {
		return p.kept(ctx, it)
	}
	e := &catalog.Entry{Entry: it.entry, SHA256: it.sum, Meta: p.contexts.Attach(it.Path, it.meta)}
	if err := p.begin(ctx, e); err != nil {
		return err
	}
	if _, err := p.pack.Write(it.data); err != nil {
		return err
	}
	p.opts.Progress.addBytes(int64(len(it.data)))
	return p.add(ctx, it, e)
}

// unchanged says if a file that had to be read is what the parent has.
func (it *readItem) unchanged(e *tree.Entry, sum [32]byte, m *merger) bool {
	return it.old != nil && it.old.SHA256 == sum && m.same(it.old, e)
}

// kept takes over the row of the parent, with what is known of the file now.
func (p *packer) kept(ctx context.Context, it *readItem) error {
	e := it.old
	if it.Type == tree.File {
		if it.fresh {
			e = p.describe(e, it.meta)
		} else {
			e = p.describe(e, e.Meta)
		}
		p.remember(it, e)
		p.opts.Progress.addFile()
		p.opts.Progress.addBytes(e.Size)
	}
	p.memory.add(it, e, 0)
	return p.take(ctx, it.old, e)
}

// describe returns the row e of a file with this metadata, and that of its
// context.
func (p *packer) describe(e *catalog.Entry, meta string) *catalog.Entry {
	if meta = p.contexts.Attach(e.Path, meta); meta == e.Meta {
		return e
	}
	described := *e
	described.Meta = meta
	return &described
}

// take sends a row of the parent on, or what has become of it.
func (p *packer) take(ctx context.Context, old, e *catalog.Entry) error {
	if e != old {
		return p.send(ctx, row{op: rowReplace, old: old, entry: e})
	}
	return p.send(ctx, row{op: rowKeep, entry: old})
}

// stay takes over a row of the parent that the changes do not touch.
func (p *packer) stay(ctx context.Context, it *readItem) error {
	p.leave(it.stay.Path)
	if it.stay.Type == tree.Dir {
		p.push(it.stay.Entry)
	}
	e := it.stay
	if e.Type == tree.File {
		e = p.describe(e, e.Meta)
	}
	return p.take(ctx, it.old, e)
}

// adopted takes over the row of a pack that an earlier build finished.
func (p *packer) adopted(ctx context.Context, it *readItem) error {
	if a := p.reader.merger.adopted[it.ordinal]; a != nil {
		p.adopting = a
	}
	e := &catalog.Entry{Entry: it.Entry, SHA256: it.adopt.SHA256, Pack: p.id, Offset: it.adopt.Offset, Meta: it.adopt.Meta}
	if it.Type == tree.File {
		e = p.describe(e, e.Meta)
	}
	if it.Type == tree.Dir {
		p.push(it.Entry)
	}
	it.state = state{it.Stat(), it.adopt.Settled}
	return p.add(ctx, it, e)
}

// plain packs a folder or a symbolic link.
func (p *packer) plain(ctx context.Context, it *readItem) error {
	if it.Type == tree.Dir {
		p.push(it.Entry)
	}
	if it.keep {
		return p.kept(ctx, it)
	}
	e := &catalog.Entry{Entry: it.Entry}
	if err := p.header(ctx, e); err != nil {
		return err
	}
	return p.put(ctx, it, e)
}

// link packs a further hard link. Its file may have failed to be read or may
// lie in another pack, where a link cannot point to; then it is a file of its
// own.
func (p *packer) link(ctx context.Context, it *readItem) error {
	l := p.links[it.Link]
	if l != nil {
		if l.left--; l.left == 0 {
			delete(p.links, it.Link)
		}
	}
	switch {
	case l == nil:
	case it.old != nil && p.reader.merger.same(it.old, &it.Entry) && it.old.Pack == l.entry.Pack && it.old.Offset == l.entry.Offset:
		it.meta, it.fresh = l.entry.Meta, true
		return p.kept(ctx, it)
	case p.pack != nil && l.entry.Pack == p.id:
		e := *l.entry
		e.Path, e.Link = it.Path, it.Link
		if err := p.header(ctx, &e); err != nil {
			return err
		}
		e.Offset = l.entry.Offset
		return p.add(ctx, it, p.describe(&e, e.Meta))
	}
	it.Link = ""
	err := p.large(ctx, it, nil)
	delete(p.links, it.Path)
	return err
}

// large packs a file that comes in chunks; without chunks it is read here and
// now. A file that changes meanwhile is taken back and read again.
func (p *packer) large(ctx context.Context, it *readItem, chunks <-chan chunk) error {
	if it.old != nil && p.reader.merger.same(it.old, &it.Entry) {
		same, err := p.compare(ctx, it, chunks)
		switch {
		case err != nil:
			return err
		case same:
			return p.kept(ctx, it)
		}
		chunks = nil
	}
	if err := p.open(ctx); err != nil {
		return err
	}
	for range attempts {
		if chunks == nil {
			chunks = p.readNow(ctx, it)
		}
		before := p.entries
		if err := p.pack.Mark(); err != nil {
			return err
		}
		e, bad, err := p.stream(ctx, it, chunks)
		if err != nil {
			return err
		}
		unchanged := bad == nil && it.unchanged(&e.Entry, e.SHA256, p.reader.merger)
		if bad == nil && !unchanged {
			return p.add(ctx, it, e)
		}
		if err := p.pack.Rewind(); err != nil {
			return err
		}
		p.entries = before
		switch {
		case unchanged:
			return p.kept(ctx, it)
		case !errors.Is(bad, errChanged):
			return p.skipped(it, bad)
		}
		chunks = nil
	}
	return p.skipped(it, errChanged)
}

// compare reads a file that looks as it did when the parent was made, and says
// if its bytes are the same. As it most likely is so, they are not packed.
func (p *packer) compare(ctx context.Context, it *readItem, chunks <-chan chunk) (same bool, err error) {
	if chunks == nil {
		chunks = p.readNow(ctx, it)
	}
	var opened *tree.Entry
	read := int64(0)
	for c := range chunks {
		switch {
		case c.entry != nil:
			opened, it.state = c.entry, c.state
		case c.sum != nil:
			opened.Link = ""
			it.meta, it.fresh = c.meta, true
			same = it.unchanged(opened, *c.sum, p.reader.merger)
		}
		read += int64(len(c.data))
		p.opts.Progress.addBytes(int64(len(c.data)))
		p.reader.recycle(c.buf)
	}
	p.opts.Progress.addBytes(-read) // it counts when it is kept or packed
	return same, ctx.Err()
}

// readNow reads a file in a goroutine that ends with its chunks, or ctx.
func (p *packer) readNow(ctx context.Context, it *readItem) <-chan chunk {
	c := make(chan chunk, 2)
	go func() {
		defer close(c)
		// An error is that of ctx, which the packer sees itself.
		_ = p.reader.readLarge(ctx, it.Item, c)
	}()
	return c
}

// stream packs the chunks of one file. bad is what is wrong with the file,
// err with the build.
func (p *packer) stream(ctx context.Context, it *readItem, chunks <-chan chunk) (e *catalog.Entry, bad, err error) {
	for c := range chunks {
		switch {
		case c.err != nil:
			bad = c.err
		case c.entry != nil:
			e = &catalog.Entry{Entry: *c.entry}
			e.Link = ""
			it.state = c.state
			err = p.begin(ctx, e)
		case c.sum != nil:
			it.meta, it.fresh = c.meta, true
			e.SHA256, e.Meta = *c.sum, p.contexts.Attach(it.Path, c.meta)
			return e, nil, err
		case err == nil && bad == nil:
			_, err = p.pack.Write(c.data)
			p.opts.Progress.addBytes(int64(len(c.data)))
		}
		p.reader.recycle(c.buf)
		if err != nil {
			return nil, nil, err
		}
	}
	if bad == nil {
		return nil, nil, context.Canceled
	}
	return nil, bad, nil
}

// add sends a regular file to the catalog.
func (p *packer) add(ctx context.Context, it *readItem, e *catalog.Entry) error {
	if e.Type == tree.File {
		if e.Link == "" {
			p.remember(it, e)
		}
		p.opts.Progress.addFile()
	}
	return p.put(ctx, it, e)
}

// remember keeps a file that further hard links will want.
func (p *packer) remember(it *readItem, e *catalog.Entry) {
	if n := it.Stat().Nlink; n > 1 && it.Link == "" {
		kept := *e // e itself is the catalog's as soon as it is sent
		p.links[e.Path] = &linked{entry: &kept, left: n - 1}
	}
}

// put sends a new or changed row to the catalog.
func (p *packer) put(ctx context.Context, it *readItem, e *catalog.Entry) error {
	p.memory.add(it, e, p.ordinal())
	if it.old != nil {
		return p.send(ctx, row{op: rowReplace, old: it.old, entry: e})
	}
	return p.send(ctx, row{op: rowAdd, entry: e})
}

// remove takes out a row of the parent. A whiteout hides it, or the folder
// that it lies in.
func (p *packer) remove(ctx context.Context, old *catalog.Entry) error {
	if p.gone == "" || !tree.Within(old.Path, p.gone) {
		p.gone = ""
		if old.Type == tree.Dir {
			p.gone = old.Path
		}
		white := catalog.Whiteout{Path: old.Path, Pack: p.whites}
		if err := p.send(ctx, row{op: rowWhiteout, white: white}); err != nil {
			return err
		}
	}
	return p.send(ctx, row{op: rowRemove, old: old})
}

func (p *packer) send(ctx context.Context, r row) error {
	select {
	case p.rows <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// skipped names a file that could not be read. What the parent had in its
// place is gone.
func (p *packer) skipped(it *readItem, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("it vanished during the build")
	}
	if err := p.skip(scan.Skip{Path: it.Path, Err: err}); err != nil {
		return err
	}
	if it.old == nil {
		return nil
	}
	return p.remove(p.ctx, it.old)
}

// finish ends the current pack, if there is one, and tells the catalog.
func (p *packer) finish(ctx context.Context) error {
	done, err := p.close(ctx)
	if a := p.adopting; a != nil {
		p.adopting = nil
		done = p.adopt(a)
	}
	if err != nil || done == nil {
		return err
	}
	p.memory.endPack(done)
	return p.send(ctx, row{op: rowPack, pack: done})
}

// adopt adds the pack of an earlier build to the image.
func (p *packer) adopt(a *adoption) *catalog.Pack {
	r := &a.run.PackRecord
	done := &catalog.Pack{
		ID: p.id, Digest: r.Digest, DiffID: r.DiffID, MediaType: r.MediaType,
		Size: r.Size, TarSize: r.TarSize, FrameSize: r.FrameSize, Frames: r.Frames,
	}
	p.layers = append(p.layers, packLayer{image.DataLayer(done), p.id})
	p.id++
	return done
}

// catalogRows is the catalog stage.
func catalogRows(ctx context.Context, w *catalog.Writer, rows <-chan row) error {
	for {
		select {
		case r, ok := <-rows:
			if !ok {
				return nil
			}
			if err := r.apply(w); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *row) apply(w *catalog.Writer) error {
	switch r.op {
	case rowKeep:
		return w.Keep(r.entry)
	case rowReplace:
		return w.Replace(r.old, r.entry)
	case rowRemove:
		return w.Remove(r.old)
	case rowPack:
		return w.AddPack(r.pack)
	case rowWhiteout:
		return w.AddWhiteout(r.white)
	}
	return w.Add(r.entry)
}
