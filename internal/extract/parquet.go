package extract

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// maxParquetSchema bounds the groups and columns of a schema, each of which
// may be a single byte of the footer.
const maxParquetSchema = 1 << 17

func parquetFormat() *Format {
	return &Format{
		Name:      "parquet",
		Version:   1,
		MediaType: "application/vnd.apache.parquet",
		Keys: []Key{
			{"rows", "integer", "", "number of rows"},
			{"row_groups", "integer", "", "number of row groups"},
			{"width", "integer", "", "number of columns, the leaves of nested ones"},
			{"columns", "array of string", "", "names of columns, the first 2000; those of nested ones are paths with dots"},
			{"types", "array of string", "", "types of columns: the logical type where there is one (string, timestamp(us), decimal(10,2)), the physical one otherwise"},
			{"codecs", "array of string", "", "compression codecs of columns"},
			{"uncompressed", "integer", "bytes", "size of all columns before compression"},
			{"metadata", "array of string", "", "names of the key-value metadata, the first 1000; absent for none"},
			{"created_by", "string", "", "program that wrote it"},
		},
		Match: func(f *File) bool {
			return f.Size >= 12 && (bytes.HasPrefix(f.Head, []byte("PAR1")) || bytes.HasPrefix(f.Head, []byte("PARE")))
		},
		Tail:    true,
		Extract: extractParquet,
	}
}

// extractParquet reads the footer of a file: FileMetaData of the Parquet
// format, its length in four bytes, and a magic number.
func extractParquet(f *File, m *Meta) error {
	var end [8]byte
	if _, err := f.ReadAt(end[:], f.Size-8); err != nil {
		return fmt.Errorf("read Parquet footer: %w", err)
	}
	switch string(end[4:]) {
	case "PAR1":
	case "PARE":
		return errors.New("read Parquet footer: it is encrypted")
	default:
		return errors.New("read Parquet footer: there is none; the file is cut short")
	}
	size := int64(binary.LittleEndian.Uint32(end[:]))
	if size > f.Size-12 {
		return fmt.Errorf("read Parquet footer: its %d bytes are more than the file has", size)
	}
	if size > HeadSize+TailSize {
		return fmt.Errorf("read Parquet footer: its %d bytes are more than is looked at, %d", size, TailSize-8)
	}
	footer := make([]byte, size)
	if _, err := f.ReadAt(footer, f.Size-8-size); err != nil {
		return fmt.Errorf("read Parquet footer of %d bytes: %w", size, err)
	}
	p := parquetFooter{codecs: map[int64]bool{}}
	r := &thriftReader{b: footer}
	p.read(r)
	if r.err != nil {
		return fmt.Errorf("read Parquet footer: %w", r.err)
	}
	return p.describe(m)
}

// A parquetFooter is what of FileMetaData is described.
type parquetFooter struct {
	schema       []parquetElement
	rows         int64
	groups       int
	codecs       map[int64]bool
	uncompressed int64
	metadata     []string
	createdBy    []byte
}

func (p *parquetFooter) read(r *thriftReader) {
	r.fields(func(id int, t byte) bool {
		switch {
		case id == 2 && t == thriftList:
			r.list(func(byte) { p.readElement(r) })
		case id == 3 && t == thriftI64:
			p.rows = r.integer()
		case id == 4 && t == thriftList:
			r.list(func(byte) {
				p.groups++
				p.readGroup(r)
			})
		case id == 5 && t == thriftList:
			r.list(func(byte) { p.readKey(r) })
		case id == 6 && t == thriftBinary:
			p.createdBy = r.bytes()
		default:
			return false
		}
		return true
	})
}

// readGroup reads a RowGroup.
func (p *parquetFooter) readGroup(r *thriftReader) {
	r.fields(func(id int, t byte) bool {
		switch {
		case id == 1 && t == thriftList:
			r.list(func(byte) { p.readChunk(r) })
		case id == 2 && t == thriftI64:
			p.uncompressed += r.integer()
		default:
			return false
		}
		return true
	})
}

// readChunk reads a ColumnChunk, and of its ColumnMetaData the codec.
func (p *parquetFooter) readChunk(r *thriftReader) {
	r.fields(func(id int, t byte) bool {
		if id != 3 || t != thriftStruct {
			return false
		}
		r.fields(func(id int, t byte) bool {
			if id != 4 || t != thriftI32 {
				return false
			}
			if c := r.integer(); len(p.codecs) < 16 {
				p.codecs[c] = true
			}
			return true
		})
		return true
	})
}

// readKey reads the key of a KeyValue.
func (p *parquetFooter) readKey(r *thriftReader) {
	r.fields(func(id int, t byte) bool {
		if id != 1 || t != thriftBinary {
			return false
		}
		if b := r.bytes(); len(p.metadata) < maxKeys {
			p.metadata = append(p.metadata, quote(b[:min(len(b), maxField)]))
		}
		return true
	})
}

// A parquetElement is a SchemaElement.
type parquetElement struct {
	name             []byte
	physical         int64 // -1 for a group
	length           int64 // of a fixed_len_byte_array
	children         int64
	converted        int64 // -1 for none
	scale, precision int64
	logical          string
}

func (p *parquetFooter) readElement(r *thriftReader) {
	e := parquetElement{physical: -1, converted: -1}
	r.fields(func(id int, t byte) bool {
		switch {
		case id == 4 && t == thriftBinary:
			e.name = r.bytes()
		case id == 10 && t == thriftStruct:
			e.logical = readLogicalType(r)
		case t != thriftI32:
			return false
		case id == 1:
			e.physical = r.integer()
		case id == 2:
			e.length = r.integer()
		case id == 5:
			e.children = r.integer()
		case id == 6:
			e.converted = r.integer()
		case id == 7:
			e.scale = r.integer()
		case id == 8:
			e.precision = r.integer()
		default:
			return false
		}
		return true
	})
	if len(p.schema) == maxParquetSchema {
		r.fail(fmt.Errorf("its schema has more than %d elements", maxParquetSchema))
		return
	}
	p.schema = append(p.schema, e)
}

