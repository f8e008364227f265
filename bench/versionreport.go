package main

import (
	"fmt"
	"strings"
)

const versionsHead = `
## Versions

A folder is built, built again, changed and built again. Every tool sees the same
changes, in turns, and keeps what it has of earlier versions: cdb its store and its
change cache, restic its repository and its cache, Docker its images and its build
cache. A change is a line at the end of a file. Before each version the files rest for
2.5 s, since one that was changed this moment is not known to be complete. Times are
medians, "written" is the mean.

- "Written" is what the version adds to what the tool keeps: new blobs in the store of
  cdb, which also are what a push would upload; new files in the repository of restic;
  the image in Docker, not compressed, unless it is the one from before. "Data" and
  "catalog" are layers of cdb; manifests and configs are the rest, and in a first build
  the entrypoints.
- "Layers" are data layers of the image; "dead" is the share of the bytes in them
  (before compression) that belongs to files which are no longer as they were there, or
  to nothing, as the ends of tars.
`

// tables are all that was measured of one folder.
func (t *timeline) tables() string {
	var w strings.Builder
	fmt.Fprintf(&w, "\n### Versions: %s\n\n%s. Regular files: %s, with %s bytes.\n\n", sentence(t.name), sentence(t.about), thousands(t.files), thousands(t.bytes))
	w.WriteString("| step | tool | wall | × | CPU | × | peak memory | written | data | catalog |\n" +
		"| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, s := range t.steps {
		s.write(&w)
	}
	w.WriteString("\n")
	for _, s := range t.steps {
		if s.change.files > 0 {
			fmt.Fprintf(&w, "- %s. %s\n", sentence(s.name), t.shares(s))
		}
	}
	if t.cache > 0 {
		fmt.Fprintf(&w, "- The change cache of cdb takes %s on this machine; it is no part of any version.\n", binary(t.cache))
	}
	for _, note := range t.notes() {
		fmt.Fprintf(&w, "- %s\n", note)
	}
	if len(t.grown) > 0 {
		t.writeGrowth(&w)
	}
	return w.String()
}

// share is how much of all bytes the files have that a step changes.
func (t *timeline) share(s step) float64 {
	if t.bytes == 0 || s.rounds == 0 {
		return 0
	}
	return float64(s.change.bytes) / float64(s.rounds) / float64(t.bytes)
}

// shares compares what a step changes with what cdb writes for it.
func (t *timeline) shares(s step) string {
	c, n := s.change, s.rounds
	text := fmt.Sprintf("Files: %s, in folders: %s; they hold %.3g %% of all bytes.", thousands(c.files/n), thousands(c.folders/n), 100*t.share(s))
	first, ok := t.row(firstBuild, reference)
	if v, ok2 := t.row(s.name, reference); ok && ok2 && first.data > 0 && first.catalog > 0 {
		text += fmt.Sprintf(" %s writes %.3g %% of the data and %.3g %% of the catalog that the first build wrote.", reference,
			100*float64(v.data)/float64(first.data), 100*float64(v.catalog)/float64(first.catalog))
	}
	return text
}

func (s step) write(w *strings.Builder) {
	name := s.name
	ref := s.rows[0].median()
	for _, r := range s.rows {
		if r.err != nil || len(r.runs) == 0 {
			continue
		}
		v := r.median()
		data, catalog := "", ""
		if v.packs > 0 {
			data, catalog = binary(v.data), binary(v.catalog)
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", name, r.name,
			seconds(v.Wall), times(v.Wall, ref.Wall), seconds(v.CPU), times(v.CPU, ref.CPU), v.peak(), binary(v.Output), data, catalog)
		name = ""
	}
}

// notes say what the numbers of some tools include, and which tools failed.
func (t *timeline) notes() []string {
	var notes []string
	seen := map[string]bool{}
	for _, s := range t.steps {
		for _, r := range s.rows {
			switch {
			case seen[r.name]:
			case r.err != nil:
				seen[r.name] = true
				notes = append(notes, fmt.Sprintf("%s failed at %q: %v", r.name, s.name, r.err))
			}
		}
	}
	for _, s := range t.steps {
		for _, r := range s.rows {
			if r.note != "" && !seen[r.name] {
				seen[r.name] = true
				notes = append(notes, r.name+": "+r.note)
			}
		}
	}
	return notes
}

// writeGrowth shows some versions of the reference, and sums of all tools.
func (t *timeline) writeGrowth(w *strings.Builder) {
	ref := t.grown[0].versions
	n := int64(len(ref) - 1)
	fmt.Fprintf(w, "\n%s versions, each with one folder of %s files more (%s on average). Of %s:\n\n",
		thousands(n), thousands(t.added.files/n), binary(t.added.bytes/n), t.grown[0].name)
	w.WriteString("| version | wall | CPU | peak memory | written | data | catalog | layers | dead |\n" +
		"| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for i, v := range ref {
		if i == 0 || i == 1 || int64(i) == n || int64(i)%max(n/10, 1) == 0 {
			fmt.Fprintf(w, "| %d | %s | %s | %s | %s | %s | %s | %d | %s |\n", i, seconds(v.Wall), seconds(v.CPU),
				v.peak(), binary(v.Output), binary(v.data), binary(v.catalog), v.packs, v.deadShare())
		}
	}
	top := worst(ref)
	fmt.Fprintf(w, "\nMost layers of any version: %d; largest share of dead bytes: %s.\n\n", top.packs, top.deadShare())
	fmt.Fprintf(w, "All versions after the first one together; of tools that write everything each time only the last:\n\n"+
		"| tool | versions | wall | CPU | peak memory | written | data | catalog | kept in the end |\n"+
		"| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, g := range t.grown {
		g.write(w)
	}
}

func (g growth) write(w *strings.Builder) {
	if g.err != nil {
		fmt.Fprintf(w, "| %s | failed: %v | | | | | | | |\n", g.name, g.err)
		return
	}
	later := g.versions
	if !g.whole {
		later = later[1:]
	}
	var sum version
	for _, v := range later {
		sum.usage = sum.plus(v.usage)
		sum.data += v.data
		sum.catalog += v.catalog
		sum.packs = v.packs
	}
	data, catalog, kept := "", "", ""
	if sum.packs > 0 {
		data, catalog = binary(sum.data), binary(sum.catalog)
	}
	if g.total > 0 {
		kept = binary(g.total)
	}
	fmt.Fprintf(w, "| %s | %d | %s | %s | %s | %s | %s | %s | %s |\n", g.name, len(later),
		seconds(sum.Wall), seconds(sum.CPU), sum.peak(), binary(sum.Output), data, catalog, kept)
}

// deadShare is the share of dead bytes as text.
func (v version) deadShare() string {
	if !v.deadKnown {
		return "not told by this cdb"
	}
	return fmt.Sprintf("%.1f %%", 100*v.dead)
}

// worst has the largest number of layers and the largest share of dead bytes.
func worst(versions []version) version {
	top := version{deadKnown: true}
	for _, v := range versions {
		top.packs, top.dead = max(top.packs, v.packs), max(top.dead, v.dead)
		top.deadKnown = top.deadKnown && v.deadKnown
	}
	return top
}

// row returns what the tool of that name took for a step; false if nothing.
func (t *timeline) row(step, tool string) (version, bool) {
	for _, s := range t.steps {
		for _, r := range s.rows {
			if s.name == step && r.name == tool && r.err == nil && len(r.runs) > 0 {
				return r.median(), true
			}
		}
	}
	return version{}, false
}
