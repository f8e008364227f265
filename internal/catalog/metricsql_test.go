package catalog_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/data-containers/cdb/internal/catalog"
)

// measured is a catalog with metadata of all shapes.
func measured(t testing.TB) *catalog.DB {
	return withMeta(t, catalog.WriterOptions{}, map[string]string{
		"a": `{"mime.type": "text/csv", "csv.rows": 10, "csv.columns": ["x", "y"], "n": {"x": 1, "y": {"z": "deep"}}}`,
		"b": `{"mime.type": "text/csv", "csv.rows": 250, "csv.header": true, "n.x": 7, "n": {"x": 2, "y.z": "dotted"}}`,
		"c": `{"bids.task": "rest", "participants.age": 31.5, "x.group": 3, "x.2d": false, "a.b.c.d": 4, "odd key": 5, "it's": 6, "caf\u00e9": 8, "q\"uote": 9}`,
		"d": ``,
		"e": `{"size": 99, "path": "mine", "width": null, "files.size": "shadowed"}`,
	})
}

// Metrics stand in SQL as if they were columns, and columns stay what they
// are.
func TestMetricsInSQL(t *testing.T) {
	db := measured(t)
	for stmt, want := range map[string]string{
		"SELECT name, csv.rows FROM files":                                                                    "name csv.rows|a 10|b 250|c -|d -|e -",
		"SELECT csv.rows, count(*) FROM files GROUP BY 1 ORDER BY 1":                                          "csv.rows count(*)|- 3|10 1|250 1",
		"SELECT sum(csv.rows)*2 FROM files":                                                                   "sum(csv.rows)*2|520",
		"SELECT path FROM files WHERE csv.rows>100 AND name='b'":                                              "path|/data/b",
		"SELECT f.csv.rows FROM files AS f WHERE f.csv.rows IS NOT NULL":                                      "f.csv.rows|10|250",
		"SELECT a.csv.rows, b.bids.task FROM files a, files b WHERE a.csv.rows = 10 AND b.bids.task = 'rest'": "a.csv.rows b.bids.task|10 rest",
		"SELECT n.x, n.y.z FROM files WHERE n.x > 0":                                                          "n.x n.y.z|1 deep|7 dotted",
		"SELECT n FROM files WHERE n.x = 1":                                                                   `n|{"x":1,"y":{"z":"deep"}}`,
		"SELECT csv.columns FROM files WHERE csv.header":                                                      "csv.columns|-",
		"SELECT x.group, x.2d, a.b.c.d FROM files WHERE x.group IS NOT NULL":                                  "x.group x.2d a.b.c.d|3 0 4",
		`SELECT "odd key", "it's", café, "q""uote", [csv.rows] FROM files WHERE "odd key"`:                    `"odd key" "it's" café "q""uote" [csv.rows]|5 6 8 9 -`,
		`SELECT "bids"."task", "bids.task", bids.task AS task FROM files WHERE task = 'rest'`:                 `"bids"."task" "bids"."task":1 task|rest rest rest`,
		// What SQL has a meaning for keeps it.
		"SELECT 'csv.rows', path /* csv.rows */ FROM files -- csv.rows\nLIMIT 1":              "'csv.rows' path|csv.rows /data/a",
		"SELECT size, files.size FROM files WHERE name = 'e'":                                 "size size:1|0 0",
		"SELECT csv.rows FROM (SELECT 1 AS rows) AS csv":                                      "rows|1",
		"SELECT csv.rows FROM (SELECT 1 AS rows) AS csv, files WHERE csv.rows < bids.task":    "rows|1",
		"WITH t(width) AS (SELECT 3) SELECT width FROM t":                                     "width|3",
		"SELECT width, typeof(width) FROM files WHERE name = 'e'":                             "width typeof(width)|- null",
		"SELECT count(*) AS \"csv.rows\" FROM files ORDER BY \"csv.rows\"":                    "csv.rows|5",
		"SELECT csv.rows AS r FROM files WHERE r > 100 GROUP BY csv.rows HAVING csv.rows > 9": "r|250",
		"SELECT csv.rows, csv.rows FROM files WHERE csv.rows = 10":                            "csv.rows csv.rows:1|10 10",
		"SELECT max(csv.rows) OVER (ORDER BY path) FROM files LIMIT 1":                        "max(csv.rows) OVER (ORDER BY path)|10",
	} {
		cols, rows, err := run(t.Context(), db, stmt, catalog.SQLOptions{})
		got := []string{strings.Join(cols, " ")}
		for _, r := range rows {
			var cells []string
			for _, v := range r {
				switch v.Kind {
				case catalog.Null:
					cells = append(cells, "-")
				case catalog.Integer:
					cells = append(cells, fmt.Sprint(v.Int))
				case catalog.Float:
					cells = append(cells, fmt.Sprint(v.Float))
				default:
					cells = append(cells, v.Text)
				}
			}
			got = append(got, strings.Join(cells, " "))
		}
		if text := strings.Join(got, "|"); err != nil || text != want {
			t.Errorf("%s\n got %s\nwant %s\n%v", stmt, text, want, err)
		}
	}
}

