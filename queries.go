package cdb

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// inheritQueries takes the named queries of a parent, unless there are others
// of the same name.
func inheritQueries(ds, parent *catalog.Dataset) {
	for name, q := range parent.Queries {
		if _, given := ds.Queries[name]; given {
			continue
		}
		if ds.Queries == nil {
			ds.Queries = map[string]catalog.NamedQuery{}
		}
		ds.Queries[name] = q
	}
}

// A QueryError says that a named query cannot be asked.
type QueryError struct {
	Name string
	Err  error
}

// Error names the query.
func (e *QueryError) Error() string { return fmt.Sprintf("build: query %q: %v", e.Name, e.Err) }

// Unwrap returns what is wrong with it.
func (e *QueryError) Unwrap() error { return e.Err }

// checkQueries makes sure that the named queries can be asked, before any data
// is read: an empty catalog understands what a full one does.
func (b *build) checkQueries(ctx context.Context) (err error) {
	if len(b.opts.Queries) == 0 {
		return nil
	}
	path := filepath.Join(b.temp, "empty.db")
	w, err := catalog.Create(path, catalog.WriterOptions{Prefix: b.opts.Prefix, Text: !b.opts.NoText})
	if err != nil {
		return err
	}
	defer w.Abort()
	root := catalog.Entry{}
	root.Type, root.Mode, root.ModTime = tree.Dir, 0o755, time.Unix(0, 0)
	if err := w.Add(&root); err != nil {
		return err
	}
	if _, err := w.Finish(ctx, catalog.Dataset{Created: root.ModTime}, catalog.Version{}); err != nil {
		return err
	}
	db, err := catalog.OpenFile(path)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, name := range slices.Sorted(maps.Keys(b.opts.Queries)) {
		q := b.opts.Queries[name]
		err := catalog.CheckQueryName(name)
		if err == nil {
			err = db.CheckQuery(ctx, &q)
		}
		if err != nil && !catalog.IsNoColumn(err) { // which may be a metric of files to come
			return &QueryError{name, err}
		}
	}
	return nil
}

// askQueries returns what is wrong with the named queries now that the catalog
// is complete: names that are metrics of no file.
func (b *build) askQueries(ctx context.Context) ([]error, error) {
	if len(b.opts.Queries) == 0 {
		return nil, nil
	}
	db, err := catalog.OpenFile(filepath.Join(b.temp, "catalog.db"))
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var wrong []error
	for _, name := range slices.Sorted(maps.Keys(b.opts.Queries)) {
		q := b.opts.Queries[name]
		if err := db.CheckQuery(ctx, &q); err != nil {
			wrong = append(wrong, &QueryError{name, err})
		}
	}
	return wrong, ctx.Err()
}
