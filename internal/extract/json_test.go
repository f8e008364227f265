package extract_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/data-containers/cdb/internal/extract"
)

func TestJSON(t *testing.T) {
	tests := []struct{ path, data, want string }{
		{"a.json", "\ufeff {\"b\": 1, \"a\": [1, {\"c\": null}], \"caf\\u00e9\": \"x\"}\n", `json {"type": "object", "keys": ["b", "a", "caf\u00e9"], "depth": 3}`},
		{"a.json", `[{"a": 1, "b": "x"}, {"a": 2.5, "c": [true]}, {"a": null}]`, `json {"type": "array", "items": 3, "fields": [` +
			`{"name": "a", "types": ["number", "null"], "count": 3}, {"name": "b", "types": ["string"], "count": 1}, {"name": "c", "types": ["array"], "count": 1}], "depth": 3}`},
		{"a.json", `[1, 2, [3]]`, `json {"type": "array", "items": 3, "depth": 2}`},
		{"a.json", `-1.5e3`, `json {"type": "number", "depth": 0}`},
		{"a.json", "{}", `json {"type": "object", "keys": [], "depth": 1}`},
		{"a.json", `{"a": 1`, `json {} read JSON: byte 7: the file ends within a value`},
		{"a.json", `{"a": 01}`, `json {} read JSON: byte 7: '1' in a number`},
		{"a.json", `{"a": tru}`, `json {} read JSON: byte 9: '}' in a word that is neither true, false nor null`},
		{"a.json", `{"a" 1}`, `json {} read JSON: byte 5: '1' where a colon should be`},
		{"a.json", `[1, 2}`, `json {} read JSON: byte 5: '}' where a comma or ']' should be`},
		{"a.json", "// hello\n{}", `json {} read JSON: byte 0: '/' where a value should be`},
		{"a.json", "[1]\n[2]\n", `json {} read JSON: byte 4: there is more behind the value; name files of one value a line .jsonl`},
		{"a.json", strings.Repeat("[", 10_001), `json {} read JSON: byte 10000: nested deeper than 10000`},
		{"config", `{"a": [1, 2]}`, `json {"type": "object", "keys": ["a"], "depth": 2}`},
		{"log.txt", `[{"a": 1}]`, `json {"type": "array", "items": 1, "fields": [{"name": "a", "types": ["integer"], "count": 1}], "depth": 2}`},
		{"a.jsonl", "{\"a\": 1}\n{\"a\": \"x\", \"b\": {}}\r\n\n3\n", `jsonl {"records": 3, "fields": [{"name": "a", "types": ["string", "integer"], "count": 2}, {"name": "b", "types": ["object"], "count": 1}]}`},
		{"events.json", "{\"a\": 1}\n{\"a\": 2}\n", `jsonl {"records": 2, "fields": [{"name": "a", "types": ["integer"], "count": 2}]}`},
		{"events", "{\"a\": 1}\n{\"a\": 2}\n", `jsonl {"records": 2, "fields": [{"name": "a", "types": ["integer"], "count": 2}]}`},
		{"a.ndjson", "{\"a\": 1}\n{\"a\":\n{\"a\": \"x\n{\"a\": 4}\n{\"a", `jsonl {"records": 2, "fields": [{"name": "a", "types": ["integer"], "count": 4}], "invalid": 3} ` +
			`read JSON lines: 3 are not JSON; the first: line 2: read JSON: byte 14: the line ends within a value`},
		{"a.geojson", `{"type": "FeatureCollection", "features": [
			{"type": "Feature", "geometry": {"type": "Point", "coordinates": [8.5, 47.25, 400]}, "properties": {"name": "x", "type": "Polygon"}},
			{"type": "Feature", "properties": {"name": null, "coordinates": [999, 999]}, "geometry": {"coordinates": [[-1, 2], [3, 4e1]], "type": "LineString"}}]}`,
			`geojson {"type": "FeatureCollection", "features": 2, "geometries": ["LineString", "Point"], "bbox": [-1.0, 2.0, 8.5, 47.25], "properties": [` +
				`{"name": "name", "types": ["string", "null"], "count": 2}, {"name": "type", "types": ["string"], "count": 1}, {"name": "coordinates", "types": ["array"], "count": 1}]}`},
		{"shape.json", `{"type": "Point", "coordinates": [1, 2]}`, `geojson {"type": "Point", "features": 0, "geometries": ["Point"], "bbox": [1.0, 2.0, 1.0, 2.0]}`},
		{"point.json", `{"type": "Point"}`, `json {"type": "object", "keys": ["type"], "depth": 1}`},
		{"a.ipynb", `{"cells": [{"cell_type": "markdown", "source": ["# x"]}, {"cell_type": "code", "outputs": [{"cell_type": "code"}]}, {"cell_type": "raw"}],
			"metadata": {"kernelspec": {"name": "python3", "language": "python"}, "language_info": {"name": "python", "version": "3"}}, "nbformat": 4}`,
			`notebook {"nbformat": 4, "cells": 3, "code_cells": 1, "markdown_cells": 1, "language": "python", "kernel": "python3"}`},
		{"empty.json", "", "none"},
		{"empty.json", " \n", "none"},
		{"ini", "[section]\na = 1\n", "none"},
		{"r.txt", "[1] 1 2 3\n", "none"},
		{"list.txt", "[2020]\n", "none"},
		{"template.html", "{{ title }}\n", "none"},
		{"edn", `{:a 1}`, "none"},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, tableJSON(t, tt.path, []byte(tt.data))); diff != "" {
			t.Errorf("%s %.60q (-want +got):\n%s", tt.path, tt.data, diff)
		}
	}
}

