package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/catalog"
)

// lines counts lines, as a stream; head and tail say how long they are.
func testSet(formats ...*Format) *Set {
	for _, f := range formats {
		if f.Match == nil {
			f.Match = func(f *File) bool { return true }
		}
	}
	return &Set{mime: true, formats: formats}
}

type lineStream struct{ lines, bytes, calls int }

func (s *lineStream) Write(p []byte) (int, error) {
	s.calls++
	s.lines += bytes.Count(p, []byte("\n"))
	s.bytes += len(p)
	return len(p), nil
}

func (s *lineStream) Finish(m *Meta) error {
	m.Set("lines", s.lines)
	m.Set("bytes", s.bytes)
	return nil
}

func linesFormat() *Format {
	return &Format{
		Name: "lines", Version: 1, MediaType: "text/x-lines",
		Match:  func(f *File) bool { return f.HasSuffix(".lines") },
		Stream: func(*File) Stream { return &lineStream{} },
	}
}

// run gives data in pieces of n bytes to a job, or as a whole if n is 0.
func runSet(t *testing.T, s *Set, path string, data []byte, n int) Result {
	t.Helper()
	src := Source{Path: path, Size: int64(len(data))}
	if n == 0 {
		return s.File(t.Context(), src, data)
	}
	j := s.Begin(src)
	defer j.Close()
	for rest := data; len(rest) > 0; {
		p := bytes.Clone(rest[:min(n, len(rest))])
		rest = rest[len(p):]
		if _, err := j.Write(p); err != nil {
			t.Fatal(err)
		}
		clear(p) // jobs keep nothing
	}
	return j.Finish(t.Context())
}

// What is found does not depend on the pieces in which a file comes.
func TestPieces(t *testing.T) {
	edges := &Format{
		Name: "edges", Version: 1, Tail: true,
		Extract: func(f *File, m *Meta) error {
			first, last := make([]byte, 5), make([]byte, 5)
			if _, err := f.ReadAt(first, 0); err != nil {
				return err
			}
			if _, err := f.ReadAt(last, f.Size-5); err != nil {
				return err
			}
			m.Set("first", string(first))
			m.Set("last", string(last))
			return nil
		},
	}
	set := testSet(linesFormat(), edges)
	for _, size := range []int{5, 100, HeadSize - 1, HeadSize, HeadSize + 1, HeadSize + TailSize - 3, 3*HeadSize + 17} {
		data := bytes.Repeat([]byte("0123456789\n"), size/11+1)[:size]
		for _, path := range []string{"a.lines", "a.bin"} {
			want := fmt.Sprintf(`{"mime.type": "text/x-lines", "lines.lines": %d, "lines.bytes": %d}`, size/11, size)
			if path == "a.bin" {
				want = string(object{}.with("edges.first", "01234", "edges.last", string(data[size-5:])))
			}
			for _, n := range []int{0, 1 << 20, 100_000, 2_000_003} {
				if got := runSet(t, set, path, data, n).Meta; got != want {
					t.Errorf("%s of %d bytes in pieces of %d: %s, want %s", path, size, n, got, want)
				}
			}
		}
	}
}

func (o object) with(pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		o.addString(pairs[i], pairs[i+1])
	}
	return o.String()
}

func TestPlainFile(t *testing.T) {
	set, err := NewSet(nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"", "avocado!\n"} {
		if got := set.File(t.Context(), Source{Path: "a.txt"}, []byte(data)); got.Meta != "" {
			t.Errorf("%q: %s", data, got.Meta)
		}
	}
	if got := runSet(t, set, "empty", nil, 1); got.Meta != "" {
		t.Errorf("an empty job: %s", got.Meta)
	}
}

