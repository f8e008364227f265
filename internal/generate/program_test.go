package generate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/generate"
	"github.com/data-containers/cdb/internal/query"
	"github.com/data-containers/cdb/internal/tree"
)

// compile compiles a source as users do, where there is no network and no
// other module.
func compile(t *testing.T, src string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "entrypoint.go"), []byte(src), 0o666); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "entrypoint.go")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return filepath.Join(dir, "entrypoint")
}

// result is what a command line did.
type result struct {
	stdout, stderr string
	code           int
}

func execute(t *testing.T, program string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// oddPaths are below the root of the data.
var oddPaths = []string{
	"a", "a.txt", "a/b", "a b/c d", "back`tick", "`+panic(1)+`", "new\nline", "carriage\rreturn", "tab\t1", "tab\t2", "\ufeffbom", "nul\x01",
	"not-utf8-\xff\xfe", "\xff", "back\\slash", `\x41`, `\u0041`, "\"quoted\" 'single'", "${HOME} %s", "\u202ertl", "é", "e\u0301", "日本",
	"\x1b[31mred", "-ls", "~", "Z", "z", strings.Repeat("n", 255),
}

// values are what keys of metadata may have.
var values = []string{
	"0", "-0", "1", "10", "9", "1.0", "-2500.0", "1e3", "1E-7", "1.5e300", "1e999", "-1e999", "9007199254740993", "9007199254740992", "12345678901234567890123",
	"true", "false", "null", `""`, `"10"`, `"9"`, `"apple"`, `"Banana"`, `"Zebra"`, `"\u00e4pfel"`, `"item10"`, `"item9"`, `"a\nb\t\"\\\/"`,
	`"\ud83d\ude00"`, `"\udcff"`, `"\ud800"`, `"\ud800\u0041"`, `"` + "`" + `"`, "[]", "[3, 1]", `[{"a": "]"}, "}"]`, "{}", `{"x": 5, "y": "q"}`, `{"v": 1}`,
}

// keys are odd, too: in 2020 some of them were paths.
var keys = []string{"v", "a.b", "*", "@this", "a|b", "#", "", "with space", `q\"q`, "\\u00e9", "\\udcff", "\\n", "`", "size2", "V"}

// The generated program and the entrypoint give the same answers, about
// anything that can be in a catalog.
func TestAnswersAsTheEntrypointDoes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var entries []*catalog.Entry
	add := func(path string, typ tree.Type, meta string) {
		e := &catalog.Entry{Entry: tree.Entry{Path: path, Type: typ, Mode: 0o644, ModTime: time.Unix(1, 0)}, Pack: 1, Meta: meta}
		e.SHA256[0], e.SHA256[31] = byte(random.Uint32()), byte(len(path))
		if typ == tree.File {
			e.Size = random.Int64N(30)
		} else {
			e.Link = path + "\xff`->"
		}
		entries = append(entries, e)
	}
	for i, p := range oddPaths {
		if strings.HasPrefix(p, "a/") || strings.HasPrefix(p, "a b/") {
			p = strings.ReplaceAll(p, "/", "-")
		}
		typ := tree.File
		if i%7 == 3 {
			typ = tree.Symlink
		}
		add(p, typ, "")
	}
	for i, v := range values {
		add(fmt.Sprintf("value%02d", i), tree.File, `{"v": `+v+`}`)
	}
	for i := range 200 {
		var members []string
		for _, k := range keys {
			if random.IntN(3) == 0 {
				members = append(members, `"`+k+`": `+values[random.IntN(len(values))])
			}
		}
		add(fmt.Sprintf("many%03d", i), tree.File, "{"+strings.Join(members, ", ")+"}")
	}
	slices.SortFunc(entries, func(a, b *catalog.Entry) int { return tree.Compare(&a.Entry, &b.Entry) })

	program := compile(t, source(t, &generate.Dataset{Generator: "cdb test", Files: files(entries), Metrics: generate.Metrics(files(entries), "size", "sha256")}, "", ""))
	db := openCatalog(t, entries)
	var lines [][]string
	for _, p := range oddPaths {
		lines = append(lines, []string{"-get", "/data/" + p}, []string{"-get=" + p})
	}
	metrics := []string{"size", "sha256", "link", "nothing", "siz", "\x1b\u202e\xff\n"}
	for _, k := range keys {
		metrics = append(metrics, decoded(k))
	}
	texts := []string{"1", "0", "9", "a", "\n", "e", "null", "true", "[", `"`, "\xff", "\U0001f600", "\ufffd", ".", "A", "-", "`", "äpf", "x", "\\"}
	for _, m := range metrics {
		lines = append(lines, []string{"-metric", m}, []string{"-ls", "-metric", m}, []string{"--metric=" + m, "-search="})
		for _, s := range texts {
			lines = append(lines, []string{"-metric", m, "-search", s})
		}
	}
	lines = append(lines, nil, []string{"-ls"}, []string{"-ls=false"}, []string{"-search", "x"}, []string{"ignored", "-ls"}, []string{"-get="},
		[]string{"-get", "value", "-metric", "v", "-search", "9"}, []string{"-get", "nowhere"}, []string{"--", "-ls"}, []string{"-ls", "-get", "x"})
	for _, args := range lines {
		got := execute(t, program, args...)
		var stdout, stderr bytes.Buffer
		code := query.Run(t.Context(), query.Env{DB: db, Stdout: &stdout, Stderr: &stderr, Name: "entrypoint"}, args)
		if want := (result{stdout.String(), stderr.String(), code}); got != want {
			t.Errorf("%q: %s", args, difference(got, want))
		}
	}
	for _, args := range [][]string{{"-x"}, {"-get"}, {"-ls=maybe"}, {"-h"}, {"--help"}} {
		got := execute(t, program, args...)
		var stderr bytes.Buffer
		code := query.Run(t.Context(), query.Env{DB: db, Stdout: io.Discard, Stderr: &stderr, Name: "entrypoint"}, args)
		gotFirst, _, _ := strings.Cut(got.stderr, "\n")
		wantFirst, _, _ := strings.Cut(stderr.String(), "\n")
		if got.code != code || got.stdout != "" || gotFirst != wantFirst {
			t.Errorf("%q: %+v, want code %d and %q", args, got, code, wantFirst)
		}
	}
}

