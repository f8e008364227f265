package standard

import (
	"context"

	"github.com/data-containers/cdb/internal/catalog"
)

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
	r.optionalXML(x, ds)
	x.close("resource")
	return lacks, nil
}

// optionalXML writes what the schema allows.
func (r *record) optionalXML(x *xmlWriter, ds *catalog.Dataset) {
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
	x.rights(ds)
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
}

func (x *xmlWriter) rights(ds *catalog.Dataset) {
	if licenseText(ds) == "" {
		return
	}
	var attrs []string
	if u := licenseURL(ds); u != "" {
		attrs = append(attrs, "rightsURI", u)
	}
	if ds.License != "" {
		attrs = append(attrs, "rightsIdentifier", ds.License, "rightsIdentifierScheme", "SPDX", "schemeURI", "https://spdx.org/licenses/")
	}
	x.open("rightsList")
	x.leaf("rights", licenseText(ds), attrs...)
	x.close("rightsList")
}
