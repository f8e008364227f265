package standard

import (
	"context"
	"slices"
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
	r := &record{id: ds.DOI(), idType: "DOI", creators: inverted(ds.People()), contact: ds.Contact, publisher: ds.Publisher, year: year(ds)}
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

// inverted returns people by their names as DataCite wants them, the family
// name first, where it is known which that is.
func inverted(people []catalog.Person) []catalog.Person {
	people = slices.Clone(people)
	for i := range people {
		if p := &people[i]; p.Given != "" && p.Family != "" {
			p.Name = p.Family + ", " + p.Given
		}
	}
	return people
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
	j := newJSON(d.out)
	j.object("")
	j.str("schemaVersion", "http://datacite.org/schema/kernel-4")
	j.object("types")
	j.str("resourceType", "Dataset")
	j.str("resourceTypeGeneral", "Dataset")
	j.end()
	r.required(j, d.ds)
	r.optional(j, d.ds)
	j.end()
	return lacks, nil
}

// objects writes an array of n objects, unless n is 0.
func (j *jsonWriter) objects(key string, n int, one func(i int)) {
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

// required writes what the schema demands.
func (r *record) required(j *jsonWriter, ds *catalog.Dataset) {
	j.objects("identifiers", 1, func(int) {
		j.str("identifier", r.id)
		j.str("identifierType", r.idType)
	})
	j.objects("creators", len(r.creators), func(i int) { writeCreator(j, &r.creators[i]) })
	j.objects("titles", 1, func(int) { j.str("title", datasetTitle(ds)) })
	j.str("publisher", r.publisher)
	j.str("publicationYear", r.year)
}

// optional writes what the schema allows.
func (r *record) optional(j *jsonWriter, ds *catalog.Dataset) {
	j.objects("alternateIdentifiers", len(r.alternates), func(i int) {
		j.str("alternateIdentifier", r.alternates[i])
		j.str("alternateIdentifierType", identifierType(r.alternates[i]))
	})
	j.objects("subjects", len(ds.Keywords), func(i int) { j.str("subject", ds.Keywords[i]) })
	if r.contact.Name != "" {
		j.objects("contributors", 1, func(int) {
			j.str("contributorType", "ContactPerson")
			writeCreator(j, &r.contact)
		})
	}
	j.objects("dates", len(r.dates), func(i int) {
		j.str("date", r.dates[i][1])
		j.str("dateType", r.dates[i][0])
	})
	j.str("language", r.language)
	j.objects("relatedIdentifiers", len(r.related), func(i int) {
		j.str("relatedIdentifier", r.related[i][0])
		j.str("relatedIdentifierType", r.related[i][1])
		j.str("relationType", r.related[i][2])
	})
	j.strs("sizes", r.sizes)
	j.strs("formats", r.formats)
	j.str("version", ds.Version)
	if licenseText(ds) != "" {
		j.objects("rightsList", 1, func(int) { writeRights(j, ds) })
	}
	if ds.Description != "" {
		j.objects("descriptions", 1, func(int) {
			j.str("description", ds.Description)
			j.str("descriptionType", "Abstract")
		})
	}
	j.objects("geoLocations", len(ds.Spatial), func(i int) { j.str("geoLocationPlace", ds.Spatial[i]) })
	j.objects("fundingReferences", len(ds.Funding), func(i int) { j.str("funderName", ds.Funding[i]) })
}

func writeRights(j *jsonWriter, ds *catalog.Dataset) {
	j.str("rights", licenseText(ds))
	j.str("rightsUri", licenseURL(ds))
	if ds.License != "" {
		j.str("rightsIdentifier", ds.License)
		j.str("rightsIdentifierScheme", "SPDX")
		j.str("schemeUri", "https://spdx.org/licenses/")
	}
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
