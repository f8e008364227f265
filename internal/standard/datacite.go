package standard

import (
	"context"
	"strings"
	"unicode"

	"github.com/data-containers/cdb/internal/catalog"
)

// unavailable is what DataCite wants in the place of what is not known
// (metadata schema 4.7, appendix 3).
const unavailable = ":unav"

// A record is a dataset in the terms of DataCite.
type record struct {
	id, idType string
	alternates []string
	creators   []catalog.Person
	contact    catalog.Person
	publisher  string
	year       string
	dates      [][2]string // type, date
	language   string
	sizes      []string
	formats    []string
	related    [][3]string // identifier, its type, relation
}

func (d *document) record(ctx context.Context) (*record, []string, error) {
	ds := d.ds
	f, err := d.facts(ctx)
	if err != nil {
		return nil, nil, err
	}
	r := &record{id: ds.DOI(), idType: "DOI", creators: ds.People(), contact: ds.Contact, publisher: ds.Publisher, year: year(ds)}
	for _, id := range identifiers(ds) {
		if catalog.ParseDOI(id) != r.id || r.id == "" {
			r.alternates = append(r.alternates, id)
		}
	}
	if r.id == "" {
		r.id, r.idType = unavailable, "DOI"
	}
	if len(r.creators) == 0 {
		r.creators = []catalog.Person{{Name: unavailable}}
	}
	if r.publisher == "" {
		r.publisher = unavailable
	}
	for _, date := range [][2]string{{"Created", ds.DateCreated}, {"Issued", ds.DatePublished}, {"Updated", modified(ds)}} {
		if date[1] != "" {
			r.dates = append(r.dates, date)
		}
	}
	if len(ds.Languages) > 0 && isLanguage(ds.Languages[0]) {
		r.language = ds.Languages[0]
	}
	r.sizes = []string{count(ds.Files, "file"), count(ds.Bytes, "byte")}
	for _, m := range f.formats {
		r.formats = append(r.formats, m.media)
	}
	for relation, list := range map[string][]string{"IsDerivedFrom": ds.Source, "References": ds.References} {
		for _, s := range list {
			if doi := catalog.ParseDOI(s); doi != "" {
				r.related = append(r.related, [3]string{doi, "DOI", relation})
			} else if isURL(s) {
				r.related = append(r.related, [3]string{s, "URL", relation})
			}
		}
	}
	sortRelated(r.related)
	return r, missing(wanted{"a DOI", ds.DOI() != ""}, wanted{"a title", ds.Title != ""}, wanted{"creators", len(ds.People()) > 0},
		wanted{"a publisher", ds.Publisher != ""},
		wanted{"the date of publication (that of the newest file stands for it)", ds.DatePublished != ""}), nil
}

// isLanguage says if s is of the form of a language tag.
func isLanguage(s string) bool {
	if s == "" || len(s) > 35 {
		return false
	}
	for i, part := range strings.Split(s, "-") {
		if part == "" || len(part) > 8 || strings.IndexFunc(part, func(r rune) bool {
			return r > unicode.MaxASCII || !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r))
		}) >= 0 {
			return false
		}
	}
	return true
}

// writeDataCite writes DataCite metadata as JSON, of schema 4.3: the newest
// that there is a JSON schema of.
func writeDataCite(ctx context.Context, d *document) ([]string, error) {
	r, lacks, err := d.record(ctx)
	if err != nil {
		return nil, err
	}
	ds, j := d.ds, newJSON(d.out)
	j.object("")
	j.str("schemaVersion", "http://datacite.org/schema/kernel-4")
	j.object("types")
	j.str("resourceType", "Dataset")
	j.str("resourceTypeGeneral", "Dataset")
	j.end()
	list := func(key string, n int, one func(i int)) {
		if n == 0 {
			return
		}
		j.array(key)
		for i := range n {
			j.object("")
			one(i)
			j.end()
		}
		j.end()
	}
	list("identifiers", 1, func(int) { j.str("identifier", r.id); j.str("identifierType", r.idType) })
	list("alternateIdentifiers", len(r.alternates), func(i int) {
		j.str("alternateIdentifier", r.alternates[i])
		j.str("alternateIdentifierType", identifierType(r.alternates[i]))
	})
	list("creators", len(r.creators), func(i int) { writeCreator(j, &r.creators[i]) })
	list("titles", 1, func(int) { j.str("title", datasetTitle(ds)) })
	j.str("publisher", r.publisher)
	j.str("publicationYear", r.year)
	list("subjects", len(ds.Keywords), func(i int) { j.str("subject", ds.Keywords[i]) })
	if r.contact.Name != "" {
		list("contributors", 1, func(int) { j.str("contributorType", "ContactPerson"); writeCreator(j, &r.contact) })
	}
	list("dates", len(r.dates), func(i int) { j.str("date", r.dates[i][1]); j.str("dateType", r.dates[i][0]) })
	j.str("language", r.language)
	list("relatedIdentifiers", len(r.related), func(i int) {
		j.str("relatedIdentifier", r.related[i][0])
		j.str("relatedIdentifierType", r.related[i][1])
		j.str("relationType", r.related[i][2])
	})
	j.strs("sizes", r.sizes)
	j.strs("formats", r.formats)
	j.str("version", ds.Version)
	if licenseText(ds) != "" {
		list("rightsList", 1, func(int) {
			j.str("rights", licenseText(ds))
			j.str("rightsUri", licenseURL(ds))
			if ds.License != "" {
				j.str("rightsIdentifier", ds.License)
				j.str("rightsIdentifierScheme", "SPDX")
				j.str("schemeUri", "https://spdx.org/licenses/")
			}
		})
	}
	if ds.Description != "" {
		list("descriptions", 1, func(int) { j.str("description", ds.Description); j.str("descriptionType", "Abstract") })
	}
	list("geoLocations", len(ds.Spatial), func(i int) { j.str("geoLocationPlace", ds.Spatial[i]) })
	list("fundingReferences", len(ds.Funding), func(i int) { j.str("funderName", ds.Funding[i]) })
	j.end()
	return lacks, nil
}

