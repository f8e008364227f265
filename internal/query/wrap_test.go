package query_test

import (
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/query"
)

// Lines are short, and together they are the list.
func TestWrapList(t *testing.T) {
	for _, list := range []string{"", "csv@1", "csv@1,json@1", strings.Repeat("format@1,", 40) + "x", strings.Repeat("x", 200) + ",y"} {
		lines := query.WrapList(list)
		if got := strings.ReplaceAll(strings.Join(lines, " "), ", ", ","); got != list {
			t.Errorf("%q became %q", list, lines)
		}
		for _, line := range lines {
			if len(line) > 64 && strings.Contains(line, ", ") {
				t.Errorf("long line %q", line)
			}
		}
	}
}