// Keys and records are bounded, whatever there is of them.
func TestJSONBounds(t *testing.T) {
	var b bytes.Buffer
	for i := range 3000 {
		fmt.Fprintf(&b, "%s%q: %d", []string{", ", "{"}[max(0, 1-i)], strings.Repeat("k", i), i)
	}
	b.WriteString("}")
	for path, key := range map[string]string{"a.json": "keys", "a.jsonl": "fields"} {
		m := tableMeta(t, path[2:], path, b.Bytes())
		if n := len(m[key].([]any)); n != 1000 && n != 409 {
			t.Errorf("%s: %d %s", path, n, key)
		}
	}
}

// The scanner takes what encoding/json takes and nothing else.
func TestJSONAgainstLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	tokens := []string{"{", "}", "[", "]", ",", ":", `"a"`, `"\n"`, `"\u00e9"`, `"\x"`, "1", "-0", "01", "1.", "1.5e+7", "1e", "true", "fals", "null", " ", "\n", "\"\t\""}
	valid, n := 0, 40_000
	var format *extract.Format
	for _, f := range extract.Formats(extract.Options{}) {
		if f.Name == "json" {
			format = f
		}
	}
	for range n {
		doc := randomJSON(r, 3)
		if r.IntN(2) == 0 {
			at := r.IntN(len(doc) + 1)
			doc = doc[:at] + tokens[r.IntN(len(tokens))] + doc[min(len(doc), at+r.IntN(3)):]
		}
		if strings.TrimSpace(doc) == "" {
			continue
		}
		s := format.Stream(tableFile("a.json", []byte(doc)))
		s.Write([]byte(doc))
		err := s.Finish(&extract.Meta{})
		if (err == nil) != json.Valid([]byte(doc)) {
			t.Fatalf("%q: %v, the library says %v", doc, err, json.Valid([]byte(doc)))
		}
		if err == nil {
			valid++
		}
	}
	if valid < n/4 || valid > n*19/20 {
		t.Errorf("%d of %d were valid", valid, n)
	}
}

func randomJSON(r *rand.Rand, depth int) string {
	kind := r.IntN(8)
	if depth == 0 {
		kind = 2 + r.IntN(6)
	}
	var items []string
	for range r.IntN(3) {
		if kind < 2 {
			items = append(items, []string{"", `"k": `}[kind]+randomJSON(r, depth-1))
		}
	}
	return []string{"[" + strings.Join(items, ", ") + "]", "{" + strings.Join(items, ",") + "}", `"s\"\\\u12aB"`, "-12.5E-3", "0", "true", "false", "null"}[kind]
}

func TestJSONRealData(t *testing.T) {
	m := tableMeta(t, "json", "dataset_description.json", tableShared(t, "ds005/dataset_description.json"))
	if keys := fmt.Sprint(m["keys"]); !strings.Contains(keys, "BIDSVersion") || !strings.Contains(keys, "Name") {
		t.Errorf("dataset_description.json: keys %s", keys)
	}
	m = tableMeta(t, "json", "datapackage.json", tableShared(t, "gdp/datapackage.json"))
	if keys := fmt.Sprint(m["keys"]); m["type"] != "object" || !strings.Contains(keys, "resources") {
		t.Errorf("datapackage.json: %v", m)
	}
}

func TestJSONTruncated(t *testing.T) {
	for path, data := range map[string]string{
		"a.json":    `[{"a": 1.5e3, "b": "x\u00e9\n", "c": [true, null, {}]}]`,
		"a.jsonl":   "{\"a\": 1, \"b\": \"é\"}\n[1, 2]\n{\"c\": false}\n",
		"a.geojson": `{"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {"a": 1}}]}`,
		"a.ipynb":   `{"cells": [{"cell_type": "code"}], "metadata": {"kernelspec": {"name": "x"}}, "nbformat": 4}`,
	} {
		format := tableFormat(tableFile(path, []byte(data)), false)
		tableTruncations(t, format.Name, path, []byte(data), 1<<20)
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a": [1, "x"]}`, "{\"a\": 1}\n{\"a\": 2}\n", `{"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}}`, `{"cells": [{"cell_type": "code"}], "nbformat": 4}`, "[[[", "\"\\u12"} {
		f.Add([]byte(s), uint8(0))
	}
	f.Fuzz(func(t *testing.T, data []byte, name uint8) {
		tableFuzz(t, []string{"a.json", "a.jsonl", "a.geojson", "a.ipynb", "a"}[name%5], data)
	})
}

func BenchmarkJSON(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var lines bytes.Buffer
	for i := range 20_000 {
		fmt.Fprintf(&lines, `{"id": %d, "name": "%x", "score": %.4f, "tags": ["a", "b"], "note": "some words of text that go on for a while", "ok": true}`+"\n", i, r.Uint64(), r.Float64())
	}
	array := append(append([]byte("["), bytes.ReplaceAll(bytes.TrimSpace(lines.Bytes()), []byte("}\n"), []byte("},\n"))...), ']')
	var geo bytes.Buffer
	geo.WriteString(`{"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[0, 0]`)
	for range 60_000 {
		fmt.Fprintf(&geo, ", [%.6f, %.6f]", r.Float64()*180, r.Float64()*90)
	}
	geo.WriteString("]}}]}")
	for path, data := range map[string][]byte{"a.jsonl": lines.Bytes(), "a.json": array, "a.geojson": geo.Bytes()} {
		b.Run(path[2:], func(b *testing.B) {
			format := tableFormat(tableFile(path, data), false)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				s := format.Stream(tableFile(path, data))
				s.Write(data)
				if err := s.Finish(&extract.Meta{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
