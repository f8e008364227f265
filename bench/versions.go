package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// A timeline is how all keepers followed one folder from version to version.
type timeline struct {
	corpus
	steps []step
	grown []growth
	added change // by all versions together
	cache int64  // bytes of the change cache after the steps
}

// A step is a change, made some times, and what each keeper took for it.
type step struct {
	name   string
	rounds int64
	change change // of all rounds together
	rows   []versionRow
}

// A versionRow is how one keeper did, or why it did not.
type versionRow struct {
	*keeper
	runs []version
	err  error
}

// median takes the middle of the times, the largest memory, and the mean of
// what was written.
func (r versionRow) median() version {
	var m version
	var all []usage
	for _, v := range r.runs {
		all = append(all, v.usage)
		m.data += v.data
		m.catalog += v.catalog
		m.packs, m.dead, m.deadKnown = v.packs, v.dead, v.deadKnown
	}
	m.usage = median(all)
	m.Output = 0
	for _, v := range r.runs {
		m.Output += v.Output
	}
	if n := int64(len(r.runs)); n > 0 {
		m.Output, m.data, m.catalog = m.Output/n, m.data/n, m.catalog/n
	}
	return m
}

// A growth is how one keeper did with a folder that grows; element 0 of
// versions is the first build.
type growth struct {
	*keeper
	versions []version
	total    int64 // bytes of all versions; 0 if only the last one is there
	err      error
}

// findKeepers keeps the tools that work here.
func (b *bench) findKeepers(ctx context.Context) {
	for _, k := range b.allKeepers() {
		if b.works(ctx, &k.tool) {
			b.keepers = append(b.keepers, k)
		}
	}
}

// findName is how the row of a plain walk is called.
const findName = "find -printf '%s %T@\\n'"

// findKeeper keeps nothing: it is what looking at every file costs at least.
func findKeeper() *keeper {
	k := &keeper{tool: tool{name: "`" + findName + "`", note: "only looks at each file, as the least that a rebuild has to do"}}
	k.keep = func(ctx context.Context, src string) (version, error) {
		syscall.Sync()
		u, err := measure(command(ctx, "find", src, "-printf", `%s %T@\n`))
		return version{usage: u}, err
	}
	return k
}

// measureVersions lets the folders of the other parts change and grow, or
// rather copies of them.
func (b *bench) measureVersions(ctx context.Context) error {
	small, versions := int64(100_000), 50
	if b.quick {
		small, versions = 10_000, 10
	}
	for _, c := range []corpus{b.goTree(), b.smallFiles(small)} {
		if err := b.measureTimeline(ctx, c, b.keepers, b.runs, versions); err != nil {
			return err
		}
	}
	if b.quick {
		return nil
	}
	return b.measureTimeline(ctx, b.tinyFiles(1_000_000), b.keepers[:1], 1, 0)
}

// measureTimeline measures all steps with a copy of c, then lets it grow. The
// first step is made firstRounds times.
func (b *bench) measureTimeline(ctx context.Context, c corpus, keepers []*keeper, firstRounds, versions int) error {
	if err := b.ensure(ctx, &c); err != nil {
		return err
	}
	src := filepath.Join(b.work, "versions")
	defer os.RemoveAll(src)
	if _, err := output(exec.CommandContext(ctx, "cp", "-a", "--", c.path, src)); err != nil {
		return fmt.Errorf("copy %s: %w", c.name, err)
	}
	t := &timeline{corpus: c}
	t.path = src
	defer func() {
		for _, k := range keepers {
			if err := k.forget(context.WithoutCancel(ctx)); err != nil {
				say("%s: forget versions: %v", k.name, err)
			}
		}
	}()
	if err := b.measureSteps(ctx, t, keepers, firstRounds); err != nil {
		return fmt.Errorf("versions of %s: %w", c.name, err)
	}
	if versions > 0 {
		if err := b.measureGrowth(ctx, t, keepers, versions); err != nil {
			return fmt.Errorf("versions of %s: %w", c.name, err)
		}
	}
	b.report.timelines = append(b.report.timelines, t)
	if len(b.report.timelines) == 1 {
		fmt.Fprint(b.out, versionsHead)
	}
	fmt.Fprint(b.out, t.tables())
	return nil
}

// The steps that promises are about.
const (
	firstBuild     = "first build"
	nothingChanged = "nothing changed"
	oneChanged     = "one file changed"
)

