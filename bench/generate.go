package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A generated is a folder whose entrypoint was generated and compiled.
type generated struct {
	corpus
	source, binary int64 // bytes
	steps          []generatedStep
}

// A generatedStep is one thing that was measured.
type generatedStep struct {
	name string
	runs []usage
}

// measureGenerate measures cdb generate, the compiler, and the program that
// comes out of them.
func (b *bench) measureGenerate(ctx context.Context) error {
	goCommand, err := exec.LookPath("go")
	if err != nil {
		b.report.missing = append(b.report.missing, "cdb generate: the go command is not there")
		return nil
	}
	for _, n := range []int64{2, 10_000, 100_000} {
		g := &generated{corpus: b.tinyFiles(n)}
		if err := b.ensure(ctx, &g.corpus); err != nil {
			return err
		}
		if err := b.generateOnce(ctx, goCommand, g); err != nil {
			return fmt.Errorf("generate from %s: %w", g.name, err)
		}
		b.report.generated = append(b.report.generated, g)
	}
	fmt.Fprint(b.out, b.report.generateTable())
	return nil
}

// generateOnce measures all steps of one folder.
func (b *bench) generateOnce(ctx context.Context, goCommand string, g *generated) error {
	dir, err := os.MkdirTemp(b.work, "generate-")
	if err != nil {
		return err
	}
	source, program := filepath.Join(dir, "entrypoint.go"), filepath.Join(dir, "entrypoint")
	last := "" // path of a file
	err = eachFile(ctx, g.path, func(_ int64, name string) error {
		last, err = filepath.Rel(g.path, name)
		return err
	})
	if err != nil {
		return err
	}
	steps := []struct {
		name string
		runs int
		cmd  func() *exec.Cmd
	}{
		{"`cdb generate`", b.runs, func() *exec.Cmd {
			return b.cdbCommand(ctx, "generate", "-q", g.path, "--out", source, "--force", "--prefix", "/data")
		}},
		{"`go build`", b.runs, func() *exec.Cmd {
			cmd := command(ctx, goCommand, "build", "-ldflags", "-s -w", "-o", program, source)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
			return cmd
		}},
		{"`-h` (the process alone)", b.queryRuns, func() *exec.Cmd { return command(ctx, program, "-h") }},
		{"`-get PATH` (exact)", b.queryRuns, func() *exec.Cmd { return command(ctx, program, "-get", "/data/"+last) }},
		{"`-get TEXT` (in any path)", b.queryRuns, func() *exec.Cmd { return command(ctx, program, "-get", "no such path") }},
		{"`-ls`", b.queryRuns, func() *exec.Cmd { return command(ctx, program, "-ls") }},
		{"`-metric size`", b.queryRuns, func() *exec.Cmd { return command(ctx, program, "-metric", "size") }},
		{"`-metric size -search 1`", b.queryRuns, func() *exec.Cmd { return command(ctx, program, "-metric", "size", "-search", "1") }},
	}
	for _, s := range steps {
		g.steps = append(g.steps, generatedStep{name: s.name})
		step := &g.steps[len(g.steps)-1]
		for round := range s.runs + 1 {
			if s.name == "`go build`" {
				// The cache of the compiler must not know it.
				if err := appendComment(source, round); err != nil {
					return err
				}
			}
			u, err := measure(s.cmd())
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if round > 0 { // the first one warms up
				step.runs = append(step.runs, u)
			}
		}
		say("%s, %s: %s", g.name, s.name, median(step.runs))
	}
	for path, size := range map[string]*int64{source: &g.source, program: &g.binary} {
		fi, err := os.Stat(path)
		if err != nil {
			return err
		}
		*size = fi.Size()
	}
	return nil
}

// appendComment makes a source another one.
func appendComment(source string, n int) error {
	f, err := os.OpenFile(source, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "\n// %d\n", n)
	return errors.Join(err, f.Close())
}

// generateTable is one row for each step and two for what it makes.
func (r *report) generateTable() string {
	if len(r.generated) == 0 {
		return ""
	}
	var w strings.Builder
	w.WriteString("\n## cdb generate\n\nFrom the start of the process to its end: wall / CPU, and peak memory.\n\n| |")
	for _, g := range r.generated {
		fmt.Fprintf(&w, " %s |", g.name)
	}
	w.WriteString("\n| --- |" + strings.Repeat(" ---: |", len(r.generated)) + "\n")
	for i, s := range r.generated[0].steps {
		fmt.Fprintf(&w, "| %s |", s.name)
		for _, g := range r.generated {
			u := median(g.steps[i].runs)
			fmt.Fprintf(&w, " %s / %s, %s |", seconds(u.Wall), seconds(u.CPU), u.peak())
		}
		w.WriteString("\n")
	}
	for _, size := range []struct {
		name string
		of   func(*generated) int64
	}{{"source", func(g *generated) int64 { return g.source }}, {"program", func(g *generated) int64 { return g.binary }}} {
		fmt.Fprintf(&w, "| %s |", size.name)
		for _, g := range r.generated {
			fmt.Fprintf(&w, " %s |", binary(size.of(g)))
		}
		w.WriteString("\n")
	}
	return w.String()
}
