package wasm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/wasm"
)

// behave compiles the module that does what it is told.
var behave = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "cdb-wasm-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "behave.wasm")
	cmd := exec.Command("go", "build", "-o", out, "./testdata/behave")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	return os.ReadFile(out)
})

func load(t *testing.T, opts wasm.Options) *wasm.Module {
	t.Helper()
	code, err := behave()
	if err != nil {
		t.Skipf("no Go compiler for wasip1: %v", err)
	}
	m, err := wasm.Compile(t.Context(), code, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// zeros is an input that takes no memory.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// A module sees its input and its arguments, and nothing else.
func TestRun(t *testing.T) {
	m := load(t, wasm.Options{})
	for name, want := range map[string]string{
		"count": `3 <nil> ["x.wasm" "count" "é \xff"]`,
		"first": "a<nil>",
		"look":  "true true true true 0",
		"clock": "2022-01-01",
	} {
		out, err := m.Run(t.Context(), []string{"x.wasm", name, "é \xff"}, strings.NewReader("abc"), nil)
		if err != nil || string(out) != want {
			t.Errorf("%s: %s, %v, want %s", name, out, err, want)
		}
	}
	out, err := m.Run(t.Context(), []string{"x.wasm", "count"}, nil, nil)
	if err != nil || !strings.HasPrefix(string(out), "0 <nil>") {
		t.Errorf("without an input: %s, %v", out, err)
	}
}

// Memory does not grow with the input.
func TestRunLarge(t *testing.T) {
	m := load(t, wasm.Options{Memory: 32 << 20})
	const size = 200 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	out, err := m.Run(t.Context(), []string{"x.wasm", "count"}, io.LimitReader(zeros{}, size), nil)
	runtime.ReadMemStats(&after)
	if err != nil || !strings.HasPrefix(string(out), fmt.Sprint(size)) {
		t.Errorf("%s, %v", out, err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 100<<20 {
		t.Errorf("%d bytes were allocated", grown)
	}
}

// A module that does what it should not is ended, and harms nobody.
func TestRunFails(t *testing.T) {
	m := load(t, wasm.Options{Memory: 32 << 20})
	for name, want := range map[string]string{
		"hang":   "context deadline exceeded",
		"sleep":  "context deadline exceeded", // its clock stands still
		"memory": "exit code 2",
		"babble": "it prints more than 65536 bytes",
		"fail":   "exit code 3",
		"panic":  "exit code 2",
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			if strings.Contains(want, "deadline") {
				ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
			}
			defer cancel()
			var stderr bytes.Buffer
			out, err := m.Run(ctx, []string{"x.wasm", name}, nil, &stderr)
			if err == nil || err.Error() != want {
				t.Errorf("%s, %v, want %q; it said %.200s", out, err, want, stderr.String())
			}
			if name == "fail" && (stderr.String() != "no good\n" || !errors.As(err, new(*wasm.ExitError))) {
				t.Errorf("it said %q, and %T", stderr.String(), err)
			}
			if out, err := m.Run(t.Context(), []string{"x.wasm", "first"}, strings.NewReader("a"), nil); err != nil || string(out) != "a<nil>" {
				t.Errorf("the next run: %s, %v", out, err)
			}
		})
	}
}

// Runs side by side do not know of each other.
func TestRunParallel(t *testing.T) {
	m := load(t, wasm.Options{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			in := strings.Repeat("x", i*1000)
			out, err := m.Run(t.Context(), []string{"x.wasm", "count"}, strings.NewReader(in), nil)
			if err != nil || !strings.HasPrefix(string(out), fmt.Sprint(len(in))+" ") {
				t.Errorf("%s, %v", out, err)
			}
		})
	}
	wg.Wait()
}

// A compiled module is found again; one that was damaged is not.
func TestCache(t *testing.T) {
	dir := t.TempDir()
	load(t, wasm.Options{Cache: dir})
	files, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files in the cache, %v", len(files), err)
	}
	for _, f := range files {
		if err := os.WriteFile(f, []byte("nonsense"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := load(t, wasm.Options{Cache: dir})
	if out, err := m.Run(t.Context(), []string{"x.wasm", "first"}, strings.NewReader("a"), nil); err != nil || string(out) != "a<nil>" {
		t.Errorf("%s, %v", out, err)
	}
}

// Small modules in the binary format: a header, and sections.
const header = "\x00asm\x01\x00\x00\x00"

var (
	// (module (func (export "_start")))
	start = []byte(header + "\x01\x04\x01\x60\x00\x00" + "\x03\x02\x01\x00" + "\x07\x0a\x01\x06_start\x00\x00" + "\x0a\x04\x01\x02\x00\x0b")
	// (module (func (export "nothing")))
	library = []byte(header + "\x01\x04\x01\x60\x00\x00" + "\x03\x02\x01\x00" + "\x07\x0b\x01\x07nothing\x00\x00" + "\x0a\x04\x01\x02\x00\x0b")
	// (module (import "env" "f" (func)) (func (export "_start")))
	foreign = []byte(header + "\x01\x04\x01\x60\x00\x00" + "\x02\x09\x01\x03env\x01f\x00\x00" + "\x03\x02\x01\x00" + "\x07\x0a\x01\x06_start\x00\x01" + "\x0a\x04\x01\x02\x00\x0b")
	// (module (func (export "_start") unreachable))
	trap = []byte(header + "\x01\x04\x01\x60\x00\x00" + "\x03\x02\x01\x00" + "\x07\x0a\x01\x06_start\x00\x00" + "\x0a\x05\x01\x03\x00\x00\x0b")
	// (module (table 4294967295 funcref) (func (export "_start")))
	table = []byte(header + "\x01\x04\x01\x60\x00\x00" + "\x03\x02\x01\x00" + "\x04\x08\x01\x70\x00\xff\xff\xff\xff\x0f" + "\x07\x0a\x01\x06_start\x00\x00" + "\x0a\x04\x01\x02\x00\x0b")
	// (module (memory 65536) (func (export "_start")))
	memory = []byte(header + "\x01\x04\x01\x60\x00\x00" + "\x03\x02\x01\x00" + "\x05\x05\x01\x00\x80\x80\x04" + "\x07\x0a\x01\x06_start\x00\x00" + "\x0a\x04\x01\x02\x00\x0b")
)

// What cannot run is known when it is compiled.
func TestCompile(t *testing.T) {
	for name, c := range map[string]struct {
		code []byte
		want string
	}{
		"start":     {start, ""},
		"library":   {library, "it has no function _start"},
		"foreign":   {foreign, "it imports env.f, which WASI preview 1 has not"},
		"memory":    {memory, "over limit of"},
		"table":     {table, "a table of 4294967295 elements"},
		"text":      {[]byte("(module)"), "invalid magic number"},
		"component": {[]byte("\x00asm\x0d\x00\x01\x00"), "component"},
	} {
		m, err := wasm.Compile(t.Context(), c.code, wasm.Options{})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if err == nil {
			m.Close()
		}
	}
	m, err := wasm.Compile(t.Context(), trap, wasm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Run(t.Context(), []string{"x"}, nil, nil); err == nil || err.Error() != "wasm error: unreachable" {
		t.Errorf("a trap: %v", err)
	}
}

// A module that is cut short is an error, never a panic.
func TestCompileTruncated(t *testing.T) {
	for _, code := range [][]byte{start, table, memory} {
		for n := range code {
			m, err := wasm.Compile(t.Context(), code[:n], wasm.Options{})
			if err == nil {
				m.Close()
				t.Errorf("%d bytes of it are a module", n)
			}
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, code := range [][]byte{start, library, foreign, trap, table, memory} {
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code []byte) {
		m, err := wasm.Compile(t.Context(), code, wasm.Options{})
		if err == nil {
			m.Close()
		}
	})
}
