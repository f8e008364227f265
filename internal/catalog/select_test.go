package catalog_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// withMeta returns a catalog of empty files in one folder with metadata.
func withMeta(t testing.TB, opts catalog.WriterOptions, meta map[string]string) *catalog.DB {
	t.Helper()
	rows := []*catalog.Entry{{Entry: tree.Entry{Type: tree.Dir, Mode: 0o755}}}
	names := make([]string, 0, len(meta))
	for name := range meta {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		rows = append(rows, &catalog.Entry{
			Entry:  tree.Entry{Path: name, Type: tree.File, Mode: 0o644, ModTime: time.Unix(1e9, 0)},
			SHA256: sha256.Sum256(nil), Pack: 1, Meta: meta[name],
		})
	}
	return open(t, write(t, rows, opts))
}

func selected(t testing.TB, db *catalog.DB, q catalog.Query) []string {
	t.Helper()
	out := []string{}
	for row, err := range db.Select(t.Context(), q) {
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		s := row.Path
		if q.Metric != "" {
			s += " " + row.Value
		}
		out = append(out, s)
	}
	if n, err := db.Count(t.Context(), q); err != nil || n != int64(len(out)) {
		t.Errorf("Count(%+v) = %d, %v; Select yields %d", q, n, err, len(out))
	}
	return out
}

// The example of the first cdb: one value of each kind.
func TestOrderOfKinds(t *testing.T) {
	db := withMeta(t, catalog.WriterOptions{Prefix: "/d"}, map[string]string{
		"a": `{"v": 10}`, "b": `{"v": 9}`, "c": `{"v": "10"}`, "d": `{"v": "9"}`, "e": `{"v": null}`,
		"f": `{"v": true}`, "g": `{"w": 1}`, "h": `{"v": [3, 1]}`, "i": `{"v": {"x": 5, "y": "q"}}`, "j": `{"v": -2500.0}`,
	})
	want := []string{"/d/g ", "/d/e ", "/d/j -2500", "/d/b 9", "/d/a 10", "/d/c 10", "/d/d 9", "/d/f true", "/d/h [3, 1]", `/d/i {"x": 5, "y": "q"}`}
	q := catalog.Query{Order: "v", Metric: "v"}
	if diff := cmp.Diff(want, selected(t, db, q)); diff != "" {
		t.Error(diff)
	}
	q.Limit = 3
	if diff := cmp.Diff(want[:3], selected(t, db, q)); diff != "" {
		t.Error(diff)
	}
	q.Limit, q.Desc = 0, true
	slices.Reverse(want)
	if diff := cmp.Diff(want, selected(t, db, q)); diff != "" {
		t.Error(diff)
	}
	q = catalog.Query{Metric: "v", Search: "5"}
	if diff := cmp.Diff([]string{`/d/i {"x": 5, "y": "q"}`, "/d/j -2500"}, selected(t, db, q)); diff != "" {
		t.Error(diff)
	}
	for _, s := range []string{"null", "e-", "missing"} {
		if got := selected(t, db, catalog.Query{Metric: "v", Search: s}); len(got) > 0 {
			t.Errorf("search for %q: %q", s, got)
		}
	}
}

