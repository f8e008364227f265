package main

import (
	"fmt"
	"strings"
	"time"
)

// An aim is a promise, and whether the numbers keep it.
type aim struct {
	text     string
	measured bool
	met      bool
	how      string
}

// aims compares the numbers with what cdb wants to be.
func (r *report) aims() string {
	var w strings.Builder
	w.WriteString("\n## Aims\n\n| aim | here | measured |\n| --- | --- | --- |\n")
	list := []aim{
		r.fasterThan("At least 5 times faster than `docker build` on the Go tree", "docker build", "go", 5),
		r.fasterThan("The same, beside BuildKit", "docker build (BuildKit)", "go", 5),
		r.fasterThan("Not slower than `tar \\| pigz -1` on the Go tree", pigz, "go", 1),
		r.fasterThan("The same, on small files", pigz, "small", 1),
		r.fasterThan("The same, on one large file", pigz, "big", 1),
		r.millionFiles(),
		r.fewRows("Any query that touches few rows of 1,000,000 files within 50 ms: entrypoint", 1_000_000, 50*time.Millisecond,
			func(q queryResult) []answer { return q.entrypoint }),
		r.fewRows("The same: `cdb query`", 1_000_000, 50*time.Millisecond, func(q queryResult) []answer { return q.host }),
		r.fileSizes(),
		r.walkAim(),
		r.changeAim(),
		r.rowAim(),
		r.growthAim(),
		r.catalogAim(),
	}
	list = append(list, r.registryAims()...)
	list = append(list, r.extractAims()...)
	list = append(list, r.tenMillionAims()...)
	for _, a := range list {
		here := "**not met**"
		switch {
		case !a.measured && r.only != "":
			continue
		case !a.measured:
			here, a.how = "not measured", ""
		case a.met:
			here = "met"
		}
		fmt.Fprintf(&w, "| %s | %s | %s |\n", a.text, here, a.how)
	}
	return w.String()
}

const pigz = "tar \\| pigz -1"

// fasterThan asks whether a tool takes that many times the wall time of cdb.
func (r *report) fasterThan(text, tool, part string, ratio float64) aim {
	a := aim{text: text}
	for _, c := range r.corpora {
		for _, row := range c.rows {
			if c.part != part || row.tool.name != tool || row.err != nil {
				continue
			}
			other, ours := row.median().Wall, c.rows[0].median().Wall
			a.measured = true
			a.met = float64(other) >= ratio*float64(ours)
			a.how = fmt.Sprintf("%s against %s: %s", seconds(other), seconds(ours), times(other, ours))
		}
	}
	return a
}

func (r *report) millionFiles() aim {
	a := aim{text: "Build 1,000,000 files in less than 512 MiB"}
	for _, m := range r.memory {
		if m.files >= 1_000_000 && m.files < 10_000_000 {
			a.measured, a.met = true, m.Peak < 512<<20
			a.how = fmt.Sprintf("%s (%s files in %s)", m.peak(), thousands(m.files), seconds(m.Wall))
		}
	}
	return a
}

// fewRows asks for the slowest of the queries that need few rows of that
// many files, or up to ten times as many.
func (r *report) fewRows(text string, files int64, most time.Duration, answers func(queryResult) []answer) aim {
	a := aim{text: text}
	for _, q := range r.queries {
		if q.files < files || q.files >= 10*files {
			continue
		}
		var slow []string
		var worst time.Duration
		worstName := ""
		for i, question := range questions() {
			wall := answers(q)[i].median().Wall
			if !question.few {
				continue
			}
			if wall > worst {
				worst, worstName = wall, question.name
			}
			if wall >= most {
				slow = append(slow, fmt.Sprintf("%s %s ms", question.name, millis(wall)))
			}
		}
		a.measured, a.met = true, len(slow) == 0
		a.how = fmt.Sprintf("the slowest is %s with %s ms", worstName, millis(worst))
		if !a.met {
			a.how = "above it: " + strings.Join(slow, ", ")
		}
	}
	return a
}

// fileSizes compares files of different sizes that are packed alike. A quarter
// more is the garbage collector's.
func (r *report) fileSizes() aim {
	a := aim{text: "Peak memory does not depend on the sizes of files (at most a quarter more for 8 times the size)"}
	var small, big *memoryRow
	for i := range r.memory {
		m := &r.memory[i]
		if m.part != "big" {
			continue
		}
		if small == nil || m.bytes < small.bytes {
			small = m
		}
		if big == nil || m.bytes > big.bytes {
			big = m
		}
	}
	if small == nil || small == big {
		return a
	}
	a.measured, a.met = true, big.Peak <= small.Peak+small.Peak/4
	a.how = fmt.Sprintf("%s for %s, %s for %s", small.peak(), binary(small.bytes), big.peak(), binary(big.bytes))
	return a
}
