package describe_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/describe"
)

// read describes a tree of the files given.
func read(files map[string]string) (*catalog.Dataset, []describe.Warning) {
	tree := fstest.MapFS{}
	for name, content := range files {
		tree[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return describe.Read(slices.Sorted(maps.Keys(files)), func(name string) (io.ReadCloser, error) { return tree.Open(name) })
}

// said is what was found, by key, and where.
func said(ds *catalog.Dataset) map[string]string {
	all := map[string]string{}
	for _, s := range ds.Said() {
		all[s.Key] = strings.Join(s.Values, " | ") + " @" + s.Origin
	}
	return all
}

// examples are a complete file of each kind.
func examples() map[string]string {
	return map[string]string{
		"cdb.yaml": `dataset:
  title: Fruit
  description: >
    Two kinds of
    fruit.
  license: CC BY 4.0
  version: 1.10
  creators:
    - Ada Lovelace <ada@example.org> (0000-0002-1825-0097)
    - {name: "Hopper, G.", affiliation: Navy}
  keywords: [fruit, "red, or green"]
  doi: 10.5281/zenodo.1
  date_published: 2026-11-25
  languages: en
`,
		"dataset_description.json": `{"Name": "Gambles", "BIDSVersion": "1.8.0", "License": "CC0", "Authors": ["Tom S.M.", "Fox C.R."],
			"Funding": ["NSF 1"], "ReferencesAndLinks": ["https://example.org/paper"], "DatasetDOI": "doi:10.18112/openneuro.ds000117.v1.0.4",
			"HowToAcknowledge": "Cite us.", "Keywords": ["fMRI"], "SourceDatasets": [{"DOI": "10.1234/raw", "Version": "1"}]}`,
		"datapackage.json": `{"name": "gdp", "title": "GDP", "description": "By country", "version": "2026", "homepage": "https://example.org/gdp",
			"licenses": [{"name": "ODC-PDDL-1.0", "path": "http://opendatacommons.org/licenses/pddl/"}],
			"contributors": [{"title": "Ada", "email": "a@example.org", "roles": ["author"], "organization": "AE"},
				{"title": "World Bank", "role": "publisher"}, {"givenName": "Con", "familyName": "Tact", "roles": ["contact"]}],
			"sources": [{"title": "WB", "path": "http://data.example.org"}], "keywords": ["GDP"], "created": "2020-01-02T03:04:05Z", "resources": []}`,
		"ro-crate-metadata.json": `{"@context": "https://w3id.org/ro/crate/1.2/context", "@graph": [
			{"@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"}, "conformsTo": {"@id": "https://w3id.org/ro/crate/1.2"}},
			{"@id": "./", "@type": "Dataset", "name": "Crate", "description": "A crate.", "datePublished": "2026-11", "license": {"@id": "https://spdx.org/licenses/CC0-1.0"},
			 "author": [{"@id": "https://orcid.org/0000-0002-1825-0097"}], "publisher": {"@id": "#org"}, "identifier": {"@id": "https://doi.org/10.1234/x"},
			 "conformsTo": {"@id": "https://example.org/profile"}, "keywords": "a, b", "temporalCoverage": "2001/2002"},
			{"@id": "https://orcid.org/0000-0002-1825-0097", "@type": "Person", "name": "Ada", "affiliation": {"@id": "#org"}},
			{"@id": "#org", "@type": "Organization", "name": "Org"}]}`,
		"croissant.json": `{"@context": {"@vocab": "https://schema.org/", "cr": "http://mlcommons.org/croissant/"}, "@type": "sc:Dataset", "name": "Buttery",
			"conformsTo": "http://mlcommons.org/croissant/1.1", "license": "https://spdx.org/licenses/MIT.html", "url": "https://example.org/c",
			"creator": {"@type": "sc:Person", "name": "A. Person"}, "datePublished": "2026-11-22", "citeAs": "A. Person (2026)", "version": 2}`,
		"metadata.json": `{"@context": {"@vocab": "https://schema.org/", "cr": "http://mlcommons.org/croissant/"}, "name": "Other", "inLanguage": "en"}`,
		"datacite.json": `{"data": {"attributes": {"doi": "10.1234/abc", "titles": [{"title": "Cited"}], "publisher": {"name": "Pub"}, "publicationYear": 2025,
			"creators": [{"name": "Person, A.", "givenName": "A.", "familyName": "Person", "affiliation": ["Uni"], "nameIdentifiers": [{"nameIdentifier": "https://orcid.org/0000-0002-1825-0097"}]}],
			"descriptions": [{"descriptionType": "Other", "description": "x"}, {"descriptionType": "Abstract", "description": "An abstract"}],
			"subjects": [{"subject": "s1"}], "rightsList": [{"rightsIdentifier": "cc-by-4.0"}], "dates": [{"dateType": "Issued", "date": "2025-02-03"}],
			"relatedIdentifiers": [{"relatedIdentifier": "10.1/raw", "relationType": "IsDerivedFrom"}, {"relatedIdentifier": "10.1234/p", "relationType": "IsCitedBy"}],
			"fundingReferences": [{"funderName": "ERC", "awardNumber": "7"}], "geoLocations": [{"geoLocationPlace": "Bern"}], "language": "de"}}}`,
		"CITATION.cff": `cff-version: 1.2.0
message: Cite this
title: My Data
abstract: |
  Line one
  line two
authors:
  - family-names: Lovelace
    given-names: Ada
    orcid: https://orcid.org/0000-0002-1825-0097
  - name: The Team
date-released: 2026-11-25
license: CC-BY-4.0
doi: 10.1234/cff
repository-code: https://example.org/git
keywords: [x, y]
`,
		"codemeta.json": `{"@context": "https://w3id.org/codemeta/3.0", "name": "Code", "author": [{"givenName": "Ada", "familyName": "L", "email": "mailto:a@example.org"}],
			"codeRepository": "https://example.org/code", "license": "https://spdx.org/licenses/Apache-2.0", "funder": {"name": "DFG"}, "funding": "123"}`,
		"README.md": "[![badge](b.svg)](x)\n\n# Overview\n\n# The *Data*\n\n- a list\n\nThis is [the](http://x) first paragraph,\nin **two** lines.\n\nAnd a second.\n",
		"LICENSE":   "Creative Commons Attribution 4.0 International Public License\n\nBy exercising...",
	}
}

func TestReadEachKind(t *testing.T) {
	for name, want := range map[string]map[string]string{
		"cdb.yaml": {
			"title": "Fruit", "description": "Two kinds of fruit.", "license": "CC-BY-4.0", "version": "1.10",
			"creators": "Ada Lovelace <ada@example.org> (0000-0002-1825-0097) | Hopper, G.", "keywords": "fruit | red, or green",
			"identifiers": "https://doi.org/10.5281/zenodo.1", "date_published": "2026-11-25", "languages": "en",
		},
		"dataset_description.json": {
			"title": "Gambles", "license": "CC0-1.0", "creators": "Tom S.M. | Fox C.R.", "funding": "NSF 1", "references": "https://example.org/paper",
			"identifiers": "https://doi.org/10.18112/openneuro.ds000117.v1.0.4", "citation": "Cite us.", "keywords": "fMRI",
			"source": "https://doi.org/10.1234/raw", "conforms_to": "https://bids-specification.readthedocs.io/en/v1.8.0/",
		},
		"datapackage.json": {
			"title": "GDP", "description": "By country", "version": "2026", "url": "https://example.org/gdp", "license": "PDDL-1.0",
			"creators": "Ada <a@example.org>", "publisher": "World Bank", "contact": "Con Tact", "source": "http://data.example.org",
			"keywords": "GDP", "date_created": "2020-01-02T03:04:05Z",
		},
		"ro-crate-metadata.json": {
			"title": "Crate", "description": "A crate.", "date_published": "2026-11", "license": "CC0-1.0",
			"creators": "Ada (0000-0002-1825-0097)", "publisher": "Org", "identifiers": "https://doi.org/10.1234/x",
			"conforms_to": "https://example.org/profile", "keywords": "a | b", "temporal": "2001/2002",
		},
		"croissant.json": {
			"title": "Buttery", "license": "MIT", "url": "https://example.org/c", "creators": "A. Person", "date_published": "2026-11-22",
			"citation": "A. Person (2026)", "version": "2",
		},
		"metadata.json": {"title": "Other", "languages": "en"},
		"datacite.json": {
			"title": "Cited", "description": "An abstract", "creators": "Person, A. (0000-0002-1825-0097)", "publisher": "Pub", "license": "CC-BY-4.0",
			"identifiers": "https://doi.org/10.1234/abc", "keywords": "s1", "date_published": "2025-02-03", "source": "10.1/raw",
			"references": "https://doi.org/10.1234/p", "funding": "ERC 7", "spatial": "Bern", "languages": "de",
		},
		"CITATION.cff": {
			"title": "My Data", "description": "Line one\nline two", "creators": "Ada Lovelace (0000-0002-1825-0097) | The Team",
			"date_published": "2026-11-25", "license": "CC-BY-4.0", "identifiers": "https://doi.org/10.1234/cff", "source": "https://example.org/git",
			"keywords": "x | y",
		},
		"codemeta.json": {
			"title": "Code", "creators": "Ada L <a@example.org>", "source": "https://example.org/code", "license": "Apache-2.0", "funding": "DFG | 123",
		},
		"README.md": {"title": "The Data", "description": "This is the first paragraph, in two lines."},
		"LICENSE":   {"license": "CC-BY-4.0"},
	} {
		t.Run(name, func(t *testing.T) {
			ds, warnings := read(map[string]string{name: examples()[name]})
			if len(warnings) > 0 {
				t.Error(warnings)
			}
			for k, v := range want {
				want[k] = v + " @" + name
			}
			if diff := cmp.Diff(want, said(ds)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Where several files say something, the first in the order counts, and what
// says the same in another word says nothing more.
func TestOrder(t *testing.T) {
	ds, _ := read(map[string]string{
		"LICENSE":                  examples()["LICENSE"],
		"README":                   "A title\n=======\n\nSome words that describe the data.\n",
		"CITATION.cff":             "title: Cited\nauthors:\n- name: Team\n",
		"dataset_description.json": `{"Name": "BIDS name", "License": "see the file of that name"}`,
	})
	want := map[string]string{
		"title":       "BIDS name @dataset_description.json",
		"rights":      "see the file of that name @dataset_description.json",
		"creators":    "Team @CITATION.cff",
		"description": "Some words that describe the data. @README",
	}
	if diff := cmp.Diff(want, said(ds)); diff != "" {
		t.Error(diff)
	}
}

func TestReadme(t *testing.T) {
	for _, c := range []struct{ text, title, abstract string }{
		{"", "", ""},
		{"=====\nTitle\n=====\n\n.. image:: x\n\nA ``paragraph`` in `reST <http://x>`_ form.\n", "Title", "A paragraph in reST form."},
		{"Plain text without any title at all.\nSecond line.\n\nMore", "", "Plain text without any title at all. Second line."},
		{"# T\n```\ncode is not a description here\n```\nBut this one here is it.", "T", "But this one here is it."},
		{"<!-- a comment\nof several lines that go on -->\n# T\n\n| a | table | with | cells |\n", "T", ""},
		{"---\nlicense: mit\npretty_name: Card\nlanguage: [en]\n---\n# Other\n\nWhat the card is all about.", "Card", "What the card is all about."},
		{"Overview\n--------\nThis is the \"Matching Pennies\" dataset.\nSee <https://example.org>.", "", "This is the \"Matching Pennies\" dataset. See <https://example.org>."},
	} {
		ds, warnings := read(map[string]string{"README": c.text})
		if ds.Title != c.title || ds.Description != c.abstract || len(warnings) > 0 {
			t.Errorf("%q: title %q, description %q, %v", c.text, ds.Title, ds.Description, warnings)
		}
	}
}

func TestLicenseID(t *testing.T) {
	for s, want := range map[string]string{
		"CC0": "CC0-1.0", "cc-by 4.0": "CC-BY-4.0", "CC BY-SA 4.0 International": "CC-BY-SA-4.0", "PDDL (https://opendatacommons.org/licenses/pddl/1-0/)": "PDDL-1.0",
		"PDDL": "PDDL-1.0", "https://creativecommons.org/licenses/by-nc/4.0/": "CC-BY-NC-4.0", "http://spdx.org/licenses/ODbL-1.0.html": "ODbL-1.0",
		"Apache License, Version 2.0": "Apache-2.0", "MIT License": "MIT", "mit OR (CC0-1.0 AND GPLv3)": "MIT OR (CC0-1.0 AND GPL-3.0-only)",
		"https://creativecommons.org/publicdomain/zero/1.0/legalcode": "CC0-1.0", "LicenseRef-Mine": "LicenseRef-Mine",
		"either https://creativecommons.org/licenses/by/4.0/ or https://creativecommons.org/licenses/by-sa/4.0/": "",
		"ask us": "", "": "", "other": "", "MIT OR": "", "proprietary OR MIT": "",
		"This dataset is made available under the Public Domain Dedication and License v1.0, whose full text can be found at http://www.opendatacommons.org/licenses/pddl/1.0/.": "PDDL-1.0",
	} {
		if got := describe.LicenseID(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

// The texts of real licences, as far as this machine has them.
func TestLicenseTexts(t *testing.T) {
	for file, want := range map[string]string{"Apache-2.0": "Apache-2.0", "GPL-3": "GPL-3.0-only", "GPL-2": "GPL-2.0-only", "CC0-1.0": "CC0-1.0", "BSD": "BSD-3-Clause", "MPL-2.0": "MPL-2.0", "LGPL-3": "LGPL-3.0-only"} {
		b, err := os.ReadFile(filepath.Join("/usr/share/common-licenses", file))
		if err != nil {
			t.Logf("skipped %s: this machine does not have its text", file)
			continue
		}
		if ds, _ := read(map[string]string{"COPYING": string(b)}); ds.License != want {
			t.Errorf("%s: %q", file, ds.License)
		}
	}
	b, err := os.ReadFile("../../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	if ds, _ := read(map[string]string{"LICENSE.md": string(b)}); ds.License != "Apache-2.0" {
		t.Errorf("our own: %q", ds.License)
	}
}

// What is damaged is a warning, and the rest is read.
func TestDamage(t *testing.T) {
	ds, warnings := read(map[string]string{
		"dataset_description.json": `{"Name": "cut`, "datapackage.json": "[]", "CITATION.cff": "a: [", "codemeta.json": strings.Repeat(" ", 1<<20) + "{}",
		"ro-crate-metadata.json": `{"@graph": [null, {}, 1]}`, "metadata.json": "anything", "README": "A readme with some words.\x00\x1b[31m",
	})
	var files []string
	for _, w := range warnings {
		files = append(files, w.File)
	}
	want := []string{"dataset_description.json", "datapackage.json", "ro-crate-metadata.json", "CITATION.cff", "codemeta.json"}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Error(diff, warnings)
	}
	if ds.Description != "A readme with some words.[31m" {
		t.Errorf("%q", ds.Description)
	}
	_, warnings = describe.Read([]string{"README"}, func(string) (io.ReadCloser, error) { return nil, fs.ErrPermission })
	if len(warnings) != 1 || !errors.Is(warnings[0], fs.ErrPermission) {
		t.Error(warnings)
	}
}

// A few hundred bytes of YAML must not become gigabytes, nor take the stack.
func TestHostileYAML(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'z'; c++ {
		ref := "*" + string(c-1)
		bomb += string(c) + ": &" + string(c) + " [" + strings.Repeat(ref+",", 8) + ref + "]\n"
	}
	for _, s := range []string{
		bomb + "title: x\n", strings.Repeat("[", 200_000), strings.Repeat("{a: ", 60_000), strings.Repeat("- ", 100_000), strings.Repeat("? ", 100_000),
		strings.Repeat("a:\n ", 1000), "title: " + strings.Repeat("!!str ", 40_000), "a: " + strings.Repeat("&a ", 80_000), strings.Repeat("a: b\n", 50_000),
		"title: " + strings.Repeat("\"", 200_000), strings.Repeat("\"\n", 60_000), strings.Repeat("&a\n", 40_000), strings.Repeat("a: \"\n\"\n", 15_000),
		strings.Repeat("? a\n: b\n", 15_000), "a:\n" + strings.Repeat(" - &a *a\n", 12_000), strings.Repeat("!!str\n", 20_000), strings.Repeat("- - - -\n", 15_000),
		strings.Repeat("# c\n", 30_000), strings.Repeat("---\n", 30_000), strings.Repeat(strings.Repeat("\"", 16_000)+"\n", 8), strings.Repeat(strings.Repeat("&a ", 5_000)+"\n", 8), strings.Repeat("a: |\n", 40_000), strings.Repeat("a: 'x\n", 30_000),
	} {
		begin := time.Now()
		read(map[string]string{"CITATION.cff": s})
		if d := time.Since(begin); d > 5*time.Second {
			t.Errorf("%.40q…: %v", s, d)
		}
	}
}

// Every prefix of a valid file is at worst a warning.
func TestTruncated(t *testing.T) {
	for name, content := range examples() {
		for i := range len(content) {
			ds, _ := read(map[string]string{name: content[:i]})
			check(t, ds)
		}
	}
}

// check looks at what a catalog relies on.
func check(t *testing.T, ds *catalog.Dataset) {
	t.Helper()
	size := 0
	for _, s := range ds.Said() {
		if len(s.Values) > 4100 {
			t.Errorf("%s has %d values", s.Key, len(s.Values))
		}
		for _, v := range s.Values {
			size += len(v)
			if strings.ToValidUTF8(v, "") != v || strings.ContainsAny(v, "\x00\x1b\r") {
				t.Errorf("%s: %q", s.Key, v)
			}
		}
		if !catalog.ValidJSON(s.JSON) {
			t.Errorf("%s: %s", s.Key, s.JSON)
		}
	}
	if size > 8<<20 {
		t.Errorf("%d bytes", size)
	}
}

func FuzzRead(f *testing.F) {
	for name, content := range examples() {
		f.Add(name, []byte(content))
	}
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		if !describe.Describes(name) {
			return
		}
		ds, _ := describe.Read([]string{name}, func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
		check(t, ds)
	})
}

// Real datasets, as people describe them.
func TestRealData(t *testing.T) {
	data := "../../../shared/data"
	if _, err := os.Stat(data); err != nil {
		t.Skip("the real data sets are not beside the checkout")
	}
	for set, want := range map[string]map[string]string{
		"ds005": {"title": "Mixed-gambles task @dataset_description.json", "license": "PDDL-1.0 @dataset_description.json"},
		"ds000117": {"license": "CC0-1.0 @dataset_description.json", "creators": "Wakeman, DG | Henson, RN @dataset_description.json",
			"identifiers": "https://doi.org/10.18112/openneuro.ds000117.v1.0.4 @dataset_description.json"},
		"eeg_matchingpennies": {"title": "Matching Pennies @dataset_description.json", "license": "PDDL-1.0 @dataset_description.json"},
		"micr_SEM":            {"description": "1 mouse spinal cord sample imaged over 2 sessions. Example dataset with empty images containing scanning electron microscopy (SEM) data to illustrate BIDS convention. @README"},
		"gdp":                 {"license": "PDDL-1.0 @datapackage.json", "version": "2026 @datapackage.json", "date_modified": "2026-02-24 @datapackage.json"},
	} {
		root := os.DirFS(filepath.Join(data, set))
		var names []string
		entries, err := fs.ReadDir(root, ".")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !e.IsDir() {
				names = append(names, e.Name())
			}
		}
		ds, warnings := describe.Read(names, func(name string) (io.ReadCloser, error) { return root.Open(name) })
		got := said(ds)
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s: %s = %q, want %q", set, k, got[k], v)
			}
		}
		if len(warnings) > 0 {
			t.Error(set, warnings)
		}
	}
}