// measureSteps is a first build, one with nothing changed, and three kinds
// of change.
func (b *bench) measureSteps(ctx context.Context, t *timeline, keepers []*keeper, firstRounds int) error {
	forget := func(ctx context.Context, _ int) (change, error) {
		for _, k := range keepers {
			if err := k.forget(ctx); err != nil {
				return change{}, err
			}
		}
		return change{}, nil
	}
	nothing := func(context.Context, int) (change, error) { return change{}, nil }
	one := func(ctx context.Context, round int) (change, error) { return changeRun(ctx, t.path, t.files, 1, round) }
	run := func(ctx context.Context, round int) (change, error) {
		return changeRun(ctx, t.path, t.files, percent(t.files), round)
	}
	some := func(ctx context.Context, round int) (change, error) { return changeSome(ctx, t.path, t.files, round) }
	for _, s := range []struct {
		name    string
		rounds  int
		keepers []*keeper
		prepare func(ctx context.Context, round int) (change, error)
	}{
		{firstBuild, firstRounds, keepers, forget},
		{nothingChanged, b.runs, append(keepers[:len(keepers):len(keepers)], findKeeper()), nothing},
		{oneChanged, b.runs, keepers, one},
		{"1 % changed, in few folders", b.runs, keepers, run},
		{"1 % changed, everywhere", b.runs, keepers, some},
	} {
		got := step{name: s.name, rounds: int64(s.rounds)}
		for _, k := range s.keepers {
			got.rows = append(got.rows, versionRow{keeper: k, err: t.failed(k)})
		}
		for round := range s.rounds {
			done, err := s.prepare(ctx, round)
			if err == nil {
				err = settle(ctx)
			}
			if err != nil {
				return err
			}
			got.change = got.change.plus(done)
			if err := t.keepAll(ctx, &got, round); err != nil {
				return err
			}
		}
		t.steps = append(t.steps, got)
	}
	var err error
	t.cache, err = treeBytes(keepers[0].cache)
	return err
}

// keepAll lets every keeper make one version, in turns.
func (t *timeline) keepAll(ctx context.Context, s *step, round int) error {
	for i := range s.rows {
		r := &s.rows[i]
		if r.err != nil {
			continue
		}
		v, err := r.keep(ctx, t.path)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && i == 0:
			return fmt.Errorf("%s, %s: %w", r.name, s.name, err)
		case err != nil:
			r.err = err
			say("%s, %s, %s: %v", t.name, s.name, r.name, err)
		default:
			r.runs = append(r.runs, v)
			say("%s, %s, run %d of %d, %s: %s, %s written", t.name, s.name, round+1, s.rounds, r.name, v.usage, binary(v.Output))
		}
	}
	return nil
}

// failed returns the error that ended an earlier step of k: what it has kept
// since is not what the next step needs.
func (t *timeline) failed(k *keeper) error {
	for _, s := range t.steps {
		for _, r := range s.rows {
			if r.keeper == k && r.err != nil {
				return r.err
			}
		}
	}
	return nil
}

// measureGrowth begins anew and adds files again and again. Keepers that write
// everything each time are asked for the last version alone.
func (b *bench) measureGrowth(ctx context.Context, t *timeline, keepers []*keeper, versions int) error {
	for _, k := range keepers {
		if err := k.forget(ctx); err != nil {
			return err
		}
		if k.grows || k.whole {
			t.grown = append(t.grown, growth{keeper: k, err: t.failed(k)})
		}
	}
	for n := range versions + 1 {
		if n > 0 {
			added, err := grow(ctx, t.path, t.files, n)
			if err != nil {
				return err
			}
			t.added = t.added.plus(added)
		}
		if err := settle(ctx); err != nil {
			return err
		}
		for i := range t.grown {
			g := &t.grown[i]
			if g.err != nil || g.whole && n < versions {
				continue
			}
			v, err := g.keep(ctx, t.path)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil && i == 0 {
				return fmt.Errorf("%s, version %d: %w", g.name, n, err)
			}
			if g.err = err; err != nil {
				say("%s, version %d, %s: %v", t.name, n, g.name, err)
				continue
			}
			g.versions = append(g.versions, v)
			say("%s, version %d of %d, %s: %s, %s written", t.name, n, versions, g.name, v.usage, binary(v.Output))
		}
	}
	return t.countKept()
}

// countKept adds up what all versions take.
func (t *timeline) countKept() error {
	for i := range t.grown {
		g := &t.grown[i]
		if g.err != nil || g.kept == nil {
			continue
		}
		var err error
		if g.total, err = g.kept(); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	return nil
}
