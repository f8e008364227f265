package cdb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/store"
	"github.com/data-containers/cdb/internal/tree"
)

const (
	maxFindings = 1000 // of one catalog that are kept
	minFrame    = 4096 // bytes in the smallest frame that somebody may use
)

// A catalogCheck compares the catalog of one image with its packs.
type catalogCheck struct {
	*Container
	store    *storeCheck
	byID     map[int]*catalog.Pack
	findings []Finding
	more     int // findings that were not kept
}

// add notes a finding about a path in the image, or the image if that is "".
func (c *catalogCheck) add(kind, what string, err error) {
	if len(c.findings) >= maxFindings {
		c.more++
		return
	}
	if what != "" {
		what = " " + what
	}
	c.findings = append(c.findings, Finding{kind, c.Ref + what, err})
}

// run returns an error only if the catalog cannot be read on.
func (c *catalogCheck) run(ctx context.Context) error {
	packs, err := c.db.Packs(ctx)
	if err != nil {
		return err
	}
	c.byID = map[int]*catalog.Pack{}
	known := map[string]bool{}
	for i := range packs {
		p := &packs[i]
		c.byID[p.ID], known[p.DiffID] = p, true
		if err := c.checkPack(ctx, p); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			c.add("mismatch", p.Digest, fmt.Errorf("pack %d of the catalog: %w", p.ID, err))
		}
	}
	for _, l := range c.Image.Layers {
		if l.Role == image.RoleData && !known[l.DiffID.String()] {
			c.add("extra", l.Digest.String(), errors.New("the catalog does not know this data layer"))
		}
	}
	err = c.checkRows(ctx)
	if c.more > 0 {
		c.findings = append(c.findings, Finding{"mismatch", c.Ref, fmt.Errorf("there are %d more findings in its catalog", c.more)})
	}
	return err
}

// checkPack compares what the catalog says of a pack with its layer and the blob.
func (c *catalogCheck) checkPack(ctx context.Context, p *catalog.Pack) error {
	l := c.layerOf(p)
	if l == nil {
		return fmt.Errorf("no layer has its diffID %s", p.DiffID)
	}
	if p.FrameSize < minFrame || p.TarSize < 0 {
		return fmt.Errorf("frames of %d bytes for %d bytes", p.FrameSize, p.TarSize)
	}
	if l.Digest.String() != p.Digest {
		return nil // compressed anew on its way: it is read without the frames
	}
	if l.Size != p.Size || l.MediaType != p.MediaType {
		return fmt.Errorf("%d bytes of %s, but the manifest says %d bytes of %s", p.Size, p.MediaType, l.Size, l.MediaType)
	}
	table, err := c.store.table(ctx, l, p.FrameSize)
	if err != nil {
		return err
	}
	if table.FrameSize != p.FrameSize || table.TarSize != p.TarSize {
		return fmt.Errorf("%d bytes in frames of %d, but the blob says %d bytes in frames of %d", p.TarSize, p.FrameSize, table.TarSize, table.FrameSize)
	}
	return c.checkFrames(ctx, p, table)
}

func (c *catalogCheck) layerOf(p *catalog.Pack) *image.Layer {
	for i := range c.Image.Layers {
		if l := &c.Image.Layers[i]; l.Role == image.RoleData && l.DiffID.String() == p.DiffID {
			return l
		}
	}
	return nil
}

// checkFrames compares the frames that the catalog has of a pack with those of the
// blob.
func (c *catalogCheck) checkFrames(ctx context.Context, p *catalog.Pack, table *pack.Table) error {
	offset := int64(0)
	for i := 0; i < table.Frames(); {
		first, at, records, err := c.db.FrameGroup(ctx, p.ID, i)
		if err != nil {
			return err
		}
		rest := table.Records[i*pack.RecordSize:]
		switch {
		case first != i || len(records) > len(rest) || !bytes.Equal(records, rest[:len(records)]):
			return fmt.Errorf("its frames from %d on are not those of the blob", i)
		case at != offset:
			return fmt.Errorf("frame %d lies at byte %d of the blob, not %d", i, offset, at)
		}
		for r := records; len(r) > 0; r = r[pack.RecordSize:] {
			offset += int64(binary.LittleEndian.Uint32(r))
		}
		i += len(records) / pack.RecordSize
	}
	return nil
}

