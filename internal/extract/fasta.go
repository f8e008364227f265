package extract

import (
	"bytes"
	"errors"
)

// fastaFormat is FASTA: records of a line that begins with ">" and lines of
// residues.
func fastaFormat() *Format {
	return &Format{
		Name:      "fasta",
		Version:   1,
		MediaType: "text/x-fasta",
		Keys: []Key{
			{Name: "records", Type: "integer", Doc: "number of sequences"},
			{Name: "residues", Type: "integer", Doc: "length of all sequences together, gaps included"},
			{Name: "shortest", Type: "integer", Unit: "residues", Doc: "length of the shortest sequence"},
			{Name: "longest", Type: "integer", Unit: "residues", Doc: "length of the longest sequence"},
		},
		Match: func(f *File) bool {
			return f.HasSuffix(".fasta", ".fa", ".fna", ".faa", ".ffn", ".frn", ".fas") && len(f.Head) > 0 &&
				(f.Head[0] == '>' || f.Head[0] == ';')
		},
		Stream: func(*File) Stream { return &fastaStream{lineStart: true} },
	}
}

// A lengths counts sequences and their lengths.
type lengths struct {
	records, total, shortest, longest int64
}

func (l *lengths) add(n int64) {
	if l.records == 0 || n < l.shortest {
		l.shortest = n
	}
	l.longest = max(l.longest, n)
	l.total += n
	l.records++
}

func (l *lengths) set(m *Meta, unit string) {
	m.Set("records", l.records)
	m.Set(unit, l.total)
	if l.records > 0 {
		m.Set("shortest", l.shortest)
		m.Set("longest", l.longest)
	}
}

// A fastaStream counts records and residues.
type fastaStream struct {
	lengths
	length    int64 // of the record so far
	lineStart bool
	inName    bool
	inRecord  bool
}

func (s *fastaStream) Write(p []byte) (int, error) {
	for b := p; len(b) > 0; {
		if s.lineStart {
			s.begin(b[0])
		}
		line, rest, whole := bytes.Cut(b, []byte{'\n'})
		if s.inRecord && !s.inName {
			s.length += int64(len(line) - countBlanks(line))
		}
		s.lineStart, b = whole, rest
	}
	return len(p), nil
}

// begin begins a line with its first byte.
func (s *fastaStream) begin(c byte) {
	s.inName = c == '>' || c == ';'
	if c != '>' {
		return
	}
	if s.inRecord {
		s.add(s.length)
	}
	s.inRecord, s.length = true, 0
}

func countBlanks(line []byte) (n int) {
	for _, c := range line {
		if c <= ' ' {
			n++
		}
	}
	return n
}

func (s *fastaStream) Finish(m *Meta) error {
	if s.inRecord {
		s.add(s.length)
		s.inRecord = false
	}
	s.set(m, "residues")
	return nil
}

// fastqFormat is FASTQ in records of four lines, as all machines write it.
func fastqFormat() *Format {
	return &Format{
		Name:      "fastq",
		Version:   1,
		MediaType: "text/x-fastq",
		Keys: []Key{
			{Name: "records", Type: "integer", Doc: "number of reads"},
			{Name: "bases", Type: "integer", Doc: "length of all reads together"},
			{Name: "shortest", Type: "integer", Unit: "bases", Doc: "length of the shortest read"},
			{Name: "longest", Type: "integer", Unit: "bases", Doc: "length of the longest read"},
		},
		Match: func(f *File) bool {
			return f.HasSuffix(".fastq", ".fq") && len(f.Head) > 0 && f.Head[0] == '@'
		},
		Stream: func(*File) Stream { return &fastqStream{} },
	}
}

// A fastqStream counts reads and bases.
type fastqStream struct {
	lengths
	line    int   // of four
	length  int64 // of the line so far
	blanks  int64 // at its end
	first   byte  // of the line
	bases   int64 // of the read
	problem error
}

var errFASTQ = errors.New("it is not in records of four lines, or cut short")

func (s *fastqStream) Write(p []byte) (int, error) {
	for b := p; len(b) > 0; {
		line, rest, whole := bytes.Cut(b, []byte{'\n'})
		if s.length == 0 && len(line) > 0 {
			s.first = line[0]
		}
		if s.length += int64(len(line)); len(line) > 0 {
			s.blanks = 0
			if line[len(line)-1] == '\r' {
				s.blanks = 1
			}
		}
		if b = rest; whole {
			if s.end(); s.problem != nil {
				return 0, s.problem
			}
		}
	}
	return len(p), nil
}

// end ends a line.
func (s *fastqStream) end() {
	n := s.length - s.blanks
	switch {
	case s.line == 0 && n == 0: // empty lines between records, or at the end
		s.line--
	case s.line == 0 && s.first != '@', s.line == 2 && s.first != '+', s.line == 3 && n != s.bases:
		s.problem = errFASTQ
	case s.line == 1:
		s.bases = n
	case s.line == 3:
		s.add(s.bases)
	}
	s.line, s.length, s.blanks, s.first = (s.line+1)%4, 0, 0, 0
}

func (s *fastqStream) Finish(m *Meta) error {
	if s.problem == nil && s.length > 0 {
		s.end()
	}
	s.set(m, "bases")
	if s.problem == nil && s.line != 0 {
		return errFASTQ
	}
	return nil
}