// readLogicalType reads the union LogicalType, "" for those that say nothing
// about a leaf.
func readLogicalType(r *thriftReader) string {
	name := ""
	r.fields(func(id int, t byte) bool {
		if t != thriftStruct {
			return false
		}
		args := readTypeArguments(r)
		switch id {
		case 1:
			name = "string"
		case 4:
			name = "enum"
		case 5:
			name = fmt.Sprintf("decimal(%d,%d)", args[2], args[1])
		case 6:
			name = "date"
		case 7:
			name = "time" + timeUnit(args[2])
		case 8:
			name = "timestamp" + timeUnit(args[2])
		case 10:
			name = fmt.Sprintf("int%d", args[1])
			if args[2] == 0 {
				name = "u" + name
			}
		case 11:
			name = "null"
		case 12:
			name = "json"
		case 13:
			name = "bson"
		case 14:
			name = "uuid"
		case 15:
			name = "float16"
		case 17:
			name = "geometry"
		case 18:
			name = "geography"
		}
		return true
	})
	return name
}

// readTypeArguments reads the two first fields of a logical type as numbers:
// booleans as 1 and 0, unions as the number of what is set.
func readTypeArguments(r *thriftReader) (args [3]int64) {
	r.fields(func(id int, t byte) bool {
		if id < 1 || id > 2 {
			return false
		}
		switch t {
		case thriftTrue:
			args[id] = 1
		case thriftFalse:
		case thriftByte:
			args[id] = int64(int8(r.byte()))
		case thriftI32:
			args[id] = r.integer()
		case thriftStruct:
			r.fields(func(unit int, _ byte) bool {
				args[id] = int64(unit)
				return false
			})
		default:
			return false
		}
		return true
	})
	return args
}

func timeUnit(unit int64) string {
	switch unit {
	case 1:
		return "(ms)"
	case 2:
		return "(us)"
	case 3:
		return "(ns)"
	}
	return ""
}

// typ returns the name of the type of a leaf.
func (e *parquetElement) typ() string {
	if e.logical != "" {
		return e.logical
	}
	if e.converted == 5 {
		return fmt.Sprintf("decimal(%d,%d)", e.precision, e.scale)
	}
	converted := [...]string{0: "string", 4: "enum", 6: "date", 7: "time(ms)", 8: "time(us)", 9: "timestamp(ms)", 10: "timestamp(us)",
		11: "uint8", 12: "uint16", 13: "uint32", 14: "uint64", 15: "int8", 16: "int16", 17: "int32", 18: "int64", 19: "json", 20: "bson", 21: "interval"}
	if e.converted >= 0 && e.converted < int64(len(converted)) && converted[e.converted] != "" {
		return converted[e.converted]
	}
	physical := [...]string{"boolean", "int32", "int64", "int96", "float", "double", "binary"}
	if e.physical >= 0 && e.physical < int64(len(physical)) {
		return physical[e.physical]
	}
	if e.physical == 7 {
		return fmt.Sprintf("fixed(%d)", e.length)
	}
	return fmt.Sprintf("type %d", e.physical)
}

// describe sets what was read.
func (p *parquetFooter) describe(m *Meta) error {
	columns, types, width := []string{}, []string{}, 0
	err := p.leaves(func(path []byte, e *parquetElement) {
		if width++; width <= maxColumns {
			columns, types = append(columns, quote(path)), append(types, e.typ())
		}
	})
	m.Set("rows", p.rows)
	m.Set("row_groups", p.groups)
	m.Set("width", width)
	m.Set("columns", columns)
	m.Set("types", types)
	codecs := []string{}
	for c := range p.codecs {
		codecs = append(codecs, codecName(c))
	}
	slices.Sort(codecs)
	m.Set("codecs", codecs)
	m.Set("uncompressed", p.uncompressed)
	if len(p.metadata) > 0 {
		m.Set("metadata", p.metadata)
	}
	m.SetString("created_by", quote(p.createdBy[:min(len(p.createdBy), maxField)]))
	return err
}

func codecName(c int64) string {
	names := [...]string{"none", "snappy", "gzip", "lzo", "brotli", "lz4", "zstd", "lz4_raw"}
	if c >= 0 && c < int64(len(names)) {
		return names[c]
	}
	return fmt.Sprintf("codec %d", c)
}

// leaves calls visit for each leaf of the schema, which is a tree in
// pre-order. Paths are cut to maxField bytes.
func (p *parquetFooter) leaves(visit func(path []byte, e *parquetElement)) error {
	type group struct {
		left int64 // children still to come
		path int   // length of the path of the group
	}
	if len(p.schema) == 0 {
		return errors.New("read Parquet footer: it has no schema")
	}
	var path []byte
	open := []group{{left: p.schema[0].children}}
	for i := range p.schema[1:] {
		e := &p.schema[i+1]
		for len(open) > 0 && open[len(open)-1].left <= 0 {
			open = open[:len(open)-1]
		}
		if len(open) == 0 {
			return errors.New("read Parquet footer: its schema is no tree")
		}
		top := &open[len(open)-1]
		top.left--
		path = path[:top.path]
		if len(path) > 0 {
			path = append(path, '.')
		}
		path = append(path, e.name...)
		path = path[:min(len(path), maxField)]
		if e.physical < 0 {
			open = append(open, group{e.children, len(path)})
		} else {
			visit(path, e)
		}
	}
	return nil
}