// checkRows checks every row: its pack, its place there, its folder, and what it is
// a hard link of. The sums must be those of the dataset.
func (c *catalogCheck) checkRows(ctx context.Context) error {
	ds := c.db.Dataset()
	var files, dirs, links, size int64
	var above []string // the folders that the row before lay in
	for e, err := range c.db.Entries(ctx, "") {
		if err != nil {
			return err
		}
		switch e.Type {
		case tree.Dir:
			dirs++
		case tree.Symlink:
			links++
		default:
			files++
			size += e.Size
		}
		for len(above) > 0 && !tree.Within(e.Path, above[len(above)-1]) {
			above = above[:len(above)-1]
		}
		if e.Path != "" && (len(above) == 0 || above[len(above)-1] != tree.Parent(e.Path)) {
			c.add("missing", ds.Abs(tree.Parent(e.Path)), fmt.Errorf("the folder of %q is not in the catalog", ds.Abs(e.Path)))
		}
		if e.Type == tree.Dir {
			above = append(above, e.Path)
		}
		if err := c.checkRow(ctx, e); err != nil {
			c.add("mismatch", ds.Abs(e.Path), err)
		}
		c.store.opts.Progress.addFile()
	}
	if files != ds.Files || dirs != ds.Dirs || links != ds.Links || size != ds.Bytes {
		c.add("mismatch", "", fmt.Errorf("its catalog has %d files of %d bytes, %d folders and %d links, but says %d of %d, %d and %d",
			files, size, dirs, links, ds.Files, ds.Bytes, ds.Dirs, ds.Links))
	}
	return ctx.Err()
}

// checkRow checks one row by itself.
func (c *catalogCheck) checkRow(ctx context.Context, e *catalog.Entry) error {
	p := c.byID[e.Pack]
	switch {
	case p == nil && e.Path == "" && c.db.Dataset().Prefix == "/":
		return nil // the root of an image lies in no pack
	case p == nil:
		return fmt.Errorf("it lies in pack %d, which the catalog does not have", e.Pack)
	case e.Type != tree.File:
		return nil
	case e.Size > p.TarSize || e.Offset > p.TarSize-e.Size:
		return fmt.Errorf("its bytes lie from %d on, %d of them, in pack %d of %d bytes", e.Offset, e.Size, e.Pack, p.TarSize)
	case e.Link == "":
		return nil
	}
	first, err := c.db.Lookup(ctx, e.Link)
	switch {
	case err != nil:
		return err
	case first == nil || first.Type != tree.File || first.Link != "":
		return fmt.Errorf("it is a hard link of %q, which is no file", e.Link)
	case first.Pack != e.Pack || first.Offset != e.Offset || first.Size != e.Size || first.SHA256 != e.SHA256:
		return fmt.Errorf("it is a hard link of %q, but its bytes lie elsewhere", e.Link)
	}
	return nil
}

// plainTable makes the frame table of a blob without compression.
func plainTable(ctx context.Context, blob store.Blob, frameSize int64) (*pack.Table, error) {
	table := &pack.Table{FrameSize: frameSize, TarSize: blob.Size()}
	all, err := store.Reader(ctx, blob)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	src := &contextReader{ctx, all}
	for left := blob.Size(); left > 0; {
		sum := sha256.New()
		n, err := io.CopyN(sum, src, min(left, frameSize))
		if err != nil {
			return nil, err
		}
		left -= n
		table.Records = sum.Sum(binary.LittleEndian.AppendUint32(table.Records, uint32(n)))
	}
	return table, nil
}
