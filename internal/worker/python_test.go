package worker_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/worker"
)

// functions are what users may write, and what they should not.
const functions = `
import collections, datetime, math, os, signal, subprocess, sys, time

def ordered(f): return collections.OrderedDict([("z", 1), ("a", 2.0), ("m", [True, None, {"x": "y"}])])
def unicode(f): return {"é": "日本 \U0001f600", "quote": '"\\\n'}
def text(f): return "plain ` + "`" + ` text\n"
def listing(f): return ['a', 1, {"b": None}]
def nothing(f): return None
def number(f): return 7
def echo(f): return f
def size(f): return {"size": os.path.getsize(f)}
def nan(f): return {"nan": math.nan, "deep": [1.5, (math.inf, -math.inf)], "n": 1}
def when(f): return {"when": datetime.datetime(2020, 6, 14)}
def tuplekey(f): return {(1, 2): 3}
def circular(f):
    d = {}
    d["d"] = d
    return d
def surrogate(f): return "\ud800"
def broken(f): raise ValueError("no good\nat all")
def leave(f): sys.exit(3)
def prints(f):
    print("printed")
    os.write(1, b"written\n")
    subprocess.run(["echo", "echoed"])
    return {"stdin": sys.stdin.read()}
def die(f):
    if f == "bad": os._exit(7)
    return f
def crash(f):
    if f == "bad": os.kill(os.getpid(), signal.SIGSEGV)
    return f
def sleep(f):
    if f == "bad": time.sleep(600)
    return f
def orphan(f):
    if f == "bad":
        if os.fork() == 0:
            os.setsid()
            time.sleep(5)
            os._exit(0)
        time.sleep(600)
    return f
def garbage(f):
    if f == "bad":
        for fd in range(3, 20):
            try: os.write(fd, b"\0\0\0\5hello")
            except OSError: pass
    return f
def huge(f):
    if f == "bad": return "x" * (40 << 20)
    return f
class Namespace:
    @staticmethod
    def method(f): return "method"
notcallable = 7
`

func needPython(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed")
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, spec string, opts worker.Options) *worker.Pool {
	t.Helper()
	p, err := worker.Python(t.Context(), spec, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// What a function returns is stored by the rules of 2020.
func TestPythonValues(t *testing.T) {
	needPython(t)
	meta := write(t, t.TempDir(), "meta.py", functions)
	for name, want := range map[string]worker.Value{
		"ordered":          {worker.Dict, `{"z": 1, "a": 2.0, "m": [true, null, {"x": "y"}]}`},
		"unicode":          {worker.Dict, `{"\u00e9": "\u65e5\u672c \ud83d\ude00", "quote": "\"\\\n"}`},
		"text":             {worker.Str, "plain ` text\n"},
		"listing":          {worker.List, `['a', 1, {'b': None}]`},
		"nothing":          {worker.None, "None"},
		"echo":             {worker.Str, "a\xffb\n é"},
		"nan":              {worker.Dict, `{"nan": null, "deep": [1.5, [null, null]], "n": 1}`},
		"Namespace.method": {worker.Str, "method"},
		"prints":           {worker.Dict, `{"stdin": ""}`},
	} {
		p := open(t, meta+":"+name, worker.Options{Workers: 1})
		if got, err := p.Call(t.Context(), "a\xffb\n é"); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
		}
	}
}

// An error of a function is one of its file, says why, and harms nobody.
func TestPythonErrors(t *testing.T) {
	needPython(t)
	meta := write(t, t.TempDir(), "meta.py", functions)
	for name, want := range map[string]string{
		"number":    "TypeError: it returned int, not a dict, str, list or None",
		"when":      "TypeError: Object of type datetime is not JSON serializable",
		"tuplekey":  "TypeError: keys must be str, int, float, bool or None, not tuple",
		"circular":  "ValueError: Circular reference detected",
		"surrogate": "UnicodeEncodeError: ",
		"broken":    "ValueError: no good\nat all (meta.py, line ",
		"leave":     "SystemExit: 3 (meta.py, line ",
		"size":      "FileNotFoundError: [Errno 2] No such file or directory: 'bad' (meta.py, line ",
		"die":       "python3 ended: exit status 7",
		"crash":     "python3 ended: signal: segmentation fault",
		"garbage":   "python3 gave no proper answer: ",
		"huge":      "python3 gave no proper answer: it is ",
		"sleep":     "no answer after 300ms",
		"orphan":    "no answer after 300ms",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := worker.Options{Workers: 1}
			if strings.Contains(want, "300ms") {
				opts.Timeout = 300 * time.Millisecond
			}
			p := open(t, meta+":"+name, opts)
			_, err := p.Call(t.Context(), "bad")
			var fileErr *worker.Error
			if !errors.As(err, &fileErr) || fileErr.File != "bad" || !strings.HasPrefix(fileErr.Err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
			if strings.Contains("die crash garbage huge", name) {
				if v, err := p.Call(t.Context(), "good"); err != nil || v.Text != "good" {
					t.Errorf("the next call: %+v, %v", v, err)
				}
			}
		})
	}
}

