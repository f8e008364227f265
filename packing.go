package cdb

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/store"
	"github.com/data-containers/cdb/internal/tree"
)

// A packer is the packing stage of one build: it takes items in order, writes
// packs, and sends rows to the catalog.
type packer struct {
	opts   *BuildOptions
	target store.Target
	reader *reader
	starts []int64 // ordinals at which packs begin, those passed left out
	rows   chan<- row
	skip   func(scan.Skip) error // says if the build goes on

	layers  []image.Layer
	upload  store.Upload
	pack    *pack.Writer
	parents []tree.Entry // the folders from the root to the current entry
	links   map[string]*linked
}

// A row is a message to the catalog: an entry, or a pack that is complete.
type row struct {
	entry *catalog.Entry
	pack  *catalog.Pack
}

// linked is a file with several hard links, until all have been seen.
type linked struct {
	entry *catalog.Entry
	left  uint64
}

// run packs all batches.
func (p *packer) run(ctx context.Context) error {
	p.links = map[string]*linked{}
	for b := range p.reader.ordered {
		select {
		case <-b.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		for i := range b.items {
			err := p.item(ctx, &b.items[i], b.chunk)
			b.items[i].Release()
			if err != nil {
				return err
			}
		}
		p.reader.recycle(b.buf)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return p.closePack(ctx)
}

// item packs one entry.
func (p *packer) item(ctx context.Context, it *readItem, chunks <-chan chunk) error {
	p.leave(it.Path)
	if len(p.starts) > 0 && it.ordinal >= p.starts[0] {
		p.starts = p.starts[1:]
		if err := p.nextPack(ctx); err != nil {
			return err
		}
	}
	switch {
	case it.Type != tree.File:
		return p.plain(ctx, &it.Entry)
	case it.Link != "":
		return p.link(ctx, it)
	case chunks != nil:
		return p.large(ctx, it, chunks)
	case it.late:
		return p.large(ctx, it, nil)
	case it.err != nil:
		return p.skipped(it, it.err)
	}
	e := &catalog.Entry{Entry: it.entry, SHA256: it.sum}
	if err := p.begin(e); err != nil {
		return err
	}
	if _, err := p.pack.Write(it.data); err != nil {
		return err
	}
	return p.add(ctx, it, e)
}

// leave drops the folders that path does not lie in.
func (p *packer) leave(path string) {
	for n := len(p.parents); n > 0; n-- {
		dir := p.parents[n-1].Path
		if dir == "" || strings.HasPrefix(path, dir) && len(path) > len(dir) && path[len(dir)] == '/' {
			break
		}
		p.parents = p.parents[:n-1]
	}
}

// plain packs a folder or a symbolic link.
func (p *packer) plain(ctx context.Context, e *tree.Entry) error {
	if name := p.name(e.Path); name != "" {
		if err := p.pack.Header(name, e); err != nil {
			return err
		}
	}
	if e.Type == tree.Dir {
		p.parents = append(p.parents, *e)
	}
	return p.send(ctx, row{entry: &catalog.Entry{Entry: *e}})
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
	if l == nil || l.entry.Pack != len(p.layers)+1 {
		it.Link = ""
		err := p.large(ctx, it, nil)
		delete(p.links, it.Path)
		return err
	}
	e := *l.entry
	e.Path, e.Link = it.Path, it.Link
	h := e.Entry
	h.Link = p.name(it.Link)
	if err := p.pack.Header(p.name(e.Path), &h); err != nil {
		return err
	}
	return p.send(ctx, row{entry: &e})
}

// large packs a file that comes in chunks; without chunks it is read here and
// now. A file that changes meanwhile is taken back and read again.
func (p *packer) large(ctx context.Context, it *readItem, chunks <-chan chunk) error {
	var err error
	for range attempts {
		if chunks == nil {
			chunks = p.readNow(ctx, it)
		}
		if err = p.pack.Mark(); err != nil {
			return err
		}
		var e *catalog.Entry
		var bad error
		e, bad, err = p.stream(chunks)
		if err != nil {
			return err
		}
		if bad == nil {
			return p.add(ctx, it, e)
		}
		if err := p.pack.Rewind(); err != nil {
			return err
		}
		if !errors.Is(bad, errChanged) {
			return p.skipped(it, bad)
		}
		chunks = nil
	}
	return p.skipped(it, errChanged)
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
func (p *packer) stream(chunks <-chan chunk) (e *catalog.Entry, bad, err error) {
	for c := range chunks {
		switch {
		case c.err != nil:
			bad = c.err
		case c.entry != nil:
			e = &catalog.Entry{Entry: *c.entry}
			e.Link = ""
			err = p.begin(e)
		case c.sum != nil:
			e.SHA256 = *c.sum
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

// begin writes the header of a regular file and notes where its bytes lie.
func (p *packer) begin(e *catalog.Entry) error {
	if err := p.pack.Header(p.name(e.Path), &e.Entry); err != nil {
		return err
	}
	e.Pack, e.Offset = len(p.layers)+1, p.pack.Offset()
	return nil
}

// add sends a regular file to the catalog.
func (p *packer) add(ctx context.Context, it *readItem, e *catalog.Entry) error {
	if n := it.Stat().Nlink; n > 1 {
		p.links[e.Path] = &linked{entry: e, left: n - 1}
	}
	p.opts.Progress.addFile()
	if it.data != nil {
		p.opts.Progress.addBytes(int64(len(it.data)))
	}
	return p.send(ctx, row{entry: e})
}

func (p *packer) send(ctx context.Context, r row) error {
	select {
	case p.rows <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// skipped names a file that could not be read.
func (p *packer) skipped(it *readItem, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("it vanished during the build")
	}
	return p.skip(scan.Skip{Path: it.Path, Err: err})
}

// name returns the name in the tar of the entry with this path; "" for the
// root of an image.
func (p *packer) name(path string) string {
	prefix := strings.TrimPrefix(p.opts.Prefix, "/")
	switch {
	case prefix == "":
		return path
	case path == "":
		return prefix
	}
	return prefix + "/" + path
}

// nextPack ends the current pack and begins another, with the folders that
// the next entry lies in: each layer says of its folders what the others say.
func (p *packer) nextPack(ctx context.Context) error {
	if err := p.closePack(ctx); err != nil {
		return err
	}
	var err error
	if p.upload, err = p.target.Create(ctx); err != nil {
		return err
	}
	p.pack, err = pack.NewWriter(ctx, p.upload, pack.WriterOptions{Compression: p.opts.Compression, Workers: p.opts.Workers})
	if err != nil {
		return err
	}
	prefix := strings.Trim(p.opts.Prefix, "/")
	for i := range len(prefix) {
		if prefix[i] == '/' {
			above := tree.Entry{Type: tree.Dir, Mode: 0o755, ModTime: time.Unix(0, 0)}
			if err := p.pack.Header(prefix[:i], &above); err != nil {
				return err
			}
		}
	}
	for _, dir := range p.parents {
		if name := p.name(dir.Path); name != "" {
			if err := p.pack.Header(name, &dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// closePack ends the current pack, if there is one.
func (p *packer) closePack(ctx context.Context) error {
	if p.pack == nil {
		return nil
	}
	info, err := p.pack.Close()
	p.pack = nil
	if err != nil {
		return err
	}
	if err := p.upload.Commit(ctx, info.Digest, info.Size); err != nil {
		return err
	}
	p.upload = nil
	p.layers = append(p.layers, image.NewLayer(info, image.RoleData))
	return p.send(ctx, row{pack: &catalog.Pack{
		ID:        len(p.layers),
		Digest:    info.Digest.String(),
		DiffID:    info.DiffID.String(),
		MediaType: info.MediaType,
		Size:      info.Size,
		TarSize:   info.Table.TarSize,
		FrameSize: info.Table.FrameSize,
		Frames:    info.Table.Records,
	}})
}

// abort drops what is half-written.
func (p *packer) abort() {
	if p.pack != nil {
		p.pack.Abort()
	}
	if p.upload != nil {
		// The error that led here says more.
		_ = p.upload.Abort()
	}
}

// catalogRows is the catalog stage.
func catalogRows(ctx context.Context, w *catalog.Writer, rows <-chan row) error {
	for {
		select {
		case r, ok := <-rows:
			switch {
			case !ok:
				return nil
			case r.pack != nil:
				if err := w.AddPack(r.pack); err != nil {
					return err
				}
			default:
				if err := w.Add(r.entry); err != nil {
					return err
				}
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
