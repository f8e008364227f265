// Package export is how entries and their bytes become files in a folder:
// names, modes, times and links as the catalog has them, every byte checked
// against its digest, and nothing ever written outside the folder.
package export

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"iter"
	"os"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// Options say how files are written.
type Options struct {
	// Workers is how many files are written at once; default one per CPU.
	Workers int
	// Owners restores owner and group, which only root can, and the extended
	// attributes of files and folders.
	Owners bool
	// Overwrite replaces files and links that are there already, which are
	// otherwise an error. A folder is never replaced by a file.
	Overwrite bool
}

// A Result counts what was written.
type Result struct {
	Files int64 // hard links included
	Links int64 // symbolic links
	Dirs  int64
	Bytes int64 // of files, each hard link counted
}

// An Opener opens the bytes of a regular file. It is called from several
// goroutines; what it returns is closed.
type Opener func(ctx context.Context, e *catalog.Entry) (io.ReadCloser, error)

// Tree writes entries below the folder dst, which is made if need be. Folders
// that entries lie in are made too, with default modes unless they are
// entries themselves. Entries may be in any order, but the folders of a file
// are best before it. The attributes of the root entry are applied only to a
// dst that Tree has made.
//
// The first error ends it: whole files that were written by then stay.
func Tree(ctx context.Context, dst string, entries iter.Seq2[*catalog.Entry, error], open Opener, opts Options) (Result, error) {
	made, err := makeDst(dst)
	if err != nil {
		return Result{}, fmt.Errorf("export: %w", err)
	}
	root, err := os.OpenRoot(dst)
	if err != nil {
		return Result{}, fmt.Errorf("export: %w", err)
	}
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	x := &exporter{
		opts: opts, open: open, root: newDir("", root), ownRoot: made,
		written: map[uint64]struct{}{}, seed: maphash.MakeSeed(),
	}
	defer x.root.release()
	err = x.run(ctx, entries)
	return Result{x.files.Load(), x.links, x.ndirs, x.bytes.Load()}, err
}

// makeDst makes the folder dst unless it is there.
func makeDst(dst string) (made bool, err error) {
	if _, err := os.Stat(dst); !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return true, os.MkdirAll(dst, 0o777)
}

// An exporter is one call of Tree.
type exporter struct {
	opts    Options
	open    Opener
	root    *dir
	ownRoot bool
	at      *dir // the folder that was used last

	dirs  []folder         // to get their attributes at the end
	hard  []*catalog.Entry // hard links, made when all files are there
	links int64
	ndirs int64
	files atomic.Int64
	bytes atomic.Int64
	// written has a hash of the path of each file, to know which hard links
	// have a target here.
	written map[uint64]struct{}
	seed    maphash.Seed
}

// A folder is what is kept of a folder's entry until the end.
type folder struct {
	path string
	attr tree.Entry // without path
}

// A job is a file to write.
type job struct {
	dir *dir
	e   *catalog.Entry
}

func (x *exporter) run(ctx context.Context, entries iter.Seq2[*catalog.Entry, error]) error {
	g, gctx := errgroup.WithContext(ctx)
	jobs := make(chan job, 4*x.opts.Workers)
	g.Go(func() error {
		defer close(jobs)
		defer func() { x.at.release() }()
		return x.feed(gctx, entries, jobs)
	})
	for range x.opts.Workers {
		g.Go(func() error {
			w := newFileWriter(x)
			var first error
			// After an error the queue is emptied, to close its folders.
			for j := range jobs {
				if first == nil {
					first = w.write(gctx, j)
				}
				j.dir.release()
			}
			return first
		})
	}
	if err := g.Wait(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	x.at = nil
	defer func() { x.at.release() }()
	if err := x.hardLinks(ctx); err != nil {
		return err
	}
	return x.finishDirs(ctx)
}

// feed makes folders and symbolic links and hands out files.
func (x *exporter) feed(ctx context.Context, entries iter.Seq2[*catalog.Entry, error], jobs chan<- job) error {
	for e, err := range entries {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if err := x.entry(ctx, e, jobs); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("export %q: %w", e.Path, err)
		}
	}
	return nil
}

