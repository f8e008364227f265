package standard

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// writeROCrate writes ro-crate-metadata.json of RO-Crate 1.2, for a crate whose
// root is the root of the data. Up to maxListed files are listed one by one;
// of a larger dataset it is the folders and files in the root, as many.
func writeROCrate(ctx context.Context, d *document) ([]string, error) {
	j := newJSON(d.out)
	j.object("")
	j.str("@context", "https://w3id.org/ro/crate/1.2/context")
	j.array("@graph")
	j.object("")
	j.str("@id", "ro-crate-metadata.json")
	j.str("@type", "CreativeWork")
	j.ref("about", "./")
	j.ref("conformsTo", "https://w3id.org/ro/crate/1.2")
	j.end()
	c := &crate{document: d, j: j}
	if err := c.root(ctx); err != nil {
		return nil, err
	}
	c.entities()
	if err := c.parts(ctx, c.part); err != nil {
		return nil, err
	}
	j.end()
	j.end()
	return missing(
		wanted{"a title", d.ds.Title != ""}, wanted{"a description", d.ds.Description != ""}, wanted{"a licence", licenseText(d.ds) != ""},
		wanted{"creators", len(d.ds.People()) > 0},
		wanted{"the date of publication (that of the newest file stands for it)", d.ds.DatePublished != ""}), nil
}

type crate struct {
	*document
	j *jsonWriter
}

const licenseEntity = "#licence"

// licenseID returns the @id of the licence, or "" if none is known.
func (c *crate) licenseID() string {
	if u := licenseURL(c.ds); u != "" {
		return u
	}
	if licenseText(c.ds) != "" {
		return licenseEntity
	}
	return ""
}

func personID(p *catalog.Person, n int) string {
	if u := orcidURL(p); u != "" {
		return u
	}
	return "#creator-" + strconv.Itoa(n+1)
}

// root writes the root data entity.
func (c *crate) root(ctx context.Context) error {
	ds, j := c.ds, c.j
	j.object("")
	j.str("@id", "./")
	j.str("@type", "Dataset")
	j.str("name", datasetTitle(ds))
	description := ds.Description
	if description == "" {
		description = "A dataset of " + count(ds.Files, "file") + " (" + size(ds.Bytes) + ")."
	}
	j.str("description", description)
	j.str("datePublished", published(ds))
	j.str("dateCreated", ds.DateCreated)
	j.str("dateModified", modified(ds))
	if id := c.licenseID(); id != "" {
		j.ref("license", id)
	}
	j.str("version", ds.Version)
	j.str("url", ds.URL)
	j.strs("identifier", identifiers(ds))
	j.strs("keywords", ds.Keywords)
	j.str("creditText", ds.Citation)
	j.strs("inLanguage", ds.Languages)
	j.strs("spatialCoverage", ds.Spatial)
	j.str("temporalCoverage", ds.Temporal)
	j.strs("isBasedOn", ds.Source)
	j.strs("citation", ds.References)
	j.strs("funding", ds.Funding)
	c.refs("author", people(ds), personID)
	if ds.Publisher != "" {
		j.ref("publisher", "#publisher")
	}
	if !ds.Contact.IsZero() {
		j.ref("maintainer", "#contact")
	}
	if len(ds.ConformsTo) > 0 {
		j.array("conformsTo")
		for _, iri := range ds.ConformsTo {
			if isURL(iri) {
				j.ref("", iri)
			}
		}
		j.end()
	}
	j.array("hasPart")
	err := c.parts(ctx, func(e *catalog.Entry) { j.ref("", partID(e)) })
	j.end()
	j.end()
	return err
}

// people returns those who made the dataset, each ORCID once.
func people(ds *catalog.Dataset) []catalog.Person {
	var list []catalog.Person
	seen := map[string]bool{}
	for _, p := range ds.People() {
		if p.ORCID == "" || !seen[p.ORCID] {
			list = append(list, p)
		}
		seen[p.ORCID] = true
	}
	return list
}

