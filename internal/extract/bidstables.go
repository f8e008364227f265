package extract

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"
)

// Limits of the tables of a BIDS dataset.
const (
	maxBIDSTable   = 16 << 20 // bytes of one
	maxBIDSColumns = 200
	maxBIDSColumn  = 128     // bytes of the name of a column
	maxBIDSRow     = 8 << 10 // bytes of JSON of what one row says of a file
)

// What a row and a table hold beside their text, in bytes.
const (
	bidsRowCost   = 64
	bidsTableCost = 1 << 10
)

// A bidsTable is a table whose rows are found by what identifies them.
type bidsTable struct {
	columns []bidsColumn // of those of the file; those without a key are left out
	rows    map[string]string
}

type bidsColumn struct {
	key  string // "participants.age"
	cost int    // of the key in JSON, in bytes
}

// table reads the table at a path. Each row is found by its cells in the
// columns ids, which identify makes one text of.
func (l *bidsLoader) table(ctx context.Context, path, namespace string, ids []string, identify func(cells []string) string) (*bidsTable, error) {
	text, err := l.read(ctx, path, maxBIDSTable)
	if err != nil {
		return nil, err
	}
	if !l.spend(len(text) + bidsTableCost) {
		return nil, errBIDSBudget
	}
	head, rest, _ := strings.Cut(strings.TrimPrefix(string(text), "\uFEFF"), "\n")
	t := &bidsTable{rows: map[string]string{}}
	at, err := t.setColumns(head, namespace, ids)
	if err != nil && at == nil {
		return nil, err
	}
	problems := []error{err}
	cells := make([]string, len(ids))
	for line := 2; rest != ""; line++ {
		var row string
		row, rest, _ = strings.Cut(rest, "\n")
		if row = strings.TrimSuffix(row, "\r"); row == "" {
			continue
		}
		for i, n := range at {
			cells[i] = bidsCell(row, n)
		}
		id := identify(cells)
		if _, twice := t.rows[id]; twice || id == "" {
			if len(problems) < 2 {
				problems = append(problems, fmt.Errorf("line %d is left out: %q is missing or there before", line, strings.Join(ids, " and ")))
			}
			continue
		}
		if !l.spend(bidsRowCost) {
			return t, errBIDSBudget
		}
		t.rows[id] = row
	}
	return t, errors.Join(problems...)
}

// setColumns reads the first line and returns where the columns ids are. An
// error without them is of a table that is of no use.
func (t *bidsTable) setColumns(head, namespace string, ids []string) (at []int, err error) {
	names := strings.SplitN(strings.TrimSuffix(head, "\r"), "\t", maxBIDSColumns+1)
	if len(names) > maxBIDSColumns {
		names = names[:maxBIDSColumns]
		err = fmt.Errorf("it has more than %d columns; the others are left out", maxBIDSColumns)
	}
	seen := map[string]int{}
	for i, name := range names {
		name = strings.TrimSpace(name)
		key := namespace + "." + name
		if _, twice := seen[name]; twice || name == "" || len(name) > maxBIDSColumn {
			key = ""
			err = fmt.Errorf("column %d is left out: its name is empty, too long or there before", i+1)
		} else {
			seen[name] = i
		}
		t.columns = append(t.columns, bidsColumn{key, len(`"": , `) + bidsCost(key)})
	}
	for _, id := range ids {
		i, ok := seen[id]
		if !ok {
			return nil, fmt.Errorf("it has no column %s", id)
		}
		at = append(at, i)
		t.columns[i].key = ""
	}
	return at, err
}

// set sets what the row of this id says; false if there is none.
func (t *bidsTable) set(m *Meta, id string) bool {
	if t == nil {
		return false
	}
	row, ok := t.rows[id]
	if !ok {
		return false
	}
	size := 0
	for _, c := range t.columns {
		var cell string
		cell, row, ok = strings.Cut(row, "\t")
		if cell = strings.TrimSpace(cell); c.key != "" && cell != "" && cell != "n/a" {
			if size += c.cost + bidsCost(cell); size > maxBIDSRow {
				break
			}
			m.Set(c.key, bidsValue(cell))
		}
		if !ok {
			break
		}
	}
	return true
}

// bidsCell returns a cell of a row, "" for one that is not there.
func bidsCell(row string, n int) string {
	for ; n > 0; n-- {
		_, rest, ok := strings.Cut(row, "\t")
		if !ok {
			return ""
		}
		row = rest
	}
	cell, _, _ := strings.Cut(row, "\t")
	return strings.TrimSpace(cell)
}

// bidsCost is at least the bytes of s in JSON without its quotes.
func bidsCost(s string) int {
	n := len(s)
	for i := range len(s) {
		switch c := s[i]; {
		case c < 0x20 || c >= 0x7f:
			n += 5
		case c == '"' || c == '\\':
			n++
		}
	}
	return n
}

// bidsValue returns a cell as a number if it is written like one of JSON,
// which "007" is not, else as it is.
func bidsValue(cell string) any {
	digits, point := strings.TrimPrefix(cell, "-"), false
	for i := range len(digits) {
		switch c := digits[i]; {
		case c >= '0' && c <= '9':
		case i > 0 && strings.IndexByte(".eE+-", c) >= 0:
			point = true
		default:
			return cell
		}
	}
	if digits == "" || len(digits) > 30 || len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' {
		return cell
	}
	if !point {
		if n, err := strconv.ParseInt(cell, 10, 64); err == nil {
			return n
		}
		return cell // an identifier: as a number it would lose digits
	}
	if f, err := strconv.ParseFloat(cell, 64); err == nil && !math.IsInf(f, 0) && digits[len(digits)-1] != '.' {
		return f
	}
	return cell
}

// tables reads all tables that were found.
func (l *bidsLoader) tables(ctx context.Context) error {
	for _, f := range l.found {
		var t *bidsTable
		var err error
		d := f.dataset
		switch f.suffix {
		case "participants":
			t, err = l.table(ctx, f.path, "participants", []string{"participant_id"}, func(c []string) string {
				return strings.TrimPrefix(c[0], "sub-")
			})
			d.participants = t
		case "samples":
			t, err = l.table(ctx, f.path, "samples", []string{"participant_id", "sample_id"}, func(c []string) string {
				return bidsSample(strings.TrimPrefix(c[0], "sub-"), strings.TrimPrefix(c[1], "sample-"))
			})
			d.samples = t
		case "sessions":
			t, err = l.table(ctx, f.path, "sessions", []string{"session_id"}, func(c []string) string {
				return strings.TrimPrefix(c[0], "ses-")
			})
			d.sessions[f.get("sub")] = t
		case "scans":
			t, err = l.table(ctx, f.path, "scans", []string{"filename"}, func(c []string) string {
				if c[0] == "" {
					return ""
				}
				return path.Clean(c[0])
			})
			d.scans[f.folder] = t
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if l.warn(f.path, err); err == errBIDSBudget {
			return nil
		}
	}
	return nil
}

func bidsSample(subject, sample string) string { return subject + "_" + sample }
