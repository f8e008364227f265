package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/data-containers/cdb/internal/tree"
)

const entryColumns = "id, path, type, mode, mtime, size, sha256, link, pack, offset, meta, attrs"

// Entries yields the entry with path under and all below it, in the order of
// the tree; "" yields all. Paths are relative to the root of the data.
// Nothing is yielded for a path that is not there. An entry is valid until
// the next one.
func (db *DB) Entries(ctx context.Context, under string) iter.Seq2[*Entry, error] {
	if under == "" {
		return db.entries(ctx, "SELECT "+entryColumns+" FROM entry "+db.order())
	}
	abs := db.dataset.Abs(under)
	// Of a path "a", "a/" <= everything below < "a0", as '0' follows '/'.
	return db.entries(ctx, "SELECT "+entryColumns+" FROM entry WHERE path = ?1 OR path >= ?1 || '/' AND path < ?1 || '0' ORDER BY path", abs)
}

// order is the ORDER BY of all rows in the order of the tree.
func (db *DB) order() string {
	if db.dataset.Mixed {
		return "ORDER BY path"
	}
	return "ORDER BY id"
}

// Children yields the entries of folder dir (not of folders in it), in the
// order of the tree. It reads only about as many rows as it yields, however
// large the folders in dir are.
func (db *DB) Children(ctx context.Context, dir string) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		above := db.dataset.column(dir, tree.Dir)
		next, end := above+"\x00", above[:len(above)-1]+"0"
		for next != "" {
			from := next
			next = ""
			for e, err := range db.entries(ctx, "SELECT "+entryColumns+" FROM entry WHERE path >= ?1 AND path < ?2 ORDER BY path LIMIT 1", from, end) {
				if err != nil || !yield(e, nil) {
					if err != nil {
						yield(nil, err)
					}
					return
				}
				next = db.dataset.column(e.Path, e.Type) + "\x00"
				if e.Type == tree.Dir { // pass over what is in it
					next = db.dataset.Abs(e.Path) + "0"
				}
			}
		}
	}
}

// Lookup returns the entry with path p, relative to the root of the data, or
// nil if there is none.
func (db *DB) Lookup(ctx context.Context, p string) (*Entry, error) {
	for e, err := range db.entries(ctx, "SELECT "+entryColumns+" FROM entry WHERE path IN (?1, ?2)", db.dataset.Abs(p), db.dataset.column(p, tree.Dir)) {
		return e, err
	}
	return nil, ctx.Err()
}

// entries runs a query for entryColumns.
func (db *DB) entries(ctx context.Context, query string, args ...string) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		err := db.each(ctx, query, args, func(s *sqlite.Stmt) (bool, error) {
			e, err := db.scanEntry(s)
			if err != nil {
				return false, err
			}
			return yield(e, nil), nil
		})
		if err != nil {
			yield(nil, queryError(ctx, "read catalog "+db.name, err))
		}
	}
}

// each calls f for the rows of a query until f returns false or an error.
func (db *DB) each(ctx context.Context, query string, args []string, f func(*sqlite.Stmt) (bool, error)) error {
	conn, err := db.take(ctx)
	if err != nil {
		return err
	}
	defer db.give(conn)
	s, err := conn.Prepare(query)
	if err != nil {
		return err
	}
	defer s.Reset()
	for i, a := range args {
		s.BindText(i+1, a)
	}
	for {
		if more, err := s.Step(); err != nil || !more {
			return err
		}
		if more, err := f(s); err != nil || !more {
			return err
		}
	}
}

// scanEntry reads the columns entryColumns of the current row. They come from
// a file that may be hostile: paths are checked before anybody uses them.
func (db *DB) scanEntry(s *sqlite.Stmt) (*Entry, error) {
	kind := tree.Symlink
	switch s.ColumnText(2) {
	case "f":
		kind = tree.File
	case "d":
		kind = tree.Dir
	}
	rel, ok := db.dataset.Rel(s.ColumnText(1))
	if !ok || db.dataset.column(rel, kind) != s.ColumnText(1) {
		return nil, fmt.Errorf("path %q is not one below %q", s.ColumnText(1), db.dataset.Prefix)
	}
	if err := tree.CheckPath(rel); err != nil {
		return nil, err
	}
	e := &Entry{ID: s.ColumnInt64(0), Pack: s.ColumnInt(8), Offset: s.ColumnInt64(9), Meta: s.ColumnText(10)}
	e.Path, e.Mode, e.Size, e.Link = rel, uint32(s.ColumnInt64(3))&0o7777, s.ColumnInt64(5), s.ColumnText(7)
	nanos, err := e.parseAttrs(s.ColumnText(11))
	if err != nil {
		return nil, err
	}
	e.ModTime = time.Unix(s.ColumnInt64(4), int64(nanos))
	switch t := s.ColumnText(2); t {
	case "d", "l":
		e.Type = tree.Type(t[0])
	case "f":
		e.Type = tree.File
		if s.ColumnLen(6) != sha256.Size || e.Size < 0 || e.Offset < 0 {
			return nil, fmt.Errorf("row of %q is damaged", rel)
		}
		s.ColumnBytes(6, e.SHA256[:])
		if e.Link != "" {
			if err := tree.CheckPath(e.Link); err != nil {
				return nil, fmt.Errorf("hard link %q: %w", rel, err)
			}
		}
	default:
		return nil, fmt.Errorf("entry %q has unknown type %q", rel, t)
	}
	return e, nil
}