// Errors show what the user wrote.
func TestMetricsInSQLErrors(t *testing.T) {
	db := measured(t)
	for stmt, want := range map[string]string{
		"SELECT csv.nonsense FROM files":                              "sql: no such column: csv.nonsense",
		"SELECT csv.rows FROM metric":                                 "sql: no such column: csv.rows",
		"SELECT z.csv.rows FROM files f":                              "sql: no such column: z.csv.rows",
		"SELECT x.group FROM metric":                                  "sql: no such column: x.group",
		"SELECT csv.rows, nonsense FROM files":                        "sql: no such column: nonsense",
		"x.group + 1":                                                 `sql: near "x.group": syntax error`,
		"SELECT csv.rows() FROM files":                                `sql: near "(": syntax error`,
		"SELECT csv.rows FROM files; SELECT 1":                        `sql: only one statement is allowed: "SELECT 1" follows it`,
		"SELECT csv.rows + FROM files":                                `sql: near "FROM": syntax error`,
		"SELECT csv.rows FROM files WHERE count(csv.rows) > 1":        "sql: misuse of aggregate function count()",
		"DELETE FROM entry WHERE csv.rows > 1":                        "sql: a catalog can only be read: DELETE entry is not allowed",
		"SELECT " + strings.Repeat("csv.rows,", 300) + "1 FROM files": "sql: more than 200 names of metrics",
	} {
		if _, _, err := run(t.Context(), db, stmt, catalog.SQLOptions{}); err == nil || err.Error() != want {
			t.Errorf("%.60s: %v, want %s", stmt, err, want)
		}
	}
	for where, want := range map[string]string{
		"csv.rows > ":            `where "csv.rows > ": near ")": syntax error`,
		"csv.rows > 1) OR (1":    `where "csv.rows > 1) OR (1": near ")": syntax error`,
		"csv.rows > 1 AND csv.x": `where "csv.rows > 1 AND csv.x": no such column: csv.x`,
	} {
		for _, err := range db.Select(t.Context(), catalog.Query{Where: where}) {
			if err == nil || err.Error() != want {
				t.Errorf("%s: %v, want %s", where, err, want)
			}
		}
	}
}

func TestMetricsInWhere(t *testing.T) {
	db := measured(t)
	for where, want := range map[string]string{
		"bids.task='rest' and participants.age>25": "c",
		"csv.rows > 100":                                   "b",
		"csv.rows > 1 -- all":                              "a b",
		"n.y.z IN ('deep', 'dotted') AND size >= 0":        "a b",
		"x.group = 3 AND a.b.c.d = 4":                      "c",
		"csv.rows IS NULL":                                 "c d e",
		"width IS NULL AND size = 0":                       "a b c d e",
		"'csv.rows' = 'csv.rows' AND name = 'd'":           "d",
		"files.csv.rows = 10":                              "a",
		"(SELECT max(f.csv.rows) FROM files f) = csv.rows": "b",
	} {
		got := strings.ReplaceAll(strings.Join(selected(t, db, catalog.Query{Where: where}), " "), "/data/", "")
		if got != want {
			t.Errorf("%s: %q, want %q", where, got, want)
		}
		n, err := db.Count(t.Context(), catalog.Query{Where: where})
		if err != nil || int(n) != len(strings.Fields(want)) {
			t.Errorf("%s: %d files, %v", where, n, err)
		}
	}
}

