package query

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// A form is what a line of a listing says.
type form int

const (
	withMeta   form = iota // PATH JSON
	pathOnly               // PATH
	byMetric               // a header, then PATH: JSON
	withMetric             // PATH VALUE
)

// selection turns the flags into a query and a form. Flags of the first cdb
// alone are never combined: the first of ls, get, search, metric counts.
func (r *run) selection() (catalog.Query, form) {
	if r.plain {
		switch {
		case r.ls:
			return catalog.Query{}, pathOnly
		case r.get != "":
			return catalog.Query{Get: r.get}, withMeta
		case r.metric != "" && r.search != "":
			return catalog.Query{Metric: r.metric, Search: r.search}, withMetric
		case r.metric != "":
			return catalog.Query{Order: r.metric}, byMetric
		}
		return catalog.Query{}, withMeta
	}
	q := catalog.Query{
		Get: r.get, Text: r.text, Where: r.where, Metric: r.metric, Search: r.search,
		Order: r.order, Desc: r.desc, Limit: r.limit, Timeout: r.timeout,
	}
	if q.Search == "" && r.metric != "" {
		q.Order = r.metric
	}
	switch {
	case r.ls:
		return q, pathOnly
	case r.search != "":
		return q, withMetric
	case r.metric != "":
		return q, byMetric
	}
	return q, withMeta
}

// list prints what the selection finds.
func (r *run) list(ctx context.Context) error {
	q, form := r.selection()
	switch {
	case r.count:
		n, err := r.DB.Count(ctx, q)
		if err != nil {
			return err
		}
		if r.format == "json" {
			_, err = fmt.Fprintf(r.out, "{\"count\": %d}\n", n)
			return err
		}
		_, err = fmt.Fprintln(r.out, n)
		return err
	case r.format != "":
		return r.listRows(ctx, q, form)
	case form == byMetric && !r.zero:
		if _, err := r.out.Write(append(r.str([]byte("Order by "), r.metric), '\n')); err != nil {
			return err
		}
	}
	var line []byte
	for row, err := range r.DB.Select(ctx, q) {
		if err != nil {
			return err
		}
		line = r.appendLine(line[:0], row, form)
		if _, err := r.out.Write(line); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) appendLine(b []byte, row *catalog.Row, form form) []byte {
	if r.zero {
		return append(append(b, row.Path...), 0)
	}
	b = r.str(b, row.Path)
	switch form {
	case withMeta, byMetric:
		if form == byMetric {
			b = append(b, ':')
		}
		b = append(b, ' ')
		if !r.StdoutTTY {
			b = row.Entry.AppendJSON(b)
		} else {
			b = tree.AppendVisible(b, string(row.Entry.AppendJSON(nil)))
		}
	case withMetric:
		b = r.str(append(b, ' '), row.Value)
	}
	return append(b, '\n')
}

// str appends text from the catalog: its bytes, or on a terminal what it
// can show of them.
func (r *run) str(b []byte, s string) []byte {
	if r.StdoutTTY {
		return tree.AppendVisible(b, s)
	}
	return append(b, s...)
}

// listRows prints the selection in one of the formats.
func (r *run) listRows(ctx context.Context, q catalog.Query, form form) error {
	cols := []string{"path", "type", "size", "sha256", "mtime", "mode", "link", "meta"}
	switch form {
	case pathOnly:
		cols = []string{"path"}
	case withMetric:
		cols = []string{"path", r.metric}
	}
	p := r.printer()
	p.begin(cols)
	for row, err := range r.DB.Select(ctx, q) {
		if err != nil {
			return err
		}
		cells := []cell{textCell(row.Path)}
		switch form {
		case withMetric:
			cells = append(cells, textCell(row.Value))
		case withMeta, byMetric:
			cells = append(cells, entryCells(row.Entry)...)
		}
		if err := p.row(cells); err != nil {
			return err
		}
	}
	return p.end()
}

// entryCells returns the columns behind the path, as view files has them.
func entryCells(e *catalog.Entry) []cell {
	size, digest, link, meta := cell{}, cell{}, cell{}, cell{}
	if e.Type == tree.File {
		size = intCell(e.Size)
		digest = textCell(fmt.Sprintf("%x", e.SHA256))
	}
	if e.Link != "" {
		link = textCell(e.Link)
	}
	if e.Meta != "" {
		meta = textCell(e.Meta)
		meta.json = catalog.ValidJSON(e.Meta)
	}
	mode := strconv.FormatUint(uint64(e.Mode)|0o10000, 8)[1:]
	return []cell{textCell(e.Type.String()), size, digest, intCell(e.ModTime.Unix()), textCell(mode), link, meta}
}

// runSQL is -sql.
func (r *run) runSQL(ctx context.Context) error {
	rows, err := r.DB.SQL(ctx, r.sql, catalog.SQLOptions{MaxRows: r.maxRows, Timeout: r.timeout, Params: r.params})
	if err != nil {
		return err
	}
	defer rows.Close()
	p := r.printer()
	p.begin(rows.Columns())
	n := 0
	cells := make([]cell, len(rows.Columns()))
	for row, err := range rows.All() {
		if err != nil {
			if n == 0 {
				return err
			}
			// What was found before a limit is still an answer.
			return errors.Join(p.end(), err)
		}
		for i, v := range row {
			cells[i] = cell{Value: v}
		}
		n++
		if err := p.row(cells); err != nil {
			return err
		}
		if n == r.limit { // of a named query
			break
		}
	}
	return p.end()
}
