package recipe

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Bounds of what Suggest looks at.
const (
	maxEntries   = 200_000
	maxDocument  = 1 << 20  // bytes of a JSON document
	maxFirstPart = 64 << 10 // bytes of a text
)

// A Suggestion is what a folder says of the recipe that it may get.
type Suggestion struct {
	Image   string // a name
	Title   string
	License string
	Author  string
	// From says which files title, licence and author are from, by the names
	// of the keys.
	From map[string]string
	// LicenseFile is a file that says on which terms the data is given.
	LicenseFile string
	// Exclude are patterns of what was found and is hardly data.
	Exclude []string
	Files   int64
	Bytes   int64
	// More says that there is more than was counted.
	More bool
	// Formats are the most common endings of names, and how many files have
	// them, most first.
	Formats []Format
}

// A Format is an ending of names, such as ".csv", "" for none.
type Format struct {
	Ending string
	Files  int64
}

// clutter are the names of files and folders that are hardly data, as patterns
// of .gitignore.
func clutter() []string {
	return []string{
		".git/", ".svn/", ".hg/", ".DS_Store", "Thumbs.db", "desktop.ini", "._*", "*~", "*.swp", "*.tmp", "__pycache__/",
		".ipynb_checkpoints/", ".venv/", "node_modules/", ".cache/", ".Trash-*/", "lost+found/", ".snakemake/", ".nextflow/",
	}
}

// Suggest looks at a folder.
func Suggest(ctx context.Context, dir string) (*Suggestion, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("look at folder: %w", err)
	}
	defer root.Close()
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s := &Suggestion{Title: filepath.Base(abs), From: map[string]string{"title": "the name of the folder"}}
	s.Image = imageName(s.Title)
	if err := s.count(ctx, root.FS()); err != nil {
		return nil, fmt.Errorf("look at folder %q: %w", dir, err)
	}
	s.readDocuments(root)
	return s, nil
}

// imageName makes a name that an image can have.
func imageName(title string) string {
	name := strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(title), "-"), "-")
	if len(name) > 64 {
		name = strings.Trim(name[:64], "-")
	}
	return cmp.Or(name, "dataset")
}

// count counts files, and finds clutter, which is not counted.
func (s *Suggestion) count(ctx context.Context, fsys fs.FS) error {
	endings := map[string]int64{}
	found := map[string]bool{}
	entries := 0
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if entries++; entries > maxEntries {
			s.More = true
			return fs.SkipAll
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if p == "." {
				return err
			}
			return nil // the build will say what cannot be read
		}
		if pattern := matches(d); pattern != "" && p != "." {
			found[pattern] = true
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || p == Name {
			return nil
		}
		s.Files++
		if fi, err := d.Info(); err == nil {
			s.Bytes += fi.Size()
		}
		endings[ending(d.Name())]++
		return nil
	})
	if err != nil {
		return err
	}
	for _, pattern := range clutter() {
		if found[pattern] {
			s.Exclude = append(s.Exclude, pattern)
		}
	}
	for _, e := range slices.Sorted(maps.Keys(endings)) {
		s.Formats = append(s.Formats, Format{e, endings[e]})
	}
	slices.SortStableFunc(s.Formats, func(a, b Format) int { return cmp.Compare(b.Files, a.Files) })
	s.Formats = s.Formats[:min(len(s.Formats), 8)]
	return nil
}

// matches returns the pattern of clutter that an entry matches, or "".
func matches(d fs.DirEntry) string {
	for _, pattern := range clutter() {
		name, isDir := strings.CutSuffix(pattern, "/")
		if ok, _ := filepath.Match(name, d.Name()); ok && (d.IsDir() || !isDir) {
			return pattern
		}
	}
	return ""
}

// ending returns the end of a name from its last dot on, or from the one
// before if the file is compressed.
func ending(name string) string {
	e := strings.ToLower(filepath.Ext(name))
	if e == ".gz" || e == ".bz2" || e == ".xz" || e == ".zst" {
		e = strings.ToLower(filepath.Ext(strings.TrimSuffix(name, filepath.Ext(name)))) + e
	}
	if len(e) > 16 || strings.Trim(e, ".abcdefghijklmnopqrstuvwxyz0123456789_-+") != "" || e == strings.ToLower(name) {
		return ""
	}
	return e
}

// readDocuments takes title, licence and author from files that say them.
func (s *Suggestion) readDocuments(root *os.Root) {
	s.readReadme(root)
	s.readJSON(root, "datapackage.json", "title", "")
	s.readJSON(root, "dataset_description.json", "Name", "License")
	for _, name := range []string{"LICENSE", "LICENCE", "COPYING", "LICENSE.txt", "LICENSE.md", "LICENCE.txt", "LICENCE.md"} {
		if fi, err := root.Stat(name); err == nil && fi.Mode().IsRegular() {
			s.LicenseFile = name
			break
		}
	}
}

func readPart(root *os.Root, name string, limit int64) []byte {
	if fi, err := root.Stat(name); err != nil || !fi.Mode().IsRegular() {
		return nil
	}
	f, err := root.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return nil
	}
	return b
}

// readReadme takes the first heading of a README as the title.
func (s *Suggestion) readReadme(root *os.Root) {
	for _, name := range []string{"README.md", "README.rst", "README.txt", "README"} {
		lines := strings.Split(string(readPart(root, name, maxFirstPart)), "\n")
		for i, line := range lines {
			title, ok := strings.CutPrefix(line, "# ")
			underlined := i+1 < len(lines) && len(line) > 2 && len(strings.TrimSpace(lines[i+1])) >= 3 &&
				strings.Trim(strings.TrimSpace(lines[i+1]), "=") == ""
			if title = strings.TrimSpace(title); (ok || underlined) && s.say("title", title, name) {
				return
			}
		}
	}
}

