package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/data-containers/cdb/internal/tree"
)

// Update begins a catalog at path as a copy of parent, to be made that of the
// next version: for every entry of the final tree, in order, one of Keep,
// Replace and Add is called, and Remove for every row that goes, at any time.
// Only the pages that hold changed rows come out different.
func Update(ctx context.Context, path string, parent *DB) (*Writer, error) {
	if err := parent.copyTo(ctx, path); err != nil {
		return nil, fmt.Errorf("copy catalog %s: %w", parent.name, err)
	}
	ds := parent.Dataset()
	w, err := newWriter(path, WriterOptions{Prefix: ds.Prefix, Preserved: ds.Preserved, Text: parent.HasText()}, true)
	if err != nil {
		return nil, err
	}
	w.mixed = ds.Mixed
	if err := w.resume(); err != nil {
		w.Abort()
		return nil, fmt.Errorf("copy catalog %s: %w", parent.name, err)
	}
	return w, nil
}

// copyTo writes the bytes of the catalog to a new file.
func (db *DB) copyTo(ctx context.Context, path string) error {
	src := db.r
	if src == nil {
		f, err := os.Open(db.name)
		if err != nil {
			return err
		}
		defer f.Close()
		src = f
	}
	dst, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for off := int64(0); off < db.size && err == nil; off += int64(len(buf)) {
		if err = ctx.Err(); err != nil {
			break
		}
		n := min(int64(len(buf)), db.size-off)
		if _, err = io.ReadFull(io.NewSectionReader(src, off, n), buf[:n]); err == nil {
			_, err = dst.Write(buf[:n])
		}
	}
	if err = errors.Join(err, dst.Close()); err != nil {
		os.Remove(path)
	}
	return err
}

// resume takes over the counts of the copied catalog.
func (w *Writer) resume() error {
	var err error
	if w.id, err = sqlitex.ResultInt64(w.conn.Prep("SELECT max(id) FROM entry")); err != nil {
		return err
	}
	if w.group, err = sqlitex.ResultInt64(w.conn.Prep("SELECT coalesce(max(id), -1) + 1 FROM frame_group")); err != nil {
		return err
	}
	return sqlitex.Execute(w.conn, "SELECT name, files FROM metric", &sqlitex.ExecOptions{
		ResultFunc: func(s *sqlite.Stmt) error {
			w.metrics[s.ColumnText(0)] = s.ColumnInt64(1)
			return nil
		},
	})
}

// Keep says that the row e of the parent stays as it is.
func (w *Writer) Keep(e *Entry) error {
	if err := w.next(e); err != nil {
		return err
	}
	return w.count(e, 0)
}

// Replace makes the row old of the parent that of e, which has the same path
// and type.
func (w *Writer) Replace(old, e *Entry) error {
	if err := w.deleteRow(old); err != nil {
		return err
	}
	e.ID = old.ID
	w.version.Changed += countOf(e)
	if e.SHA256 != old.SHA256 {
		w.version.BytesAdded += e.Size
		w.version.BytesRemoved += old.Size
	}
	if err := w.insert(e); err != nil {
		return err
	}
	if err := w.indexRow(e); err != nil {
		return err
	}
	return w.count(e, 1)
}

// Remove drops the row old of the parent.
func (w *Writer) Remove(old *Entry) error {
	w.version.Removed += countOf(old)
	w.version.BytesRemoved += old.Size
	return w.deleteRow(old)
}

// deleteRow takes a row out of the table, the index and the counts.
func (w *Writer) deleteRow(old *Entry) error {
	w.dirty = true
	if w.opts.Text && old.Type != tree.Dir {
		// An index without content wants to be told what it held.
		err := sqlitex.Execute(w.conn, "INSERT INTO text (text, rowid, path, meta) SELECT 'delete', "+textOf+" WHERE id = ?2",
			&sqlitex.ExecOptions{Args: []any{w.textSkip(), old.ID}})
		if err != nil {
			return fmt.Errorf("catalog %q: %w", old.Path, err)
		}
	}
	if err := sqlitex.Execute(w.conn, "DELETE FROM entry WHERE id = ?", &sqlitex.ExecOptions{Args: []any{old.ID}}); err != nil {
		return fmt.Errorf("catalog %q: %w", old.Path, err)
	}
	return w.countMetrics(old, -1)
}

func (w *Writer) indexRow(e *Entry) error {
	if !w.opts.Text || e.Type == tree.Dir {
		return nil
	}
	err := sqlitex.Execute(w.conn, "INSERT INTO text (rowid, path, meta) SELECT "+textOf+" WHERE id = ?2",
		&sqlitex.ExecOptions{Args: []any{w.textSkip(), e.ID}})
	if err != nil {
		return fmt.Errorf("catalog %q: %w", e.Path, err)
	}
	return nil
}

// A Whiteout says that a pack hides what lower packs hold at a path, be it
// by a whiteout file or because the pack has something else there.
type Whiteout struct {
	Path string // relative to the root of the data
	Pack int
}

// AddWhiteout records a whiteout.
func (w *Writer) AddWhiteout(v Whiteout) error {
	err := sqlitex.Execute(w.conn, "INSERT OR IGNORE INTO whiteout (path, pack) VALUES (?, ?)",
		&sqlitex.ExecOptions{Args: []any{v.Path, v.Pack}})
	if err != nil {
		return fmt.Errorf("catalog whiteout %q: %w", v.Path, err)
	}
	return nil
}

