package standard_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/standard"
	"github.com/data-containers/cdb/internal/tree"
)

// everything is a dataset of which all is known.
func everything() catalog.Dataset {
	return catalog.Dataset{
		Title: "Fruit & <more>", Description: "Two kinds.", License: "CC0-1.0", Version: "1.0.0",
		About: catalog.About{
			Creators: []catalog.Person{
				{Name: "Ada Lovelace", Given: "Ada", Family: "Lovelace", Affiliation: "Engine \"A\"", ORCID: "0000-0002-1825-0097", Email: "ada@example.org"},
				{Name: "The Team"},
			},
			Contact: catalog.Person{Name: "Con Tact", Email: "c@example.org"}, Publisher: "Example Org", Keywords: []string{"fruit", "a|b"},
			Identifiers: []string{"https://doi.org/10.5281/zenodo.1"}, URL: "https://example.org/fruit",
			Source: []string{"https://example.org/raw", "an orchard"}, Funding: []string{"ERC 7"}, References: []string{"https://doi.org/10.1234/p", "A book"},
			Citation: "Lovelace (2026)", DateCreated: "2020-01-02", DatePublished: "2026-11-22", DateModified: "2026-11-23",
			Languages: []string{"en"}, Spatial: []string{"Bern"}, Temporal: "2001/2002", ConformsTo: []string{"https://bids-specification.readthedocs.io/en/v1.8.0/"},
		},
	}
}

// odd are files with names that try every escape.
func odd() map[string]string {
	return map[string]string{
		"data.csv": "a,b\n1,x\n3,y\n", "a b#?%.csv": "x\n", ".hidden": "h", "\xff\xfe.bin": "odd", "sub/x:y.tsv": "p\tq\n", "sub/line\nbreak": "",
		"@type": "k", "_:b": "blank", "ü.txt": "u", "-> link": "data.csv", "quote\"<>&'.txt": "q", "sub/empty/": "", "..x": "dots",
	}
}