func (x *exporter) entry(ctx context.Context, e *catalog.Entry, jobs chan<- job) error {
	if err := tree.CheckPath(e.Path); err != nil {
		return err
	}
	if e.Path == "" {
		return x.rootEntry(e)
	}
	parent, err := x.openDir(tree.Parent(e.Path))
	if err != nil {
		return err
	}
	switch e.Type {
	case tree.Dir:
		return x.makeDir(parent, e)
	case tree.Symlink:
		return x.symlink(parent, e)
	case tree.File:
	default:
		return fmt.Errorf("unknown %v", e.Type)
	}
	c := *e
	if e.Link != "" {
		x.hard = append(x.hard, &c)
		return nil
	}
	x.written[maphash.String(x.seed, e.Path)] = struct{}{}
	parent.retain()
	select {
	case jobs <- job{parent, &c}:
		return nil
	case <-ctx.Done():
		parent.release()
		return ctx.Err()
	}
}

func (x *exporter) rootEntry(e *catalog.Entry) error {
	if e.Type != tree.Dir {
		return errors.New("the root is no folder")
	}
	x.ndirs++
	if x.ownRoot {
		x.dirs = append(x.dirs, folder{"", e.Entry})
	}
	return nil
}

func (x *exporter) makeDir(parent *dir, e *catalog.Entry) error {
	name := tree.Base(e.Path)
	err := parent.root.Mkdir(name, 0o700)
	if errors.Is(err, fs.ErrExist) {
		if err := parent.mustBeDir(name); err != nil {
			return err
		}
		// It may be closed to us, from an export before this one.
		err = parent.root.Chmod(name, e.FileMode().Perm()|0o700)
	}
	if err != nil {
		return err
	}
	x.ndirs++
	x.dirs = append(x.dirs, folder{e.Path, e.Entry})
	return nil
}

// finishDirs gives folders their attributes, the deepest first: afterwards
// they may be read-only, and a change in a folder changes its time.
func (x *exporter) finishDirs(ctx context.Context) error {
	for _, f := range slices.Backward(x.dirs) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := x.finishDir(f); err != nil {
			return fmt.Errorf("export %q: %w", f.path, err)
		}
	}
	return nil
}

func (x *exporter) finishDir(f folder) error {
	d, err := x.openDir(f.path)
	if err != nil {
		return err
	}
	if x.opts.Owners {
		if err := d.root.Lchown(".", f.attr.UID, f.attr.GID); err != nil {
			return err
		}
		if err := d.setXattrs(f.attr.Xattrs); err != nil {
			return err
		}
	}
	if err := d.root.Chtimes(".", f.attr.ModTime, f.attr.ModTime); err != nil {
		return err
	}
	f.attr.Type = tree.File // of the mode, permissions are wanted
	return d.root.Chmod(".", f.attr.FileMode())
}

// hardLinks makes the hard links whose target was exported, and copies of
// the others, of which those with the same target are one file again.
func (x *exporter) hardLinks(ctx context.Context) error {
	copies := map[string]string{}
	w := newFileWriter(x)
	for _, e := range x.hard {
		if err := ctx.Err(); err != nil {
			return err
		}
		target := e.Link
		if _, ok := x.written[maphash.String(x.seed, target)]; !ok {
			target = copies[e.Link]
		}
		if target == "" {
			copies[e.Link] = e.Path
		}
		if err := x.hardLink(ctx, w, target, e); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("export %q: %w", e.Path, err)
		}
	}
	return nil
}

func (x *exporter) hardLink(ctx context.Context, w *fileWriter, target string, e *catalog.Entry) error {
	parent, err := x.openDir(tree.Parent(e.Path))
	if err != nil {
		return err
	}
	if target == "" {
		return w.file(ctx, parent, e)
	}
	if err := x.clear(parent, tree.Base(e.Path)); err != nil {
		return err
	}
	if err := x.root.root.Link(target, e.Path); err != nil {
		// Not every file system has hard links, nor as many as asked for.
		return w.file(ctx, parent, e)
	}
	x.files.Add(1)
	x.bytes.Add(e.Size)
	return nil
}

// clear makes sure that nothing is in the way of a new entry called name.
func (x *exporter) clear(parent *dir, name string) error {
	fi, err := parent.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case fi.IsDir():
		return errors.New("there is a folder in its place")
	case !x.opts.Overwrite:
		return fmt.Errorf("%w: choose an empty folder, or allow overwriting", fs.ErrExist)
	}
	return parent.root.Remove(name)
}
