package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	run := func(wall, cpu, peak int) usage {
		return usage{Wall: time.Duration(wall), CPU: time.Duration(cpu), Peak: int64(peak), Output: 7}
	}
	tests := []struct {
		name string
		runs []usage
		want usage
	}{
		{"none", nil, usage{}},
		{"one", []usage{run(5, 6, 8)}, run(5, 6, 8)},
		{"the middle of times, the largest memory", []usage{run(9, 1, 8), run(5, 3, 30), run(7, 2, 9)}, run(7, 2, 30)},
		{"the mean of two", []usage{run(1, 1, 1), run(3, 5, 1), run(5, 9, 1), run(100, 100, 1)}, run(4, 7, 1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := median(tt.runs); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestUnits(t *testing.T) {
	tests := []struct{ got, want string }{
		{seconds(1500 * time.Microsecond), "1.5 ms"},
		{seconds(250 * time.Millisecond), "250 ms"},
		{seconds(1234 * time.Millisecond), "1.23 s"},
		{seconds(98765 * time.Millisecond), "98.8 s"},
		{seconds(754 * time.Second), "754 s"},
		{binary(999), "999 bytes"},
		{binary(3 << 20), "3.0 MiB"},
		{binary(222 << 20), "222 MiB"},
		{binary(2 << 30), "2 GiB"},
		{thousands(7), "7"},
		{thousands(999), "999"},
		{thousands(1_000_000), "1,000,000"},
		{times[int64](3, 2), "1.50×"},
		{times(25*time.Second, 2*time.Second), "12×"},
		{times[int64](0, 2), "-"},
		{usage{Peak: 7 << 20, Floor: 7 << 20}.peak(), "≤ 7.0 MiB"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestMeasure(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("measures through /proc")
	}
	var out bytes.Buffer
	last := command(t.Context(), "sh", "-c", "cat; sleep 0.05")
	last.Stdout = &out
	u, err := measure(command(t.Context(), "echo", "through"), command(t.Context(), "cat"), last)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != "through\n" {
		t.Errorf("the pipeline gave %q", out.String())
	}
	if u.Wall < 50*time.Millisecond || u.CPU <= 0 || u.CPU > u.Wall*8 || u.Peak <= 0 {
		t.Errorf("usage %+v", u)
	}
	// A program of known size: the bench must not take its own memory for that.
	u, err = measure(command(t.Context(), "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"))
	if err != nil {
		t.Fatal(err)
	}
	if u.Peak < 64<<20 || u.Peak > 80<<20 {
		t.Errorf("peak of dd with 64 MiB: %s", binary(u.Peak))
	}
}

func TestMeasureFails(t *testing.T) {
	_, err := measure(command(t.Context(), "sh", "-c", "echo error: no >&2; echo hint >&2; exit 3"), command(t.Context(), "cat"))
	if err == nil || !strings.Contains(err.Error(), "error: no") {
		t.Errorf("got %v", err)
	}
	if _, err = measure(command(t.Context(), "echo"), command(t.Context(), "/no/such/program")); err == nil {
		t.Error("a missing program is no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = measure(command(ctx, "sleep", "9")); err == nil {
		t.Error("cancelled, and no error")
	}
}

func TestCPUTicks(t *testing.T) {
	tests := map[string]int64{
		"12 (dockerd) S 1 12 12 0 -1 4194560 5 6 7 8 100 20 3 4 20 0 9": 127,
		"12 (a ) b) S 1 12 12 0 -1 4194560 5 6 7 8 1 2 3 4 20 0 9":      10,
		"12 (short) S 1": 0,
		"":               0,
	}
	for stat, want := range tests {
		if got := cpuTicks(stat); got != want {
			t.Errorf("%q: got %d, want %d", stat, got, want)
		}
	}
}

func TestOwnWord(t *testing.T) {
	tests := map[string]string{
		"/data/part-00001/measurement_0001234.json": "0001234",
		"/data/sub-1/measurement_0500000_run.json":  "0500000",
		"/data/avocado.txt":                         "avocado",
		"/data/12/a":                                "a",
		"/data/":                                    "data",
	}
	for name, want := range tests {
		if got := ownWord(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

// The same corpus on every machine; one that is there is not made again.
func TestCorpus(t *testing.T) {
	b := &bench{options: options{dir: t.TempDir(), tiny: true}}
	c := b.smallFiles(150_000)
	c.path += "-test"
	if err := b.ensure(t.Context(), &c); err != nil {
		t.Fatal(err)
	}
	if c.files != 1500 || c.bytes != 3019871 {
		t.Errorf("%d files, %d bytes", c.files, c.bytes)
	}
	c.write = func(context.Context, string) error { return errors.New("made again") }
	if err := b.ensure(t.Context(), &c); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c = b.tinyFiles(10_000)
	if err := b.ensure(ctx, &c); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(b.dir, "tiny*")); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestUnpackEnds(t *testing.T) {
	layout, to := t.TempDir(), t.TempDir()
	manifest := fmt.Sprintf(`{"manifests": [{"digest": "sha256:bb", "platform": {"architecture": "other"}},
		{"digest": "sha256:aa", "platform": {"architecture": %q}}]}`, runtime.GOARCH)
	err := writeFiles(layout, map[string]string{
		"index.json":      `{"manifests": [{"digest": "sha256:11"}]}`,
		"blobs/sha256/11": manifest,
		"blobs/sha256/aa": `{"layers": [{"digest": "sha256:l1"}, {"digest": "sha256:absent"}, {"digest": "sha256:l2"}]}`,
		"blobs/sha256/l1": layer(t, "entrypoint", 0o755, "program"),
		"blobs/sha256/l2": layer(t, "/.cdb/catalog.db", 0o644, "catalog"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := unpackEnds(layout, to); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(to, "entrypoint"))
	if err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("entrypoint: %v, %v", info, err)
	}
	if text, err := os.ReadFile(filepath.Join(to, ".cdb/catalog.db")); string(text) != "catalog" {
		t.Errorf("catalog: %q, %v", text, err)
	}
	if err := unpackEnds(t.TempDir(), to); err == nil {
		t.Error("a folder that is no layout is no error")
	}
}

func layer(t *testing.T, name string, mode int64, text string) string {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(text)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = io.WriteString(w, text)
	}
	if err := errors.Join(err, w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func TestAims(t *testing.T) {
	timed := func(name string, s float64) row {
		return row{tool: &tool{name: name}, runs: []usage{{Wall: time.Duration(s * float64(time.Second))}}}
	}
	failed := row{tool: &tool{name: "docker build (BuildKit)"}, err: errors.New("no buildx")}
	r := &report{corpora: []corpusResult{{
		corpus: corpus{part: "go", name: "tree", about: "a tree"},
		rows:   []row{timed(reference, 2), timed("docker build", 11), timed(pigz, 1.5), failed},
	}}}
	r.noteMemory(corpus{part: "big", bytes: 8}, usage{Peak: 100 << 20})
	r.noteMemory(corpus{part: "big", bytes: 64}, usage{Peak: 120 << 20})
	r.noteMemory(corpus{files: 1_000_000}, usage{Peak: 600 << 20})
	answers := make([]answer, len(questions()))
	for i := range answers {
		answers[i].runs = []usage{{Wall: 20 * time.Millisecond}}
	}
	answers[len(answers)-1].runs[0].Wall = time.Minute // it touches all rows
	r.queries = []queryResult{{container: &container{corpus: corpus{files: 1_000_000}}, entrypoint: answers, host: answers}}
	got := r.aims()
	for _, want := range []string{
		"`docker build` on the Go tree | met | 11.0 s against 2.00 s: 5.50× |",
		"The same, beside BuildKit | not measured |  |",
		"`tar \\| pigz -1` on the Go tree | **not met** | 1.50 s against 2.00 s: 0.75× |",
		"less than 512 MiB | **not met** | 600 MiB",
		"entrypoint | met | the slowest is",
		"8 times the size) | met | 100 MiB for 8 bytes, 120 MiB for 64 bytes |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if table := r.corpora[0].table(); !strings.Contains(table, "failed: no buildx") || strings.Contains(table, "| docker build (BuildKit)") {
		t.Errorf("a tool that failed:\n%s", table)
	}
}
