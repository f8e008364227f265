package extract

import (
	"bytes"
	"fmt"
	"strings"
)

// maxKeys bounds the keys that are named; more are passed over.
const maxKeys = 1000

// jsonSample is how much of a file tells JSON from other text.
const jsonSample = 64 << 10

func jsonFormat() *Format {
	return &Format{
		Name:      "json",
		Version:   1,
		MediaType: "application/json",
		Keys: []Key{
			{"type", "string", "", "type of the whole: object, array, string, integer, number, boolean or null"},
			{"keys", "array of string", "", "keys of the object, the first 1000"},
			{"items", "integer", "", "items of the array"},
			{"fields", "array of object", "", "for an array of objects, each key, the first 1000: name, types, count (objects that have it)"},
			{"depth", "integer", "", "how deep objects and arrays are nested"},
		},
		Match:  matchJSON,
		Stream: func(f *File) Stream { return newJSONStream(f, &jsonSummary{}, 2) },
	}
}

func jsonlFormat() *Format {
	return &Format{
		Name:      "jsonl",
		Version:   1,
		MediaType: "application/jsonl",
		Keys: []Key{
			{"records", "integer", "", "values, one a line"},
			{"fields", "array of object", "", "each key of the records, the first 1000: name, types, count (lines that have it)"},
			{"invalid", "integer", "", "lines that are not JSON; absent for none"},
		},
		Match: matchJSONL,
		Stream: func(f *File) Stream {
			s := newJSONStream(f, &jsonlSummary{ndjson: f.HasSuffix(".ndjson")}, 1)
			s.scanner.lines = true
			return s
		},
	}
}

// matchJSON takes JSON by its name, and under other names objects and arrays
// of objects.
func matchJSON(f *File) bool {
	b := afterMark(f.Head)
	if len(b) == 0 {
		return false
	}
	named, begins := f.HasSuffix(".json"), "{["
	if named {
		begins = `{["-0123456789tfn/`
	}
	if strings.IndexByte(begins, b[0]) < 0 || !looksLikeText(f.Head[:min(len(f.Head), 4096)]) {
		return false
	}
	if named {
		return true
	}
	shape := jsonShapeOf(f)
	return shape.roots == 1 && shape.object
}

// matchJSONL takes lines of JSON by their name, and under other names two or
// more objects, one a line.
func matchJSONL(f *File) bool {
	b := afterMark(f.Head)
	if len(b) == 0 || b[0] != '{' && b[0] != '[' {
		return false
	}
	if f.HasSuffix(".jsonl", ".ndjson", ".jsonlines") {
		return true
	}
	line, _, ok := bytes.Cut(b[:min(len(b), jsonSample)], []byte("\n"))
	if !ok || b[0] != '{' || !bytes.HasSuffix(bytes.TrimRight(line, " \r"), []byte("}")) {
		return false
	}
	return jsonShapeOf(f).roots > 1
}

// afterMark returns the head of a text without byte order mark and space.
func afterMark(head []byte) []byte {
	return bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
}

// A jsonShape is what the head of a file looks like as JSON. The zero value is
// no JSON.
type jsonShape struct {
	roots  int64
	object bool // an object with a key, or an array of such
}

func (s *jsonShape) key(depth int, _ []byte)               { s.object = s.object || depth <= 2 }
func (s *jsonShape) value(depth int, t jsonType, _ []byte) {}
func (s *jsonShape) end(int)                               {}

func jsonShapeOf(f *File) jsonShape {
	var shape jsonShape
	s := jsonScanner{handler: &shape, capture: -1, many: true}
	b := afterMark(f.Head)
	whole := f.Whole() && len(b) <= jsonSample
	if s.scan(b[:min(len(b), jsonSample)]) != nil || whole && s.finish() != nil {
		return jsonShape{}
	}
	shape.roots = s.roots
	return shape
}

// A jsonSummarizer is a handler that says in the end what it has seen.
type jsonSummarizer interface {
	jsonHandler
	summarize(s *jsonScanner, m *Meta)
}

// A jsonStream scans a file for a summary.
type jsonStream struct {
	scanner jsonScanner
	summary jsonSummarizer
	mark    int // bytes of a byte order mark to pass
	err     error
}

func newJSONStream(f *File, summary jsonSummarizer, capture int) *jsonStream {
	s := &jsonStream{summary: summary, scanner: jsonScanner{handler: summary, capture: capture}}
	if encoding, n := byteOrderMark(f.Head); encoding == "utf-8-bom" {
		s.mark = n
	}
	return s
}

