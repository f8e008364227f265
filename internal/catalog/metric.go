package catalog

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"strings"

	"github.com/data-containers/cdb/internal/tree"
)

// A rank is the kind of a metric's value. Values of different kinds are
// ordered by it.
type rank byte

const (
	missing rank = iota
	null
	isFalse
	number
	text
	isTrue
	composite // an array or object
)

// A value is what a file has for one metric.
type value struct {
	rank rank
	// s is the decoded string of a text, else the JSON text.
	s string
}

// metric returns what e has for the metric called name.
func (e *Entry) metric(name string) value {
	switch {
	case name == "size" && e.Type == tree.File:
		return value{number, strconv.FormatInt(e.Size, 10)}
	case name == "sha256" && e.Type == tree.File:
		return value{text, hex.EncodeToString(e.SHA256[:])}
	case name == "link" && e.Type == tree.Symlink:
		return value{text, e.Link}
	case name == "size" || name == "sha256":
		return value{}
	}
	return parseValue(lookup(e.Meta, name, 1))
}

// Limits of what is a metric: how deep in objects, how many in a catalog, and
// the length of a name in bytes.
const (
	maxMetricDepth = 8
	maxMetrics     = 10_000
	maxMetricName  = 1000
)

// lookup returns the JSON text of what is called name in object obj, or "":
// the member of that name or, where dots in it can be taken for steps, the
// member of a member.
func lookup(obj, name string, depth int) string {
	if v := member(obj, name); v != "" || depth == maxMetricDepth {
		return v
	}
	for i := range len(name) {
		if name[i] != '.' {
			continue
		}
		if inner := member(obj, name[:i]); inner != "" && inner[0] == '{' {
			if v := lookup(inner, name[i+1:], depth+1); v != "" {
				return v
			}
		}
	}
	return ""
}

// appendMetrics appends the names of the metrics in object obj: its keys, each
// with prefix before it, and behind a dot those of the objects in it. It
// reports whether obj is an object.
func appendMetrics(names []string, obj, prefix string, depth int) ([]string, bool) {
	ok := members(obj, func(key, value string) bool {
		name := prefix + key
		if len(name) > maxMetricName {
			return true
		}
		names = append(names, name)
		if value[0] == '{' && depth < maxMetricDepth {
			names, _ = appendMetrics(names, value, name+".", depth+1)
		}
		return true
	})
	return names, ok
}

// Value returns what e has for the metric called name as plain text: strings
// as they are, numbers as the shortest decimal without exponent, arrays and
// objects as JSON, and "" for null and for nothing.
func (e *Entry) Value(name string) string { return e.metric(name).text() }

// AppendSortKey appends bytes that compare as the values of a metric are
// ordered. raw is a value as JSON text, "" where a file has none.
func AppendSortKey(b []byte, raw string) []byte { return parseValue(raw).appendKey(b) }

func parseValue(raw string) value {
	if raw == "" {
		return value{}
	}
	switch c := raw[0]; {
	case c == '"':
		return value{text, unquote(raw)}
	case c == '{' || c == '[':
		return value{composite, raw}
	case c == 't':
		return value{isTrue, raw}
	case c == 'f':
		return value{isFalse, raw}
	case c == 'n':
		return value{null, raw}
	case c == '-' || '0' <= c && c <= '9':
		return value{number, raw}
	}
	return value{}
}

func (v value) text() string {
	switch v.rank {
	case missing, null:
		return ""
	case number:
		if strings.Trim(strings.TrimPrefix(v.s, "-"), "0123456789") == "" {
			return v.s
		}
		f, err := strconv.ParseFloat(v.s, 64)
		if err != nil {
			return v.s
		}
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return v.s
}

// appendKey appends bytes that compare as values are ordered: by kind, then
// numbers as 64-bit floats, strings byte by byte with ASCII letters folded,
// arrays and objects by their JSON text.
func (v value) appendKey(b []byte) []byte {
	b = append(b, byte(v.rank))
	switch v.rank {
	case number:
		f, _ := strconv.ParseFloat(v.s, 64)
		bits := math.Float64bits(f + 0) // -0 becomes 0
		if bits>>63 == 1 {
			bits = ^bits
		} else {
			bits |= 1 << 63
		}
		b = binary.BigEndian.AppendUint64(b, bits)
	case text:
		for i := range len(v.s) {
			c := v.s[i]
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			b = append(b, c)
		}
	case composite:
		b = append(b, v.s...)
	}
	return b
}
