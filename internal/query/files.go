package query

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"syscall"

	"github.com/data-containers/cdb/internal/tree"
)

// A Folder is a dataset as it lies in a folder.
type Folder struct{ root *os.Root }

var _ Files = (*Folder)(nil)

// DirFiles opens the folder at root. Nothing outside it is ever opened, also
// not through links.
func DirFiles(root string) (*Folder, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("open data: %w", err)
	}
	return &Folder{r}, nil
}

// Close closes the folder.
func (f *Folder) Close() error { return f.root.Close() }

// Open implements Files. It does not wait for the other end of a pipe.
func (f *Folder) Open(path string) (fs.File, error) {
	if path == "" {
		path = "."
	}
	return f.root.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// Walk implements Files.
func (f *Folder) Walk(ctx context.Context) iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		fi, err := f.root.Lstat(".")
		if err != nil {
			yield(nil, err)
			return
		}
		e := entryOf("", fi)
		if yield(e, nil) {
			walk(ctx, f.root, "", yield)
		}
	}
}

// walk yields what is in the folder dir, whose path is path. Each folder is
// opened from the one above it, so that no path is ever too long.
func walk(ctx context.Context, dir *os.Root, path string, yield func(*tree.Entry, error) bool) bool {
	if ctx.Err() != nil {
		yield(nil, ctx.Err())
		return false
	}
	list, err := readDir(dir)
	if err != nil {
		return yield(&tree.Entry{Path: path, Type: tree.Dir}, err)
	}
	for _, d := range list {
		p := join(path, d.Name())
		fi, err := dir.Lstat(d.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone since the folder was listed
		}
		if err != nil {
			if !yield(&tree.Entry{Path: p}, err) {
				return false
			}
			continue
		}
		e := entryOf(p, fi)
		if e.Type == tree.Symlink {
			if e.Link, err = dir.Readlink(d.Name()); err != nil && !yield(e, err) {
				return false
			}
			if err != nil {
				continue
			}
		}
		if !yield(e, nil) {
			return false
		}
		if e.Type == tree.Dir && !walkSub(ctx, dir, d.Name(), p, yield) {
			return false
		}
	}
	return true
}

func walkSub(ctx context.Context, dir *os.Root, name, path string, yield func(*tree.Entry, error) bool) bool {
	sub, err := dir.OpenRoot(name)
	if err != nil {
		return yield(&tree.Entry{Path: path, Type: tree.Dir}, err)
	}
	defer sub.Close()
	return walk(ctx, sub, path, yield)
}

func readDir(dir *os.Root) ([]fs.DirEntry, error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := f.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int {
		return tree.CompareNames(a.Name(), a.IsDir(), b.Name(), b.IsDir())
	})
	return list, nil
}

func entryOf(path string, fi fs.FileInfo) *tree.Entry {
	e := &tree.Entry{Path: path, Mode: uint32(fi.Mode().Perm()), ModTime: fi.ModTime()}
	switch fi.Mode().Type() {
	case 0:
		e.Type, e.Size = tree.File, fi.Size()
	case fs.ModeDir:
		e.Type = tree.Dir
	case fs.ModeSymlink:
		e.Type = tree.Symlink
	}
	return e
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}
