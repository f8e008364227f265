package query

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// A cell is a value of a row to print.
type cell struct {
	catalog.Value
	json bool // the text is JSON, and no string in JSON
}

func textCell(s string) cell { return cell{Value: catalog.Value{Kind: catalog.Text, Text: s}} }
func intCell(n int64) cell   { return cell{Value: catalog.Value{Kind: catalog.Integer, Int: n}} }

// plain returns c as text: NULL is empty, a blob is in hex.
func (c cell) plain() string {
	switch c.Kind {
	case catalog.Integer:
		return strconv.FormatInt(c.Int, 10)
	case catalog.Float:
		return formatFloat(c.Float)
	case catalog.Text:
		return c.Text
	case catalog.Blob:
		return hex.EncodeToString([]byte(c.Text))
	}
	return ""
}

// formatFloat returns f so that it can be told from an integer.
func formatFloat(f float64) string {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if strings.Trim(s, "-0123456789") == "" {
		s += ".0"
	}
	return s
}

// A printer prints rows in one format. Cells are valid until row returns.
type printer interface {
	begin(cols []string)
	row(cells []cell) error
	end() error
}

func (r *run) printer() printer {
	switch r.format {
	case "json":
		return &jsonPrinter{run: r, open: "[", sep: ",\n ", close: "]\n"}
	case "jsonl":
		return &jsonPrinter{run: r, sep: "\n", close: "\n"}
	case "csv":
		return &csvPrinter{run: r, sep: ','}
	case "tsv":
		return &csvPrinter{run: r, sep: '\t'}
	}
	return &tablePrinter{run: r}
}

// A jsonPrinter prints an object per row. Names that are not UTF-8 keep their
// bytes twice: as lone surrogates, and in base64 under another key.
type jsonPrinter struct {
	*run
	open, sep, close string
	keys             []string // as JSON strings
	cols             []string
	n                int
	buf              []byte
}

func (p *jsonPrinter) begin(cols []string) {
	p.cols = cols
	for _, c := range cols {
		p.keys = append(p.keys, string(catalog.AppendString(nil, c)))
	}
}

func (p *jsonPrinter) row(cells []cell) error {
	b := p.buf[:0]
	if p.n == 0 {
		b = append(b, p.open...)
	} else {
		b = append(b, p.sep...)
	}
	p.n++
	b = append(b, '{')
	for i, c := range cells {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(append(b, p.keys[i]...), ": "...)
		b = appendCell(b, c)
		if c.Kind == catalog.Text && !utf8.ValidString(c.Text) {
			b = append(b, ", "...)
			b = catalog.AppendString(b, p.cols[i]+"_base64")
			b = append(b, `: "`...)
			b = base64.StdEncoding.AppendEncode(b, []byte(c.Text))
			b = append(b, '"')
		}
	}
	p.buf = append(b, '}')
	return p.write(p.buf)
}

// write prints JSON. Of metadata it is as the extractors wrote it, and could
// hold what a terminal must not see.
func (p *jsonPrinter) write(b []byte) error {
	if p.StdoutTTY {
		lines := strings.Split(string(b), "\n")
		for i, l := range lines {
			lines[i] = tree.Visible(l)
		}
		b = []byte(strings.Join(lines, "\n"))
	}
	_, err := p.out.Write(b)
	return err
}

func appendCell(b []byte, c cell) []byte {
	switch {
	case c.json:
		return append(b, c.Text...)
	case c.Kind == catalog.Text:
		return catalog.AppendString(b, c.Text)
	case c.Kind == catalog.Blob:
		return append(hex.AppendEncode(append(b, '"'), []byte(c.Text)), '"')
	case c.Kind == catalog.Null || c.Kind == catalog.Float && (math.IsInf(c.Float, 0) || math.IsNaN(c.Float)):
		return append(b, "null"...)
	}
	return append(b, c.plain()...)
}

func (p *jsonPrinter) end() error {
	if p.n == 0 {
		if p.open == "" {
			return nil
		}
		_, err := p.out.WriteString(p.open + p.close)
		return err
	}
	_, err := p.out.WriteString(p.close)
	return err
}

