package query_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/query"
)

// hostile is a folder with names that break things.
func hostile(t testing.TB) *fixture {
	dir := writeFiles(t, map[string]string{
		" lead and trail ": "1", "-rf": "2", "a\nb": "3", "tab\there": "4", "esc\x1b[31mred": "5", "`tick`": "6", `quo"te'`: "7",
		"bad\xff\xfebytes": "8", "bidi\u202egnp.exe": "9", "zero\u200bwidth": "10", "Case": "11", "case": "12", "c1\u0085x": "13",
		"é/ü": "14", `back\slash`: "15", "comma,semi;": "16", "link": "-> bad\xff\xfebytes", "cr\rlf\r\n": "17", "del\x7f": "18",
	})
	meta := map[string]string{"case": `{"note": "line\nbreak \u001b[2J", "a.b": 1}`, "Case": `{"note": null}`}
	return catalogOf(t, dir, catalog.WriterOptions{Text: true}, meta, catalog.Dataset{Title: "bad \x1b]0;x\x07 title"})
}

// names returns the paths of all files of f.
func (f *fixture) names(t testing.TB) []string {
	t.Helper()
	var out []string
	for row, err := range f.db.Select(t.Context(), catalog.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, row.Path)
	}
	return out
}

// Whatever a name is, -0, JSON and CSV carry it exactly.
func TestNamesExactly(t *testing.T) {
	f := hostile(t)
	want := f.names(t)
	if len(want) != 19 || !slices.IsSorted(want) {
		t.Fatalf("%d names: %q", len(want), want)
	}
	for _, args := range [][]string{{"-0"}, {"-ls", "-0"}, {"-get", "/data", "-0"}, {"-where", "1", "-0"}} {
		got := f.runEnv(func(e *query.Env) { e.StdoutTTY = true }, args...)
		if diff := cmp.Diff(want, strings.Split(strings.TrimSuffix(got.out, "\x00"), "\x00")); diff != "" {
			t.Errorf("%q: %s", args, diff)
		}
	}
	if got := f.run("-ls").out; got != strings.Join(want, "\n")+"\n" {
		t.Errorf("-ls: %q", got)
	}
	decode := func(row map[string]any) string {
		if b, ok := row["path_base64"].(string); ok {
			raw, err := base64.StdEncoding.DecodeString(b)
			if err != nil {
				t.Error(err)
			}
			return string(raw)
		}
		return row["path"].(string)
	}
	for _, tty := range []bool{false, true} {
		env := func(e *query.Env) { e.StdoutTTY = tty }
		var rows []map[string]any
		if err := json.Unmarshal([]byte(f.runEnv(env, "-format", "json").out), &rows); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range rows {
			got = append(got, decode(r))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		got = nil
		dec := json.NewDecoder(strings.NewReader(f.runEnv(env, "-sql", "SELECT path FROM files ORDER BY path", "-format", "jsonl").out))
		for dec.More() {
			var row map[string]any
			if err := dec.Decode(&row); err != nil {
				t.Fatal(err)
			}
			got = append(got, decode(row))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	for format, sep := range map[string]rune{"csv": ',', "tsv": '\t'} {
		r := csv.NewReader(strings.NewReader(strings.ReplaceAll(f.run("-format", format).out, "\r\n", "\r\r\n"))) // the reader eats a CR
		r.Comma = sep
		rows, err := r.ReadAll()
		if err != nil {
			t.Fatal(format, err)
		}
		var got []string
		for _, row := range rows[1:] {
			got = append(got, row[0])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(format, diff)
		}
	}
}

// A terminal sees no byte that could steer it, whatever is asked for.
func TestTerminal(t *testing.T) {
	f := hostile(t)
	for _, args := range [][]string{
		nil, {"-ls"}, {"-metric", "note"}, {"-metric", "note", "-search", "line"}, {"-get", "bad"}, {"-info"}, {"-info", "-format", "json"},
		{"-format", "json"}, {"-format", "jsonl"}, {"-format", "csv"}, {"-format", "tsv"}, {"-format", "table"}, {"-sql", "SELECT *, meta ->> 'note' FROM files"},
		{"-sql", "SELECT 1 AS \"x\x1b[1m\"", "-format", "csv"}, {"-where", "bad\x1b[31m\n"}, {"-metric", "x\x1b[31m"}, {"-cat", "no\x1bsuch"}, {"-export", "\x1b\x00"},
	} {
		got := f.runEnv(func(e *query.Env) { e.StdoutTTY = true }, args...)
		for _, s := range []string{got.out, got.err} {
			for _, r := range s {
				if r != '\n' && r != '\t' && r < ' ' || r == 0x7f || r == 0x85 || r == '\u202e' || r == '\u200b' || r == '\ufffd' {
					t.Errorf("%q: %q in %q", args, r, s)
					break
				}
			}
		}
	}
	if got := f.runEnv(func(e *query.Env) { e.StdoutTTY = true }, "-get", "esc"); !strings.HasPrefix(got.out, `/data/esc\x1b[31mred {`) {
		t.Errorf("%q", got.out)
	}
}

func TestCombined(t *testing.T) {
	f := fruit(t)
	tests := map[string]string{
		"-ls -desc":                          tomato + "\n" + avocado + "\n",
		"-ls -limit 1":                       avocado + "\n",
		"-ls -get toma -where 1":             tomato + "\n",
		"-get toma -metric size -count":      "1\n",
		"-count":                             "2\n",
		"-count -limit 1":                    "1\n",
		"-count -get nothing":                "0\n",
		"-count -format json":                "{\"count\": 2}\n",
		"-metric size -desc":                 "Order by size\n" + avocado + ": " + avocadoJSON + "\n" + tomato + ": " + tomatoJSON + "\n",
		"-metric size -limit 1":              "Order by size\n" + tomato + ": " + tomatoJSON + "\n",
		"-metric size -search 8 -count":      "1\n",
		"-metric sha256 -search 8 -desc":     tomato + " 3b7721618a86990a3a90f9fa5744d15812954fba6bb21ebf5b5b66ad78cf5816\n" + avocado + " 327bf8231c9572ecdfdc53473319699e7b8e6a98adf0f383ff6be5b46094aba4\n",
		"-order size":                        tomato + " " + tomatoJSON + "\n" + avocado + " " + avocadoJSON + "\n",
		"-order size -ls":                    tomato + "\n" + avocado + "\n",
		"-order sha256 -ls -desc":            tomato + "\n" + avocado + "\n",
		"-where size>8":                      avocado + " " + avocadoJSON + "\n",
		"-where size>8 -metric size":         "Order by size\n" + avocado + ": " + avocadoJSON + "\n",
		"-format text -ls":                   ls,
		"-ls -format csv":                    "path\n" + ls,
		"-metric size -search 8 -format csv": "path,size\n" + tomato + ",8\n",
		"-where 0 -format json":              "[]\n",
		"-where 0 -format jsonl":             "",
		"-where 0 -format csv -ls":           "path\n",
		"-where 0 -format table -ls":         "path\n----\n",
		"-sql SELECT/**/name,size/**/FROM/**/files/**/ORDER/**/BY/**/path": "name         size\n-----------  ----\navocado.txt     9\ntomato.txt      8\n",
		"-version":              "entrypoint 1.2.3\n",
		"-health":               "healthy\n",
		"-cat /data/tomato.txt": "tomato!\n",
		"-cat tomato.txt":       "tomato!\n",
	}
	for args, want := range tests {
		if got := f.run(strings.Fields(args)...); got != (result{want, "", 0}) {
			t.Errorf("%q:\n%+v\nwant\n%+v", args, got, want)
		}
	}
}

func TestUsage(t *testing.T) {
	f := fruit(t)
	for _, args := range []string{
		"-bogus", "-limit x", "-limit -1", "-metric", "-format yaml", "-ls=maybe", "-sql x -ls", "-cat x -verify", "-info -where 1", "-info -format csv",
		"-count -format csv", "-0 -format json", "-search x -count", "-metric size -order sha256", "-max-rows 5", "-max-rows -5 -sql x", "-start -count",
		"-verify -get x", "-health -version", "-timeout 5", "-export x -format csv", "-version -ls",
		"-q x -sql y", "-q x -where 1", "-where size > 1", "-count x", "-p a=1", "-q x -p a", "-q x -info",
	} {
		got := f.run(strings.Fields(args)...)
		if got.code != 2 || got.out != "" || !strings.Contains(got.err, "Usage: entrypoint [FLAGS]") || strings.HasPrefix(got.err, "Usage") {
			t.Errorf("%q: %+v", args, got)
		}
	}
	got := f.run("-h")
	if got.code != 0 || got.out != "" || !strings.HasPrefix(got.err, "Usage: entrypoint [FLAGS]") {
		t.Errorf("-h: %+v", got)
	}
	for line := range strings.Lines(got.err) {
		if len(line) > 81 {
			t.Errorf("-h: long line %q", line)
		}
	}
	if got := f.runEnv(func(e *query.Env) { e.Name = "cdb query" }, "-h").err; !strings.Contains(got, "  cdb query -metric size -desc") {
		t.Error("-h does not name the program")
	}
}

// Every flag is in the help.
func TestUsageIsComplete(t *testing.T) {
	help := fruit(t).run("-h").err
	for _, name := range []string{
		"ls", "start", "metric", "search", "get", "where", "text", "order", "desc", "count", "limit", "format", "0", "sql", "timeout", "max-rows",
		"info", "verify", "health", "version", "cat", "export", "h", "q", "p",
	} {
		if !strings.Contains(help, "\n  -"+name+" ") && !strings.Contains(help, " -"+name+" ") {
			t.Errorf("-%s is not in the help", name)
		}
	}
}

func TestErrors(t *testing.T) {
	f := fruit(t)
	for args, want := range map[string]string{
		"-where siz>1":                 `entrypoint: where "siz>1": no such column: siz`,
		"-sql DELETE/**/FROM/**/entry": "entrypoint: sql: a catalog can only be read: DELETE entry is not allowed",
		"-text x":                      "no full-text index",
		"-cat nothing":                 `cat "nothing": "/data/nothing": file does not exist`,
		"-cat /etc/passwd":             "the data is below /data",
		"-cat ..":                      "leads out of the data",
		"-cat /data":                   "is a folder",
		"-sql WITH/**/RECURSIVE/**/c(x)/**/AS/**/(SELECT/**/1/**/UNION/**/ALL/**/SELECT/**/x/**/FROM/**/c)SELECT/**/count(*)FROM/**/c -timeout 20ms": "(-timeout raises it)",
		"-sql VALUES(1),(2) -max-rows 1": "(-max-rows raises it)",
	} {
		got := f.run(strings.Fields(args)...)
		if got.code != 1 || !strings.Contains(got.err, want) || strings.Count(got.err, "\n") != 1 {
			t.Errorf("%q: %+v, want %q", args, got, want)
		}
	}
	for _, args := range []string{"-cat tomato.txt", "-verify", "-export /tmp/nowhere", "-health"} {
		got := f.runEnv(func(e *query.Env) { e.Files = nil }, strings.Fields(args)...)
		if got.code != 1 || !strings.Contains(got.err, "no data beside the catalog") {
			t.Errorf("%q without data: %+v", args, got)
		}
	}
}

// -start waits for its context at no cost and ends well.
func TestStart(t *testing.T) {
	f := fruit(t)
	for _, served := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		r, w := io.Pipe()
		var called bool
		env := query.Env{DB: f.db, Files: f.files, Stdout: w, Stderr: io.Discard}
		if served {
			env.Serve = func(ctx context.Context) error { called = true; <-ctx.Done(); return ctx.Err() }
		}
		code := make(chan int, 1)
		go func() { code <- query.Run(ctx, env, []string{"-start", "-ls", "-metric", "size"}) }()
		buf := make([]byte, 100)
		n, err := r.Read(buf)
		if got := string(buf[:n]); err != nil || got != "Starting data-container\n" {
			t.Errorf("%q, %v", got, err)
		}
		select {
		case c := <-code:
			t.Errorf("ended by itself with %d", c)
		case <-time.After(20 * time.Millisecond):
		}
		cancel()
		if c := <-code; c != 0 || called != served {
			t.Errorf("code %d, served %t", c, called)
		}
	}
	got := f.runEnv(func(e *query.Env) { e.Serve = func(context.Context) error { return errors.New("port is taken") } }, "-start")
	if got.code != 1 || !strings.Contains(got.err, "port is taken") {
		t.Errorf("%+v", got)
	}
}

// A failingWriter fails after some bytes.
type failingWriter struct {
	left int
	err  error
}

func (w *failingWriter) Write(p []byte) (int, error) {
	if len(p) > w.left {
		return 0, w.err
	}
	w.left -= len(p)
	return len(p), nil
}

func TestOutputFails(t *testing.T) {
	files := map[string]string{}
	for i := range 3000 {
		files[fmt.Sprintf("%05d", i)] = ""
	}
	f := catalogOf(t, writeFiles(t, files), catalog.WriterOptions{}, nil, catalog.Dataset{})
	for _, args := range [][]string{nil, {"-metric", "size"}, {"-format", "json"}, {"-sql", "SELECT a.id, b.id FROM files a, files b"}} {
		for err, msg := range map[error]string{syscall.EPIPE: "", syscall.ENOSPC: "no space left"} {
			out := &failingWriter{100 << 10, err}
			got := f.runEnv(func(e *query.Env) { e.Stdout = out }, args...)
			if got.code != 1 || !strings.Contains(got.err, msg) || (msg == "" && got.err != "") {
				t.Errorf("%q, %v: %+v", args, err, got)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	if code := query.Run(ctx, query.Env{DB: f.db, Stdout: &out, Stderr: &errs}, []string{"-ls"}); code != 130 || errs.Len() > 0 {
		t.Errorf("interrupted: %d %q", code, errs.String())
	}
}

func TestCat(t *testing.T) {
	dir := writeFiles(t, map[string]string{
		"a/file": "content", "a/rel": "-> file", "b/up": "-> ../a/rel", "abs": "-> /data/a/file", "dirlink": "-> a", "out": "-> ../../etc/passwd", "absout": "-> /etc/passwd",
		"loop": "-> loop2", "loop2": "-> loop", "dangling": "-> nothing", "todir": "-> b", "sly": "-> a/../../data/a/file", "x\xffy": "odd", "through": "-> file/../a/file",
	})
	f := catalogOf(t, dir, catalog.WriterOptions{}, nil, catalog.Dataset{})
	for _, p := range []string{"a/file", "/data/a/file", "a/rel", "b/up", "abs", "dirlink/file", "dirlink/rel", "./a//file", "a/../a/file"} {
		if got := f.run("-cat", p); got != (result{"content", "", 0}) {
			t.Errorf("%s: %+v", p, got)
		}
	}
	for _, p := range []string{"out", "absout", "loop", "dangling", "todir", "sly", "a", "nothing", "/data/../etc/passwd", "a/file/x", "/database", "through"} {
		if got := f.run("-cat", p); got.code != 1 || got.out != "" || got.err == "" {
			t.Errorf("%s: %+v", p, got)
		}
	}
	if got := f.run("-cat", "x\xffy"); got.out != "odd" {
		t.Errorf("%+v", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "a/file"), []byte("CONTENT"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := f.run("-cat", "a/file"); got.code != 1 || !strings.Contains(got.err, "do not match the digest") {
		t.Errorf("changed: %+v", got)
	}
}

func TestVerify(t *testing.T) {
	content := map[string]string{"a-b": "x", "sub/1": "one", "sub/2": "two", "sub/l": "-> 1", "turn/into/file": "x", "fileturn": "x", "z\xff\n": "z", "same": "hard", "same2": "hard", "empty": ""}
	dir := writeFiles(t, content)
	f := catalogOf(t, dir, catalog.WriterOptions{}, nil, catalog.Dataset{})
	if got := f.run("-verify"); got.code != 0 || got.out != "" || !strings.Contains(got.err, "verified 9 files (18 bytes), 1 link and 4 folders: all match") {
		t.Errorf("untouched: %+v", got)
	}
	do := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	at := func(p string) string { return filepath.Join(dir, p) }
	do(os.WriteFile(at("sub/1"), []byte("ONE"), 0o644), os.WriteFile(at("sub/2"), []byte("longer"), 0o644),
		os.Remove(at("sub/l")), os.Symlink("2", at("sub/l")), os.RemoveAll(at("turn")), os.WriteFile(at("turn"), nil, 0o644),
		os.Remove(at("fileturn")), os.Mkdir(at("fileturn"), 0o755), os.Remove(at("empty")), os.Remove(at("z\xff\n")), syscall.Mkfifo(at("z\xff\n"), 0o644),
		os.Mkdir(at("new"), 0o755), os.WriteFile(at("new/file"), nil, 0o644), syscall.Mkfifo(at("pipe"), 0o644))
	got := f.run("-verify")
	want := []string{
		"missing /data/empty", "mismatch /data/fileturn", "extra /data/new", "extra /data/new/file", "extra /data/pipe", "mismatch /data/sub/1", "mismatch /data/sub/2",
		"mismatch /data/sub/l", "mismatch /data/turn", "missing /data/turn/into", "missing /data/turn/into/file", "mismatch /data/z\xff", "",
	}
	lines := strings.Split(strings.TrimSuffix(got.out, "\n"), "\n")
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(lines))); diff != "" || got.code != 1 {
		t.Errorf("code %d: %s", got.code, diff)
	}
	if !strings.Contains(got.err, "6 mismatched, 3 missing, 3 extra, 0 unreadable") {
		t.Error(got.err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	if code := query.Run(ctx, query.Env{DB: f.db, Files: f.files, Stdout: &out, Stderr: &errs}, []string{"-verify"}); code != 130 {
		t.Errorf("interrupted: %d %q %q", code, out.String(), errs.String())
	}
}

func TestExportSelection(t *testing.T) {
	f := catalogOf(t, writeFiles(t, map[string]string{"a/1": "x", "a/b/2": "yy", "c/3": "zzz", "c/l": "-> 3", "top": "t"}), catalog.WriterOptions{}, nil, catalog.Dataset{})
	tree := func(dir string) map[string]string {
		out := map[string]string{}
		err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
			rel, _ := filepath.Rel(dir, p)
			switch {
			case err != nil:
				return err
			case d.Type() == os.ModeSymlink:
				out[rel], _ = os.Readlink(p)
			case d.Type().IsRegular():
				b, _ := os.ReadFile(p)
				out[rel] = string(b)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		return out
	}
	for args, want := range map[string]string{
		"":                           "a/1 a/b/2 c/3 c/l top",
		"-where size>1":              "a/b/2 c/3",
		"-get /data/c":               "c/3 c/l",
		"-get /data/a/b/2":           "a/b/2",
		"-order size -desc -limit 2": "a/b/2 c/3",
		"-metric size -search 1":     "a/1 top",
		"-where 0":                   "",
		"-where type='symlink'":      "c/l",
	} {
		dst := filepath.Join(t.TempDir(), "out")
		got := f.run(append(strings.Fields(args), "-export", dst)...)
		if got.code != 0 || got.out != "" {
			t.Errorf("%q: %+v", args, got)
		}
		if names := strings.Join(slices.Sorted(maps.Keys(tree(dst))), " "); names != want {
			t.Errorf("%q exported %q, want %q", args, names, want)
		}
		if got := f.run(append(strings.Fields(args), "-export", dst)...); want != "" && got.code != 1 {
			t.Errorf("%q again: %+v", args, got)
		}
	}
}

// The data of 2020's largest measurement, to notice what is far too slow.
func TestMany(t *testing.T) {
	if testing.Short() {
		t.Skip("100,000 rows")
	}
	db := many(t, 100_000)
	f := &fixture{db: db}
	for _, args := range []string{"-ls", "-metric size -limit 5", "-metric size", "-metric n", "-metric n -desc -limit 5", "-metric size -search 1234", "-get 099999", "-count -where size=5"} {
		start := time.Now()
		got := f.run(strings.Fields(args)...)
		t.Logf("%-30s %8.1f ms, %d bytes", args, float64(time.Since(start).Microseconds())/1000, len(got.out))
		if got.code != 0 || got.out == "" {
			t.Errorf("%q: %d %q", args, got.code, got.err)
		}
	}
}
