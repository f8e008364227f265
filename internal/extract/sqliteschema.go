package extract

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"
)

// A sqliteSchema keeps the pages that the table sqlite_schema lies in.
type sqliteSchema struct {
	header  sqliteHeader
	size    int64 // of the file
	bytes   int   // kept so far
	passed  uint32
	pages   map[uint32]*schemaPage
	queue   []uint32 // wanted, not looked for in the head yet
	missing bool     // a page had gone by before it was wanted, or they are too many
}

// A schemaPage is a page that is wanted, and there once it has come.
type schemaPage struct {
	btree bool // not an overflow page
	b     []byte
}

// want asks for page n.
func (s *sqliteSchema) want(n uint32, btree bool) {
	if n == 0 || int64(n) > s.size/int64(s.header.pageSize) || s.pages[n] != nil {
		return
	}
	if len(s.pages) == maxSchemaPages || n <= s.passed {
		s.missing = true
		return
	}
	s.pages[n] = &schemaPage{btree: btree}
	s.queue = append(s.queue, n)
}

// take looks for the pages that are wanted in the head of the file.
func (s *sqliteSchema) take(head []byte) {
	for len(s.queue) > 0 {
		n := s.queue[0]
		s.queue = s.queue[1:]
		if end := int64(n) * int64(s.header.pageSize); end <= int64(len(head)) {
			s.keep(n, head[end-int64(s.header.pageSize):end])
		}
	}
}

// pass shows the schema a page that goes by.
func (s *sqliteSchema) pass(n uint32, b []byte) {
	s.passed = n
	if p := s.pages[n]; p != nil && p.b == nil {
		s.keep(n, b)
		s.queue = s.queue[:0]
	}
}

func (s *sqliteSchema) keep(n uint32, b []byte) {
	if s.bytes += len(b); s.bytes > maxSchemaBytes {
		s.missing = true
		return
	}
	p := s.pages[n]
	p.b = bytes.Clone(b)
	if !p.btree {
		s.want(binary.BigEndian.Uint32(b), false)
		return
	}
	page, ok := parsePage(p.b, n)
	switch {
	case ok && page.kind == tableInterior:
		for i := range page.cells + 1 {
			s.want(page.child(i), true)
		}
	case ok && page.kind == tableLeaf:
		for i := range page.cells {
			if _, _, next, ok := s.cell(page.cell(i)); ok && next != 0 {
				s.want(next, false)
			}
		}
	}
}

// cell takes a cell of a leaf apart: the size of its payload, the part that
// lies here, and the first overflow page.
func (s *sqliteSchema) cell(b []byte) (size uint64, local []byte, next uint32, ok bool) {
	size, n := sqliteVarint(b)
	_, k := sqliteVarint(b[n:])
	if n == 0 || k == 0 {
		return 0, nil, 0, false
	}
	b = b[n+k:]
	usable := uint64(s.header.usable)
	here := size
	if most := usable - 35; size > most {
		least := (usable-12)*32/255 - 23
		if here = least + (size-least)%(usable-4); here > most {
			here = least
		}
		if uint64(len(b)) < here+4 {
			return 0, nil, 0, false
		}
		next = binary.BigEndian.Uint32(b[here:])
	}
	if uint64(len(b)) < here {
		return 0, nil, 0, false
	}
	return size, b[:here], next, true
}

// payload returns the payload of a cell, at most maxSQL bytes of it.
func (s *sqliteSchema) payload(b []byte) ([]byte, bool) {
	size, local, next, ok := s.cell(b)
	if !ok || next == 0 {
		return local, ok
	}
	all := bytes.Clone(local)
	for next != 0 && uint64(len(all)) < size && len(all) < maxSQL {
		p := s.pages[next]
		if p == nil || p.b == nil || p.btree {
			break
		}
		rest := p.b[4:s.header.usable]
		all = append(all, rest[:min(uint64(len(rest)), size-uint64(len(all)))]...)
		next = binary.BigEndian.Uint32(p.b)
	}
	return all, true
}

// A schemaObject is a row of sqlite_schema.
type schemaObject struct {
	typ, name string
	root      uint32
	sql       string
}

// objects returns the rows of sqlite_schema by name. An error says that there
// are more.
func (s *sqliteSchema) objects() ([]schemaObject, error) {
	var all []schemaObject
	missing := s.missing
	room := 2 * maxSchemaBytes // cells of a hostile page may overlap
	for _, n := range slices.Sorted(maps.Keys(s.pages)) {
		p := s.pages[n]
		if !p.btree {
			continue
		}
		if p.b == nil {
			missing = true
			continue
		}
		page, ok := parsePage(p.b, n)
		if !ok {
			missing = true
			continue
		}
		for i := 0; page.kind == tableLeaf && i < page.cells; i++ {
			payload, ok := s.payload(page.cell(i))
			if room -= len(payload) + 64; !ok || room < 0 {
				missing = true
				break
			}
			all = append(all, s.object(payload))
		}
	}
	slices.SortStableFunc(all, func(a, b schemaObject) int { return strings.Compare(a.name, b.name) })
	if missing {
		return all, errors.New("parts of the schema are out of reach")
	}
	return all, nil
}

// object decodes a record ("Database File Format", section 2.1): type, name,
// tbl_name, rootpage, sql.
func (s *sqliteSchema) object(record []byte) schemaObject {
	var o schemaObject
	size, n := sqliteVarint(record)
	if n == 0 || size > uint64(len(record)) || size < uint64(n) {
		return o
	}
	types, body := record[n:size], record[size:]
	for column := 0; column < 5 && len(types) > 0; column++ {
		t, n := sqliteVarint(types)
		if n == 0 {
			return o
		}
		types = types[n:]
		length := serialLength(t)
		v := body[:min(length, uint64(len(body)))]
		body = body[len(v):]
		switch {
		case column == 3 && t <= 9:
			o.root = serialInteger(t, v)
		case t < 13 || t%2 == 0:
		case column == 0:
			o.typ = s.text(v)
		case column == 1:
			o.name = s.text(v)
		case column == 4:
			o.sql = s.text(v)
		}
	}
	return o
}

