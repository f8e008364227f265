package extract

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Bounds of what is looked at of an Arrow file.
const (
	maxArrowBatches  = 10_000  // whose rows are added up
	maxArrowMetadata = 1 << 20 // bytes of the metadata of one, and of the head of all
)

func arrowFormat() *Format {
	return &Format{
		Name:      "arrow",
		Version:   1,
		MediaType: "application/vnd.apache.arrow.file",
		Keys: []Key{
			{"rows", "integer", "", "number of rows; absent where the record batches of a large file are out of reach"},
			{"batches", "integer", "", "number of record batches"},
			{"width", "integer", "", "number of columns"},
			{"columns", "array of string", "", "names of columns, the first 2000"},
			{"types", "array of string", "", "types of columns: int64, string, timestamp(us), decimal(10,2), list, struct, dictionary …"},
			{"metadata", "array of string", "", "names of the metadata of the schema, the first 1000; absent for none"},
		},
		Match: func(f *File) bool {
			return f.Size >= 8+4+6 && bytes.HasPrefix(f.Head, []byte("ARROW1\x00\x00"))
		},
		Tail:    true,
		Extract: extractArrow,
	}
}

// extractArrow reads the footer of an Arrow IPC file (Feather version 2): a
// flatbuffer, its length in four bytes, and a magic word.
func extractArrow(f *File, m *Meta) error {
	var end [10]byte
	if _, err := f.ReadAt(end[:], f.Size-10); err != nil {
		return fmt.Errorf("read Arrow footer: %w", err)
	}
	if string(end[4:]) != "ARROW1" {
		return errors.New("read Arrow footer: there is none; the file is cut short")
	}
	size := int64(binary.LittleEndian.Uint32(end[:]))
	if size > f.Size-18 {
		return fmt.Errorf("read Arrow footer: its %d bytes are more than the file has", size)
	}
	if size > HeadSize+TailSize {
		return fmt.Errorf("read Arrow footer: its %d bytes are more than is looked at, %d", size, TailSize-10)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, f.Size-10-size); err != nil {
		return fmt.Errorf("read Arrow footer of %d bytes: %w", size, err)
	}
	footer, ok := flatRoot(b)
	schema, ok2 := footer.table(1)
	if !ok || !ok2 {
		return errors.New("read Arrow footer: it has no schema")
	}
	describeArrow(schema, m)
	blocks, n := footer.vector(3, 24)
	m.Set("batches", n)
	rows, err := arrowRows(f, footer.b[blocks:], n)
	if err == nil {
		m.Set("rows", rows)
	} else if !errors.Is(err, ErrBeyond) {
		return fmt.Errorf("read Arrow record batches: %w", err)
	}
	return nil
}

// describeArrow sets what a schema says.
func describeArrow(schema flatTable, m *Meta) {
	columns, types := []string{}, []string{}
	fields, n := schema.vector(1, 4)
	for i := range min(n, maxColumns) {
		field, ok := flatAt(schema.b, fields+4*i)
		if !ok {
			break
		}
		columns, types = append(columns, quote(field.bytes(0))), append(types, arrowType(field))
	}
	m.Set("width", n)
	m.Set("columns", columns)
	m.Set("types", types)
	var names []string
	pairs, n := schema.vector(2, 4)
	for i := range min(n, maxKeys) {
		if pair, ok := flatAt(schema.b, pairs+4*i); ok {
			names = append(names, quote(pair.bytes(0)))
		}
	}
	if len(names) > 0 {
		m.Set("metadata", names)
	}
}

// arrowType returns the name of the type of a Field.
func arrowType(field flatTable) string {
	if _, ok := field.table(4); ok {
		return "dictionary"
	}
	t, _ := field.table(3)
	units := [...]string{"(s)", "(ms)", "(us)", "(ns)"}
	unit := func(standard int64) string { return units[t.integer(0, 2, standard)&3] }
	switch kind := field.integer(2, 1, 0); kind {
	case 2:
		name := fmt.Sprintf("int%d", t.integer(0, 4, 0))
		if t.integer(1, 1, 0) == 0 {
			name = "u" + name
		}
		return name
	case 3:
		return [...]string{"float16", "float", "double", "float"}[t.integer(0, 2, 0)&3]
	case 7:
		return fmt.Sprintf("decimal(%d,%d)", t.integer(0, 4, 0), t.integer(1, 4, 0))
	case 8:
		return [...]string{"date", "date(ms)"}[t.integer(0, 2, 1)&1]
	case 9:
		return "time" + unit(1)
	case 10:
		return "timestamp" + unit(0)
	case 15:
		return fmt.Sprintf("fixed(%d)", t.integer(0, 4, 0))
	case 18:
		return "duration" + unit(1)
	default:
		names := [...]string{1: "null", 4: "binary", 5: "string", 6: "boolean", 11: "interval", 12: "list", 13: "struct", 14: "union", 16: "list", 17: "map",
			19: "binary", 20: "string", 21: "list", 22: "run-end encoded", 23: "binary", 24: "string", 25: "list", 26: "list"}
		if kind > 0 && kind < int64(len(names)) && names[kind] != "" {
			return names[kind]
		}
		return fmt.Sprintf("type %d", kind)
	}
}

