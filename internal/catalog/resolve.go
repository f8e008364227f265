package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/data-containers/cdb/internal/tree"
)

// maxLinks is how many symbolic links a path may lead through.
const maxLinks = 40

// Resolve finds the file or folder that path leads to, through symbolic links
// within the data if need be. It asks the catalog alone, so a link cannot
// lead out. The path is one in the image, or relative to the root of the
// data. The error wraps fs.ErrNotExist if there is none.
func (db *DB) Resolve(ctx context.Context, path string) (*Entry, error) {
	rest, ok := db.dataset.Rel(path)
	if !ok {
		return nil, fmt.Errorf("%w: the data is below %s", fs.ErrNotExist, db.dataset.Prefix)
	}
	// Nothing lies below a link, so a path that is there leads through none.
	if e, err := db.Lookup(ctx, rest); err != nil || e != nil && e.Type != tree.Symlink {
		return e, err
	}
	at, links := "", 0
	for rest != "" {
		name, tail, _ := strings.Cut(rest, "/")
		rest = tail
		switch name {
		case "", ".":
			continue
		case "..":
			if at == "" {
				return nil, errors.New("leads out of the data")
			}
			at = tree.Parent(at)
			continue
		}
		here := name
		if at != "" {
			here = at + "/" + name
		}
		e, err := db.found(ctx, here)
		if err != nil {
			return nil, err
		}
		if e.Type != tree.Symlink {
			at = e.Path
			continue
		}
		if links++; links > maxLinks {
			return nil, errors.New("leads through too many symbolic links")
		}
		target := e.Link
		if strings.HasPrefix(target, "/") {
			if target, ok = db.dataset.Rel(target); !ok {
				return nil, fmt.Errorf("is a link to %q, which is not in the data", e.Link)
			}
			at = ""
		}
		rest = target + "/" + rest
	}
	return db.found(ctx, at)
}

// found is Lookup for what must be there.
func (db *DB) found(ctx context.Context, path string) (*Entry, error) {
	e, err := db.Lookup(ctx, path)
	if err == nil && e == nil {
		err = fmt.Errorf("%q: %w", db.dataset.Abs(path), fs.ErrNotExist)
	}
	return e, err
}
