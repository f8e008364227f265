package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON prints values, one a line, in ASCII: no terminal can be steered by
// them.
type JSON struct{ w io.Writer }

// NewJSON returns a printer that writes to w.
func NewJSON(w io.Writer) *JSON { return &JSON{w} }

// Print prints v as encoding/json sees it.
func (p *JSON) Print(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := p.w.Write(ascii(b.Bytes()))
	return err
}

// ascii writes out what is not printable ASCII. In JSON that can only stand
// in strings, but for the line break at the end.
func ascii(doc []byte) []byte {
	out := make([]byte, 0, len(doc)+len(doc)/8)
	for i := 0; i < len(doc); {
		if c := doc[i]; c < 0x7f {
			out = append(out, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(doc[i:])
		if r >= 0x10000 {
			hi, lo := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		} else {
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		i += n
	}
	return out
}
