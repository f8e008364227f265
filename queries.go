package cdb

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
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
// is read. A catalog of nothing but a file with all the metrics that they may
// mean understands them as the full one will.
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
	file := catalog.Entry{Meta: b.mentioned()}
	file.Path, file.Type, file.Mode, file.ModTime = "file", tree.File, 0o644, root.ModTime
	if err := w.Add(&file); err != nil {
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

// mentioned returns metadata with the names that the queries may mean as
// metrics: those with dots, also without an alias before them.
func (b *build) mentioned() string {
	names := map[string]bool{}
	for _, q := range b.opts.Queries {
		text := strings.ReplaceAll(q.SQL+"\n"+q.Where, `"`, "")
		for _, name := range strings.FieldsFunc(text, func(r rune) bool { return r < 0x80 && !isNamePart(byte(r)) }) {
			for strings.Contains(name, ".") {
				names[name] = true
				_, name, _ = strings.Cut(name, ".")
			}
		}
	}
	meta := []byte{'{'}
	for i, name := range slices.Sorted(maps.Keys(names)) {
		if i > 0 {
			meta = append(meta, ", "...)
		}
		meta = append(catalog.AppendString(meta, name), ": 1"...)
	}
	return string(append(meta, '}'))
}

func isNamePart(c byte) bool {
	return c == '.' || c == '_' || c == '$' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
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
