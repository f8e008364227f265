package main

import (
	"fmt"
	"strings"
	"time"
)

// mostExtraction is how much more CPU the default set may cost, as a share of
// a build that extracts nothing.
const mostExtraction = 0.15

// extractAims are what extraction promises.
func (r *report) extractAims() []aim {
	if r.extraction == nil {
		return nil
	}
	var list []aim
	for _, s := range r.extraction.sets {
		basic, usual := median(s.runs[0]), median(s.runs[1])
		share := float64(usual.CPU)/float64(max(basic.CPU, 1)) - 1
		list = append(list, aim{
			text:     fmt.Sprintf("The default set of extractors costs less than %.0f %% of CPU: %s", 100*mostExtraction, s.name),
			measured: true, met: share < mostExtraction,
			how: fmt.Sprintf("%s against %s: %+.1f %%", seconds(usual.CPU), seconds(basic.CPU), 100*share),
		})
	}
	return list
}

// extractHead is what the numbers of extraction are.
const extractHead = `
## Extraction

` + "`cdb build`" + ` into an OCI layout with gzip. Variants run in turns, one round that is not
counted and then those that are; tables show medians. CPU is user and system time.
"Overhead" is how much more CPU a build takes than with ` + "`--extract basic`" + `, which
reads, hashes, packs and catalogues the same files. It contains all that follows from
metadata: larger rows, a larger index, and a larger catalog to compress and to write.
`

// tables show sets, formats and functions of Python.
func (x *extraction) tables() string {
	var w strings.Builder
	w.WriteString(extractHead)
	if len(x.sets) > 0 {
		w.WriteString(x.setTable())
	}
	if len(x.formats) > 0 {
		w.WriteString(x.formatTable())
	}
	if len(x.python) > 0 {
		w.WriteString(x.pythonTable())
	}
	return w.String()
}

func (x *extraction) setTable() string {
	var w strings.Builder
	w.WriteString("\n### The default set\n\n| folder | files | bytes | index | basic: wall / CPU | default: wall / CPU | overhead | a file | a MiB |\n" +
		"| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |\n")
	for _, s := range x.sets {
		for i, index := range []string{"full-text", "`--no-text`"} {
			basic, usual := median(s.runs[2*i]), median(s.runs[2*i+1])
			fmt.Fprintf(&w, "| %s | %s | %s | %s | %s / %s | %s / %s | %s | %s | %s |\n", s.name, thousands(s.files), binary(s.bytes), index,
				seconds(basic.Wall), seconds(basic.CPU), seconds(usual.Wall), seconds(usual.CPU), overhead(usual, basic),
				perUnit(usual, basic, float64(s.files)), perUnit(usual, basic, float64(s.bytes)/(1<<20)))
		}
	}
	w.WriteString("\n")
	for _, s := range x.sets {
		fmt.Fprintf(&w, "- %s: %s.\n", s.name, s.about)
	}
	return w.String()
}

func (x *extraction) formatTable() string {
	var w strings.Builder
	w.WriteString("\n### Each format alone\n\nOver copies of files of this format, up to 2,000 of them or 32 MiB.\n\n" +
		"| format | files | mean size | basic: CPU | alone: CPU | overhead | a file | a MiB | default set: overhead |\n" +
		"| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, f := range x.formats {
		basic, alone, usual := median(f.runs[0]), median(f.runs[1]), median(f.runs[2])
		fmt.Fprintf(&w, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", f.name, thousands(f.files), binary(f.bytes/max(f.files, 1)),
			seconds(basic.CPU), seconds(alone.CPU), overhead(alone, basic),
			perUnit(alone, basic, float64(f.files)), perUnit(alone, basic, float64(f.bytes)/(1<<20)), overhead(usual, basic))
	}
	if len(x.absent) > 0 {
		fmt.Fprintf(&w, "\nNo file was there of: %s.\n", strings.Join(x.absent, ", "))
	}
	return w.String()
}

func (x *extraction) pythonTable() string {
	var w strings.Builder
	fmt.Fprintf(&w, "\n### Functions of Python\n\nA function that reads the file and counts its lines, for %s small files. As many workers as\n"+
		"`GOMAXPROCS` says, which bounds the threads of cdb as well. CPU contains the workers.\n\n"+
		"| command | workers | wall | CPU | files a second |\n| --- | ---: | ---: | ---: | ---: |\n", thousands(x.python[0].files))
	for _, p := range x.python {
		workers := "-"
		if p.workers > 0 {
			workers = fmt.Sprint(p.workers)
		}
		u := median(p.runs)
		fmt.Fprintf(&w, "| %s | %s | %s | %s | %s |\n", p.name, workers, seconds(u.Wall), seconds(u.CPU),
			thousands(int64(float64(p.files)/max(u.Wall.Seconds(), 1e-9))))
	}
	return w.String()
}

// overhead is how much more CPU u takes than basic.
func overhead(u, basic usage) string {
	if basic.CPU <= 0 {
		return "-"
	}
	return fmt.Sprintf("%+.1f %%", 100*(float64(u.CPU)/float64(basic.CPU)-1))
}

// perUnit is that time by a number of files or bytes; "-" if it was lost in
// the noise.
func perUnit(u, basic usage, n float64) string {
	if n <= 0 || u.CPU <= basic.CPU {
		return "-"
	}
	d := float64(u.CPU-basic.CPU) / n
	if d >= float64(time.Millisecond) {
		return seconds(time.Duration(d))
	}
	return fmt.Sprintf("%.1f µs", d/float64(time.Microsecond))
}
