package extract

import (
	"bytes"
	"fmt"
	"slices"
)

// maxYAMLLine bounds the part of a line that is looked at.
const maxYAMLLine = 64 << 10

func yamlFormat() *Format {
	return &Format{
		Name:      "yaml",
		Version:   1,
		MediaType: "application/yaml",
		Keys: []Key{
			{"documents", "integer", "", "number of documents"},
			{"type", "string", "", "type of the first document: object, array, string, integer, number, boolean or null"},
			{"keys", "array of string", "", "keys of the documents that are objects, the first 1000"},
			{"items", "integer", "", "items of the documents that are arrays in block style"},
		},
		Match: func(f *File) bool {
			return f.HasSuffix(".yaml", ".yml") && len(f.Head) > 0 && looksLikeText(f.Head[:min(len(f.Head), sampleSize)])
		},
		Stream: func(f *File) Stream { return &yamlStream{indent: -1} },
	}
}

// A yamlStream finds the roots of YAML documents and their keys by the
// indentation of lines. It follows no alias and builds no tree, so its time
// is linear and its memory bounded whatever the file holds; nor does it check
// what is nested.
type yamlStream struct {
	line    []byte // the line at hand, at most maxYAMLLine
	number  int64  // of the line
	cut     int64  // the first line that was longer
	started bool   // the document at hand has a marker or content
	indent  int    // of the root of the document, -1 before its first line
	root    string // its type
	flow    yamlFlow
	flowTop bool // the root is in flow style
	inBlock bool // the lines that are indented more than block are the text of a block scalar
	block   int
	seen    map[string]bool

	documents int64
	first     string
	keys      []string
	items     int64
	arrays    bool
}

// Write implements Stream.
func (s *yamlStream) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		part := p
		if i >= 0 {
			part = p[:i]
		}
		room := maxYAMLLine - len(s.line)
		if len(part) > room && s.cut == 0 {
			s.cut = s.number + 1
		}
		s.line = append(s.line, part[:min(len(part), room)]...)
		if i < 0 {
			return n, nil
		}
		s.endLine()
		p = p[i+1:]
	}
	return n, nil
}

