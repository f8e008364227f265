package scan

import "strings"

// wildmatch tells whether the pattern of an ignore file matches text. If
// paths, only "**" between slashes matches a slash. It is git's algorithm, so
// that corner cases are the same.
func wildmatch(glob, text string, paths bool) bool {
	m := matcher{glob: glob, text: text, paths: paths}
	return m.match(0, 0) == matched
}

// A verdict is the outcome of a match. The last two say that there is no use
// in trying further positions, at all or but for a "**" further left.
type verdict byte

const (
	matched verdict = iota
	mismatch
	abortAll
	abortToStarStar
)

// manySteps is from when on a matcher remembers which positions it has seen,
// which bounds its time by the product of the lengths.
const manySteps = 1000

type matcher struct {
	glob, text string
	paths      bool
	steps      int
	seen       map[[2]int]verdict
}

// match compares the rest of the pattern from p with the text from t.
func (m *matcher) match(p, t int) verdict {
	if m.steps++; m.steps < manySteps {
		return m.compare(p, t)
	}
	if m.seen == nil {
		m.seen = map[[2]int]verdict{}
	}
	key := [2]int{p, t}
	v, ok := m.seen[key]
	if !ok {
		v = m.compare(p, t)
		m.seen[key] = v
	}
	return v
}

// at returns the byte of the pattern at p, 0 behind its end.
func (m *matcher) at(p int) byte {
	if p < len(m.glob) {
		return m.glob[p]
	}
	return 0
}

func (m *matcher) compare(p, t int) verdict {
	for ; p < len(m.glob); p, t = p+1, t+1 {
		c := m.glob[p]
		if c == '*' {
			return m.star(p, t)
		}
		if t >= len(m.text) {
			return abortAll
		}
		ch := m.text[t]
		switch c {
		case '?':
			if m.paths && ch == '/' {
				return mismatch
			}
		case '[':
			end, in := m.class(p, ch)
			if end < 0 {
				return abortAll
			}
			if !in || m.paths && ch == '/' {
				return mismatch
			}
			p = end
		case '\\':
			p++
			c = m.at(p)
			fallthrough
		default:
			if c != ch {
				return mismatch
			}
		}
	}
	if t < len(m.text) {
		return mismatch
	}
	return matched
}

// star matches from the asterisk at p.
func (m *matcher) star(p, t int) verdict {
	start := p
	for p++; m.at(p) == '*'; p++ {
	}
	slash := !m.paths // whether it matches slashes
	if m.paths && p > start+1 {
		before := start == 0 || m.glob[start-1] == '/'
		c := m.at(p)
		slash = before && (c == 0 || c == '/' || c == '\\' && m.at(p+1) == '/')
		// "**/" may match nothing.
		if slash && c == '/' && m.match(p+1, t) == matched {
			return matched
		}
	}
	rest := m.text[t:]
	switch {
	case p >= len(m.glob):
		if !slash && strings.Contains(rest, "/") {
			return mismatch
		}
		return matched
	case !slash && m.glob[p] == '/':
		i := strings.IndexByte(rest, '/')
		if i < 0 {
			return mismatch
		}
		return m.match(p+1, t+i+1)
	}
	return m.tryAll(p, t, slash)
}

// tryAll matches what is behind an asterisk at each position from t on.
func (m *matcher) tryAll(p, t int, slash bool) verdict {
	c := m.glob[p]
	literal := strings.IndexByte(`*?[\`, c) < 0
	for ; t < len(m.text); t++ {
		if literal && m.text[t] != c {
			if !slash && m.text[t] == '/' {
				return mismatch
			}
			continue
		}
		v := m.match(p, t)
		switch {
		case v != mismatch && (!slash || v != abortToStarStar):
			return v
		case v == mismatch && !slash && m.text[t] == '/':
			return abortToStarStar
		}
	}
	if literal {
		return mismatch
	}
	return abortAll
}

// class tells whether ch is in the set that begins at p and where the set
// ends; -1 if it does not.
func (m *matcher) class(p int, ch byte) (end int, in bool) {
	p++
	negated := m.at(p) == '!' || m.at(p) == '^'
	if negated {
		p++
	}
	var prev byte // the last single character, from which a range may go
	for first := true; first || m.at(p) != ']'; first = false {
		c := m.at(p)
		switch {
		case c == 0:
			return -1, false
		case c == '\\':
			p++
			if c = m.at(p); c == 0 {
				return -1, false
			}
			in = in || ch == c
			prev = c
		case c == '-' && prev != 0 && m.at(p+1) != 0 && m.at(p+1) != ']':
			p++
			if c = m.at(p); c == '\\' {
				p++
				if c = m.at(p); c == 0 {
					return -1, false
				}
			}
			in = in || prev <= ch && ch <= c
			prev = 0
		case c == '[' && m.at(p+1) == ':':
			next, member, ok := m.named(p, ch)
			if !ok {
				return -1, false
			}
			in = in || member
			prev = 0
			if next == p { // only looked like one
				prev = '['
			}
			p = next
		default:
			in = in || ch == c
			prev = c
		}
		p++
	}
	return p, in != negated
}

// named matches a class like [:alpha:] at p, and returns the place of its
// last bracket: p itself if it is an ordinary bracket.
func (m *matcher) named(p int, ch byte) (end int, in, ok bool) {
	i := strings.IndexByte(m.glob[p+2:], ']')
	if i < 0 {
		return 0, false, false
	}
	s := m.glob[p+2 : p+2+i]
	if !strings.HasSuffix(s, ":") {
		return p, ch == '[', true
	}
	in, ok = inClass(s[:len(s)-1], ch)
	return p + 2 + i, in, ok
}

// inClass tells whether the ASCII character ch is in a named class; ok is
// false if there is no such class.
func inClass(name string, ch byte) (in, ok bool) {
	lower := 'a' <= ch && ch <= 'z'
	upper := 'A' <= ch && ch <= 'Z'
	digit := '0' <= ch && ch <= '9'
	graph := ' ' < ch && ch < 0x7f
	switch name {
	case "alnum":
		return lower || upper || digit, true
	case "alpha":
		return lower || upper, true
	case "blank":
		return ch == ' ' || ch == '\t', true
	case "cntrl":
		return ch < ' ' || ch == 0x7f, true
	case "digit":
		return digit, true
	case "graph":
		return graph, true
	case "lower":
		return lower, true
	case "print":
		return graph || ch == ' ', true
	case "punct":
		return graph && !lower && !upper && !digit, true
	case "space":
		return ch == ' ' || '\t' <= ch && ch <= '\r' && ch != '\v' && ch != '\f', true
	case "upper":
		return upper, true
	case "xdigit":
		return digit || 'a' <= ch|0x20 && ch|0x20 <= 'f', true
	}
	return false, false
}
