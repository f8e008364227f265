package extract

import (
	"bytes"
	"errors"
	"fmt"
)

const (
	maxColumns = 2000 // that are described; more are counted
	maxField   = 408  // bytes of a field that are looked at, maxQuote characters and some
)

func csvFormat() *Format {
	samples := &samplePool{}
	return &Format{
		Name:      "csv",
		Version:   1,
		MediaType: "text/csv",
		Keys: []Key{
			{"delimiter", "string", "", "character between fields: comma, tab, semicolon or bar"},
			{"header", "boolean", "", "whether the first row holds names"},
			{"rows", "integer", "", "rows of data, without header, comments and blank lines"},
			{"width", "integer", "", "number of columns"},
			{"columns", "array of string", "", "names of columns, the first 2000; column1 … where there is no header"},
			{"types", "array of string", "", "types of columns over the whole file: boolean, integer, number, date, datetime, string, or null where all values are missing"},
			{"stats", "array of object", "", "for each column: name, type, missing (values that are empty, NA, n/a, NaN or null), min and max; text is cut to 100 characters"},
			{"ragged", "integer", "", "rows that have more or fewer fields than there are columns; absent for none"},
			{"comments", "integer", "", "lines at the top that begin with #; absent for none"},
			{"encoding", "string", "", "where it is not UTF-8: iso-8859-1 and windows-1252 are guesses"},
		},
		Match:  func(f *File) bool { return matchCSV(f, samples) },
		Stream: func(f *File) Stream { return newCSVStream(f, samples) },
	}
}

// Where a csvStream is.
const (
	atField   = iota // before the first byte of a field
	inField          // in one without quotes
	inQuotes         // between quotes
	pastQuote        // behind a quote that ends the field unless another follows
)

// A csvStream is RFC 4180 byte by byte, with some tolerance: any delimiter,
// LF, CRLF or CR, quotes within fields that do not begin with one are text.
type csvStream struct {
	dialect
	skip   int    // bytes still to pass before the first record
	first  bool   // the record at hand is the header
	state  uint8  // see above
	quoted bool   // the field at hand had quotes
	field  []byte // the begin of a field that did not lie in one chunk, at most maxField
	col    int    // fields of the record at hand so far
	cols   []column
	rows   int64
	ragged int64
	ends   [256]bool // the delimiter and the newline
	check  encodingCheck
}

func newCSVStream(f *File, samples *samplePool) *csvStream {
	sample := samples.get()
	defer samples.put(sample)
	d := sniff(f, sample)
	s := &csvStream{dialect: d, skip: d.begin, first: d.header && !d.above}
	s.cols = make([]column, min(len(d.names), maxColumns))
	for i := range s.cols {
		s.cols[i].reset(d.decimal)
	}
	s.ends[d.delimiter], s.ends[d.newline] = true, true
	return s
}

// Write implements Stream.
func (s *csvStream) Write(p []byte) (int, error) {
	n := len(p)
	if s.utf16 != "" {
		return n, nil
	}
	s.check.write(p)
	cut := min(s.skip, len(p))
	s.skip -= cut
	s.scan(p[cut:n:n]) // nothing may look behind p
	return n, nil
}

func (s *csvStream) scan(p []byte) {
	for i := 0; i < len(p); {
		switch s.state {
		case atField:
			if p[i] == '"' {
				s.state, s.quoted = inQuotes, true
				i++
				continue
			}
			s.state = inField
			fallthrough
		case inField:
			j := i
			for j < len(p) && !s.ends[p[j]] {
				j++
			}
			if j == len(p) {
				s.keep(p[i:])
				return
			}
			b := p[i:j]
			if len(s.field) > 0 {
				s.keep(b)
				b = s.field
			}
			s.endField(b, p[j])
			i = j + 1
		case inQuotes:
			j := bytes.IndexByte(p[i:], '"')
			if j < 0 {
				s.keep(p[i:])
				return
			}
			s.keep(p[i : i+j])
			s.state = pastQuote
			i += j + 1
		case pastQuote:
			switch c := p[i]; {
			case c == '"':
				s.keep(p[i : i+1])
				s.state = inQuotes
			case s.ends[c]:
				s.endField(s.field, c)
			case c != '\r':
				s.keep(p[i : i+1])
				s.state = inField
			}
			i++
		}
	}
}

// keep adds to the field at hand.
func (s *csvStream) keep(b []byte) {
	s.field = append(s.field, b[:min(len(b), maxField-len(s.field))]...)
}

// endField takes a field and the delimiter or newline that ends it.
func (s *csvStream) endField(b []byte, end byte) {
	b = trim(b)
	if end == s.newline && s.col == 0 && len(b) == 0 && !s.quoted {
		s.state, s.field = atField, s.field[:0]
		return // a blank line
	}
	if s.col < len(s.cols) && !s.first {
		s.cols[s.col].add(b[:min(len(b), maxField)])
	}
	s.col++
	s.state, s.quoted, s.field = atField, false, s.field[:0]
	if end == s.newline {
		s.endRecord()
	}
}

func (s *csvStream) endRecord() {
	switch {
	case s.first:
		s.first = false
		if !s.rowNames {
			s.width = s.col
		}
	default:
		s.rows++
		if s.col != s.width {
			s.ragged++
		}
	}
	s.col = 0
}

// Finish implements Stream.
func (s *csvStream) Finish(m *Meta) error {
	if s.utf16 != "" {
		m.Set("encoding", s.utf16)
		return errors.New("read table: its text is UTF-16; save it as UTF-8 to have it described")
	}
	var err error
	if s.state == inQuotes {
		err = fmt.Errorf("read table: a quote that opens in row %d is never closed", s.rows+1)
	}
	if s.state != atField || s.col > 0 {
		s.endField(s.field, s.newline)
	}
	if s.delimiter == '\t' {
		m.SetMediaType("text/tab-separated-values")
	}
	m.Set("delimiter", string(s.delimiter))
	m.Set("header", s.header)
	m.Set("rows", s.rows)
	m.Set("width", s.width)
	s.describe(m)
	if s.ragged > 0 {
		m.Set("ragged", s.ragged)
	}
	if s.comments > 0 {
		m.Set("comments", s.comments)
	}
	if e := s.check.encoding(); e != "ascii" && e != "utf-8" {
		m.Set("encoding", e)
	}
	return err
}

// describe sets what is known of each column.
func (s *csvStream) describe(m *Meta) {
	types := make([]string, len(s.cols))
	stats := make([]*Meta, len(s.cols))
	for i := range s.cols {
		c := &s.cols[i]
		types[i] = c.typ()
		stats[i] = newMeta(5)
		stats[i].Set("name", s.names[i])
		stats[i].Set("type", types[i])
		stats[i].Set("missing", s.rows-c.values)
		c.setRange(stats[i])
	}
	m.Set("columns", s.names[:len(s.cols)])
	m.Set("types", types)
	m.Set("stats", stats)
}

// trim returns b without spaces, tabs and carriage returns around it.
func trim(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }
