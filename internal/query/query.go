// Package query is the command line of a data container: flags in, rows out.
// The entrypoint of every image and the query command of cdb are this
// package. What the first cdb printed it prints to the byte; everything else
// is added beside it.
package query

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"syscall"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// Exit codes of Run.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// Files are the bytes of a dataset. Paths are relative to the root of the
// data and may hold any byte.
type Files interface {
	// Open opens a file for reading, and the root if path is "". The caller
	// closes it.
	Open(path string) (fs.File, error)
	// Walk yields what is there, in the order of the tree, the root first.
	// What cannot be read comes with an error and a path, and the walk goes
	// on; an error without an entry ends it. An entry that is no file,
	// folder or link has Type 0.
	Walk(ctx context.Context) iter.Seq2[*tree.Entry, error]
}

// Env is what a command line runs in.
type Env struct {
	DB     *catalog.DB
	Files  Files // nil where the bytes of the data are not at hand
	Stdout io.Writer
	Stderr io.Writer
	// StdoutTTY says that people read stdout on a terminal: what could
	// steer it is then printed visibly.
	StdoutTTY bool
	Name      string // of the program, in messages; default "entrypoint"
	Version   string // of the program
	// BaseURL is put before the paths of files in descriptions for the web.
	BaseURL string
	// Serve is what -start runs until its context ends; nil just waits.
	Serve func(ctx context.Context) error
}

// A run is one command line at work.
type run struct {
	Env
	options
	out *bufio.Writer
}

// Run runs a command line, without the name of the program, and returns the
// exit code: 0 also if nothing matches, 1 for an error, 2 for one of usage,
// 130 if ctx ended it.
func Run(ctx context.Context, env Env, args []string) int {
	if env.Name == "" {
		env.Name = "entrypoint"
	}
	r := &run{Env: env, out: bufio.NewWriterSize(env.Stdout, 64<<10)}
	if err := r.parse(args); err != nil {
		return r.usageError(err)
	}
	err := r.do(ctx)
	// Rows found before an error are still an answer.
	if ferr := r.out.Flush(); err == nil {
		err = ferr
	}
	return r.code(ctx, err)
}

// NeedsCatalog says if Run will look at Env.DB for these arguments. It does
// not for help, the version and wrong flags.
func NeedsCatalog(args []string) bool {
	r := &run{Env: Env{Stderr: io.Discard}}
	return r.parse(args) == nil && !r.version
}

// errFound ends a command that has printed what is wrong.
var errFound = errors.New("something is wrong")

// A usageError is about flags that do not go together.
type usageError string

func (e usageError) Error() string { return string(e) }

func (r *run) usageError(err error) int {
	var u usageError
	switch {
	case errors.Is(err, flag.ErrHelp):
		r.usage()
		return exitOK
	case errors.As(err, &u):
		fmt.Fprintf(r.Stderr, "%s: %s\n", r.Name, tree.Visible(err.Error()))
	} // other errors package flag has printed
	fmt.Fprintf(r.Stderr, "Usage: %s [FLAGS] (-h explains them)\n", r.Name)
	return exitUsage
}

// code reports err and returns the exit code for it.
func (r *run) code(ctx context.Context, err error) int {
	var u usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &u):
		return r.usageError(err)
	case errors.Is(err, errFound), errors.Is(err, syscall.EPIPE):
		return exitError // the reader has gone, there is nobody to tell
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return exitInterrupted
	}
	hint := ""
	switch {
	case errors.Is(err, catalog.ErrTimeLimit):
		hint = " (-timeout raises it)"
	case errors.Is(err, catalog.ErrRowLimit):
		hint = " (-max-rows raises it)"
	}
	fmt.Fprintf(r.Stderr, "%s: %s%s\n", r.Name, tree.Visible(err.Error()), hint)
	return exitError
}

// do checks the names of metrics, as the first cdb did before anything else,
// and does what the flags say.
func (r *run) do(ctx context.Context) error {
	if r.version {
		_, err := fmt.Fprintf(r.out, "%s %s\n", r.Name, r.Version)
		return err
	}
	if r.named != "" {
		if err := r.useNamed(); err != nil {
			return err
		}
	}
	for _, m := range []string{r.metric, r.order} {
		if m == "" {
			continue
		}
		ok, err := r.DB.HasMetric(ctx, m)
		if err != nil {
			return err
		}
		if !ok {
			fmt.Fprintf(r.Stderr, "%s is not a valid metric\n", tree.Visible(m))
			return errFound
		}
	}
	switch {
	case r.start:
		return r.wait(ctx)
	case r.health:
		return r.checkHealth(ctx)
	case r.info:
		return r.printInfo(ctx)
	case r.sql != "":
		return r.runSQL(ctx)
	case r.cat != "":
		return r.printFile(ctx)
	case r.export != "":
		return r.exportFiles(ctx)
	case r.verify:
		return r.verifyFiles(ctx)
	}
	return r.list(ctx)
}

// wait is -start: it stays until the context ends, at no cost.
func (r *run) wait(ctx context.Context) error {
	if _, err := r.out.WriteString("Starting data-container\n"); err != nil {
		return err
	}
	if err := r.out.Flush(); err != nil {
		return err
	}
	if r.Serve != nil {
		if err := r.Serve(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// checkHealth is -health: it reads a row, and looks for the data.
func (r *run) checkHealth(ctx context.Context) error {
	root, err := r.DB.Lookup(ctx, "")
	if err != nil {
		return err
	}
	if root == nil {
		return errors.New("unhealthy: the catalog has no rows")
	}
	if r.Files == nil {
		return errors.New("unhealthy: there is no data beside the catalog")
	}
	f, err := r.Files.Open("")
	if err != nil {
		return fmt.Errorf("unhealthy: the data cannot be opened: %w", err)
	}
	f.Close()
	_, err = r.out.WriteString("healthy\n")
	return err
}
