package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/extract"
)

// The specimens are what their names say, so that a format is not measured over
// files that it passes by.
func TestSpecimens(t *testing.T) {
	set, err := extract.NewSet([]string{"all"}, extract.Options{})
	if err != nil {
		t.Fatal(err)
	}
	files := specimenTexts()
	files["image.nii"] = string(niftiImage(rand.New(rand.NewPCG(1, 2)), 1<<18))
	want := map[string]string{
		"a.fasta": "fasta", "a.fastq": "fastq", "a.vcf": "vcf", "a.sam": "sam", "a.jsonl": "jsonl", "a.geojson": "geojson",
		"a.ipynb": "notebook", "a.yaml": "yaml", "b/zarr.json": "zarr", "a.fits": "fits", "a.edf": "edf", "a.vhdr": "brainvision",
		"a.csv": "csv", "compressed.7": "compressed", "image.nii": "nifti", "a.svg": "text",
	}
	for name, text := range files {
		r := set.File(t.Context(), extract.Source{Path: name}, []byte(text))
		if !strings.Contains(r.Meta, `"`+want[name]+".") || len(r.Warnings) > 0 {
			t.Errorf("%s is no %q: %s %v", name, want[name], r.Meta, r.Warnings)
		}
	}
	if !slices.Contains(formatNames(), "csv") || slices.Contains(formatNames(), "mime") {
		t.Errorf("formats %v", formatNames())
	}
}

func TestBIDSMany(t *testing.T) {
	data := t.TempDir()
	err := writeFiles(data, map[string]string{
		"ds/dataset_description.json":      "{}",
		"ds/sub-01/func/sub-01_bold.json":  `{"RepetitionTime": 2}`,
		"ds/sub-01/func/sub-01_events.tsv": "onset\tduration\n",
		"ds/sub-01/func/sub-01_bold.nii":   "image",
		"ds/sub-02/func/sub-02_events.tsv": "onset\tduration\n",
		"other/README":                     "no BIDS set",
	})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{options: options{dir: t.TempDir(), data: data, tiny: true}}
	sets := b.bidsSets()
	if len(sets) != 1 || filepath.Base(sets[0]) != "ds" {
		t.Fatalf("sets %v", sets)
	}
	c := b.bidsMany(sets)
	if err := b.ensure(t.Context(), &c); err != nil {
		t.Fatal(err)
	}
	if c.files != 200 {
		t.Errorf("%d files", c.files)
	}
	last, err := os.ReadFile(filepath.Join(c.path, "ds/sub-x00099/func/sub-x00099_events.tsv"))
	if string(last) != "onset\tduration\n" {
		t.Errorf("the last table: %q, %v", last, err)
	}
}

func TestExtractTables(t *testing.T) {
	runs := func(ms ...int) [][]usage {
		var all [][]usage
		for _, n := range ms {
			all = append(all, []usage{{Wall: time.Duration(n) * time.Millisecond, CPU: time.Duration(n) * time.Millisecond}})
		}
		return all
	}
	r := &report{extraction: &extraction{
		sets: []extractSet{
			{corpus{name: "cheap", files: 100, bytes: 1 << 20, about: "few"}, runs(1000, 1100, 900, 950)},
			{corpus{name: "dear", files: 1000, bytes: 1 << 20, about: "many"}, runs(1000, 1200, 900, 890)},
		},
		formats: []extractFormat{{corpus{name: "csv", files: 1000, bytes: 2 << 20}, runs(200, 300, 310)}},
		absent:  []string{"fif"},
		python:  []extractPython{{"`f`", 10_000, 2, runs(500)[0]}},
	}}
	got := r.extraction.tables() + r.aims()
	for _, want := range []string{
		"| cheap | 100 | 1.0 MiB | full-text | 1.00 s / 1.00 s | 1.10 s / 1.10 s | +10.0 % | 1.0 ms | 100 ms |",
		"| dear | 1,000 | 1.0 MiB | `--no-text` | 900 ms / 900 ms | 890 ms / 890 ms | -1.1 % | - | - |",
		"| csv | 1,000 | 2 KiB | 200 ms | 300 ms | +50.0 % | 100.0 µs | 50.0 ms | +55.0 % |",
		"No file was there of: fif.",
		"| `f` | 2 | 500 ms | 500 ms | 20,000 |",
		"CPU: cheap | met | 1.10 s against 1.00 s: +10.0 % |",
		"CPU: dear | **not met** | 1.20 s against 1.00 s: +20.0 % |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
