package catalog

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// The entrypoint reads JSON with what is here, which is a tenth of what
// package encoding/json would add to it, and decodes names exactly: lone
// surrogates are the bytes that AppendString made them of.

// maxJSONDepth bounds nesting.
const maxJSONDepth = 1000

// ValidJSON says if s is one JSON value.
func ValidJSON(s string) bool {
	end := skipValue(s, skipSpace(s, 0), 0)
	return end >= 0 && skipSpace(s, end) == len(s)
}

// Members calls f with the name and the JSON text of each member of object
// obj, in their order, until f returns false. It reports whether obj is an
// object as far as it was read.
func Members(obj string, f func(name, value string) bool) bool { return members(obj, f) }

// members calls f with the name and the JSON text of each member of object
// obj until f returns false. It reports whether obj is an object as far as it
// was read.
func members(obj string, f func(name, value string) bool) bool {
	i := skipSpace(obj, 0)
	if i == len(obj) || obj[i] != '{' {
		return false
	}
	if i = skipSpace(obj, i+1); i < len(obj) && obj[i] == '}' {
		return true
	}
	for {
		end := skipString(obj, i)
		if end < 0 {
			return false
		}
		key := obj[i:end]
		if i = skipSpace(obj, end); i == len(obj) || obj[i] != ':' {
			return false
		}
		start := skipSpace(obj, i+1)
		if i = skipValue(obj, start, 1); i < 0 {
			return false
		}
		if !f(unquote(key), obj[start:i]) {
			return true
		}
		if i = skipSpace(obj, i); i == len(obj) || obj[i] != ',' {
			return i < len(obj) && obj[i] == '}'
		}
		i = skipSpace(obj, i+1)
	}
}

// member returns the JSON text of the first member of object obj that is
// called name, or "". Text that is no object has none.
func member(obj, name string) string {
	found := ""
	members(obj, func(n, value string) bool {
		if n == name {
			found = value
		}
		return found == ""
	})
	return found
}

// elements calls f with the JSON text of each element of an array until f
// returns false. It reports whether it is an array as far as it was read.
func elements(array string, f func(value string) bool) bool {
	i := skipSpace(array, 0)
	if i == len(array) || array[i] != '[' {
		return false
	}
	if i = skipSpace(array, i+1); i < len(array) && array[i] == ']' {
		return true
	}
	for {
		end := skipValue(array, i, 1)
		if end < 0 {
			return false
		}
		if !f(array[i:end]) {
			return true
		}
		if i = skipSpace(array, end); i == len(array) || array[i] != ',' {
			return i < len(array) && array[i] == ']'
		}
		i = skipSpace(array, i+1)
	}
}

func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

// skipString returns where the JSON string that begins at i ends, or -1.
func skipString(s string, i int) int {
	if i >= len(s) || s[i] != '"' {
		return -1
	}
	for i++; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return -1
		case c == '\\':
			i++
			if i == len(s) || strings.IndexByte(`"\/bfnrtu`, s[i]) < 0 {
				return -1
			}
			if s[i] == 'u' {
				if _, ok := unit(s[i+1:]); !ok {
					return -1
				}
				i += 4
			}
		}
	}
	return -1
}

// skipValue returns where the JSON value that begins at i ends, or -1.
func skipValue(s string, i, depth int) int {
	if i >= len(s) || depth > maxJSONDepth {
		return -1
	}
	switch c := s[i]; c {
	case '"':
		return skipString(s, i)
	case '{', '[':
		return skipComposite(s, i, depth)
	case 't', 'f', 'n':
		for _, word := range []string{"true", "false", "null"} {
			if strings.HasPrefix(s[i:], word) {
				return i + len(word)
			}
		}
		return -1
	}
	return skipNumber(s, i)
}

func skipComposite(s string, i, depth int) int {
	object := s[i] == '{'
	end := byte(']')
	if object {
		end = '}'
	}
	if i = skipSpace(s, i+1); i < len(s) && s[i] == end {
		return i + 1
	}
	for {
		if object {
			if i = skipString(s, i); i < 0 {
				return -1
			}
			if i = skipSpace(s, i); i == len(s) || s[i] != ':' {
				return -1
			}
			i = skipSpace(s, i+1)
		}
		if i = skipValue(s, i, depth+1); i < 0 {
			return -1
		}
		i = skipSpace(s, i)
		switch {
		case i == len(s):
			return -1
		case s[i] == end:
			return i + 1
		case s[i] != ',':
			return -1
		}
		i = skipSpace(s, i+1)
	}
}

func skipNumber(s string, i int) int {
	digits := func() bool {
		start := i
		for i < len(s) && '0' <= s[i] && s[i] <= '9' {
			i++
		}
		return i > start
	}
	if s[i] == '-' {
		i++
	}
	switch {
	case i < len(s) && s[i] == '0':
		i++
	case !digits():
		return -1
	}
	if i < len(s) && s[i] == '.' {
		if i++; !digits() {
			return -1
		}
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		if i++; i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if !digits() {
			return -1
		}
	}
	return i
}

// unquote decodes a valid JSON string. It is the inverse of AppendString.
func unquote(s string) string { return unescape(s[1 : len(s)-1]) }

// unescape resolves the escape sequences in a piece of JSON text.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			i++
			continue
		}
		n := 0
		b, n = appendEscaped(b, s[i+1:])
		i += 1 + n
	}
	return string(b)
}

// appendEscaped appends what an escape sequence, without its backslash,
// stands for, and returns its length.
func appendEscaped(b []byte, s string) ([]byte, int) {
	if i := strings.IndexByte("nrtbf", s[0]); i >= 0 {
		return append(b, "\n\r\t\b\f"[i]), 1
	}
	r, ok := unit(s[1:])
	if s[0] != 'u' || !ok {
		return append(b, s[0]), 1
	}
	if 0xd800 <= r && r < 0xdc00 && strings.HasPrefix(s[5:], `\u`) {
		if low, ok := unit(s[7:]); ok && 0xdc00 <= low && low < 0xe000 {
			return utf8.AppendRune(b, 0x10000+(r-0xd800)<<10+(low-0xdc00)), 11
		}
	}
	if 0xdc80 <= r && r <= 0xdcff {
		return append(b, byte(r)), 5
	}
	return utf8.AppendRune(b, r), 5 // other lone surrogates become U+FFFD
}

// unit reads four hex digits.
func unit(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[:4], 16, 16)
	return rune(n), err == nil
}
