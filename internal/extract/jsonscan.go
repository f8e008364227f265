package extract

import (
	"encoding/json"
	"errors"
	"fmt"
)

// maxDepth bounds how deep JSON may nest.
const maxDepth = 10_000

// jsonType is the type of a JSON value.
type jsonType uint8

const (
	jsonObject jsonType = iota
	jsonArray
	jsonString
	jsonInteger
	jsonNumber
	jsonBoolean
	jsonNull
	jsonTypes // their number
)

func (t jsonType) String() string {
	return [...]string{"object", "array", "string", "integer", "number", "boolean", "null"}[t]
}

// A jsonHandler is told what a jsonScanner sees. The depth of a value, and of
// its key, is the number of objects and arrays around it. Texts are valid
// during the call only, at most maxField bytes, and raw: escapes are as they
// are in the file. Those deeper than the scanner's capture are empty.
type jsonHandler interface {
	key(depth int, text []byte)
	value(depth int, t jsonType, text []byte) // of an object or array: it begins
	end(depth int)                            // of an object or array
}

// What a jsonScanner waits for, or is within.
const (
	jsonRoot       = iota // a value, or the end of the file
	jsonValue             // a value
	jsonFirstItem         // a value or ]
	jsonFirstKey          // a key or }
	jsonKey               // a key
	jsonColon             // :
	jsonNext              // , or the end of the object or array
	jsonInString          // "…
	jsonInEscape          // \…
	jsonInUnicode         // \u…
	jsonInNumber          //
	jsonInLiteral         // true, false, null
	jsonSkipToLine        // the rest of a line that is not JSON
)

// A jsonScanner checks JSON (RFC 8259) as it streams by. Its memory is bounded
// by maxDepth and maxField. The zero value with a handler is ready.
type jsonScanner struct {
	handler jsonHandler
	capture int  // greatest depth of texts that the handler wants
	many    bool // values may follow each other
	lines   bool // they do, one a line: a line that is not JSON is passed over

	state   uint8
	isKey   bool // the string at hand is a key
	number  numberState
	hex     int    // digits of \u still to come
	literal string // the rest of true, false or null
	stack   []bool // of the open objects and arrays: is it an object
	text    []byte

	offset int64 // of the chunk at hand in the file
	roots  int64 // values at depth 0 that have begun
	depth  int   // greatest so far
	line   int64 // newlines so far, counted if lines is set
	broken int64 // lines that are not JSON
	fault  error // why the first of them is not
}

// scan takes the next chunk. After an error no more may come.
func (s *jsonScanner) scan(p []byte) error {
	for i := 0; i < len(p); {
		if p[i] == ' ' && s.state <= jsonNext {
			i++
			continue
		}
		var err error
		if i, err = s.step(p, i); err != nil {
			err = fmt.Errorf("read JSON: byte %d: %w", s.offset+int64(i), err)
			if !s.lines {
				return err
			}
			s.breakLine(err)
		}
	}
	s.offset += int64(len(p))
	return nil
}

// breakLine gives up the line at hand.
func (s *jsonScanner) breakLine(err error) {
	if s.broken++; s.broken == 1 {
		s.fault = fmt.Errorf("line %d: %w", s.line+1, err)
	}
	s.state, s.stack = jsonSkipToLine, s.stack[:0]
}

// step takes p[i] and what of p goes with it, and returns where to go on, or
// where the fault is.
func (s *jsonScanner) step(p []byte, i int) (int, error) {
	c := p[i]
	switch s.state {
	case jsonInString:
		return s.inString(p, i)
	case jsonInEscape:
		if err := s.escape(c); err != nil {
			return i, err
		}
		return i + 1, nil
	case jsonInUnicode:
		if !isHex(c) {
			return i, fmt.Errorf("%q in an escape of a string", c)
		}
		s.keepText(p[i : i+1])
		if s.hex--; s.hex == 0 {
			s.state = jsonInString
		}
		return i + 1, nil
	case jsonInNumber:
		return s.inNumber(p, i)
	case jsonInLiteral:
		if s.literal[0] != c {
			return i, fmt.Errorf("%q in a word that is neither true, false nor null", c)
		}
		if s.literal = s.literal[1:]; s.literal == "" {
			s.state = s.afterValue()
		}
		return i + 1, nil
	case jsonSkipToLine:
		if c == '\n' {
			s.line++
			s.state = jsonRoot
		}
		return i + 1, nil
	}
	switch c {
	case ' ', '\t', '\r':
		return i + 1, nil
	case '\n':
		if s.lines {
			if s.state != jsonRoot {
				return i, errors.New("the line ends within a value")
			}
			s.line++
		}
		return i + 1, nil
	}
	if err := s.structure(c); err != nil {
		return i, err
	}
	return i + 1, nil
}

