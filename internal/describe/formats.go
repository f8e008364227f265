package describe

import (
	"strings"

	"github.com/data-containers/cdb/internal/catalog"
)

// readBIDS reads dataset_description.json (BIDS 1.11, "Dataset description").
func readBIDS(b []byte) (*catalog.Dataset, error) {
	v, err := parseJSON(b)
	if err != nil {
		return nil, err
	}
	ds := &catalog.Dataset{Title: line(v.get("Name").text())}
	setLicense(ds, v.get("License").text())
	for _, a := range v.get("Authors").texts() {
		ds.Creators = append(ds.Creators, catalog.ParsePerson(a))
	}
	ds.Identifiers = v.get("DatasetDOI").identifiers()
	ds.Citation = v.get("HowToAcknowledge").text()
	ds.Funding = v.get("Funding").texts()
	ds.References = v.get("ReferencesAndLinks").texts()
	ds.Keywords = v.get("Keywords").words()
	for _, s := range v.get("SourceDatasets").each() {
		if from := s.get("DOI", "URL").text(); from != "" {
			ds.Source = append(ds.Source, catalog.Identifier(from))
		}
	}
	if version := v.get("BIDSVersion").text(); version != "" {
		iri := "https://bids.neuroimaging.io/"
		if strings.Count(version, ".") == 2 && strings.Trim(version, "0123456789.") == "" {
			iri = "https://bids-specification.readthedocs.io/en/v" + version + "/"
		}
		ds.ConformsTo = []string{iri}
	}
	return ds, nil
}

// readDataPackage reads datapackage.json (Frictionless Data Package v1, v2).
func readDataPackage(b []byte) (*catalog.Dataset, error) {
	v, err := parseJSON(b)
	if err != nil {
		return nil, err
	}
	ds := &catalog.Dataset{
		Title:       line(v.get("title", "name").text()),
		Description: v.get("description").text(),
		Version:     v.get("version").text(),
	}
	ds.URL = webURL(v.get("homepage").text())
	ds.Keywords = v.get("keywords").words()
	ds.DateCreated = v.get("created").date()
	ds.DateModified = v.get("last_updated", "updated").date()
	if id := v.get("id").text(); catalog.ParseDOI(id) != "" || webURL(id) != "" {
		ds.Identifiers = []string{catalog.Identifier(id)}
	}
	for _, l := range v.get("licenses", "license").each() {
		setLicense(ds, l.get("name").text())
		if ds.License == "" {
			setLicense(ds, l.get("path", "url").text())
		}
		if ds.License == "" && ds.Rights == "" {
			setLicense(ds, l.text())
		}
		if ds.License != "" {
			break
		}
	}
	for _, s := range v.get("sources").each() {
		from := s.get("path", "url", "web").text()
		if from == "" {
			from = s.text()
		}
		if from != "" {
			ds.Source = append(ds.Source, from)
		}
	}
	for _, c := range append(v.get("contributors").each(), v.get("author").each()...) {
		contributor(ds, c)
	}
	return ds, nil
}

// contributor adds a contributor of a Data Package under its roles.
func contributor(ds *catalog.Dataset, c value) {
	p := catalog.ParsePerson(line(c.get("title", "name").text()))
	if s, ok := c.v.(string); ok {
		p = catalog.ParsePerson(line(clean(s)))
	}
	p.Given, p.Family = c.get("givenName").text(), c.get("familyName").text()
	if p.Name == "" {
		p.Name = strings.TrimSpace(p.Given + " " + p.Family)
	}
	if e := c.get("email").text(); e != "" {
		p.Email = e
	}
	if a := c.get("organization").text(); a != "" {
		p.Affiliation = a
	}
	if o := catalog.ParseORCID(c.get("path").text()); o != "" {
		p.ORCID = o
	}
	if p.Name == "" {
		return
	}
	roles := append(c.get("roles").texts(), c.get("role").texts()...)
	creator := len(roles) == 0
	for _, r := range roles {
		switch strings.ToLower(r) {
		case "publisher":
			ds.Publisher = p.Name
		case "contact", "contactperson", "contact person":
			ds.Contact = p
		case "author", "creator", "contributor":
			creator = true
		}
	}
	if creator {
		ds.Creators = append(ds.Creators, p)
	}
}