func writeCreator(j *jsonWriter, p *catalog.Person) {
	j.str("name", p.Name)
	if p.Given != "" || p.Family != "" || p.ORCID != "" {
		j.str("nameType", "Personal")
	}
	j.str("givenName", p.Given)
	j.str("familyName", p.Family)
	if p.ORCID != "" {
		j.array("nameIdentifiers")
		j.object("")
		j.str("nameIdentifier", orcidURL(p))
		j.str("nameIdentifierScheme", "ORCID")
		j.str("schemeUri", "https://orcid.org")
		j.end()
		j.end()
	}
	if p.Affiliation != "" {
		j.array("affiliation")
		j.object("")
		j.str("name", p.Affiliation)
		j.end()
		j.end()
	}
}

func identifierType(id string) string {
	switch {
	case catalog.ParseDOI(id) != "":
		return "DOI"
	case isURL(id):
		return "URL"
	case strings.HasPrefix(id, "ni:"):
		return "Named Information (RFC 6920)"
	}
	return "other"
}

// writeDataCiteXML writes DataCite metadata of schema 4.7 as XML.
func writeDataCiteXML(ctx context.Context, d *document) ([]string, error) {
	r, lacks, err := d.record(ctx)
	if err != nil {
		return nil, err
	}
	ds, x := d.ds, &xmlWriter{w: d.out}
	x.w.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n")
	x.open("resource", "xmlns", "http://datacite.org/schema/kernel-4", "xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance",
		"xsi:schemaLocation", "http://datacite.org/schema/kernel-4 https://schema.datacite.org/meta/kernel-4.7/metadata.xsd")
	x.leaf("identifier", r.id, "identifierType", r.idType)
	x.open("creators")
	for i := range r.creators {
		x.creator("creator", &r.creators[i])
	}
	x.close("creators")
	x.open("titles")
	x.leaf("title", datasetTitle(ds))
	x.close("titles")
	x.leaf("publisher", r.publisher)
	x.leaf("publicationYear", r.year)
	x.leaf("resourceType", "Dataset", "resourceTypeGeneral", "Dataset")
	x.group("subjects", len(ds.Keywords), func(i int) { x.leaf("subject", ds.Keywords[i]) })
	if r.contact.Name != "" {
		x.open("contributors")
		x.creator("contributor", &r.contact, "contributorType", "ContactPerson")
		x.close("contributors")
	}
	x.group("dates", len(r.dates), func(i int) { x.leaf("date", r.dates[i][1], "dateType", r.dates[i][0]) })
	x.leaf("language", r.language)
	x.group("alternateIdentifiers", len(r.alternates), func(i int) {
		x.leaf("alternateIdentifier", r.alternates[i], "alternateIdentifierType", identifierType(r.alternates[i]))
	})
	x.group("relatedIdentifiers", len(r.related), func(i int) {
		x.leaf("relatedIdentifier", r.related[i][0], "relatedIdentifierType", r.related[i][1], "relationType", r.related[i][2])
	})
	x.group("sizes", len(r.sizes), func(i int) { x.leaf("size", r.sizes[i]) })
	x.group("formats", len(r.formats), func(i int) { x.leaf("format", r.formats[i]) })
	x.leaf("version", ds.Version)
	if text := licenseText(ds); text != "" {
		x.open("rightsList")
		var attrs []string
		if u := licenseURL(ds); u != "" {
			attrs = append(attrs, "rightsURI", u)
		}
		if ds.License != "" {
			attrs = append(attrs, "rightsIdentifier", ds.License, "rightsIdentifierScheme", "SPDX", "schemeURI", "https://spdx.org/licenses/")
		}
		x.leaf("rights", text, attrs...)
		x.close("rightsList")
	}
	if ds.Description != "" {
		x.open("descriptions")
		x.leaf("description", ds.Description, "descriptionType", "Abstract")
		x.close("descriptions")
	}
	x.group("geoLocations", len(ds.Spatial), func(i int) {
		x.open("geoLocation")
		x.leaf("geoLocationPlace", ds.Spatial[i])
		x.close("geoLocation")
	})
	x.group("fundingReferences", len(ds.Funding), func(i int) {
		x.open("fundingReference")
		x.leaf("funderName", ds.Funding[i])
		x.close("fundingReference")
	})
	x.close("resource")
	return lacks, nil
}
