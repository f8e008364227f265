package extract

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// maxQuote bounds, in characters, the text that is quoted from a file: names of
// columns and keys, the smallest and the largest value.
const maxQuote = 100

// byteOrderMark returns the encoding that the first bytes name, "" for none,
// and the length of the mark.
func byteOrderMark(b []byte) (encoding string, n int) {
	switch {
	case bytes.HasPrefix(b, []byte("\xef\xbb\xbf")):
		return "utf-8-bom", 3
	case bytes.HasPrefix(b, []byte("\xff\xfe")):
		return "utf-16le", 2
	case bytes.HasPrefix(b, []byte("\xfe\xff")):
		return "utf-16be", 2
	}
	return "", 0
}

// encodingCheck finds out how a stream of text is encoded. The zero value is
// ready.
type encodingCheck struct {
	part    []byte // the begin of a character that a chunk was cut in
	high    bool   // not all is ASCII
	invalid bool   // not UTF-8
	c1      bool   // bytes 0x80 to 0x9f after the first fault, which Latin-1 has no letters for
}

func (e *encodingCheck) write(p []byte) {
	for len(e.part) > 0 && len(p) > 0 && !e.invalid {
		e.part, p = append(e.part, p[0]), p[1:]
		if utf8.FullRune(e.part) {
			e.check(e.part)
			e.part = e.part[:0]
		}
	}
	if e.invalid {
		e.findC1(p)
		return
	}
	n := len(p)
	for k := 1; k <= min(utf8.UTFMax-1, len(p)); k++ {
		if tail := p[len(p)-k:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				n = len(p) - k
			}
			break
		}
	}
	e.part = append(e.part, p[n:]...)
	if e.check(p[:n]); e.invalid {
		e.findC1(p[n:])
	}
}

func (e *encodingCheck) check(p []byte) {
	e.high = e.high || !isASCII(p)
	if utf8.Valid(p) {
		return
	}
	e.invalid = true
	for {
		r, n := utf8.DecodeRune(p)
		if r == utf8.RuneError && n <= 1 {
			e.findC1(p)
			return
		}
		p = p[n:]
	}
}

func isASCII(p []byte) bool {
	const high = 0x8080808080808080
	for ; len(p) >= 8; p = p[8:] {
		if binary.LittleEndian.Uint64(p)&high != 0 {
			return false
		}
	}
	for _, c := range p {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func (e *encodingCheck) findC1(p []byte) {
	for _, c := range p {
		if 0x80 <= c && c < 0xa0 {
			e.c1 = true
			return
		}
	}
}

// encoding returns "ascii", "utf-8", "iso-8859-1" or "windows-1252". The last
// two are guesses: any bytes are valid in them.
func (e *encodingCheck) encoding() string {
	if len(e.part) > 0 {
		e.invalid = true
		e.findC1(e.part)
	}
	switch {
	case e.c1:
		return "windows-1252"
	case e.invalid:
		return "iso-8859-1"
	case e.high:
		return "utf-8"
	}
	return "ascii"
}

// windows1252 are the characters 0x80 to 0x9f of that code page.
const windows1252 = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ"

// quote returns at most maxQuote characters of text from a file, without space
// around them. What is not UTF-8 is read as Windows-1252, which Latin-1 is a
// part of; a character that a bound has cut is dropped.
func quote(b []byte) string {
	b = bytes.TrimSpace(b)
	valid, n, end := true, 0, 0
	for end < len(b) && n < maxQuote && valid {
		r, size := utf8.DecodeRune(b[end:])
		if r == utf8.RuneError && size == 1 {
			if utf8.FullRune(b[end:]) || len(b) < maxField-utf8.UTFMax {
				valid = false
			}
			break
		}
		n, end = n+1, end+size
	}
	if valid {
		return string(b[:end])
	}
	var s strings.Builder
	table := []rune(windows1252)
	for _, c := range b[:min(len(b), maxQuote)] {
		if 0x80 <= c && c < 0xa0 {
			s.WriteRune(table[c-0x80])
		} else {
			s.WriteRune(rune(c))
		}
	}
	return s.String()
}
