package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// A registryResult is all that was measured with registries.
type registryResult struct {
	moves    []*moveResult
	versions []*versionPushes
	remotes  []*remoteResult
	builds   []buildPush
}

// A moveResult is how all movers brought one image over one network.
type moveResult struct {
	corpus
	network string
	image   int64 // bytes of the layout
	rows    []moveRow
}

// A moveRow is how one mover did, or why it did not.
type moveRow struct {
	*mover
	pushes, pulls []transfer
	err           error
}

// measureRegistries measures everything that has to do with registries.
func (b *bench) measureRegistries(ctx context.Context) error {
	networks := b.startNetworks()
	var movers []*mover
	for _, m := range b.allMovers() {
		if b.works(ctx, &m.tool) {
			movers = append(movers, m)
		}
	}
	if len(networks) == 0 {
		return nil
	}
	return b.measureOver(ctx, networks, movers)
}

// measureOver measures everything over some networks.
func (b *bench) measureOver(ctx context.Context, networks []*network, movers []*mover) error {
	b.report.registries = &registryResult{}
	fmt.Fprint(b.out, registriesHead)
	mixed, small := b.mixedFiles(), b.smallFiles(b.unlessQuick(100_000, 10_000))
	for _, c := range []corpus{mixed, small} {
		if err := b.measureMoves(ctx, c, networks, movers); err != nil {
			return fmt.Errorf("push and pull %s: %w", c.name, err)
		}
	}
	if err := b.measureVersionPushes(ctx, small, networks, movers); err != nil {
		return fmt.Errorf("push versions of %s: %w", small.name, err)
	}
	for _, files := range []int64{10_000, b.unlessQuick(1_000_000, 100_000)} {
		if err := b.measureRemote(ctx, b.tinyFiles(files), networks, movers); err != nil {
			return fmt.Errorf("use %s files in a registry: %w", thousands(files), err)
		}
	}
	for _, c := range []corpus{mixed, small} {
		if err := b.measureBuildPush(ctx, c, networks); err != nil {
			return fmt.Errorf("build and push %s: %w", c.name, err)
		}
	}
	fmt.Fprint(b.out, b.report.registries.buildTable())
	return nil
}

func (b *bench) unlessQuick(full, quick int64) int64 {
	if b.quick {
		return quick
	}
	return full
}

// mixedFiles are random and text, as measurements and their descriptions.
func (b *bench) mixedFiles() corpus {
	size := b.scaled(b.unlessQuick(1<<30, 128<<20))
	return corpus{part: "mixed", name: binary(size) + " of random and text",
		about: "three quarters random bytes in 12 files, the rest lines of JSON in files of 128 KiB",
		path:  filepath.Join(b.dir, fmt.Sprintf("mixed-%d", size)),
		write: func(ctx context.Context, dir string) error { return writeMixed(ctx, dir, size) }}
}

func writeMixed(ctx context.Context, dir string, size int64) error {
	random := rand.NewChaCha8([32]byte([]byte("cdb bench: the same bytes always")))
	rng := rand.New(rand.NewPCG(2020, uint64(size)))
	for i := range int64(12) {
		if err := writePart(ctx, filepath.Join(dir, "random", fmt.Sprintf("%02d.bin", i)), size/16, func(w *bufio.Writer, n int64) error {
			buf := make([]byte, n)
			random.Read(buf)
			_, err := w.Write(buf)
			return err
		}); err != nil {
			return err
		}
	}
	const each = 128 << 10
	for i := int64(0); i*each < size/4; i++ {
		line := func(w *bufio.Writer, _ int64) error {
			_, err := fmt.Fprintf(w, `{"id": %d, "site": "site-%02d", "celsius": %.3f, "flow": %.4f}`+"\n", i, rng.IntN(40), rng.Float64()*40-10, rng.ExpFloat64())
			return err
		}
		name := filepath.Join(dir, "text", fmt.Sprintf("part-%02d", i/100), fmt.Sprintf("%05d.json", i))
		if err := writePart(ctx, name, min(each, size/4-i*each), line); err != nil {
			return err
		}
	}
	return nil
}

// writePart writes a file of size bytes or a little more, by pieces of up to
// 1 MiB.
func writePart(ctx context.Context, name string, size int64, piece func(w *bufio.Writer, n int64) error) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	written := int64(0)
	w := bufio.NewWriterSize(writerFunc(func(p []byte) (int, error) {
		n, err := f.Write(p)
		written += int64(n)
		return n, err
	}), 64<<10)
	for left := size; err == nil && left > 0; left = size - written - int64(w.Buffered()) {
		if err = piece(w, min(left, 1<<20)); err == nil {
			err = ctx.Err()
		}
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Close()
	}
	return err
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// layout builds an image that all movers have in common: for this machine
// alone, since some take no others.
func (b *bench) layout(ctx context.Context, c *corpus, layout string) (int64, error) {
	if err := b.ensure(ctx, c); err != nil {
		return 0, err
	}
	if _, err := output(b.cdbCommand(ctx, "build", "-q", "--arch", runtime.GOARCH, c.path, "-o", "oci:"+layout)); err != nil {
		return 0, err
	}
	return treeBytes(layout)
}

