package cdb

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/template"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/generate"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
	"github.com/data-containers/cdb/internal/worker"
)

// GenerateOptions say what [Generate] writes, and where. Either Output or
// Writer is set.
type GenerateOptions struct {
	// Output is the Go file to write. It is never among the files described.
	Output string
	// Writer takes the source instead of a file.
	Writer io.Writer
	// Force replaces files that are there already.
	Force bool
	// Function is what describes a regular file: "basic" (the default, size
	// and sha256) or a function of Python as FILE.py:NAME, which is given the
	// path of the file.
	Function string
	Python   string        // the interpreter; default "python3" in PATH
	Timeout  time.Duration // for one call of a function of Python; 0 is no limit
	Stderr   io.Writer     // takes what functions of Python print
	// Template is the file of a template that changes the bundled one, or
	// replaces it.
	Template string
	// Prefix is where the files will lie when the program is asked: their
	// paths begin with it. By default they begin with src as it is given,
	// and with the absolute path of the current folder if that is ".".
	Prefix  string
	Exclude []string // gitignore patterns
	Strict  bool     // fail instead of skipping what cannot be read
	// Dockerfile is a file to write, too, if not "": it compiles Output and
	// makes an image of the program and the data. Prefix is then "/data" by
	// default. Output and src must lie in its folder.
	Dockerfile string
	TempDir    string // for temporary files; "" is the system's
	Workers    int    // files described at the same time; default GOMAXPROCS

	Progress *Progress // counts, if not nil
}

// A GenerateResult says what was written.
type GenerateResult struct {
	Files, Links int64 // described
	Bytes        int64 // in the files
	Metrics      []string
	Size         int64 // of the source, in bytes
	Skipped      []scan.Skip
}

// Generate writes the source of a program that answers questions about the
// files of src, a folder or a single file: one file that "go build" compiles
// with the standard library alone, and that answers as the entrypoint of an
// image does. The same files give the same source. What cannot be read or
// described is left out and named in the result, unless opts.Strict. Memory
// grows with the number of files. If there is an error nothing is written.
func Generate(ctx context.Context, src string, opts GenerateOptions) (*GenerateResult, error) {
	g := &generation{opts: opts, src: src}
	result, err := g.run(ctx)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return result, err
}

// GenerateTemplate is the bundled template of [Generate].
func GenerateTemplate() string { return generate.Template }

// A generation is one run of Generate.
type generation struct {
	opts       GenerateOptions
	src        string
	template   *template.Template
	dockerfile string // its text
	single     bool   // src is a file
	pool       *worker.Pool
	files      []generate.File
	disk       []string // for each of files, its path on disk
	result     GenerateResult
}

func (g *generation) run(ctx context.Context) (*GenerateResult, error) {
	if err := g.prepare(); err != nil {
		return nil, err
	}
	if g.opts.Function != "basic" {
		pool, err := worker.Python(ctx, g.opts.Function, worker.Options{
			Workers: g.opts.Workers, Timeout: g.opts.Timeout, Python: g.opts.Python, Stderr: g.opts.Stderr,
		})
		if err != nil {
			return nil, err
		}
		defer pool.Close()
		g.pool = pool
	}
	if err := g.describe(ctx); err != nil {
		return nil, err
	}
	g.opts.Progress.setPhase("write")
	return &g.result, g.write()
}

// prepare checks and completes the options before anything is read.
func (g *generation) prepare() error {
	o := &g.opts
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Function == "" {
		o.Function = "basic"
	}
	if (o.Output == "") == (o.Writer == nil) {
		return errors.New("generate: give one output, a file or a writer")
	}
	fi, err := os.Stat(g.src)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return fmt.Errorf("generate from %q: %w", g.src, err)
	}
	g.single = !fi.IsDir()
	for _, out := range g.outputs() {
		if _, err := os.Lstat(out); err == nil && !o.Force {
			return fmt.Errorf("write %q: it exists, use --force to overwrite", out)
		}
	}
	if o.Dockerfile != "" {
		if o.Prefix == "" {
			o.Prefix = "/data"
		}
		if g.dockerfile, err = g.writeDockerfile(); err != nil {
			return err
		}
	}
	if g.src == "." {
		if g.src, err = os.Getwd(); err != nil {
			return fmt.Errorf("generate: %w", err)
		}
	}
	return g.parseTemplate()
}

