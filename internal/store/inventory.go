package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// An Inventory is all that a layout or the local store holds, by the names of
// its files. Nothing was read but index.json.
type Inventory struct {
	// Images are the entries of index.json. One image may have several.
	Images []ocispec.Descriptor
	// Blobs are all files that are called like blobs, needed or not, with
	// their sizes in bytes, in the order of their digests.
	Blobs []ocispec.Descriptor
	// Stray are the paths, relative to the store, of files and folders that
	// do not belong there. Of a layout, only its blobs belong to cdb alone.
	Stray []string
	// Missing are files that should be there whatever images there are.
	Missing []string
	// Unfinished are uploads that nobody writes to any more. They do no harm,
	// and the next writer or collection removes them.
	Unfinished []string
}

// Name returns what the entry of an index.json is called: its name, its tag
// or else its digest.
func Name(entry ocispec.Descriptor) string {
	if name := entry.Annotations[ocispec.AnnotationRefName]; name != "" {
		return name
	}
	return string(entry.Digest)
}

// Inventory lists what lies in the layout.
func (l *Layout) Inventory(ctx context.Context) (*Inventory, error) {
	return l.inventory(ctx, false)
}

// Inventory lists what lies in the local store. A store that does not exist
// holds nothing.
func (l *Local) Inventory(ctx context.Context) (*Inventory, error) {
	return l.layout.inventory(ctx, true)
}

// Hold keeps collections away until it is closed, where the user may: others
// can read a store that they cannot lock.
func (l *Local) Hold(ctx context.Context) (io.Closer, error) {
	f, err := os.OpenFile(filepath.Join(l.layout.dir, lockFile), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return io.NopCloser(nil), nil
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", l.layout.place, err)
	}
	if err := waitLock(ctx, f, shared); err != nil {
		f.Close()
		if ctx.Err() != nil {
			return nil, err
		}
		return io.NopCloser(nil), nil // a file system without locks
	}
	return f, nil
}

// inventory lists the images first: a build that publishes meanwhile then is
// not missed halfway, as its blobs came before it.
func (l *Layout) inventory(ctx context.Context, own bool) (*Inventory, error) {
	index, err := l.index()
	if err != nil {
		return nil, err
	}
	inv := &Inventory{Images: index.Manifests}
	root, err := os.OpenRoot(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return inv, ctx.Err()
	}
	if err == nil {
		defer root.Close()
		err = inv.list(ctx, root, own)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", l.place, err)
	}
	return inv, nil
}

// list goes through the folders of a store; own says if it is cdb's alone.
func (inv *Inventory) list(ctx context.Context, root *os.Root, own bool) error {
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	have := map[string]bool{}
	for _, e := range entries {
		name := e.Name()
		have[name] = true
		switch {
		case name == "blobs" && e.IsDir():
			err = inv.listBlobs(ctx, root)
		case name == tempDir && e.IsDir():
			err = inv.listTemp(root, own)
		case e.Type().IsRegular() && slices.Contains([]string{"oci-layout", ocispec.ImageIndexFile, lockFile}, name):
		case own:
			inv.Stray = append(inv.Stray, name)
		}
		if err != nil {
			return err
		}
	}
	if !have["oci-layout"] && (have["blobs"] || have[ocispec.ImageIndexFile]) {
		inv.Missing = append(inv.Missing, "oci-layout")
	}
	return nil
}

func (inv *Inventory) listBlobs(ctx context.Context, root *os.Root) error {
	algorithms, err := fs.ReadDir(root.FS(), "blobs")
	if err != nil {
		return err
	}
	for _, a := range algorithms {
		dir := path.Join("blobs", a.Name())
		if !a.IsDir() {
			inv.Stray = append(inv.Stray, dir)
			continue
		}
		files, err := fs.ReadDir(root.FS(), dir)
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := inv.addBlob(a.Name(), f); err != nil {
				return err
			}
		}
	}
	return nil
}

func (inv *Inventory) addBlob(algorithm string, f fs.DirEntry) error {
	d := digest.Digest(algorithm + ":" + f.Name())
	if d.Validate() != nil || !f.Type().IsRegular() {
		inv.Stray = append(inv.Stray, path.Join("blobs", algorithm, f.Name()))
		return nil
	}
	info, err := f.Info()
	if err != nil {
		return ignore(err, fs.ErrNotExist) // a collection of others came by
	}
	inv.Blobs = append(inv.Blobs, ocispec.Descriptor{Digest: d, Size: info.Size()})
	return nil
}

// listTemp tells uploads that nobody writes to any more from those that are
// being written.
func (inv *Inventory) listTemp(root *os.Root, own bool) error {
	entries, err := fs.ReadDir(root.FS(), tempDir)
	if err != nil {
		return ignore(err, fs.ErrNotExist)
	}
	for _, e := range entries {
		name := path.Join(tempDir, e.Name())
		if !e.Type().IsRegular() || !isTemp(e.Name(), filepath.Base(tempPrefix)) {
			if own {
				inv.Stray = append(inv.Stray, name)
			}
			continue
		}
		f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			if ignore(err, fs.ErrNotExist, fs.ErrPermission) != nil {
				return err
			}
			continue
		}
		if tryLock(f, shared) == nil {
			inv.Unfinished = append(inv.Unfinished, name)
		}
		f.Close()
	}
	return nil
}

// A Problem is a blob that is not as the image that needs it says.
type Problem struct {
	Desc ocispec.Descriptor
	Err  error // wraps ErrNotFound if the blob is missing
}

// Check opens all that the image root consists of, each blob once, and
// compares lengths; manifests and indexes are read and compared with their
// digests. It calls visit for each blob, and returns what is wrong. Unlike
// Publish it wants the manifests of all platforms. The error is that of ctx.
func Check(ctx context.Context, src Source, root ocispec.Descriptor, visit func(ocispec.Descriptor)) ([]Problem, error) {
	c := &checker{src: src, visit: visit, seen: map[visited]bool{}}
	c.check(ctx, root, 0)
	return c.problems, ctx.Err()
}

type checker struct {
	src      Source
	visit    func(ocispec.Descriptor)
	seen     map[visited]bool
	problems []Problem
}

func (c *checker) bad(desc ocispec.Descriptor, err error) {
	c.problems = append(c.problems, Problem{desc, err})
}

func (c *checker) check(ctx context.Context, desc ocispec.Descriptor, depth int) {
	isDocument := depth == 0 || isIndex(desc.MediaType) || isManifest(desc.MediaType)
	this := visited{desc.Digest, isDocument}
	if c.seen[this] || ctx.Err() != nil {
		return
	}
	c.seen[this] = true
	c.visit(desc)
	switch {
	case depth > maxDepth:
		c.bad(desc, fmt.Errorf("indexes are nested more than %d deep", maxDepth))
	case !isDocument:
		c.open(ctx, desc)
	default:
		data, err := readDocument(ctx, c.src, desc)
		if err != nil {
			c.bad(desc, err)
			return
		}
		doc, err := parseDocument(data)
		if err != nil {
			c.bad(desc, fmt.Errorf("read %s: %w", desc.Digest, err))
			return
		}
		for _, child := range doc.children() {
			c.check(ctx, child, depth+1)
		}
	}
}

// open looks if a blob is there. One that lives elsewhere by intention need
// not be.
func (c *checker) open(ctx context.Context, desc ocispec.Descriptor) {
	b, err := c.src.Open(ctx, desc)
	if errors.Is(err, ErrNotFound) && len(desc.URLs) > 0 {
		return
	}
	if err != nil {
		c.bad(desc, err)
		return
	}
	b.Close()
}
