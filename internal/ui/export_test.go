package ui

import "io"

// NewTerminal is a Talk that takes w for a terminal of 80 columns.
func NewTerminal(w io.Writer) *Talk {
	t := NewTalk(w, "cdb")
	t.fd = 1 << 30 // no such descriptor, so it has the default width
	return t
}

// FormatProgress is for tests.
var FormatProgress = formatProgress
