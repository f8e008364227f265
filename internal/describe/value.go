package describe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/data-containers/cdb/internal/catalog"
)

// Bounds of what is taken over.
const (
	maxText = 16 << 10 // bytes of one string
	maxList = 1000     // elements of one list
)

// A value is a piece of JSON or YAML: nil, a string, bool or json.Number,
// []any, or map[string]any.
type value struct{ v any }

// parseJSON reads one JSON object.
func parseJSON(b []byte) (value, error) {
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(b, []byte("\ufeff"))))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return value{}, fmt.Errorf("it is not JSON: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return value{}, errNoObject
	}
	if _, ok := v.(map[string]any); !ok {
		return value{}, errNoObject
	}
	return value{v}, nil
}

// get returns the first of several members of an object that is there. Names
// may have a prefix of schema.org.
func (v value) get(keys ...string) value {
	obj, ok := v.v.(map[string]any)
	if !ok {
		return value{}
	}
	for _, k := range keys {
		for _, prefix := range []string{"", "sc:", "schema:", "https://schema.org/", "http://schema.org/"} {
			if m, ok := obj[prefix+k]; ok && m != nil {
				return value{m}
			}
		}
	}
	return value{}
}

// each returns the elements of an array, or what is no array as its only one.
func (v value) each() []value {
	switch x := v.v.(type) {
	case nil:
		return nil
	case []any:
		var list []value
		for _, e := range x[:min(len(x), maxList)] {
			if e != nil {
				list = append(list, value{e})
			}
		}
		return list
	}
	return []value{v}
}

// text returns a string, or what stands for one: a number, the first element
// of an array, the @value or name of an object, or else its @id or URL.
func (v value) text() string { return v.textDepth(0) }

func (v value) textDepth(depth int) string {
	if depth > 4 {
		return ""
	}
	switch x := v.v.(type) {
	case string:
		return clean(x)
	case json.Number:
		return clean(x.String())
	case bool:
		return fmt.Sprint(x)
	case []any:
		if len(x) > 0 {
			return value{x[0]}.textDepth(depth + 1)
		}
	case map[string]any:
		for _, k := range []string{"@value", "name", "title", "value", "url", "@id"} {
			if s := v.get(k).textDepth(depth + 1); s != "" {
				return s
			}
		}
	}
	return ""
}

// texts returns the text of each element. A single string may be several
// keywords, separated by commas.
func (v value) texts() []string {
	var list []string
	seen := map[string]bool{}
	for _, e := range v.each() {
		if s := e.text(); s != "" && !seen[s] {
			seen[s] = true
			list = append(list, s)
		}
	}
	return list
}

// words returns texts, where a single string is split at commas.
func (v value) words() []string {
	s, ok := v.v.(string)
	if !ok || !strings.Contains(s, ",") {
		return v.texts()
	}
	var parts []any
	for p := range strings.SplitSeq(s, ",") {
		parts = append(parts, p)
	}
	return value{parts}.texts()
}

// date returns a text that begins as a date of ISO 8601 does, or "".
func (v value) date() string { return isoDate(v.text()) }

// IsDate says if s is a year, a month, a day or a time of ISO 8601.
func IsDate(s string) bool { return s != "" && isoDate(s) == s }

// isoDate returns s if it is a year, a month, a day, or a time, or "".
func isoDate(s string) string {
	day, _, _ := strings.Cut(s, "T")
	day, _, _ = strings.Cut(day, " ")
	const form = "0000-00-00"
	if len(day) != 4 && len(day) != 7 && len(day) != len(form) {
		return ""
	}
	for i := range len(day) {
		if digit := '0' <= day[i] && day[i] <= '9'; digit != (form[i] == '0') || !digit && day[i] != '-' {
			return ""
		}
	}
	if month := day[min(5, len(day)):min(7, len(day))]; month != "" && (month < "01" || month > "12") {
		return ""
	}
	if len(day) == len(form) && (day[8:] < "01" || day[8:] > "31") {
		return ""
	}
	if rest := s[len(day):]; len(day) < len(form) && rest != "" || len(rest) > 30 ||
		strings.Trim(rest, "T 0123456789:.+-Z") != "" || strings.HasPrefix(rest, " ") {
		return day
	}
	return s
}

// identifiers returns the text of each element in the form of a catalog.
func (v value) identifiers() []string {
	var list []string
	for _, e := range v.each() {
		s := e.get("value", "@id", "url").text()
		if s == "" {
			s = e.text()
		}
		if s != "" {
			list = append(list, catalog.Identifier(s))
		}
	}
	return list
}

// clean makes hostile text harmless: valid, bounded, without control
// characters but line breaks and tabs.
func clean(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	s = strings.ToValidUTF8(s, "\ufffd")
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

// line returns clean text in one line.
func line(s string) string { return strings.Join(strings.Fields(s), " ") }
