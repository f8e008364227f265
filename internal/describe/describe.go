// Package describe is what a dataset says of itself: it reads the files that
// the standards put into the root of a tree (BIDS, Data Package, RO-Crate,
// Croissant, DataCite, CITATION.cff, CodeMeta), README and LICENSE, and makes
// one description of them.
//
// All of it is taken for hostile. A file that is damaged is a warning, and the
// others are read all the same.
package describe

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/data-containers/cdb/internal/catalog"
)

// maxFile is the size that a file may have, in bytes.
const maxFile = 1 << 20

// A Warning is about a file that could not be used.
type Warning struct {
	File string // its name in the root of the tree
	Err  error
}

func (w Warning) Error() string { return fmt.Sprintf("read %s: %v", w.File, w.Err) }

// Unwrap returns the cause.
func (w Warning) Unwrap() error { return w.Err }

// A source is a kind of file that describes a dataset.
type source struct {
	match func(name string) bool
	read  func(b []byte) (*catalog.Dataset, error)
	// prose says that there may be several, of which the first counts.
	prose bool
}

// sources are all kinds, those that know best first.
func sources() []source {
	return []source{
		{match: named("cdb.yaml"), read: readRecipe},
		{match: named("dataset_description.json"), read: readBIDS},
		{match: named("datapackage.json"), read: readDataPackage},
		{match: named("ro-crate-metadata.json"), read: readROCrate},
		{match: named("croissant.json"), read: readCroissant},
		{match: named("metadata.json"), read: readMaybeCroissant},
		{match: named("datacite.json"), read: readDataCite},
		{match: named("CITATION.cff"), read: readCFF},
		{match: named("codemeta.json"), read: readCodeMeta},
		{match: stem("readme"), read: readReadme, prose: true},
		{match: stem("license", "licence", "copying"), read: readLicense, prose: true},
	}
}

func named(want string) func(string) bool {
	return func(name string) bool { return name == want }
}

// stem matches names in any case, bare or with an extension of text.
func stem(stems ...string) func(string) bool {
	return func(name string) bool {
		name = strings.ToLower(name)
		for _, s := range stems {
			for _, ext := range []string{"", ".md", ".rst", ".txt"} {
				if name == s+ext {
					return true
				}
			}
		}
		return false
	}
}

// Describes says if a file with this name in the root of a tree is one that
// Read would look at.
func Describes(name string) bool {
	for _, s := range sources() {
		if s.match(name) {
			return true
		}
	}
	return false
}

// Read makes a description of the files of a tree's root. names are those of
// the regular files there, sorted; open opens one. Each word of the result has
// its origin: the file it came from. Where several files say something, the
// first in this order counts: cdb.yaml, dataset_description.json,
// datapackage.json, ro-crate-metadata.json, croissant.json, metadata.json (if
// it is Croissant), datacite.json, CITATION.cff, codemeta.json, README,
// LICENSE.
func Read(names []string, open func(name string) (io.ReadCloser, error)) (*catalog.Dataset, []Warning) {
	found := &catalog.Dataset{}
	var warnings []Warning
	for _, s := range sources() {
		for _, name := range names {
			if !s.match(name) {
				continue
			}
			ds, err := readFile(name, open, s.read)
			if err != nil {
				warnings = append(warnings, Warning{name, err})
			}
			if ds != nil {
				found.Complete(ds, name)
			}
			if s.prose && err == nil {
				break
			}
		}
	}
	return found, warnings
}

func readFile(name string, open func(string) (io.ReadCloser, error), read func([]byte) (*catalog.Dataset, error)) (*catalog.Dataset, error) {
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("it is larger than %d bytes, so it is not looked at", maxFile)
	}
	return read(b)
}

// errNoObject is about files whose top is not what it should be.
var errNoObject = errors.New("it is not a JSON object")
