// Package standard is a dataset in the words of the standards: schema.org,
// Croissant, RO-Crate, Data Package, DataCite, BagIt, BIDS, and Markdown for
// people. All of it is made from a catalog alone, so a container says the same
// of itself wherever it is asked.
//
// Nothing is claimed that nobody said: what a standard wants and the catalog
// does not know is left out, and named to the caller.
package standard

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/data-containers/cdb/internal/catalog"
)

// Bounds of what a document lists. Beyond them it speaks of folders, formats
// and packs.
const (
	maxDownloads = 100    // files in a document for search engines
	maxObjects   = 1000   // files in Croissant
	maxListed    = 10_000 // files in RO-Crate and Data Package
	maxTables    = 200    // tables of which columns are described
	maxColumns   = 1000   // of one table
	maxFormats   = 200    // media types
	maxVariables = 200    // names of columns in a document for search engines
)

// Options are what a catalog cannot know.
type Options struct {
	// Base is put before the paths of files, relative to the root of the data,
	// to make their URLs; it ends in a slash. Without it URLs are relative.
	Base string
}

// A writer writes one document, and returns what it lacks.
type writer func(ctx context.Context, d *document) (lacks []string, err error)

func writers() map[string]writer {
	return map[string]writer{
		"schema.org":   writeSchemaOrg,
		"croissant":    writeCroissant,
		"ro-crate":     writeROCrate,
		"datapackage":  writeDataPackage,
		"datacite":     writeDataCite,
		"datacite-xml": writeDataCiteXML,
		"bagit":        writeManifest,
		"bag-info":     writeBagInfo,
		"bids":         writeBIDS,
		"markdown":     writeMarkdown,
	}
}

// Formats returns the names of the formats that Write knows.
func Formats() []string {
	return []string{"schema.org", "croissant", "ro-crate", "datapackage", "datacite", "datacite-xml", "bagit", "bag-info", "bids", "markdown"}
}

// Write writes what db says of its dataset in the form of a standard, one of
// Formats: schema.org (JSON-LD for search engines), croissant (1.1), ro-crate
// (1.2), datapackage (Frictionless v2), datacite (JSON of schema 4.3),
// datacite-xml (4.7), bagit (the manifest-sha256.txt of RFC 8493), bag-info,
// bids (dataset_description.json), markdown. The same catalog and options make
// the same bytes. It returns what the standard wants and nobody said, in words
// for people.
func Write(ctx context.Context, w io.Writer, db *catalog.DB, format string, opts Options) (lacks []string, err error) {
	write, ok := writers()[format]
	if !ok {
		return nil, fmt.Errorf("format %q: it is none of %v", format, Formats())
	}
	out := bufio.NewWriterSize(w, 64<<10)
	d := &document{db: db, ds: db.Dataset(), opts: opts, out: out}
	lacks, err = write(ctx, d)
	if ferr := out.Flush(); err == nil {
		err = ferr
	}
	return lacks, err
}

// A document is one on its way out.
type document struct {
	db   *catalog.DB
	ds   *catalog.Dataset
	opts Options
	out  *bufio.Writer
}

// wanted is a word that a standard wants.
type wanted struct {
	name  string
	known bool
}

// missing returns the names of those that are not known.
func missing(all ...wanted) []string {
	var names []string
	for _, w := range all {
		if !w.known {
			names = append(names, w.name)
		}
	}
	return slices.Clip(names)
}
