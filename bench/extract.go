package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/data-containers/cdb/internal/extract"
)

// An extraction is what it costs to extract metadata while a folder is packed.
type extraction struct {
	sets    []extractSet
	formats []extractFormat
	absent  []string // formats of which there is no file
	python  []extractPython
}

// An extractSet is a folder packed with each of the setVariants.
type extractSet struct {
	corpus
	runs [][]usage // by variant
}

// setVariants are the builds of a whole folder, in turns. Those of the same
// index extract alike, with the full-text index and without.
func setVariants() [][]string {
	return [][]string{
		{"--extract", "basic"}, {"--extract", "default"},
		{"--extract", "basic", "--no-text"}, {"--extract", "default", "--no-text"},
	}
}

// An extractFormat is a folder of files of one format, packed with nothing,
// that format alone, and the default set.
type extractFormat struct {
	corpus
	runs [][]usage
}

// An extractPython is how one command did with a function of Python.
type extractPython struct {
	name    string
	files   int64
	workers int // 0 for what calls no function
	runs    []usage
}

// measureExtraction measures whole sets, each format, and functions of Python.
func (b *bench) measureExtraction(ctx context.Context) error {
	b.report.extraction = &extraction{}
	for _, step := range []func(context.Context, *extraction) error{
		b.measureExtractSets, b.measureExtractFormats, b.measureExtractPython,
	} {
		if err := step(ctx, b.report.extraction); err != nil {
			return fmt.Errorf("extraction: %w", err)
		}
	}
	fmt.Fprint(b.out, b.report.extraction.tables())
	return nil
}

func (b *bench) measureExtractSets(ctx context.Context, x *extraction) error {
	corpora := []corpus{b.goSource(), b.niftiFiles()}
	if sets := b.bidsSets(); len(sets) > 0 {
		corpora = slices.Insert(corpora, 1, b.bidsCopy(sets), b.bidsMany(sets))
	} else {
		b.missing("BIDS sets: there are none in %s; --data says where", b.data)
	}
	for _, c := range corpora {
		if err := b.ensure(ctx, &c); err != nil {
			return err
		}
		runs, err := b.buildInTurns(ctx, c.path, setVariants(), true)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		x.sets = append(x.sets, extractSet{c, runs})
		say("%s: %s basic, %s default", c.name, median(runs[0]), median(runs[1]))
	}
	return nil
}

// buildInTurns packs a folder with each variant of flags, again and again, and
// returns what each run but those of the first round took.
func (b *bench) buildInTurns(ctx context.Context, src string, variants [][]string, sync bool) ([][]usage, error) {
	runs := make([][]usage, len(variants))
	out := filepath.Join(b.work, "extracted")
	for round := range b.runs + 1 {
		for i, flags := range variants {
			if sync {
				syscall.Sync()
			}
			args := append([]string{"build", "-q", src, "-o", "oci:" + out}, flags...)
			u, err := measure(b.cdbCommand(ctx, args...))
			if err := errors.Join(err, os.RemoveAll(out), ctx.Err()); err != nil {
				return nil, fmt.Errorf("%s: %w", strings.Join(flags, " "), err)
			}
			if round > 0 { // the first one warms up
				runs[i] = append(runs[i], u)
			}
		}
	}
	return runs, nil
}

// measureExtractFormats measures each format over copies of files of it.
func (b *bench) measureExtractFormats(ctx context.Context, x *extraction) error {
	found, err := b.findSpecimens(ctx)
	if err != nil {
		return err
	}
	for _, name := range formatNames() {
		if len(found[name]) == 0 {
			x.absent = append(x.absent, name)
			continue
		}
		f := extractFormat{corpus: corpus{name: name, path: filepath.Join(b.work, "format")}}
		err := b.copyOften(ctx, found[name], f.path)
		if err == nil {
			err = f.count(ctx)
		}
		if err == nil {
			f.runs, err = b.buildInTurns(ctx, f.path,
				[][]string{{"--extract", "basic"}, {"--extract", name}, {"--extract", "default"}}, false)
		}
		if err := errors.Join(err, os.RemoveAll(f.path)); err != nil {
			return fmt.Errorf("format %s: %w", name, err)
		}
		x.formats = append(x.formats, f)
		say("format %s: %s basic, %s alone", name, median(f.runs[0]), median(f.runs[1]))
	}
	return nil
}

