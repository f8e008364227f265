package catalog

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"math"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/data-containers/cdb/internal/tree"
)

// A Query says which files and symbolic links Select yields, and in which
// order. The zero value yields all, in byte order of their paths.
type Query struct {
	// Get keeps the file with exactly this path in the image; if there is
	// none, all whose path contains it, byte by byte.
	Get string
	// Text keeps files whose path or metadata has all these words; one that
	// ends in a star stands for all words that begin so.
	Text string
	// Where keeps files for which this SQL expression over the columns of
	// view files, and over metrics, is true.
	Where string
	// Search keeps files whose value of Metric contains it. Null and
	// nothing contain no text.
	Search string
	// Metric is the metric whose value rows carry.
	Metric string
	// Order is the metric to order by. Within equal values, and by default,
	// the order is that of paths. Files without the metric come first, then
	// null, false, numbers, strings, true, and arrays and objects.
	Order string
	// Desc reverses the order exactly.
	Desc bool
	// Limit is the most rows to yield; 0 is no limit.
	Limit int
	// Timeout is how long SQLite may work on a query with Where, as in
	// SQLOptions; 0 is no limit.
	Timeout time.Duration
}

// A Row is one file or symbolic link that a query found.
type Row struct {
	Entry *Entry
	Path  string // in the image
	Value string // of the query's Metric
}

// HasMetric says if name is a metric that files can be ordered and searched
// by: some file has it, or every file can.
func (db *DB) HasMetric(ctx context.Context, name string) (bool, error) {
	if name == "size" || name == "sha256" {
		return true, nil
	}
	return db.exists(ctx, "SELECT 1 FROM metric WHERE name = ?", name)
}

// MetricFiles returns how many files and links have a metric.
func (db *DB) MetricFiles(ctx context.Context, name string) (n int64, err error) {
	err = db.each(ctx, "SELECT files FROM metric WHERE name = ?", []string{name}, func(s *sqlite.Stmt) (bool, error) {
		n = s.ColumnInt64(0)
		return false, nil
	})
	return n, queryError(ctx, "read catalog "+db.name, err)
}

func (db *DB) exists(ctx context.Context, query string, args ...string) (bool, error) {
	found := false
	err := db.each(ctx, query, args, func(*sqlite.Stmt) (bool, error) {
		found = true
		return false, nil
	})
	return found, queryError(ctx, "read catalog "+db.name, err)
}

// Select yields what q asks for. A row is valid until the next one.
func (db *DB) Select(ctx context.Context, q Query) iter.Seq2[*Row, error] {
	return func(yield func(*Row, error) bool) {
		sel, err := db.selection(ctx, &q)
		defer sel.close()
		if err == nil && (q.Order == "" || q.Order == "size") {
			err = sel.direct(ctx, yield)
		} else if err == nil {
			err = sel.sorted(ctx, yield)
		}
		if err != nil {
			yield(nil, sel.error(ctx, err))
		}
	}
}

// Count returns how many rows Select would yield.
func (db *DB) Count(ctx context.Context, q Query) (int64, error) {
	sel, err := db.selection(ctx, &q)
	defer sel.close()
	if err != nil {
		return 0, sel.error(ctx, err)
	}
	var n int64
	query := "SELECT count(*) FROM (SELECT 1" + sel.from + sel.limit() + ")"
	if q.Search != "" {
		query = "SELECT " + sel.columns(factColumns) + sel.from
	}
	err = sel.each(ctx, query, func(s *sqlite.Stmt) (bool, error) {
		if q.Search == "" {
			n = s.ColumnInt64(0)
		} else if scanFacts(s).matches(&q) {
			n++
		}
		return q.Limit == 0 || n < int64(q.Limit), nil
	})
	if err != nil {
		return 0, sel.error(ctx, err)
	}
	return n, nil
}

func (e *Entry) matches(q *Query) bool {
	return q.Search == "" || strings.Contains(e.Value(q.Metric), q.Search)
}

