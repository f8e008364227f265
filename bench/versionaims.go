package main

import (
	"fmt"
	"strings"
	"time"
)

// walkAim asks whether a rebuild costs at most twice what find does.
func (r *report) walkAim() aim {
	a := aim{text: "A rebuild of 1,000,000 files without a change takes at most 2 times what `find` does"}
	for _, t := range r.timelines {
		ours, ok := t.row(nothingChanged, reference)
		find, ok2 := t.row(nothingChanged, findKeeper().name)
		if t.part != "query" || !ok || !ok2 {
			continue
		}
		a.measured, a.met = true, ours.Wall <= 2*find.Wall
		a.how = fmt.Sprintf("%s against %s: %s", seconds(ours.Wall), seconds(find.Wall), times(ours.Wall, find.Wall))
	}
	return a
}

// changeAim asks whether data is written in proportion to what changed.
func (r *report) changeAim() aim {
	a := aim{text: "After a change of 1 % of the files at most 1 % of the data is written, or 1.1 times the share of the bytes that these files have", met: true}
	var how []string
	for _, t := range r.timelines {
		first, ok := t.row(firstBuild, reference)
		for _, s := range t.steps {
			if !ok || s.change.files == 0 || s.name == oneChanged || first.data == 0 {
				continue
			}
			share := t.share(s)
			written := float64(s.rows[0].median().data) / float64(first.data)
			a.measured = true
			a.met = a.met && written <= max(0.01, 1.1*share)
			how = append(how, fmt.Sprintf("%s, %s: %.2f %% for %.2f %%", t.name, strings.TrimPrefix(s.name, "1 % changed, "), 100*written, 100*share))
		}
	}
	a.how = strings.Join(how, "; ")
	return a
}

// rowAim asks whether the catalog is shipped again for one file.
func (r *report) rowAim() aim {
	a := aim{text: "After a change of one file of 100,000 or more at most 10 % of the catalog is written", met: true}
	for _, t := range r.timelines {
		first, ok := t.row(firstBuild, reference)
		v, ok2 := t.row(oneChanged, reference)
		if !ok || !ok2 || first.catalog == 0 || t.files < 100_000 {
			continue
		}
		a.measured = true
		a.met = a.met && v.catalog <= first.catalog/10
		a.how = strings.TrimPrefix(fmt.Sprintf("%s; %s: %s of %s", a.how, t.name, binary(v.catalog), binary(first.catalog)), "; ")
	}
	return a
}

// growthAim asks for the layers after many versions.
func (r *report) growthAim() aim {
	a := aim{text: "Many versions have at most 50 data layers, of which at most 30 % is dead", met: true}
	for _, t := range r.timelines {
		if len(t.grown) == 0 {
			continue
		}
		top := worst(t.grown[0].versions)
		a.measured = true
		a.met = a.met && top.packs <= 50 && top.deadKnown && top.dead <= 0.3
		a.how = strings.TrimPrefix(fmt.Sprintf("%s; %s: %d layers, dead: %s", a.how, t.name, top.packs, top.deadShare()), "; ")
	}
	return a
}

// catalogAim asks how large catalogs are as they are shipped.
func (r *report) catalogAim() aim {
	a := aim{text: "The catalog of 1,000,000 files and more takes less than 110 bytes per file as shipped", met: true}
	note := func(files, size int64) {
		if files < 1_000_000 {
			return
		}
		each := float64(size) / float64(files)
		a.measured = true
		a.met = a.met && each < 110
		a.how = strings.TrimPrefix(fmt.Sprintf("%s; %s files: %.1f", a.how, thousands(files), each), "; ")
	}
	for _, t := range r.timelines {
		if first, ok := t.row(firstBuild, reference); ok {
			note(t.files, first.catalog)
		}
	}
	if r.ten != nil {
		note(r.ten.files, r.ten.first.catalog)
	}
	return a
}

// tenMillionAims ask for what many files cost.
func (r *report) tenMillionAims() []aim {
	memory := aim{text: "Build 10,000,000 files in less than 1 GiB"}
	if r.ten != nil {
		memory.measured, memory.met = true, r.ten.first.Peak < 1<<30
		memory.how = fmt.Sprintf("%s (%s files in %s)", r.ten.first.peak(), thousands(r.ten.files), seconds(r.ten.first.Wall))
	}
	few := r.fewRows("Any query that touches few rows of 10,000,000 files within 100 ms: entrypoint", 10_000_000, 100*time.Millisecond,
		func(q queryResult) []answer { return q.entrypoint })
	host := r.fewRows("The same: `cdb query`", 10_000_000, 100*time.Millisecond, func(q queryResult) []answer { return q.host })
	return []aim{memory, few, host}
}
