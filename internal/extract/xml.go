package extract

import (
	"bytes"
	"encoding/xml"
)

// maxXMLDepth bounds how deep elements lie in each other.
const maxXMLDepth = 32

// eachElement calls f with the elements of an XML document as they begin and
// the text that follows directly, until it returns false, the document ends or
// makes no sense.
func eachElement(b []byte, f func(e xml.StartElement, text []byte) bool) {
	d := xml.NewDecoder(bytes.NewReader(b))
	d.Strict = false
	var last *xml.StartElement
	var text []byte
	for depth := 0; ; {
		token, err := d.Token()
		if t, ok := token.(xml.CharData); ok && last != nil {
			text = append(text, t...)
			continue
		}
		if last != nil && !f(*last, text) {
			return
		}
		last, text = nil, text[:0]
		if err != nil {
			return
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth++; depth > maxXMLDepth {
				return
			}
			t = t.Copy()
			last = &t
		case xml.EndElement:
			depth--
		}
	}
}
