package extract

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// A mediaFixture is a file and what is to be found in it.
type mediaFixture struct {
	name string // of the test
	path string // of the file
	data []byte
	want string // the metadata as JSON
	typ  string // its media type
	warn string // a part of the warning
}

// mediaFile returns data as the build shows it to formats; the tail is there
// once a format has matched.
func mediaFile(path string, data []byte) *File {
	return &File{Path: path, Size: int64(len(data)), Head: data[:min(len(data), HeadSize)]}
}

// mediaRun returns what a format finds in data; nil where it does not match.
func mediaRun(format *Format, path string, data []byte) (*Meta, error) {
	f := mediaFile(path, data)
	if !format.Match(f) {
		return nil, nil
	}
	m := &Meta{}
	if format.Stream == nil {
		if format.Tail && !f.Whole() {
			f.Tail = data[max(0, len(data)-TailSize):]
		}
		return m, format.Extract(f, m)
	}
	s := format.Stream(f)
	var err error
	for n := 1; len(data) > 0 && err == nil; n = n%4000 + 700 {
		n = min(n, len(data))
		var written int
		if written, err = s.Write(data[:n]); err == nil && written != n {
			err = io.ErrShortWrite
		}
		data = data[n:]
	}
	return m, errors.Join(err, s.Finish(m))
}

// mediaTest runs a format over fixtures and over each of their truncations.
func mediaTest(t *testing.T, format *Format, fixtures []mediaFixture) {
	t.Helper()
	made := map[string]bool{}
	for _, fix := range fixtures {
		t.Run(fix.name, func(t *testing.T) {
			m, err := mediaRun(format, fix.path, fix.data)
			if m == nil {
				t.Fatal("it does not match")
			}
			if got := string(m.AppendJSON(nil)); got != fix.want {
				t.Errorf("got  %s\nwant %s", got, fix.want)
			}
			if m.mediaType != fix.typ {
				t.Errorf("media type %q, want %q", m.mediaType, fix.typ)
			}
			if err == nil && fix.warn != "" || err != nil && (fix.warn == "" || !strings.Contains(err.Error(), fix.warn)) {
				t.Errorf("warning %v, want %q", err, fix.warn)
			}
			mediaCheckKeys(t, format, m)
			for _, key := range m.Keys() {
				made[key] = true
			}
		})
		t.Run(fix.name+"/truncated", func(t *testing.T) { mediaTruncate(t, format, fix) })
	}
	for _, key := range format.Keys {
		if !made[key.Name] && !strings.HasPrefix(key.Name, "exif.gps.") {
			t.Errorf("%s is documented, but no file makes it", key.Name)
		}
	}
}

// mediaCheckKeys fails for keys that the documentation of format lacks, and
// for values of another type.
func mediaCheckKeys(t testing.TB, format *Format, m *Meta) {
	t.Helper()
	for _, key := range m.Keys() {
		i := slices.IndexFunc(format.Keys, func(k Key) bool { return k.Name == key })
		if i < 0 {
			t.Errorf("the key %s is not documented", key)
			continue
		}
		typ := ""
		switch m.Get(key).(type) {
		case string:
			typ = "string"
		case int, int64, uint64:
			typ = "integer"
		case float64:
			typ = "number"
		case bool:
			typ = "boolean"
		case []float64:
			typ = "array of number"
		case []string:
			typ = "array of string"
		}
		if format.Keys[i].Type != typ {
			t.Errorf("%s is documented as %s and is %T", key, format.Keys[i].Type, m.Get(key))
		}
	}
}

// mediaTruncate feeds every truncation of a file (of a large one, those of its
// beginning and end): nothing panics, and little is allocated.
func mediaTruncate(t *testing.T, format *Format, fix mediaFixture) {
	edge := 4 << 10
	if len(fix.data) > HeadSize {
		edge = 128
	}
	var before, after runtime.MemStats
	for n := range len(fix.data) {
		if n > edge && n < len(fix.data)-edge && n%(len(fix.data)/edge+1) != 0 || testing.Short() && n%7 != 0 {
			continue
		}
		runtime.ReadMemStats(&before)
		m, _ := mediaRun(format, fix.path, fix.data[:n])
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
			t.Fatalf("%d of %d bytes: %d bytes allocated", n, len(fix.data), grown)
		}
		if m != nil {
			mediaCheckKeys(t, format, m)
		}
	}
}

// mediaFuzz runs a format over what the fuzzer makes of the fixtures, as small
// files and as parts of a file that is far too large to be seen whole.
func mediaFuzz(f *testing.F, format *Format, fixtures []mediaFixture) {
	for _, fix := range fixtures {
		if len(fix.data) < 64<<10 {
			f.Add(fix.path, fix.data)
		}
	}
	f.Fuzz(func(t *testing.T, path string, data []byte) {
		m, _ := mediaRun(format, path, data)
		if m != nil {
			mediaCheckKeys(t, format, m)
		}
		big := &File{Path: path, Size: 1 << 50, Head: data, Tail: data}
		if format.Extract != nil && format.Match(big) {
			m := &Meta{}
			_ = format.Extract(big, m)
			mediaCheckKeys(t, format, m)
		}
	})
}

func mediaZlib(b []byte) []byte {
	var out bytes.Buffer
	z := zlib.NewWriter(&out)
	_, err := z.Write(b)
	return mediaMust(out, errors.Join(err, z.Close()))
}
