package external

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// A kind is a way in which an extractor runs.
type kind int

const (
	python kind = iota + 1
	command
	module
)

const (
	commandPrefix = "exec:"
	pythonSuffix  = ".py"
	moduleSuffix  = ".wasm"
	// defaultFunction is what FILE.py without a name is called by.
	defaultFunction = "extract"
)

// A Spec says what an extractor is. Nothing is known of it but its words: the
// file or program need not be there.
type Spec struct {
	kind kind
	file string   // of Python or WebAssembly, as it was given
	name string   // of the function
	args []string // of the command, itself included
}

// A SpecError is about a spec that is none.
type SpecError struct {
	Spec string
	Err  error
}

func (e *SpecError) Error() string { return fmt.Sprintf("extract %q: %v", e.Spec, e.Err) }

// Unwrap returns the cause.
func (e *SpecError) Unwrap() error { return e.Err }

// Split parts a selection, as --extract and a recipe have it, into the words
// for [extract.NewSet] and the specs of extractors. Each item of the list is a
// word, or several with commas between them. FILE.py, FILE.py:NAME and
// FILE.wasm are specs, and so is "exec: COMMAND": it goes to the end of its
// item, commas included. The error is a [*SpecError].
//
// With extractors and no words the words are those of the default, which the
// set takes an empty list for.
func Split(list []string) (words []string, specs []Spec, err error) {
	for _, item := range list {
		for rest := item; rest != ""; {
			var word string
			if strings.HasPrefix(strings.TrimSpace(rest), commandPrefix) {
				word, rest = rest, ""
			} else {
				word, rest, _ = strings.Cut(rest, ",")
			}
			word = strings.TrimSpace(word)
			spec, err := parseSpec(word)
			if err != nil {
				return nil, nil, &SpecError{word, err}
			}
			if spec.kind == 0 {
				words = append(words, word)
			} else if !slices.ContainsFunc(specs, spec.equal) {
				specs = append(specs, spec)
			}
		}
	}
	return words, specs, nil
}

// parseSpec returns the zero Spec for a word that is none.
func parseSpec(word string) (Spec, error) {
	if text, ok := strings.CutPrefix(word, commandPrefix); ok {
		args, err := splitCommand(text)
		return Spec{kind: command, args: args}, err
	}
	if strings.HasSuffix(word, moduleSuffix) {
		return Spec{kind: module, file: word}, nil
	}
	if strings.HasSuffix(word, pythonSuffix) {
		return Spec{kind: python, file: word, name: defaultFunction}, nil
	}
	i := strings.LastIndexByte(word, ':')
	if i < 0 || !strings.HasSuffix(word[:i], pythonSuffix) {
		return Spec{}, nil
	}
	s := Spec{kind: python, file: word[:i], name: word[i+1:]}
	if s.name == "" {
		return s, errors.New("the name of the function is missing: give FILE.py:NAME")
	}
	return s, nil
}

// splitCommand cuts a command into words at white space. 'Single quotes' keep
// all between them, "double quotes" too, but for \" and \\; elsewhere a
// backslash keeps the next character.
func splitCommand(text string) ([]string, error) {
	var words []string
	var word []byte
	in := false // a word
	quote := byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote == 0 && strings.IndexByte(" \t\r\n", c) >= 0:
			if in {
				words = append(words, string(word))
			}
			word, in = nil, false
			continue
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote == 0 || c == '\\' && quote == '"' && i+1 < len(text) && strings.IndexByte(`"\`, text[i+1]) >= 0:
			if i++; i == len(text) {
				return nil, errors.New("a backslash ends the command")
			}
			word = append(word, text[i])
		default:
			word = append(word, c)
		}
		in = true
	}
	if quote != 0 {
		return nil, fmt.Errorf("the quote %c is not closed", quote)
	}
	if in {
		words = append(words, string(word))
	}
	if len(words) == 0 || words[0] == "" {
		return nil, errors.New("the command is missing: give 'exec: PROGRAM ARGUMENTS'")
	}
	return words, nil
}

func (s Spec) equal(t Spec) bool {
	return s.kind == t.kind && s.file == t.file && s.name == t.name && slices.Equal(s.args, t.args)
}

// Name returns the name of the extractor: that of the file, without its
// folder, with that of the function, or of the program.
func (s Spec) Name() string {
	name := filepath.Base(s.file)
	switch s.kind {
	case python:
		name += ":" + s.name
	case command:
		name = commandPrefix + filepath.Base(s.args[0])
	}
	// The record of a set has these between and behind names.
	return strings.NewReplacer(",", "_", "@", "_").Replace(name)
}

// in returns file if it is absolute, else below base.
func in(base, file string) string {
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(base, file)
}
