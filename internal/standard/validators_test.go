package standard_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/piprate/json-gold/ld"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/describe"
)

// modules is where scripts/install-validators.sh puts those of npm.
const modules = "../../.tools/validators/node_modules"

// validator skips the test if there is no program, or no module of npm.
func validator(t *testing.T, program, module string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed", program)
	}
	if module == "" {
		return
	}
	if _, err := os.Stat(filepath.Join(modules, module)); err != nil {
		t.Skipf("the npm package %s is not installed", module)
	}
}

// offline loads the contexts it has, and no others: a document that needs the
// network is wrong.
type offline map[string]any

func (o offline) LoadDocument(u string) (*ld.RemoteDocument, error) {
	if doc, ok := o[u]; ok {
		return &ld.RemoteDocument{DocumentURL: u, Document: doc}, nil
	}
	return nil, ld.NewJsonLdError(ld.LoadingRemoteContextFailed, fmt.Errorf("%s: %w", u, errors.New("nothing is fetched")))
}

// expand expands a document, as any JSON-LD processor does.
func expand(t *testing.T, db *catalog.DB, format string, contexts offline) []map[string]any {
	t.Helper()
	opts := ld.NewJsonLdOptions("https://example.org/base/")
	opts.DocumentLoader, opts.ProcessingMode = contexts, ld.JsonLd_1_1
	out, err := ld.NewJsonLdProcessor().Expand(object(t, db, format), opts)
	if err != nil {
		t.Fatal(format, err)
	}
	return list(out)
}

func typed(nodes []map[string]any, iri string) []map[string]any {
	var out []map[string]any
	for _, n := range nodes {
		if types, _ := n["@type"].([]any); slices.Contains(types, any(iri)) {
			out = append(out, n)
		}
	}
	return out
}

// A JSON-LD processor finds the terms of the standards, without the network.
func TestExpand(t *testing.T) {
	nodes := typed(expand(t, full(t), "schema.org", nil), "https://schema.org/Dataset")
	if len(nodes) != 1 || len(list(nodes[0]["https://schema.org/distribution"])) != 11 || nodes[0]["https://schema.org/variableMeasured"] == nil {
		t.Errorf("schema.org: %v", nodes)
	}
	nodes = typed(expand(t, full(t), "croissant", nil), "https://schema.org/Dataset")
	if len(nodes) != 1 {
		t.Fatal("croissant has no dataset")
	}
	conforms, _ := json.Marshal(nodes[0]["http://purl.org/dc/terms/conformsTo"])
	objects := typed(list(nodes[0]["https://schema.org/distribution"]), "http://mlcommons.org/croissant/FileObject")
	records := typed(list(nodes[0]["http://mlcommons.org/croissant/recordSet"]), "http://mlcommons.org/croissant/RecordSet")
	if !strings.Contains(string(conforms), "http://mlcommons.org/croissant/1.1") || len(objects) != 11 || len(records) != 1 {
		t.Errorf("croissant: %s, %d objects, %d record sets", conforms, len(objects), len(records))
	}
	field := list(records[0]["http://mlcommons.org/croissant/field"])[0]
	if got, _ := json.Marshal(field["http://mlcommons.org/croissant/dataType"]); string(got) != `[{"@id":"https://schema.org/Integer"}]` {
		t.Errorf("croissant: data type %s", got)
	}
	for _, o := range objects {
		if id, _ := o["@id"].(string); !strings.HasPrefix(id, "https://example.org/base/") || strings.ContainsAny(id, " #?") {
			t.Errorf("croissant: @id %q", id)
		}
	}
}

// The context of RO-Crate 1.2 knows all terms that are used.
func TestExpandROCrate(t *testing.T) {
	validator(t, "node", "ro-crate")
	b, err := os.ReadFile(filepath.Join(modules, "ro-crate/lib/context.json"))
	if err != nil {
		t.Fatal(err)
	}
	var context any
	if err := json.Unmarshal(b, &context); err != nil {
		t.Fatal(err)
	}
	nodes := expand(t, full(t), "ro-crate", offline{"https://w3id.org/ro/crate/1.2/context": context})
	files := typed(nodes, "http://schema.org/MediaObject")
	if len(files) != 11 || len(typed(nodes, "http://schema.org/Person")) != 3 || len(typed(nodes, "http://schema.org/Dataset")) != 1 {
		t.Errorf("%d files of %d entities", len(files), len(nodes))
	}
	for _, f := range files {
		for _, term := range []string{"http://schema.org/sha256", "http://schema.org/contentSize", "http://schema.org/encodingFormat"} {
			if f[term] == nil {
				t.Errorf("the context has not %s: %v", term, f)
			}
		}
	}
	in, out := object(t, full(t), "ro-crate"), map[string]int{}
	for _, n := range nodes {
		id, _ := n["@id"].(string)
		out[strings.TrimPrefix(id, "https://example.org/base/")] = len(n)
	}
	for _, e := range list(in["@graph"]) {
		id := strings.TrimPrefix(e["@id"].(string), "./")
		if out[id] != len(e) {
			t.Errorf("%q has %d members, and %d once it is expanded", id, len(e), out[id])
		}
	}
}