// Write implements Stream.
func (s *jsonStream) Write(p []byte) (int, error) {
	n := len(p)
	cut := min(s.mark, len(p))
	s.mark -= cut
	s.scanner.offset += int64(cut)
	if s.err = s.scanner.scan(p[cut:]); s.err != nil {
		return 0, s.err
	}
	return n, nil
}

// Finish implements Stream.
func (s *jsonStream) Finish(m *Meta) error {
	if s.err != nil {
		return s.err
	}
	err := s.scanner.finish()
	if err != nil && s.scanner.lines {
		s.scanner.breakLine(err)
	} else if err != nil {
		return err
	}
	s.summary.summarize(&s.scanner, m)
	if n := s.scanner.broken; n > 0 {
		m.Set("invalid", n)
		return fmt.Errorf("read JSON lines: %d are not JSON; the first: %w", n, s.scanner.fault)
	}
	return nil
}

// A jsonSummary describes one value.
type jsonSummary struct {
	root   jsonType
	keys   []string
	items  int64
	fields jsonFields
}

func (s *jsonSummary) key(depth int, text []byte) {
	switch {
	case depth == 1 && len(s.keys) < maxKeys:
		s.keys = append(s.keys, jsonText(text))
	case depth == 2 && s.root == jsonArray:
		s.fields.key(text)
	}
}

func (s *jsonSummary) value(depth int, t jsonType, _ []byte) {
	switch {
	case depth == 0:
		s.root = t
	case depth == 1 && s.root == jsonArray:
		s.items++
		s.fields.record()
	case depth == 2 && s.root == jsonArray:
		s.fields.value(t)
	}
}

func (s *jsonSummary) end(int) {}

func (s *jsonSummary) summarize(scanner *jsonScanner, m *Meta) {
	if scanner.roots == 0 {
		return
	}
	m.Set("type", s.root.String())
	switch s.root {
	case jsonObject:
		m.Set("keys", s.keys)
	case jsonArray:
		m.Set("items", s.items)
		s.fields.set(m, "fields")
	}
	m.Set("depth", scanner.depth)
}

// A jsonlSummary describes one value a line.
type jsonlSummary struct {
	ndjson bool
	fields jsonFields
}

func (s *jsonlSummary) key(depth int, text []byte) {
	if depth == 1 {
		s.fields.key(text)
	}
}

func (s *jsonlSummary) value(depth int, t jsonType, _ []byte) {
	switch depth {
	case 0:
		s.fields.record()
	case 1:
		s.fields.value(t)
	}
}

func (s *jsonlSummary) end(int) {}

func (s *jsonlSummary) summarize(scanner *jsonScanner, m *Meta) {
	if s.ndjson {
		m.SetMediaType("application/x-ndjson")
	}
	m.Set("records", scanner.roots-min(scanner.broken, scanner.roots))
	s.fields.set(m, "fields")
}

// jsonFields is the union of the keys of objects, at most maxKeys.
type jsonFields struct {
	index map[string]int // by raw key
	all   []jsonField
	next  int // the field that most likely comes next
	at    int // the field whose value comes next, -1 for none
}

type jsonField struct {
	raw   string
	types [jsonTypes]bool
	count int64
}

// record begins an object.
func (f *jsonFields) record() { f.next, f.at = 0, -1 }

func (f *jsonFields) key(raw []byte) {
	f.at = -1
	if f.next < len(f.all) && f.all[f.next].raw == string(raw) {
		f.at = f.next
	} else if i, ok := f.index[string(raw)]; ok {
		f.at = i
	} else if len(f.all) < maxKeys {
		if f.index == nil {
			f.index = map[string]int{}
		}
		f.at = len(f.all)
		f.all = append(f.all, jsonField{raw: string(raw)})
		f.index[string(raw)] = f.at
	} else {
		return
	}
	f.all[f.at].count++
	f.next = f.at + 1
}

// value gives the last key its value.
func (f *jsonFields) value(t jsonType) {
	if f.at >= 0 {
		f.all[f.at].types[t] = true
	}
	f.at = -1
}

// set describes the fields, if there are any.
func (f *jsonFields) set(m *Meta, key string) {
	if len(f.all) == 0 {
		return
	}
	list := make([]*Meta, len(f.all))
	for i, field := range f.all {
		if field.types[jsonNumber] {
			field.types[jsonInteger] = false
		}
		types := []string{}
		for t, ok := range field.types {
			if ok {
				types = append(types, jsonType(t).String())
			}
		}
		list[i] = &Meta{}
		list[i].Set("name", jsonText([]byte(field.raw)))
		list[i].Set("types", types)
		list[i].Set("count", field.count)
	}
	m.Set(key, list)
}