// readJSON takes what a document says in keys of its outermost level.
func (s *Suggestion) readJSON(root *os.Root, name, title, license string) {
	var doc map[string]json.RawMessage
	if json.Unmarshal(bytes.TrimPrefix(readPart(root, name, maxDocument), []byte("\xef\xbb\xbf")), &doc) != nil {
		return
	}
	get := func(key string) (text string) {
		_ = json.Unmarshal(doc[key], &text) // what is no text says nothing
		return text
	}
	s.say("title", get(title), name)
	s.say("license", get(license), name)
	var authors []string
	if json.Unmarshal(doc["Authors"], &authors) == nil {
		s.say("author", strings.Join(authors, ", "), name)
	}
}

// say takes a text for a key if it is a line that can be one.
func (s *Suggestion) say(key, text, file string) bool {
	text = strings.TrimSpace(strings.ToValidUTF8(text, "\uFFFD"))
	if text == "" || len(text) > 500 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return false
	}
	switch key {
	case "title":
		s.Title = text
	case "license":
		s.License = text
	case "author":
		s.Author = text
	}
	s.From[key] = file
	return true
}

// Recipe returns the text of a recipe with comments that explain it.
func (s *Suggestion) Recipe() []byte {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p(recipeHead, quote(s.Image), s.summary())
	p("exclude:\n  - /%s\n", Name)
	for _, e := range s.Exclude {
		p("  - %s\n", quote(e))
	}
	p("\n# What is said of the dataset, in the catalog and the labels of the image.\ndataset:\n")
	p("  title: %s # from %s\n", quote(s.Title), s.From["title"])
	p("  # description: What it is, in some sentences.\n")
	switch {
	case s.License != "":
		p("  license: %s # from %s\n", quote(s.License), s.From["license"])
	case s.LicenseFile != "":
		p("  # license: CC-BY-4.0 # an SPDX expression; see the file %s\n", s.LicenseFile)
	default:
		p("  # license: CC-BY-4.0 # an SPDX expression: https://spdx.org/licenses\n")
	}
	p("  # version: 1.0\n")
	if s.Author != "" {
		p("  author: %s # from %s\n", quote(s.Author), s.From["author"])
	} else {
		p("  # author: Ada Lovelace\n")
	}
	b.WriteString(recipeTail)
	return b.Bytes()
}

// summary is what was counted, as a comment.
func (s *Suggestion) summary() string {
	more := ""
	if s.More {
		more = "more than "
	}
	var list []string
	for _, f := range s.Formats {
		list = append(list, fmt.Sprintf("%s (%d)", cmp.Or(f.Ending, "no ending"), f.Files))
	}
	text := fmt.Sprintf("# Found: %s%d files with %d bytes", more, s.Files, s.Bytes)
	if len(list) > 0 {
		text += "\n# of " + strings.Join(list, ", ")
	}
	return text
}

// quote writes text as YAML: plain where nobody can misread it.
func quote(s string) string {
	words := []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
	if regexp.MustCompile(`^[A-Za-z.][A-Za-z0-9 ._/()'-]*$`).MatchString(s) && !slices.Contains(words, strings.ToLower(s)) && strings.TrimSpace(s) == s {
		return s
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // text can be encoded
	return strings.TrimSuffix(b.String(), "\n")
}

const recipeHead = `# yaml-language-server: $schema=https://raw.githubusercontent.com/data-containers/cdb/main/docs/cdb.schema.json

# What "cdb build" in this folder makes. All keys but sources can be left out,
# and flags go before them.

# The image: NAME[:TAG].
name: %s

# Where data comes from: folders, archives, images, downloads. Paths are
# relative to this file.
%s
sources:
  - .
  # - path: tables.zip
  #   to: tables # a folder of the dataset
  # - url: https://example.org/more.tar.gz
  #   digest: sha256:…

# What is left out, in the syntax of .gitignore.
`

const recipeTail = `
# Labels of the image.
# labels:
#   lab: 12

# Questions with a name: "cdb query IMAGE -q largest".
queries:
  largest:
    description: The largest files
    order: size
    desc: true
    limit: 10
  folders:
    description: How much is in each folder
    sql: SELECT dir, count(*) AS files, sum(size) AS bytes FROM files GROUP BY dir ORDER BY bytes DESC

# What is extracted from files: see "cdb build --help".
# extract: [default, -mime] # or all, basic, names of formats

# How the image is made.
# packing:
#   compression: gzip # or zstd, none
#   prefix: /data # the folder of the data in the image
#   preserve: true # keep owners, modes and times exactly
`

// Write writes a recipe into the file name, which must not exist unless force
// is set.
func Write(name string, data []byte, force bool) error {
	fail := func(err error) error { return fmt.Errorf("write recipe: %w", err) }
	f, err := os.CreateTemp(filepath.Dir(name), "."+Name+"-*")
	if err != nil {
		return fail(err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fail(err)
	}
	if force {
		err = os.Rename(f.Name(), name)
	} else if err = os.Link(f.Name(), name); err != nil && !errors.Is(err, fs.ErrExist) {
		// Not every file system has hard links.
		if _, serr := os.Lstat(name); errors.Is(serr, fs.ErrNotExist) {
			err = os.Rename(f.Name(), name)
		}
	}
	if err != nil {
		return fail(err)
	}
	return nil
}
