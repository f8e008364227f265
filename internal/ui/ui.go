// Package ui is how cdb speaks to people and to programs: messages and a
// progress line on stderr, tables and JSON on stdout, exit codes.
package ui

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"

	"github.com/data-containers/cdb/internal/tree"
)

// Exit codes of cdb.
const (
	ExitOK          = 0
	ExitError       = 1   // what was asked for was not done, or verify found something
	ExitUsage       = 2   // the command line is wrong
	ExitIncomplete  = 3   // done, but some inputs were left out
	ExitInterrupted = 130 // a signal ended it
)

// A Talk is what cdb says beside its answer, on stderr. Its methods may be
// called from several goroutines.
type Talk struct {
	mu    sync.Mutex
	w     io.Writer
	name  string
	fd    int // of the terminal, -1 if there is none
	quiet bool
	line  int // length of the progress line that is shown
}

// NewTalk returns a Talk that begins each message with the name of the
// program.
func NewTalk(w io.Writer, name string) *Talk {
	t := &Talk{w: w, name: name, fd: -1}
	if f, ok := w.(*os.File); ok && IsTerminal(f) {
		t.fd = int(f.Fd())
	}
	return t
}

// Quiet leaves out notes and progress; warnings and errors stay.
func (t *Talk) Quiet() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.quiet = true
}

// Note says something that is nice to know.
func (t *Talk) Note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.quiet {
		t.print(fmt.Sprintf(format, args...))
	}
}

// Warn says something that must be known, errors included. What could steer a
// terminal is written out.
func (t *Talk) Warn(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.print(fmt.Sprintf(format, args...))
}

// print writes a message where the progress line was. A message that cannot
// be written has nobody to be told about.
func (t *Talk) print(message string) {
	t.erase()
	fmt.Fprintf(t.w, "%s: %s\n", t.name, tree.Visible(message))
}

// ReadPassword reads a line from a terminal that does not show it.
func ReadPassword(f *os.File) (string, error) {
	b, err := term.ReadPassword(int(f.Fd()))
	return string(b), err
}

// IsTerminal says if people read f.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