// A selection is a query as SQL.
type selection struct {
	db   *DB
	q    *Query
	from string // " FROM ... WHERE ...", where files is what columns belong to
	args []string
	// byHit says that the rows come from the full-text index, in its order.
	byHit bool
	// watch is set if SQL of the user's is part of it.
	watch *stopwatch
}

// selection never returns nil, so that its method error can be called.
func (db *DB) selection(ctx context.Context, q *Query) (*selection, error) {
	s := &selection{db: db, q: q}
	var conds []string
	if q.Where == "" {
		s.from = " FROM entry AS files"
		conds = append(conds, "files.type <> 'd'")
	} else {
		s.watch = newStopwatch(ctx, q.Timeout)
		where, err := db.checkWhere(ctx, q.Where)
		if err != nil {
			return s, err
		}
		// Only the names of the view may be in sight of the expression.
		var inner []string
		for c := range strings.SplitSeq(entryColumns, ", ") {
			inner = append(inner, c+` AS "entry `+c+`"`)
		}
		s.from = " FROM files CROSS JOIN (SELECT " + strings.Join(inner, ", ") + ` FROM entry) ON "entry id" = files.id`
		conds = append(conds, "(\n"+where+"\n)")
	}
	if q.Get != "" {
		exact, err := db.exists(ctx, "SELECT 1 FROM entry WHERE path = ? AND type <> 'd'", q.Get)
		if err != nil {
			return s, err
		}
		if exact {
			conds = append(conds, "files.path = "+s.arg(q.Get))
		} else {
			// As blobs, or bytes that are not UTF-8 would not be found.
			conds = append(conds, "instr(CAST(files.path AS BLOB), CAST("+s.arg(q.Get)+" AS BLOB)) > 0")
		}
	}
	if q.Text != "" {
		if !db.hasText {
			return s, &inputError{"text", q.Text, ErrNoText}
		}
		match, err := matchExpr(q.Text)
		if err != nil {
			return s, &inputError{"text", q.Text, err}
		}
		hits := "(SELECT rowid AS hit FROM text WHERE text MATCH " + s.arg(match) + ")"
		if s.byHit = q.Where == "" && q.Order == "" && !db.dataset.Mixed; s.byHit {
			// The index yields hits in the order of IDs, one by one.
			s.from = " FROM " + hits + " CROSS JOIN entry AS files ON files.id = hit"
		} else {
			conds = append(conds, "files.id IN "+hits)
		}
	}
	s.from += " WHERE " + strings.Join(conds, " AND ")
	return s, nil
}

// arg adds an argument and returns its placeholder.
func (s *selection) arg(v string) string {
	s.args = append(s.args, v)
	return fmt.Sprintf("?%d", len(s.args))
}

// columns returns the SQL for a list of columns of table entry.
func (s *selection) columns(list string) string {
	if s.q.Where == "" {
		return list
	}
	return `"entry ` + strings.ReplaceAll(list, ", ", `", "entry `) + `"`
}

func (s *selection) limit() string {
	if s.q.Limit == 0 {
		return ""
	}
	return fmt.Sprintf(" LIMIT %d", s.q.Limit)
}

func (s *selection) each(ctx context.Context, query string, f func(*sqlite.Stmt) (bool, error)) error {
	if s.watch != nil {
		return s.db.eachGuarded(ctx, s.watch, query, s.args, f)
	}
	return s.db.each(ctx, query, s.args, f)
}

func (s *selection) close() {
	if s.watch != nil {
		s.watch.close()
	}
}

// error adds to an error what the user typed, if that can be its reason.
func (s *selection) error(ctx context.Context, err error) error {
	var input *inputError
	if errors.As(err, &input) || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return err
	}
	if s.watch != nil && sqlite.ErrCode(err) == sqlite.ResultInterrupt && ctx.Err() == nil {
		return &inputError{"where", s.q.Where, fmt.Errorf("not done after %v: %w", s.q.Timeout, ErrTimeLimit)}
	}
	if s.watch != nil {
		return queryError(ctx, fmt.Sprintf("where %q", s.q.Where), err)
	}
	return queryError(ctx, "read catalog "+s.db.name, err)
}