// formatNames are the names of all formats, sorted.
func formatNames() []string {
	var names []string
	for _, f := range extract.Formats(extract.Options{}) {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// pythonFunction is what a simple function of a user does: it reads the file
// and says a few things.
const pythonFunction = `def describe(path):
    with open(path, "rb") as f:
        data = f.read()
    return {"bytes": len(data), "lines": data.count(b"\n")}
`

// measureExtractPython measures how many files a function of Python describes.
// The number of workers is that of the processors that cdb may use.
func (b *bench) measureExtractPython(ctx context.Context, x *extraction) error {
	if _, err := exec.LookPath("python3"); err != nil {
		b.missing("functions of Python: python3 is not installed")
		return nil
	}
	c := b.smallFiles(10_000)
	if err := b.ensure(ctx, &c); err != nil {
		return err
	}
	function := filepath.Join(b.work, "meta.py")
	if err := os.WriteFile(function, []byte(pythonFunction), 0o644); err != nil {
		return err
	}
	out := filepath.Join(b.work, "python")
	generate := []string{"generate", "-q", c.path, "--force", "--out", out + ".go"}
	build := []string{"build", "-q", c.path, "-o", "oci:" + out}
	type command struct {
		name    string
		workers int
		args    []string
	}
	commands := []command{
		{"`cdb generate`", 0, generate},
		{"`cdb generate --function meta.py:describe`", 1, append(generate[:len(generate):len(generate)], "--function", function+":describe")},
	}
	commands = append(commands, command{commands[1].name, 2, commands[1].args})
	own := append(build[:len(build):len(build)], "--extract", "basic", "--extract", function+":describe")
	if ok, err := b.takesFunctions(ctx, function); err != nil {
		return err
	} else if ok {
		name := "`cdb build --extract basic,./meta.py:describe`"
		commands = append(commands, command{"`cdb build --extract basic`", 0, append(build[:len(build):len(build)], "--extract", "basic")},
			command{name, 1, own}, command{name, 2, own})
	} else {
		b.missing("`cdb build --extract ./meta.py:describe`: this cdb has it not")
	}
	x.python = make([]extractPython, len(commands))
	for round := range b.runs + 1 {
		for i, command := range commands {
			cmd := b.cdbCommand(ctx, command.args...)
			if command.workers > 0 {
				cmd.Env = append(cmd.Env, fmt.Sprintf("GOMAXPROCS=%d", command.workers))
			}
			u, err := measure(cmd)
			if err := errors.Join(err, os.RemoveAll(out), ctx.Err()); err != nil {
				return fmt.Errorf("%s: %w", command.name, err)
			}
			p := &x.python[i]
			p.name, p.files, p.workers = command.name, c.files, command.workers
			if round > 0 {
				p.runs = append(p.runs, u)
			}
		}
	}
	return nil
}

// takesFunctions says if cdb build takes functions of Python.
func (b *bench) takesFunctions(ctx context.Context, function string) (bool, error) {
	dir, err := os.MkdirTemp(b.work, "one-")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "one.txt"), []byte("one\n"), 0o644)
	}
	if err != nil {
		return false, err
	}
	_, err = output(b.cdbCommand(ctx, "build", "-q", dir, "-o", "oci:"+dir+"-image", "--extract", function+":describe"))
	return err == nil, ctx.Err()
}

// missing notes what could not be measured.
func (b *bench) missing(format string, args ...any) {
	note := fmt.Sprintf(format, args...)
	b.report.missing = append(b.report.missing, note)
	say("left out: %s", note)
}

// exists says if there is something at path.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
