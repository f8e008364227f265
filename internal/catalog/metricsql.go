package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"zombiezen.com/go/sqlite"
)

// Metrics are names in the SQL of users, as if they were columns:
//
//	SELECT csv.rows FROM files WHERE bids.task = 'rest'
//
// SQLite itself says which names are none of its own, as only it knows what
// aliases, subqueries and columns are in sight; those that are metrics then
// become calls of json_extract. So whatever SQL means without metrics it also
// means with them.

// Limits of names that are resolved in one statement, and of the ways to take
// the dots in one.
const (
	maxResolved = 200
	maxPaths    = 16
)

// A resolver makes SQL of what a user wrote.
type resolver struct {
	conn   *sqlite.Conn
	before string // text in the statement
	text   string
	// spans are what took the place of names in text, by where they begin.
	spans []resolved
}

type resolved struct {
	start, end int
	name       string // as the user wrote it
	sql        string
	err        error // SQLite's, of the name
}

// resolve returns a resolver for text whose names are resolved: try prepares
// it, as part of a statement that begins with before. The error is that of the
// text as the user wrote it.
func resolve(ctx context.Context, conn *sqlite.Conn, text, before string, try func(text string) error) (*resolver, error) {
	r := &resolver{conn: conn, before: before, text: text}
	if err := r.odd(); err != nil {
		return r, err
	}
	for {
		err := try(r.text)
		if err == nil || ctx.Err() != nil {
			return r, errors.Join(err, ctx.Err())
		}
		at, ok := sqlite.ErrorOffset(err)
		at -= len(before)
		if !ok || at < 0 || at >= len(r.text) || !strings.Contains(err.Error(), "no such column") {
			return r, err
		}
		if s := r.at(at); s != nil {
			return r, s.err // there is no column meta in its place
		}
		if len(r.spans) == maxResolved {
			return r, fmt.Errorf("more than %d names of metrics", maxResolved)
		}
		found, err2 := r.replace(at, err)
		if err2 != nil {
			return r, err2
		}
		if !found {
			return r, err
		}
	}
}

// at returns the span that a place lies in.
func (r *resolver) at(place int) *resolved {
	for i := range r.spans {
		if s := &r.spans[i]; s.start <= place && place < s.end {
			return s
		}
	}
	return nil
}

// odd resolves the names that SQLite would not take for names: of many parts,
// or with parts that are reserved words or begin with digits.
func (r *resolver) odd() error {
	for at := 0; at < len(r.text); {
		end, name := token(r.text, at)
		if !name {
			at = end
			continue
		}
		c := chainAt(r.text, at)
		if at = c.end; c.plain() || strings.HasPrefix(strings.TrimLeft(r.text[c.end:], " \t\r\n"), "(") {
			continue
		}
		before := len(r.text)
		if _, err := r.replace(c.start, errors.New("no such column: "+r.text[c.start:c.end])); err != nil {
			return err
		}
		at += len(r.text) - before
		if len(r.spans) > maxResolved {
			return fmt.Errorf("more than %d names of metrics", maxResolved)
		}
	}
	return nil
}

// replace puts SQL in the place of the name at a place, if it is a metric, or
// one of an alias. err is SQLite's error about the name.
func (r *resolver) replace(at int, err error) (bool, error) {
	c := chainAt(r.text, at)
	if len(c.parts) == 0 {
		return false, nil
	}
	meta, name := "meta", strings.Join(c.parts, ".")
	is, err2 := r.isMetric(name)
	if err2 == nil && !is && len(c.parts) > 1 {
		meta, name = r.text[c.start:c.firstEnd]+".meta", strings.Join(c.parts[1:], ".")
		is, err2 = r.isMetric(name)
	}
	if err2 != nil || !is {
		return false, err2
	}
	paths, err2 := r.paths(nil, "$", "", name, 1)
	if err2 != nil {
		return false, err2
	}
	sql := make([]string, len(paths))
	for i, p := range paths {
		sql[i] = "json_extract(" + meta + ",'" + strings.ReplaceAll(p, "'", "''") + "')"
	}
	s := resolved{start: c.start, name: r.text[c.start:c.end], sql: sql[0], err: err}
	if len(sql) > 1 {
		s.sql = "coalesce(" + strings.Join(sql, ",") + ")"
	}
	s.end = s.start + len(s.sql)
	r.text = r.text[:c.start] + s.sql + r.text[c.end:]
	for i := range r.spans {
		if o := &r.spans[i]; o.start > s.start {
			o.start += len(s.sql) - len(s.name)
			o.end += len(s.sql) - len(s.name)
		}
	}
	r.spans = append(r.spans, s)
	return true, nil
}

func (r *resolver) isMetric(name string) (bool, error) {
	s, err := r.conn.Prepare("SELECT 1 FROM metric WHERE name = ?")
	if err != nil {
		return false, err
	}
	defer s.Reset()
	s.BindText(1, name)
	return s.Step()
}

// paths appends the JSON paths that name may stand for behind path, in the
// order in which lookup tries them. above is what path is called as a metric.
func (r *resolver) paths(paths []string, path, above, name string, depth int) ([]string, error) {
	paths = append(paths, path+"."+string(AppendString(nil, name)))
	for i := range len(name) {
		if name[i] != '.' || depth == maxMetricDepth || len(paths) >= maxPaths {
			continue
		}
		is, err := r.isMetric(above + name[:i])
		if err != nil {
			return nil, err
		}
		if is {
			step := path + "." + string(AppendString(nil, name[:i]))
			if paths, err = r.paths(paths, step, above+name[:i]+".", name[i+1:], depth+1); err != nil {
				return nil, err
			}
		}
	}
	return paths, nil
}

