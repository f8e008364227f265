package external_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/external"
	"github.com/data-containers/cdb/internal/extract"
)

const examples = "../../examples/extractors"

func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
}

func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, list []string, opts external.Options) *extract.Set {
	t.Helper()
	words, specs, err := external.Split(list)
	if err != nil {
		t.Fatal(err)
	}
	set, err := extract.NewSet(words, extract.Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	x, err := external.Open(t.Context(), specs, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	set.Add(x.List()...)
	return set
}

// extractFrom extracts from a file of a folder, by its name and without one,
// in one piece and as one of those that are too large for it.
func extractFrom(t testing.TB, set *extract.Set, name, text string) string {
	t.Helper()
	file := write(t, t.TempDir(), name, text)
	src := extract.Source{Path: "sub/" + name, Name: file, Size: int64(len(text))}
	got := set.File(t.Context(), src, []byte(text)).Meta
	job := set.Begin(src)
	defer job.Close()
	job.Write([]byte(text))
	if again := job.Finish(t.Context()).Meta; again != got {
		t.Errorf("%s: %s, but in pieces %s", name, got, again)
	}
	src.Name = ""
	if again := set.File(t.Context(), src, []byte(text)).Meta; again != got {
		t.Errorf("%s: %s, but without a name %s", name, got, again)
	}
	nameless := set.Begin(src)
	defer nameless.Close()
	nameless.Write([]byte(text))
	if again := nameless.Finish(t.Context()).Meta; again != got {
		t.Errorf("%s: %s, but in pieces without a name %s", name, got, again)
	}
	return got
}

const functions = `
import os
def basic(f): return {"size": os.path.getsize(f), "sha256": "0" * 64, "name": os.path.basename(f), "isabs": os.path.isabs(f)}
def wrong(f): return {"size": -1, "sha256": "x", "link": "y", "a": {"b": [None, 2.5, {"c": "é"}]}}
def text(f): return "é\n"
def several(f): return ["a", 1, {"b": float("nan")}]
def nothing(f): return None
def broken(f): raise ValueError("cannot use " + f)
def where(f): return {"here": os.path.exists("marker")}
extract = basic
`

func TestPython(t *testing.T) {
	need(t, "python3")
	dir := t.TempDir()
	write(t, dir, "meta.py", functions)
	write(t, dir, "marker", "")
	for name, want := range map[string]string{
		":basic":   `{"name": "x.bin", "isabs": true}`,
		"":         `{"name": "x.bin", "isabs": true}`,
		":wrong":   `{"a": {"b": [null, 2.5, {"c": "\u00e9"}]}, "extract.warnings": ["meta.py:wrong: key size is taken, and left out"]}`,
		":text":    `{"text": "\u00e9\n"}`,
		":several": `{"several": ["a", 1, {"b": null}]}`,
		":nothing": ``,
		":broken":  `{"extract.warnings": ["meta.py:broken: ValueError: cannot use sub/x.bin (meta.py, line 8)"]}`,
		":where":   `{"here": true}`,
	} {
		set := open(t, []string{"basic", "meta.py" + name}, external.Options{Base: dir, Workers: 1})
		got := extractFrom(t, set, "x.bin", "abc")
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// Names may hold any byte, also where the protocol cannot say them.
func TestNames(t *testing.T) {
	need(t, "python3")
	dir := t.TempDir()
	write(t, dir, "meta.py", "def first(f): return {'py': open(f).read(1)}\n")
	lines, err := filepath.Abs(filepath.Join(examples, "lines.py"))
	if err != nil {
		t.Fatal(err)
	}
	set := open(t, []string{"basic,meta.py:first", "exec: python3 '" + lines + "'"}, external.Options{Base: dir, TempDir: t.TempDir(), Workers: 1})
	for _, name := range []string{"not-utf8-\xff\xfe", "new\nline", `"quo'ted\`, "esc\x1b[31m", "-rf", "\u2028é"} {
		if got, want := extractFrom(t, set, name, "a\x00\x00"), `{"zeros": 2, "py": "a"}`; got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

// The examples of the documentation do what it says.
func TestExamples(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		needs []string
		build []string
		spec  string
		name  string
		text  string
		want  string
	}{
		{[]string{"python3"}, nil, examples + "/meta.py:describe", "a.txt", "# Fruit\ntwo words\n", `{"text": {"words": 4, "title": "Fruit"}}`},
		{[]string{"python3"}, nil, "exec: python3 " + examples + "/lines.py", "a", "\x00a\x00", `{"zeros": 2}`},
		{[]string{"jq"}, nil, "exec: " + examples + "/words.sh", "a", "two words\n", `{"words": 2}`},
		{[]string{"go"}, []string{"go", "build", "-o", dir + "/jsonlines", examples + "/jsonlines-go"}, "exec: " + dir + "/jsonlines", "a", "%PDF-1.7", `{"magic": "25504446"}`},
		{[]string{"go"}, []string{"env", "GOOS=wasip1", "GOARCH=wasm", "go", "build", "-o", dir + "/entropy.wasm", examples + "/wasm-go"}, dir + "/entropy.wasm", "a", "abcd", `{"entropy": 2}`},
		{[]string{"clang", "wasm-ld"}, []string{"clang", "--target=wasm32-wasi", "--sysroot=/usr", "-O2", "-s", "-o", dir + "/lines.wasm", examples + "/lines.c"}, dir + "/lines.wasm", "a", "ab\nc\n", `{"lines": {"count": 2, "longest": 2}}`},
	} {
		t.Run(c.spec[strings.LastIndexByte(c.spec, '/')+1:], func(t *testing.T) {
			need(t, c.needs...)
			if c.needs[0] == "clang" {
				if _, err := os.Stat("/usr/include/wasm32-wasi/stdio.h"); err != nil {
					t.Skip("wasi-libc is not installed")
				}
			}
			if c.build != nil {
				if out, err := exec.Command(c.build[0], c.build[1:]...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %v: %s", c.build, err, out)
				}
			}
			set := open(t, []string{"basic", c.spec}, external.Options{Workers: 1})
			if got := extractFrom(t, set, c.name, c.text); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// What cannot be used ends it before any file is read.
func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "syntax.py", "def f(:\n")
	write(t, dir, "bad.wasm", "\x00asm")
	write(t, dir, "empty.wasm", "\x00asm\x01\x00\x00\x00")
	for spec, want := range map[string]string{
		"nowhere.py:f":       `extract with "nowhere.py": no such file or directory`,
		"syntax.py:f":        "syntax.py, line 1",
		"nowhere.wasm":       `extract with "nowhere.wasm": no such file or directory`,
		"bad.wasm":           `load module "bad.wasm": `,
		"empty.wasm":         "it has no function _start",
		"exec: no-such-prog": "executable file not found",
		"exec: ./nowhere":    "no such file",
		"exec: cat":          "neither meta nor error",
		"exec: false":        "ended: exit status 1",
	} {
		if strings.HasPrefix(spec, "syntax") {
			if _, err := exec.LookPath("python3"); err != nil {
				continue
			}
		}
		_, specs, err := external.Split([]string{spec})
		if err != nil {
			t.Fatal(err)
		}
		x, err := external.Open(t.Context(), specs, external.Options{Base: dir})
		if err == nil {
			x.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", spec, err, want)
		}
	}
}

// An extractor is another one when its script is, and the same anywhere else.
func TestVersion(t *testing.T) {
	need(t, "python3")
	version := func(base, script string, list ...string) string {
		write(t, base, "meta.py", script)
		write(t, base, "lines.py", "# "+script+lines(t))
		set := open(t, list, external.Options{Base: base, Workers: 1})
		return set.String()
	}
	a, b := t.TempDir(), t.TempDir()
	const one, two = "def f(x): return {}\n", "def f(x): return {'a': 1}\n"
	for _, spec := range []string{"meta.py:f", "exec: python3 lines.py"} {
		first := version(a, one, "basic", spec)
		if again := version(b, one, "basic", spec); again != first {
			t.Errorf("%s: %s, elsewhere %s", spec, first, again)
		}
		if changed := version(a, two, "basic", spec); changed == first {
			t.Errorf("%s: %s, changed or not", spec, first)
		}
	}
	if x, y := version(a, one, "basic,meta.py:f", "exec: python3 lines.py"), version(a, one, "basic", "exec: python3 lines.py", "meta.py:f"); x != y {
		t.Errorf("%s, in another order %s", x, y)
	}
}

func lines(t *testing.T) string {
	text, err := os.ReadFile(filepath.Join(examples, "lines.py"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Whatever goes wrong with one file, the others have their metadata.
func TestIsolation(t *testing.T) {
	need(t, "python3")
	dir := t.TempDir()
	write(t, dir, "meta.py", `
import os, time
def f(name):
    what = open(name).read()
    if what == "raise": raise KeyError("x")
    if what == "crash": os.abort()
    if what == "hang": time.sleep(600)
    if what == "huge": return {"x": "y" * 100000}
    if what == "print": print("printed\x1b[31m")
    return {"f": what}
`)
	var mu sync.Mutex
	var said []string
	set := open(t, []string{"basic", "meta.py:f"}, external.Options{Base: dir, Workers: 2, Timeout: time.Second, Log: func(name, line string) {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, name+": "+line)
	}})
	var wg sync.WaitGroup
	for what, want := range map[string]string{
		"raise": `{"extract.warnings": ["meta.py:f: KeyError: 'x' (meta.py, line 5)"]}`,
		"crash": `{"extract.warnings": ["meta.py:f: python3 ended: signal: aborted"]}`,
		"hang":  `{"extract.warnings": ["meta.py:f: no answer after 1s"]}`,
		"huge":  `{"extract.warnings": ["meta.py:f: 100008 bytes of metadata, left out as all of a file may have 65536"]}`,
		"print": `{"f": "print"}`,
		"1":     `{"f": "1"}`, "2": `{"f": "2"}`, "3": `{"f": "3"}`, "4": `{"f": "4"}`,
	} {
		file := write(t, dir, what, what)
		wg.Go(func() {
			src := extract.Source{Path: what, Name: file}
			if got := set.File(t.Context(), src, []byte(what)).Meta; got != want && !strings.Contains(got, "core dumped") {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		})
	}
	wg.Wait()
	if text := strings.Join(said, "\n"); !strings.Contains(text, "meta.py:f: printed\x1b[31m") {
		t.Errorf("it said %q", text)
	}
}

// Who waits can stop waiting.
func TestCancel(t *testing.T) {
	_, specs, err := external.Split([]string{`exec: sh -c 'read -r q; echo "{\"meta\": {}}"; sleep 600'`})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	x, err := external.Open(ctx, specs, external.Options{})
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(300*time.Millisecond, cancel)
	begin := time.Now()
	_, err = x.List()[0].Extract(ctx, &extract.ExternalFile{Source: extract.Source{Path: "x", Name: "/dev/null"}})
	if err := x.Close(); err != nil {
		t.Error(err)
	}
	if d := time.Since(begin); err == nil || d > 20*time.Second {
		t.Errorf("%v after %v", err, d)
	}
	if _, err := external.Open(ctx, specs, external.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("open: %v", err)
	}
}

// Files for each second, with 1 and 2 workers: go test -bench .
func BenchmarkExtract(b *testing.B) {
	need(b, "python3", "jq", "go")
	dir := b.TempDir()
	write(b, dir, "meta.py", "import os\ndef f(n): return {'n': os.path.getsize(n)}\n")
	for name, target := range map[string][]string{"jsonlines-go": {}, "wasm-go": {"GOOS=wasip1", "GOARCH=wasm"}} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, name), examples+"/"+name)
		cmd.Env = append(os.Environ(), target...)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
	if err := os.Rename(filepath.Join(dir, "wasm-go"), filepath.Join(dir, "go.wasm")); err != nil {
		b.Fatal(err)
	}
	specs := []string{"meta.py:f", "exec: ./jsonlines-go", `exec: jq --unbuffered -c '{meta: {n: .size}}'`, "go.wasm"}
	if out, err := exec.Command("clang", "--target=wasm32-wasi", "--sysroot=/usr", "-O2", "-s", "-o", dir+"/c.wasm", examples+"/lines.c").CombinedOutput(); err == nil {
		specs = append(specs, "c.wasm")
	} else {
		b.Logf("no module from C: %v %s", err, out)
	}
	const files = 2000
	var names []string
	for i := range files {
		names = append(names, write(b, dir, fmt.Sprintf("%d.txt", i), fmt.Sprint("file ", i, "\n")))
	}
	for _, spec := range specs {
		for workers := 1; workers <= 2; workers++ {
			b.Run(fmt.Sprintf("%.16s/workers=%d", strings.ReplaceAll(spec, " ", ""), workers), func(b *testing.B) {
				set := open(b, []string{"basic", spec}, external.Options{Base: dir, Workers: workers})
				for b.Loop() {
					var wg sync.WaitGroup
					for w := range workers {
						wg.Go(func() {
							for i := w; i < files; i += workers {
								data := fmt.Appendln(nil, "file", i)
								if m := set.File(b.Context(), extract.Source{Path: names[i], Name: names[i]}, data).Meta; !json.Valid([]byte(m)) || strings.Contains(m, "warnings") {
									b.Errorf("%s: %s", names[i], m)
								}
							}
						})
					}
					wg.Wait()
				}
				b.ReportMetric(files*float64(b.N)/b.Elapsed().Seconds(), "files/s")
			})
		}
	}
}