// decoded returns a key as users type it.
func decoded(k string) string {
	return strings.NewReplacer(`\"`, `"`, `\u00e9`, "é", `\udcff`, "\xff", `\n`, "\n").Replace(k)
}

// difference shows the first line that differs.
func difference(got, want result) string {
	if got.code != want.code || got.stderr != want.stderr {
		return fmt.Sprintf("code %d, %q; want %d, %q", got.code, got.stderr, want.code, want.stderr)
	}
	a, b := strings.Split(got.stdout, "\n"), strings.Split(want.stdout, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d is %q, want %q", i+1, a[i], b[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(a), len(b))
}

func files(entries []*catalog.Entry) []generate.File {
	var list []generate.File
	for _, e := range entries {
		list = append(list, generate.File{Path: "/data/" + e.Path, Metadata: string(e.AppendJSON(nil)), Object: true})
	}
	return list
}

func openCatalog(t *testing.T, entries []*catalog.Entry) *catalog.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "catalog.db")
	w, err := catalog.Create(path, catalog.WriterOptions{Prefix: "/data"})
	if err != nil {
		t.Fatal(err)
	}
	root := &catalog.Entry{Entry: tree.Entry{Type: tree.Dir, Mode: 0o755, ModTime: time.Unix(1, 0)}, Pack: 1}
	for _, e := range append([]*catalog.Entry{root}, entries...) {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(context.Background(), catalog.Dataset{Created: time.Unix(1, 0)}, catalog.Version{}); err != nil {
		t.Fatal(err)
	}
	db, err := catalog.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// Metadata need not be JSON, and there need not be any file.
func TestPlainText(t *testing.T) {
	d := dataset(
		generate.File{Path: "none", Metadata: "None"}, generate.File{Path: "list", Metadata: "['a', 1]"},
		generate.File{Path: "str", Metadata: "two\nlines {"}, object("dict", `{"v": 1}`), generate.File{Path: "like", Metadata: `{"v": 2}`},
	)
	program := compile(t, source(t, d, "", ""))
	for line, want := range map[string]string{
		"":                    "dict {\"v\": 1}\nlike {\"v\": 2}\nlist ['a', 1]\nnone None\nstr two\nlines {\n",
		"-metric v":           "Order by v\nlike: {\"v\": 2}\nlist: ['a', 1]\nnone: None\nstr: two\nlines {\ndict: {\"v\": 1}\n",
		"-metric v -search 1": "dict 1\n",
		"-metric v -search 2": "",
		"-metric size":        "Order by size\ndict: {\"v\": 1}\nlike: {\"v\": 2}\nlist: ['a', 1]\nnone: None\nstr: two\nlines {\n",
	} {
		if got := execute(t, program, strings.Fields(line)...); got != (result{want, "", 0}) {
			t.Errorf("%q: %+v, want %q", line, got, want)
		}
	}
	program = compile(t, source(t, dataset(), "", ""))
	for line, want := range map[string]result{
		"": {}, "-ls": {}, "-get x": {}, "-metric size": {stdout: "Order by size\n"}, "-metric size -search x": {},
		"-metric v": {stderr: "v is not a valid metric\n", code: 1},
	} {
		if got := execute(t, program, strings.Fields(line)...); got != want {
			t.Errorf("of nothing, %q: %+v, want %+v", line, got, want)
		}
	}
}

// -start says that it is there, stays, and ends in order when it is told to.
func TestStart(t *testing.T) {
	cmd := exec.Command(compile(t, source(t, dataset(object("a", "{}")), "", "")), "-start", "-ls")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len("Starting data-container\n"))
	if _, err := io.ReadFull(stdout, line); err != nil || string(line) != "Starting data-container\n" {
		t.Errorf("%q, %v", line, err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if spent := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(); spent > time.Second {
		t.Errorf("to wait took %v of a processor", spent)
	}
}
