package external

import (
	"bytes"
	"strings"
	"sync"
)

// Limits of what an extractor may tell the user.
const (
	maxLogLine  = 300 // bytes
	maxLogLines = 200 // of one extractor
)

// A teller tells lines of one extractor, up to a bound.
type teller struct {
	name string
	tell func(extractor, line string) // may be nil
	mu   sync.Mutex
	n    int // lines so far
}

func (t *teller) line(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tell == nil || t.n > maxLogLines {
		return
	}
	if t.n++; t.n > maxLogLines {
		text = "… more is not shown"
	}
	t.tell(t.name, text)
}

// A log cuts what an extractor prints into lines. Writes come one at a time.
type log struct {
	to   *teller
	part []byte // of a line
	last string // line that was not empty
}

// Write implements io.Writer. It never fails.
func (l *log) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte("\n"))
		// One byte more than fits shows that something is missing.
		l.part = append(l.part, line[:min(len(line), maxLogLine+1-len(l.part))]...)
		if whole {
			l.flush()
		}
		p = rest
	}
	return n, nil
}

// flush tells the line that has no end yet.
func (l *log) flush() {
	line := string(l.part)
	l.part = l.part[:0]
	if line = strings.TrimRight(line, "\r \t"); line == "" {
		return
	}
	if len(line) > maxLogLine {
		line = strings.ToValidUTF8(line[:maxLogLine], "") + " …"
	}
	l.last = line
	l.to.line(line)
}
