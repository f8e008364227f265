package describe

import (
	"errors"
	"strings"

	"github.com/data-containers/cdb/internal/catalog"
)

// readROCrate reads ro-crate-metadata.json (RO-Crate 1.0 to 1.3): the root
// data entity, and the entities that it refers to.
func readROCrate(b []byte) (*catalog.Dataset, error) {
	v, err := parseJSON(b)
	if err != nil {
		return nil, err
	}
	g := graph{}
	root := "./"
	for _, e := range (value{v.get("@graph").v}).all() {
		id := e.get("@id").text()
		if id == "" {
			continue
		}
		g[id] = e
		if strings.HasSuffix(id, "ro-crate-metadata.json") || strings.HasSuffix(id, "ro-crate-metadata.jsonld") {
			if about := e.get("about").get("@id").text(); about != "" {
				root = about
			}
		}
	}
	entity, ok := g[root]
	if !ok {
		return nil, errors.New("it has no root data entity")
	}
	ds := g.dataset(entity)
	for _, c := range entity.get("conformsTo").each() {
		if iri := c.get("@id").text(); iri != "" {
			ds.ConformsTo = append(ds.ConformsTo, iri)
		}
	}
	return ds, nil
}

// all returns all elements of an array.
func (v value) all() []value {
	list, _ := v.v.([]any)
	out := make([]value, len(list))
	for i := range list {
		out[i] = value{list[i]}
	}
	return out
}

// readCroissant reads croissant.json (Croissant 0.8 to 1.1).
func readCroissant(b []byte) (*catalog.Dataset, error) {
	v, err := parseJSON(b)
	if err != nil {
		return nil, err
	}
	ds := graph{}.dataset(v)
	if c := v.get("citeAs", "cr:citeAs").text(); c != "" {
		ds.Citation = c
	}
	return ds, nil
}

// readMaybeCroissant reads metadata.json, which is anything unless it says
// that it is Croissant.
func readMaybeCroissant(b []byte) (*catalog.Dataset, error) {
	v, err := parseJSON(b)
	if err != nil {
		return nil, nil
	}
	const iri = "mlcommons.org/croissant"
	is := strings.Contains(v.get("conformsTo", "dct:conformsTo").text(), iri)
	for _, c := range v.get("@context").each() {
		is = is || strings.Contains(c.get("cr").text(), iri)
	}
	if !is {
		return nil, nil
	}
	return readCroissant(b)
}

// readCodeMeta reads codemeta.json (CodeMeta 2, 3).
func readCodeMeta(b []byte) (*catalog.Dataset, error) {
	v, err := parseJSON(b)
	if err != nil {
		return nil, err
	}
	ds := graph{}.dataset(v)
	if u := webURL(v.get("codeRepository").text()); u != "" {
		ds.Source = append(ds.Source, u)
	}
	ds.References = append(ds.References, v.get("referencePublication").identifiers()...)
	return ds, nil
}

// A graph is the entities of a flat JSON-LD document by their @id.
type graph map[string]value

// resolve returns the entity that v refers to, or else v.
func (g graph) resolve(v value) value {
	if e, ok := g[v.get("@id").text()]; ok {
		return e
	}
	return v
}

// each returns what the elements of v refer to.
func (g graph) each(v value) []value {
	list := v.each()
	for i := range list {
		list[i] = g.resolve(list[i])
	}
	return list
}

// texts returns the text of what the elements of v refer to.
func (g graph) texts(v value) []string {
	var list []any
	for _, e := range g.each(v) {
		list = append(list, e.v)
	}
	return value{list}.texts()
}

// dataset reads a Dataset of schema.org.
func (g graph) dataset(v value) *catalog.Dataset {
	ds := &catalog.Dataset{
		Title:       line(v.get("name").text()),
		Description: v.get("description", "abstract").text(),
		Version:     v.get("version", "softwareVersion").text(),
	}
	for _, l := range v.get("license").each() {
		setLicense(ds, l.get("@id", "url").text())
		if ds.License == "" {
			setLicense(ds, g.resolve(l).text())
		}
	}
	for _, key := range []string{"creator", "author"} {
		for _, p := range g.each(v.get(key)) {
			if person := g.person(p); person.Name != "" {
				ds.Creators = append(ds.Creators, person)
			}
		}
		if len(ds.Creators) > 0 {
			break
		}
	}
	for _, p := range g.each(v.get("publisher")) {
		ds.Publisher = line(p.text())
		break
	}
	for _, p := range g.each(v.get("contactPoint", "maintainer")) {
		ds.Contact = g.person(p)
		break
	}
	ds.Keywords = v.get("keywords").words()
	for _, i := range g.each(v.get("identifier")) {
		ds.Identifiers = append(ds.Identifiers, i.identifiers()...)
	}
	ds.URL = webURL(v.get("url").text())
	ds.Citation = v.get("creditText").text()
	for _, r := range g.each(v.get("citation")) {
		if t := strings.TrimSpace(line(r.get("name").text()) + " " + r.get("@id", "url").text()); t != "" {
			ds.References = append(ds.References, t)
		} else if t := r.text(); t != "" {
			ds.References = append(ds.References, t)
		}
	}
	ds.Source = g.texts(v.get("isBasedOn"))
	ds.Funding = append(g.texts(v.get("funder")), g.texts(v.get("funding"))...)
	ds.DateCreated, ds.DatePublished, ds.DateModified = v.get("dateCreated").date(), v.get("datePublished").date(), v.get("dateModified").date()
	ds.Languages = g.texts(v.get("inLanguage"))
	ds.Spatial = g.texts(v.get("spatialCoverage"))
	ds.Temporal = v.get("temporalCoverage").text()
	return ds
}

// person reads a Person or an Organization.
func (g graph) person(v value) catalog.Person {
	if s, ok := v.v.(string); ok {
		return catalog.ParsePerson(line(clean(s)))
	}
	p := catalog.Person{
		Given:  line(v.get("givenName").text()),
		Family: line(v.get("familyName").text()),
		Email:  strings.TrimPrefix(line(v.get("email").text()), "mailto:"),
	}
	p.Name = line(v.get("name").text())
	if p.Name == "" {
		p.Name = line(p.Given + " " + p.Family)
	}
	for _, a := range g.each(v.get("affiliation")) {
		p.Affiliation = line(a.text())
		break
	}
	for _, k := range []string{"@id", "identifier", "url", "sameAs"} {
		if o := catalog.ParseORCID(v.get(k).text()); o != "" {
			p.ORCID = o
			break
		}
	}
	return p
}
