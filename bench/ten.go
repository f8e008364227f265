package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// A tenResult is how cdb did with 10,000,000 files.
type tenResult struct {
	corpus
	first, again version
	find         usage
}

// tenMillionFiles are many files with next to nothing in them.
func (b *bench) tenMillionFiles() corpus {
	n := b.scaled(10_000_000)
	return corpus{part: "ten", name: thousands(n) + " files", path: b.tenMillion,
		about: "1,000 in each folder, nine of ten empty, the others of some bytes",
		write: func(ctx context.Context, dir string) error { return writeMany(ctx, dir, n, sparseText) }}
}

// sparseText writes something into every tenth file.
func sparseText(w *bytes.Buffer, rng *rand.Rand, i int64) string {
	if i%10 != 0 {
		return ".json"
	}
	return tinyText(w, rng, i)
}

// measureTenMillion builds very many files once, builds them again, and asks
// the container.
func (b *bench) measureTenMillion(ctx context.Context) error {
	t := &tenResult{corpus: b.tenMillionFiles()}
	if err := b.ensure(ctx, &t.corpus); err != nil {
		return err
	}
	if err := settle(ctx); err != nil {
		return err
	}
	k := b.cdbKeeper(reference, "gzip")
	defer func() {
		if err := k.forget(context.WithoutCancel(ctx)); err != nil {
			say("forget %s: %v", t.name, err)
		}
	}()
	var err error
	if t.first, err = k.keep(ctx, t.path); err != nil {
		return fmt.Errorf("build %s: %w", t.name, err)
	}
	say("%s, first build: %s", t.name, t.first.usage)
	b.report.noteMemory(t.corpus, t.first.usage)
	if err := b.rebuildTen(ctx, t, k); err != nil {
		return err
	}
	b.report.ten = t
	fmt.Fprint(b.out, t.table())
	return b.askTen(ctx, t)
}

// rebuildTen builds again with nothing changed, in turns with find.
func (b *bench) rebuildTen(ctx context.Context, t *tenResult, k *keeper) error {
	again, find := versionRow{keeper: k}, versionRow{keeper: findKeeper()}
	for range b.runs {
		for _, r := range []*versionRow{&again, &find} {
			v, err := r.keep(ctx, t.path)
			if err != nil {
				return fmt.Errorf("%s of %s: %w", r.name, t.name, err)
			}
			say("%s, nothing changed, %s: %s", t.name, r.name, v.usage)
			r.runs = append(r.runs, v)
		}
	}
	t.again, t.find = again.median(), find.median().usage
	return nil
}

// askTen asks what smaller containers are asked, too, but less often.
func (b *bench) askTen(ctx context.Context, t *tenResult) error {
	few := *b
	few.queryRuns = min(b.queryRuns, 3)
	c := &container{corpus: t.corpus, layout: filepath.Join(b.work, "keep-cdb-gzip", "store"), root: filepath.Join(b.work, "root-ten")}
	defer os.RemoveAll(c.root)
	if err := os.Mkdir(c.root, 0o755); err != nil {
		return fmt.Errorf("unpack %s: %w", t.name, err)
	}
	if err := unpackEnds(c.layout, c.root); err != nil {
		return fmt.Errorf("unpack %s: %w", t.name, err)
	}
	err := c.learn(ctx)
	if err == nil {
		err = few.askBoth(ctx, c)
	}
	if err != nil {
		return fmt.Errorf("container of %s: %w", t.name, err)
	}
	b.report.queries = few.report.queries
	fmt.Fprint(b.out, b.report.queryTables())
	return nil
}

func (t *tenResult) table() string {
	var w strings.Builder
	fmt.Fprintf(&w, "\n## Very many files\n\n%s: %s. A container in the store of cdb; with nothing changed the median of some runs.\n\n"+
		"| step | wall | CPU | peak memory | written | data | catalog |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
		sentence(t.name), t.about)
	row := func(name string, v version) {
		fmt.Fprintf(&w, "| %s | %s | %s | %s | %s | %s | %s |\n", name, seconds(v.Wall), seconds(v.CPU), v.peak(),
			binary(v.Output), binary(v.data), binary(v.catalog))
	}
	row("first build", t.first)
	row("nothing changed", t.again)
	row("`"+findName+"`", version{usage: t.find})
	fmt.Fprintf(&w, "\nThe catalog takes %.1f bytes per file as shipped; a rebuild with nothing changed takes %s of what find does.\n"+
		"How it answers is shown among the queries.\n", float64(t.first.catalog)/float64(max(t.files, 1)), times(t.again.Wall, t.find.Wall))
	return w.String()
}
