package catalog

import (
	"errors"
	"strings"
	"unicode"
)

// ErrNoText is returned for a full-text search in a catalog without an index.
var ErrNoText = errors.New("the catalog has no full-text index: build the image with --text, or search with -where or -get")

// matchExpr turns words as a user types them into a query of FTS5: all of
// them must be there, in any order. A star at the end of a word finds all
// words that begin so.
func matchExpr(words string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(words); {
		n := wordLen(words[i:])
		if n == 0 {
			i++
			continue
		}
		if b.Len() > 0 {
			b.WriteString(" AND ")
		}
		b.WriteByte('"')
		b.WriteString(words[i : i+n])
		b.WriteByte('"')
		if i += n; i < len(words) && words[i] == '*' {
			b.WriteString(" *")
		}
	}
	if b.Len() == 0 {
		return "", errors.New("there is no word in it")
	}
	return b.String(), nil
}

// wordLen returns the length of the word that s begins with, split as the
// tokenizer of the index does: letters, numbers and private characters, with
// marks that follow them.
func wordLen(s string) int {
	for i, r := range s {
		if r == unicode.ReplacementChar {
			return i
		}
		if !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.Is(unicode.Co, r) && (i == 0 || !unicode.Is(unicode.Mn, r)) {
			return i
		}
	}
	return len(s)
}
