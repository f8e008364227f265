package catalog_test

import (
	"context"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// withQueries makes a catalog with named queries.
func withQueries(t *testing.T, queries map[string]catalog.NamedQuery) (*catalog.DB, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "catalog.db")
	w, err := catalog.Create(path, catalog.WriterOptions{Prefix: "/data", Text: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add(&catalog.Entry{Entry: tree.Entry{Type: tree.Dir, Mode: 0o755}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Finish(context.Background(), catalog.Dataset{Created: time.Unix(0, 0), Queries: queries}, catalog.Version{}); err != nil {
		t.Fatal(err)
	}
	return catalog.Open(path)
}

func TestNamedQueries(t *testing.T) {
	want := map[string]catalog.NamedQuery{
		"a":     {SQL: "SELECT '<&>'", Description: "b"},
		"x.y_z": {Get: "a", Text: "b", Where: "c", Metric: "d", Search: "e", Order: "f", Desc: true, Limit: 3},
	}
	db, err := withQueries(t, want)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if got := db.Dataset().Queries; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := withQueries(t, map[string]catalog.NamedQuery{"-x": {SQL: "SELECT 1"}}); err == nil {
		t.Error("a catalog with a query called -x opens")
	}
}

// What is no query is an error and never more; every query comes back.
func FuzzNamedQuery(f *testing.F) {
	q := catalog.NamedQuery{SQL: "SELECT '<&>\"\\'", Description: "\u00e9\xff\n", Desc: true, Limit: 3}
	for n := range len(q.JSON()) {
		f.Add(q.JSON()[:n])
	}
	f.Add(q.JSON())
	f.Add(`{"limit": 1e9, "sql": 5, "more": [1]}`)
	f.Fuzz(func(t *testing.T, s string) {
		q, err := catalog.ParseQuery(s)
		if err != nil {
			return
		}
		again, err := catalog.ParseQuery(q.JSON())
		if err != nil || again != q {
			t.Fatalf("%q: %+v became %+v, %v", s, q, again, err)
		}
	})
}

func TestCheckQuery(t *testing.T) {
	db, err := withQueries(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, test := range []struct {
		q    catalog.NamedQuery
		want string // in the error; "" for none
	}{
		{catalog.NamedQuery{SQL: "SELECT dir, count(*) FROM files GROUP BY dir"}, ""},
		{catalog.NamedQuery{SQL: "SELECT * FROM files WHERE size > :n AND size < :n + :m"}, ""},
		{catalog.NamedQuery{Where: "size > 5", Order: "size", Desc: true}, ""},
		{catalog.NamedQuery{Metric: "kind", Search: "x"}, ""},
		{catalog.NamedQuery{}, "asks nothing"},
		{catalog.NamedQuery{SQL: "SELECT x FROM files"}, "no such column: x"},
		{catalog.NamedQuery{SQL: "SELECT 1; SELECT 2"}, "only one statement"},
		{catalog.NamedQuery{SQL: "DELETE FROM entry"}, "can only be read"},
		{catalog.NamedQuery{SQL: "SELECT ?"}, "written :NAME"},
		{catalog.NamedQuery{SQL: "SELECT @x"}, "written :NAME"},
		{catalog.NamedQuery{SQL: "SELECT 1", Where: "1"}, "stands alone"},
		{catalog.NamedQuery{Where: "siz > 5"}, "no such column: siz"},
		{catalog.NamedQuery{Where: "size > :n"}, "parameters"},
		{catalog.NamedQuery{Where: "1", Limit: -1}, "negative"},
		{catalog.NamedQuery{Search: "x"}, "needs the metric"},
	} {
		err := db.CheckQuery(context.Background(), &test.q)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%+v: %v, want %q", test.q, err, test.want)
		}
	}
}