// What functions print, by whatever way, is talk and no answer.
func TestPythonPrints(t *testing.T) {
	needPython(t)
	meta := write(t, t.TempDir(), "meta.py", functions)
	var stderr strings.Builder
	p, err := worker.Python(t.Context(), meta+":prints", worker.Options{Workers: 1, Stderr: &stderr})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Call(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if got := stderr.String(); got != "printed\nwritten\nechoed\n" {
		t.Errorf("standard error has %q", got)
	}
}

// What is wrong with the file or the interpreter is known at once.
func TestPythonLoadErrors(t *testing.T) {
	dir := t.TempDir()
	meta := write(t, dir, "meta.py", functions)
	for spec, want := range map[string]string{
		"basic":               "give it as FILE.py:NAME",
		":basic":              "give it as FILE.py:NAME",
		meta + ":":            "give it as FILE.py:NAME",
		dir + ":basic":        "not a regular file",
		"nowhere.py:f":        "no such file or directory",
		meta + ":missing":     "AttributeError: there is no 'missing' in the file",
		meta + ":notcallable": "TypeError: 'notcallable' is no function",
		write(t, dir, "syntax.py", "def f(:\n") + ":f":             "syntax.py, line 1",
		write(t, dir, "imports.py", "import nowhere") + ":f":       "ModuleNotFoundError: No module named 'nowhere' (imports.py, line 1)",
		write(t, dir, "exits.py", "import os; os._exit(0)") + ":f": "python3 ended in the midst of it",
	} {
		if strings.Contains(want, "Error") || strings.Contains(want, "line 1") || strings.Contains(want, "ended") {
			if _, err := exec.LookPath("python3"); err != nil {
				continue
			}
		}
		_, err := worker.Python(t.Context(), spec, worker.Options{})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "function ") {
			t.Errorf("%s: %v, want %q", spec, err, want)
		}
	}
	_, err := worker.Python(t.Context(), meta+":echo", worker.Options{Python: "no-such-python"})
	if !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("without an interpreter: %v", err)
	}
}

// A function may live beside modules of its own, even with names that the
// standard library has, and leaves no compiled files there.
func TestPythonImportsNeighbours(t *testing.T) {
	needPython(t)
	dir := t.TempDir()
	write(t, dir, "neighbour.py", "answer = '42'")
	p := open(t, write(t, dir, "json.py", "import neighbour\ndef f(x): return neighbour.answer\n")+":f", worker.Options{})
	if v, err := p.Call(t.Context(), "x"); err != nil || v.Text != "42" {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "__pycache__")); err == nil {
		t.Error("there is a __pycache__ now")
	}
}

// Calls run side by side, each with its own answer, crashes in between.
func TestPythonParallel(t *testing.T) {
	needPython(t)
	meta := write(t, t.TempDir(), "meta.py", functions)
	p := open(t, meta+":die", worker.Options{Workers: 3})
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			name := fmt.Sprint(i)
			if i%20 == 7 {
				name = "bad"
			}
			v, err := p.Call(t.Context(), name)
			if (err != nil) != (name == "bad") || err == nil && v.Text != name {
				t.Errorf("%s: %+v, %v", name, v, err)
			}
		})
	}
	wg.Wait()
}

// Who waits can stop waiting.
func TestPythonCancel(t *testing.T) {
	needPython(t)
	meta := write(t, t.TempDir(), "meta.py", functions)
	p := open(t, meta+":sleep", worker.Options{Workers: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := p.Call(ctx, "bad"); !errors.Is(err, context.DeadlineExceeded) || errors.As(err, new(*worker.Error)) {
		t.Errorf("%v, want the error of the context", err)
	}
	if v, err := p.Call(t.Context(), "good"); err != nil || v.Text != "good" {
		t.Errorf("the next call: %+v, %v", v, err)
	}
}
