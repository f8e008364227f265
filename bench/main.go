// Bench measures cdb beside other tools that pack folders, and how soon a data
// container answers. It prints tables of ratios and fails for no measurement:
// machines differ, and so do their hours.
//
//	bench [--quick] [--million DIR] [--ten-million DIR] [--write docs/benchmarks.md]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// options are the flags.
type options struct {
	cdb, dir, million, tenMillion, write string
	data                                 string
	only                                 string
	runs, queryRuns                      int
	quick, tiny                          bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	interrupted := ctx.Err() != nil
	stop()
	if interrupted {
		os.Exit(130)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	o, err := parseFlags()
	if err != nil {
		return err
	}
	b := &bench{options: o, out: os.Stdout}
	defer b.close()
	if err := b.prepare(ctx); err != nil {
		return err
	}
	if err := b.measureAll(ctx); err != nil {
		return err
	}
	if o.write == "" {
		return nil
	}
	return writeWhole(o.write, b.report.document())
}

func parseFlags() (options, error) {
	var o options
	flag.StringVar(&o.cdb, "cdb", "bin/cdb", "the cdb `program` to measure")
	flag.StringVar(&o.dir, "dir", filepath.Join(os.TempDir(), "cdb-bench"), "`folder` of the corpora, kept for the next time")
	flag.StringVar(&o.million, "million", "", "an existing `folder` to use as that of 1,000,000 tiny files")
	flag.StringVar(&o.tenMillion, "ten-million", "", "measure 10,000,000 files in this `folder`, too; if absent they are made")
	flag.StringVar(&o.data, "data", filepath.Join("..", "shared", "data"), "`folder` of real data sets, for what extraction costs")
	flag.StringVar(&o.write, "write", "", "write the report to this `file` too")
	flag.StringVar(&o.only, "only", "", "measure only these, by commas: "+strings.Join(parts(), ", "))
	flag.IntVar(&o.runs, "runs", 3, "measured builds of each tool, after one that is not")
	flag.IntVar(&o.queryRuns, "query-runs", 11, "measured runs of each query, after one that is not")
	flag.BoolVar(&o.quick, "quick", false, "leave out the file of 2 GiB and the 1,000,000 files, make fewer versions, and move less over networks")
	flag.BoolVar(&o.tiny, "tiny", false, "a hundredth of all sizes: tries out this program, measures nothing")
	flag.Parse()
	if runtime.GOOS != "linux" {
		return o, errors.New("measures processes through /proc, so it runs on Linux only")
	}
	if flag.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if o.runs < 1 || o.queryRuns < 1 {
		return o, errors.New("--runs and --query-runs must be at least 1")
	}
	for part := range strings.SplitSeq(o.only, ",") {
		if !slices.Contains(parts(), part) && o.only != "" {
			return o, fmt.Errorf("--only %q is none of %s", part, strings.Join(parts(), ", "))
		}
	}
	if o.wanted("ten") && o.only != "" && o.tenMillion == "" {
		return o, errors.New("--only ten needs --ten-million DIR, the folder of the files")
	}
	// Tools are run in other folders.
	var err error
	if o.cdb, err = exec.LookPath(o.cdb); err != nil {
		return o, fmt.Errorf("find cdb: %w; \"make build\" makes it", err)
	}
	for _, path := range []*string{&o.cdb, &o.dir, &o.million, &o.tenMillion, &o.write, &o.data} {
		if *path != "" {
			if *path, err = filepath.Abs(*path); err != nil {
				return o, err
			}
		}
	}
	return o, nil
}

// parts are what --only can name.
func parts() []string {
	return []string{"go", "small", "big", "query", "versions", "generate", "extract", "registry", "ten"}
}

// wanted says whether a part is to be measured.
func (o *options) wanted(part string) bool {
	return o.only == "" || strings.Contains(","+o.only+",", ","+part+",")
}

// scaled is n, or a hundredth for a trial.
func (o *options) scaled(n int64) int64 {
	if o.tiny {
		return max(n/100, 2)
	}
	return n
}

// writeWhole writes a file that is never seen half-written.
func writeWhole(name, text string) error {
	part := name + ".part"
	if err := os.WriteFile(part, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := os.Rename(part, name); err != nil {
		os.Remove(part)
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
