package catalog

import (
	"encoding/hex"
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
		if run := plainLen(s[i:]); run > 0 {
			b = append(b, s[i:i+run]...)
			i += run
			continue
		}
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
		default:
			b = unit(b, r)
		}
		i += n
	}
	return append(b, '"')
}

// plainLen returns how many bytes of s stand for themselves in JSON.
func plainLen(s string) int {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return i
		}
	}
	return len(s)
}
