package extract_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// tableDatabase returns the bytes of a database that a script makes.
func tableDatabase(t testing.TB, script string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	for _, stmt := range strings.Split("PRAGMA synchronous = OFF;\nPRAGMA journal_mode = MEMORY;\n"+script, ";\n") {
		if err := sqlitex.ExecuteTransient(conn, stmt, nil); err != nil {
			t.Fatalf("%s: %v", stmt, err)
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const someTables = `PRAGMA page_size = 512;
CREATE TABLE penguin (id INTEGER PRIMARY KEY, "body mass" DECIMAL(10, 2) NOT NULL, [né] unsigned big int DEFAULT 3, plain, CHECK (id > 0), UNIQUE (id, plain)) -- no, more
;
CREATE TABLE pair (a TEXT, b TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE empty (x);
CREATE TABLE copy AS SELECT 1 AS one, 'x' AS two;
CREATE VIRTUAL TABLE search USING fts5(body);
CREATE VIEW heavy AS SELECT * FROM penguin;
CREATE INDEX by_mass ON penguin ("body mass");
CREATE TRIGGER tr AFTER INSERT ON empty BEGIN SELECT 1; END;
WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 5000) INSERT INTO penguin SELECT i, i * 1.5, i, 'text of ' || i FROM n;
WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 3000) INSERT INTO pair SELECT 'key' || i, 'val' || i FROM n;
DELETE FROM penguin WHERE id % 7 = 0;
PRAGMA user_version = 42;
PRAGMA application_id = 1234`

func TestSQLite(t *testing.T) {
	data := tableDatabase(t, someTables)
	m := tableMeta(t, "sqlite", "no-such-suffix", data)
	got := ""
	for _, table := range m["tables"].([]any) {
		got += fmt.Sprintln(table)
	}
	want := `map[columns:[one two] name:copy rows:1 types:[ ]]
map[columns:[x] name:empty rows:0 types:[]]
map[columns:[a b] name:pair rows:3000 types:[TEXT TEXT]]
map[columns:[id body mass né plain] name:penguin rows:4286 types:[INTEGER DECIMAL(10,2) unsigned big int ]]
map[module:fts5 name:search]
`
	if !strings.HasPrefix(got, want) {
		t.Errorf("tables (-want +got):\n%s", cmp.Diff(want, got))
	}
	if got := fmt.Sprint(m["page_size"], " ", m["encoding"], " ", m["user_version"], " ", m["application_id"], " ", m["views"], " ", m["indexes"], " ", m["triggers"]); got != "512 utf-8 42 1234 [heavy] 2 1" {
		t.Errorf("%s", got)
	}
}

// The schema is found when it is long, in UTF-16, and spread over the file.
func TestSQLiteSchema(t *testing.T) {
	for _, encoding := range []string{"UTF-8", "UTF-16le", "UTF-16be"} {
		for _, pageSize := range []int{512, 4096, 65536} {
			script := fmt.Sprintf("PRAGMA page_size = %d;\nPRAGMA encoding = '%s';\nBEGIN;\n", pageSize, encoding)
			var columns []string
			for i := range 1500 {
				columns = append(columns, fmt.Sprintf("column_with_a_long_name_%d TEXT", i))
			}
			for i := range 200 {
				script += fmt.Sprintf("CREATE TABLE t%03d (a, b);\nINSERT INTO t%03d VALUES (1, 2), (3, 4);\n", i, i)
			}
			script += "CREATE TABLE wide (" + strings.Join(columns, ", ") + ");\nINSERT INTO wide (column_with_a_long_name_0) VALUES (1);\nCOMMIT"
			m := tableMeta(t, "sqlite", "x.db", tableDatabase(t, script))
			tables := m["tables"].([]any)
			if len(tables) != 201 || fmt.Sprint(tables[7]) != "map[columns:[a b] name:t007 rows:2 types:[ ]]" {
				t.Errorf("%s, pages of %d: %d tables, %v", encoding, pageSize, len(tables), tables[7])
			}
			wide := tables[len(tables)-1].(map[string]any)
			n := len(wide["columns"].([]any))
			if fmt.Sprint(wide["rows"]) != "1" || encoding == "UTF-8" && n != 1500 || n < 900 {
				t.Errorf("%s, pages of %d: %v rows, %d columns", encoding, pageSize, wide["rows"], n)
			}
			if want := strings.ToLower(encoding); m["encoding"] != want {
				t.Errorf("encoding %v, not %s", m["encoding"], want)
			}
		}
	}
}

// A schema that grows late lies far behind the head of the file.
func TestSQLiteLateSchema(t *testing.T) {
	script := "PRAGMA page_size = 1024;\nCREATE TABLE big (x);\n" +
		"WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 3000) INSERT INTO big SELECT randomblob(900) FROM n"
	for i := range 60 {
		script += fmt.Sprintf(";\nCREATE TABLE late%02d (a, b)", i)
	}
	data := tableDatabase(t, script)
	if len(data) < 2<<20 {
		t.Fatalf("only %d bytes", len(data))
	}
	tables := tableMeta(t, "sqlite", "x.db", data)["tables"].([]any)
	if len(tables) != 61 || fmt.Sprint(tables[0]) != "map[columns:[x] name:big rows:3000 types:[]]" {
		t.Errorf("%d tables, %v", len(tables), tables[0])
	}
}

func TestSQLiteDamage(t *testing.T) {
	data := tableDatabase(t, someTables)
	if got := tableJSON(t, "x.db", data[:len(data)/2]); !strings.Contains(got, "read database: it ends after") {
		t.Errorf("cut: %s", got)
	}
	wrong := append([]byte(nil), data...)
	copy(wrong[16:], "\x03\x00")
	if got := tableJSON(t, "x.db", wrong); got != "none" {
		t.Errorf("page size 768: %s", got)
	}
}

func TestSQLiteTruncated(t *testing.T) {
	data := tableDatabase(t, "PRAGMA page_size = 512;\nCREATE TABLE a (x, y);\nCREATE TABLE b (z);\nINSERT INTO a VALUES (1, 2), (3, 4)")
	tableTruncations(t, "sqlite", "x.db", data, 2<<20)
}

func FuzzSQLite(f *testing.F) {
	f.Add(tableDatabase(f, "PRAGMA page_size = 512;\nCREATE TABLE a (x, \"y\" int);\nINSERT INTO a VALUES (1, 2)"))
	f.Fuzz(func(t *testing.T, data []byte) { tableFuzz(t, "x.db", data) })
}
