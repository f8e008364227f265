package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"modernc.org/sqlite/vfs"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// ErrFormat is wrapped by errors about files that are no catalogs, or none
// that this release can read.
var ErrFormat = errors.New("not a readable catalog")

// A DB is an open catalog. Opening loads nothing; its methods may be called
// from several goroutines at once.
type DB struct {
	name    string // for errors
	uri     string
	r       io.ReaderAt // nil for a file
	size    int64       // in bytes
	vfs     *vfs.FS
	under   io.Closer // what r reads from, if the DB opened it
	dataset *Dataset
	hasText bool
	// sortMemory is the constant, but in tests.
	sortMemory int

	mu   sync.Mutex
	idle []*sqlite.Conn
}

// Open opens the catalog file at path.
func Open(path string) (*DB, error) {
	// SQLite would create what is not there, and its message for a missing
	// file does not say so.
	fi, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("open catalog %q: not a regular file: %w", path, ErrFormat)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open catalog %q: %w", path, err)
	}
	uri := url.URL{Scheme: "file", Path: abs, RawQuery: "immutable=1&mode=ro"}
	return open(&DB{name: path, uri: uri.String(), size: fi.Size()})
}

// OpenReaderAt opens a catalog of size bytes that is read through r; name is
// for errors. r must stay open until the DB is closed.
func OpenReaderAt(name string, r io.ReaderAt, size int64) (*DB, error) {
	vfsName, v, err := vfs.New(&readerFS{r: r, size: size})
	if err != nil {
		return nil, fmt.Errorf("open catalog %s: %w", name, err)
	}
	return open(&DB{name: name, vfs: v, r: r, size: size, uri: "file:catalog.db?immutable=1&mode=ro&vfs=" + vfsName})
}

func open(db *DB) (*DB, error) {
	db.sortMemory = sortMemory
	if err := db.check(); err != nil {
		db.Close()
		return nil, fmt.Errorf("open catalog %s: %w", db.name, err)
	}
	return db, nil
}

// Close ends all connections.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	var errs []error
	for _, c := range db.idle {
		errs = append(errs, c.Close())
	}
	db.idle = nil
	if db.vfs != nil {
		errs = append(errs, db.vfs.Close())
		db.vfs = nil
	}
	if db.under != nil {
		errs = append(errs, db.under.Close())
		db.under = nil
	}
	return errors.Join(errs...)
}

// Dataset returns what the catalog says of the dataset as a whole. It must
// not be changed.
func (db *DB) Dataset() *Dataset { return db.dataset }

// HasText says if the catalog has a full-text index.
func (db *DB) HasText() bool { return db.hasText }

// take returns a connection that is interrupted when ctx ends. The caller
// gives it back with give.
func (db *DB) take(ctx context.Context) (*sqlite.Conn, error) {
	db.mu.Lock()
	var conn *sqlite.Conn
	if n := len(db.idle); n > 0 {
		conn = db.idle[n-1]
		db.idle = db.idle[:n-1]
	}
	db.mu.Unlock()
	if conn == nil {
		var err error
		if conn, err = db.connect(); err != nil {
			return nil, err
		}
	}
	conn.SetInterrupt(ctx.Done())
	return conn, nil
}

func (db *DB) give(conn *sqlite.Conn) {
	conn.SetInterrupt(nil)
	db.mu.Lock()
	defer db.mu.Unlock()
	db.idle = append(db.idle, conn)
}

