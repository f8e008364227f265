package tree_test

import (
	"strconv"
	"testing"
	"unicode/utf8"

	"github.com/data-containers/cdb/internal/tree"
)

// What people read on a terminal neither steers it nor deceives them.
func TestVisible(t *testing.T) {
	for s, want := range map[string]string{
		"":                    "",
		"plain name.txt":      "plain name.txt",
		`back\slash "q" 'q'`:  `back\slash "q" 'q'`,
		"a\nb\tc\rd":          `a\nb\tc\rd`,
		"\x1b[31mred\x07":     `\x1b[31mred\x07`,
		"\x7f\x00":            `\x7f\x00`,
		"caf\u00e9 \u6f22":    "caf\u00e9 \u6f22",
		"caf\xe9":             `caf\xe9`,
		"exe\u202etxt":        `exe\u202etxt`,
		"zero\u200bwidth":     `zero\u200bwidth`,
		"no\u00a0break\u2028": `no\u00a0break\u2028`,
		"\u009b2J":            `\u009b2J`,
		"tag\U000e0041":       `tag\U000e0041`,
		"smile \U0001f600":    "smile \U0001f600",
		"\ufffd":              "\ufffd",
	} {
		if got := tree.Visible(s); got != want {
			t.Errorf("Visible(%q) = %q, want %q", s, got, want)
		}
	}
}

func FuzzVisible(f *testing.F) {
	f.Add("a\x1b\xff\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := tree.Visible(s)
		if !utf8.ValidString(got) {
			t.Errorf("Visible(%q) = %q is not UTF-8", s, got)
		}
		for _, r := range got {
			if !strconv.IsPrint(r) {
				t.Errorf("Visible(%q) = %q holds %U", s, got, r)
			}
		}
	})
}
