package extract_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/data-containers/cdb/internal/extract"
)

// The file was written with github.com/apache/arrow-go: two batches of three
// rows, and columns of most types.
func TestArrow(t *testing.T) {
	want := `arrow {"width": 15, "columns": ["id", "small", "x", "h", "name", "ok", "day", "ms", "when", "clock", "dec", "fix", "tags", "home", "kind"], ` +
		`"types": ["int64", "uint8", "double", "float16", "string", "boolean", "date", "date(ms)", "timestamp(us)", "time(s)", "decimal(10,2)", "fixed(16)", "list", "struct", "dictionary"], ` +
		`"metadata": ["origin"], "batches": 2, "rows": 6}`
	if diff := cmp.Diff(want, tableJSON(t, "x.feather", tableFixture(t, "arrow/typed.arrow"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Of a large file the columns are known, the rows if the batches are in reach.
func TestArrowLarge(t *testing.T) {
	small := tableFixture(t, "arrow/typed.arrow")
	size := int(binary.LittleEndian.Uint32(small[len(small)-10:]))
	cut := len(small) - 10 - size
	large := append(append(append([]byte(nil), small[:cut]...), make([]byte, 3<<20)...), small[cut:]...)
	if got := tableMeta(t, "arrow", "x", large); fmt.Sprintf("%v %v", got["rows"], got["width"]) != "6 15" {
		t.Errorf("batches in the head: %v", got)
	}
	binary.LittleEndian.PutUint32(large[len(large)-10:], 3<<20)
	if got := tableJSON(t, "x", large); !strings.HasPrefix(got, "arrow {} read Arrow footer: its 3145728 bytes are more than is looked at") {
		t.Errorf("footer of 3 MiB: %s", got)
	}
}

func TestArrowTruncated(t *testing.T) {
	data := tableFixture(t, "arrow/typed.arrow")
	tableTruncations(t, "arrow", "x", data, 1<<20)
	size := int(binary.LittleEndian.Uint32(data[len(data)-10:]))
	footer := data[len(data)-10-size : len(data)-10]
	for n := range footer {
		cut := append(append([]byte(nil), data[:len(data)-10-size]...), footer[:n]...)
		cut = append(binary.LittleEndian.AppendUint32(cut, uint32(n)), "ARROW1"...)
		tableDescribe(t, tableFormat(tableFile("x", cut), false), "x", cut, 0)
	}
}

func FuzzArrow(f *testing.F) {
	data := tableFixture(f, "arrow/typed.arrow")
	size := int(binary.LittleEndian.Uint32(data[len(data)-10:]))
	f.Add(data[len(data)-10-size : len(data)-10])
	f.Fuzz(func(t *testing.T, footer []byte) {
		b := append([]byte("ARROW1\x00\x00"), footer...)
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(footer))), "ARROW1"...)
		for _, format := range extract.Formats(extract.Options{}) {
			if format.Name == "arrow" {
				tableDescribe(t, format, "x", b, 0)
			}
		}
	})
}
