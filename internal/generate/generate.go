// Package generate is a dataset as Go source: one file that is a whole
// program, with the flags and the answers of an entrypoint and the data in
// it, as cdb of 2020 made it.
//
// What is written is a template of package text/template; [Print] runs it over
// a [Dataset]. The bundled one keeps the rows in one raw string literal, a line
// for each file, in printable ASCII without a backquote, so that no name can
// end the literal and the compiler has nothing to do but to copy it. The
// program reads rows where they lie: nothing is decoded, sorted or indexed
// when it starts.
package generate

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/data-containers/cdb/internal/catalog"
)

// Template is the source of the bundled template.
//
//go:embed entrypoint.go.tmpl
var Template string

// A Dataset is what templates are run over.
type Dataset struct {
	Generator string // the program that generates, with its version
	// Files are regular files and symbolic links, in byte order of paths.
	Files []File
	// Metrics are in byte order of names.
	Metrics []Metric
}

// A File is one file or link.
type File struct {
	Path string // as the program prints it
	Type string // "file" or "symlink"
	Size int64  // in bytes
	// SHA256 is in hex; of a link it is empty.
	SHA256 string
	// Metadata is what the program prints behind the path: most often JSON.
	Metadata string
	// Object says that Metadata is a JSON object, whose keys are metrics.
	Object bool
}

// A Metric is a key of metadata that files can be ordered and searched by.
type Metric struct {
	Name string
	// Order are the indexes in Files of those that have the key, in the order
	// of its values; files with equal values are in the order of paths. In
	// the order by this metric all other files come first.
	Order []int
}

// Metrics returns the metrics of files: the keys of their metadata, and always
// those that are named, even if no file has them.
func Metrics(files []File, always ...string) []Metric {
	type item struct {
		index int
		key   string
	}
	found := map[string][]item{}
	for _, name := range always {
		found[name] = nil
	}
	var key []byte
	for i := range files {
		if !files[i].Object {
			continue
		}
		catalog.Members(files[i].Metadata, func(name, raw string) bool {
			items := found[name]
			if len(items) > 0 && items[len(items)-1].index == i {
				return true // of equal keys the first one counts
			}
			key = catalog.AppendSortKey(key[:0], raw)
			found[name] = append(items, item{i, string(key)})
			return true
		})
	}
	metrics := make([]Metric, 0, len(found))
	for name, items := range found {
		slices.SortFunc(items, func(a, b item) int {
			return cmp.Or(strings.Compare(a.key, b.key), cmp.Compare(a.index, b.index))
		})
		m := Metric{Name: name, Order: make([]int, len(items))}
		for i, it := range items {
			m.Order[i] = it.index
		}
		metrics = append(metrics, m)
	}
	slices.SortFunc(metrics, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })
	return metrics
}

// Parse returns the bundled template, changed by a text of the user's: what it
// defines takes the place of the blocks of the bundled one, and if there is
// anything beside definitions in it, that is the whole template. name is where
// the text is from, for errors; "" is for no text.
func Parse(name, text string) (*template.Template, error) {
	t, err := template.New("entrypoint").Funcs(functions()).Parse(Template)
	if err != nil || name == "" {
		return t, err
	}
	user, err := t.New(strconv.Quote(name)).Parse(text) // in quotes it is the name of no block
	if err != nil {
		return nil, fmt.Errorf("parse %w", err)
	}
	if parse.IsEmptyTree(user.Root) {
		return t, nil
	}
	return user, nil
}

// Print writes what a template makes of a dataset.
func Print(w io.Writer, t *template.Template, d *Dataset) error {
	err := t.Execute(w, d)
	var ee template.ExecError
	if errors.As(err, &ee) {
		return fmt.Errorf("run %w", err)
	}
	return err
}

// functions are what templates can call beside what package text/template
// has.
func functions() template.FuncMap {
	return template.FuncMap{
		// quote is a string as a literal of Go, in ASCII.
		"quote": strconv.QuoteToASCII,
		// json is a string as a literal of JSON, in ASCII.
		"json": func(s string) string { return string(catalog.AppendString(nil, s)) },
		// rows are files as a raw string literal of Go with a line for each.
		"rows": rows,
		// order are indexes as a raw string literal of Go.
		"order": order,
	}
}

// rows returns a raw string literal: a line feed, and for each file its path,
// a tab, its metadata and a line feed.
func rows(files []File) string {
	var b bytes.Buffer
	b.WriteString("`\n")
	for i := range files {
		line := appendEscaped(b.AvailableBuffer(), files[i].Path)
		line = appendEscaped(append(line, '\t'), files[i].Metadata)
		b.Write(append(line, '\n'))
	}
	b.WriteByte('`')
	return b.String()
}

// appendEscaped appends s in printable ASCII without a backquote: backslashes
// are doubled, and all other bytes become \xHH.
func appendEscaped(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\\':
			b = append(b, '\\', '\\')
		case c < ' ' || c > '~' || c == '`':
			b = append(b, '\\', 'x', digits[c>>4], digits[c&15])
		default:
			b = append(b, c)
		}
	}
	return b
}

// lineLength is about how long lines of numbers become.
const lineLength = 100

// order returns a raw string literal of decimal numbers, where A-B stands for
// all from A to B.
func order(indexes []int) string {
	var b strings.Builder
	b.WriteByte('`')
	length := lineLength
	for i := 0; i < len(indexes); {
		j := i
		for j+1 < len(indexes) && indexes[j+1] == indexes[j]+1 {
			j++
		}
		n := strconv.Itoa(indexes[i])
		if j > i {
			n += "-" + strconv.Itoa(indexes[j])
		}
		i = j + 1
		sep := byte(' ')
		if length+1+len(n) > lineLength {
			sep, length = '\n', -1
		}
		b.WriteByte(sep)
		b.WriteString(n)
		length += 1 + len(n)
	}
	b.WriteByte('`')
	return b.String()
}
