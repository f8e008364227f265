package main

import (
	"fmt"
	"slices"
	"strings"
)

// A report is what was measured, as Markdown.
type report struct {
	options
	machine []fact
	missing []string
	corpora []corpusResult
	queries []queryResult
	memory  []memoryRow

	timelines []*timeline
	ten       *tenResult // nil if not measured
	generated []*generated

	registries *registryResult // nil if not measured
	extraction *extraction     // nil if not measured
}

// A corpusResult is how all tools packed one corpus.
type corpusResult struct {
	corpus
	rows []row // the first one is the reference
}

// A row is how one tool did, or why it did not.
type row struct {
	tool *tool
	runs []usage
	err  error
}

func (r row) median() usage { return median(r.runs) }

// spread is the wall time of the fastest and the slowest run.
func (r row) spread() string {
	byWall := func(a, b usage) int { return int(a.Wall - b.Wall) }
	return seconds(slices.MinFunc(r.runs, byWall).Wall) + " – " + seconds(slices.MaxFunc(r.runs, byWall).Wall)
}

// A queryResult is how one container answered, question by question.
type queryResult struct {
	*container
	entrypoint, host []answer
}

// A memoryRow is what one build of cdb took.
type memoryRow struct {
	corpus
	usage
}

func (r *report) noteMemory(c corpus, u usage) {
	r.memory = append(r.memory, memoryRow{c, u})
}

// document is the whole report.
func (r *report) document() string {
	var w strings.Builder
	w.WriteString(r.title())
	w.WriteString(r.aims())
	w.WriteString(r.head())
	for i := range r.corpora {
		w.WriteString(r.corpora[i].table())
	}
	if len(r.queries) > 0 {
		w.WriteString(r.queryTables())
	}
	if len(r.timelines) > 0 {
		w.WriteString(versionsHead)
	}
	for _, t := range r.timelines {
		w.WriteString(t.tables())
	}
	if r.ten != nil {
		w.WriteString(r.ten.table())
	}
	w.WriteString(r.generateTable())
	if r.registries != nil {
		w.WriteString(r.registries.tables())
	}
	if r.extraction != nil {
		w.WriteString(r.extraction.tables())
	}
	w.WriteString(r.memoryTable())
	return w.String()
}

func (r *report) title() string {
	text := "# Benchmarks\n\nWritten by `make bench BENCH=\"--write docs/benchmarks.md\"`. Numbers depend on the\n" +
		"machine and on its mood; ratios less so. `make bench` measures again on yours.\n"
	if r.tiny {
		text += "\n**A trial with a hundredth of all sizes: these numbers mean nothing.**\n"
	}
	return text
}

// head is the machine and the method.
func (r *report) head() string {
	var w strings.Builder
	w.WriteString("\n## Machine\n\n| | |\n| --- | --- |\n")
	for _, f := range r.machine {
		fmt.Fprintf(&w, "| %s | %s |\n", f.name, f.value)
	}
	if r.only != "registry" && r.only != "extract" {
		fmt.Fprintf(&w, method, r.runs, r.queryRuns)
	}
	if len(r.missing) > 0 {
		w.WriteString("\nLeft out:\n\n")
		for _, m := range r.missing {
			fmt.Fprintf(&w, "- %s\n", m)
		}
	}
	return w.String()
}

const method = `
## Method

- Tools run in turns (A B C A B C …): one round that is not counted, which also
  brings the input into the page cache, then %d that are. Tables show the median
  of wall and CPU time, the fastest and slowest wall time, and the largest
  memory. Before each run all earlier output is on the disk (` + "`sync`" + `);
  afterwards the output is removed.
- CPU is user and system time of all processes of a tool, summed. Peak memory is
  the resident set of its largest process; below "≤" it could not be told from
  that of the bench itself. Of Docker both contain the daemon and
  containerd: a private daemon that does nothing else, whose peak is reset before
  each run and followed every 20 ms together with its child processes.
- cdb writes an OCI layout, hashes every file, makes the catalog with its
  full-text index, and syncs its output to the disk before it ends. The pipelines
  only make a compressed tar, and leave writing it to the kernel.
- Docker builds ` + "`FROM scratch`, `COPY . /data`" + ` without its cache. Its image lies
  uncompressed in the daemon; pushing it would compress it. buildah copies the
  folder into a container from scratch and commits it to an OCI layout.
- "×" is how many times the reference needs: above 1 cdb is better.
- Queries are one process each, output to the null device: the median of %d runs
  after one that is not counted. The catalog is in the page cache.
`