// readDataCite reads datacite.json: metadata of DataCite 4 as JSON, bare or as
// its REST API has it.
func readDataCite(b []byte) (*catalog.Dataset, error) {
	v, err := parseJSON(b)
	if err != nil {
		return nil, err
	}
	if a := v.get("data").get("attributes"); a.v != nil {
		v = a
	}
	ds := &catalog.Dataset{
		Title:   line(v.get("titles").first("title")),
		Version: v.get("version").text(),
	}
	ds.Publisher = line(v.get("publisher").text())
	ds.URL = webURL(v.get("url").text())
	ds.Languages = v.get("language").texts()
	for _, d := range v.get("descriptions").each() {
		if t := d.get("descriptionType").text(); ds.Description == "" || t == "Abstract" {
			ds.Description = d.get("description").text()
		}
	}
	for _, c := range v.get("creators").each() {
		ds.Creators = append(ds.Creators, dataCitePerson(c))
	}
	for _, c := range v.get("contributors").each() {
		if c.get("contributorType").text() == "ContactPerson" && ds.Contact.IsZero() {
			ds.Contact = dataCitePerson(c)
		}
	}
	for _, s := range v.get("subjects").each() {
		if t := line(s.get("subject").text()); t != "" {
			ds.Keywords = append(ds.Keywords, t)
		}
	}
	for _, r := range v.get("rightsList").each() {
		for _, k := range []string{"rightsIdentifier", "rightsURI", "rights"} {
			if ds.License == "" {
				setLicense(ds, r.get(k).text())
			}
		}
	}
	dataCiteIdentifiers(ds, v)
	dataCiteDates(ds, v)
	for _, f := range v.get("fundingReferences").each() {
		ds.Funding = append(ds.Funding, line(f.get("funderName").text()+" "+f.get("awardNumber").text()))
	}
	for _, g := range v.get("geoLocations").each() {
		if p := g.get("geoLocationPlace").text(); p != "" {
			ds.Spatial = append(ds.Spatial, p)
		}
	}
	return ds, nil
}

func dataCiteIdentifiers(ds *catalog.Dataset, v value) {
	ids := v.get("identifiers").each()
	if doi := catalog.ParseDOI(v.get("doi").text()); doi != "" {
		ds.Identifiers = []string{catalog.Identifier(doi)}
	}
	for _, i := range ids {
		if id := catalog.Identifier(i.get("identifier").text()); id != "" && (len(ds.Identifiers) == 0 || id != ds.Identifiers[0]) {
			ds.Identifiers = append(ds.Identifiers, id)
		}
	}
	for _, r := range v.get("relatedIdentifiers").each() {
		id := catalog.Identifier(r.get("relatedIdentifier").text())
		switch r.get("relationType").text() {
		case "IsDerivedFrom", "IsSourceOf":
			ds.Source = append(ds.Source, id)
		default:
			if id != "" {
				ds.References = append(ds.References, id)
			}
		}
	}
}

func dataCiteDates(ds *catalog.Dataset, v value) {
	for _, d := range v.get("dates").each() {
		date := d.get("date").date()
		switch d.get("dateType").text() {
		case "Created":
			ds.DateCreated = date
		case "Issued":
			ds.DatePublished = date
		case "Updated":
			ds.DateModified = date
		case "Coverage":
			ds.Temporal = d.get("date").text()
		}
	}
	if ds.DatePublished == "" {
		ds.DatePublished = v.get("publicationYear").date()
	}
}

func dataCitePerson(c value) catalog.Person {
	p := catalog.Person{
		Name:   line(c.get("name", "creatorName", "contributorName").text()),
		Given:  c.get("givenName").text(),
		Family: c.get("familyName").text(),
	}
	p.Affiliation = line(c.get("affiliation").text())
	for _, n := range c.get("nameIdentifiers").each() {
		if o := catalog.ParseORCID(n.get("nameIdentifier").text()); o != "" {
			p.ORCID = o
		}
	}
	return p
}

// first returns the text of a member of the first element.
func (v value) first(key string) string {
	for _, e := range v.each() {
		return e.get(key).text()
	}
	return ""
}