func (s *yamlStream) endLine() {
	s.number++
	line := s.line
	if s.number == 1 {
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	s.take(bytes.TrimRight(line, " \t\r"))
	s.line = s.line[:0]
}

// take takes a line.
func (s *yamlStream) take(line []byte) {
	marker := len(line) == 3 || len(line) > 3 && (line[3] == ' ' || line[3] == '\t')
	switch {
	case marker && string(line[:3]) == "---":
		s.endDocument()
		s.started = true
		if rest := bytes.TrimLeft(line[3:], " \t"); len(rest) > 0 && rest[0] != '#' {
			s.begin(0, rest)
		}
		return
	case marker && string(line[:3]) == "...":
		s.endDocument()
		return
	case s.flow.open():
		s.takeFlow(line)
		return
	}
	text := bytes.TrimLeft(line, " ")
	if len(text) == 0 || text[0] == '#' || !s.started && text[0] == '%' {
		return
	}
	indent := len(line) - len(text)
	s.inBlock = s.inBlock && indent > s.block
	switch {
	case s.inBlock:
		return
	case s.indent < 0:
		s.begin(indent, text)
	case indent == s.indent && s.root == "object" && !s.flowTop:
		s.takeKey(text)
	case indent == s.indent && s.root == "array" && !s.flowTop:
		s.takeItem(text)
	case s.root == "object" || s.root == "array":
		// What is nested matters as far as a quote or bracket stays open.
		s.takeNested(indent, text)
	}
}

// begin takes the first line of a document.
func (s *yamlStream) begin(indent int, text []byte) {
	s.started = true
	if text = afterProperties(text); len(text) == 0 || text[0] == '#' {
		return
	}
	s.indent = indent
	_, _, isKey := yamlKey(text)
	switch {
	case isEntry(text, '-'):
		s.root = "array"
		s.takeItem(text)
	case isKey || isEntry(text, '?'):
		s.root = "object"
		s.takeKey(text)
	case text[0] == '{' || text[0] == '[':
		if s.root = "array"; text[0] == '{' {
			s.root = "object"
		}
		s.flowTop = true
		s.takeFlow(text)
	case text[0] == '"' || text[0] == '\'':
		s.root = "string"
	default:
		s.root = yamlScalar(text)
	}
	if s.documents == 0 {
		s.first = s.root
	}
}

// yamlScalar returns the type of a scalar in the core schema.
func yamlScalar(text []byte) string {
	if i := bytes.Index(text, []byte(" #")); i >= 0 {
		text = bytes.TrimRight(text[:i], " ")
	}
	if s := string(text); s == "~" || s == "null" || s == "Null" || s == "NULL" {
		return "null"
	}
	switch parseScalar(text, 0).kind {
	case isBoolean:
		return "boolean"
	case isInteger:
		return "integer"
	case isNumber:
		return "number"
	}
	return "string"
}

func (s *yamlStream) takeKey(text []byte) {
	if isEntry(text, '?') {
		text = append(bytes.TrimLeft(text[1:], " \t"), ':')
	}
	if isEntry(text, '-') || isEntry(text, ':') {
		s.takeNested(s.indent, text)
		return
	}
	key, value, ok := yamlKey(text)
	if !ok {
		return
	}
	s.addKey(key)
	s.openValue(s.indent, value)
}

func (s *yamlStream) addKey(raw []byte) {
	key := yamlText(raw)
	if s.seen == nil {
		s.seen = map[string]bool{}
	}
	if !s.seen[key] && len(s.keys) < maxKeys {
		s.seen[key] = true
		s.keys = append(s.keys, key)
	}
}

func (s *yamlStream) takeItem(text []byte) {
	if !isEntry(text, '-') {
		return
	}
	s.items++
	s.arrays = true
	s.takeNested(s.indent, text)
}

// takeNested looks at the value of a line of which neither key nor item count.
func (s *yamlStream) takeNested(indent int, text []byte) {
	owner := indent
	for isEntry(text, '-') || isEntry(text, ':') || isEntry(text, '?') {
		rest := bytes.TrimLeft(text[1:], " \t")
		owner, indent = indent, indent+len(text)-len(rest)
		text = rest
	}
	if _, value, ok := yamlKey(text); ok {
		owner, text = indent, value
	}
	s.openValue(owner, text)
}

// openValue looks if a value goes on in the lines that follow, whatever they
// look like: as a quote or bracket that stays open, or as a block scalar of a
// key or entry that is indented by owner.
func (s *yamlStream) openValue(owner int, value []byte) {
	if value = afterProperties(value); len(value) == 0 {
		return
	}
	switch value[0] {
	case '{', '[', '"', '\'':
		s.flow = yamlFlow{}
		s.flow.feed(value, nil)
	case '|', '>':
		s.inBlock, s.block = true, owner
	}
}

func (s *yamlStream) takeFlow(line []byte) {
	var visit func([]byte)
	if s.flowTop && s.root == "object" {
		visit = s.addKey
	}
	s.flow.feed(line, visit)
}

func (s *yamlStream) endDocument() {
	if s.started {
		if s.indent < 0 && s.documents == 0 {
			s.first = "null"
		}
		s.documents++
	}
	s.started, s.indent, s.root, s.flowTop, s.flow, s.inBlock = false, -1, "", false, yamlFlow{}, false
}

// Finish implements Stream.
func (s *yamlStream) Finish(m *Meta) error {
	if len(s.line) > 0 {
		s.endLine()
	}
	s.endDocument()
	m.Set("documents", s.documents)
	m.SetString("type", s.first)
	if len(s.keys) > 0 {
		m.Set("keys", s.keys)
	}
	if s.arrays {
		m.Set("items", s.items)
	}
	if s.cut > 0 {
		return fmt.Errorf("read YAML: line %d is longer than %d bytes, so keys may be missing", s.cut, maxYAMLLine)
	}
	return nil
}

// isEntry says if text begins with an indicator (- ? :) of a block collection.
func isEntry(text []byte, c byte) bool {
	return len(text) > 0 && text[0] == c && (len(text) == 1 || text[1] == ' ' || text[1] == '\t')
}

// afterProperties returns text behind anchors and tags.
func afterProperties(text []byte) []byte {
	for len(text) > 0 && (text[0] == '&' || text[0] == '!') {
		i := bytes.IndexAny(text, " \t")
		if i < 0 {
			return nil
		}
		text = bytes.TrimLeft(text[i:], " \t")
	}
	return text
}

// yamlKey cuts a line into a raw key and the text of the value behind it.
func yamlKey(text []byte) (key, value []byte, ok bool) {
	text = afterProperties(text)
	if len(text) == 0 {
		return nil, nil, false
	}
	end := 0
	switch c := text[0]; c {
	case '"', '\'':
		if end = quoteEnd(text); end < 0 {
			return nil, nil, false
		}
		if rest := bytes.TrimLeft(text[end:], " \t"); len(rest) == 0 || rest[0] != ':' {
			return nil, nil, false
		}
		key = text[:end]
		end += bytes.IndexByte(text[end:], ':')
	case '{', '[', '#', '|', '>', '@', '`', '%':
		return nil, nil, false
	default:
		for {
			i := bytes.IndexByte(text[end:], ':')
			if i < 0 {
				return nil, nil, false
			}
			if end += i; end+1 == len(text) || text[end+1] == ' ' || text[end+1] == '\t' {
				break
			}
			end++
		}
		if key = bytes.TrimRight(text[:end], " \t"); bytes.Contains(key, []byte(" #")) {
			return nil, nil, false
		}
	}
	return key, bytes.TrimLeft(text[end+1:], " \t"), true
}

// quoteEnd returns the length of the quoted text at the begin, -1 if it does
// not end.
func quoteEnd(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && text[0] == '"':
			i++
		case text[i] != text[0]:
		case text[0] == '\'' && i+1 < len(text) && text[i+1] == '\'':
			i++
		default:
			return i + 1
		}
	}
	return -1
}