// table shows the tools side by side.
func (c *corpusResult) table() string {
	var w strings.Builder
	fmt.Fprintf(&w, "\n## %s\n\n%s. Regular files: %s, with %s bytes.\n\n", sentence(c.name), sentence(c.about), thousands(c.files), thousands(c.bytes))
	w.WriteString("| tool | wall | × | fastest – slowest | CPU | × | peak memory | × | output | × |\n" +
		"| --- | ---: | ---: | :---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	ref := c.rows[0].median()
	var notes []string
	for _, r := range c.rows {
		if r.err != nil {
			notes = append(notes, fmt.Sprintf("%s failed: %v", r.tool.name, r.err))
			continue
		}
		if r.tool.note != "" {
			notes = append(notes, r.tool.name+": "+r.tool.note)
		}
		u := r.median()
		memory := times(u.Peak, ref.Peak)
		if u.Peak <= u.Floor {
			memory = "-"
		}
		fmt.Fprintf(&w, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", r.tool.name,
			seconds(u.Wall), times(u.Wall, ref.Wall), r.spread(), seconds(u.CPU), times(u.CPU, ref.CPU),
			u.peak(), memory, binary(u.Output), times(u.Output, ref.Output))
	}
	if len(notes) > 0 {
		w.WriteString("\n")
	}
	for _, n := range notes {
		fmt.Fprintf(&w, "- %s\n", n)
	}
	return w.String()
}

// queryTables are one table for the entrypoint, and one for cdb query.
func (r *report) queryTables() string {
	var w strings.Builder
	w.WriteString("\n## Queries\n\nFrom the start of the process to its end: wall / CPU in milliseconds. \"Rows\": whether\n" +
		"the answer needs few rows of the catalog or all of them. Lines and peak memory are\n" +
		"those of the largest container.\n")
	w.WriteString("\n### entrypoint\n\nThe program in the image, beside its catalog, as in a running container.\n\n")
	w.WriteString(r.queryTable(func(q queryResult) []answer { return q.entrypoint }))
	w.WriteString("\n### cdb query\n\nThe catalog is read in place, out of the compressed layer in the OCI layout.\n\n")
	w.WriteString(r.queryTable(func(q queryResult) []answer { return q.host }))
	return w.String()
}

func (r *report) queryTable(answers func(queryResult) []answer) string {
	var w strings.Builder
	w.WriteString("| query | rows |")
	for _, q := range r.queries {
		fmt.Fprintf(&w, " %s |", q.name)
	}
	w.WriteString(" lines | peak memory |\n| --- | --- |" + strings.Repeat(" ---: |", len(r.queries)+2) + "\n")
	for i, question := range questions() {
		rows := "all"
		if question.few {
			rows = "few"
		}
		fmt.Fprintf(&w, "| %s | %s |", question.name, rows)
		var last answer
		for _, q := range r.queries {
			last = answers(q)[i]
			u := last.median()
			fmt.Fprintf(&w, " %s / %s |", millis(u.Wall), millis(u.CPU))
		}
		fmt.Fprintf(&w, " %s | %s |\n", thousands(last.lines), last.median().peak())
	}
	return w.String()
}

// memoryTable shows what memory of a build depends on.
func (r *report) memoryTable() string {
	if len(r.memory) == 0 {
		return ""
	}
	var w strings.Builder
	fmt.Fprintf(&w, "\n## Memory of %s\n\n| folder | files | bytes | wall | CPU | peak memory |\n"+
		"| --- | ---: | ---: | ---: | ---: | ---: |\n", reference)
	for _, m := range r.memory {
		fmt.Fprintf(&w, "| %s | %s | %s | %s | %s | %s |\n", m.name,
			thousands(m.files), thousands(m.bytes), seconds(m.Wall), seconds(m.CPU), m.peak())
	}
	return w.String()
}

// sentence begins with a capital letter.
func sentence(s string) string {
	return strings.ToUpper(s[:1]) + s[1:]
}