func (c *crate) refs(key string, list []catalog.Person, id func(*catalog.Person, int) string) {
	if len(list) == 0 {
		return
	}
	c.j.array(key)
	for i := range list {
		c.j.ref("", id(&list[i], i))
	}
	c.j.end()
}

// entities writes what the root refers to, files apart.
func (c *crate) entities() {
	ds, j := c.ds, c.j
	if id := c.licenseID(); id != "" {
		j.object("")
		j.str("@id", id)
		j.str("@type", "CreativeWork")
		j.str("name", cut(strings.Join(strings.Fields(licenseText(ds)), " "), 100))
		j.str("description", "The terms under which the dataset may be used: "+licenseText(ds))
		j.end()
	}
	var orgs []string
	for i, p := range people(ds) {
		org := c.person(personID(&p, i), &p, len(orgs))
		orgs = append(orgs, org...)
	}
	if !ds.Contact.IsZero() {
		orgs = append(orgs, c.person("#contact", &ds.Contact, len(orgs))...)
	}
	for i, name := range orgs {
		c.organization("#organization-"+strconv.Itoa(i+1), name)
	}
	if ds.Publisher != "" {
		c.organization("#publisher", ds.Publisher)
	}
	for _, iri := range ds.ConformsTo {
		if isURL(iri) {
			j.object("")
			j.str("@id", iri)
			j.str("@type", "CreativeWork")
			j.str("name", iri)
			j.end()
		}
	}
}

// person writes somebody, whose affiliation, which is returned, is the n-th
// organisation.
func (c *crate) person(id string, p *catalog.Person, n int) []string {
	j := c.j
	j.object("")
	j.str("@id", id)
	j.str("@type", "Person")
	j.str("name", p.Name)
	j.str("givenName", p.Given)
	j.str("familyName", p.Family)
	j.str("email", p.Email)
	var orgs []string
	if p.Affiliation != "" {
		j.ref("affiliation", "#organization-"+strconv.Itoa(n+1))
		orgs = append(orgs, p.Affiliation)
	}
	j.end()
	return orgs
}

func (c *crate) organization(id, name string) {
	c.j.object("")
	c.j.str("@id", id)
	c.j.str("@type", "Organization")
	c.j.str("name", name)
	c.j.end()
}

// parts calls f for what is listed. A crate that lies in the data describes
// itself, and is no part of itself.
func (c *crate) parts(ctx context.Context, f func(*catalog.Entry)) error {
	const descriptor = "ro-crate-metadata.json"
	if c.ds.Files <= maxListed {
		return c.files(ctx, func(e *catalog.Entry) error {
			if e.Path != descriptor {
				f(e)
			}
			return nil
		})
	}
	n := 0
	for e, err := range c.db.Children(ctx, "") {
		if err != nil {
			return err
		}
		if e.Type != tree.Symlink && e.Path != descriptor {
			f(e)
			if n++; n == maxListed {
				break
			}
		}
	}
	return nil
}

func partID(e *catalog.Entry) string {
	if e.Type == tree.Dir {
		return iriPath(e.Path) + "/"
	}
	return iriPath(e.Path)
}

// part writes a data entity.
func (c *crate) part(e *catalog.Entry) {
	j := c.j
	j.object("")
	j.str("@id", partID(e))
	if e.Type == tree.Dir {
		j.str("@type", "Dataset")
		j.str("name", e.Path)
		j.end()
		return
	}
	j.str("@type", "File")
	j.str("name", e.Path)
	j.str("encodingFormat", mediaType(e))
	j.str("contentSize", strconv.FormatInt(e.Size, 10))
	j.str("dateModified", e.ModTime.UTC().Format(time.RFC3339))
	j.str("sha256", hex.EncodeToString(e.SHA256[:]))
	j.end()
}