// Whatever goes wrong in a format is a warning about the file.
func TestWarnings(t *testing.T) {
	boom := func(f *File, m *Meta) error {
		m.Set("before", 1)
		var none []int
		_ = none[int(f.Size)]
		return nil
	}
	for name, tc := range map[string]struct {
		format Format
		want   string
	}{
		"error":          {Format{Extract: func(f *File, m *Meta) error { m.Set("n", 1); return errors.New("cut off") }}, `{"x.n": 1, "extract.warnings": ["x: cut off"]}`},
		"panic":          {Format{Extract: boom}, `{"x.before": 1, "extract.warnings": ["x: a fault of cdb: runtime error: index out of range [3] with length 0"]}`},
		"panic in match": {Format{Match: func(*File) bool { panic("no") }}, `{"extract.warnings": ["x: a fault of cdb: no"]}`},
		"stream begins":  {Format{Stream: func(*File) Stream { panic("no") }}, `{"extract.warnings": ["x: a fault of cdb: no"]}`},
		"stream panics":  {Format{Stream: func(*File) Stream { return &badStream{panics: true} }}, `{"x.done": true, "extract.warnings": ["x: a fault of cdb: no"]}`},
		"stream fails":   {Format{Stream: func(*File) Stream { return &badStream{} }}, `{"x.done": true, "extract.warnings": ["x: no"]}`},
		"too much":       {Format{Extract: func(f *File, m *Meta) error { m.Set("t", strings.Repeat("x", 1<<20)); return nil }}, `{"extract.warnings": ["x: 1048586 bytes of metadata, left out as all of a file may have 65536"]}`},
		"long warning":   {Format{Extract: func(f *File, m *Meta) error { return errors.New(strings.Repeat("é", 1<<20)) }}, `{"extract.warnings": ["x: ` + strings.Repeat(`\u00e9`, 148) + ` \u2026"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			tc.format.Name = "x"
			set := testSet(&tc.format)
			for _, n := range []int{0, 1, 2} {
				if got := runSet(t, set, "f", []byte("abc"), n); got.Meta != tc.want || len(got.Warnings) != 1 {
					t.Errorf("pieces of %d: %.300s, want %.300s", n, got.Meta, tc.want)
				}
			}
		})
	}
}

type badStream struct{ panics bool }

func (s *badStream) Write(p []byte) (int, error) {
	if s.panics {
		panic("no")
	}
	return 0, errors.New("no")
}

func (s *badStream) Finish(m *Meta) error { m.Set("done", true); return nil }

// A job that is given up ends its stream.
func TestCloseEarly(t *testing.T) {
	ended := 0
	set := testSet(&Format{Name: "x", Stream: func(*File) Stream { return endStream{&ended} }})
	j := set.Begin(Source{Path: "a", Size: 3 * HeadSize})
	j.Write(make([]byte, HeadSize))
	if got := j.Finish(t.Context()); got.Meta != "" {
		t.Errorf("half a file says %s", got.Meta)
	}
	j.Close()
	j.Close()
	if ended != 1 {
		t.Errorf("ended %d times", ended)
	}
}

type endStream struct{ n *int }

func (s endStream) Write(p []byte) (int, error) { return len(p), nil }
func (s endStream) Finish(*Meta) error          { *s.n++; return nil }

type testExternal struct {
	name string
	f    func(*ExternalFile) (*Meta, error)
}

func (x testExternal) Name() string    { return x.name }
func (x testExternal) Version() string { return "7" }
func (x testExternal) Extract(_ context.Context, f *ExternalFile) (*Meta, error) {
	return x.f(f)
}

// What external extractors say comes behind what formats say, and never in
// its place.
func TestExternals(t *testing.T) {
	set := testSet(linesFormat())
	set.Add(
		testExternal{"silent", func(*ExternalFile) (*Meta, error) { return nil, nil }},
		testExternal{"one", func(f *ExternalFile) (*Meta, error) {
			m, err := ParseMeta([]byte(`{"b": [1, 2.50, null, {"y": "\u00e9"}], "size": 3, "a": true, "lines.lines": 0}`))
			m.Set("whole", f.Data != nil)
			return m, err
		}},
		testExternal{"two", func(*ExternalFile) (*Meta, error) { return nil, errors.New("not today") }},
		testExternal{"three", func(*ExternalFile) (*Meta, error) { panic("ouch") }},
	)
	want := `{"mime.type": "text/x-lines", "lines.lines": 1, "lines.bytes": 2, "b": [1, 2.50, null, {"y": "\u00e9"}], "a": true, "whole": true, ` +
		`"extract.warnings": ["two: not today", "three: a fault of cdb: ouch", "one: key size is taken, and left out"]}`
	if got := runSet(t, set, "a.lines", []byte("x\n"), 0).Meta; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := runSet(t, set, "a.lines", []byte("x\n"), 1).Meta; got != strings.Replace(want, `"whole": true`, `"whole": false`, 1) {
		t.Errorf("as a job: %s", got)
	}
}

func TestParseMeta(t *testing.T) {
	for _, bad := range []string{"", "[]", "1", "{", `{"a"`, `{"a": 1} x`, `{"a": NaN}`, strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)} {
		if m, err := ParseMeta([]byte(bad)); err == nil {
			t.Errorf("%.20q: %s", bad, m.AppendJSON(nil))
		}
	}
}

// What is read from an external extractor is written as it was read.
func FuzzParseMeta(f *testing.F) {
	for _, s := range []string{`{}`, `{"a": [1, -0.5e3, {"b": null}], "c": "\ud83d\ude00\udcff", "a": true}`, `{"":{}}`, `{"a":`, "{\"\xff\": \"\x7f\"}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseMeta(text)
		if err != nil {
			return
		}
		once := m.AppendJSON(nil)
		if !catalog.ValidJSON(string(once)) {
			t.Fatalf("%q became %q", text, once)
		}
		again, err := ParseMeta(once)
		if err != nil || !bytes.Equal(again.AppendJSON(nil), once) {
			t.Fatalf("%q became %q, then %q: %v", text, once, again.AppendJSON(nil), err)
		}
	})
}

// testContext knows of one file.
type testContext struct{ path string }

func (c testContext) Meta(path string) *Meta {
	m := &Meta{}
	switch path {
	case c.path:
		m.Set("bids.sub", "01")
		m.Set("participants.age", 31)
	case "panics":
		panic("ouch")
	case "foreign":
		m.Set("csv.rows", 3)
	default:
		return nil
	}
	return m
}

// Contexts replace what they said before, and what others said stays.
func TestContexts(t *testing.T) {
	var known Context = testContext{"a"}
	set := &Set{contexts: []*ContextFormat{{
		Name: "bids", Version: 2, Namespaces: []string{"bids", "participants"},
		Prepare: func(context.Context, *Dataset) (Context, error) { return known, errors.New("odd") },
	}}}
	c, warnings, err := set.Prepare(t.Context(), nil)
	if err != nil || len(warnings) != 1 || warnings[0].Error() != "bids: odd" {
		t.Fatal(warnings, err)
	}
	const old = `{"mime.type": "a/b", "bids.sub": "99", "extract.warnings": ["x"]}`
	for _, tc := range []struct{ path, meta, want string }{
		{"a", "", `{"bids.sub": "01", "participants.age": 31}`},
		{"a", old, `{"mime.type": "a/b", "bids.sub": "01", "participants.age": 31, "extract.warnings": ["x"]}`},
		{"b", old, `{"mime.type": "a/b", "extract.warnings": ["x"]}`},
		{"b", "", ""},
		{"b", `{"bids.sub": "99"}`, ""},
		{"panics", "", `{"bids.warning": "a fault of cdb: ouch"}`},
		{"foreign", "", `{"bids.warning": "key csv.rows is in none of its namespaces"}`},
	} {
		if got := c.Attach(tc.path, tc.meta); got != tc.want {
			t.Errorf("%s %s: %s, want %s", tc.path, tc.meta, got, tc.want)
		}
	}
	known = nil
	if c, _, err = set.Prepare(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := c.Attach("a", `{"csv.rows": 1, "bids.sub": "99"}`); got != `{"csv.rows": 1}` {
		t.Errorf("no such dataset any more: %s", got)
	}
	if got := (*Contextual)(nil).Attach("a", old); got != old {
		t.Errorf("no contexts: %s", got)
	}
}

func TestSets(t *testing.T) {
	full := universe(Options{}).String()
	if !strings.Contains(full, "mime@1") {
		t.Fatal(full)
	}
	for _, tc := range []struct {
		list []string
		want string
	}{
		{[]string{"basic"}, ""},
		{[]string{"all"}, full},
		{[]string{"mime"}, "mime@1"},
		{[]string{"default, basic", "mime"}, "mime@1"},
		{[]string{"mime,-mime"}, ""},
	} {
		s, err := NewSet(tc.list, Options{})
		if err != nil || s.String() != tc.want || s.Empty() != (tc.want == "") {
			t.Errorf("%q is %q, want %q: %v", tc.list, s, tc.want, err)
		}
	}
	usual, err := NewSet(nil, Options{GPS: true, Identifying: true})
	if err != nil || !strings.HasSuffix(usual.String(), ",gps,identifying") {
		t.Errorf("%v %v", usual, err)
	}
	if again := ParseSet(usual.String()+",later@3", Options{}); again.String() != usual.String() {
		t.Errorf("%q read again is %q", usual, again)
	}
	var unknown *UnknownError
	if _, err := NewSet([]string{"mime,nonsense"}, Options{}); !errors.As(err, &unknown) || !strings.Contains(err.Error(), "basic, default, all, ") {
		t.Errorf("%v", err)
	}
	if _, err := NewSet([]string{"-mime"}, Options{}); err != nil {
		t.Error(err)
	}
}

var _ io.Writer = (*Job)(nil)

// A format that panics when it is asked is passed over: the next one may know
// the file.
func TestMatchGoesOn(t *testing.T) {
	named := func(f *File, m *Meta) error { m.Set("n", 1); return nil }
	set := testSet(
		&Format{Name: "a", Match: func(*File) bool { panic("no") }, Extract: named},
		&Format{Name: "b", Match: func(*File) bool { return false }, Extract: named},
		&Format{Name: "c", Match: func(*File) bool { return true }, Extract: named},
		&Format{Name: "d", Match: func(*File) bool { panic("asked though c matches") }, Extract: named},
	)
	want := `{"c.n": 1, "extract.warnings": ["a: a fault of cdb: no"]}`
	if got := runSet(t, set, "f", []byte("abc"), 0); got.Meta != want {
		t.Errorf("got %s, want %s", got.Meta, want)
	}
}

// Objects of a few keys and of many keep order, and the last value of a key.
func TestMetaKeys(t *testing.T) {
	for _, n := range []int{1, fewKeys, fewKeys + 1, 1000} {
		m := &Meta{}
		for range 2 {
			for i := range n {
				m.Set(fmt.Sprint("k", i), i)
			}
		}
		m.Set("k0", "new")
		last := fmt.Sprint("k", n-1)
		if len(m.Keys()) != n || m.Keys()[n-1] != last || m.Get("k0") != "new" || n > 1 && m.Get(last) != n-1 || m.Get("k") != nil {
			t.Errorf("%d keys: %d, the last %v", n, len(m.Keys()), m.Get(last))
		}
		var o object
		o.set("x", 1)
		big := &Meta{}
		for i := range n {
			big.Set(fmt.Sprint("k", i), strings.Repeat("y", maxMeta))
		}
		if err := o.add(big, ""); err == nil {
			t.Errorf("%d keys: too much is no error", n)
		}
		if err := o.add(m, ""); err != nil || !strings.HasPrefix(o.String(), `{"x": 1, "k0": "new"`) {
			t.Errorf("%d keys after too much: %v", n, err)
		}
	}
}