// original returns a text of SQLite's about the statement, such as the name of
// a column, with the names that the user wrote.
func (r *resolver) original(text string) string {
	for _, s := range r.spans {
		text = strings.ReplaceAll(text, s.sql, s.name)
	}
	return text
}

// originalError is original for an error.
func (r *resolver) originalError(err error) error {
	if len(r.spans) == 0 {
		return err
	}
	at, ok := sqlite.ErrorOffset(err)
	err = plainError(err)
	msg := r.original(err.Error())
	if s := r.at(at - len(r.before)); ok && s != nil {
		word, _, _ := strings.Cut(s.sql, "(")
		msg = strings.Replace(msg, `near "`+word+`"`, `near "`+s.name+`"`, 1)
	}
	if msg != err.Error() {
		return &sqlError{msg, err}
	}
	return err
}

// A chain is names with dots between them.
type chain struct {
	start, end int
	firstEnd   int // of the first part
	parts      []string
	// odd says that a part is no name to SQLite.
	odd bool
}

// plain says if SQLite can take the chain for the name of a column.
func (c *chain) plain() bool { return !c.odd && len(c.parts) <= 3 || len(c.parts) < 2 }

// chainAt returns the chain that begins at a place, without parts if none
// does.
func chainAt(s string, at int) chain {
	c := chain{start: at, end: at}
	for at < len(s) {
		end := at
		for end < len(s) && isNameByte(s[end]) {
			end++
		}
		part := s[at:end]
		if end == at {
			if part, end = quotedName(s, at); end == at {
				return c
			}
		} else if '0' <= part[0] && part[0] <= '9' || reserved(part) {
			if len(c.parts) == 0 && part[0] <= '9' {
				return c // a number
			}
			c.odd = true
		}
		c.parts, c.end = append(c.parts, part), end
		if len(c.parts) == 1 {
			c.firstEnd = end
		}
		if end == len(s) || s[end] != '.' {
			return c
		}
		at = end + 1
	}
	return c
}

func isNameByte(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// quotedName returns the name in quotes that begins at a place and where it
// ends, or the place.
func quotedName(s string, at int) (string, int) {
	closing, ok := map[byte]byte{'"': '"', '`': '`', '[': ']'}[s[at]]
	if !ok {
		return "", at
	}
	end := skipQuoted(s, at+1, closing)
	if end < 0 {
		return "", at
	}
	name := s[at+1 : end-1]
	if closing != ']' {
		name = strings.ReplaceAll(name, string([]byte{closing, closing}), string(closing))
	}
	return name, end
}

// skipQuoted returns where the text in quotes, of which the first byte lies at
// a place, ends behind its closing quote; -1 if there is none.
func skipQuoted(s string, at int, closing byte) int {
	for ; at < len(s); at++ {
		if s[at] != closing {
			continue
		}
		if closing == ']' || at+1 == len(s) || s[at+1] != closing {
			return at + 1
		}
		at++
	}
	return -1
}

// token returns where the token of SQL at a place ends, and if it can begin a
// name.
func token(s string, at int) (end int, name bool) {
	rest := s[at:]
	switch c := s[at]; {
	case strings.HasPrefix(rest, "--"):
		return endOf(s, at, "\n"), false
	case strings.HasPrefix(rest, "/*"):
		return endOf(s, at+2, "*/"), false
	case c == '\'':
		if end = skipQuoted(s, at+1, c); end < 0 {
			end = len(s)
		}
		return end, false
	case c == '"' || c == '`' || c == '[':
		_, end = quotedName(s, at)
		if end == at {
			return len(s), false
		}
		return end, true
	case '0' <= c && c <= '9' || c == '.':
		// A number, or the dot behind a name that is none of ours.
		for end = at + 1; end < len(s) && (isNameByte(s[end]) || s[end] == '.'); end++ {
		}
		return end, false
	case isNameByte(c):
		for end = at; end < len(s) && isNameByte(s[end]); end++ {
		}
		// The x of a blob belongs to the text behind it.
		return end, end == len(s) || s[end] != '\''
	}
	return at + 1, false
}

// endOf returns the place behind the next mark, or the end of s.
func endOf(s string, at int, mark string) int {
	if at < len(s) {
		if i := strings.Index(s[at:], mark); i >= 0 {
			return at + i + len(mark)
		}
	}
	return len(s)
}

// reserved says if SQLite never takes a word for a name
// (https://sqlite.org/lang_keywords.html; most of those are names where
// nothing else can be).
func reserved(word string) bool {
	words := strings.Fields(`ADD ALL ALTER AND AS AUTOINCREMENT BETWEEN CASE CHECK COLLATE COMMIT CONSTRAINT CREATE DEFAULT
		DEFERRABLE DELETE DISTINCT DROP ELSE ESCAPE EXCEPT EXISTS FOREIGN FROM GROUP HAVING IN INDEX INSERT INTERSECT INTO
		IS ISNULL JOIN LIMIT NOT NOTHING NOTNULL NULL ON OR ORDER PRIMARY REFERENCES RETURNING SELECT SET TABLE THEN TO
		TRANSACTION UNION UNIQUE UPDATE USING VALUES WHEN WHERE`)
	return slices.Contains(words, strings.ToUpper(word))
}
