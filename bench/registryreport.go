package main

import (
	"fmt"
	"strings"
)

const registriesHead = `
## Registries

The registry is Debian's docker-registry with a file system behind it, on the same
machine, over http. It is reached over loopback, and over a line with a round trip of
50 ms and 200 Mbit/s each way: two network namespaces with a line of two TUN devices
between them, over which the kernel's TCP runs (see bench/link). Registry and tools
share the processors.

- All tools have the same image: a data container for one architecture, which cdb built
  into an OCI layout before. Each push goes into an empty registry, and each pull into an
  empty folder. docker is given the image before, as "docker load" does, not measured.
- CPU and peak memory are those of the tool alone; of docker those of client, daemon and
  containerd. Before each push and pull all earlier output is on the disk (` + "`sync`" + `).
  Tables show the median of as many runs as ` + "`--runs`" + ` says. More than 256 MiB are moved
  once, and so are versions, pulls beside remote use, and all that docker moves.
- Sent and received are what passed the line, with the headers of TCP and IP; over
  loopback, where they are given, they are the bytes in the TCP connections. Requests
  are those in the log of the registry.
- "×" is how many times cdb needs: above 1 cdb is better.
`

// tables are all that was measured with registries.
func (r *registryResult) tables() string {
	var w strings.Builder
	w.WriteString(registriesHead)
	for _, m := range r.moves {
		w.WriteString(m.table())
	}
	for _, v := range r.versions {
		w.WriteString(v.table())
	}
	for _, q := range r.remotes {
		w.WriteString(q.table())
	}
	w.WriteString(r.buildTable())
	return w.String()
}

// table shows pushes and pulls side by side.
func (r *moveResult) table() string {
	var w strings.Builder
	fmt.Fprintf(&w, "\n### Push and pull: %s, %s\n\n%s. Regular files: %s, with %s bytes; the image has %s.\n\n", r.name, r.network,
		sentence(r.about), thousands(r.files), thousands(r.bytes), binary(r.image))
	for _, way := range []struct {
		name string
		runs func(moveRow) []transfer
	}{
		{"push", func(m moveRow) []transfer { return m.pushes }},
		{"pull", func(m moveRow) []transfer { return m.pulls }},
	} {
		fmt.Fprintf(&w, "| %s | wall | × | CPU | × | peak memory | sent | received | requests |\n"+
			"| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n", way.name)
		ref := medianTransfer(way.runs(r.rows[0]))
		for _, row := range r.rows {
			if len(way.runs(row)) == 0 {
				continue
			}
			t := medianTransfer(way.runs(row))
			fmt.Fprintf(&w, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", row.name, seconds(t.Wall), times(t.Wall, ref.Wall),
				seconds(t.CPU), times(t.CPU, ref.CPU), t.peak(), count(t.Up, binary), count(t.Down, binary), count(t.Requests, thousands))
		}
		w.WriteString("\n")
	}
	for _, row := range r.rows {
		if row.err != nil {
			fmt.Fprintf(&w, "- %s failed: %v\n", row.name, row.err)
		} else if row.note != "" {
			fmt.Fprintf(&w, "- %s: %s\n", row.name, row.note)
		}
	}
	return w.String()
}

// table shows what was sent for each version.
func (r *versionPushes) table() string {
	var w strings.Builder
	fmt.Fprintf(&w, "\n### Versions in a registry: %s, %s\n\n%s. The others push an image of one layer, made anew of the folder\n"+
		"(tar and gzip -1, not measured; neither is the build of cdb).\n\n", r.name, r.network, sentence(r.about))
	w.WriteString("| step | tool | wall | × | sent | × | of its first push | received | requests |\n" +
		"| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, s := range r.steps {
		name := s.name
		for _, row := range s.rows {
			if row.err != nil {
				continue
			}
			share := ""
			if first, ok := r.row(firstPush, row.name); ok && first.Up > 0 && s.name != firstPush {
				share = fmt.Sprintf("%.2f %%", 100*float64(row.Up)/float64(first.Up))
			}
			fmt.Fprintf(&w, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", name, row.name, seconds(row.Wall), times(row.Wall, s.rows[0].Wall),
				count(row.Up, binary), times(row.Up, s.rows[0].Up), share, count(row.Down, binary), count(row.Requests, thousands))
			name = ""
		}
	}
	w.WriteString("\n")
	for _, s := range r.steps {
		if s.change.files > 0 {
			fmt.Fprintf(&w, "- %s. Files: %s, in folders: %s; they hold %.3g %% of all bytes.\n", sentence(s.name), thousands(s.change.files),
				thousands(s.change.folders), 100*float64(s.change.bytes)/float64(max(r.bytes, 1)))
		}
		for _, row := range s.rows {
			if row.err != nil {
				fmt.Fprintf(&w, "- %s failed at %q: %v\n", row.name, s.name, row.err)
			}
		}
	}
	return w.String()
}

// row returns what a tool took for a step; false if nothing.
func (r *versionPushes) row(step, tool string) (transfer, bool) {
	for _, s := range r.steps {
		for _, row := range s.rows {
			if s.name == step && row.name == tool && row.err == nil {
				return row.transfer, true
			}
		}
	}
	return transfer{}, false
}