// yamlText returns the text of a key. The escapes of double quotes are those
// of JSON and some that are left as they are.
func yamlText(raw []byte) string {
	if len(raw) >= 2 && raw[0] == raw[len(raw)-1] && (raw[0] == '"' || raw[0] == '\'') {
		inner := raw[1 : len(raw)-1]
		if raw[0] == '"' {
			return jsonText(inner[:min(len(inner), maxField)])
		}
		raw = bytes.ReplaceAll(inner, []byte("''"), []byte("'"))
	}
	return quote(raw[:min(len(raw), maxField)])
}

// A yamlFlow follows a flow collection or quoted text over lines.
type yamlFlow struct {
	depth int
	quote byte   // that is open
	last  byte   // that was no space, 0 for none yet: quotes open behind signs alone
	token []byte // of depth 1 so far, at most maxField
}

// open says if the next line goes on with it.
func (f *yamlFlow) open() bool { return f.depth > 0 || f.quote != 0 }

// feed takes a line, and calls visit for each key at depth 1.
func (f *yamlFlow) feed(line []byte, visit func(key []byte)) {
	for i := 0; i < len(line); i++ {
		c := line[i]
		inToken := f.depth == 1
		switch {
		case f.quote == '"' && c == '\\':
			f.keep(line[i:min(i+2, len(line))])
			i++
			continue
		case f.quote == '\'' && c == '\'' && i+1 < len(line) && line[i+1] == '\'':
			f.keep(line[i : i+2])
			i++
			continue
		case f.quote != 0:
			if c == f.quote {
				f.quote = 0
			}
		case c == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t'):
			return
		case (c == '"' || c == '\'') && bytes.IndexByte([]byte("\x00{[,:?"), f.last) >= 0:
			f.quote = c
		case c == '{' || c == '[':
			f.depth++
			inToken = false
		case c == '}' || c == ']':
			if f.depth--; f.depth <= 0 {
				*f = yamlFlow{}
				return
			}
			inToken = false
		case c == ',' && f.depth == 1:
			f.token, inToken = f.token[:0], false
		case c == ':' && f.depth == 1 && f.endsKey(line[i+1:]):
			if visit != nil {
				visit(bytes.Clone(bytes.TrimSpace(f.token)))
			}
			f.token = append(f.token[:0], ':')
			inToken = false
		}
		if c != ' ' && c != '\t' {
			f.last = c
		}
		if inToken {
			f.keep(line[i : i+1])
		} else if f.depth != 1 {
			f.token = f.token[:0]
		}
	}
	f.keep([]byte(" "))
}

// endsKey says if the colon before rest ends the token as a key.
func (f *yamlFlow) endsKey(rest []byte) bool {
	token := bytes.TrimSpace(f.token)
	if len(token) == 0 || token[0] == ':' {
		return false
	}
	quoted := token[0] == '"' || token[0] == '\''
	return quoted || len(rest) == 0 || slices.Contains([]byte(" \t,]}"), rest[0])
}

func (f *yamlFlow) keep(b []byte) {
	if f.depth == 1 {
		f.token = append(f.token, b[:min(len(b), maxField-len(f.token))]...)
	}
}
