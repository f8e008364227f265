package query

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/export"
	"github.com/data-containers/cdb/internal/tree"
)

// exportFiles is -export.
func (r *run) exportFiles(ctx context.Context) error {
	if r.Files == nil {
		return errNoFiles
	}
	entries := r.DB.Entries(ctx, "")
	if q, _ := r.selection(); q.Get+q.Text+q.Where+q.Search != "" || q.Limit > 0 {
		entries = r.selected(ctx, q)
	}
	open := func(_ context.Context, e *catalog.Entry) (io.ReadCloser, error) { return openFile(r.Files, e) }
	res, err := export.Tree(ctx, r.export, entries, open, export.Options{})
	if err != nil {
		return err
	}
	fmt.Fprintf(r.Stderr, "%s: wrote %d files (%d bytes), %d links and %d folders to %s\n",
		r.Name, res.Files, res.Bytes, res.Links, res.Dirs, tree.Visible(r.export))
	return nil
}

// selected yields what q finds, each behind the folders that it is in.
func (r *run) selected(ctx context.Context, q catalog.Query) iter.Seq2[*catalog.Entry, error] {
	return func(yield func(*catalog.Entry, error) bool) {
		last := "\x00" // the folder of the entry before, which is none yet
		for row, err := range r.DB.Select(ctx, q) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !r.folders(ctx, last, tree.Parent(row.Entry.Path), yield) || !yield(row.Entry, nil) {
				return
			}
			last = tree.Parent(row.Entry.Path)
		}
	}
}

// folders yields the folders from the root to dir but those that last is in.
func (r *run) folders(ctx context.Context, last, dir string, yield func(*catalog.Entry, error) bool) bool {
	if last == dir {
		return true
	}
	if last == "\x00" && !r.folder(ctx, "", yield) {
		return false
	}
	for i := range len(dir) + 1 {
		if i < len(dir) && dir[i] != '/' || dir == "" {
			continue
		}
		if p := dir[:i]; !strings.HasPrefix(last+"/", p+"/") && !r.folder(ctx, p, yield) {
			return false
		}
	}
	return true
}

func (r *run) folder(ctx context.Context, path string, yield func(*catalog.Entry, error) bool) bool {
	e, err := r.DB.Lookup(ctx, path)
	if err != nil {
		yield(nil, err)
		return false
	}
	return e == nil || yield(e, nil)
}
