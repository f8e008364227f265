package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	cdb "github.com/data-containers/cdb"
	"github.com/data-containers/cdb/internal/ui"
)

// A generateRun is one run of the command generate.
type generateRun struct {
	*app
	opts          cdb.GenerateOptions
	printTemplate bool
	json          bool
}

func (a *app) generateCommand() *cobra.Command {
	g := &generateRun{app: a}
	cmd := &cobra.Command{
		Use:   "generate [DATA] [--out FILE.go] [FLAGS]",
		Short: "Write the source of an entrypoint with the metadata in it",
		Long: `Write one Go file that "go build" turns into a program, without a network and
without any other module. It answers questions about the files of the folder or
the single file DATA (default .) as the entrypoint of an image does, with the
flags -ls, -get, -metric, -search and -start; the metadata is in the program.
The path of the file is printed.

The paths that the program knows begin as DATA was typed, or with --prefix.
Symbolic links are described by their target and not followed. The same files
give the same source. What cannot be read, and sockets, devices and pipes, is
named and left out, and the exit code is 3.

The function "basic" describes a file by its size and sha256. FILE.py:NAME is a
function of Python that takes the path of a file and returns a dict, whose keys
become metrics, or a str, a list or None. It runs in processes that live as
long as cdb does; what it prints goes to stderr, and a file for which it fails
is named and left out.

A template (of Go's text/template) changes parts of the program, or replaces all
of it; --print-template prints the one that comes with cdb.

With --dockerfile, a Dockerfile is written that compiles the program and makes
an image of it and the data.`,
		Example: `  cdb generate data --out entrypoint.go && go build entrypoint.go && ./entrypoint -ls
  cdb generate data --out entrypoint.go --prefix /data --force
  cdb generate data --out entrypoint.go --function meta.py:describe
  cdb generate data --out entrypoint.go --dockerfile && docker build -t data .
  cdb generate --print-template > entrypoint.tmpl`,
		Args:              arguments(0, 1, "one DATA, a folder or a file"),
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
		RunE: func(cmd *cobra.Command, args []string) error {
			if g.printTemplate {
				_, err := io.WriteString(g.stdout, cdb.GenerateTemplate())
				return err
			}
			src := "."
			if len(args) > 0 {
				src = args[0]
			}
			return g.run(cmd.Context(), src)
		},
	}
	g.flags(cmd.Flags())
	return cmd
}

func (g *generateRun) flags(f *pflag.FlagSet) {
	o := &g.opts
	f.StringVarP(&o.Output, "out", "o", "db.go", "the Go `FILE` to write; - is stdout")
	f.StringVar(&o.Function, "function", "basic", "describe files by `FILE.py:NAME`, a function of Python, instead of size and sha256")
	f.StringVar(&o.Python, "python", "python3", "the Python `interpreter`")
	f.DurationVar(&o.Timeout, "timeout", 10*time.Minute, "time that the function may take for one file; 0 is no limit")
	f.StringVarP(&o.Template, "template", "t", "", "change the program by the template in `FILE`")
	f.BoolVar(&g.printTemplate, "print-template", false, "print the template that comes with cdb, and do nothing else")
	f.StringVar(&o.Prefix, "prefix", "", "`folder` that the files will lie in, such as /data (default DATA)")
	f.StringArrayVar(&o.Exclude, "exclude", nil, "leave out what the `pattern` matches (gitignore syntax); may be repeated")
	f.BoolVar(&o.Strict, "strict", false, "fail instead of leaving out what cannot be read or described")
	f.BoolVar(&o.Force, "force", false, "overwrite files that are there already")
	f.StringVar(&o.Dockerfile, "dockerfile", "", "write a Dockerfile too (a name other than \"Dockerfile\" is given as --dockerfile=`FILE`)")
	f.Lookup("dockerfile").NoOptDefVal = "Dockerfile"
	f.BoolVar(&g.json, "json", false, "print a JSON object instead of the path")
	// What the flag was called in 2020.
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "func" {
			name = "function"
		}
		return pflag.NormalizedName(name)
	})
}

func (g *generateRun) run(ctx context.Context, src string) error {
	out := g.opts.Output
	if out == "-" {
		if g.json || g.opts.Dockerfile != "" {
			return usageError("generate: --json and --dockerfile need the program in a file, and --out - prints it")
		}
		g.opts.Output, g.opts.Writer = "", g.stdout
	}
	var progress cdb.Progress
	g.opts.Progress, g.opts.Stderr, g.opts.TempDir = &progress, g.stderr, os.TempDir()
	begin := time.Now()
	stop := g.talk.Progress(func() ui.Sample { return ui.Sample(progress.Sample()) })
	result, err := cdb.Generate(ctx, src, g.opts)
	stop()
	if err != nil {
		return err
	}
	g.report(src, result, time.Since(begin).Seconds())
	switch {
	case g.json:
		err = ui.NewJSON(g.stdout).Print(newGenerateJSON(out, g.opts.Dockerfile, result))
	case out != "-":
		_, err = fmt.Fprintln(g.stdout, out)
	}
	if err == nil && len(result.Skipped) > 0 {
		err = exitCode(ui.ExitIncomplete)
	}
	return err
}

// report says what was written, and what is not in it.
func (g *generateRun) report(src string, r *cdb.GenerateResult, seconds float64) {
	g.talk.Note("described %s (%s) and %s in %s, %s of Go", ui.Plural(r.Files, "file"), ui.Bytes(r.Bytes),
		ui.Plural(r.Links, "link"), ui.Seconds(seconds), ui.Bytes(r.Size))
	for _, s := range r.Skipped {
		g.talk.Warn("skipped %s: %v", filepath.Join(src, s.Path), s.Err)
	}
	if n := len(r.Skipped); n > 0 {
		g.talk.Warn("%s left out; --strict makes that an error", ui.Plural(int64(n), "input"))
	}
}

// A generateJSON is what --json prints.
type generateJSON struct {
	Out        string     `json:"out"`
	Dockerfile string     `json:"dockerfile,omitempty"`
	Files      int64      `json:"files"`
	Links      int64      `json:"links"`
	Bytes      int64      `json:"bytes"`
	Metrics    []string   `json:"metrics"`
	Size       int64      `json:"size"` // of the source
	Skipped    []skipJSON `json:"skipped"`
}

func newGenerateJSON(out, dockerfile string, r *cdb.GenerateResult) generateJSON {
	j := generateJSON{
		Out: out, Dockerfile: dockerfile, Files: r.Files, Links: r.Links, Bytes: r.Bytes,
		Metrics: append([]string{}, r.Metrics...), Size: r.Size, Skipped: []skipJSON{},
	}
	for _, s := range r.Skipped {
		j.Skipped = append(j.Skipped, newSkipJSON(s))
	}
	return j
}
