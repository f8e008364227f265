package extract_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/extract"
)

// tableFile is a file in memory as the build shows it.
func tableFile(path string, data []byte) *extract.File {
	f := &extract.File{Path: path, Size: int64(len(data)), Head: data[:min(len(data), extract.HeadSize)]}
	if len(data) > extract.HeadSize {
		f.Tail = data[len(data)-min(len(data), extract.TailSize):]
	}
	return f
}

// tableFormat returns the format that describes a file, nil for none.
func tableFormat(f *extract.File, onRequest bool) *extract.Format {
	tail := f.Tail
	f.Tail = nil
	defer func() { f.Tail = tail }()
	for _, format := range extract.Formats(extract.Options{}) {
		if format.OnRequest == onRequest && format.Match(f) {
			return format
		}
	}
	return nil
}

// tableDescribe runs a format over data in chunks of the given size.
func tableDescribe(t testing.TB, format *extract.Format, path string, data []byte, chunk int) (*extract.Meta, error) {
	t.Helper()
	f, m := tableFile(path, data), &extract.Meta{}
	if format.Stream == nil {
		err := format.Extract(f, m)
		tableCheckKeys(t, format, m)
		return m, err
	}
	s := format.Stream(f)
	for len(data) > 0 {
		// A copy that is wiped shows if the stream keeps what it was given.
		p := append([]byte(nil), data[:min(chunk, len(data))]...)
		if n, err := s.Write(p); err != nil {
			break
		} else if n != len(p) {
			t.Fatalf("Write returned %d of %d", n, len(p))
		}
		for i := range p {
			p[i] = 0xAA
		}
		data = data[len(p):]
	}
	err := s.Finish(m)
	tableCheckKeys(t, format, m)
	return m, err
}

// tableCheckKeys demands that all keys are documented, with the right type.
func tableCheckKeys(t testing.TB, format *extract.Format, m *extract.Meta) {
	t.Helper()
	for _, k := range m.Keys() {
		want := "no such key"
		for _, doc := range format.Keys {
			if doc.Name == k {
				want = doc.Type
			}
		}
		got := fmt.Sprintf("%T", m.Get(k))
		got = strings.NewReplacer("[]", "array of ", "*extract.Meta", "object", "float64", "number", "int64", "integer",
			"bool", "boolean").Replace(got)
		if got == "int" || got == "uint64" {
			got = "integer"
		}
		if got != want {
			t.Errorf("%s.%s is %s, documented as %s", format.Name, k, got, want)
		}
	}
}

// tableJSON returns what is said of a file under its name alone: the format's
// name, a space, and metadata or warning.
func tableJSON(t testing.TB, path string, data []byte) string {
	t.Helper()
	format := tableFormat(tableFile(path, data), false)
	if format == nil {
		return "none"
	}
	m, err := tableDescribe(t, format, path, data, 64<<10)
	out := format.Name + " " + string(m.AppendJSON(nil))
	if err != nil {
		out += " " + err.Error()
	}
	// However the bytes come, the answer is the same.
	for _, chunk := range []int{1, 7, 4096} {
		if len(data) > 1<<20 && chunk < 4096 {
			continue
		}
		again, err2 := tableDescribe(t, format, path, data, chunk)
		o := format.Name + " " + string(again.AppendJSON(nil))
		if err2 != nil {
			o += " " + err2.Error()
		}
		if o != out {
			t.Errorf("%s in chunks of %d:\n%s\n%s", path, chunk, o, out)
		}
	}
	return out
}

// tableMeta is tableJSON as values, numbers as they are written.
func tableMeta(t testing.TB, format, path string, data []byte) map[string]any {
	t.Helper()
	name, doc, _ := strings.Cut(tableJSON(t, path, data), " ")
	if name != format {
		t.Fatalf("%s: described as %s, not %s", path, name, format)
	}
	m := map[string]any{}
	d := json.NewDecoder(strings.NewReader(doc))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatalf("%s: %v in %s", path, err, doc)
	}
	return m
}

// tableShared reads one of the real data sets.
func tableShared(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../../shared/data", name))
	if err != nil {
		t.Skipf("the real data sets are not beside the checkout: %v", err)
	}
	return data
}

// tableFixture reads a file of testdata.
func tableFixture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// tableTruncations feeds every truncation of data, as if the file ended there
// and as if it were cut while it was read, to the format that is named. None
// may panic or make more than limit bytes of memory.
func tableTruncations(t *testing.T, name, path string, data []byte, limit uint64) {
	t.Helper()
	var format *extract.Format
	for _, f := range extract.Formats(extract.Options{}) {
		if f.Name == name {
			format = f
		}
	}
	step := max(1, len(data)/3000)
	for n := 0; n < len(data); n += step {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f := tableFile(path, data[:n])
		format.Match(f)
		tableDescribe(t, format, path, data[:n], 1<<20)
		if format.Stream != nil {
			s := format.Stream(tableFile(path, data))
			s.Write(append([]byte(nil), data[:n]...))
			s.Finish(&extract.Meta{})
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > limit {
			t.Fatalf("%s cut to %d of %d bytes: %d bytes of memory", path, n, len(data), got)
		}
	}
}

// tableFuzz checks that data makes a format neither panic nor depend on how
// the bytes come.
func tableFuzz(t *testing.T, path string, data []byte) {
	if format := tableFormat(tableFile(path, data), false); format != nil {
		tableJSON(t, path, data)
	}
}
