package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A remoteResult is how one container was used where it lies, in a registry.
type remoteResult struct {
	corpus
	network string
	uses    []remoteUse
	pulls   []pushRow // of all of it
}

// A remoteUse is one command, with nothing known before and with the cache of
// an earlier run.
type remoteUse struct {
	name       string
	cold, warm transfer
}

// remoteUses are the commands, with REF and the path of a file.
func remoteUses(ref, path string) []struct {
	name string
	args []string
} {
	type use = struct {
		name string
		args []string
	}
	folder := filepath.Dir(path)
	return []use{
		{"`cdb info`", []string{"info", ref}},
		{"`cdb cat FILE`", []string{"cat", ref, path}},
		{"`cdb ls --dir FOLDER`", []string{"ls", ref, "--dir", folder}},
		{"`cdb ls`", []string{"ls", ref}},
		{"`cdb query -metric size -desc -limit 10`", []string{"query", ref, "-metric", "size", "-desc", "-limit", "10"}},
		{"`cdb query -where \"path = 'FILE'\"`", []string{"query", ref, "-where", "path = '" + strings.ReplaceAll(path, "'", "''") + "'"}},
		{"`cdb query -get FILE`", []string{"query", ref, "-get", path}},
		{"`cdb query -count`", []string{"query", ref, "-count"}},
	}
}

// readOneFile is the use that a promise is about.
const readOneFile = "`cdb cat FILE`"

// measureRemote uses one container over every network, and pulls it.
func (b *bench) measureRemote(ctx context.Context, c corpus, networks []*network, movers []*mover) error {
	layout := filepath.Join(b.work, "layout-remote")
	defer os.RemoveAll(layout)
	if _, err := b.layout(ctx, &c, layout); err != nil {
		return err
	}
	path, err := b.middleFile(ctx, layout, c.files)
	if err != nil {
		return err
	}
	for _, n := range networks {
		if err := n.registry.Wipe(); err != nil {
			return err
		}
		ref := refTo(n.counted, "remote:latest")
		if _, err := movers[0].pushed(ctx, n, layout, ref); err != nil {
			return err
		}
		r := &remoteResult{corpus: c, network: n.name}
		for _, m := range movers {
			if m.once { // it would take longer than all the rest
				continue
			}
			row := pushRow{name: m.name}
			if m == movers[0] {
				row.name = "cdb pull"
			}
			if row.transfer, row.err = m.pulled(ctx, n, ref); ctx.Err() != nil {
				return ctx.Err()
			} else if row.err != nil && m == movers[0] {
				return row.err
			}
			r.pulls = append(r.pulls, row)
		}
		for _, use := range remoteUses("docker://"+ref, path) {
			u := remoteUse{name: use.name}
			if u.cold, u.warm, err = b.useTwice(ctx, n, use.args); err != nil {
				return fmt.Errorf("%s: %w", use.name, err)
			}
			say("%s, %s, %s: %s, %s; again %s, %s", c.name, n.name, u.name, seconds(u.cold.Wall), binary(u.cold.bytes()), seconds(u.warm.Wall), binary(u.warm.bytes()))
			r.uses = append(r.uses, u)
		}
		b.report.registries.remotes = append(b.report.registries.remotes, r)
		fmt.Fprint(b.out, r.table())
	}
	return nil
}

// useTwice runs a command as often as builds are, each time without anything
// known and then with what the run before has left.
func (b *bench) useTwice(ctx context.Context, n *network, args []string) (cold, warm transfer, err error) {
	var colds, warms []transfer
	for range b.runs {
		home, err := os.MkdirTemp(b.work, "cdb")
		if err != nil {
			return cold, warm, err
		}
		for _, runs := range []*[]transfer{&colds, &warms} {
			t, rerr := n.observe(func() (usage, error) { return measure(b.cdbRemote(ctx, home, args...)) })
			*runs = append(*runs, t)
			if err == nil {
				err = rerr
			}
		}
		os.RemoveAll(home)
		if err != nil {
			return cold, warm, err
		}
	}
	return medianTransfer(colds), medianTransfer(warms), nil
}

// middleFile is the path of a file in the midst of a container.
func (b *bench) middleFile(ctx context.Context, layout string, files int64) (string, error) {
	path := ""
	err := eachLine(b.cdbCommand(ctx, "query", "oci:"+layout, "-ls"), func(i int64, line string) {
		if i == files/2 {
			path = line
		}
	})
	if err == nil && path == "" {
		err = fmt.Errorf("-ls lists fewer than %d files", files/2)
	}
	return path, err
}

// registryTools are the programs whose versions matter here.
func registryTools() [][]string {
	tools := [][]string{{"skopeo", "--version"}, {"docker-registry", "--version"}}
	if path, err := output(exec.Command("scripts/crane.sh", "path")); err == nil {
		tools = append(tools, []string{path, "version"})
	}
	return tools
}