func TestOrderWithinKind(t *testing.T) {
	tests := map[string][]string{
		"strings": {`"apple"`, `"Banana"`, `"item10"`, `"item9"`, `"Zebra"`, `"\u00e4pfel"`},
		"ties":    {`9007199254740992`, `9007199254740993`, `9007199254740992`},
		"numbers": {`-1e400`, `-1e3`, `-1`, `-0.5`, `-0.0`, `0`, `0.0`, `1e-9`, `1`, `1e3`, `1e400`},
		"prefix":  {`"a"`, `"A\u0000"`, `"ab"`},
		"json":    {`[1, 2]`, `[10]`, `[]`, `{"A": 1}`, `{"a": 1}`, `{}`},
	}
	for name, values := range tests {
		meta, want := map[string]string{}, []string{}
		for i, v := range values {
			meta[fmt.Sprintf("%02d", i)] = `{"m": ` + v + `}`
			want = append(want, fmt.Sprintf("/data/%02d", i))
		}
		db := withMeta(t, catalog.WriterOptions{}, meta)
		if diff := cmp.Diff(want, selected(t, db, catalog.Query{Order: "m"})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// A metric is a key of the metadata and nothing else, whatever it looks like.
func TestOddMetrics(t *testing.T) {
	names := []string{"a.b", "@this", "*", "#", "a|b", `a"b`, `a\b`, "a'b", "$", "$.x", "", " ", "é", "new\nline", "size2", "a[0]"}
	var obj []byte
	for i, n := range names {
		obj = append(catalog.AppendString(append(obj, ", "...), n), fmt.Sprintf(": %d", i)...)
	}
	db := withMeta(t, catalog.WriterOptions{}, map[string]string{"f": "{" + string(obj[2:]) + `, "a": {"b": 99}}`, "g": ""})
	for i, n := range names {
		if n == "" {
			continue // no metric to ask for
		}
		got := selected(t, db, catalog.Query{Metric: n, Order: n, Desc: true})
		if diff := cmp.Diff([]string{fmt.Sprintf("/data/f %d", i), "/data/g "}, got); diff != "" {
			t.Errorf("metric %q: %s", n, diff)
		}
		if ok, err := db.HasMetric(t.Context(), n); !ok || err != nil {
			t.Errorf("HasMetric(%q) = %t, %v", n, ok, err)
		}
	}
	for _, n := range []string{"b", "a.c", "Size", "x"} {
		if ok, err := db.HasMetric(t.Context(), n); ok || err != nil {
			t.Errorf("HasMetric(%q) = %t, %v", n, ok, err)
		}
	}
}

func TestGet(t *testing.T) {
	db := withMeta(t, catalog.WriterOptions{}, map[string]string{"a.txt": "", "ba.txt.bak": "", "x\xffy": "", "\xbf": "", "%_*": ""})
	tests := map[string][]string{
		"a.txt":       {"/data/a.txt", "/data/ba.txt.bak"},
		"/data/a.txt": {"/data/a.txt"},
		"A.TXT":       {},
		"\xff":        {"/data/x\xffy"},
		"\xffy":       {"/data/x\xffy"},
		"\xbf":        {"/data/\xbf"},
		"%_":          {"/data/%_*"},
		"/data":       {"/data/%_*", "/data/a.txt", "/data/ba.txt.bak", "/data/x\xffy", "/data/\xbf"},
	}
	for get, want := range tests {
		if diff := cmp.Diff(want, selected(t, db, catalog.Query{Get: get})); diff != "" {
			t.Errorf("Get %q: %s", get, diff)
		}
	}
}

func TestLinksAndSizes(t *testing.T) {
	db := open(t, write(t, sample(), catalog.WriterOptions{}))
	got := selected(t, db, catalog.Query{Order: "size", Metric: "size"})
	if got[0] != "/data/b/link " || got[1] != "/data/c/d/'quoted\" `name` 0" {
		t.Errorf("by size: %q", got)
	}
	desc := selected(t, db, catalog.Query{Order: "size", Metric: "size", Desc: true})
	slices.Reverse(desc)
	if diff := cmp.Diff(got, desc); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/data/b/link ../../etc/passwd"}, selected(t, db, catalog.Query{Metric: "link", Search: "etc"})); diff != "" {
		t.Error(diff)
	}
	if got := selected(t, db, catalog.Query{Order: "link", Desc: true}); got[0] != "/data/b/link" {
		t.Errorf("by link: %q", got)
	}
	where := catalog.Query{Where: "type = 'symlink' AND link LIKE '%passwd' AND name = 'link' AND dir = '/data/b' AND mode = '0777' AND size IS NULL"}
	if diff := cmp.Diff([]string{"/data/b/link"}, selected(t, db, where)); diff != "" {
		t.Error(diff)
	}
}

func TestWhere(t *testing.T) {
	meta := map[string]string{}
	for i := range 30 {
		meta[fmt.Sprintf("f%02d", i)] = fmt.Sprintf(`{"n": %d, "t": "word%d"}`, 29-i, i%3)
	}
	db := withMeta(t, catalog.WriterOptions{Text: true}, meta)
	good := map[string]int{
		"1": 30, "0": 0, "NULL": 0, "meta ->> 'n' < 10": 10, "path LIKE '%f0%' -- comment": 10, "path LIKE '%f0%' /* comment": -1,
		"id IN (SELECT id FROM files WHERE name > 'f1')": 20, "name = ')'": 0, "size = 0 OR size = 1": 30,
		"(1) OR (1)": 30, "1 ; ": -1, "1; SELECT 1": -1, "1) OR (1": -1, "1) ORDER BY (1": -1, "1) UNION SELECT (1": -1, "1 THEN 2 WHEN 3": -1,
		"": 30, " ": -1, ")": -1, "1, 2": -1, "nothing = 1": -1, "size = ?": -1, "size = ?1": -1, "size = :x": -1, "count(*)": -1, "x\x00y": -1,
		"load_extension('x')": -1, "EXISTS (DELETE FROM entry)": -1, `"entry pack" = 1`: -1, "offset = 1": -1,
	}
	for expr, want := range good {
		q := catalog.Query{Where: expr}
		if want >= 0 {
			if got := selected(t, db, q); len(got) != want || !slices.IsSorted(got) {
				t.Errorf("where %q: %d rows %q, want %d", expr, len(got), got, want)
			}
			continue
		}
		_, err := db.Count(t.Context(), q)
		for _, serr := range db.Select(t.Context(), q) {
			if err == nil || serr == nil {
				t.Errorf("where %q: Count says %v, Select %v", expr, err, serr)
			} else if !strings.Contains(serr.Error(), fmt.Sprintf("%q", expr)) {
				t.Errorf("where %q: error does not name it: %v", expr, serr)
			}
		}
	}
	all := catalog.Query{Get: "f0", Where: "size = 0", Text: "word1", Metric: "n", Search: "2", Order: "n", Desc: true, Limit: 2}
	if diff := cmp.Diff([]string{"/data/f01 28", "/data/f04 25"}, selected(t, db, all)); diff != "" {
		t.Error(diff)
	}
	// The connection is as free as before.
	if _, err := db.Lookup(t.Context(), "f00"); err != nil {
		t.Error(err)
	}
}

func TestText(t *testing.T) {
	db := withMeta(t, catalog.WriterOptions{Text: true}, map[string]string{
		"sub-01_task-rest.nii.gz": `{"title": "Caf\u00e9 au lait", "note": "line\nbreak \u4e2d\u6587"}`,
		"sub-02_bold.nii":         `{"title": "a \"quoted\" word"}`,
	})
	one, two := "/data/sub-01_task-rest.nii.gz", "/data/sub-02_bold.nii"
	tests := map[string][]string{
		"rest": {one}, "REST Nii": {one}, "sub": {one, two}, "su": {}, "su*": {one, two}, "sub-02": {two}, "02_bo*": {two},
		"café": {one}, "cafe": {one}, "u00e9": {}, "break": {one}, "中文": {one}, "quoted word": {two}, "quoted rest": {},
		`"quoted"`: {two}, "NOT bold": {}, "title:a": {two}, "rest*": {one}, "* bold": {two}, "data": {},
	}
	for words, want := range tests {
		if diff := cmp.Diff(want, selected(t, db, catalog.Query{Text: words})); diff != "" {
			t.Errorf("text %q: %s", words, diff)
		}
	}
	for _, words := range []string{"...", " ", "*", "\xff"} {
		if _, err := db.Count(t.Context(), catalog.Query{Text: words}); err == nil {
			t.Errorf("text %q: no error", words)
		}
	}
	none := withMeta(t, catalog.WriterOptions{}, map[string]string{"a": ""})
	if _, err := none.Count(t.Context(), catalog.Query{Text: "a"}); !errors.Is(err, catalog.ErrNoText) {
		t.Errorf("without an index: %v", err)
	}
}

// Ordering in several passes, because memory is short, gives the same.
func TestSortInPasses(t *testing.T) {
	meta := map[string]string{}
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 500 {
		meta[fmt.Sprintf("%04d", i)] = fmt.Sprintf(`{"m": "%0*d"}`, 1+rnd.IntN(60), rnd.IntN(500))
	}
	db := withMeta(t, catalog.WriterOptions{}, meta)
	for _, q := range []catalog.Query{{Order: "m"}, {Order: "m", Desc: true}, {Order: "m", Where: "name > '0100'"}} {
		all := selected(t, db, q)
		// With one byte there is a pass for each row.
		for _, tt := range []struct{ bytes, limit int }{{1, 10}, {1000, 0}, {1000, 300}, {10_000, 0}, {1 << 20, 300}} {
			q.Limit = tt.limit
			want := all
			if tt.limit > 0 {
				want = all[:tt.limit]
			}
			restore := catalog.SetSortMemory(db, tt.bytes)
			got := selected(t, db, q)
			restore()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%+v with %d bytes: %s", q, tt.bytes, diff)
			}
		}
	}
}

func TestSelectEnds(t *testing.T) {
	meta := map[string]string{}
	for i := range 2000 {
		meta[fmt.Sprintf("%04d", i)] = fmt.Sprintf(`{"m": %d}`, i)
	}
	db := withMeta(t, catalog.WriterOptions{}, meta)
	for _, q := range []catalog.Query{{}, {Order: "m"}, {Where: "1"}, {Order: "size"}} {
		ctx, cancel := context.WithCancel(t.Context())
		var last error
		n := 0
		for _, err := range db.Select(ctx, q) {
			if last = err; err != nil {
				break
			}
			if n++; n == 10 {
				cancel()
			}
		}
		cancel()
		if !errors.Is(last, context.Canceled) {
			t.Errorf("%+v: ended with %v after %d rows", q, last, n)
		}
		for range db.Select(t.Context(), q) {
			break // must not hang or leak the connection
		}
		for range db.Select(t.Context(), q) {
			for range db.Select(t.Context(), q) {
				break
			}
			break
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a": 1, "b": [1, {"c": "d\u00e9\ud83d\ude00"}], "a": 2}`, `{}`, `[]`, `"\udcff\n"`, `-1.5e+3`, `{"a" : tru}`, ` null `, `{"k":1,}`, `01`, "\"\x01\"", `{"":0}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := catalog.ValidJSON(s), json.Valid([]byte(s)); got != want {
			t.Fatalf("ValidJSON(%q) = %t, want %t", s, got, want)
		}
		var want map[string]json.RawMessage
		err := json.Unmarshal([]byte(s), &want)
		for k, v := range want {
			if err == nil && strings.Count(s, `"`) == 2*len(want) && !strings.Contains(s, `\`) && strings.ToValidUTF8(s, "") == s {
				if got := catalog.Member(s, k); got != string(v) {
					t.Fatalf("member(%q, %q) = %q, want %q", s, k, got, v)
				}
			}
		}
		catalog.Member(s, "a")
		(&catalog.Entry{Meta: s}).Value("a")
	})
}

// Every string comes back from its JSON form, byte by byte.
func FuzzString(f *testing.F) {
	f.Add("a\"b\\\n\x00é\U0001f600\xff\xc3")
	f.Fuzz(func(t *testing.T, s string) {
		b := catalog.AppendString(nil, s)
		e := &catalog.Entry{Meta: `{"k": ` + string(b) + "}"}
		if got := e.Value("k"); got != s {
			t.Fatalf("%q came back as %q from %s", s, got, b)
		}
		if !json.Valid(b) {
			t.Fatalf("%q: invalid JSON %s", s, b)
		}
	})
}