// outputs are the files to write.
func (g *generation) outputs() []string {
	return slices.DeleteFunc([]string{g.opts.Output, g.opts.Dockerfile}, func(out string) bool { return out == "" })
}

func (g *generation) parseTemplate() error {
	text := []byte(nil)
	var err error
	if g.opts.Template != "" {
		if text, err = os.ReadFile(g.opts.Template); err != nil {
			return fmt.Errorf("read template: %w", err)
		}
	}
	g.template, err = generate.Parse(g.opts.Template, string(text))
	return err
}

// writeDockerfile returns the text of the Dockerfile.
func (g *generation) writeDockerfile() (string, error) {
	dockerfile := g.opts.Dockerfile
	if g.opts.Output == "" {
		return "", fmt.Errorf("write %q: a Dockerfile needs the program in a file", dockerfile)
	}
	if !path.IsAbs(g.opts.Prefix) || path.Clean(g.opts.Prefix) != g.opts.Prefix || g.opts.Prefix == "/" {
		return "", fmt.Errorf("write %q: prefix %q: must be an absolute path such as /data", dockerfile, g.opts.Prefix)
	}
	var abs [3]string
	for i, p := range []string{dockerfile, g.opts.Output, g.src} {
		var err error
		if abs[i], err = filepath.Abs(p); err != nil {
			return "", err
		}
	}
	var rel [3]string
	for i := 1; i < 3; i++ {
		r, err := filepath.Rel(filepath.Dir(abs[0]), abs[i])
		if err != nil || r == "." || r == ".." || strings.HasPrefix(r, "../") {
			return "", fmt.Errorf("write %q: %q does not lie in its folder, where an image is built from", dockerfile, abs[i])
		}
		rel[i] = r
	}
	for _, out := range abs[:2] {
		if tree.Within(out, abs[2]) {
			return "", fmt.Errorf("write %q: it lies in the data and would become part of the image; choose another place", out)
		}
	}
	return generate.Dockerfile(generate.Image{
		Generator: generator(), Source: rel[1], Data: rel[2], IsFile: g.single, Prefix: g.opts.Prefix, Title: filepath.Base(abs[2]),
	})
}

func generator() string { return "cdb " + Version }

// describe makes the rows.
func (g *generation) describe(ctx context.Context) error {
	g.opts.Progress.setPhase("scan")
	outputs := g.outputs()
	for i, out := range outputs {
		var err error
		if outputs[i], err = filepath.Abs(out); err != nil {
			return fmt.Errorf("generate: %w", err)
		}
	}
	listing, err := scan.Open(ctx, g.src, scan.Options{Exclude: g.opts.Exclude, Outputs: outputs, TempDir: g.opts.TempDir})
	if err != nil {
		return err
	}
	defer listing.Close()
	for _, s := range listing.Skipped() {
		if err := g.skip(s.Path, s.Err); err != nil {
			return err
		}
	}
	totals := listing.Totals()
	g.opts.Progress.setTotal(totals.Files, totals.Bytes)
	g.opts.Progress.setPhase("read")
	if g.pool == nil || g.opts.Template != "" {
		err = digestAll(ctx, listing, g.opts.Workers, g.opts.Progress, g.add)
	} else {
		err = g.addUnread(listing)
	}
	if err == nil && g.pool != nil {
		err = g.call(ctx)
	}
	return err
}

// addUnread makes the rows without reading the files.
func (g *generation) addUnread(listing *scan.Listing) error {
	for e, err := range listing.Entries() {
		if err != nil {
			return err
		}
		if err := g.add(*e, [sha256.Size]byte{}, nil); err != nil {
			return err
		}
	}
	return nil
}

func (g *generation) skip(path string, err error) error {
	if g.opts.Strict {
		return fmt.Errorf("generate %q: %w", path, err)
	}
	g.result.Skipped = append(g.result.Skipped, scan.Skip{Path: path, Err: err})
	return nil
}

// add makes the row of an entry, as the function "basic" describes it.
func (g *generation) add(e tree.Entry, sum [sha256.Size]byte, bad error) error {
	if bad != nil {
		return g.skip(e.Path, bad)
	}
	if e.Type == tree.Dir {
		return nil
	}
	entry := catalog.Entry{Entry: e, SHA256: sum}
	f := generate.File{
		Path: g.path(e.Path), Type: e.Type.String(), Size: e.Size,
		Metadata: string(entry.AppendJSON(nil)), Object: true,
	}
	if e.Type == tree.File && sum != [sha256.Size]byte{} {
		f.SHA256 = hex.EncodeToString(sum[:])
	}
	g.files = append(g.files, f)
	g.disk = append(g.disk, g.join(g.src, e.Path))
	return nil
}

