package recipe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// whole has every key.
const whole = `# A comment.
name: photos:2024
sources:
  - photos
  - path: tables.zip
    to: tables/of
    folder: in/it
    exclude: ['*.tmp', /x]
    unpack: false
    digest: sha256:0000000000000000000000000000000000000000000000000000000000000000
  - image: docker://alpine:3
  - url: https://example.org/a.tar.gz
    digest: sha256:0000000000000000000000000000000000000000000000000000000000000000
exclude: ["*.tmp"]
extract: [default, -mime]
dataset:
  title: Photos
  description: |
    Of a journey.

    Two lines.
  license: CC-BY-4.0
  version: 1.10
  author: Ada
  creators:
    - Ada Lovelace <ada@example.org>
    - name: Grace Hopper
      email: grace@example.org
      orcid: 0000-0002-1825-0097
  publisher: A house
  contact: {name: Ada, email: ada@example.org}
  keywords: [a, b]
  doi: 10.5281/zenodo.1234567
  url: https://example.org
  derived-from: a book
  published: 2026-11-25
  describe: false
labels: {lab: 12, open: true, none: ""}
queries:
  formats: SELECT 1
  big:
    description: Large files
    where: size > 1e6
    order: size
    desc: true
    limit: 5
    get: a
    text: b
    metric: c
    search: d
packing:
  compression: zstd
  prefix: /srv/data
  arch: [amd64]
  text: false
  preserve: true
  volume: true
  strict: true
`

func ptr[T any](v T) *T { return &v }

