package extract

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Bounds of what is kept of a database while it streams by.
const (
	maxSQLitePages  = 4 << 20 // that are noted for counting rows, 8 bytes each and 4 for a child
	maxSchemaPages  = 4096    // of the schema
	maxSchemaBytes  = 8 << 20 // of those pages
	maxSQLiteTables = 1000    // that are described
	maxSQL          = 64 << 10
)

func sqliteFormat() *Format {
	return &Format{
		Name:      "sqlite",
		Version:   1,
		MediaType: "application/vnd.sqlite3",
		Keys: []Key{
			{"page_size", "integer", "bytes", "size of a page"},
			{"pages", "integer", "", "number of pages"},
			{"encoding", "string", "", "encoding of text: utf-8, utf-16le or utf-16be"},
			{"user_version", "integer", "", "PRAGMA user_version; absent for 0"},
			{"application_id", "integer", "", "PRAGMA application_id; absent for 0"},
			{"wal", "boolean", "", "whether changes go to a write-ahead log, a file beside it that is not looked at; absent for false"},
			{"tables", "array of object", "", "tables by name, the first 1000: name, rows, columns and types, or module for virtual ones"},
			{"views", "array of string", "", "names of views; absent for none"},
			{"indexes", "integer", "", "number of indexes"},
			{"triggers", "integer", "", "number of triggers; absent for none"},
		},
		Match: func(f *File) bool {
			if !f.hasMagic(0, sqliteMagic) {
				return false
			}
			_, err := parseSQLiteHeader(f.Head)
			return err == nil
		},
		Stream: func(f *File) Stream { return newSQLiteStream(f) },
	}
}

// A sqliteHeader is the first 100 bytes of a database ("Database File
// Format", section 1.3).
type sqliteHeader struct {
	pageSize, usable int
	pages            uint32 // 0 if an old writer did not say
	encoding         uint32 // 1 to 3
	userVersion      int32
	applicationID    uint32
	wal              bool
}

// sqliteMagic is what a database begins with.
const sqliteMagic = "SQLite format 3\x00"

func parseSQLiteHeader(b []byte) (sqliteHeader, error) {
	var h sqliteHeader
	if len(b) < 100 || !bytes.HasPrefix(b, []byte(sqliteMagic)) {
		return h, errors.New("read database: it has no header of SQLite")
	}
	be := binary.BigEndian
	if h.pageSize = int(be.Uint16(b[16:])); h.pageSize == 1 {
		h.pageSize = 65536
	}
	if h.pageSize < 512 || h.pageSize&(h.pageSize-1) != 0 {
		return h, fmt.Errorf("read database: a page size of %d", h.pageSize)
	}
	h.usable = h.pageSize - int(b[20])
	if h.usable < 480 {
		return h, fmt.Errorf("read database: %d of %d bytes of a page are reserved", b[20], h.pageSize)
	}
	if be.Uint32(b[24:]) == be.Uint32(b[92:]) {
		h.pages = be.Uint32(b[28:])
	}
	h.encoding = be.Uint32(b[56:])
	h.userVersion = int32(be.Uint32(b[60:]))
	h.applicationID = be.Uint32(b[68:])
	h.wal = b[18] == 2
	return h, nil
}

// Kinds of pages of b-trees.
const (
	indexInterior = 0x02
	tableInterior = 0x05
	indexLeaf     = 0x0a
	tableLeaf     = 0x0d
)

// A pageNote is what counting rows needs of a page.
type pageNote struct {
	kids  uint32 // where its children begin in kids; it has one more than cells
	cells uint16
	kind  byte // see above, 0 for others
}

// A sqliteStream notes of each page its kind, the number of its cells and its
// children while the pages go by. In the end the rows of a table are counted
// from its root. Pages of the schema are kept.
type sqliteStream struct {
	header sqliteHeader
	err    error
	size   int64
	page   []byte // the page at hand, as far as it was cut by chunks
	number uint32 // of the last page that has gone by
	notes  []pageNote
	kids   []uint32
	schema sqliteSchema
}

func newSQLiteStream(f *File) *sqliteStream {
	s := &sqliteStream{size: f.Size}
	if s.header, s.err = parseSQLiteHeader(f.Head); s.err == nil {
		s.schema = sqliteSchema{header: s.header, size: f.Size, pages: map[uint32]*schemaPage{}}
		s.schema.want(1, true)
		s.schema.take(f.Head)
	}
	return s
}

// Write implements Stream.
func (s *sqliteStream) Write(p []byte) (int, error) {
	n := len(p)
	if s.err != nil {
		return n, nil
	}
	size := s.header.pageSize
	for len(p) > 0 {
		if len(s.page) == 0 && len(p) >= size {
			s.takePage(p[:size])
			p = p[size:]
			continue
		}
		c := min(len(p), size-len(s.page))
		s.page, p = append(s.page, p[:c]...), p[c:]
		if len(s.page) == size {
			s.takePage(s.page)
			s.page = s.page[:0]
		}
	}
	return n, nil
}

func (s *sqliteStream) takePage(p []byte) {
	s.number++
	s.schema.pass(s.number, p)
	if len(s.notes) == maxSQLitePages {
		return
	}
	note := pageNote{}
	if page, ok := parsePage(p, s.number); ok {
		note.kind, note.cells = page.kind, uint16(page.cells)
		if page.isInterior() {
			if page.cells >= 1<<16 || len(s.kids)+page.cells+1 > 2*maxSQLitePages {
				note.kind = 0
			} else {
				note.kids = uint32(len(s.kids))
				for i := range page.cells + 1 {
					s.kids = append(s.kids, page.child(i))
				}
			}
		}
	}
	s.notes = append(s.notes, note)
}

