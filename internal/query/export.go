package query

import (
	"context"
	"fmt"
	"io"
	"iter"

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
	fmt.Fprintf(r.Stderr, "%s: wrote %s (%s), %s and %s to %s\n", r.Name, plural(res.Files, "file"), plural(res.Bytes, "byte"),
		plural(res.Links, "link"), plural(res.Dirs, "folder"), tree.Visible(r.export))
	return nil
}

// selected yields what q finds, each behind the folders that it is in.
func (r *run) selected(ctx context.Context, q catalog.Query) iter.Seq2[*catalog.Entry, error] {
	return r.DB.WithFolders(ctx, func(yield func(*catalog.Entry, error) bool) {
		for row, err := range r.DB.Select(ctx, q) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(row.Entry, nil) {
				return
			}
		}
	})
}