// Whiteouts yields the paths of the whiteouts of the packs from first to last,
// in byte order, each once.
func (w *Writer) Whiteouts(first, last int) iter.Seq2[string, error] {
	const batch = 1000
	return func(yield func(string, error) bool) {
		behind := any(nil)
		for {
			var paths []string
			err := sqlitex.Execute(w.conn, `SELECT DISTINCT path FROM whiteout WHERE pack BETWEEN ? AND ?
				AND (?3 IS NULL OR path > ?3) ORDER BY path LIMIT ?4`, &sqlitex.ExecOptions{
				Args: []any{first, last, behind, batch},
				ResultFunc: func(s *sqlite.Stmt) error {
					paths = append(paths, s.ColumnText(0))
					return nil
				},
			})
			if err != nil {
				yield("", err)
				return
			}
			for _, p := range paths {
				if !yield(p, nil) {
					return
				}
			}
			if len(paths) < batch {
				return
			}
			behind = paths[batch-1]
		}
	}
}

// Dirty says if anything differs from the parent so far.
func (w *Writer) Dirty() bool { return w.dirty }

// Find returns the row with this path and type as it is now, or nil.
func (w *Writer) Find(path string, t tree.Type) (*Entry, error) {
	reader := &DB{name: w.path, dataset: &Dataset{Prefix: w.opts.Prefix}}
	var found *Entry
	err := sqlitex.Execute(w.conn, "SELECT "+entryColumns+" FROM entry WHERE path = ?", &sqlitex.ExecOptions{
		Args: []any{reader.dataset.column(path, t)},
		ResultFunc: func(s *sqlite.Stmt) error {
			var err error
			found, err = reader.scanEntry(s)
			return err
		},
	})
	if err != nil {
		return nil, fmt.Errorf("catalog %q: %w", path, err)
	}
	return found, nil
}

// WhiteoutPacks returns the IDs of the packs that hold whiteouts.
func (w *Writer) WhiteoutPacks() (map[int]bool, error) {
	packs := map[int]bool{}
	err := sqlitex.Execute(w.conn, "SELECT DISTINCT pack FROM whiteout", &sqlitex.ExecOptions{
		ResultFunc: func(s *sqlite.Stmt) error {
			packs[s.ColumnInt(0)] = true
			return nil
		},
	})
	return packs, err
}

// Live returns what the entries of each pack take in its tar stream, in
// bytes, by pack, as of the rows so far.
func (w *Writer) Live() map[int]int64 { return w.live }

// InPacks yields the rows of the packs from first to last, in the order of
// the tree. Rows may be moved meanwhile.
func (w *Writer) InPacks(ctx context.Context, first, last int) iter.Seq2[*Entry, error] {
	reader := &DB{name: w.path, dataset: &Dataset{Prefix: w.opts.Prefix}}
	const batch = 1000
	return func(yield func(*Entry, error) bool) {
		behind := ""
		for {
			var rows []*Entry
			err := sqlitex.Execute(w.conn, "SELECT "+entryColumns+" FROM entry WHERE path > ? AND pack BETWEEN ? AND ? ORDER BY path LIMIT ?",
				&sqlitex.ExecOptions{
					Args: []any{behind, first, last, batch},
					ResultFunc: func(s *sqlite.Stmt) error {
						behind = s.ColumnText(1)
						e, err := reader.scanEntry(s)
						rows = append(rows, e)
						return err
					},
				})
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for _, e := range rows {
				if !yield(e, nil) {
					return
				}
			}
			if len(rows) < batch {
				return
			}
		}
	}
}

// Move changes where the row e says that its entry lies: Pack, Offset and, of
// a file, Link.
func (w *Writer) Move(e *Entry) error {
	w.live[e.Pack] += e.footprint()
	offset := any(nil)
	if e.Type == tree.File {
		offset = e.Offset
	}
	err := sqlitex.Execute(w.conn, "UPDATE entry SET pack = ?, offset = ?, link = ? WHERE id = ?",
		&sqlitex.ExecOptions{Args: []any{e.Pack, offset, nullable(e.Link), e.ID}})
	if err != nil {
		return fmt.Errorf("catalog %q: %w", e.Path, err)
	}
	return nil
}

// RemovePacks drops the packs from first to last, with their whiteouts.
func (w *Writer) RemovePacks(first, last int) error {
	for _, stmt := range []string{
		`DELETE FROM frame_group WHERE id >= (SELECT min(first_group) FROM pack WHERE id BETWEEN ?1 AND ?2)
			AND EXISTS (SELECT 1 FROM pack p WHERE p.id BETWEEN ?1 AND ?2 AND frame_group.id >= p.first_group
			AND frame_group.id < p.first_group + ((p.tar_size + p.frame_size - 1) / p.frame_size + 63) / 64)`,
		"DELETE FROM pack WHERE id BETWEEN ?1 AND ?2",
		"DELETE FROM whiteout WHERE pack BETWEEN ?1 AND ?2",
	} {
		if err := sqlitex.Execute(w.conn, stmt, &sqlitex.ExecOptions{Args: []any{first, last}}); err != nil {
			return fmt.Errorf("catalog packs %d to %d: %w", first, last, err)
		}
	}
	for id := first; id <= last; id++ {
		delete(w.live, id)
	}
	return nil
}