func TestWhole(t *testing.T) {
	zero := "sha256:" + strings.Repeat("0", 64)
	got, err := Parse("cdb.yaml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	got.positions = nil
	want := &Recipe{
		File: "cdb.yaml", Image: "photos:2024",
		Sources: []Source{
			{Src: "photos"},
			{Path: "tables.zip", To: "tables/of", Folder: "in/it", Exclude: []string{"*.tmp", "/x"}, Unpack: ptr(false), Digest: zero},
			{Image: "docker://alpine:3"},
			{URL: "https://example.org/a.tar.gz", Digest: zero},
		},
		Exclude: []string{"*.tmp"}, Extract: []string{"default", "-mime"},
		Dataset: Dataset{
			Title: "Photos", Description: "Of a journey.\n\nTwo lines.\n", License: "CC-BY-4.0", Version: "1.10", Author: "Ada",
			Creators:  []Person{{Text: "Ada Lovelace <ada@example.org>"}, {Name: "Grace Hopper", Email: "grace@example.org", ORCID: "0000-0002-1825-0097"}},
			Publisher: "A house", Contact: &Person{Name: "Ada", Email: "ada@example.org"}, Keywords: []string{"a", "b"},
			DOI: "10.5281/zenodo.1234567", URL: "https://example.org", DerivedFrom: []string{"a book"}, Published: "2026-11-25", Describe: ptr(false),
		},
		Labels: map[string]string{"lab": "12", "open": "true", "none": ""},
		Queries: map[string]Query{
			"formats": {SQL: "SELECT 1"},
			"big": {Description: "Large files", Where: "size > 1e6", Order: "size", Desc: true, Limit: 5, Get: "a", Text: "b",
				Metric: "c", Search: "d"},
		},
		Packing: Packing{Compression: "zstd", Prefix: "/srv/data", Arch: []string{"amd64"}, Text: ptr(false), Preserve: ptr(true),
			Volume: ptr(true), Strict: ptr(true)},
	}
	if !reflect.DeepEqual(got, want) {
		g, _ := json.MarshalIndent(got, "", " ")
		w, _ := json.MarshalIndent(want, "", " ")
		t.Errorf("got %s\nwant %s", g, w)
	}
	if s := got.Dataset.Creators[1].String(); s != "Grace Hopper <grace@example.org> (0000-0002-1825-0097)" {
		t.Error(s)
	}
	// Every key of the table is in the sample.
	for _, f := range append(fields(), append(append(sourceFields(), datasetFields()...), append(queryFields(), packingFields()...)...)...) {
		if f.name != "sql" && !strings.Contains(whole, f.name+":") {
			t.Errorf("key %q is not in the sample", f.name)
		}
	}
}

// valid and invalid are recipes, and what the first line of their errors says.
func valid() []string {
	return []string{
		"", "# nothing\n", "---\n", "name: x\n", "sources: photos\n", "sources: []\n", "sources: [a, {path: b}]\n", "sources: {path: b}\n",
		"exclude: '*.tmp'\n", "dataset: {}\n", "dataset: {version: 2, title: 2024}\n", "dataset: {contact: Ada}\n", "labels: {a: 1.50}\n",
		"queries: {a: SELECT 1, b: {where: x}}\n", "packing: {compression: none}\n", "queries: {a: {limit: 0}}\n", whole,
	}
}

func invalid() map[string]string {
	return map[string]string{
		"titel: x\n":                                `cdb.yaml:1:1: unknown key "titel"; known are name, sources`,
		"title: x\n":                                `cdb.yaml:1:1: unknown key "title": it belongs to "dataset"`,
		"nam: x\n":                                  `cdb.yaml:1:1: unknown key "nam": did you mean "name"?`,
		"source: x\n":                               `cdb.yaml:1:1: unknown key "source": did you mean "sources"?`,
		"a: 1\ndataset:\n  licence: x\n":            "cdb.yaml:1:1: unknown key \"a\"; known are name, sources, exclude, extract, dataset, labels, queries, packing\ncdb.yaml:3:3: dataset: unknown key \"licence\": did you mean \"license\"?",
		"dataset:\n  descripton: x\n":               `cdb.yaml:2:3: dataset: unknown key "descripton": did you mean "description"?`,
		"dataset:\n  Title: x\n":                    `cdb.yaml:2:3: dataset: unknown key "Title": did you mean "title"?`,
		"dataset:\n  derived_from: x\n":             `cdb.yaml:2:3: dataset: unknown key "derived_from": did you mean "derived-from"?`,
		"dataset:\n  exclude: x\n":                  `cdb.yaml:2:3: dataset: unknown key "exclude": it belongs to the outermost level`,
		"dataset:\n  title: [a]\n":                  `cdb.yaml:2:10: dataset.title: must be text, not a list`,
		"dataset:\n  title: true\n":                 `cdb.yaml:2:10: dataset.title: must be text, not true or false (write text in quotes)`,
		"dataset:\n  title:\n":                      `cdb.yaml:2:10: dataset.title: has no value; give text, or leave the key out`,
		"dataset:\n  title: ' '\n":                  `cdb.yaml:2:10: dataset.title: is empty; leave the key out`,
		"dataset: x\n":                              `cdb.yaml:1:10: dataset: must be keys with values, not text`,
		"dataset:\n  describe: maybe\n":             `cdb.yaml:2:13: dataset.describe: must be true or false, not text`,
		"sources:\n  - path: x\n    too: y\n":       `cdb.yaml:3:5: sources[0]: unknown key "too": did you mean "to"?`,
		"sources:\n  - [a]\n":                       `cdb.yaml:2:5: sources[0]: must be keys with values, not a list`,
		"sources:\n  -\n":                           `cdb.yaml:2:5: sources[0]: is empty`,
		"labels: [a]\n":                             `cdb.yaml:1:9: labels: must be keys with values, not a list`,
		"labels: {a: [b]}\n":                        `cdb.yaml:1:13: labels.a: must be text, not a list`,
		"queries:\n  big:\n    limit: -1\n":         `cdb.yaml:3:12: queries.big.limit: must be a whole number, not a number`,
		"queries:\n  big:\n    limit: many\n":       `cdb.yaml:3:12: queries.big.limit: must be a whole number, not text`,
		"queries:\n  big: {limit: 99999999999}\n":   `cdb.yaml:2:16: queries.big.limit: must be a whole number, not a number`,
		"packing: {compression: lzma}\n":            `cdb.yaml:1:24: packing.compression: "lzma" is none of gzip, zstd, none`,
		"name: x\nname: y\n":                        `cdb.yaml:2:1: `,
		"name: &a x\n":                              `cdb.yaml:1:7: name: must be text, not an anchor or alias, which recipes do without`,
		"name: !!str x\n":                           `cdb.yaml:1:7: name: must be text, not a tag, which recipes do without`,
		"- a\n":                                     `cdb.yaml:1:1: must be keys with values, not a list`,
		"just text\n":                               `cdb.yaml:1:1: must be keys with values, not text`,
		"name: 'x\n":                                `cdb.yaml:1:7: not YAML: `,
		"name: [x\n":                                `cdb.yaml:1:7: not YAML: `,
		"name: x\n---\nname: y\n":                   `cdb.yaml:3:1: a recipe is one document`,
		"name: " + strings.Repeat("[", 1000) + "\n": `cdb.yaml:1:1: nested too deeply`,
		strings.Repeat("- ", 1000) + "\n":           `cdb.yaml:1:1: nested too deeply`,
		strings.Repeat("#", 20000) + "\n":           `cdb.yaml:1:1: a line of 20000 bytes`,
		strings.Repeat("#\n", 70000):                `cdb.yaml: a recipe has at most 131072 bytes`,
	}
}

func TestErrors(t *testing.T) {
	for doc, want := range invalid() {
		_, err := Parse("cdb.yaml", []byte(doc))
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.60q: %v\nwant %s", doc, err, want)
		}
	}
	for _, doc := range valid() {
		if _, err := Parse("cdb.yaml", []byte(doc)); err != nil {
			t.Errorf("%.60q: %v", doc, err)
		}
	}
}

