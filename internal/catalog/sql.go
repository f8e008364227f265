package catalog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"
)

// Limits of what a user's SQL may ask for.
const (
	maxStatement = 1 << 20  // bytes of SQL
	maxValue     = 64 << 20 // bytes of one value or row
	maxDepth     = 200      // of an expression
)

// Errors of SQL that took more than its options allow.
var (
	ErrTimeLimit = errors.New("time limit reached")
	ErrRowLimit  = errors.New("row limit reached")
)

// SQLOptions limit a statement. The zero value limits neither rows nor time.
type SQLOptions struct {
	// MaxRows is the most rows that are yielded; one more is ErrRowLimit.
	MaxRows int
	// Timeout is how long SQLite may work on the statement, not counting
	// the time its rows wait for their reader; then it is ErrTimeLimit.
	Timeout time.Duration
	// Params are the values of parameters ":NAME" in the statement.
	Params map[string]string
}

// A Kind is the type of a Value.
type Kind byte

// The types of SQL.
const (
	Null Kind = iota
	Integer
	Float
	Text
	Blob
)

// A Value is one cell of a result. Text need not be UTF-8.
type Value struct {
	Kind  Kind
	Int   int64
	Float float64
	Text  string // the bytes of a Text or Blob
}

// Rows is the result of a statement. It must be closed.
type Rows struct {
	db    *DB
	conn  *sqlite.Conn
	stmt  *sqlite.Stmt
	guard *guard
	cols  []string
	opts  SQLOptions
	watch *stopwatch
}

// SQL runs one statement that reads and does nothing else: SELECT, VALUES,
// WITH or EXPLAIN over the tables and views of the catalog. Names that are no
// columns but metrics stand for their values, wherever there is a column meta.
func (db *DB) SQL(ctx context.Context, stmt string, opts SQLOptions) (*Rows, error) {
	if err := checkSQL(stmt); err != nil {
		return nil, fmt.Errorf("sql: %w", err)
	}
	conn, err := db.take(ctx)
	if err != nil {
		return nil, err
	}
	r := &Rows{db: db, conn: conn, guard: &guard{}, opts: opts, watch: newStopwatch(ctx, opts.Timeout)}
	conn.SetInterrupt(r.watch.done)
	r.watch.start()
	names, err := resolve(ctx, conn, stmt, "", func(stmt string) (err error) {
		r.stmt, r.cols, err = r.guard.prepareWith(conn, stmt, opts.Params != nil)
		return err
	})
	r.watch.stop()
	if err == nil && opts.Params != nil {
		err = bind(r.stmt, opts.Params)
	}
	if err != nil {
		err = r.error(names.originalError(err))
		r.Close()
		return nil, err
	}
	for i, c := range r.cols {
		r.cols[i] = names.original(c)
	}
	return r, nil
}

// Columns returns the names of the columns.
func (r *Rows) Columns() []string { return r.cols }

