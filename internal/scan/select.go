package scan

import "strings"

// Patterns are patterns in gitignore syntax that select files, not leave them
// out: "*.csv", "/2024/**/a*", "docs/". Later ones that begin with ! take back
// what earlier ones select.
type Patterns struct{ rules *rules }

// ParsePatterns returns the patterns in list.
func ParsePatterns(list []string) Patterns {
	return Patterns{parseRules([]byte(strings.Join(list, "\n")), "", nil)}
}

// Match says if the file with this path, relative to the data, is selected: by
// itself or with a folder that it lies in. What is said of the file counts
// more than what is said of a folder.
func (p Patterns) Match(path string) bool {
	if out, ok := p.rules.decide(path, false); ok {
		return out
	}
	for i := len(path) - 1; i > 0; i-- {
		if path[i] != '/' {
			continue
		}
		if out, ok := p.rules.decide(path[:i], true); ok {
			return out
		}
	}
	return false
}