func TestAt(t *testing.T) {
	r, err := Parse("x/cdb.yaml", []byte("sources:\n  - a\n  - path: b\nqueries:\n  big: {where: x}\n"))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"sources[1]": "x/cdb.yaml:3:5: sources[1]: oh", "queries.big": "x/cdb.yaml:5:3: queries.big: oh", "name": "x/cdb.yaml: name: oh",
	} {
		if got := r.At(path, errors.New("oh")).Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "cdb.yaml")
	if _, err := Read(name); err == nil {
		t.Error("read what is not there")
	}
	if err := os.WriteFile(name, []byte("name: x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r, err := Read(name); err != nil || r.Image != "x" || r.File != name {
		t.Errorf("%+v %v", r, err)
	}
}

// The published schema is the one of the table, and says of all samples what
// the decoder says.
func TestSchema(t *testing.T) {
	const published = "../../docs/cdb.schema.json"
	file, err := os.ReadFile(published)
	if err != nil || !bytes.Equal(file, Schema()) {
		t.Errorf("%s is not what the table says now (%v): run \"make docs\"", published, err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("cdb.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("cdb.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	check := func(doc string) error {
		var v any
		if err := yaml.Unmarshal([]byte(doc), &v); err != nil {
			return err
		}
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		v, err = jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			return err
		}
		return s.Validate(v)
	}
	for _, doc := range valid() {
		if err := check(doc); err != nil {
			t.Errorf("%.60q: %v", doc, err)
		}
	}
	for doc, want := range invalid() {
		// These are about YAML, not about what it means.
		if strings.Contains(doc, "&a") || strings.Contains(doc, "!!str") || strings.Contains(doc, "---") || strings.HasPrefix(doc, "#") || len(doc) > 1000 {
			continue
		}
		if err := check(doc); err == nil {
			t.Errorf("%.60q: the schema allows it; want %s", doc, want)
		}
	}
}

// A recipe that is cut short is a recipe or an error that names the file.
func TestTruncated(t *testing.T) {
	for n := range len(whole) {
		if _, err := Parse("cdb.yaml", []byte(whole[:n])); err != nil && !strings.HasPrefix(err.Error(), "cdb.yaml:") {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, doc := range valid() {
		f.Add([]byte(doc))
	}
	for doc := range invalid() {
		if len(doc) < 2000 {
			f.Add([]byte(doc))
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		// A parser that does not end is as bad as one that panics.
		late := time.AfterFunc(20*time.Second, func() { panic("takes too long") })
		defer late.Stop()
		r, err := Parse("cdb.yaml", doc)
		if err != nil && !strings.HasPrefix(err.Error(), "cdb.yaml:") {
			t.Errorf("error without a name: %v", err)
		}
		if err == nil {
			_ = fmt.Sprint(r.At("name", errors.New("x")))
		}
	})
}