// connect opens a connection that distrusts the file: nothing in its schema
// may do more than name columns, and cells are checked as they are read.
func (db *DB) connect() (*sqlite.Conn, error) {
	conn, err := sqlite.OpenConn(db.uri, sqlite.OpenReadOnly|sqlite.OpenURI)
	if err != nil {
		return nil, err
	}
	limit(conn)
	for _, pragma := range []string{
		"trusted_schema = OFF", "cell_size_check = ON", "query_only = ON", "temp_store = MEMORY", "cache_size = -8192",
	} {
		if err := sqlitex.ExecuteTransient(conn, "PRAGMA "+pragma, nil); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return conn, nil
}

// check reads the header, compares the schema with the one that cdb writes
// (a file with any other view or trigger is refused), and loads the dataset.
func (db *DB) check() error {
	conn, err := db.connect()
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrFormat, err)
	}
	defer db.give(conn)
	id, err := sqlitex.ResultInt64(conn.Prep("PRAGMA application_id"))
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrFormat, err)
	}
	if id != applicationID {
		return fmt.Errorf("%w: application id %#x instead of %#x", ErrFormat, id, applicationID)
	}
	version, err := sqlitex.ResultInt64(conn.Prep("PRAGMA user_version"))
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrFormat, err)
	}
	if version != schemaVersion {
		return fmt.Errorf("%w: format version %d, this release reads version %d; use a newer cdb", ErrFormat, version, schemaVersion)
	}
	if pages, err := sqlitex.ResultInt64(conn.Prep("PRAGMA page_count")); err != nil || pages*pageSize != db.size {
		return fmt.Errorf("%w: %d bytes long instead of %d: it is cut off", ErrFormat, db.size, pages*pageSize)
	}
	if err := db.checkSchema(conn); err != nil {
		return err
	}
	kv := map[string]string{}
	err = sqlitex.Execute(conn, "SELECT key, value FROM dataset LIMIT 100000", &sqlitex.ExecOptions{
		ResultFunc: func(s *sqlite.Stmt) error {
			kv[s.ColumnText(0)] = s.ColumnText(1)
			return nil
		},
	})
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrFormat, err)
	}
	if db.dataset, err = parseDataset(kv); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return nil
}

func (db *DB) checkSchema(conn *sqlite.Conn) error {
	known := map[string]bool{}
	for _, s := range statements(tables + indexes + views + textTable) {
		known[s] = true
	}
	// The tables behind a full-text index, as FTS5 makes them.
	for _, s := range []string{
		"CREATE TABLE 'text_data'(id INTEGER PRIMARY KEY, block BLOB)",
		"CREATE TABLE 'text_idx'(segid, term, pgno, PRIMARY KEY(segid, term)) WITHOUT ROWID",
		"CREATE TABLE 'text_config'(k PRIMARY KEY, v) WITHOUT ROWID",
	} {
		known[s] = true
	}
	seen := 0
	err := sqlitex.Execute(conn, "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL", &sqlitex.ExecOptions{
		ResultFunc: func(s *sqlite.Stmt) error {
			if !known[s.ColumnText(1)] {
				return fmt.Errorf("%w: unknown object %.40q in its schema", ErrFormat, s.ColumnText(0))
			}
			db.hasText = db.hasText || s.ColumnText(0) == "text"
			seen++
			return nil
		},
	})
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrFormat, err)
	}
	if want := len(statements(tables + indexes + views)); seen < want {
		return fmt.Errorf("%w: %d of %d tables, indexes and views", ErrFormat, seen, want)
	}
	return nil
}

// queryError makes an error of a query one of ctx, if that ended it.
func queryError(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && sqlite.ErrCode(err) == sqlite.ResultInterrupt {
		return ctx.Err()
	}
	return fmt.Errorf("%s: %w", what, plainError(err))
}

// An sqlError is an error of SQLite with only SQLite's message.
type sqlError struct {
	msg string
	err error
}

func (e *sqlError) Error() string { return e.msg }
func (e *sqlError) Unwrap() error { return e.err }

// plainError strips what the driver puts before SQLite's message: its name,
// the call, the place in a statement that the user has not seen, and a code.
func plainError(err error) error {
	_, msg, ok := strings.Cut(err.Error(), "sqlite: ")
	if !ok {
		return err
	}
	for _, call := range []string{"prepare", "step", "reset"} {
		msg = strings.TrimPrefix(msg, call)
	}
	if q, err := strconv.QuotedPrefix(strings.TrimPrefix(msg, " ")); err == nil {
		msg = strings.TrimPrefix(msg, " "+q)
	}
	msg = strings.TrimLeft(msg, ":0123456789 ")
	return &sqlError{strings.TrimPrefix(msg, "SQL logic error: "), err}
}
