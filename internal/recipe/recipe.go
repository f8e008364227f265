// Package recipe is the file cdb.yaml: where the data of a build comes from,
// what is said of it, and how it is packed. Unknown keys and wrong types are
// errors that name the line and the column.
//
// One table, see fields, says which keys there are: the decoder, the hints in
// its errors and the published JSON Schema are made from it.
package recipe

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// Name is what a recipe is called.
const Name = "cdb.yaml"

// maxSize is the size in bytes of the largest recipe that is read.
const maxSize = 128 << 10

// A Recipe is what a file says. What it does not say is the zero value.
type Recipe struct {
	// File is the name that it was read from.
	File string `json:"-"`
	// Image is NAME[:TAG].
	Image   string   `json:"name"`
	Sources []Source `json:"sources"`
	Exclude []string `json:"exclude"`
	Extract []string `json:"extract"`
	Dataset Dataset  `json:"dataset"`
	// Labels are the user's own.
	Labels  map[string]string `json:"labels"`
	Queries map[string]Query  `json:"queries"`
	Packing Packing           `json:"packing"`

	positions map[string]position // by path, such as "sources[0].path"
}

// A Source is one place that data comes from: as SRC on a command line, or by
// just one of Path, Image and URL.
type Source struct {
	Src string `json:"src"`

	Path    string   `json:"path"`
	Image   string   `json:"image"`
	URL     string   `json:"url"`
	Digest  string   `json:"digest"`
	To      string   `json:"to"`
	Folder  string   `json:"folder"`
	Exclude []string `json:"exclude"`
	Unpack  *bool    `json:"unpack"`
}

// A Dataset is what is said of the dataset.
type Dataset struct {
	Title       string   `json:"title"`
	Description string   `json:"description"`
	License     string   `json:"license"`
	Version     string   `json:"version"`
	Author      string   `json:"author"`
	Creators    []Person `json:"creators"`
	Publisher   string   `json:"publisher"`
	Contact     *Person  `json:"contact"`
	Keywords    []string `json:"keywords"`
	DOI         string   `json:"doi"`
	URL         string   `json:"url"`
	DerivedFrom []string `json:"derived-from"`
	Published   string   `json:"published"`
	Describe    *bool    `json:"describe"`
}

// A Person is somebody: as text, "NAME <EMAIL> (ORCID)", or in parts.
type Person struct {
	Text string `json:"text"`

	Name  string `json:"name"`
	Email string `json:"email"`
	ORCID string `json:"orcid"`
}

// String returns the person as text.
func (p *Person) String() string {
	if p.Text != "" {
		return p.Text
	}
	s := p.Name
	if p.Email != "" {
		s += " <" + p.Email + ">"
	}
	if p.ORCID != "" {
		s += " (" + p.ORCID + ")"
	}
	return s
}

// A Query has a name in Recipe.Queries.
type Query struct {
	Description string `json:"description"`
	SQL         string `json:"sql"`
	Get         string `json:"get"`
	Text        string `json:"text"`
	Where       string `json:"where"`
	Metric      string `json:"metric"`
	Search      string `json:"search"`
	Order       string `json:"order"`
	Desc        bool   `json:"desc"`
	Limit       int    `json:"limit"`
}

// Packing is how the image is made.
type Packing struct {
	Compression string   `json:"compression"`
	Prefix      string   `json:"prefix"`
	Arch        []string `json:"arch"`
	Text        *bool    `json:"text"`
	Preserve    *bool    `json:"preserve"`
	Volume      *bool    `json:"volume"`
	Strict      *bool    `json:"strict"`
}

// Read reads the recipe in a file.
func Read(name string) (*Recipe, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read recipe: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read recipe %q: %w", name, err)
	}
	return Parse(name, data)
}

// Parse reads a recipe. Errors begin with name, line and column; there may be
// several, joined.
func Parse(name string, data []byte) (*Recipe, error) {
	d := &decoder{name: name, positions: map[string]position{}}
	tree := d.parse(data)
	if len(d.errs) > 0 {
		return nil, errors.Join(d.errs...)
	}
	// The tree has the types of the table, which are those of the struct.
	doc, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	r := &Recipe{File: name, positions: d.positions}
	decode := json.NewDecoder(bytes.NewReader(doc))
	decode.DisallowUnknownFields()
	if err := decode.Decode(r); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// At says that err is about what the recipe has at a path, such as
// "sources[0]" or "queries.big".
func (r *Recipe) At(path string, err error) error {
	if p, ok := r.positions[path]; ok {
		return fmt.Errorf("%s:%d:%d: %s: %w", r.File, p.line, p.column, path, err)
	}
	return fmt.Errorf("%s: %s: %w", r.File, path, err)
}
