package standard

import (
	"bufio"
	"cmp"
	"slices"
	"strings"

	"github.com/data-containers/cdb/internal/catalog"
)

// An xmlWriter writes elements, indented.
type xmlWriter struct {
	w     *bufio.Writer
	depth int
}

func (x *xmlWriter) indent() {
	for range x.depth {
		x.w.WriteString("  ")
	}
}

// start writes a start tag; attrs are names and values in turn.
func (x *xmlWriter) start(name string, attrs []string) {
	x.indent()
	x.w.WriteString("<" + name)
	for i := 0; i+1 < len(attrs); i += 2 {
		x.w.WriteString(" " + attrs[i] + `="` + escapeXML(attrs[i+1]) + `"`)
	}
	x.w.WriteByte('>')
}

func (x *xmlWriter) open(name string, attrs ...string) {
	x.start(name, attrs)
	x.w.WriteByte('\n')
	x.depth++
}

func (x *xmlWriter) close(name string) {
	x.depth--
	x.indent()
	x.w.WriteString("</" + name + ">\n")
}

// leaf writes an element with text, unless that is empty.
func (x *xmlWriter) leaf(name, text string, attrs ...string) {
	if text == "" {
		return
	}
	x.start(name, attrs)
	x.w.WriteString(escapeXML(text) + "</" + name + ">\n")
}

// group writes n elements in one around them, if there are any.
func (x *xmlWriter) group(name string, n int, one func(i int)) {
	if n == 0 {
		return
	}
	x.open(name)
	for i := range n {
		one(i)
	}
	x.close(name)
}

func (x *xmlWriter) creator(name string, p *catalog.Person, attrs ...string) {
	x.open(name, attrs...)
	var kind []string
	if p.Given != "" || p.Family != "" || p.ORCID != "" {
		kind = []string{"nameType", "Personal"}
	}
	x.leaf(name+"Name", p.Name, kind...)
	x.leaf("givenName", p.Given)
	x.leaf("familyName", p.Family)
	x.leaf("nameIdentifier", orcidURL(p), "nameIdentifierScheme", "ORCID", "schemeURI", "https://orcid.org")
	x.leaf("affiliation", p.Affiliation)
	x.close(name)
}

// escapeXML returns s as text or the value of an attribute. Characters that
// XML has not become U+FFFD.
func escapeXML(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' && r != '\t' || r == 0xfffe || r == 0xffff {
			return '\ufffd'
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace(s)
}

// sortRelated puts related identifiers into one order.
func sortRelated(list [][3]string) {
	slices.SortStableFunc(list, func(a, b [3]string) int { return cmp.Compare(a[2], b[2]) })
}