// measureMoves lets every mover push and pull one image over every network.
func (b *bench) measureMoves(ctx context.Context, c corpus, networks []*network, movers []*mover) error {
	layout := filepath.Join(b.work, "layout-moves")
	defer os.RemoveAll(layout)
	size, err := b.layout(ctx, &c, layout)
	if err != nil {
		return err
	}
	for _, n := range networks {
		rounds := b.rounds(c)
		r := &moveResult{corpus: c, network: n.name, image: size}
		for _, m := range movers {
			r.rows = append(r.rows, moveRow{mover: m})
		}
		for round := range rounds {
			if err := r.pushAll(ctx, n, layout, round); err != nil {
				return err
			}
		}
		for round := range rounds {
			if err := r.pullAll(ctx, n, layout, round); err != nil {
				return err
			}
		}
		b.report.registries.moves = append(b.report.registries.moves, r)
		fmt.Fprint(b.out, r.table())
	}
	return nil
}

// rounds is how often a folder is moved over each network: large ones take
// minutes.
func (b *bench) rounds(c corpus) int {
	if c.bytes > 256<<20 {
		return 1
	}
	return b.runs
}

// pushAll lets all movers push, each into an empty registry.
func (r *moveResult) pushAll(ctx context.Context, n *network, layout string, round int) error {
	for i := range r.rows {
		row := &r.rows[i]
		if row.err != nil || row.once && round > 0 {
			continue
		}
		if err := n.registry.Wipe(); err != nil {
			return err
		}
		t, err := row.pushed(ctx, n, layout, refTo(n.host, "push:latest"))
		if ferr := row.forget(ctx, n); err == nil {
			err = ferr
		}
		if err := r.note(ctx, row, i, "push", t, err); err != nil {
			return err
		}
		if row.err == nil {
			row.pushes = append(row.pushes, t)
		}
	}
	return nil
}

// pullAll lets all movers pull the image that the first one has pushed.
func (r *moveResult) pullAll(ctx context.Context, n *network, layout string, round int) error {
	ref := refTo(n.host, "pull:latest")
	if round == 0 {
		if _, err := r.rows[0].pushed(ctx, n, layout, ref); err != nil {
			return err
		}
	}
	for i := range r.rows {
		row := &r.rows[i]
		if row.err != nil || row.once && round > 0 {
			continue
		}
		t, err := row.pulled(ctx, n, ref)
		if ferr := row.forget(ctx, n); err == nil {
			err = ferr
		}
		if err := r.note(ctx, row, i, "pull", t, err); err != nil {
			return err
		}
		if row.err == nil {
			row.pulls = append(row.pulls, t)
		}
	}
	return nil
}

// note tells the terminal, and keeps the error of all but the reference.
func (r *moveResult) note(ctx context.Context, row *moveRow, i int, what string, t transfer, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && i == 0:
		return fmt.Errorf("%s %s: %w", row.name, what, err)
	case err != nil:
		row.err = fmt.Errorf("%s: %w", what, err)
		say("%s, %s, %s: %v", r.name, r.network, row.name, row.err)
	default:
		say("%s, %s, %s %s: %s, %s requests", r.name, r.network, row.name, what, t.usage, decimal(t.Requests))
	}
	return nil
}

// A versionPushes is how versions of a folder were sent over one network.
type versionPushes struct {
	corpus
	network string
	steps   []pushStep
}

// A pushStep is one version and how each tool sent it.
type pushStep struct {
	name   string
	change change
	rows   []pushRow
}

// A pushRow is how one tool sent one version, or why it did not.
type pushRow struct {
	name string
	transfer
	err error
}

// The steps that promises are about.
const (
	firstPush = "first push"
	fewPushed = "1 % changed, in few folders"
	allPushed = "1 % changed, everywhere"
)