// parseAttrs reads column attrs, which has the form of preserved.
func (e *Entry) parseAttrs(attrs string) (nanos int, err error) {
	if attrs == "" {
		return 0, nil
	}
	ok := members(attrs, func(name, value string) bool {
		switch name {
		case "uid":
			e.UID, err = strconv.Atoi(value)
		case "gid":
			e.GID, err = strconv.Atoi(value)
		case "ns":
			nanos, err = strconv.Atoi(value)
		case "xattrs":
			err = e.parseXattrs(value)
		}
		return err == nil
	})
	if !ok && err == nil {
		err = errors.New("not a JSON object")
	}
	if err != nil {
		return 0, fmt.Errorf("attributes of %q: %w", e.Path, err)
	}
	return nanos, nil
}

func (e *Entry) parseXattrs(obj string) (err error) {
	e.Xattrs = map[string]string{}
	ok := members(obj, func(name, value string) bool {
		var b []byte
		b, err = base64.StdEncoding.DecodeString(strings.Trim(value, `"`))
		e.Xattrs[name] = string(b)
		return err == nil
	})
	if !ok && err == nil {
		err = errors.New("xattrs are not a JSON object")
	}
	return err
}

// Packs returns all packs in the order of layers, without their frame tables.
func (db *DB) Packs(ctx context.Context) ([]Pack, error) {
	var packs []Pack
	query := "SELECT id, digest, diff_id, media_type, size, tar_size, live, frame_size FROM pack ORDER BY id LIMIT 1000"
	err := db.each(ctx, query, nil, func(s *sqlite.Stmt) (bool, error) {
		packs = append(packs, Pack{
			ID: s.ColumnInt(0), Digest: s.ColumnText(1), DiffID: s.ColumnText(2), MediaType: s.ColumnText(3),
			Size: s.ColumnInt64(4), TarSize: s.ColumnInt64(5), Live: s.ColumnInt64(6), FrameSize: s.ColumnInt64(7),
		})
		return true, nil
	})
	return packs, queryError(ctx, "read catalog "+db.name, err)
}

// FrameGroup returns the records of the frames of pack from the 64-frame
// group that holds frame on, and the offset of its first frame in the blob.
func (db *DB) FrameGroup(ctx context.Context, pack, frame int) (first int, offset int64, records []byte, err error) {
	conn, err := db.take(ctx)
	if err != nil {
		return 0, 0, nil, err
	}
	defer db.give(conn)
	s, err := conn.Prepare("SELECT g.offset, g.frames FROM pack JOIN frame_group g ON g.id = pack.first_group + ? WHERE pack.id = ?")
	if err != nil {
		return 0, 0, nil, queryError(ctx, "read catalog "+db.name, err)
	}
	defer s.Reset()
	s.BindInt64(1, int64(frame/framesPerGroup))
	s.BindInt64(2, int64(pack))
	more, err := s.Step()
	if err != nil {
		return 0, 0, nil, queryError(ctx, "read catalog "+db.name, err)
	}
	n := 0
	if more {
		n = s.ColumnLen(1)
	}
	if n == 0 || n%FrameRecordSize != 0 || n > framesPerGroup*FrameRecordSize {
		return 0, 0, nil, fmt.Errorf("read catalog %s: pack %d has no frame %d", db.name, pack, frame)
	}
	records = make([]byte, n)
	s.ColumnBytes(1, records)
	return frame / framesPerGroup * framesPerGroup, s.ColumnInt64(0), records, nil
}

// Metrics returns the names of all metrics, sorted: the metadata keys that
// can be searched and sorted by.
func (db *DB) Metrics(ctx context.Context) ([]string, error) {
	var names []string
	err := db.each(ctx, "SELECT name FROM metric ORDER BY name", nil, func(s *sqlite.Stmt) (bool, error) {
		if len(names) == 100_000 {
			return false, errors.New("too many metrics")
		}
		names = append(names, s.ColumnText(0))
		return true, nil
	})
	return names, queryError(ctx, "read catalog "+db.name, err)
}

// Versions returns what the catalog says of its versions, oldest first; the
// last is its own.
func (db *DB) Versions(ctx context.Context) ([]Version, error) {
	var versions []Version
	query := `SELECT parent, created, version, message, files, bytes, added, changed, removed, bytes_added, bytes_removed, digest
		FROM version ORDER BY id LIMIT 100000`
	err := db.each(ctx, query, nil, func(s *sqlite.Stmt) (bool, error) {
		versions = append(versions, Version{
			Parent: s.ColumnText(0), Created: s.ColumnText(1), Version: s.ColumnText(2), Message: s.ColumnText(3),
			Files: s.ColumnInt64(4), Bytes: s.ColumnInt64(5), Added: s.ColumnInt64(6), Changed: s.ColumnInt64(7),
			Removed: s.ColumnInt64(8), BytesAdded: s.ColumnInt64(9), BytesRemoved: s.ColumnInt64(10), Digest: s.ColumnText(11),
		})
		return true, nil
	})
	return versions, queryError(ctx, "read catalog "+db.name, err)
}

// WhiteoutPacks returns the IDs of the packs that hold whiteouts.
func (db *DB) WhiteoutPacks(ctx context.Context) (map[int]bool, error) {
	packs := map[int]bool{}
	err := db.each(ctx, "SELECT DISTINCT pack FROM whiteout LIMIT 1000", nil, func(s *sqlite.Stmt) (bool, error) {
		packs[s.ColumnInt(0)] = true
		return true, nil
	})
	return packs, queryError(ctx, "read catalog "+db.name, err)
}
