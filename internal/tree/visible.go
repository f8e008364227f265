package tree

import (
	"strconv"
	"unicode/utf8"
)

// Visible returns s with everything that could steer a terminal or deceive
// its reader written out, such as \n, \x1b and \u202e: control and format
// characters, odd spaces, and bytes that are not UTF-8. It is for people and
// cannot be undone: a backslash stays as it is.
func Visible(s string) string {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return string(AppendVisible(nil, s))
		}
	}
	return s
}

// AppendVisible appends Visible(s) to b.
func AppendVisible(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		if c := s[i]; ' ' <= c && c < 0x7f {
			b = append(b, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == utf8.RuneError && n == 1 || r < 0x80:
			b = appendHex(append(b, `\x`...), rune(s[i]), 2)
		case strconv.IsPrint(r):
			b = append(b, s[i:i+n]...)
		case r < 0x10000:
			b = appendHex(append(b, `\u`...), r, 4)
		default:
			b = appendHex(append(b, `\U`...), r, 8)
		}
		i += n
	}
	return b
}

// appendHex appends the lowest digits of r.
func appendHex(b []byte, r rune, digits int) []byte {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[r>>shift&15])
	}
	return b
}