// measureVersionPushes pushes a folder, changes it, and pushes it again: with
// cdb, and as an image of one layer with the others.
func (b *bench) measureVersionPushes(ctx context.Context, c corpus, networks []*network, movers []*mover) error {
	if err := b.ensure(ctx, &c); err != nil {
		return err
	}
	work := filepath.Join(b.work, "version-pushes")
	defer os.RemoveAll(work)
	src := filepath.Join(work, "src")
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	if _, err := output(exec.CommandContext(ctx, "cp", "-a", "--", c.path, src)); err != nil {
		return fmt.Errorf("copy %s: %w", c.name, err)
	}
	c.path = src
	results := make([]*versionPushes, len(networks))
	for i, n := range networks {
		results[i] = &versionPushes{corpus: c, network: n.name}
		if err := n.registry.Wipe(); err != nil {
			return err
		}
	}
	steps := []pushStep{{name: firstPush}, {name: fewPushed}, {name: allPushed}}
	for version, step := range steps {
		var err error
		switch step.name {
		case fewPushed:
			step.change, err = changeRun(ctx, src, c.files, percent(c.files), version)
		case allPushed:
			step.change, err = changeSome(ctx, src, c.files, version)
		}
		if err == nil {
			err = settle(ctx)
		}
		if err == nil {
			err = b.pushVersion(ctx, work, step, networks, movers, results)
		}
		if err != nil {
			return err
		}
	}
	for _, r := range results {
		b.report.registries.versions = append(b.report.registries.versions, r)
		fmt.Fprint(b.out, r.table())
	}
	return nil
}

// pushVersion builds the folder as it is now, and pushes that over every
// network with every tool.
func (b *bench) pushVersion(ctx context.Context, work string, step pushStep, networks []*network, movers []*mover, results []*versionPushes) error {
	home := filepath.Join(work, "cdb")
	build := b.cdbRemote(ctx, home, "build", "--arch", runtime.GOARCH, "-t", imageName, filepath.Join(work, "src"))
	if _, err := output(build); err != nil {
		return err
	}
	single := filepath.Join(work, "single")
	defer os.RemoveAll(single)
	if err := singleLayer(ctx, filepath.Join(work, "src"), single); err != nil {
		return err
	}
	for i, n := range networks {
		s := step
		for _, m := range movers {
			row := pushRow{name: m.name + ", one layer"}
			ref := refTo(n.counted, "version-"+strings.Fields(m.name)[0], ":latest")
			syscall.Sync()
			switch {
			case m.once: // takes minutes to say the same as the others
				continue
			case m == movers[0]:
				row.name = "cdb push"
				// The store is the one of the build; what is known of registries is for each network.
				c := b.cdbRemote(ctx, home, "push", imageName, ref)
				c.Env = append(c.Env, "CDB_CACHE="+filepath.Join(work, fmt.Sprintf("cache-%d", i)))
				row.transfer, row.err = n.observe(func() (usage, error) { return measure(c) })
				if row.err != nil {
					return row.err
				}
			default:
				row.transfer, row.err = m.pushed(ctx, n, single, ref)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			say("%s, %s, %s: %s, %s up", n.name, s.name, row.name, row.usage, binary(row.Up))
			s.rows = append(s.rows, row)
		}
		results[i].steps = append(results[i].steps, s)
	}
	return nil
}

// A buildPush is how a folder came into a registry in one step and in two.
type buildPush struct {
	corpus
	network          string
	one, build, push transfer
}

// measureBuildPush builds into a registry, and beside that into a store that is
// pushed then.
func (b *bench) measureBuildPush(ctx context.Context, c corpus, networks []*network) error {
	if err := b.ensure(ctx, &c); err != nil {
		return err
	}
	for _, n := range networks {
		var one, build, push []transfer
		for range b.rounds(c) {
			t, err := b.buildAndPush(ctx, c, n)
			if err != nil {
				return err
			}
			one, build, push = append(one, t[0]), append(build, t[1]), append(push, t[2])
		}
		b.report.registries.builds = append(b.report.registries.builds, buildPush{corpus: c, network: n.name,
			one: medianTransfer(one), build: medianTransfer(build), push: medianTransfer(push)})
	}
	return nil
}

// buildAndPush measures the one step and the two.
func (b *bench) buildAndPush(ctx context.Context, c corpus, n *network) (took [3]transfer, err error) {
	home, err := os.MkdirTemp(b.work, "cdb")
	if err != nil {
		return took, err
	}
	defer os.RemoveAll(home)
	ref := refTo(n.host, "build:latest")
	build := []string{"build", "--arch", runtime.GOARCH, c.path, "-t", ref}
	for i, step := range []struct {
		home string
		args []string
	}{
		{"one", append(build[:len(build):len(build)], "--push", "--no-store")},
		{"two", build},
		{"two", []string{"push", ref}},
	} {
		if err := n.registry.Wipe(); err != nil {
			return took, err
		}
		syscall.Sync()
		took[i], err = n.observe(func() (usage, error) {
			return measure(b.cdbRemote(ctx, filepath.Join(home, step.home), step.args...))
		})
		if err != nil {
			return took, err
		}
		say("%s, %s, cdb %s: %s", c.name, n.name, strings.Join(step.args, " "), took[i].usage)
	}
	return took, nil
}