// path returns the path that the program is to print.
func (g *generation) path(rel string) string {
	if g.opts.Prefix == "" {
		return g.join(g.src, rel)
	}
	if strings.HasSuffix(g.opts.Prefix, "/") {
		return g.opts.Prefix + rel
	}
	return g.opts.Prefix + "/" + rel
}

// join joins src, as it was typed, and the path of an entry in it.
func (g *generation) join(src, rel string) string {
	switch {
	case g.single:
		return src
	case strings.HasSuffix(src, "/"):
		return src + rel
	}
	return src + "/" + rel
}

// call lets the function describe all files, several at a time.
func (g *generation) call(ctx context.Context) error {
	bad := make([]error, len(g.files))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(g.opts.Workers)
	for i := range g.files {
		f := &g.files[i]
		if f.Type != tree.File.String() || groupCtx.Err() != nil {
			continue
		}
		group.Go(func() error {
			v, err := g.pool.Call(groupCtx, g.disk[i])
			var fileErr *worker.Error
			if errors.As(err, &fileErr) && !g.opts.Strict {
				bad[i] = fileErr.Err
				return nil
			}
			f.Metadata, f.Object = v.Text, v.Kind == worker.Dict
			if g.opts.Template == "" { // else they were counted when they were read
				g.opts.Progress.addFile()
				g.opts.Progress.addBytes(f.Size)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return g.dropBad(bad)
}

// dropBad leaves out the files that the function had no value for.
func (g *generation) dropBad(bad []error) error {
	kept, described := g.files[:0], false
	for i, f := range g.files {
		if bad[i] == nil {
			kept = append(kept, f)
			described = described || f.Type == tree.File.String()
			continue
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(g.disk[i], g.src), "/")
		g.result.Skipped = append(g.result.Skipped, scan.Skip{Path: rel, Err: bad[i]})
	}
	if n := len(g.files) - len(kept); n > 0 && !described {
		for _, err := range bad {
			if err != nil {
				return fmt.Errorf("function %q: it failed for each file, and for the first with: %w", g.opts.Function, err)
			}
		}
	}
	g.files = kept
	return nil
}

// write runs the template into the output.
func (g *generation) write() error {
	always := []string{"size", "sha256"}
	if g.pool != nil {
		always = nil
	}
	d := &generate.Dataset{Generator: generator(), Files: g.files, Metrics: generate.Metrics(g.files, always...)}
	for _, m := range d.Metrics {
		g.result.Metrics = append(g.result.Metrics, m.Name)
	}
	for i := range g.files {
		if g.files[i].Type == tree.File.String() {
			g.result.Files++
			g.result.Bytes += g.files[i].Size
		} else {
			g.result.Links++
		}
	}
	source := func(w io.Writer) error {
		counted := &countingWriter{w: w}
		err := generate.Print(counted, g.template, d)
		g.result.Size = counted.n
		return err
	}
	if g.opts.Writer != nil {
		return source(g.opts.Writer)
	}
	if err := replaceFile(g.opts.Output, g.opts.Force, source); err != nil {
		return err
	}
	if g.opts.Dockerfile == "" {
		return nil
	}
	return replaceFile(g.opts.Dockerfile, g.opts.Force, func(w io.Writer) error {
		_, err := io.WriteString(w, g.dockerfile)
		return err
	})
}

// A countingWriter counts the bytes that pass.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// replaceFile writes a file that is never seen half-written. Unless force is
// set, one that is there already is an error.
func replaceFile(name string, force bool, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".cdb-generate-*")
	if err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriterSize(f, 256<<10)
	if err := write(w); err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	if err := errors.Join(w.Flush(), f.Chmod(0o644), f.Sync()); err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	if !force {
		if err := os.Link(f.Name(), name); errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("write %q: it exists, use --force to overwrite", name)
		} else if err == nil {
			return os.Remove(f.Name())
		}
		// A file system without hard links: others are not looked out for.
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	return nil
}
