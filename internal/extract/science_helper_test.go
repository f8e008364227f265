package extract_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/extract"
)

// scienceData is where real data sets lie, beside the checkout.
const scienceData = "../../../shared/data"

// scienceReal returns a file of the real data sets.
func scienceReal(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(scienceData, path))
	if err != nil {
		t.Skipf("no real data beside the checkout: %v", err)
	}
	return b
}

// scienceFixture returns a file of testdata.
func scienceFixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// scienceFile is data as a build would show it.
func scienceFile(path string, data []byte) *extract.File {
	f := &extract.File{Path: path, Size: int64(len(data)), Head: data}
	if len(data) > extract.HeadSize {
		f.Head = data[:extract.HeadSize]
		f.Tail = data[max(len(data)-extract.TailSize, extract.HeadSize):]
	}
	return f
}

// scienceTold and scienceAll are all formats, without and with all options.
var (
	scienceTold = extract.Formats(extract.Options{})
	scienceAll  = extract.Formats(extract.Options{GPS: true, Identifying: true})
)

// scienceFormat returns the first format that matches f, nil for none.
func scienceFormat(f *extract.File, opts extract.Options) *extract.Format {
	formats := scienceTold
	if opts.Identifying {
		formats = scienceAll
	}
	for _, format := range formats {
		if !format.OnRequest && format.Match(f) {
			return format
		}
	}
	return nil
}

// scienceRun extracts with what matches, and checks that all keys are
// documented and the JSON is sound.
func scienceRun(t testing.TB, f *extract.File, opts extract.Options) (name string, m *extract.Meta, err error) {
	t.Helper()
	m = &extract.Meta{}
	format := scienceFormat(f, opts)
	if format == nil {
		return "", m, nil
	}
	if format.Stream != nil {
		s := format.Stream(f)
		for chunk := range slices.Chunk(f.Head, 7) {
			if _, err = s.Write(chunk); err != nil {
				break
			}
		}
		if finish := s.Finish(m); err == nil {
			err = finish
		}
	} else {
		err = format.Extract(f, m)
	}
	for _, key := range m.Keys() {
		i := slices.IndexFunc(format.Keys, func(k extract.Key) bool { return k.Name == key })
		if i < 0 {
			t.Errorf("%s: the key %s.%s is not documented", f.Path, format.Name, key)
		} else if typ := scienceType(m.Get(key)); typ != format.Keys[i].Type {
			t.Errorf("%s: the key %s.%s is %s, documented as %s", f.Path, format.Name, key, typ, format.Keys[i].Type)
		}
	}
	if b := m.AppendJSON(nil); !json.Valid(b) {
		t.Errorf("%s: no JSON: %s", f.Path, b)
	}
	return format.Name, m, err
}

// scienceType is the type of a value, as keys are documented.
func scienceType(value any) string {
	switch value.(type) {
	case string:
		return "string"
	case bool:
		return "boolean"
	case int, int64, uint64:
		return "integer"
	case float64:
		return "number"
	case *extract.Meta:
		return "object"
	case []string:
		return "array of string"
	case []int, []int64:
		return "array of integer"
	case []float64:
		return "array of number"
	case []*extract.Meta:
		return "array of object"
	}
	return "unknown"
}

// A scienceCase is a file and what is said of it.
type scienceCase struct {
	name    string
	path    string
	data    []byte
	opts    extract.Options
	format  string // "" if none matches
	want    string // JSON
	warning string // part of it, "" for none
}

func scienceTable(t *testing.T, cases []scienceCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			name, m, err := scienceRun(t, scienceFile(c.path, c.data), c.opts)
			if name != c.format {
				t.Fatalf("format %q, want %q", name, c.format)
			}
			if got := string(m.AppendJSON(nil)); c.want != "" && got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			switch {
			case c.warning == "" && err != nil:
				t.Errorf("warning: %v", err)
			case c.warning != "" && (err == nil || !strings.Contains(err.Error(), c.warning)):
				t.Errorf("warning %v, want %q", err, c.warning)
			}
		})
	}
}

// scienceTruncate shows the format every truncation of data, cut off in the
// file and cut off in what is looked at.
func scienceTruncate(t *testing.T, path string, data []byte) {
	t.Helper()
	scienceTruncateBy(t, path, data, 1)
}

// scienceTruncateBy shows it those of every step bytes.
func scienceTruncateBy(t *testing.T, path string, data []byte, step int) {
	t.Helper()
	all := extract.Options{GPS: true, Identifying: true}
	for n := 0; n < len(data); n += step {
		cut := slices.Clone(data[:n]) // so that reading beyond it is found
		scienceRun(t, scienceFile(path, cut), all)
		f := &extract.File{Path: path, Size: int64(len(data)) + extract.HeadSize, Head: cut}
		scienceRun(t, f, all)
	}
}

// scienceFuzz fuzzes what matches path or the content of seeds.
func scienceFuzz(f *testing.F, path string, seeds ...[]byte) {
	for _, s := range seeds {
		f.Add(s, uint16(0))
		f.Add(s, uint16(100))
	}
	f.Fuzz(func(t *testing.T, data []byte, missing uint16) {
		file := scienceFile(path, data)
		if n := int(missing); n < len(data) && n > 0 { // a hole between head and tail
			file.Head, file.Tail = data[:n], data[n:]
			file.Size = int64(len(data)) + 100
		}
		scienceRun(t, file, extract.Options{GPS: true, Identifying: true})
	})
}