// structure takes a byte that is neither space nor within a string, number or
// word.
func (s *jsonScanner) structure(c byte) error {
	switch s.state {
	case jsonFirstKey, jsonKey:
		if c == '"' {
			s.state, s.isKey, s.text = jsonInString, true, s.text[:0]
			return nil
		}
		if c == '}' && s.state == jsonFirstKey {
			return s.close(c)
		}
		return fmt.Errorf("%q where a key should be", c)
	case jsonColon:
		if c != ':' {
			return fmt.Errorf("%q where a colon should be", c)
		}
		s.state = jsonValue
		return nil
	case jsonNext:
		if c != ',' {
			return s.close(c)
		}
		s.state = jsonValue
		if s.stack[len(s.stack)-1] {
			s.state = jsonKey
		}
		return nil
	case jsonFirstItem:
		if c == ']' {
			return s.close(c)
		}
	case jsonRoot:
		if s.roots > 0 && !s.many && !s.lines {
			return errors.New("there is more behind the value; name files of one value a line .jsonl")
		}
		s.roots++
	}
	return s.begin(c)
}

// begin begins a value.
func (s *jsonScanner) begin(c byte) error {
	depth := len(s.stack)
	switch c {
	case '{', '[':
		if depth == maxDepth {
			return fmt.Errorf("nested deeper than %d", maxDepth)
		}
		t := jsonArray
		s.state = jsonFirstItem
		if c == '{' {
			t, s.state = jsonObject, jsonFirstKey
		}
		s.handler.value(depth, t, nil)
		s.stack = append(s.stack, c == '{')
		s.depth = max(s.depth, depth+1)
	case '"':
		s.state, s.isKey, s.text = jsonInString, false, s.text[:0]
	case 't':
		s.word("rue", jsonBoolean)
	case 'f':
		s.word("alse", jsonBoolean)
	case 'n':
		s.word("ull", jsonNull)
	default:
		s.number = numberBegin
		if err := s.number.add(c); err != nil {
			return fmt.Errorf("%q where a value should be", c)
		}
		s.state, s.text = jsonInNumber, append(s.text[:0], c)
	}
	return nil
}

func (s *jsonScanner) word(rest string, t jsonType) {
	s.handler.value(len(s.stack), t, nil)
	s.state, s.literal = jsonInLiteral, rest
}

// close ends an object or array.
func (s *jsonScanner) close(c byte) error {
	top := len(s.stack) - 1
	want := byte(']')
	if s.stack[top] {
		want = '}'
	}
	if c != want {
		return fmt.Errorf("%q where a comma or %q should be", c, want)
	}
	s.stack = s.stack[:top]
	s.handler.end(top)
	s.state = s.afterValue()
	return nil
}

func (s *jsonScanner) afterValue() uint8 {
	if len(s.stack) == 0 {
		return jsonRoot
	}
	return jsonNext
}

func (s *jsonScanner) inString(p []byte, i int) (int, error) {
	j := i
	for j < len(p) && p[j] != '"' && p[j] != '\\' && p[j] >= ' ' {
		j++
	}
	s.keepText(p[i:j])
	if j == len(p) {
		return j, nil
	}
	switch p[j] {
	case '"':
		if s.isKey {
			s.handler.key(len(s.stack), s.text)
			s.state = jsonColon
		} else {
			s.handler.value(len(s.stack), jsonString, s.text)
			s.state = s.afterValue()
		}
	case '\\':
		s.keepText(p[j : j+1])
		s.state = jsonInEscape
	default:
		if p[j] == '\n' && s.lines {
			s.breakLine(fmt.Errorf("read JSON: byte %d: the line ends within a string", s.offset+int64(j)))
			return j, nil
		}
		return j, fmt.Errorf("%q in a string", p[j])
	}
	return j + 1, nil
}