// Keys of objects in objects are metrics too, behind the names of those that
// files have as a whole.
func TestNestedMetrics(t *testing.T) {
	db := measured(t)
	_, rows, err := run(t.Context(), db, "SELECT name || ' ' || files FROM metric WHERE name LIKE 'n%' OR name LIKE 'a%'", catalog.SQLOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows {
		got = append(got, r[0].Text)
	}
	if d := cmp.Diff([]string{"a.b.c.d 1", "n 2", "n.x 2", "n.y 1", "n.y.z 2"}, got); d != "" {
		t.Error(d)
	}
	order := selected(t, db, catalog.Query{Order: "n.x", Desc: true, Limit: 2})
	if d := cmp.Diff([]string{"/data/b", "/data/a"}, order); d != "" {
		t.Error(d)
	}
	if got := selected(t, db, catalog.Query{Metric: "n.y.z", Search: "ott"}); len(got) != 1 || !strings.HasPrefix(got[0], "/data/b") {
		t.Error(got)
	}
	// Neither depth nor numbers of names have no end.
	deep := strings.Repeat(`{"k": `, 30) + "1" + strings.Repeat("}", 30)
	wide := []byte("{")
	for i := range 12_000 {
		wide = fmt.Appendf(wide, `"w%d": 1, `, i)
	}
	wide = append(wide, `"end": 1}`...)
	db = withMeta(t, catalog.WriterOptions{}, map[string]string{"deep": deep, "wide": string(wide)})
	_, rows, err = run(t.Context(), db, "SELECT count(*), sum(name LIKE 'k%') FROM metric", catalog.SQLOptions{})
	if err != nil || rows[0][0].Int != 10_000 || rows[0][1].Int != 8 {
		t.Errorf("%v %v", rows, err)
	}
}

// SQL without metrics means the same, whatever else is in it, and nothing
// that anybody types is more than an error.
func FuzzMetricsInSQL(f *testing.F) {
	plain := open(f, write(f, sample(), catalog.WriterOptions{}))
	rich := measured(f)
	for _, s := range []string{
		"csv.rows", "SELECT csv.rows FROM files", "1;", "a.b.c.d", "'csv.rows", "\"csv.rows", "[csv.rows", "/*", "--", "x'00'", "x.group", "1.5.csv.rows", ".", "csv.", "$.csv",
		"SELECT f.csv.rows, `odd key` FROM files f WHERE n.y.z", "csv . rows", "csv.rows(1)", "\xff.\x00", "é.é",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 1000 || strings.Contains(strings.ToLower(s), "recursive") {
			return
		}
		for _, stmt := range []string{s, "SELECT 1 FROM files WHERE '" + strings.ReplaceAll(s, "'", "''") + "' = 'csv.rows'"} {
			for _, db := range []*catalog.DB{plain, rich} {
				r, err := db.SQL(t.Context(), stmt, catalog.SQLOptions{})
				if err == nil {
					r.Close()
				} else if strings.Contains(err.Error(), "json_extract") && !strings.Contains(s, "json_extract") {
					t.Errorf("%q: %v", stmt, err)
				}
				if stmt != s && !strings.Contains(s, "\x00") && len(s) < 900 && err != nil {
					t.Errorf("%q: %v", stmt, err)
				}
			}
		}
		for _, err := range rich.Select(t.Context(), catalog.Query{Where: s, Limit: 1}) {
			if err != nil && strings.Contains(err.Error(), "json_extract") && !strings.Contains(s, "json_extract") {
				t.Errorf("where %q: %v", s, err)
			}
		}
	})
}
