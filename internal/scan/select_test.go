package scan_test

import (
	"testing"

	"github.com/data-containers/cdb/internal/scan"
)

// Patterns select files as those of .gitignore leave them out.
func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		patterns []string
		path     string
		want     bool
	}{
		{[]string{"*.csv"}, "a/b.csv", true},
		{[]string{"*.csv"}, "a/b.csv.gz", false},
		{[]string{"/a/*.csv"}, "a/b.csv", true},
		{[]string{"/a/*.csv"}, "x/a/b.csv", false},
		{[]string{"a/"}, "x/a/b/c", true},
		{[]string{"a/"}, "x/a", false},
		{[]string{"/2024/**/z*"}, "2024/m/n/zoo", true},
		{[]string{"*.csv", "!b.csv"}, "a/b.csv", false},
		{[]string{"*.csv", "!b.csv"}, "a/c.csv", true},
		{[]string{"a/", "!a/x"}, "a/x", false},
		{[]string{"!a/x", "*"}, "a/x", true},
		{[]string{"[ab]?"}, "b1", true},
		{nil, "a", false},
		{[]string{"", "# words"}, "a", false},
	} {
		if got := scan.ParsePatterns(c.patterns).Match(c.path); got != c.want {
			t.Errorf("%q of %q: %v", c.path, c.patterns, got)
		}
	}
}
