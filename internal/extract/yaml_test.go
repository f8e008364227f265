package extract_test

import (
	"strings"
	"testing"
)

func TestYAML(t *testing.T) {
	tests := []struct{ data, want string }{
		{"a: 1\nb:\n  c: 2\n# d: 3\n\"e f\": x\n'g''h': y\n", `{"documents": 1, "type": "object", "keys": ["a", "b", "e f", "g'h"]}`},
		{"---\na: 1\n---\nb: 2\na: 3\n...\n", `{"documents": 2, "type": "object", "keys": ["a", "b"]}`},
		{"- a\n- b: 1\n  c: 2\n-\n  - x\n", `{"documents": 1, "type": "array", "items": 3}`},
		{"key:\n- a\n- b: 1\nother: x\n", `{"documents": 1, "type": "object", "keys": ["key", "other"]}`},
		{"text: |\n  a: 1\n  b: 2\n\n  c: 3\nfold: >-\n  d: 4\nend: 1\n", `{"documents": 1, "type": "object", "keys": ["text", "fold", "end"]}`},
		{"a: [1,\n2, {x: y},\n]\nb: \"open\nc: no key\n\"\nd: 'it''s\ne: no'\nf: 1\n", `{"documents": 1, "type": "object", "keys": ["a", "b", "d", "f"]}`},
		{"a:\n  - b: [1,\nc: 2]\nd: 1\n", `{"documents": 1, "type": "object", "keys": ["a", "d"]}`},
		{"{a: 1, \"b\":2, 'c': [x, {y: z}],\n d: {e: f}, http://x: 1} # end\n", `{"documents": 1, "type": "object", "keys": ["a", "b", "c", "d", "http://x"]}`},
		{"{\"a\": \"x: y, z: 1\", 'b': {\"c\": 1}}\n", `{"documents": 1, "type": "object", "keys": ["a", "b"]}`},
		{"a: [it's, {x: 5\"}, don't]\nb: 1\n", `{"documents": 1, "type": "object", "keys": ["a", "b"]}`},
		{"[1, 2]\n", `{"documents": 1, "type": "array"}`},
		{"%YAML 1.2\n--- !!map &x\na: &y 1\nb: *y\n<<: *x\n? c\n: 1\n", `{"documents": 1, "type": "object", "keys": ["a", "b", "<<", "c"]}`},
		{"\ufeff  a: 1\r\n  b: 2\r\n", `{"documents": 1, "type": "object", "keys": ["a", "b"]}`},
		{"a:\n  - run: |\n      \"open\n    b: [1,\nno: 2]\n  - >\n   'open\nc: 1\n", `{"documents": 1, "type": "object", "keys": ["a", "c"]}`},
		{"url: http://x:80/a b\ntime: 12:30\nkey with spaces : 1\n", `{"documents": 1, "type": "object", "keys": ["url", "time", "key with spaces"]}`},
		{"just text # a: 1\n", `{"documents": 1, "type": "string"}`},
		{"42\n", `{"documents": 1, "type": "integer"}`}, {"--- 1.5\n", `{"documents": 1, "type": "number"}`}, {"true", `{"documents": 1, "type": "boolean"}`},
		{"~\n", `{"documents": 1, "type": "null"}`}, {"---\n", `{"documents": 1, "type": "null"}`}, {"# nothing\n", `{"documents": 0}`},
		{"--- |\n  a: 1\n", `{"documents": 1, "type": "string"}`},
		{"x: " + strings.Repeat("y", 70_000) + "\nz: 1\n", `{"documents": 1, "type": "object", "keys": ["x", "z"]} read YAML: line 1 is longer than 65536 bytes, so keys may be missing`},
	}
	for _, tt := range tests {
		if got := tableJSON(t, "a.yaml", []byte(tt.data)); got != "yaml "+tt.want {
			t.Errorf("%.60q:\n%s\n%s", tt.data, got, tt.want)
		}
	}
	for path, data := range map[string]string{"a.txt": "a: 1\n", "a.yaml": "", "b.yml": "a\x00b"} {
		if got := tableJSON(t, path, []byte(data)); got != "none" {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// Aliases that stand for aliases, and deep nesting, cost nothing.
func TestYAMLBombs(t *testing.T) {
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 10; i++ {
		d := string(rune('0' + i))
		bomb += "a" + d + ": &a" + d + " [" + strings.Repeat("*a"+string(rune('0'+i-1))+", ", 9) + "]\n"
	}
	if got := tableJSON(t, "a.yaml", []byte(bomb)); !strings.HasPrefix(got, `yaml {"documents": 1, "type": "object", "keys": ["a0", "a1",`) {
		t.Error(got)
	}
	for _, deep := range []string{strings.Repeat("[", 60_000), strings.Repeat("- ", 30_000) + "x", strings.Repeat("? ", 30_000), strings.Repeat("{a: ", 15_000)} {
		tableJSON(t, "a.yaml", []byte(deep))
	}
}

func TestYAMLTruncated(t *testing.T) {
	tableTruncations(t, "yaml", "a.yaml", []byte("%YAML 1.2\n---\na: &x [1, \"é\\\"\"]\n'b': |\n  c: 1\n? d\n: {e: f,\n g: 'h''i'}\n...\n{a: 1, 'b': 2}\n"), 1<<20)
}

func FuzzYAML(f *testing.F) {
	for _, s := range []string{"a: 1\n\"b\": [1,\n2]\n", "- a\n-\n", "--- !x &y\n{a: 'b', \"c\": d}\n...\n", "? a\n: b\n", "a: 'x\n", "\ufeff|\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { tableFuzz(t, "a.yaml", data) })
}