// The library of RO-Crate reads the crate.
func TestROCrateLibrary(t *testing.T) {
	validator(t, "node", "ro-crate")
	got := node(t, write1(t, full(t), "ro-crate"), `
		const {ROCrate} = require('ro-crate');
		const crate = new ROCrate(JSON.parse(require('fs').readFileSync(0)), {array: true, link: true});
		console.log(crate.rootDataset.name[0], crate.rootDataset.hasPart.length, crate.rootDataset.license[0].name[0], crate.rootDataset.author[0].name[0]);`)
	if got != "Fruit & <more> 11 CC0-1.0 Ada Lovelace\n" {
		t.Errorf("%q", got)
	}
}

// The library of Frictionless Data finds nothing wrong, by the rules of v1,
// which v2 only relaxes.
func TestFrictionlessLibrary(t *testing.T) {
	validator(t, "node", "datapackage")
	for name, db := range map[string]*catalog.DB{"all": full(t), "bare": catalogOf(t, catalog.Dataset{}, map[string]string{"a.csv": "a\n1\n"}, nil)} {
		got := node(t, write1(t, db, "datapackage"), `
			const {validate} = require('datapackage');
			validate(JSON.parse(require('fs').readFileSync(0))).then(r => console.log(r.valid, r.errors.map(String).join('\n')));`)
		if got != "true \n" {
			t.Errorf("%s: %s", name, got)
		}
	}
	bad := node(t, `{"name": "x", "resources": []}`, `
		const {validate} = require('datapackage');
		validate(JSON.parse(require('fs').readFileSync(0))).then(r => console.log(r.valid));`)
	if bad != "false\n" {
		t.Errorf("the validator finds nothing wrong with a wrong package: %q", bad)
	}
}

// The records of the tables can be read with the schema that was written.
func TestFrictionlessTable(t *testing.T) {
	validator(t, "node", "datapackage")
	dir := t.TempDir()
	content := "id,when,ok,x\n1,2020-01-02,true,1.5\n2,2021-01-02,false,2\n"
	db := catalogOf(t, everything(), map[string]string{"t.csv": content}, map[string]string{
		"t.csv": `{"mime.type": "text/csv", "csv.columns": ["id", "when", "ok", "x"], "csv.types": ["integer", "date", "boolean", "number"], "csv.delimiter": ","}`})
	for name, s := range map[string]string{"t.csv": content, "datapackage.json": write1(t, db, "datapackage")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := node(t, "", `
		const {Package} = require('datapackage');
		Package.load(process.argv[1] + '/datapackage.json').then(p => p.resources[0].read({keyed: true})).then(r => console.log(r.length, r[0].id + 1, r[1].ok, r[1].x));`, dir)
	if got != "2 2 false 2\n" {
		t.Errorf("%q", got)
	}
}

// Real datasets, described by their own files, pass.
func TestRealData(t *testing.T) {
	validator(t, "node", "datapackage")
	data := "../../../shared/data"
	if _, err := os.Stat(data); err != nil {
		t.Skip("the real data sets are not beside the checkout")
	}
	for _, set := range []string{"ds005", "ds000117", "eeg_matchingpennies", "gdp", "penguins"} {
		files, names := map[string]string{}, []string{}
		root := os.DirFS(filepath.Join(data, set))
		err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			b, err := fs.ReadFile(root, p)
			files[p] = string(b)
			if !strings.Contains(p, "/") {
				names = append(names, p)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		ds, warnings := describe.Read(names, func(name string) (io.ReadCloser, error) { return root.Open(name) })
		if len(warnings) > 0 {
			t.Error(set, warnings)
		}
		db := catalogOf(t, *ds, files, nil)
		if got := node(t, write1(t, db, "datapackage"), `
			const {validate} = require('datapackage');
			validate(JSON.parse(require('fs').readFileSync(0))).then(r => console.log(r.valid, r.errors.map(String).join('\n')));`); got != "true \n" {
			t.Errorf("%s: %s", set, got)
		}
		for _, format := range []string{"schema.org", "croissant"} {
			if nodes := typed(expand(t, db, format, nil), "https://schema.org/Dataset"); len(nodes) != 1 || nodes[0]["https://schema.org/name"] == nil {
				t.Errorf("%s: %s: %v", set, format, nodes)
			}
		}
		if set == "ds005" && object(t, db, "ro-crate")["@graph"].([]any)[1].(map[string]any)["name"] != "Mixed-gambles task" {
			t.Error("the crate has another name")
		}
	}
}

// xmllint reads the XML.
func TestXMLLint(t *testing.T) {
	validator(t, "xmllint", "")
	cmd := exec.Command("xmllint", "--nonet", "--noout", "-")
	cmd.Stdin = strings.NewReader(write1(t, full(t), "datacite-xml"))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

func write1(t *testing.T, db *catalog.DB, format string) string {
	s, _ := write(t, db, format)
	return s
}

// node runs a script and returns what it prints.
func node(t *testing.T, stdin, script string, args ...string) string {
	t.Helper()
	dir, err := filepath.Abs(modules)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", append([]string{"-e", script}, args...)...)
	cmd.Env, cmd.Stdin = append(os.Environ(), "NODE_PATH="+dir), strings.NewReader(stdin)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v: %s", err, errs.String())
	}
	return string(out)
}