func (s *jsonScanner) escape(c byte) error {
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.state = jsonInString
	case 'u':
		s.state, s.hex = jsonInUnicode, 4
	default:
		return fmt.Errorf("%q in an escape of a string", c)
	}
	s.keepText([]byte{c})
	return nil
}

// keepText keeps the text of strings that the handler wants.
func (s *jsonScanner) keepText(b []byte) {
	if len(s.stack) <= s.capture {
		s.text = append(s.text, b[:min(len(b), maxField-len(s.text))]...)
	}
}

func isHex(c byte) bool { return c-'0' <= 9 || (c|' ')-'a' < 6 }

func (s *jsonScanner) inNumber(p []byte, i int) (int, error) {
	j := i
	for j < len(p) {
		c := p[j]
		if c-'0' <= 9 && s.number.isRun() {
			j++
			continue
		}
		if c-'0' > 9 && c != '.' && c != '-' && c != '+' && c|' ' != 'e' {
			break
		}
		if err := s.number.add(c); err != nil {
			return j, err
		}
		j++
	}
	s.text = append(s.text, p[i:min(j, i+maxField-len(s.text))]...)
	if j < len(p) {
		return j, s.endNumber()
	}
	return j, nil
}

func (s *jsonScanner) endNumber() error {
	t := jsonNumber
	switch s.number {
	case numberZero, numberDigits:
		t = jsonInteger
	case numberFraction, numberExponent:
	default:
		return fmt.Errorf("%q is not a number", quote(s.text))
	}
	s.handler.value(len(s.stack), t, s.text)
	s.state = s.afterValue()
	return nil
}

// finish ends the file.
func (s *jsonScanner) finish() error {
	if s.state == jsonInNumber && len(s.stack) == 0 {
		if err := s.endNumber(); err != nil {
			return fmt.Errorf("read JSON: byte %d: %w", s.offset, err)
		}
	}
	if s.state != jsonRoot && s.state != jsonSkipToLine {
		return fmt.Errorf("read JSON: byte %d: the file ends within a value", s.offset)
	}
	return nil
}

// A numberState is how far a JSON number has come.
type numberState uint8

const (
	numberBegin numberState = iota
	numberMinus
	numberZero
	numberPoint
	numberE
	numberSign
	numberDigits
	numberFraction
	numberExponent
)

// isRun says if any number of digits may follow.
func (n numberState) isRun() bool { return n >= numberDigits }

func (n *numberState) add(c byte) error {
	digit := c-'0' <= 9
	switch {
	case digit && n.isRun():
	case digit && (*n == numberBegin || *n == numberMinus):
		if *n = numberDigits; c == '0' {
			*n = numberZero
		}
	case digit && *n == numberPoint:
		*n = numberFraction
	case digit && (*n == numberE || *n == numberSign):
		*n = numberExponent
	case c == '-' && *n == numberBegin:
		*n = numberMinus
	case c == '.' && (*n == numberZero || *n == numberDigits):
		*n = numberPoint
	case c|' ' == 'e' && (*n == numberZero || *n == numberDigits || *n == numberFraction):
		*n = numberE
	case (c == '-' || c == '+') && *n == numberE:
		*n = numberSign
	default:
		return fmt.Errorf("%q in a number", c)
	}
	return nil
}

// jsonText returns the text that a raw string stands for, at most maxQuote
// characters.
func jsonText(raw []byte) string {
	for _, c := range raw {
		if c == '\\' {
			var s string
			if json.Unmarshal([]byte(`"`+string(raw)+`"`), &s) == nil {
				return quote([]byte(s))
			}
			break
		}
	}
	return quote(raw)
}
