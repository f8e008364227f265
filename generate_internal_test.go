package cdb

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/scan"
)

// fruitTree is the data of the documentation of 2020.
func fruitTree(t *testing.T) string {
	return writeTree(t, map[string][]byte{"avocado.txt": []byte("avocado!\n"), "tomato.txt": []byte("tomato!\n")})
}

// generateSource generates from dir and returns the source.
func generateSource(t *testing.T, dir string, opts GenerateOptions) (string, *GenerateResult) {
	t.Helper()
	var b bytes.Buffer
	opts.Writer, opts.TempDir = &b, t.TempDir()
	result, err := Generate(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	if result.Size != int64(b.Len()) {
		t.Errorf("the source has %d bytes, and the result says %d", b.Len(), result.Size)
	}
	return b.String(), result
}

// goBuild runs the go command as users do who have nothing else.
func goBuild(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// ask compiles a source and returns what the program prints.
func ask(t *testing.T, source string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "entrypoint.go"), []byte(source), 0o666); err != nil {
		t.Fatal(err)
	}
	goBuild(t, dir, "build", "entrypoint.go")
	out, err := exec.Command(filepath.Join(dir, "entrypoint"), args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Large files, hard links and files of every size are read as a build reads
// them, and listed in one order.
func TestGenerateReads(t *testing.T) {
	dir := writeTree(t, map[string][]byte{"big": noise(5 << 20), "small": noise(10), "a/b": nil, "a.txt": noise(1), "edge": noise(batchBytes)})
	for link, target := range map[string]string{"hard": "small", "bighard": "big", "0": "edge"} {
		if err := os.Link(filepath.Join(dir, target), filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nowhere", filepath.Join(dir, "broken")); err != nil {
		t.Fatal(err)
	}
	tmpl := filepath.Join(t.TempDir(), "sums.tmpl")
	if err := os.WriteFile(tmpl, []byte("{{range .Files}}{{.SHA256}}  {{.Path}}\n{{end}}"), 0o666); err != nil {
		t.Fatal(err)
	}
	got, result := generateSource(t, dir, GenerateOptions{Template: tmpl, Prefix: "/data", Workers: 3})
	sums := exec.Command("sha256sum", "0", "a.txt", "a/b", "big", "bighard", "edge", "hard", "small")
	sums.Dir = dir
	want, err := sums.Output()
	if err != nil {
		t.Fatal(err)
	}
	wanted := strings.ReplaceAll(string(want), "  ", "  /data/")
	lines := strings.Split(strings.TrimSpace(wanted), "\n")
	lines = slices.Insert(lines, 5, "  /data/broken")
	if got != strings.Join(lines, "\n")+"\n" {
		t.Errorf("got\n%swant\n%s", got, strings.Join(lines, "\n"))
	}
	if want := int64(2*(5<<20) + 2*10 + 1 + 2*batchBytes); result.Files != 8 || result.Links != 1 || result.Bytes != want {
		t.Errorf("%+v, want 8 files of %d bytes and a link", result, want)
	}
}

// Who waits can stop waiting, and nothing is left behind.
func TestGenerateCancel(t *testing.T) {
	dir, out := fruitTree(t), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Generate(ctx, dir, GenerateOptions{Output: filepath.Join(out, "x.go")}); !errors.Is(err, context.Canceled) {
		t.Errorf("before it begins: %v", err)
	}
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed")
	}
	meta := filepath.Join(t.TempDir(), "meta.py")
	if err := os.WriteFile(meta, []byte("import sys, time\ndef f(name):\n    print('asked')\n    time.sleep(600)\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	asked := writerFunc(func(p []byte) (int, error) {
		cancel()
		return len(p), nil
	})
	if _, err := Generate(ctx, dir, GenerateOptions{Output: filepath.Join(out, "x.go"), Function: meta + ":f", Stderr: asked}); !errors.Is(err, context.Canceled) {
		t.Errorf("in a call: %v", err)
	}
	left, err := os.ReadDir(out)
	if err != nil || len(left) > 0 {
		t.Errorf("there is %v, %v", left, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A writer that fails, and a file that appears meanwhile, are errors.
func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "x")
	full := errors.New("full")
	if err := replaceFile(name, true, func(io.Writer) error { return full }); !errors.Is(err, full) {
		t.Errorf("%v, want %v", err, full)
	}
	write := func(w io.Writer) error {
		_, err := w.Write([]byte("new"))
		return err
	}
	if err := os.WriteFile(name, []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(name, false, write); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("over a file: %v", err)
	}
	if b, _ := os.ReadFile(name); string(b) != "old" {
		t.Errorf("it is %q now", b)
	}
	if err := replaceFile(name, true, write); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(name); string(b) != "new" {
		t.Errorf("it is %q still", b)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("there is %v", left)
	}
}

// The function of the documentation of 2020 gives its answers: those of basic
// in Python are those of basic here, to the byte.
func TestGenerateBasicInPython(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed")
	}
	dir := writeTree(t, map[string][]byte{"avocado.txt": []byte("avocado!\n"), "a\xffb\n`": nil, "big": noise(3 << 20)})
	meta := filepath.Join(t.TempDir(), "meta.py")
	text := "import hashlib, os\ndef basic(f):\n    return {'size': os.path.getsize(f), 'sha256': hashlib.sha256(open(f, 'rb').read()).hexdigest()}\n"
	if err := os.WriteFile(meta, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	want, _ := generateSource(t, dir, GenerateOptions{})
	got, result := generateSource(t, dir, GenerateOptions{Function: meta + ":basic", Workers: 2})
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if len(result.Skipped) > 0 || result.Files != 3 {
		t.Errorf("%+v", result)
	}
}

// example returns the first block of a language in the documentation.
func example(t *testing.T, language string) string {
	t.Helper()
	doc, err := os.ReadFile("docs/generate.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(doc)
	if found == nil {
		t.Fatalf("docs/generate.md has no example in %s", language)
	}
	return string(found[1])
}

// The examples of the documentation do what it says.
func TestGenerateExamples(t *testing.T) {
	dir, work := fruitTree(t), t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(work, name)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	source, _ := generateSource(t, dir, GenerateOptions{Template: write("count.tmpl", example(t, "go-template")), Prefix: "/data"})
	if got := ask(t, source, "-count"); got != "2 files, 17 bytes\n" {
		t.Errorf("the flag of the template prints %q", got)
	}
	if got := ask(t, source, "-ls"); got != "/data/avocado.txt\n/data/tomato.txt\n" {
		t.Errorf("and -ls prints %q", got)
	}
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed")
	}
	source, _ = generateSource(t, dir, GenerateOptions{Function: write("meta.py", example(t, "python")) + ":describe", Prefix: "/data"})
	want := "/data/avocado.txt {\"size\": 9, \"header\": \"avocado!\", \"kind\": \"txt\"}\n"
	if got := ask(t, source, "-get", "/data/avocado.txt"); got != want {
		t.Errorf("the function gives %q, want %q", got, want)
	}
	if got := ask(t, source, "-metric", "header", "-search", "to"); got != "/data/tomato.txt tomato!\n" {
		t.Errorf("its metric finds %q", got)
	}
}

// What the Dockerfile runs compiles what is generated.
func TestGenerateDockerfile(t *testing.T) {
	dir := t.TempDir()
	if err := os.Rename(fruitTree(t), filepath.Join(dir, "the fruit")); err != nil {
		t.Fatal(err)
	}
	opts := GenerateOptions{Output: filepath.Join(dir, "entrypoint.go"), Dockerfile: filepath.Join(dir, "Dockerfile"), TempDir: t.TempDir()}
	if _, err := Generate(t.Context(), filepath.Join(dir, "the fruit"), opts); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(opts.Dockerfile)
	if err != nil {
		t.Fatal(err)
	}
	run := regexp.MustCompile(`(?m)^RUN CGO_ENABLED=0 go (build .*) -o /entrypoint entrypoint.go$`).FindSubmatch(text)
	if run == nil {
		t.Fatalf("it runs nothing:\n%s", text)
	}
	args := strings.Fields(strings.ReplaceAll(string(run[1]), `"-s -w"`, "-s"))
	goBuild(t, dir, append(args, "-o", "program", "entrypoint.go")...)
	out, err := exec.Command(filepath.Join(dir, "program"), "-ls").Output()
	if err != nil || string(out) != "/data/avocado.txt\n/data/tomato.txt\n" {
		t.Errorf("the program prints %q, %v", out, err)
	}
	opts.Force, opts.Prefix = true, "data"
	if _, err := Generate(t.Context(), filepath.Join(dir, "the fruit"), opts); err == nil || !strings.Contains(err.Error(), "absolute path") {
		t.Errorf("a relative prefix: %v", err)
	}
}

// A file that is gone when it is to be read is named and left out.
func TestDigestAllNamesWhatIsGone(t *testing.T) {
	dir := writeTree(t, map[string][]byte{"a": noise(100), "gone": noise(3), "z": noise(200)})
	listing, err := scan.Open(t.Context(), dir, scan.Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer listing.Close()
	if err := os.Remove(filepath.Join(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	g := &generation{src: dir}
	if err := digestAll(t.Context(), listing, 2, nil, g.add); err != nil {
		t.Fatal(err)
	}
	if len(g.files) != 2 || len(g.result.Skipped) != 1 || g.result.Skipped[0].Path != "gone" || !strings.Contains(g.result.Skipped[0].Err.Error(), "vanished") {
		t.Errorf("%+v, skipped %+v", g.files, g.result.Skipped)
	}
	g = &generation{src: dir, opts: GenerateOptions{Strict: true}}
	if err := digestAll(t.Context(), listing, 2, nil, g.add); err == nil || !strings.Contains(err.Error(), `"gone"`) {
		t.Errorf("strictly: %v", err)
	}
}
