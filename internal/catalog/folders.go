package catalog

import (
	"context"
	"iter"
	"strings"

	"github.com/data-containers/cdb/internal/tree"
)

// WithFolders yields entries, which come in the order of the tree, each behind
// the folders that it lies in.
func (db *DB) WithFolders(ctx context.Context, entries iter.Seq2[*Entry, error]) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		last := "\x00" // the folder of the entry before, which is none yet
		for e, err := range entries {
			if err != nil {
				yield(nil, err)
				return
			}
			dir := tree.Parent(e.Path)
			if !db.folders(ctx, last, dir, yield) || !yield(e, nil) {
				return
			}
			last = dir
		}
	}
}

// folders yields the folders from the root to dir but those that last is in.
func (db *DB) folders(ctx context.Context, last, dir string, yield func(*Entry, error) bool) bool {
	if last == dir {
		return true
	}
	if last == "\x00" && !db.folder(ctx, "", yield) {
		return false
	}
	for i := range len(dir) + 1 {
		if i < len(dir) && dir[i] != '/' || dir == "" {
			continue
		}
		if p := dir[:i]; !strings.HasPrefix(last+"/", p+"/") && !db.folder(ctx, p, yield) {
			return false
		}
	}
	return true
}

func (db *DB) folder(ctx context.Context, path string, yield func(*Entry, error) bool) bool {
	e, err := db.Lookup(ctx, path)
	if err != nil {
		yield(nil, err)
		return false
	}
	return e == nil || yield(e, nil)
}
