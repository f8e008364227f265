package recipe

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// folder makes a folder called name with files.
func folder(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for p, content := range files {
		p = filepath.Join(dir, p)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSuggest(t *testing.T) {
	for name, test := range map[string]struct {
		dir   string
		files map[string]string
		image string
		want  Dataset
	}{
		"folder": {"My Photos (2024)", nil, "my-photos-2024", Dataset{Title: "My Photos (2024)"}},
		"odd":    {"-#: 'x\" \\n {a}\x01\xff", nil, "x-n-a", Dataset{Title: "-#: 'x\" \\n {a}\x01\uFFFD"}},
		"number": {"2024", nil, "2024", Dataset{Title: "2024"}},
		"word":   {"yes", nil, "yes", Dataset{Title: "yes"}},
		"none":   {"…", nil, "dataset", Dataset{Title: "…"}},
		"readme": {"x", map[string]string{"README.md": "\n# A title: of \"it\"\nText\n# Another\n"}, "x", Dataset{Title: `A title: of "it"`}},
		"rst":    {"x", map[string]string{"README": "Underlined\n==========\n"}, "x", Dataset{Title: "Underlined"}},
		"bids": {"x", map[string]string{"README.md": "# Other\n", "dataset_description.json": `{"Name": "Gambles", "License": "PDDL", "Authors": ["A B", "C"]}`}, "x",
			Dataset{Title: "Gambles", License: "PDDL", Author: "A B, C"}},
		"wrong": {"x", map[string]string{"dataset_description.json": `{"Name": ["a"], "License": "a\nb`, "datapackage.json": "["}, "x", Dataset{Title: "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Suggest(context.Background(), folder(t, test.dir, test.files))
			if err != nil {
				t.Fatal(err)
			}
			r, err := Parse("cdb.yaml", s.Recipe())
			if err != nil {
				t.Fatalf("%v\n%s", err, s.Recipe())
			}
			ds := r.Dataset
			if r.Image != test.image || ds.Title != test.want.Title || ds.License != test.want.License || ds.Author != test.want.Author {
				t.Errorf("%q %+v, want %q %+v", r.Image, ds, test.image, test.want)
			}
			if len(r.Sources) != 1 || r.Sources[0].Src != "." || !slices.Contains(r.Exclude, "/cdb.yaml") || len(r.Queries) == 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// What the comments offer is right when it is no longer a comment.
func TestCommentsAreRecipes(t *testing.T) {
	s, err := Suggest(context.Background(), folder(t, "x", map[string]string{"LICENSE": "…"}))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(s.Recipe()), "\n")
	for i, l := range lines {
		rest := strings.TrimLeft(l, " ")
		key, isComment := strings.CutPrefix(rest, "# ")
		if name, _, ok := strings.Cut(strings.TrimLeft(key, "- "), ":"); isComment && ok && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz") == "" {
			lines[i] = l[:len(l)-len(rest)] + key
		}
	}
	doc := strings.ReplaceAll(strings.Join(lines, "\n"), "sha256:…", "sha256:"+strings.Repeat("0", 64))
	r, err := Parse("cdb.yaml", []byte(doc))
	if err != nil {
		t.Fatalf("%v\n%s", err, doc)
	}
	if len(r.Sources) != 3 || r.Sources[2].Digest == "" || r.Labels["lab"] != "12" || r.Packing.Prefix != "/data" || r.Dataset.License != "CC-BY-4.0" {
		t.Errorf("%+v\n%s", r, doc)
	}
}

func TestSuggestCounts(t *testing.T) {
	s, err := Suggest(context.Background(), folder(t, "x", map[string]string{
		"a.csv": "12", "b.CSV": "1", "d/c.nii.gz": "1", "README": "", ".hidden": "", "odd.e e": "", "x.tar.gz": "",
		".git/config": "123456", "d/.DS_Store": "1", "__pycache__/x.pyc": "1", "cdb.yaml": "name: x",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if s.Files != 7 || s.Bytes != 4 {
		t.Errorf("%d files, %d bytes", s.Files, s.Bytes)
	}
	if want := []string{".git/", ".DS_Store", "__pycache__/"}; !slices.Equal(s.Exclude, want) {
		t.Errorf("exclude %q, want %q", s.Exclude, want)
	}
	if want := []Format{{"", 3}, {".csv", 2}, {".nii.gz", 1}, {".tar.gz", 1}}; !slices.Equal(s.Formats, want) {
		t.Errorf("formats %v, want %v", s.Formats, want)
	}
}

func TestWrite(t *testing.T) {
	name := filepath.Join(t.TempDir(), Name)
	if err := Write(name, []byte("a"), false); err != nil {
		t.Fatal(err)
	}
	if err := Write(name, []byte("b"), false); !errors.Is(err, fs.ErrExist) {
		t.Errorf("written over: %v", err)
	}
	if err := Write(name, []byte("c"), true); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "c" {
		t.Errorf("%q %v", b, err)
	}
	if entries, err := os.ReadDir(filepath.Dir(name)); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}