// table shows uses beside pulls.
func (r *remoteResult) table() string {
	var w strings.Builder
	fmt.Fprintf(&w, "\n### Remote use: %s, %s\n\n%s. Cold: with an empty cache. Warm: the same command again. Bytes are those of\n"+
		"both directions; \"×\" is how many times more cdb pull takes than the cold command.\n\n", r.name, r.network, sentence(r.about))
	w.WriteString("| command | cold | × | bytes | × | requests | warm | bytes | requests |\n" +
		"| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	pull := r.pulls[0].transfer
	for _, u := range r.uses {
		fmt.Fprintf(&w, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", u.name, seconds(u.cold.Wall), times(pull.Wall, u.cold.Wall),
			count(u.cold.bytes(), binary), times(pull.bytes(), u.cold.bytes()), count(u.cold.Requests, thousands),
			seconds(u.warm.Wall), count(u.warm.bytes(), binary), count(u.warm.Requests, thousands))
	}
	for _, p := range r.pulls {
		if p.err == nil {
			fmt.Fprintf(&w, "| %s, all of it | %s | %s | %s | %s | %s | | | |\n", p.name, seconds(p.Wall), times(pull.Wall, p.Wall),
				count(p.bytes(), binary), times(pull.bytes(), p.bytes()), count(p.Requests, thousands))
		}
	}
	return w.String()
}

// buildTable compares one step with two.
func (r *registryResult) buildTable() string {
	if len(r.builds) == 0 {
		return ""
	}
	var w strings.Builder
	w.WriteString("\n### Build into a registry\n\n`cdb build --push --no-store` in one step, beside `cdb build` into a store and\n" +
		"`cdb push` from there.\n\n" +
		"| folder | network | one step | two steps | × | build | push | CPU, one | CPU, two | peak memory, one | peak memory, two |\n" +
		"| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, b := range r.builds {
		two := b.build.plus(b.push.usage)
		fmt.Fprintf(&w, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", b.name, b.network, seconds(b.one.Wall), seconds(two.Wall),
			times(two.Wall, b.one.Wall), seconds(b.build.Wall), seconds(b.push.Wall), seconds(b.one.CPU), seconds(two.CPU), b.one.peak(), two.peak())
	}
	return w.String()
}

// registryAims ask for what registries are used for.
func (r *report) registryAims() []aim {
	again := aim{text: "After a change of 1 % of the files, in few folders, a push sends less than 2 % of the first one", met: true}
	read := aim{text: "Reading one file in a registry takes at least 50 times fewer bytes than pulling", met: true}
	peers := aim{text: "Push and pull are not slower than the fastest of `skopeo` and `crane` (10 % for noise)", met: true}
	one := aim{text: "`cdb build --push --no-store` is not slower than build and push (10 % for noise)", met: true}
	list := func(a *aim, ok bool, format string, args ...any) {
		a.measured, a.met = true, a.met && ok
		a.how = strings.TrimPrefix(a.how+"; "+fmt.Sprintf(format, args...), "; ")
	}
	if r.registries == nil {
		return nil
	}
	for _, v := range r.registries.versions {
		first, ok := v.row(firstPush, "cdb push")
		next, ok2 := v.row(fewPushed, "cdb push")
		if ok && ok2 {
			list(&again, float64(next.Up) < 0.02*float64(first.Up), "%s, %s: %s of %s, %.2f %%", v.name, v.network, binary(next.Up), binary(first.Up), 100*float64(next.Up)/float64(first.Up))
		}
	}
	for _, q := range r.registries.remotes {
		for _, u := range q.uses {
			if pull := q.pulls[0]; u.name == readOneFile {
				list(&read, pull.bytes() >= 50*u.cold.bytes(), "%s, %s: %s against %s, %s", q.name, q.network, binary(u.cold.bytes()), binary(pull.bytes()), times(pull.bytes(), u.cold.bytes()))
			}
		}
	}
	for _, m := range r.registries.moves {
		m.compare(&peers, list)
	}
	for _, b := range r.registries.builds {
		two := b.build.Wall + b.push.Wall
		list(&one, float64(b.one.Wall) <= 1.1*float64(two), "%s, %s: %s", b.name, b.network, times(two, b.one.Wall))
	}
	return []aim{again, read, peers, one}
}

// compare holds cdb against the fastest peer that does the same.
func (r *moveResult) compare(a *aim, list func(a *aim, ok bool, format string, args ...any)) {
	for _, way := range []string{"push", "pull"} {
		runs := func(m moveRow) []transfer {
			if way == "push" {
				return m.pushes
			}
			return m.pulls
		}
		ours := medianTransfer(runs(r.rows[0])).Wall
		best, who := ours, ""
		for _, row := range r.rows[1:] {
			if wall := medianTransfer(runs(row)).Wall; wall > 0 && !row.once && (who == "" || wall < best) {
				best, who = wall, row.name
			}
		}
		if who != "" {
			list(a, float64(ours) <= 1.1*float64(best), "%s, %s, %s: %s (%s)", r.name, r.network, way, times(best, ours), who)
		}
	}
}