// A csvPrinter quotes as RFC 4180 says; lines end as on Unix.
type csvPrinter struct {
	*run
	sep byte
	buf []byte
	err error
}

func (p *csvPrinter) begin(cols []string) {
	cells := make([]cell, len(cols))
	for i, c := range cols {
		cells[i] = textCell(c)
	}
	p.err = p.row(cells)
}

func (p *csvPrinter) row(cells []cell) error {
	b := p.buf[:0]
	for i, c := range cells {
		if i > 0 {
			b = append(b, p.sep)
		}
		b = p.field(b, c.plain(), len(cells) == 1)
	}
	p.buf = append(b, '\n')
	if p.err != nil {
		return p.err
	}
	_, err := p.out.Write(p.buf)
	return err
}

// field appends a field. One that is empty and alone is quoted, or its line
// would be none.
func (p *csvPrinter) field(b []byte, s string, alone bool) []byte {
	if p.StdoutTTY {
		s = tree.Visible(s)
	}
	if !strings.ContainsAny(s, "\"\r\n") && strings.IndexByte(s, p.sep) < 0 && !(alone && s == "") {
		return append(b, s...)
	}
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(s, `"`, `""`)...)
	return append(b, '"')
}

func (p *csvPrinter) end() error { return p.err }

// A tablePrinter aligns columns. Widths are those of the first rows, so that
// a result of any length takes no memory.
type tablePrinter struct {
	*run
	widths []int
	right  []bool
	held   [][]string
	bytes  int
	open   bool // widths are fixed
	buf    []byte
}

const (
	tableRows  = 1000
	tableBytes = 1 << 20
	tableWidth = 100 // of a column; what is longer shifts its line
)

func (p *tablePrinter) begin(cols []string) {
	p.widths, p.right = make([]int, len(cols)), make([]bool, len(cols))
	for i := range p.right {
		p.right[i] = true
	}
	p.hold(cols)
}

func (p *tablePrinter) hold(row []string) {
	for i, s := range row {
		// Whatever the output is, a line break in a cell is no table.
		row[i] = tree.Visible(s)
		p.widths[i] = min(tableWidth, max(p.widths[i], utf8.RuneCountInString(row[i])))
		p.bytes += len(row[i]) + 16
	}
	p.held = append(p.held, row)
}

func (p *tablePrinter) row(cells []cell) error {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = c.plain()
		if !p.open && c.Kind != catalog.Null {
			p.right[i] = p.right[i] && (c.Kind == catalog.Integer || c.Kind == catalog.Float)
		}
	}
	if p.open {
		for i, s := range row {
			row[i] = tree.Visible(s)
		}
		return p.line(row)
	}
	p.hold(row)
	if len(p.held) >= tableRows || p.bytes >= tableBytes {
		return p.end()
	}
	return nil
}

// end prints what is held back; rows after it are printed at once.
func (p *tablePrinter) end() error {
	if p.open {
		return nil
	}
	p.open = true
	for i, row := range p.held {
		if err := p.line(row); err != nil {
			return err
		}
		if i == 0 {
			rule := make([]string, len(row))
			for c, w := range p.widths {
				rule[c] = strings.Repeat("-", w)
			}
			if err := p.line(rule); err != nil {
				return err
			}
		}
	}
	p.held = nil
	return nil
}

func (p *tablePrinter) line(row []string) error {
	b := p.buf[:0]
	for i, s := range row {
		if i > 0 {
			b = append(b, "  "...)
		}
		pad := max(0, p.widths[i]-utf8.RuneCountInString(s))
		if !p.right[i] {
			b = append(b, s...)
		}
		if p.right[i] || i < len(row)-1 {
			for range pad {
				b = append(b, ' ')
			}
		}
		if p.right[i] {
			b = append(b, s...)
		}
	}
	p.buf = append(bytes.TrimRight(b, " "), '\n')
	_, err := p.out.Write(p.buf)
	return err
}