func serialLength(t uint64) uint64 {
	if t < 12 {
		return [...]uint64{0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0}[t]
	}
	return (t - 12) / 2
}

// serialInteger returns a page number, 0 for what is none.
func serialInteger(t uint64, b []byte) uint32 {
	if t == 9 {
		return 1
	}
	var n uint64
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	if n > 1<<32-2 {
		return 0
	}
	return uint32(n)
}

// text decodes text in the encoding of the database.
func (s *sqliteSchema) text(b []byte) string {
	var order binary.ByteOrder = binary.LittleEndian
	switch s.header.encoding {
	case 2:
	case 3:
		order = binary.BigEndian
	default:
		return string(b)
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = order.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}

// sqliteVarint decodes a variable-length integer and returns its length, 0 for
// one that is cut.
func sqliteVarint(b []byte) (uint64, int) {
	var v uint64
	for i, c := range b[:min(len(b), 9)] {
		if i == 8 {
			return v<<8 | uint64(c), 9
		}
		v = v<<7 | uint64(c&0x7f)
		if c < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// describe says what a table is made of.
func (o *schemaObject) describe() *Meta {
	m := &Meta{}
	m.Set("name", quote([]byte(o.name)))
	tokens := sqlTokens(o.sql)
	for i, t := range tokens {
		if t.is("(") {
			break
		}
		if t.is("USING") && i+1 < len(tokens) {
			m.Set("module", quote([]byte(tokens[i+1].text)))
			return m
		}
	}
	columns, types := tableColumns(tokens)
	m.Set("columns", columns)
	m.Set("types", types)
	return m
}

// tableColumns returns the names and declared types of the columns of a
// CREATE TABLE statement.
func tableColumns(tokens []sqlToken) (columns, types []string) {
	columns, types = []string{}, []string{}
	for len(tokens) > 0 && !tokens[0].is("(") {
		tokens = tokens[1:]
	}
	if len(tokens) == 0 {
		return columns, types
	}
	depth, start := 0, 1
	for i, t := range tokens {
		switch {
		case t.is("("):
			depth++
		case t.is(")"):
			depth--
		}
		if depth > 1 || depth == 1 && !t.is(",") && i < len(tokens)-1 {
			continue
		}
		if name, typ, ok := columnOf(tokens[start:i]); ok && len(columns) < maxColumns {
			columns, types = append(columns, name), append(types, typ)
		}
		if start = i + 1; depth == 0 {
			break
		}
	}
	return columns, types
}

// columnOf reads the definition of a column; one of a constraint of the table
// is none.
func columnOf(tokens []sqlToken) (name, typ string, ok bool) {
	if len(tokens) == 0 || tokens[0].is("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN") {
		return "", "", false
	}
	name = quote([]byte(tokens[0].text))
	for _, t := range tokens[1:] {
		if t.is("CONSTRAINT", "PRIMARY", "NOT", "NULL", "UNIQUE", "CHECK", "DEFAULT", "COLLATE", "REFERENCES", "GENERATED", "AS") {
			break
		}
		switch {
		case typ == "" || t.is("(", ")", ",") || strings.HasSuffix(typ, "("):
			typ += t.text
		case strings.HasSuffix(typ, ","):
			typ += t.text
		default:
			typ += " " + t.text
		}
		if len(typ) > maxField {
			break
		}
	}
	return name, quote([]byte(typ)), true
}

// A sqlToken is a word, a quoted name, or a sign.
type sqlToken struct {
	text   string
	quoted bool
}

// is says if t is one of words, whatever their case.
func (t sqlToken) is(words ...string) bool {
	for _, w := range words {
		if !t.quoted && strings.EqualFold(t.text, w) {
			return true
		}
	}
	return false
}

// sqlTokens cuts SQL into tokens, without comments.
func sqlTokens(sql string) []sqlToken {
	var all []sqlToken
	for i := 0; i < len(sql); {
		c := sql[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
			i++
		case strings.HasPrefix(sql[i:], "--"):
			i += skipPast(sql[i:], "\n")
		case strings.HasPrefix(sql[i:], "/*"):
			i += 2 + skipPast(sql[i+2:], "*/")
		case c == '"' || c == '\'' || c == '`' || c == '[':
			text, n := sqlQuoted(sql[i:])
			all = append(all, sqlToken{text, true})
			i += n
		case isWordByte(c):
			j := i
			for j < len(sql) && isWordByte(sql[j]) {
				j++
			}
			all = append(all, sqlToken{text: sql[i:j]})
			i = j
		default:
			all = append(all, sqlToken{text: sql[i : i+1]})
			i++
		}
	}
	return all
}

func isWordByte(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c-'0' <= 9 || (c|' ')-'a' < 26
}

func skipPast(s, end string) int {
	if i := strings.Index(s, end); i >= 0 {
		return i + len(end)
	}
	return len(s)
}

// sqlQuoted returns the quoted name or string that s begins with, and its
// length with the quotes.
func sqlQuoted(s string) (string, int) {
	if s[0] == '[' {
		n := skipPast(s, "]")
		return strings.TrimSuffix(s[1:n], "]"), n
	}
	var text strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != s[0] {
			text.WriteByte(s[i])
		} else if i+1 < len(s) && s[i+1] == s[0] {
			text.WriteByte(s[0])
			i++
		} else {
			return text.String(), i + 1
		}
	}
	return text.String(), len(s)
}