// catalogOf makes a catalog of files; a name that ends in a slash is a folder,
// one that begins with an arrow a link. meta is metadata by path.
func catalogOf(t testing.TB, ds catalog.Dataset, files map[string]string, meta map[string]string) *catalog.DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "catalog.db")
	w, err := catalog.Create(path, catalog.WriterOptions{Prefix: "/data"})
	if err != nil {
		t.Fatal(err)
	}
	entries := map[string]*catalog.Entry{"": {Entry: tree.Entry{Type: tree.Dir, Mode: 0o755}, Pack: 1}}
	for name, content := range files {
		e := &catalog.Entry{Entry: tree.Entry{Path: name, Type: tree.File, Mode: 0o644, Size: int64(len(content)), ModTime: time.Unix(1592000000, 0)},
			SHA256: sha256.Sum256([]byte(content)), Pack: 1, Meta: meta[name]}
		if link, ok := strings.CutPrefix(name, "-> "); ok {
			e.Entry = tree.Entry{Path: link, Type: tree.Symlink, Mode: 0o777, Link: content}
		}
		if dir, ok := strings.CutSuffix(name, "/"); ok {
			e.Entry = tree.Entry{Path: dir, Type: tree.Dir, Mode: 0o755}
		}
		entries[e.Path] = e
		for dir := tree.Parent(e.Path); dir != ""; dir = tree.Parent(dir) {
			entries[dir] = &catalog.Entry{Entry: tree.Entry{Path: dir, Type: tree.Dir, Mode: 0o755}, Pack: 1}
		}
	}
	key := func(e *catalog.Entry) string {
		if e.Type == tree.Dir && e.Path != "" {
			return e.Path + "/"
		}
		return e.Path
	}
	var sorted []*catalog.Entry
	for _, e := range entries {
		sorted = append(sorted, e)
	}
	slices.SortFunc(sorted, func(a, b *catalog.Entry) int { return strings.Compare(key(a), key(b)) })
	for _, e := range sorted {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.AddPack(&catalog.Pack{ID: 1, Digest: "sha256:" + strings.Repeat("ab", 32), DiffID: "sha256:" + strings.Repeat("cd", 32),
		MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Size: 1234, TarSize: 10240, FrameSize: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if ds.Created.IsZero() {
		ds.Created = time.Unix(1592092800, 0)
	}
	if _, err := w.Finish(context.Background(), ds, catalog.Version{}); err != nil {
		t.Fatal(err)
	}
	db, err := catalog.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

const csvMeta = `{"mime.type": "text/csv", "csv.columns": ["a", "b", "a", "", "d/e"], "csv.types": ["integer", "string", "null", "date", "number"], "csv.delimiter": ";"}`

func full(t testing.TB) *catalog.DB {
	return catalogOf(t, everything(), odd(), map[string]string{"data.csv": csvMeta, "sub/x:y.tsv": `{"csv.columns": ["column1"], "csv.types": ["integer"], "csv.header": false}`})
}

// many is a dataset of more files than any list takes.
func many(t testing.TB) *catalog.DB {
	files := map[string]string{"data.csv": "a,b\n", "dir/": ""}
	for i := range 10_050 {
		files[fmt.Sprintf("d%d/f%d.txt", i%7, i)] = ""
	}
	return catalogOf(t, everything(), files, map[string]string{"data.csv": csvMeta})
}

// write returns a document and what it lacks.
func write(t testing.TB, db *catalog.DB, format string) (string, []string) {
	t.Helper()
	var b bytes.Buffer
	lacks, err := standard.Write(context.Background(), &b, db, format, standard.Options{})
	if err != nil {
		t.Fatal(format, err)
	}
	return b.String(), lacks
}

// object parses a document.
func object(t testing.TB, db *catalog.DB, format string) map[string]any {
	t.Helper()
	s, _ := write(t, db, format)
	var v map[string]any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatalf("%s: %v\n%s", format, err, s)
	}
	return v
}

func list(v any) []map[string]any {
	var out []map[string]any
	elements, _ := v.([]any)
	for _, e := range elements {
		if obj, ok := e.(map[string]any); ok {
			out = append(out, obj)
		}
	}
	return out
}

// Every format is well-formed, whatever is known and whatever names there are,
// and is made the same each time.
func TestWellFormed(t *testing.T) {
	bare := catalogOf(t, catalog.Dataset{}, nil, nil)
	hostile := everything()
	hostile.Title, hostile.Description, hostile.DatePublished = "\x00\x1b]0;x\a\xff\ufffe|\n# no heading", "```\n</x>]]>&", "x"
	hostile.Languages, hostile.License, hostile.Rights, hostile.Created = []string{"no language!"}, "A B", "javascript:x", time.Unix(0, 0)
	hostile.Creators = []catalog.Person{{Name: "-\n\xff"}}
	for _, db := range []*catalog.DB{bare, full(t), catalogOf(t, hostile, odd(), nil)} {
		for _, format := range standard.Formats() {
			s, _ := write(t, db, format)
			if again, _ := write(t, db, format); again != s {
				t.Errorf("%s: two documents differ", format)
			}
			switch format {
			case "datacite-xml":
				dec := xml.NewDecoder(strings.NewReader(s))
				for {
					if _, err := dec.Token(); err == io.EOF {
						break
					} else if err != nil {
						t.Fatalf("%s: %v\n%s", format, err, s)
					}
				}
			case "markdown", "bagit", "bag-info":
				if format != "bagit" && strings.ContainsAny(s, "\x00\x1b\a") {
					t.Errorf("%s has control characters: %q", format, s)
				}
			default:
				if strings.Contains(s, "<") {
					t.Errorf("%s cannot stand in a page: %s", format, s)
				}
				if !json.Valid([]byte(s)) || !strings.HasSuffix(s, "}\n") || strings.IndexFunc(s, func(r rune) bool { return r > 126 }) >= 0 {
					t.Errorf("%s: %s", format, s)
				}
			}
		}
	}
	if _, err := standard.Write(context.Background(), io.Discard, bare, "nonsense", standard.Options{}); err == nil {
		t.Error("an unknown format is no error")
	}
}

// What is wanted and not known is named, and what is known is not.
func TestLacks(t *testing.T) {
	bare := catalogOf(t, catalog.Dataset{}, map[string]string{"a": ""}, nil)
	for _, format := range []string{"schema.org", "croissant", "ro-crate", "datacite", "datacite-xml", "bids"} {
		if _, lacks := write(t, bare, format); !slices.Contains(lacks, "a title") {
			t.Errorf("%s: %q", format, lacks)
		}
		if _, lacks := write(t, full(t), format); len(lacks) > 0 {
			t.Errorf("%s of all that can be known: %q", format, lacks)
		}
	}
	if _, lacks := write(t, full(t), "datapackage"); len(lacks) != 1 || !strings.HasPrefix(lacks[0], "3 files") { // .hidden, ..x and a name of no characters
		t.Errorf("%q", lacks)
	}
}

// Google's list: name; a description of 50 to 5,000 characters; contentUrl of
// each distribution.
func TestSchemaOrg(t *testing.T) {
	v := object(t, full(t), "schema.org")
	if v["name"] != "Fruit & <more>" || v["license"] != "https://spdx.org/licenses/CC0-1.0" || v["@type"] != "Dataset" {
		t.Error(v)
	}
	if d := len([]rune(v["description"].(string))); d < 50 || d > 5000 {
		t.Errorf("a description of %d characters", d)
	}
	paths := map[string]bool{}
	for _, f := range list(v["distribution"]) {
		u, err := url.Parse(f["contentUrl"].(string))
		if err != nil || u.Scheme != "" || u.Fragment != "" || u.RawQuery != "" || u.Host != "" {
			t.Errorf("%v: %v", f["contentUrl"], err)
			continue
		}
		paths[u.Path] = true
	}
	if len(paths) != 11 || !paths["\xff\xfe.bin"] || !paths["a b#?%.csv"] || !paths["sub/line\nbreak"] {
		t.Errorf("%v", paths)
	}
	long := everything()
	long.Description = strings.Repeat("ü", 6000)
	if d := object(t, catalogOf(t, long, nil, nil), "schema.org")["description"].(string); len([]rune(d)) != 5000 {
		t.Errorf("%d characters", len([]rune(d)))
	}
	var b bytes.Buffer
	if _, err := standard.Write(context.Background(), &b, full(t), "schema.org", standard.Options{Base: "https://example.org/d/"}); err != nil ||
		!strings.Contains(b.String(), `"contentUrl": "https://example.org/d/data.csv"`) {
		t.Error(err, b.String())
	}
	if v := object(t, many(t), "schema.org"); v["distribution"] != nil {
		t.Error("ten thousand downloads are listed")
	}
}

// The rules of Croissant 1.1, and what mlcroissant fails on or passes over in
// silence.
func TestCroissant(t *testing.T) {
	for name, db := range map[string]*catalog.DB{"few": full(t), "many": many(t)} {
		v := object(t, db, "croissant")
		ctx := v["@context"].(map[string]any)
		if ctx["@vocab"] != "https://schema.org/" || ctx["sc"] != "https://schema.org/" || ctx["cr"] != "http://mlcommons.org/croissant/" {
			t.Error("the context is not what validators compare it with", ctx)
		}
		if v["conformsTo"] != "http://mlcommons.org/croissant/1.1" || v["@type"] != "sc:Dataset" {
			t.Error(v["conformsTo"], v["@type"])
		}
		for _, key := range []string{"name", "description", "license", "url", "creator", "datePublished", "distribution", "version", "citeAs"} {
			if v[key] == nil {
				t.Errorf("%s: no %s", name, key)
			}
		}
		ids := map[string]string{}
		sha := regexp.MustCompile(`^[0-9a-f]{64}$`)
		for _, f := range list(v["distribution"]) {
			id, typ := f["@id"].(string), f["@type"].(string)
			if ids[id] != "" {
				t.Errorf("@id %q twice", id)
			}
			ids[id] = typ
			switch typ {
			case "cr:FileObject":
				if s, _ := f["sha256"].(string); !sha.MatchString(s) || f["contentUrl"] == nil || f["encodingFormat"] == nil || f["contentSize"] == nil {
					t.Errorf("%v", f)
				}
			case "cr:FileSet":
				if f["containedIn"] == nil || f["includes"] == nil || f["encodingFormat"] == nil {
					t.Errorf("%v", f)
				}
			default:
				t.Errorf("type %v", typ)
			}
		}
		for _, f := range list(v["distribution"]) {
			for _, in := range list(f["containedIn"]) {
				if ids[in["@id"].(string)] != "cr:FileObject" {
					t.Errorf("%v is in nothing that is there", f)
				}
			}
		}
		records := list(v["recordSet"])
		if len(records) != 1 {
			t.Fatalf("%s: %d record sets", name, len(records))
		}
		var types []string
		for _, f := range list(records[0]["field"]) {
			source := f["source"].(map[string]any)
			if ids[source["fileObject"].(map[string]any)["@id"].(string)] != "cr:FileObject" || source["extract"].(map[string]any)["column"] != f["name"] {
				t.Errorf("%v", f)
			}
			types = append(types, f["@id"].(string)+" "+f["dataType"].(string))
		}
		want := []string{"#rows/data.csv/a sc:Integer", "#rows/data.csv/b sc:Text", "#rows/data.csv/d%2Fe sc:Float"}
		if !slices.Equal(types, want) {
			t.Errorf("%q", types)
		}
	}
}

// The MUSTs of RO-Crate 1.2: a descriptor about the root, a root with name,
// description, datePublished and license; no reference without an entity; each
// entity once.
func TestROCrate(t *testing.T) {
	for name, db := range map[string]*catalog.DB{"few": full(t), "many": many(t)} {
		v := object(t, db, "ro-crate")
		entities := map[string]map[string]any{}
		for _, e := range list(v["@graph"]) {
			id := e["@id"].(string)
			if entities[id] != nil {
				t.Errorf("%s: %q twice", name, id)
			}
			entities[id] = e
		}
		d := entities["ro-crate-metadata.json"]
		if d["about"].(map[string]any)["@id"] != "./" || d["conformsTo"].(map[string]any)["@id"] != "https://w3id.org/ro/crate/1.2" || d["@type"] != "CreativeWork" {
			t.Error(d)
		}
		root := entities["./"]
		for _, key := range []string{"name", "description", "datePublished", "license", "author", "publisher"} {
			if root[key] == nil {
				t.Errorf("%s: the root has no %s", name, key)
			}
		}
		if root["@type"] != "Dataset" || !regexp.MustCompile(`^\d{4}-\d{2}-\d{2}`).MatchString(root["datePublished"].(string)) {
			t.Error(root)
		}
		parts := list(root["hasPart"])
		if name == "few" && len(parts) != 11 || name == "many" && len(parts) != 9 {
			t.Errorf("%s: %d parts", name, len(parts))
		}
		for id, e := range entities {
			for key, value := range e {
				refs := list(value)
				if ref, ok := value.(map[string]any); ok {
					refs = append(refs, ref)
				}
				for _, r := range refs {
					if to, ok := r["@id"].(string); ok && entities[to] == nil && key != "conformsTo" {
						t.Errorf("%s: %s of %s leads to %s, which is not there", name, key, id, to)
					}
				}
			}
			if _, err := url.Parse(id); err != nil {
				t.Error(err)
			}
		}
		for _, p := range parts {
			if typ := entities[p["@id"].(string)]["@type"]; typ != "File" && typ != "Dataset" {
				t.Errorf("%v is a %v", p, typ)
			}
		}
	}
}

// Paths of Data Package v2, unique names, and tables first where there are
// too many files.
func TestDataPackage(t *testing.T) {
	allowed := regexp.MustCompile(`^[^./~][^\\]*$`)
	for name, db := range map[string]*catalog.DB{"few": full(t), "many": many(t)} {
		v := object(t, db, "datapackage")
		names := map[string]bool{}
		var table map[string]any
		resources := list(v["resources"])
		for _, r := range resources {
			if n := r["name"].(string); names[n] || !regexp.MustCompile(`^[-a-z0-9._/]+$`).MatchString(n) {
				t.Errorf("name %q", n)
			}
			names[r["name"].(string)] = true
			if !allowed.MatchString(r["path"].(string)) {
				t.Errorf("path %q", r["path"])
			}
			if r["path"] == "data.csv" {
				table = r
			}
		}
		if name == "many" && len(resources) != 10_000 || len(resources) == 0 {
			t.Errorf("%d resources", len(resources))
		}
		fields := list(table["schema"].(map[string]any)["fields"])
		if len(fields) != 5 || fields[0]["type"] != "integer" || fields[2]["type"] != "any" || table["dialect"].(map[string]any)["delimiter"] != ";" || table["type"] != "table" {
			t.Error(table)
		}
	}
}

// Thousands of names that come out the same take no time.
func TestResourceNames(t *testing.T) {
	files := map[string]string{}
	for i := range 9000 {
		files[strings.Repeat("ü", 1+i%90)+strings.Repeat("é", 1+i/90)] = ""
	}
	begin := time.Now()
	names := map[string]bool{}
	for _, r := range list(object(t, catalogOf(t, everything(), files, nil), "datapackage")["resources"]) {
		names[r["name"].(string)] = true
	}
	if len(names) != 9000 || time.Since(begin) > 20*time.Second {
		t.Errorf("%d names in %v", len(names), time.Since(begin))
	}
}

// What the JSON schema of DataCite 4.3 demands, and names no others.
func TestDataCite(t *testing.T) {
	known := strings.Fields("types identifiers creators titles publisher publicationYear subjects contributors dates language alternateIdentifiers " +
		"relatedIdentifiers sizes formats version rightsList descriptions geoLocations fundingReferences schemaVersion")
	for _, db := range []*catalog.DB{full(t), catalogOf(t, catalog.Dataset{}, nil, nil)} {
		v := object(t, db, "datacite")
		for key := range v {
			if !slices.Contains(known, key) {
				t.Errorf("member %s is none of the schema", key)
			}
		}
		for _, key := range []string{"types", "identifiers", "creators", "titles", "publisher", "publicationYear", "schemaVersion"} {
			if v[key] == nil {
				t.Errorf("no %s", key)
			}
		}
		if v["schemaVersion"] != "http://datacite.org/schema/kernel-4" || !regexp.MustCompile(`^\d{4}$`).MatchString(v["publicationYear"].(string)) {
			t.Error(v)
		}
	}
	v := object(t, full(t), "datacite")
	if list(v["identifiers"])[0]["identifier"] != "10.5281/zenodo.1" || list(v["rightsList"])[0]["rightsIdentifier"] != "CC0-1.0" {
		t.Error(v)
	}
	s, _ := write(t, full(t), "datacite-xml")
	for _, want := range []string{
		`<identifier identifierType="DOI">10.5281/zenodo.1</identifier>`, `<title>Fruit &amp; &lt;more&gt;</title>`, `<publicationYear>2026</publicationYear>`,
		`<resourceType resourceTypeGeneral="Dataset">Dataset</resourceType>`, `<creatorName nameType="Personal">Lovelace, Ada</creatorName>`, `<affiliation>Engine &quot;A&quot;</affiliation>`,
		`rightsIdentifier="CC0-1.0"`, `<contributor contributorType="ContactPerson">`,
	} {
		if !strings.Contains(s, want) {
			t.Errorf("%s is not in %s", want, s)
		}
	}
}

func TestBagIt(t *testing.T) {
	s, _ := write(t, full(t), "bagit")
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	if len(lines) != 11 {
		t.Errorf("%q", lines)
	}
	for _, l := range lines {
		if !regexp.MustCompile(`^[0-9a-f]{64}  data/.+$`).MatchString(l) {
			t.Errorf("%q", l)
		}
	}
	if !strings.Contains(s, "  data/sub/line%0Abreak\n") || !strings.Contains(s, "  data/a b#?%25.csv\n") {
		t.Error(s)
	}
	info, _ := write(t, full(t), "bag-info")
	size := 0
	for name, content := range odd() {
		if !strings.HasPrefix(name, "-> ") {
			size += len(content)
		}
	}
	if want := fmt.Sprintf("Payload-Oxum: %d.11\n", size); !strings.Contains(info, want) {
		t.Errorf("no %s in %s", want, info)
	}
}

func TestMarkdown(t *testing.T) {
	s, _ := write(t, full(t), "markdown")
	for _, want := range []string{
		"# Fruit \\& \\<more\\>\n", "| Creators | [Ada Lovelace](https://orcid.org/0000-0002-1825-0097), Engine \"A\" \\<ada@example.org\\><br>The Team |\n",
		"| Licence | [CC0-1.0](https://spdx.org/licenses/CC0-1.0) |", `| Keywords | fruit, a\|b |`, "@misc{fruit-more,\n  author = {Lovelace, Ada and The Team},",
		"| text/csv | 2 | ", "- data.csv: a (integer), b (string), a, ",
	} {
		if !strings.Contains(s, want) {
			t.Errorf("%q is not in\n%s", want, s)
		}
	}
}

func TestBIDS(t *testing.T) {
	v := object(t, full(t), "bids")
	if v["Name"] != "Fruit & <more>" || v["BIDSVersion"] != "1.8.0" || v["DatasetDOI"] != "doi:10.5281/zenodo.1" || fmt.Sprint(v["Authors"]) != "[Ada Lovelace The Team]" {
		t.Error(v)
	}
}

// A reader that goes away, and a context that ends, end the writing.
func TestWriteErrors(t *testing.T) {
	db := full(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := standard.Write(ctx, io.Discard, db, "bagit", standard.Options{}); err == nil {
		t.Error("no error of a context that has ended")
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("there is no /dev/full")
	}
	defer full.Close()
	for _, format := range standard.Formats() {
		if _, err := standard.Write(context.Background(), full, db, format, standard.Options{}); err == nil {
			t.Errorf("%s: no error of a full disk", format)
		}
	}
}