// readCFF reads CITATION.cff (Citation File Format 1.2).
func readCFF(b []byte) (*catalog.Dataset, error) {
	v, err := parseYAML(b)
	if err != nil {
		return nil, err
	}
	ds := &catalog.Dataset{
		Title:       line(v.get("title").text()),
		Description: v.get("abstract").text(),
		Version:     v.get("version").text(),
	}
	setLicense(ds, strings.Join(v.get("license").texts(), " OR "))
	if ds.License == "" {
		setLicense(ds, v.get("license-url").text())
	}
	for _, a := range v.get("authors").each() {
		if p := cffPerson(a); !p.IsZero() {
			ds.Creators = append(ds.Creators, p)
		}
	}
	for _, c := range v.get("contact").each() {
		ds.Contact = cffPerson(c)
		break
	}
	ds.Keywords = v.get("keywords").words()
	ds.URL = webURL(v.get("url").text())
	ds.DatePublished = v.get("date-released").date()
	if doi := v.get("doi").text(); doi != "" {
		ds.Identifiers = []string{catalog.Identifier(doi)}
	}
	for _, i := range v.get("identifiers").each() {
		if id := catalog.Identifier(i.get("value").text()); id != "" && (len(ds.Identifiers) == 0 || ds.Identifiers[0] != id) {
			ds.Identifiers = append(ds.Identifiers, id)
		}
	}
	for _, k := range []string{"repository-code", "repository", "repository-artifact"} {
		if u := webURL(v.get(k).text()); u != "" {
			ds.Source = append(ds.Source, u)
		}
	}
	for _, r := range v.get("references").each() {
		ref := catalog.Identifier(r.get("doi", "url").text())
		if t := line(r.get("title").text()); t != "" {
			ref = strings.TrimSpace(t + " " + ref)
		}
		if ref != "" {
			ds.References = append(ds.References, ref)
		}
	}
	return ds, nil
}

func cffPerson(c value) catalog.Person {
	p := catalog.Person{
		Given:       line(c.get("given-names").text()),
		Family:      line(c.get("name-particle").text() + " " + c.get("family-names").text()),
		Affiliation: line(c.get("affiliation").text()),
		ORCID:       catalog.ParseORCID(c.get("orcid").text()),
		Email:       line(c.get("email").text()),
	}
	p.Name = line(p.Given + " " + p.Family + " " + c.get("name-suffix").text())
	if p.Name == "" {
		p.Name = line(c.get("name", "alias").text())
	}
	if p.Name == "" {
		return catalog.Person{}
	}
	return p
}

// readRecipe reads what cdb.yaml says under "dataset": words under the names
// that they have in a catalog.
func readRecipe(b []byte) (*catalog.Dataset, error) {
	v, err := parseYAML(b)
	if err != nil {
		return nil, err
	}
	return FromWords(v.get("dataset").v), nil
}

// FromWords reads a description whose words have the names of a catalog's
// table dataset: an object as package encoding/json has it, with numbers as
// json.Number. Persons are objects, or strings such as "NAME <EMAIL> (ORCID)".
func FromWords(obj any) *catalog.Dataset {
	v := value{obj}
	ds := &catalog.Dataset{
		Title:       line(v.get("title").text()),
		Description: v.get("description").text(),
		Version:     v.get("version").text(),
		Author:      line(v.get("author").text()),
	}
	setLicense(ds, v.get("license").text())
	if r := v.get("rights").text(); r != "" {
		ds.Rights = r
	}
	for _, c := range v.get("creators").each() {
		ds.Creators = append(ds.Creators, wordPerson(c))
	}
	for _, c := range v.get("contact").each() {
		ds.Contact = wordPerson(c)
		break
	}
	ds.Publisher = line(v.get("publisher").text())
	ds.Keywords = v.get("keywords").words()
	ds.Identifiers = append(v.get("doi").identifiers(), v.get("identifiers").identifiers()...)
	ds.URL = webURL(v.get("url").text())
	ds.Source = v.get("source").texts()
	ds.Funding = v.get("funding").texts()
	ds.References = v.get("references").texts()
	ds.Citation = v.get("citation").text()
	ds.DateCreated = v.get("date_created").date()
	ds.DatePublished = v.get("date_published").date()
	ds.DateModified = v.get("date_modified").date()
	ds.Languages = v.get("languages", "language").texts()
	ds.Spatial = v.get("spatial").texts()
	ds.Temporal = v.get("temporal").text()
	ds.ConformsTo = v.get("conforms_to").texts()
	return ds
}

func wordPerson(c value) catalog.Person {
	if s, ok := c.v.(string); ok {
		return catalog.ParsePerson(line(clean(s)))
	}
	return catalog.Person{
		Name:        line(c.get("name").text()),
		Given:       line(c.get("given").text()),
		Family:      line(c.get("family").text()),
		Affiliation: line(c.get("affiliation").text()),
		ORCID:       catalog.ParseORCID(c.get("orcid").text()),
		Email:       line(c.get("email").text()),
	}
}

// webURL returns s if it is the URL of a web page, or "".
func webURL(s string) string {
	if (strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://")) && !strings.ContainsAny(s, " \t\n\"<>\\^`{|}") {
		return s
	}
	return ""
}
