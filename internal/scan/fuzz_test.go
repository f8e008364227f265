package scan_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
)

// spooled are entries with every kind of field.
func spooled() []tree.Entry {
	return []tree.Entry{
		{Type: tree.Dir, Mode: 0o755, ModTime: time.Unix(1, 2).UTC()},
		{Path: "a", Type: tree.File, Mode: 0o7777, UID: math.MaxUint32, GID: 5, Size: math.MaxInt64, ModTime: time.Unix(-1<<40, 999_999_999).UTC()},
		{Path: "a b", Type: tree.Symlink, Mode: 0o777, Link: strings.Repeat("x", 300), ModTime: time.Unix(1<<40, 0).UTC()},
		{Path: "a b/\xff\n", Type: tree.File, Link: "a", Xattrs: map[string]string{"user.a": "", "user.b": "\x00"}, ModTime: time.Unix(0, 0).UTC()},
	}
}

func TestSpoolRoundTrip(t *testing.T) {
	got, err := scan.DecodeSpool(scan.EncodeSpool(spooled()))
	check(t, err)
	if d := cmp.Diff(spooled(), got); d != "" {
		t.Error(d)
	}
}

func TestTruncatedSpool(t *testing.T) {
	data := scan.EncodeSpool(spooled())
	whole := 0
	for n := range data {
		if _, err := scan.DecodeSpool(data[:n]); err == nil {
			whole++
		}
	}
	if whole != len(spooled()) { // cut between records, which the listing's size excludes
		t.Errorf("%d of %d truncations go unnoticed", whole, len(data))
	}
}

func FuzzSpool(f *testing.F) {
	f.Add(scan.EncodeSpool(spooled()))
	f.Fuzz(func(t *testing.T, data []byte) {
		scan.DecodeSpool(data)
	})
}

func FuzzIgnored(f *testing.F) {
	for _, s := range []string{"*.log\n!a", "**/a/[[:alpha:]-]/\\", "/a[", "[[:", "[a-\\", "a**/b", " \\ "} {
		f.Add([]byte(s), "a/b.log", true)
	}
	f.Fuzz(func(t *testing.T, lines []byte, path string, isDir bool) {
		if path != "" && tree.CheckPath(path) == nil {
			scan.Ignored(lines, path, isDir)
		}
	})
}
