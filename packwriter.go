package cdb

import (
	"context"
	"strings"
	"time"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/store"
	"github.com/data-containers/cdb/internal/tree"
)

// A packWriter writes packs to a target, each with the folders that its
// entries lie in.
type packWriter struct {
	ctx    context.Context // of what is written
	opts   *BuildOptions
	target store.Target
	id     int // of the current pack, or of the next

	layers  []packLayer
	upload  store.Upload
	pack    *pack.Writer
	entries int // in the current pack, without the folders above
	parents []parent
}

// A parent is a folder from the root to the current entry.
type parent struct {
	tree.Entry
	written bool // in the current pack
}

// A packLayer is a data layer of the image.
type packLayer struct {
	image.Layer
	id int // of the pack in the catalog
}

// ordinal returns the number of the current pack in this build, from 1.
func (p *packWriter) ordinal() int { return len(p.layers) + 1 }

// leave drops the folders that path does not lie in.
func (p *packWriter) leave(path string) {
	for n := len(p.parents); n > 0; n-- {
		dir := p.parents[n-1].Path
		if tree.Within(path, dir) && path != dir {
			return
		}
		p.parents = p.parents[:n-1]
	}
}

// push enters a folder.
func (p *packWriter) push(e tree.Entry) { p.parents = append(p.parents, parent{Entry: e}) }

// header writes the header of e, after those of the folders it lies in, and
// notes where it lies.
func (p *packWriter) header(ctx context.Context, e *catalog.Entry) error {
	p.entries++
	if err := p.open(ctx); err != nil {
		return err
	}
	name := p.name(e.Path)
	if name == "" {
		return nil
	}
	e.Pack = p.id
	if e.Type == tree.Dir {
		return nil // open has written it
	}
	h := e.Entry
	if h.Type == tree.File && h.Link != "" {
		h.Link = p.name(h.Link)
	}
	return p.pack.Header(name, &h)
}

// begin is header for a regular file whose bytes follow.
func (p *packWriter) begin(ctx context.Context, e *catalog.Entry) error {
	if err := p.header(ctx, e); err != nil {
		return err
	}
	e.Offset = p.pack.Offset()
	return nil
}

// open begins a pack if there is none, and writes the folders that were
// entered: each layer says of its folders what the others say.
func (p *packWriter) open(ctx context.Context) error {
	if p.pack == nil {
		if err := p.beginPack(ctx); err != nil {
			return err
		}
	}
	for i := range p.parents {
		dir := &p.parents[i]
		name := p.name(dir.Path)
		if dir.written || name == "" {
			continue
		}
		dir.written = true
		if err := p.pack.Header(name, &dir.Entry); err != nil {
			return err
		}
	}
	return nil
}

// beginPack begins a pack with the folders above the data.
func (p *packWriter) beginPack(ctx context.Context) error {
	var err error
	if p.upload, err = p.target.Create(ctx); err != nil {
		return err
	}
	p.pack, err = pack.NewWriter(ctx, p.upload, pack.WriterOptions{Compression: p.opts.Compression, Workers: p.opts.Workers})
	if err != nil {
		return err
	}
	for i := range p.parents {
		p.parents[i].written = false
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
	return nil
}

// name returns the name in the tar of the entry with this path; "" for the
// root of an image.
func (p *packWriter) name(path string) string {
	prefix := strings.TrimPrefix(p.opts.Prefix, "/")
	switch {
	case prefix == "":
		return path
	case path == "":
		return prefix
	}
	return prefix + "/" + path
}

// close ends the current pack. It returns nil if there is none, or if nothing
// stayed in it.
func (p *packWriter) close(ctx context.Context) (*catalog.Pack, error) {
	if p.pack == nil {
		return nil, nil
	}
	if p.entries == 0 {
		p.abort()
		return nil, nil
	}
	info, err := p.pack.Close()
	p.pack = nil
	if err != nil {
		return nil, err
	}
	if err := p.upload.Commit(ctx, info.Digest, info.Size); err != nil {
		return nil, err
	}
	p.upload, p.entries = nil, 0
	done := &catalog.Pack{
		ID:        p.id,
		Digest:    info.Digest.String(),
		DiffID:    info.DiffID.String(),
		MediaType: info.MediaType,
		Size:      info.Size,
		TarSize:   info.Table.TarSize,
		FrameSize: info.Table.FrameSize,
		Frames:    info.Table.Records,
	}
	p.layers = append(p.layers, packLayer{image.NewLayer(info, image.RoleData), p.id})
	p.id++
	return done, nil
}

// abort drops what is half-written.
func (p *packWriter) abort() {
	if p.pack != nil {
		p.pack.Abort()
		p.pack = nil
	}
	if p.upload != nil {
		// The error that led here, if any, says more.
		_ = p.upload.Abort()
		p.upload = nil
	}
	p.entries = 0
}
