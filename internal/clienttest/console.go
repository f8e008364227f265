package clienttest

import (
	"os"
	"strings"
	"testing"
)

// Step is one command of a document with the output the document shows for it.
type Step struct {
	Command string
	Want    string // what is shown below it; empty: nothing is promised
	Line    int    // of the command in the document
}

// Console reads the steps of a Markdown document: in each block marked "console" a line that begins with "$ " is a
// command (a backslash at its end continues it), and the lines up to the next command are its output.
func Console(t testing.TB, path string) []Step {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	steps := parseConsole(string(text))
	if len(steps) == 0 {
		t.Fatalf("%s shows no command", path)
	}
	return steps
}

func parseConsole(text string) []Step {
	var steps []Step
	inside, more := false, false
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			inside, more = strings.TrimSpace(line) == "```console", false
		case !inside:
		case more:
			last := &steps[len(steps)-1]
			last.Command += "\n" + line
			more = strings.HasSuffix(line, "\\")
		case strings.HasPrefix(line, "$ "):
			steps = append(steps, Step{Command: line[2:], Line: i + 1})
			more = strings.HasSuffix(line, "\\")
		case len(steps) > 0:
			steps[len(steps)-1].Want += line + "\n"
		}
	}
	return steps
}

// Matches says whether output is what the step shows. A line "..." stands for any number of lines.
func (s Step) Matches(output string) bool {
	return s.Want == "" || matchLines(strings.SplitAfter(s.Want, "\n"), strings.SplitAfter(output, "\n"))
}

func matchLines(want, got []string) bool {
	for len(want) > 0 {
		if want[0] == "...\n" {
			for i := range len(got) + 1 {
				if matchLines(want[1:], got[i:]) {
					return true
				}
			}
			return false
		}
		if len(got) == 0 || want[0] != got[0] {
			return false
		}
		want, got = want[1:], got[1:]
	}
	return len(got) == 0
}

// RunConsole runs every step of a document in the shell, in order. The first that fails or shows something
// else ends the test.
func RunConsole(t testing.TB, shell Client, document string) {
	t.Helper()
	for _, step := range Console(t, document) {
		got := shell.Run(t, step.Command)
		if !step.Matches(got) {
			t.Fatalf("%s:%d: $ %s\ngot:\n%s\nthe document shows:\n%s", document, step.Line, step.Command, got, step.Want)
		}
	}
}
