package extract

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
)

// maxPDFDepth bounds how deep arrays and dictionaries lie in each other.
const maxPDFDepth = 32

// The objects of PDF are nil, bool, float64, pdfName, pdfString, pdfRef, []any
// and pdfDict (ISO 32000-2, section 7.3).
type (
	pdfName   string
	pdfString []byte
	pdfRef    struct{ num, gen int }
	pdfDict   map[pdfName]any
)

// errPDFCut says that an object goes on where the parser sees no more.
var errPDFCut = errors.New("an object is cut short")

// A pdfParser reads objects from bytes.
type pdfParser struct {
	b   []byte
	pos int
}

func pdfSpace(c byte) bool {
	return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f' || c == 0
}

func pdfDelimiter(c byte) bool {
	return bytes.IndexByte([]byte("()<>[]{}/%"), c) >= 0
}

// skipSpace skips white space and comments.
func (p *pdfParser) skipSpace() {
	for p.pos < len(p.b) {
		switch c := p.b[p.pos]; {
		case pdfSpace(c):
			p.pos++
		case c == '%':
			for p.pos < len(p.b) && p.b[p.pos] != '\n' && p.b[p.pos] != '\r' {
				p.pos++
			}
		default:
			return
		}
	}
}

// keyword consumes word if it comes next.
func (p *pdfParser) keyword(word string) bool {
	p.skipSpace()
	if !bytes.HasPrefix(p.b[p.pos:], []byte(word)) {
		return false
	}
	p.pos += len(word)
	return true
}

// regular returns the regular characters that come next.
func (p *pdfParser) regular() []byte {
	start := p.pos
	for p.pos < len(p.b) && !pdfSpace(p.b[p.pos]) && !pdfDelimiter(p.b[p.pos]) {
		p.pos++
	}
	return p.b[start:p.pos]
}

// integer reads a number that is no reference.
func (p *pdfParser) integer() (int, error) {
	p.skipSpace()
	n, err := strconv.Atoi(string(p.regular()))
	if err != nil {
		return 0, fmt.Errorf("no number at offset %d", p.pos)
	}
	return n, nil
}

// object reads the object that comes next.
func (p *pdfParser) object(depth int) (any, error) {
	p.skipSpace()
	if p.pos >= len(p.b) {
		return nil, errPDFCut
	}
	if depth > maxPDFDepth {
		return nil, errors.New("objects lie too deep in each other")
	}
	switch c := p.b[p.pos]; {
	case c == '/':
		return p.name(), nil
	case c == '(':
		return p.literal()
	case c == '<' && p.pos+1 < len(p.b) && p.b[p.pos+1] == '<':
		return p.dict(depth)
	case c == '<':
		return p.hexString()
	case c == '[':
		return p.array(depth)
	case pdfDelimiter(c):
		return nil, fmt.Errorf("an odd %q", c)
	}
	return p.word()
}

// word reads a number, a reference, or a keyword.
func (p *pdfParser) word() (any, error) {
	word := string(p.regular())
	switch word {
	case "true", "false":
		return word == "true", nil
	case "null":
		return nil, nil
	}
	v, err := strconv.ParseFloat(word, 64)
	if err != nil {
		return nil, fmt.Errorf("an unknown word %.20q", word)
	}
	num, err := strconv.Atoi(word)
	if err != nil || num < 0 {
		return v, nil
	}
	after := p.pos
	if gen, err := p.integer(); err == nil && gen >= 0 {
		p.skipSpace()
		if string(p.regular()) == "R" {
			return pdfRef{num, gen}, nil
		}
	}
	p.pos = after
	return v, nil
}

func (p *pdfParser) name() pdfName {
	p.pos++
	raw := p.regular()
	if bytes.IndexByte(raw, '#') < 0 {
		return pdfName(raw)
	}
	var name []byte
	for i := 0; i < len(raw); i++ {
		if raw[i] == '#' && i+2 < len(raw) {
			if b, err := hex.DecodeString(string(raw[i+1 : i+3])); err == nil {
				name = append(name, b[0])
				i += 2
				continue
			}
		}
		name = append(name, raw[i])
	}
	return pdfName(name)
}

func (p *pdfParser) hexString() (any, error) {
	end := bytes.IndexByte(p.b[p.pos:], '>')
	if end < 0 {
		return nil, errPDFCut
	}
	var digits []byte
	for _, c := range p.b[p.pos+1 : p.pos+end] {
		if !pdfSpace(c) {
			digits = append(digits, c)
		}
	}
	p.pos += end + 1
	if len(digits)%2 != 0 {
		digits = append(digits, '0')
	}
	b, err := hex.DecodeString(string(digits))
	if err != nil {
		return nil, fmt.Errorf("a string in hexadecimal: %w", err)
	}
	return pdfString(b), nil
}

// literal reads a string in parentheses.
func (p *pdfParser) literal() (any, error) {
	s, depth := pdfString{}, 0
	for p.pos < len(p.b) {
		c := p.b[p.pos]
		p.pos++
		switch c {
		case '(':
			if depth++; depth == 1 {
				continue
			}
		case ')':
			if depth--; depth == 0 {
				return s, nil
			}
		case '\\':
			s = p.escape(s)
			continue
		}
		s = append(s, c)
	}
	return nil, errPDFCut
}

// escape appends what follows a backslash.
func (p *pdfParser) escape(s pdfString) pdfString {
	if p.pos >= len(p.b) {
		return s
	}
	c := p.b[p.pos]
	p.pos++
	if i := bytes.IndexByte([]byte("nrtbf"), c); i >= 0 {
		return append(s, "\n\r\t\b\f"[i])
	}
	switch {
	case c == '\r': // the line goes on
		if p.pos < len(p.b) && p.b[p.pos] == '\n' {
			p.pos++
		}
		return s
	case c == '\n':
		return s
	case c >= '0' && c <= '7':
		n := int(c - '0')
		for i := 0; i < 2 && p.pos < len(p.b) && p.b[p.pos] >= '0' && p.b[p.pos] <= '7'; i++ {
			n = n<<3 + int(p.b[p.pos]-'0')
			p.pos++
		}
		return append(s, byte(n))
	}
	return append(s, c)
}

func (p *pdfParser) array(depth int) (any, error) {
	p.pos++
	var list []any
	for !p.keyword("]") {
		v, err := p.object(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

func (p *pdfParser) dict(depth int) (any, error) {
	p.pos += 2
	dict := pdfDict{}
	for !p.keyword(">>") {
		if p.pos >= len(p.b) {
			return nil, errPDFCut
		}
		if p.b[p.pos] != '/' {
			return nil, errors.New("a dictionary without a name")
		}
		name := p.name()
		v, err := p.object(depth + 1)
		if err != nil {
			return nil, err
		}
		dict[name] = v
	}
	return dict, nil
}
