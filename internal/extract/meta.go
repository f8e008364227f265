package extract

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"

	"github.com/data-containers/cdb/internal/catalog"
)

// A Meta is an object of metadata: keys in the order in which they were set.
type Meta struct {
	keySet
	values    []any // by the order of keys
	mediaType string
	yields    bool
}

// newMeta returns an object with room for n keys.
func newMeta(n int) *Meta {
	return &Meta{keySet: keySet{keys: make([]string, 0, n)}, values: make([]any, 0, n)}
}

// A keySet is keys in the order in which they were added. Most objects have a
// few, which are faster looked at than hashed.
type keySet struct {
	keys  []string
	index map[string]int // of all keys, if there are more than fewKeys
}

const fewKeys = 16

// find returns the place of a key, or -1.
func (s *keySet) find(key string) int {
	if s.index == nil {
		return slices.Index(s.keys, key)
	}
	if i, ok := s.index[key]; ok {
		return i
	}
	return -1
}

// push adds a key that is not there.
func (s *keySet) push(key string) {
	s.keys = append(s.keys, key)
	switch {
	case s.index != nil:
		s.index[key] = len(s.keys) - 1
	case len(s.keys) > fewKeys:
		s.index = make(map[string]int, 4*fewKeys)
		for i, k := range s.keys {
			s.index[k] = i
		}
	}
}

// truncate drops all keys but the first n.
func (s *keySet) truncate(n int) {
	for _, k := range s.keys[n:] {
		delete(s.index, k)
	}
	s.keys = s.keys[:n]
}

// Set gives a key its value: a string, bool, int, int64, uint64, float64, a
// slice of one of these, *Meta, []*Meta or []any; nil is null. A NaN or an infinity, which JSON
// has not, leaves no key. Setting again replaces the value.
func (m *Meta) Set(key string, value any) {
	if f, ok := value.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
		return
	}
	if i := m.find(key); i >= 0 {
		m.values[i] = value
		return
	}
	m.push(key)
	m.values = append(m.values, value)
}

// SetString sets a key unless s is empty.
func (m *Meta) SetString(key, s string) {
	if s != "" {
		m.Set(key, s)
	}
}

// Yield says that where another extractor has set a key, that of m is left out
// without a warning.
func (m *Meta) Yield() { m.yields = true }

// SetMediaType says what media type this very file has.
func (m *Meta) SetMediaType(t string) { m.mediaType = t }

// Get returns the value of a key, nil for none.
func (m *Meta) Get(key string) any {
	if i := m.find(key); i >= 0 {
		return m.values[i]
	}
	return nil
}

// Keys returns the keys in order. They must not be changed.
func (m *Meta) Keys() []string { return m.keys }

// AppendJSON appends m as a JSON object in the form of Python's json.dumps,
// as all metadata of a catalog has it.
func (m *Meta) AppendJSON(b []byte) []byte { return m.appendJSON(b, "") }

// appendJSON puts prefix before each key.
func (m *Meta) appendJSON(b []byte, prefix string) []byte {
	b = append(b, '{')
	for i, k := range m.keys {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(catalog.AppendString(b, prefix+k), ": "...)
		b = appendValue(b, m.values[i])
	}
	return append(b, '}')
}

func appendValue(b []byte, value any) []byte {
	switch v := value.(type) {
	case string:
		return catalog.AppendString(b, v)
	case bool:
		return strconv.AppendBool(b, v)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case uint64:
		return strconv.AppendUint(b, v, 10)
	case float64:
		return appendFloat(b, v)
	case rawJSON:
		return append(b, v...)
	case json.Number: // as ParseMeta found it
		return append(b, v...)
	case *Meta:
		return v.AppendJSON(b)
	case []string:
		return appendList(b, v)
	case []int:
		return appendList(b, v)
	case []int64:
		return appendList(b, v)
	case []float64:
		return appendList(b, v)
	case []bool:
		return appendList(b, v)
	case []*Meta:
		return appendList(b, v)
	case []any:
		return appendList(b, v)
	}
	return append(b, "null"...)
}

func appendList[T any](b []byte, list []T) []byte {
	b = append(b, '[')
	for i, v := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendValue(b, v)
	}
	return append(b, ']')
}

// appendFloat writes the shortest number that reads back as f, as Python
// does, but never NaN or Infinity, which JSON has not.
func appendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-4 || abs >= 1e16) {
		format = 'e'
	}
	start := len(b)
	b = strconv.AppendFloat(b, f, format, -1, 64)
	for _, c := range b[start:] {
		if c == '.' || c == 'e' {
			return b
		}
	}
	return append(b, ".0"...)
}
