package ui

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/data-containers/cdb/internal/tree"
)

// Bytes returns n in the decimal unit that makes it short, such as "1.2 MB".
func Bytes(n int64) string {
	if n > -1000 && n < 1000 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, unit := float64(n)/1000, 0
	// What would be rounded to 1000 belongs to the next unit.
	for (v >= 999.95 || v <= -999.95) && unit < 5 {
		v, unit = v/1000, unit+1
	}
	return fmt.Sprintf("%.1f %cB", v, "kMGTPE"[unit])
}

// Count returns n with commas between thousands.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := len(s) - len(strings.TrimPrefix(s, "-"))
	for i := len(s) - 3; i > sign; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Plural returns n and the noun for it, such as "1 file" and "2 files".
func Plural(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + one + "s"
}

// Seconds returns a time in seconds as people say it, such as "0.3 s", "42 s"
// and "1 h 05 min".
func Seconds(s float64) string {
	n := int64(s + 0.5)
	switch {
	case s < 9.95:
		return fmt.Sprintf("%.1f s", s)
	case n < 60:
		return fmt.Sprintf("%d s", n)
	case n < 3600:
		return fmt.Sprintf("%d min %02d s", n/60, n%60)
	}
	return fmt.Sprintf("%d h %02d min", n/3600, n%3600/60)
}

// Table prints rows in aligned columns, under a header if it is not nil. No
// cell can break its line.
func Table(w io.Writer, header []string, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(cells []string) {
		visible := make([]string, len(cells))
		for i, c := range cells {
			visible[i] = tree.Visible(c)
		}
		fmt.Fprintln(tw, strings.Join(visible, "\t"))
	}
	if header != nil {
		line(header)
	}
	for _, r := range rows {
		line(r)
	}
	return tw.Flush()
}
