package catalog_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/data-containers/cdb/internal/catalog"
)

// run collects a result; cells are as SQLite would print them, with their
// kind.
func run(ctx context.Context, db *catalog.DB, stmt string, opts catalog.SQLOptions) (cols []string, rows [][]catalog.Value, err error) {
	r, err := db.SQL(ctx, stmt, opts)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	for row, err := range r.All() {
		if err != nil {
			return r.Columns(), rows, err
		}
		rows = append(rows, append([]catalog.Value(nil), row...))
	}
	return r.Columns(), rows, nil
}

func TestSQL(t *testing.T) {
	db := open(t, write(t, sample(), catalog.WriterOptions{Text: true}))
	cols, rows, err := run(t.Context(), db, "SELECT 1 AS one, 2.5, NULL AS n, x'00ff' AS b, 'a\xffb' AS t; -- done\n;", catalog.SQLOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"one", "2.5", "n", "b", "t"}, cols); diff != "" {
		t.Error(diff)
	}
	want := []catalog.Value{
		{Kind: catalog.Integer, Int: 1}, {Kind: catalog.Float, Float: 2.5}, {}, {Kind: catalog.Blob, Text: "\x00\xff"}, {Kind: catalog.Text, Text: "a\xffb"},
	}
	if diff := cmp.Diff([][]catalog.Value{want}, rows); diff != "" {
		t.Error(diff)
	}
	for stmt, n := range map[string]int{
		"SELECT * FROM files":                          8,
		"VALUES (1), (2)":                              2,
		"SELECT dir, count(*) FROM files GROUP BY dir": 3,
		"SELECT * FROM files a, files b":               64,
		"EXPLAIN QUERY PLAN SELECT * FROM files":       1,
		"PRAGMA table_info(files)":                     11,
		"SELECT name FROM metric":                      3,
		"SELECT path FROM text('name')":                1,
		"WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c LIMIT 5) SELECT x FROM c": 5,
		"/* c */ SELECT 1 /* unended": 1,
	} {
		cols, rows, err := run(t.Context(), db, stmt, catalog.SQLOptions{})
		if err != nil || len(rows) != n {
			t.Errorf("%s: %d rows, %v; want %d", stmt, len(rows), err, n)
		}
		seen := map[string]bool{}
		for _, c := range cols {
			if seen[c] || c == "" {
				t.Errorf("%s: columns %q", stmt, cols)
			}
			seen[c] = true
		}
	}
}

// Nothing but reading is possible.
func TestSQLRefuses(t *testing.T) {
	path := write(t, sample(), catalog.WriterOptions{Text: true})
	db := open(t, path)
	target := t.TempDir() + "/x.db"
	for _, stmt := range []string{
		"INSERT INTO entry (id, path) VALUES (99, 'x')", "UPDATE entry SET path = 'x'", "DELETE FROM entry", "DROP TABLE entry", "DROP VIEW files",
		"CREATE TABLE x (a)", "CREATE TEMP TABLE x (a)", "CREATE TEMP VIEW v AS SELECT 1", "CREATE INDEX i ON entry (link)",
		"CREATE VIRTUAL TABLE temp.v USING fts5vocab(main, text, row)", "INSERT INTO text (text) VALUES ('rebuild')", "ALTER TABLE entry RENAME TO x",
		"ATTACH '" + target + "' AS x", "DETACH main", "VACUUM", "VACUUM INTO '" + target + "'", "ANALYZE", "REINDEX",
		"BEGIN", "COMMIT", "SAVEPOINT s", "PRAGMA journal_mode = WAL", "PRAGMA query_only = OFF", "PRAGMA writable_schema = ON", "PRAGMA temp_store_directory = '/'",
		"PRAGMA trusted_schema = ON", "PRAGMA cache_size = 100000000", "SELECT * FROM pragma_database_list",
		"SELECT load_extension('/lib/x.so')", "SELECT fts3_tokenizer('x')", "SELECT writefile('" + target + "', 'x')", "SELECT readfile('/etc/passwd')",
		"SELECT 1; SELECT 2", "SELECT 1; DROP TABLE entry", "SELECT 1; VACUUM", "SELECT 1 x y", "SELECT ?", "SELECT :a", "", " ;", "-- nothing", "/*", "SELECT\x00 1", "garbage",
		"SELECT 1" + strings.Repeat(" + 1", 500), "SELECT '" + strings.Repeat("x", 1<<20) + "'",
		"SELECT length(randomblob(100000000))", "WITH x AS (SELECT 1) DELETE FROM entry", "EXPLAIN DELETE FROM entry", "INSERT INTO entry SELECT * FROM entry RETURNING id",
		"SELECT 1 INTO OUTFILE 'x'", ".read x",
	} {
		if _, rows, err := run(t.Context(), db, stmt, catalog.SQLOptions{Timeout: 10 * time.Second}); err == nil {
			t.Errorf("%.60q: no error, %d rows", stmt, len(rows))
		}
	}
	if got := paths(t, open(t, path), ""); len(got) != len(sample()) {
		t.Errorf("%d rows are left", len(got))
	}
	if _, err := db.Metrics(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSQLLimits(t *testing.T) {
	db := open(t, write(t, sample(), catalog.WriterOptions{}))
	const endless = "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x+1 FROM c) SELECT "
	_, _, err := run(t.Context(), db, endless+"count(*) FROM c", catalog.SQLOptions{Timeout: 20 * time.Millisecond})
	if !errors.Is(err, catalog.ErrTimeLimit) || !strings.Contains(err.Error(), "20ms") {
		t.Errorf("endless count: %v", err)
	}
	_, _, err = run(t.Context(), db, endless+"x FROM c", catalog.SQLOptions{Timeout: 20 * time.Millisecond})
	if !errors.Is(err, catalog.ErrTimeLimit) {
		t.Errorf("endless rows: %v", err)
	}
	_, rows, err := run(t.Context(), db, endless+"x FROM c", catalog.SQLOptions{MaxRows: 7})
	if !errors.Is(err, catalog.ErrRowLimit) || len(rows) != 7 {
		t.Errorf("7 rows at most: %d, %v", len(rows), err)
	}
	if _, rows, err := run(t.Context(), db, "VALUES (1), (2)", catalog.SQLOptions{MaxRows: 2}); err != nil || len(rows) != 2 {
		t.Errorf("2 rows at most: %d, %v", len(rows), err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, _, err = run(ctx, db, endless+"count(*) FROM c", catalog.SQLOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("ended context: %v", err)
	}
	q := catalog.Query{Where: "(" + endless + "count(*) FROM c) > 0", Timeout: 20 * time.Millisecond}
	if _, err := db.Count(t.Context(), q); !errors.Is(err, catalog.ErrTimeLimit) {
		t.Errorf("endless where: %v", err)
	}
	// The time that a reader takes is not the statement's.
	r, err := db.SQL(t.Context(), "SELECT path FROM files", catalog.SQLOptions{Timeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, err := range r.All() {
		time.Sleep(20 * time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzWhere(f *testing.F) {
	db := open(f, write(f, sample(), catalog.WriterOptions{}))
	for _, s := range []string{"size > 1", "1) OR (1", "path LIKE '%a' -- x", "/*", "1; DROP TABLE entry", "CASE WHEN 1 THEN 2 END"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		// Whatever the expression is, it can only narrow down.
		n, err := db.Count(t.Context(), catalog.Query{Where: expr, Get: "nowhere", Timeout: time.Second})
		if err == nil && n != 0 && expr != "" {
			t.Fatalf("where %q lifts the other condition: %d rows", expr, n)
		}
	})
}
