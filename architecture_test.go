package cdb_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/data-containers/cdb"

// layers are the packages from the lowest up. A package imports lower layers
// only: stages of one layer meet in the root package.
var layers = [][]string{
	{"internal/tree", "internal/recipe", "internal/blobcache", "internal/distribution", "bench/link"},
	{"internal/catalog", "internal/pack", "internal/registry"},
	{"internal/image", "internal/export", "internal/unpack", "internal/worker", "internal/wasm", "internal/generate", "internal/describe", "internal/standard"},
	{"internal/scan", "internal/extract", "internal/store", "internal/query"},
	{"internal/external"},
	{".", "internal/ui"},
	{"cmd/cdb", "cmd/entrypoint", "bench"},
}

// doors are the packages that heavy modules may be imported by.
var doors = map[string][]string{
	"zombiezen.com/go/sqlite":       {"internal/catalog"},
	"modernc.org/sqlite":            {"internal/catalog"},
	"github.com/klauspost/compress": {"internal/pack"},
	"github.com/goccy/go-yaml":      {"internal/describe", "internal/recipe"},
	"github.com/spf13/cobra":        {"cmd/cdb"},
	"golang.org/x/term":             {"internal/ui", "cmd/entrypoint"},
	"net/http":                      {"internal/store", "internal/registry", "internal/distribution", "cmd/cdb"},
	"oras.land/oras-go":             {"internal/registry"},
	"github.com/opencontainers":     {"internal/image", "internal/store", "internal/pack", "internal/registry", "."},
	"github.com/bep/imagemeta":      {"internal/extract"},
	"github.com/gabriel-vasile":     {"internal/extract"},
	"github.com/tetratelabs":        {"internal/wasm"},
}

// testPackages hold helpers of tests and are imported by tests alone.
var testPackages = []string{"internal/clienttest", "internal/registrytest", "e2e", "faults"}

// Imports go down, and each heavy module has one door.
func TestLayers(t *testing.T) {
	level := map[string]int{}
	for i, pkgs := range layers {
		for _, p := range pkgs {
			level[p] = i
		}
	}
	eachSource(t, func(file string, imports []string) {
		pkg := path.Dir(file)
		from, ok := level[pkg]
		if !ok {
			t.Errorf("%s: package %s is in no layer", file, pkg)
		}
		for _, imp := range imports {
			if to, ok := strings.CutPrefix(imp+"/", module+"/"); ok {
				to = path.Clean(to)
				if slices.Contains(testPackages, to) || level[to] >= from {
					t.Errorf("%s imports %s, which is no lower layer", file, imp)
				}
			}
			for door, pkgs := range doors {
				if (imp == door || strings.HasPrefix(imp, door+"/")) && !slices.Contains(pkgs, pkg) {
					t.Errorf("%s imports %s, which only %v may", file, imp, pkgs)
				}
			}
		}
	})
}

// Package tree is for everybody, so it needs nobody.
func TestTreeIsStandardLibrary(t *testing.T) {
	eachSource(t, func(file string, imports []string) {
		for _, imp := range imports {
			if path.Dir(file) == "internal/tree" && strings.Contains(imp, ".") {
				t.Errorf("%s imports %s", file, imp)
			}
		}
	})
}

// Package worker is no place for what processes may bring with them.
func TestWorkerIsStandardLibrary(t *testing.T) {
	eachSource(t, func(file string, imports []string) {
		for _, imp := range imports {
			if path.Dir(file) == "internal/worker" && strings.Contains(imp, ".") {
				t.Errorf("%s imports %s", file, imp)
			}
		}
	})
}

// No package does anything by being imported.
func TestNoInit(t *testing.T) {
	walkSources(t, func(file string) {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(src), "\nfunc init()") {
			t.Errorf("%s has an init function", file)
		}
	})
}

// eachSource calls f for all sources but tests and their helpers.
func eachSource(t *testing.T, f func(file string, imports []string)) {
	walkSources(t, func(file string) {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		var imports []string
		for _, spec := range parsed.Imports {
			imports = append(imports, strings.Trim(spec.Path.Value, `"`))
		}
		f(file, imports)
	})
}

func walkSources(t *testing.T, f func(file string)) {
	t.Helper()
	err := fs.WalkDir(os.DirFS("."), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (slices.Contains(testPackages, p) || p == "examples" || d.Name() == "testdata" || len(p) > 1 && p[0] == '.') {
			return fs.SkipDir
		}
		if strings.HasSuffix(p, ".go") && !strings.HasSuffix(p, "_test.go") {
			f(p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