// A btreePage is a page of a b-tree ("Database File Format", section 1.6).
type btreePage struct {
	b     []byte
	start int // of its header
	kind  byte
	cells int
}

// parsePage returns page n of a database if it looks like one of a b-tree.
func parsePage(b []byte, n uint32) (btreePage, bool) {
	p := btreePage{b: b}
	if n == 1 {
		p.start = 100
	}
	p.kind = b[p.start]
	p.cells = int(binary.BigEndian.Uint16(b[p.start+3:]))
	switch p.kind {
	case indexInterior, tableInterior, indexLeaf, tableLeaf:
		return p, p.pointers()+2*p.cells <= len(b)
	}
	return p, false
}

func (p *btreePage) isInterior() bool { return p.kind == indexInterior || p.kind == tableInterior }

// pointers returns where the array of cell pointers begins.
func (p *btreePage) pointers() int {
	if p.isInterior() {
		return p.start + 12
	}
	return p.start + 8
}

// cell returns the page from cell i on, empty if that lies outside.
func (p *btreePage) cell(i int) []byte {
	off := int(binary.BigEndian.Uint16(p.b[p.pointers()+2*i:]))
	return p.b[min(off, len(p.b)):]
}

// child returns the number of a child of an interior page, 0 for damage. The
// last one, number cells, is the rightmost.
func (p *btreePage) child(i int) uint32 {
	if i == p.cells {
		return binary.BigEndian.Uint32(p.b[p.start+8:])
	}
	if c := p.cell(i); len(c) >= 4 {
		return binary.BigEndian.Uint32(c)
	}
	return 0
}

// countRows adds up the tree with the given root. Pages of seen are in other
// trees, or were met before, and so are damage.
func (s *sqliteStream) countRows(root uint32, seen []uint64) (int64, error) {
	rows, todo := int64(0), []uint32{root}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if n == 0 || int64(n) > int64(len(s.notes)) {
			return 0, fmt.Errorf("page %d is not there", n)
		}
		if seen[n/64]&(1<<(n%64)) != 0 {
			return 0, fmt.Errorf("page %d is used twice", n)
		}
		seen[n/64] |= 1 << (n % 64)
		note := s.notes[n-1]
		switch note.kind {
		case 0:
			return 0, fmt.Errorf("page %d is of no b-tree", n)
		case tableInterior, indexInterior:
			todo = append(todo, s.kids[note.kids:note.kids+uint32(note.cells)+1]...)
		}
		if note.kind != tableInterior { // WITHOUT ROWID is an index that holds rows in all pages
			rows += int64(note.cells)
		}
	}
	return rows, nil
}

// Finish implements Stream.
func (s *sqliteStream) Finish(m *Meta) error {
	if s.err != nil {
		return s.err
	}
	h := s.header
	m.Set("page_size", h.pageSize)
	m.Set("pages", int64(s.number))
	switch h.encoding {
	case 2:
		m.Set("encoding", "utf-16le")
	case 3:
		m.Set("encoding", "utf-16be")
	default:
		m.Set("encoding", "utf-8")
	}
	if h.userVersion != 0 {
		m.Set("user_version", int64(h.userVersion))
	}
	if h.applicationID != 0 {
		m.Set("application_id", int64(h.applicationID))
	}
	if h.applicationID == 0x47504B47 {
		m.SetMediaType("application/geopackage+sqlite3")
	}
	if h.wal {
		m.Set("wal", true)
	}
	objects, err := s.schema.objects()
	err = errors.Join(err, s.describe(m, objects))
	if h.pages > 0 && s.number < h.pages {
		return fmt.Errorf("read database: it ends after %d of %d pages", s.number, h.pages)
	}
	if err != nil {
		return fmt.Errorf("read database: %w", err)
	}
	return nil
}

// describe sets what the schema holds.
func (s *sqliteStream) describe(m *Meta, objects []schemaObject) error {
	counting := s.number <= uint32(len(s.notes))
	seen := make([]uint64, len(s.notes)/64+1)
	tables, views, indexes, triggers := []*Meta{}, []string{}, 0, 0
	var fault error
	for _, o := range objects {
		switch o.typ {
		case "view":
			if len(views) < maxSQLiteTables {
				views = append(views, quote([]byte(o.name)))
			}
		case "index":
			indexes++
		case "trigger":
			triggers++
		case "table":
			if len(tables) == maxSQLiteTables || strings.HasPrefix(o.name, "sqlite_") {
				continue
			}
			t := o.describe()
			tables = append(tables, t)
			if o.root == 0 || !counting {
				continue
			}
			rows, err := s.countRows(o.root, seen)
			if err == nil {
				t.Set("rows", rows)
			} else if fault == nil {
				fault = fmt.Errorf("count rows of table %q: %w", quote([]byte(o.name)), err)
			}
		}
	}
	m.Set("tables", tables)
	if len(views) > 0 {
		m.Set("views", views)
	}
	m.Set("indexes", indexes)
	if triggers > 0 {
		m.Set("triggers", triggers)
	}
	if !counting {
		return fmt.Errorf("rows are not counted beyond %d pages", maxSQLitePages)
	}
	return fault
}
