package scan

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxIgnoreFile is the size in bytes up to which ignore files are read.
const maxIgnoreFile = 1 << 20

// Rules are the patterns of one ignore file, and those of the folders above.
type rules struct {
	parent   *rules
	base     string // path of the folder they are relative to
	patterns []pattern
}

// A pattern is one line of an ignore file.
type pattern struct {
	glob     string
	negate   bool
	dirOnly  bool
	anchored bool // to the folder of the rules; otherwise glob is a base name
	literal  int  // length of the part before the first special character
}

// readRules reads an ignore file. One that cannot be read is an error: what
// it keeps out of the dataset may be secret.
func readRules(dirfd int, base, dir string, parent *rules) (*rules, error) {
	data, err := readIgnoreFile(dirfd, base)
	if err != nil {
		return nil, fmt.Errorf("read ignore file %q: %w", join(dir, base), err)
	}
	return parseRules(data, dir, parent), nil
}

func readIgnoreFile(dirfd int, base string) ([]byte, error) {
	fd, err := openat(dirfd, base, 0)
	if replaced(err) {
		return nil, fmt.Errorf("not a regular file")
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), base)
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxIgnoreFile+1))
	if err == nil && len(data) > maxIgnoreFile {
		err = fmt.Errorf("larger than %d bytes", maxIgnoreFile)
	}
	return data, err
}

// parseRules returns the rules in data, which has one pattern per line, or
// parent if there are none.
func parseRules(data []byte, base string, parent *rules) *rules {
	r := &rules{parent: parent, base: base}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		if p, ok := parsePattern(string(line)); ok {
			r.patterns = append(r.patterns, p)
		}
	}
	if len(r.patterns) == 0 {
		return parent
	}
	return r
}

func parsePattern(line string) (p pattern, ok bool) {
	line = strings.TrimSuffix(line, "\r")
	if line == "" || line[0] == '#' {
		return p, false
	}
	line, _, _ = strings.Cut(line, "\x00")
	p.glob = trimSpaces(line)
	p.glob, p.negate = strings.CutPrefix(p.glob, "!")
	p.glob, p.dirOnly = strings.CutSuffix(p.glob, "/")
	p.anchored = strings.Contains(p.glob, "/")
	p.glob = strings.TrimPrefix(p.glob, "/")
	p.literal = strings.IndexAny(p.glob, `*?[\`)
	if p.literal < 0 {
		p.literal = len(p.glob)
	}
	return p, p.glob != ""
}

// trimSpaces removes spaces at the end, except for an escaped one.
func trimSpaces(s string) string {
	end := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ' ':
			continue
		case '\\':
			i++
		}
		end = i + 1
	}
	return s[:min(end, len(s))]
}

// ignored tells whether an entry is left out: the last pattern that matches
// it decides, those of exclude come last and those of folders further up
// first.
func ignored(exclude, r *rules, path string, isDir bool) bool {
	if out, ok := exclude.decide(path, isDir); ok {
		return out
	}
	for ; r != nil; r = r.parent {
		if out, ok := r.decide(path, isDir); ok {
			return out
		}
	}
	return false
}

// decide returns what the last matching pattern says, and whether one matches.
func (r *rules) decide(path string, isDir bool) (out, ok bool) {
	if r == nil {
		return false, false
	}
	base := path[strings.LastIndexByte(path, '/')+1:]
	rel := path
	if r.base != "" {
		rel = path[len(r.base)+1:]
	}
	for i := len(r.patterns) - 1; i >= 0; i-- {
		if p := &r.patterns[i]; p.match(rel, base, isDir) {
			return !p.negate, true
		}
	}
	return false, false
}

func (p *pattern) match(rel, base string, isDir bool) bool {
	if p.dirOnly && !isDir {
		return false
	}
	text := base
	if p.anchored {
		text = rel
	}
	// As git does: the part up to the first special character is compared
	// alone, so "**" right behind it counts as if it began the pattern.
	if !strings.HasPrefix(text, p.glob[:p.literal]) {
		return false
	}
	glob, text := p.glob[p.literal:], text[p.literal:]
	if glob == "" {
		return text == ""
	}
	if !p.anchored {
		glob, text = p.glob, base
	}
	return wildmatch(glob, text, p.anchored)
}
