package catalog

import (
	"encoding/hex"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/data-containers/cdb/internal/tree"
)

// AppendJSON appends the metadata of e in the form of Python's json.dumps,
// which is what the first cdb printed: size and digest first, a space after
// each colon and comma, and nothing but ASCII.
func (e *Entry) AppendJSON(b []byte) []byte {
	switch e.Type {
	case tree.File:
		b = append(b, `{"size": `...)
		b = fmt.Append(b, e.Size)
		b = append(b, `, "sha256": "`...)
		b = hex.AppendEncode(b, e.SHA256[:])
		b = append(b, '"')
	case tree.Symlink:
		b = append(b, `{"link": `...)
		b = AppendString(b, e.Link)
	default:
		return append(b, "{}"...)
	}
	if len(e.Meta) > 2 {
		b = append(b, ", "...)
		return append(b, e.Meta[1:]...)
	}
	return append(b, '}')
}

// AppendString appends s as a JSON string in ASCII. Bytes that are not UTF-8
// become lone surrogates, U+DC80 to U+DCFF, as Python's os.fsdecode has it,
// so any name can be had back exactly.
func AppendString(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	unit := func(b []byte, u rune) []byte {
		return append(b, '\\', 'u', digits[u>>12&15], digits[u>>8&15], digits[u>>4&15], digits[u&15])
	}
	b = append(b, '"')
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = unit(b, 0xdc00|rune(s[i]))
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == '\b':
			b = append(b, `\b`...)
		case r == '\f':
			b = append(b, `\f`...)
		case r >= 0x10000:
			r -= 0x10000
			b = unit(unit(b, 0xd800|r>>10), 0xdc00|r&0x3ff)
		case r < 0x20 || r >= 0x7f:
			b = unit(b, r)
		default:
			b = append(b, byte(r))
		}
		i += n
	}
	return append(b, '"')
}

// objectKeys returns the top-level keys of a JSON object.
func objectKeys(obj string) ([]string, error) {
	var keys []string
	isObject := ValidJSON(obj) && members(obj, func(name, _ string) bool {
		keys = append(keys, name)
		return true
	})
	if !isObject {
		return nil, errors.New("not a JSON object")
	}
	return keys, nil
}
