package extract

import (
	"bytes"
	"errors"
	"strings"
)

func textFormat() *Format {
	return &Format{
		Name:      "text",
		Version:   1,
		MediaType: "text/plain",
		OnRequest: true,
		Keys: []Key{
			{"lines", "integer", "", "number of lines, a last one without an end included"},
			{"longest", "integer", "bytes", "length of the longest line, without its end"},
			{"encoding", "string", "", "ascii, utf-8, utf-8-bom, utf-16le, utf-16be, iso-8859-1, windows-1252 (the last two are guesses), or binary if control characters show late"},
			{"newline", "string", "", "what ends lines: lf, crlf, cr or mixed; absent for a single line"},
		},
		Match: func(f *File) bool {
			mark, _ := byteOrderMark(f.Head)
			return len(f.Head) > 0 && (strings.HasPrefix(mark, "utf-16") || looksLikeText(f.Head[:min(len(f.Head), sampleSize)]))
		},
		Stream: func(f *File) Stream {
			s := &textStream{}
			s.mark, s.skip = byteOrderMark(f.Head)
			if s.mark == "utf-16be" {
				s.high = 1
			}
			return s
		},
	}
}

// A textStream counts lines. In UTF-16 the units are cut to bytes first: what
// is beyond Latin-1 can be no newline.
type textStream struct {
	mark    string // the encoding that a byte order mark names
	skip    int    // bytes of the mark
	high    int    // in UTF-16BE, where in a unit the low byte is
	odd     []byte // half a unit of UTF-16
	units   []byte // those of the chunk at hand
	check   encodingCheck
	binary  bool
	line    int64 // length of the line at hand
	longest int64
	lf      int64
	crlf    int64
	cr      int64
	afterCR bool
}

// Write implements Stream.
func (s *textStream) Write(p []byte) (int, error) {
	n := len(p)
	cut := min(s.skip, len(p))
	s.skip -= cut
	p = p[cut:]
	if strings.HasPrefix(s.mark, "utf-16") {
		s.lines(s.narrow(p))
		return n, nil
	}
	s.check.write(p)
	s.binary = s.binary || bytes.IndexByte(p, 0) >= 0
	s.lines(p)
	return n, nil
}

// narrow returns a byte for each unit of UTF-16.
func (s *textStream) narrow(p []byte) []byte {
	s.units = s.units[:0]
	if len(s.odd) > 0 && len(p) > 0 {
		s.units = append(s.units, s.unit(s.odd[0], p[0]))
		s.odd, p = s.odd[:0], p[1:]
	}
	for ; len(p) >= 2; p = p[2:] {
		s.units = append(s.units, s.unit(p[0], p[1]))
	}
	s.odd = append(s.odd, p...)
	return s.units
}

func (s *textStream) unit(a, b byte) byte {
	if s.high == 1 {
		a, b = b, a
	}
	if b != 0 {
		return 'x'
	}
	return a
}

// lines counts the lines of p.
func (s *textStream) lines(p []byte) {
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			s.returns(p)
			return
		}
		s.returns(p[:i])
		if s.afterCR {
			s.afterCR = false
			s.crlf++
		} else {
			s.lf++
			s.endLine()
		}
		p = p[i+1:]
	}
}

// returns counts the lines of p, in which is no line feed, that end in
// carriage returns. One at the very end may be a part of CRLF.
func (s *textStream) returns(p []byte) {
	for len(p) > 0 {
		if s.afterCR {
			s.afterCR = false
			s.cr++
		}
		i := bytes.IndexByte(p, '\r')
		if i < 0 {
			s.line += int64(len(p))
			return
		}
		s.line += int64(i)
		s.endLine()
		s.afterCR = true
		p = p[i+1:]
	}
}

func (s *textStream) endLine() { s.longest, s.line = max(s.longest, s.line), 0 }

// Finish implements Stream.
func (s *textStream) Finish(m *Meta) error {
	if s.afterCR {
		s.afterCR = false
		s.cr++
	}
	lines := s.lf + s.crlf + s.cr
	if s.line > 0 {
		lines++
	}
	unit := int64(1)
	if strings.HasPrefix(s.mark, "utf-16") {
		unit = 2
	}
	m.Set("lines", lines)
	m.Set("longest", unit*max(s.longest, s.line))
	m.Set("encoding", s.encoding())
	if style := s.newline(); style != "" {
		m.Set("newline", style)
	}
	if len(s.odd) > 0 {
		return errors.New("read text: its UTF-16 ends in half a character")
	}
	return nil
}

func (s *textStream) encoding() string {
	switch e := s.check.encoding(); {
	case s.binary:
		return "binary"
	case s.mark == "utf-8-bom" && (e == "utf-8" || e == "ascii"):
		return s.mark
	case s.mark == "utf-8-bom" || s.mark == "":
		return e
	}
	return s.mark
}

func (s *textStream) newline() string {
	switch {
	case s.lf == 0 && s.crlf == 0 && s.cr == 0:
		return ""
	case s.crlf == 0 && s.cr == 0:
		return "lf"
	case s.lf == 0 && s.cr == 0:
		return "crlf"
	case s.lf == 0 && s.crlf == 0:
		return "cr"
	}
	return "mixed"
}