// All yields the rows. A row is valid until the next one.
func (r *Rows) All() iter.Seq2[[]Value, error] {
	return func(yield func([]Value, error) bool) {
		row := make([]Value, len(r.cols))
		for n := 0; ; n++ {
			if err := r.watch.ctxErr(); err != nil {
				yield(nil, err)
				return
			}
			r.watch.start()
			more, err := r.stmt.Step()
			r.watch.stop()
			if err != nil {
				yield(nil, r.error(err))
				return
			}
			if !more {
				return
			}
			if r.opts.MaxRows > 0 && n == r.opts.MaxRows {
				yield(nil, fmt.Errorf("sql: more than %d rows: %w", n, ErrRowLimit))
				return
			}
			for i := range row {
				row[i] = columnValue(r.stmt, i)
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

// Close ends the statement.
func (r *Rows) Close() error {
	if r.conn == nil {
		return nil
	}
	var err error
	if r.stmt != nil {
		r.stmt.Reset()
		err = r.stmt.Finalize()
	}
	err = errors.Join(err, r.conn.SetAuthorizer(nil))
	r.db.give(r.conn)
	r.watch.close()
	r.conn = nil
	return err
}

func (r *Rows) error(err error) error {
	if err := r.watch.ctxErr(); err != nil {
		return err
	}
	if sqlite.ErrCode(err) == sqlite.ResultInterrupt {
		return fmt.Errorf("sql: not done after %v: %w", r.opts.Timeout, ErrTimeLimit)
	}
	return fmt.Errorf("sql: %w", r.guard.explain(err))
}

func columnValue(s *sqlite.Stmt, i int) Value {
	switch s.ColumnType(i) {
	case sqlite.TypeInteger:
		return Value{Kind: Integer, Int: s.ColumnInt64(i)}
	case sqlite.TypeFloat:
		return Value{Kind: Float, Float: s.ColumnFloat(i)}
	case sqlite.TypeText:
		return Value{Kind: Text, Text: s.ColumnText(i)}
	case sqlite.TypeBlob:
		b := make([]byte, s.ColumnLen(i))
		s.ColumnBytes(i, b)
		return Value{Kind: Blob, Text: string(b)}
	}
	return Value{}
}

// checkSQL refuses what SQLite would not see or would not refuse.
func checkSQL(stmt string) error {
	switch {
	case skipBlank(stmt) == "":
		return errors.New("empty statement")
	case strings.IndexByte(stmt, 0) >= 0:
		return errors.New("a NUL character in the statement")
	case len(stmt) > maxStatement:
		return fmt.Errorf("statement of %d bytes; the limit is %d", len(stmt), maxStatement)
	}
	return nil
}

// limit bounds what one statement on conn can take.
func limit(conn *sqlite.Conn) {
	conn.Limit(sqlite.LimitSQLLength, maxStatement+4096)
	conn.Limit(sqlite.LimitLength, maxValue)
	conn.Limit(sqlite.LimitExprDepth, maxDepth)
	conn.Limit(sqlite.LimitAttached, 0)
}

// A guard is the authorizer under which SQL of a user runs: it may read.
type guard struct {
	denied string // the first thing refused
}

var _ sqlite.Authorizer = (*guard)(nil)

// Authorize implements sqlite.Authorizer.
func (g *guard) Authorize(a sqlite.Action) sqlite.AuthResult {
	ok := false
	switch a.Type() {
	case sqlite.OpSelect, sqlite.OpRead, sqlite.OpRecursive, sqlite.OpFunction:
		// No function that is there writes; load_extension is switched off
		// in every connection.
		ok = true
	case sqlite.OpPragma:
		// The full-text index reads data_version by itself.
		ok = slices.Contains([]string{"table_info", "table_xinfo", "table_list", "index_list", "index_info", "data_version"},
			strings.ToLower(a.Pragma()))
	}
	if ok {
		return sqlite.AuthResultOK
	}
	if g.denied == "" {
		g.denied = strings.ReplaceAll(strings.TrimPrefix(a.Type().String(), "SQLITE_"), "_", " ")
		if name := a.Pragma() + a.Table(); name != "" {
			g.denied += " " + name
		}
	}
	return sqlite.AuthResultDeny
}

// explain says of a refusal what was refused.
func (g *guard) explain(err error) error {
	if g.denied != "" {
		return fmt.Errorf("a catalog can only be read: %s is not allowed", g.denied)
	}
	return plainError(err)
}

// prepare puts conn under the guard and prepares query, which must be one
// statement. The caller finalizes it and then removes the authorizer, also
// after an error.
func (g *guard) prepare(conn *sqlite.Conn, query string) (*sqlite.Stmt, []string, error) {
	return g.prepareWith(conn, query, false)
}

// prepareWith is prepare for a query that may have parameters.
func (g *guard) prepareWith(conn *sqlite.Conn, query string, params bool) (*sqlite.Stmt, []string, error) {
	if err := conn.SetAuthorizer(g); err != nil {
		return nil, nil, err
	}
	stmt, err := prepareOne(conn, query)
	if err != nil {
		return nil, nil, err
	}
	cols := make([]string, stmt.ColumnCount())
	if len(cols) == 0 {
		stmt.Finalize()
		return nil, nil, errors.New("not a statement that reads, such as SELECT")
	}
	if stmt.BindParamCount() > 0 && !params {
		stmt.Finalize()
		return nil, nil, errors.New("parameters (?) have no value here: write the value")
	}
	doubled := false
	for i := range cols {
		cols[i] = stmt.ColumnName(i)
		doubled = doubled || cols[i] == ""
	}
	if doubled {
		distinct(conn, query, cols)
	}
	return stmt, cols, nil
}

// distinct fills in the names of columns that the driver cannot tell because
// another one has the same: SQLite numbers those of a subquery.
func distinct(conn *sqlite.Conn, query string, cols []string) {
	query = strings.TrimRight(query, "; \t\r\n")
	stmt, err := prepareOne(conn, "SELECT * FROM (\n"+query+"\n)")
	if err == nil {
		defer stmt.Finalize()
	}
	for i := range cols {
		if err == nil && stmt.ColumnCount() == len(cols) {
			cols[i] = stmt.ColumnName(i)
		}
		if cols[i] == "" {
			cols[i] = fmt.Sprintf("column%d", i+1)
		}
	}
}

// prepareOne prepares a statement behind which there may be nothing but
// semicolons, space and comments.
func prepareOne(conn *sqlite.Conn, query string) (*sqlite.Stmt, error) {
	stmt, rest, err := conn.PrepareTransient(query)
	if err != nil {
		return nil, err
	}
	tail := skipBlank(query[len(query)-rest:])
	if tail == "" {
		return stmt, nil
	}
	stmt.Finalize()
	return nil, fmt.Errorf("only one statement is allowed: %.40q follows it", tail)
}

// skipBlank returns what is behind semicolons, space and comments.
func skipBlank(s string) string {
	for {
		s = strings.TrimLeft(s, "; \t\r\n\f")
		switch {
		case strings.HasPrefix(s, "--"):
			_, s, _ = strings.Cut(s, "\n")
		case strings.HasPrefix(s, "/*"):
			_, s, _ = strings.Cut(s[2:], "*/")
		default:
			return s
		}
	}
}

// eachGuarded is each for a query with SQL of the user's in it, whose time is
// measured.
func (db *DB) eachGuarded(ctx context.Context, w *stopwatch, query string, args []string, f func(*sqlite.Stmt) (bool, error)) error {
	conn, err := db.take(ctx)
	if err != nil {
		return err
	}
	defer db.give(conn)
	conn.SetInterrupt(w.done)
	g := &guard{}
	defer conn.SetAuthorizer(nil)
	if err := conn.SetAuthorizer(g); err != nil {
		return err
	}
	s, err := prepareOne(conn, query)
	if err != nil {
		return g.explain(err)
	}
	defer s.Finalize()
	for i, a := range args {
		s.BindText(i+1, a)
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		w.start()
		more, err := s.Step()
		w.stop()
		if err != nil || !more {
			return err
		}
		if more, err := f(s); err != nil || !more {
			return err
		}
	}
}

// An inputError is about what a user typed.
type inputError struct {
	flag, text string
	err        error
}

func (e *inputError) Error() string { return fmt.Sprintf("%s %q: %v", e.flag, e.text, e.err) }
func (e *inputError) Unwrap() error { return e.err }

// checkWhere makes sure that expr is one expression. Within a query it stands
// in parentheses, which it could close; within CASE WHEN it could not. So
// what is right in both is nothing but an expression.
//
// It returns the expression with its metrics resolved.
func (db *DB) checkWhere(ctx context.Context, expr string) (string, error) {
	if err := checkSQL(expr); err != nil {
		return "", &inputError{"where", expr, err}
	}
	conn, err := db.take(ctx)
	if err != nil {
		return "", err
	}
	defer db.give(conn)
	defer conn.SetAuthorizer(nil)
	as, original := expr, plainError
	for _, around := range [][2]string{{"SELECT 1 FROM files WHERE (\n", "\n)"}, {"SELECT CASE WHEN\n", "\nTHEN 1 END FROM files"}} {
		g := &guard{}
		names, err := resolve(ctx, conn, as, around[0], func(expr string) error {
			stmt, _, err := g.prepare(conn, around[0]+expr+around[1])
			if err == nil {
				stmt.Finalize()
			}
			return err
		})
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil {
			return "", &inputError{"where", expr, g.explain(original(names.originalError(err)))}
		}
		as, original = names.text, names.originalError
	}
	return as, nil
}

// A stopwatch closes done when a context ends, or when the time that the
// watch ran adds up to a limit.
type stopwatch struct {
	done   chan struct{}
	end    func() // closes done, once
	ctxErr func() error
	detach func() bool
	timer  *time.Timer // nil without a limit
	left   time.Duration
	begun  time.Time
}

func newStopwatch(ctx context.Context, limit time.Duration) *stopwatch {
	w := &stopwatch{done: make(chan struct{}), ctxErr: ctx.Err, left: limit}
	w.end = sync.OnceFunc(func() { close(w.done) })
	w.detach = context.AfterFunc(ctx, w.end)
	if limit > 0 {
		w.timer = time.AfterFunc(limit, w.end)
		w.timer.Stop()
	}
	return w
}

func (w *stopwatch) start() {
	if w.timer != nil {
		w.begun = time.Now()
		w.timer.Reset(w.left)
	}
}

func (w *stopwatch) stop() {
	if w.timer != nil {
		w.timer.Stop()
		w.left = max(1, w.left-time.Since(w.begun))
	}
}

func (w *stopwatch) close() {
	w.detach()
	if w.timer != nil {
		w.timer.Stop()
	}
}
