package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// A bench is one run of everything.
type bench struct {
	options
	out     io.Writer
	work    string // outputs, removed at the end
	tools   []*tool
	keepers []*keeper
	docker  *daemon // nil until a tool needs it
	report  report
	stops   []func()
}

// prepare finds the tools and starts what has to run beside them.
func (b *bench) prepare(ctx context.Context) error {
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return fmt.Errorf("make folder of corpora: %w", err)
	}
	work, err := os.MkdirTemp(b.dir, "w")
	if err != nil {
		return fmt.Errorf("make folder of outputs: %w", err)
	}
	b.work = work
	b.stops = append(b.stops, func() { os.RemoveAll(work) })
	b.report = report{options: b.options, machine: describeMachine(ctx, b.cdb, b.dir)}
	if b.wanted("go") || b.wanted("small") || b.wanted("big") {
		b.findTools(ctx)
	}
	if b.wanted("versions") {
		b.findKeepers(ctx)
	}
	fmt.Fprint(b.out, b.report.title(), b.report.head())
	return ctx.Err()
}

// findTools keeps the tools that work here, and notes why the others do not.
func (b *bench) findTools(ctx context.Context) {
	for _, t := range b.allTools() {
		if b.works(ctx, t) {
			b.tools = append(b.tools, t)
		}
	}
}

// works starts a tool, and notes why if it cannot be used.
func (b *bench) works(ctx context.Context, t *tool) bool {
	why := t.missing()
	if why == "" && t.daemon && b.docker == nil {
		var err error
		// Sockets have short paths, and data should lie with the other outputs.
		if b.docker, err = startDaemon(ctx, filepath.Join(b.work, "d"), "{}"); err != nil {
			why = err.Error()
		} else {
			b.stops = append(b.stops, b.docker.stop)
		}
	}
	if why == "" && t.start != nil {
		if err := t.start(ctx, b.docker); err != nil {
			why = err.Error()
		}
	}
	if why == "" {
		return true
	}
	if note := fmt.Sprintf("%s: %s", t.name, why); !slices.Contains(b.report.missing, note) {
		b.report.missing = append(b.report.missing, note)
		say("%s left out: %s", t.name, why)
	}
	return false
}

// close ends and removes what prepare began, in reverse.
func (b *bench) close() {
	for _, stop := range slices.Backward(b.stops) {
		stop()
	}
}

// measureAll measures part by part and prints each as soon as it is there.
func (b *bench) measureAll(ctx context.Context) error {
	for _, c := range b.buildCorpora() {
		if !b.wanted(c.part) {
			continue
		}
		if err := b.measureCorpus(ctx, c); err != nil {
			return err
		}
	}
	if b.wanted("query") {
		if err := b.measureQueries(ctx); err != nil {
			return err
		}
	}
	if b.wanted("versions") {
		if err := b.measureVersions(ctx); err != nil {
			return err
		}
	}
	if b.wanted("generate") {
		if err := b.measureGenerate(ctx); err != nil {
			return err
		}
	}
	if b.wanted("registry") {
		if err := b.measureRegistries(ctx); err != nil {
			return err
		}
	}
	if b.wanted("extract") {
		if err := b.measureExtraction(ctx); err != nil {
			return err
		}
	}
	if b.wanted("ten") && b.tenMillion != "" {
		if err := b.measureTenMillion(ctx); err != nil {
			return err
		}
	}
	fmt.Fprint(b.out, b.report.memoryTable(), b.report.aims())
	return nil
}

// measureCorpus lets every tool pack c, in turns, so that an hour in which the
// machine is slow is slow for all of them.
func (b *bench) measureCorpus(ctx context.Context, c corpus) error {
	if err := b.ensure(ctx, &c); err != nil {
		return err
	}
	result := corpusResult{corpus: c, rows: make([]row, len(b.tools))}
	for i, t := range b.tools {
		result.rows[i].tool = t
	}
	for round := range b.runs + 1 {
		for i := range result.rows {
			r := &result.rows[i]
			if r.err != nil {
				continue
			}
			u, err := b.pack(ctx, r.tool, c.path)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			switch {
			case err != nil && i == 0:
				return fmt.Errorf("%s of %s: %w", r.tool.name, c.name, err)
			case err != nil:
				r.err = err
				say("%s, %s: %v", c.name, r.tool.name, err)
			case round > 0: // the first one warms up
				r.runs = append(r.runs, u)
			}
			if err == nil {
				say("%s, run %d of %d, %s: %s", c.name, round, b.runs, r.tool.name, u)
			}
		}
	}
	b.report.corpora = append(b.report.corpora, result)
	b.report.noteMemory(c, result.rows[0].median())
	fmt.Fprint(b.out, result.table())
	if c.part == "big" {
		return b.measureEighth(ctx, c.bytes/8)
	}
	return nil
}

// measureEighth builds a smaller file of the same kind, to see if memory
// depends on the size.
func (b *bench) measureEighth(ctx context.Context, size int64) error {
	c := b.bigFile(size)
	if err := b.ensure(ctx, &c); err != nil {
		return err
	}
	var runs []usage
	for range b.runs {
		u, err := b.pack(ctx, b.tools[0], c.path)
		if err != nil {
			return fmt.Errorf("%s of %s: %w", reference, c.name, err)
		}
		runs = append(runs, u)
	}
	b.report.noteMemory(c, median(runs))
	return nil
}

// pack lets one tool pack one corpus, and removes the output.
func (b *bench) pack(ctx context.Context, t *tool, src string) (usage, error) {
	out, err := os.MkdirTemp(b.work, "o")
	if err != nil {
		return usage{}, fmt.Errorf("make folder of output: %w", err)
	}
	defer os.RemoveAll(out)
	u, err := t.run(ctx, src, filepath.Join(out, "out"))
	if err == nil && t.size != nil {
		u.Output, err = t.size(ctx)
	} else if err == nil {
		u.Output, err = treeBytes(out)
	}
	if t.clean != nil {
		if cerr := t.clean(context.WithoutCancel(ctx)); err == nil {
			err = cerr
		}
	}
	return u, err
}

// say tells the user at the terminal how far the bench is.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}

// missing returns why a tool cannot be run, "" if it can.
func (t *tool) missing() string {
	for _, p := range t.needs {
		if _, err := exec.LookPath(p); err != nil {
			return p + " is not installed"
		}
	}
	return ""
}
