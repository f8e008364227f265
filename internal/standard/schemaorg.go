package standard

import (
	"context"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/data-containers/cdb/internal/catalog"
)

// writeSchemaOrg writes a Dataset of schema.org as JSON-LD, as search engines
// read it from a page. Its context is inline, so nothing needs to be fetched.
func writeSchemaOrg(ctx context.Context, d *document) ([]string, error) {
	f, err := d.facts(ctx)
	if err != nil {
		return nil, err
	}
	j := newJSON(d.out)
	j.object("")
	j.object("@context")
	j.str("@vocab", "https://schema.org/")
	j.end()
	j.str("@type", "Dataset")
	j.str("@id", datasetURL(d.ds))
	d.common(j, f, "")
	j.str("creditText", d.ds.Citation)
	j.str("datePublished", d.ds.DatePublished)
	if len(f.variables) > 0 {
		j.array("variableMeasured")
		for _, v := range f.variables {
			j.object("")
			j.str("@type", "PropertyValue")
			j.str("name", v)
			j.end()
		}
		j.end()
	}
	if d.ds.Files <= maxDownloads && d.ds.Files > 0 {
		j.array("distribution")
		err = d.files(ctx, func(e *catalog.Entry) error {
			j.object("")
			j.str("@type", "DataDownload")
			j.str("name", e.Path)
			j.str("contentUrl", d.opts.Base+iriPath(e.Path))
			j.str("encodingFormat", mediaType(e))
			j.str("contentSize", size(e.Size))
			j.str("sha256", hex.EncodeToString(e.SHA256[:]))
			j.end()
			return nil
		})
		if err != nil {
			return nil, err
		}
		j.end()
	}
	j.end()
	return missing(
		wanted{"a title", d.ds.Title != ""}, wanted{"a description", d.ds.Description != ""},
		wanted{"a licence", licenseText(d.ds) != ""}, wanted{"creators", len(d.ds.People()) > 0}), nil
}

// common writes the members that schema.org and Croissant share; types have
// the prefix sc.
func (d *document) common(j *jsonWriter, f *facts, sc string) {
	ds := d.ds
	j.str("name", datasetTitle(ds))
	j.str("description", d.description(f))
	j.str("url", datasetURL(ds))
	j.str("version", ds.Version)
	if u := licenseURL(ds); u != "" {
		j.str("license", u)
	} else {
		j.str("license", licenseText(ds))
	}
	j.strs("identifier", identifiers(ds))
	j.strs("keywords", ds.Keywords)
	if people := ds.People(); len(people) > 0 {
		j.array("creator")
		for i := range people {
			writePerson(j, "", &people[i], sc)
		}
		j.end()
	}
	if ds.Publisher != "" {
		named(j, "publisher", sc+"Organization", ds.Publisher)
	}
	if !ds.Contact.IsZero() {
		writePerson(j, "maintainer", &ds.Contact, sc)
	}
	j.str("dateCreated", ds.DateCreated)
	j.str("dateModified", modified(ds))
	j.strs("inLanguage", ds.Languages)
	j.strs("spatialCoverage", ds.Spatial)
	j.str("temporalCoverage", ds.Temporal)
	j.strs("isBasedOn", ds.Source)
	j.strs("citation", ds.References)
	if len(ds.Funding) > 0 {
		j.array("funding")
		for _, g := range ds.Funding {
			named(j, "", sc+"Grant", g)
		}
		j.end()
	}
}

// identifiers returns all, the name by digest included.
func identifiers(ds *catalog.Dataset) []string {
	ids := slices.Clone(ds.Identifiers)
	if ni := digestIRI(ds); ni != "" {
		ids = append(ids, ni)
	}
	return ids
}

// named writes an entity of which only the name is known.
func named(j *jsonWriter, key, typ, name string) {
	j.object(key)
	j.str("@type", typ)
	j.str("name", name)
	j.end()
}

func writePerson(j *jsonWriter, key string, p *catalog.Person, sc string) {
	j.object(key)
	j.str("@type", sc+"Person")
	j.str("@id", orcidURL(p))
	j.str("name", p.Name)
	j.str("givenName", p.Given)
	j.str("familyName", p.Family)
	if p.Affiliation != "" {
		named(j, "affiliation", sc+"Organization", p.Affiliation)
	}
	j.str("email", strings.TrimPrefix(p.Email, "mailto:"))
	j.end()
}
