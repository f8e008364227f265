package external

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		list  []string
		words []string
		names []string
	}{
		{nil, nil, nil},
		{[]string{"default,-mime", " csv "}, []string{"default", "-mime", "csv"}, nil},
		{[]string{"./meta.py:basic"}, nil, []string{"meta.py:basic"}},
		{[]string{"meta.py"}, nil, []string{"meta.py:extract"}},
		{[]string{"default, /a/b.py:f ,x.wasm,csv"}, []string{"default", "csv"}, []string{"b.py:f", "x.wasm"}},
		{[]string{"a.py:f,a.py:g,a.py:f"}, nil, []string{"a.py:f", "a.py:g"}},
		{[]string{"basic, exec: jq -c '{a, b}'"}, []string{"basic"}, []string{"exec:jq"}},
		{[]string{"exec:/usr/bin/jq", "all"}, []string{"all"}, []string{"exec:jq"}},
		{[]string{"a@1.py:f"}, nil, []string{"a_1.py:f"}},
	} {
		words, specs, err := Split(c.list)
		var names []string
		for _, s := range specs {
			names = append(names, s.Name())
		}
		words = slices.DeleteFunc(words, func(w string) bool { return w == "" })
		if err != nil || !slices.Equal(words, c.words) || !slices.Equal(names, c.names) {
			t.Errorf("%q: %q %q %v, want %q %q", c.list, words, names, err, c.words, c.names)
		}
	}
	for item, want := range map[string]string{
		"exec:":            "the command is missing",
		"exec: ''":         "the command is missing",
		"exec: a 'b":       "the quote ' is not closed",
		`exec: a "b\"`:     `the quote " is not closed`,
		`exec: a \`:        "a backslash ends the command",
		"default,meta.py:": "the name of the function is missing",
	} {
		_, _, err := Split([]string{item})
		if err == nil || !errors.As(err, new(*SpecError)) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", item, err, want)
		}
	}
}

func TestSplitCommand(t *testing.T) {
	for text, want := range map[string][]string{
		"a b  c":                {"a", "b", "c"},
		"\ta\nb ":               {"a", "b"},
		`a 'b c' "d e"`:         {"a", "b c", "d e"},
		`a'b'"c"d`:              {"abcd"},
		`a '' ""`:               {"a", "", ""},
		`a '\n"' "\n\"\\'"`:     {"a", `\n"`, `\n"\'`},
		`a\ b \'c \\`:           {"a b", "'c", `\`},
		`sh -c 'jq . | tee $x'`: {"sh", "-c", "jq . | tee $x"},
		"a $HOME * ~ `b` c;d &": {"a", "$HOME", "*", "~", "`b`", "c;d", "&"},
	} {
		if got, err := splitCommand(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
}

// What can be cut into words can be put together again.
func FuzzSplitCommand(f *testing.F) {
	for _, s := range []string{`a 'b c' "d\"e" \f`, "a '", `"\`, "exec:a,b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		words, err := splitCommand(text)
		if err != nil {
			return
		}
		var quoted []string
		for _, w := range words {
			quoted = append(quoted, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
		}
		again, err := splitCommand(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(again, words) {
			t.Errorf("%q: %q, then %q, %v", text, words, again, err)
		}
	})
}

// What extractors print is told line by line, up to a bound.
func TestLog(t *testing.T) {
	var got []string
	l := &log{to: &teller{name: "x", tell: func(name, line string) { got = append(got, name+": "+line) }}}
	for _, p := range []string{"on", "e\ntwo \r\n", "\n\n", strings.Repeat("é", 400), "tail\n", "end"} {
		if n, err := l.Write([]byte(p)); n != len(p) || err != nil {
			t.Errorf("%q: %d, %v", p, n, err)
		}
	}
	l.flush()
	want := []string{"x: one", "x: two", "x: " + strings.Repeat("é", 150) + " …", "x: end"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for range 1000 {
		l.Write([]byte("again\n"))
	}
	if len(got) != maxLogLines+1 || got[maxLogLines] != "x: … more is not shown" {
		t.Errorf("%d lines, the last is %q", len(got), got[len(got)-1])
	}
}