// direct runs the query in an order that SQLite has an index for.
func (s *selection) direct(ctx context.Context, yield func(*Row, error) bool) error {
	dir := ""
	if s.q.Desc {
		dir = " DESC"
	}
	tree := "files.id"
	switch {
	case s.db.dataset.Mixed:
		tree = "files.path"
	case s.byHit:
		tree = "hit"
	}
	order := " ORDER BY " + tree + dir
	if s.q.Order == "size" {
		order = " ORDER BY files.size" + dir + ", " + tree + dir
		if s.db.dataset.Links == 0 {
			// Only folders are left without a size: pass them over in the index.
			order = " AND files.size IS NOT NULL" + order
		}
	}
	query := "SELECT " + s.columns(entryColumns) + s.from + order
	if s.q.Search == "" {
		query += s.limit()
	}
	n := 0
	return s.each(ctx, query, func(st *sqlite.Stmt) (bool, error) {
		e, err := s.db.scanEntry(st)
		if err != nil || !e.matches(s.q) {
			return err == nil, err
		}
		n++
		return yield(s.row(e), nil) && n != s.q.Limit, nil
	})
}

func (s *selection) row(e *Entry) *Row {
	r := &Row{Entry: e, Path: s.db.dataset.Abs(e.Path)}
	if s.q.Metric != "" {
		r.Value = e.Value(s.q.Metric)
	}
	return r
}

// sorted runs the query in the order of any metric: each pass over the
// entries finds as many of the next ones as fit into memory.
func (s *selection) sorted(ctx context.Context, yield func(*Row, error) bool) error {
	st := &sorter{desc: s.q.Desc, limit: math.MaxInt / 4, bytes: s.db.sortMemory}
	if s.q.Limit > 0 {
		st.limit = s.q.Limit
	}
	for {
		var key []byte
		err := s.each(ctx, "SELECT "+s.columns(factColumns)+s.from, func(row *sqlite.Stmt) (bool, error) {
			if e := scanFacts(row); e.matches(s.q) {
				key = e.metric(s.q.Order).appendKey(key[:0])
				if s.db.dataset.Mixed {
					// IDs do not order what ties.
					key = append(append(key, 0), row.ColumnText(6)...)
				}
				st.add(e.ID, key)
			}
			return true, nil
		})
		if err != nil {
			return err
		}
		if more, err := s.fetch(ctx, st.finish(), yield); err != nil || !more {
			return err
		}
		if !st.next() {
			return nil
		}
	}
}

// fetch yields the entries that items name.
func (s *selection) fetch(ctx context.Context, items []item, yield func(*Row, error) bool) (more bool, err error) {
	conn, err := s.db.take(ctx)
	if err != nil {
		return false, err
	}
	defer s.db.give(conn)
	st, err := conn.Prepare("SELECT " + entryColumns + " FROM entry WHERE id = ?")
	if err != nil {
		return false, err
	}
	defer st.Reset()
	for _, it := range items {
		st.BindInt64(1, it.id)
		if ok, err := st.Step(); err != nil || !ok {
			return false, err
		}
		e, err := s.db.scanEntry(st)
		if err != nil {
			return false, err
		}
		if !yield(s.row(e), nil) {
			return false, nil
		}
		if err := st.Reset(); err != nil {
			return false, err
		}
	}
	return true, nil
}

// factColumns is what the value of a metric can depend on,
// and the path that decides ties.
const factColumns = "id, type, size, sha256, link, meta, path"

func scanFacts(s *sqlite.Stmt) *Entry {
	e := &Entry{ID: s.ColumnInt64(0), Meta: s.ColumnText(5)}
	e.Size, e.Link = s.ColumnInt64(2), s.ColumnText(4)
	if s.ColumnLen(3) == sha256.Size {
		s.ColumnBytes(3, e.SHA256[:])
	}
	if t := s.ColumnText(1); t != "" {
		e.Type = tree.Type(t[0])
	}
	return e
}
