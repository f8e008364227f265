package cdb

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/export"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
)

// ExportOptions say what [Container.Export] writes, and how.
type ExportOptions struct {
	// Paths are the files and folders to write, as paths in the image or
	// relative to the data; default all.
	Paths []string
	// Where keeps those of them for which this SQL expression over the columns
	// of view files is true.
	Where string
	// Include keeps those of them that a pattern in gitignore syntax matches,
	// by their paths relative to the data. With it or Where, folders are
	// written only as far as files need them.
	Include   []string
	Owners    bool      // restore owner and group, which only root can
	Overwrite bool      // replace files that are there
	Workers   int       // files written at once; default one per CPU
	Progress  *Progress // counts, if not nil
}

// An ExportResult counts what an export wrote.
type ExportResult = export.Result

// Export writes files with their names, modes, times and links below the
// folder dst, at their paths relative to the data. Each is checked against
// its digest, written beside its place and moved there when it is whole.
// Nothing is ever written outside dst. If a path is not in the image nothing
// is written at all.
func (c *Container) Export(ctx context.Context, dst string, opts ExportOptions) (ExportResult, error) {
	paths, err := c.cover(ctx, opts.Paths)
	if err != nil {
		return ExportResult{}, fmt.Errorf("export: %w", err)
	}
	opts.Progress.setPhase("export")
	entries := c.under(ctx, paths)
	switch {
	case opts.Where != "" || len(opts.Include) > 0:
		// What is wrong with the expression is said before anything is written.
		for _, err := range c.db.Select(ctx, catalog.Query{Where: opts.Where, Limit: 1}) {
			if err != nil {
				return ExportResult{}, fmt.Errorf("export: %w", err)
			}
		}
		entries = c.selected(ctx, paths, &opts)
	case len(paths) == 1 && paths[0] == "":
		opts.Progress.setTotal(c.db.Dataset().Files, c.db.Dataset().Bytes)
	}
	open := func(ctx context.Context, e *catalog.Entry) (io.ReadCloser, error) {
		r, err := c.Content(ctx, e)
		if err != nil {
			return nil, err
		}
		return &countedReader{r, opts.Progress}, nil
	}
	if opts.Workers == 0 && c.remote() != nil {
		opts.Workers = remoteWorkers
	}
	return export.Tree(ctx, dst, c.readAhead(ctx, entries), open, export.Options{
		Workers: opts.Workers, Owners: opts.Owners, Overwrite: opts.Overwrite,
	})
}

// cover checks paths, and returns them relative to the data, sorted and
// without those that lie in others.
func (c *Container) cover(ctx context.Context, paths []string) ([]string, error) {
	if len(paths) == 0 {
		return []string{""}, nil
	}
	var all []string
	for _, p := range paths {
		rel, ok := c.db.Dataset().Rel(p)
		if !ok {
			return nil, fmt.Errorf("%q: %w: the data is below %s", p, fs.ErrNotExist, c.db.Dataset().Prefix)
		}
		e, err := c.db.Lookup(ctx, rel)
		if err == nil && e == nil {
			err = fmt.Errorf("%q: %w", p, fs.ErrNotExist)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, rel)
	}
	slices.Sort(all)
	var kept []string
	for _, p := range all {
		if !slices.ContainsFunc(kept, func(k string) bool { return k == "" || tree.Within(p, k) }) {
			kept = append(kept, p)
		}
	}
	return kept, nil
}

// under yields the entries with these paths and all below, each behind the
// folders that it lies in.
func (c *Container) under(ctx context.Context, paths []string) iter.Seq2[*catalog.Entry, error] {
	return func(yield func(*catalog.Entry, error) bool) {
		seen := map[string]bool{}
		for _, p := range paths {
			for _, dir := range above(p) {
				if seen[dir] {
					continue
				}
				seen[dir] = true
				e, err := c.db.Lookup(ctx, dir)
				if (e != nil || err != nil) && !yield(e, err) {
					return
				}
			}
			for e, err := range c.db.Entries(ctx, p) {
				if !yield(e, err) {
					return
				}
			}
		}
	}
}

// selected yields the files below paths that the options keep, each behind the
// folders that it lies in.
func (c *Container) selected(ctx context.Context, paths []string, opts *ExportOptions) iter.Seq2[*catalog.Entry, error] {
	include := scan.ParsePatterns(opts.Include)
	return c.db.WithFolders(ctx, func(yield func(*catalog.Entry, error) bool) {
		for row, err := range c.db.Select(ctx, catalog.Query{Where: opts.Where}) {
			if err != nil {
				yield(nil, err)
				return
			}
			p := row.Entry.Path
			inside := slices.ContainsFunc(paths, func(dir string) bool { return dir == "" || tree.Within(p, dir) })
			if inside && (len(opts.Include) == 0 || include.Match(p)) && !yield(row.Entry, nil) {
				return
			}
		}
	})
}

// above returns the folders that path lies in, the root first.
func above(path string) []string {
	if path == "" {
		return nil
	}
	dirs := []string{""}
	for i := range len(path) {
		if path[i] == '/' {
			dirs = append(dirs, path[:i])
		}
	}
	return dirs
}

// A countedReader counts what is read, and a file when it is closed.
type countedReader struct {
	io.ReadCloser
	progress *Progress
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.progress.addBytes(int64(n))
	return n, err
}

func (r *countedReader) Close() error {
	r.progress.addFile()
	return r.ReadCloser.Close()
}
