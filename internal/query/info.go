package query

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/standard"
	"github.com/data-containers/cdb/internal/tree"
)

// A fact is a line of -info.
type fact struct {
	name string // in text
	key  string // in JSON
	text string
	cell cell
}

// printInfo is -info: the dataset as a whole.
func (r *run) printInfo(ctx context.Context) error {
	if slices.Contains(standard.Formats(), r.format) {
		return r.printStandard(ctx)
	}
	ds := r.DB.Dataset()
	metrics, err := r.DB.Metrics(ctx)
	if err != nil {
		return err
	}
	facts := datasetFacts(ds)
	if r.format == "json" {
		return r.infoJSON(facts, ds, metrics)
	}
	for _, k := range slices.Sorted(maps.Keys(ds.Labels)) {
		facts = append(facts, fact{name: "Label " + k, text: ds.Labels[k]})
	}
	for _, name := range ds.QueryNames() {
		q := ds.Queries[name]
		facts = append(facts, fact{name: "Query " + name, text: describe(&q)})
	}
	text := "no"
	if r.DB.HasText() {
		text = "yes"
	}
	facts = append(facts, fact{name: "Full text", text: text})
	for i, m := range metrics {
		name := "Metrics"
		if i > 0 {
			name = ""
		}
		facts = append(facts, fact{name: name, text: m})
	}
	return r.infoText(facts)
}

// printStandard is -info in the form of a standard.
func (r *run) printStandard(ctx context.Context) error {
	var w io.Writer = r.out
	if r.StdoutTTY {
		lines := &visibleLines{w: w}
		defer lines.flush()
		w = lines
	}
	lacks, err := standard.Write(ctx, w, r.DB, r.format, standard.Options{Base: r.BaseURL})
	if err == nil && len(lacks) > 0 {
		fmt.Fprintf(r.Stderr, "%s: %s asks for what nobody said: %s\n", r.Name, r.format, strings.Join(lacks, ", "))
	}
	return err
}

// visibleLines makes visible, line by line, what could steer a terminal.
type visibleLines struct {
	w    io.Writer
	line []byte
}

func (v *visibleLines) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		line, after, ok := bytes.Cut(rest, []byte("\n"))
		v.line = append(v.line, line...)
		if ok {
			if err := v.flush(); err != nil {
				return 0, err
			}
			if _, err := io.WriteString(v.w, "\n"); err != nil {
				return 0, err
			}
		}
		rest = after
	}
	return len(p), nil
}

func (v *visibleLines) flush() error {
	_, err := io.WriteString(v.w, tree.Visible(string(v.line)))
	v.line = v.line[:0]
	return err
}

func datasetFacts(ds *catalog.Dataset) []fact {
	str := func(name, key, v string) fact { return fact{name, key, v, textCell(v)} }
	num := func(name, key string, n int64) fact {
		return fact{name, key, strconv.FormatInt(n, 10), intCell(n)}
	}
	preserved := str("Preserved", "preserved", strconv.FormatBool(ds.Preserved))
	preserved.cell.json = true
	var facts []fact
	for _, s := range ds.Said() {
		facts = append(facts, said(s)...)
	}
	facts = append(facts,
		str("Created", "created", ds.Created.UTC().Format(time.RFC3339)),
		str("Generator", "generator", ds.Generator))
	extracted := str("Extracted", "extract", strings.ReplaceAll(ds.Extract, ",", ", "))
	for _, line := range WrapList(ds.Extract) {
		extracted.text = line
		facts = append(facts, extracted)
		extracted.name, extracted.key = "", ""
	}
	return append(facts, []fact{
		str("Prefix", "prefix", ds.Prefix),
		num("Files", "files", ds.Files),
		num("Folders", "dirs", ds.Dirs),
		num("Links", "links", ds.Links),
		num("Bytes", "bytes", ds.Bytes),
		str("Digest", "digest", ds.Digest),
		preserved,
	}...)
}

// WrapList breaks a list of words with commas into lines that fit behind a name.
// Of an empty list there is one, empty line.
func WrapList(list string) []string {
	const width = 64
	lines := []string{""}
	for i, word := range strings.Split(list, ",") {
		last := &lines[len(lines)-1]
		switch {
		case i == 0:
			*last = word
		case len(*last)+len(word)+3 > width:
			*last += ","
			lines = append(lines, word)
		default:
			*last += ", " + word
		}
	}
	return lines
}

// said returns the lines for one thing that is said: of several values each
// has its own, but for words that are short.
func said(s catalog.Said) []fact {
	f := fact{name: s.Name, key: s.Key, cell: cell{Value: catalog.Value{Kind: catalog.Text, Text: s.JSON}, json: true}}
	if s.Key == "keywords" || s.Key == "languages" {
		f.text = strings.Join(s.Values, ", ")
		return []fact{f}
	}
	var facts []fact
	for _, v := range s.Values {
		f.text = v
		facts = append(facts, f)
		f.name, f.key = "", ""
	}
	return facts
}

// infoText aligns the values. A name or value may be anything that a user
// wrote, so line breaks are always visible.
func (r *run) infoText(facts []fact) error {
	width := 0
	for i := range facts {
		f := &facts[i]
		if f.name != "" {
			f.name = tree.Visible(f.name) + ":"
		}
		width = max(width, utf8.RuneCountInString(f.name))
	}
	for _, f := range facts {
		pad := width - utf8.RuneCountInString(f.name)
		if _, err := fmt.Fprintf(r.out, "%s%*s  %s\n", f.name, pad, "", tree.Visible(f.text)); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) infoJSON(facts []fact, ds *catalog.Dataset, metrics []string) error {
	b := []byte("{")
	for _, f := range facts {
		if f.key == "" { // one more line of the fact before
			continue
		}
		b = append(catalog.AppendString(b, f.key), ": "...)
		b = append(appendCell(b, f.cell), ",\n "...)
	}
	if len(ds.Origins) > 0 {
		b = append(appendMap(append(b, `"origins": `...), ds.Origins), ",\n "...)
	}
	b = appendMap(append(b, `"labels": `...), ds.Labels)
	b = append(b, ",\n \"queries\": {"...)
	for i, name := range ds.QueryNames() {
		if i > 0 {
			b = append(b, ", "...)
		}
		q := ds.Queries[name]
		b = append(catalog.AppendString(b, name), ": "...)
		b = append(b, q.JSON()...)
	}
	b = append(b, "},\n \"metrics\": ["...)
	for i, m := range metrics {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = catalog.AppendString(b, m)
	}
	b = fmt.Appendf(b, "],\n \"full_text\": %t}\n", r.DB.HasText())
	_, err := r.out.Write(b)
	return err
}

func appendMap(b []byte, m map[string]string) []byte {
	b = append(b, '{')
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(catalog.AppendString(b, k), ": "...)
		b = catalog.AppendString(b, m[k])
	}
	return append(b, '}')
}
