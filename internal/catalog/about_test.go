package catalog_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// everything says all that can be said.
func everything() catalog.Dataset {
	return catalog.Dataset{
		Title: "T", Description: "two\nlines", License: "CC0-1.0", Version: "1", Author: "A",
		About: catalog.About{
			Creators: []catalog.Person{{Name: "Ada \"L\"", Given: "Ada", Family: "L", Affiliation: "Ü", ORCID: "0000-0002-1825-0097", Email: "a@b"}, {Name: "B"}},
			Contact:  catalog.Person{Name: "C"}, Publisher: "P", Keywords: []string{"a,b", "\xff"}, Identifiers: []string{"https://doi.org/10.1234/x"},
			URL: "https://example.org", Source: []string{"s"}, Funding: []string{"f"}, References: []string{"r"}, Citation: "c", Rights: "r",
			DateCreated: "2001", DatePublished: "2002", DateModified: "2003", Languages: []string{"en"}, Spatial: []string{"Bern"}, Temporal: "2001/2002",
			ConformsTo: []string{"https://example.org/s"}, Origins: map[string]string{"title": "README"},
		},
		Labels: map[string]string{"k": "v"}, Queries: map[string]catalog.NamedQuery{"all": {Description: "D", SQL: "SELECT 1"}}, Created: time.Unix(1592092800, 0).UTC(), Generator: "g",
	}
}

// What is said of a dataset is in its catalog, to the byte.
func TestAboutRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	w, err := catalog.Create(path, catalog.WriterOptions{Prefix: "/data"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add(&catalog.Entry{Entry: tree.Entry{Type: tree.Dir, Mode: 0o755}}); err != nil {
		t.Fatal(err)
	}
	want, err := w.Finish(context.Background(), everything(), catalog.Version{})
	if err != nil {
		t.Fatal(err)
	}
	db, err := catalog.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if diff := cmp.Diff(want, db.Dataset()); diff != "" {
		t.Error(diff)
	}
	if !db.Dataset().SameWords(want) {
		t.Error("it does not say the same")
	}
	for _, s := range db.Dataset().Said() {
		if len(s.Values) == 0 || !catalog.ValidJSON(s.JSON) || s.Name == "" {
			t.Errorf("%+v", s)
		}
	}
}

// Each word can be completed alone, and what was given outlives what was
// found.
func TestComplete(t *testing.T) {
	given := catalog.Dataset{Title: "mine", Author: "me", About: catalog.About{Rights: "ask"}}
	found := everything()
	given.Complete(&found, "f.json")
	if given.Title != "mine" || given.Creators != nil || given.License != "" || given.Publisher != "P" || given.Origins["publisher"] != "f.json" || given.Origins["title"] != "" {
		t.Errorf("%+v", given)
	}
	if back := given.Given(); back.Title != "mine" || back.Publisher != "" || back.Author != "me" {
		t.Errorf("%+v", back)
	}
}

func TestParsePerson(t *testing.T) {
	for s, want := range map[string]catalog.Person{
		"Ada Lovelace":            {Name: "Ada Lovelace"},
		"Ada <a@b.c>":             {Name: "Ada", Email: "a@b.c"},
		"Ada (Uni Bern)  <a@b.c>": {Name: "Ada", Email: "a@b.c", Affiliation: "Uni Bern"},
		"Ada <a@b.c> (https://orcid.org/0000-0002-1825-0097)": {Name: "Ada", Email: "a@b.c", ORCID: "0000-0002-1825-0097"},
		"Lovelace, A. (0000-0002-1694-233x)":                  {Name: "Lovelace, A.", ORCID: "0000-0002-1694-233X"},
		"Ada (0000-0002-1825-0098)":                           {Name: "Ada", Affiliation: "0000-0002-1825-0098"},
		"A <b":                                                {Name: "A <b"},
		"":                                                    {},
	} {
		if got := catalog.ParsePerson(s); got != want {
			t.Errorf("%q: %+v", s, got)
		}
	}
}

func TestParseDOI(t *testing.T) {
	for s, want := range map[string]string{
		"10.5281/zenodo.1": "10.5281/zenodo.1", "doi:10.18112/a.b/c": "10.18112/a.b/c", "https://doi.org/10.1234/X": "10.1234/X",
		"DOI: 10.1234/x": "10.1234/x", "http://dx.doi.org/10.1234/x": "10.1234/x", "10.1234/": "", "10.12/x": "", "11.1234/x": "", "10.1234/a b": "", "": "",
	} {
		if got := catalog.ParseDOI(s); got != want {
			t.Errorf("%q: %q", s, got)
		}
	}
}

// Whatever a catalog holds as JSON is read without harm.
func FuzzParseStrings(f *testing.F) {
	for _, s := range []string{`["a", 1, {"b": []}]`, `[`, `["\ud800"]`, `[[[[`, `{"name": "x"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if list := catalog.ParseStrings(s); len(list) > len(s) {
			t.Errorf("%d strings out of %d bytes", len(list), len(s))
		}
		p := catalog.ParsePerson(s)
		if again := catalog.ParsePerson(p.String()); p.Affiliation == "" && again.Name != p.Name && !strings.ContainsAny(p.Name, "<>()") {
			t.Errorf("%q: %+v, and then %+v", s, p, again)
		}
		if doi := catalog.ParseDOI(s); doi != "" && catalog.ParseDOI(catalog.Identifier(s)) != doi {
			t.Errorf("%q: DOI %q", s, doi)
		}
	})
}

func TestParseStrings(t *testing.T) {
	for s, want := range map[string][]string{
		`["a", 1, "b\u00fc", null]`: {"a", "bü"}, `[]`: nil, `["a"`: {"a"}, `{"a": 1}`: nil, ``: nil, ` [ "x" ] `: {"x"}, `["a" "b"]`: {"a"},
	} {
		if diff := cmp.Diff(want, catalog.ParseStrings(s)); diff != "" {
			t.Errorf("%s: %s", s, diff)
		}
	}
}