// arrowRows adds up the rows of all record batches, each a Message before its
// data; blocks say where. ErrBeyond says that one is out of reach.
func arrowRows(f *File, blocks []byte, n int) (int64, error) {
	if n > maxArrowBatches {
		return 0, ErrBeyond
	}
	rows, room := int64(0), int64(maxArrowMetadata)
	for i := range n {
		offset := int64(binary.LittleEndian.Uint64(blocks[24*i:]))
		size := int64(int32(binary.LittleEndian.Uint32(blocks[24*i+8:])))
		if size < 8 || offset < 0 {
			return 0, fmt.Errorf("batch %d has no metadata", i)
		}
		if room -= size; room < 0 {
			return 0, ErrBeyond
		}
		b := make([]byte, size)
		if _, err := f.ReadAt(b, offset); err != nil {
			return 0, fmt.Errorf("batch %d: %w", i, err)
		}
		if binary.LittleEndian.Uint32(b) == 1<<32-1 {
			b = b[4:] // as written since version 0.15
		}
		message, ok := flatRoot(b[4:])
		batch, ok2 := message.table(2)
		length := batch.integer(0, 8, 0)
		if !ok || !ok2 || message.integer(1, 1, 0) != 3 || length < 0 {
			return 0, fmt.Errorf("batch %d is no record batch", i)
		}
		rows += length
	}
	return rows, nil
}

// A flatTable is a table of a flatbuffer. What lies outside of the buffer
// reads as absent.
type flatTable struct {
	b      []byte
	at     int
	vtable []byte // offsets of fields, two bytes each
}

// flatRoot returns the root of a buffer.
func flatRoot(b []byte) (flatTable, bool) { return flatAt(b, 0) }

// flatAt returns the table that the offset at a place refers to.
func flatAt(b []byte, place int) (flatTable, bool) {
	at, ok := flatFollow(b, place)
	if !ok {
		return flatTable{}, false
	}
	v := int64(at) - int64(int32(binary.LittleEndian.Uint32(b[at:])))
	if v < 0 || v+4 > int64(len(b)) {
		return flatTable{}, false
	}
	size := int64(binary.LittleEndian.Uint16(b[v:]))
	if size < 4 || v+size > int64(len(b)) {
		return flatTable{}, false
	}
	return flatTable{b, at, b[v+4 : v+size]}, true
}

// flatFollow returns where the offset at a place leads to, four bytes at least
// before the end.
func flatFollow(b []byte, place int) (int, bool) {
	if place < 0 || place+4 > len(b) {
		return 0, false
	}
	at := int64(place) + int64(binary.LittleEndian.Uint32(b[place:]))
	return int(at), at+4 <= int64(len(b))
}

// field returns where a field of some bytes lies.
func (t flatTable) field(i, size int) (int, bool) {
	if 2*i+2 > len(t.vtable) {
		return 0, false
	}
	offset := int(binary.LittleEndian.Uint16(t.vtable[2*i:]))
	return t.at + offset, offset != 0 && t.at+offset+size <= len(t.b)
}

// integer returns a field of 1, 2, 4 or 8 bytes, or what stands for its
// absence.
func (t flatTable) integer(i, size int, absent int64) int64 {
	at, ok := t.field(i, size)
	if !ok {
		return absent
	}
	switch size {
	case 1:
		return int64(t.b[at])
	case 2:
		return int64(int16(binary.LittleEndian.Uint16(t.b[at:])))
	case 4:
		return int64(int32(binary.LittleEndian.Uint32(t.b[at:])))
	}
	return int64(binary.LittleEndian.Uint64(t.b[at:]))
}

// table returns a field that is a table.
func (t flatTable) table(i int) (flatTable, bool) {
	at, ok := t.field(i, 4)
	if !ok {
		return flatTable{}, false
	}
	return flatAt(t.b, at)
}

// vector returns where the items of a field lie that is a vector of items of
// some bytes, and how many there are.
func (t flatTable) vector(i, size int) (start, n int) {
	at, ok := t.field(i, 4)
	if !ok {
		return 0, 0
	}
	if at, ok = flatFollow(t.b, at); !ok {
		return 0, 0
	}
	count := int64(binary.LittleEndian.Uint32(t.b[at:]))
	if count > int64(len(t.b)-at-4)/int64(size) {
		return 0, 0
	}
	return at + 4, int(count)
}

// bytes returns a field that is a string, at most maxField bytes.
func (t flatTable) bytes(i int) []byte {
	start, n := t.vector(i, 1)
	return t.b[start : start+min(n, maxField)]
}
