package standard

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/data-containers/cdb/internal/catalog"
)

// croissantContext is the context of Croissant 1.1, whole: validators compare
// it. Its prefixes are https where schema.org prints http, as they want it.
const croissantContext = `{"@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/", "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/", "dct": "http://purl.org/dc/terms/",
    "annotation": "cr:annotation", "arrayShape": "cr:arrayShape", "citeAs": "cr:citeAs", "column": "cr:column", "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn", "data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "equivalentProperty": "cr:equivalentProperty", "examples": {"@id": "cr:examples", "@type": "@json"}, "excludes": "cr:excludes",
    "extract": "cr:extract", "field": "cr:field", "fileProperty": "cr:fileProperty", "fileObject": "cr:fileObject", "fileSet": "cr:fileSet",
    "format": "cr:format", "includes": "cr:includes", "isArray": "cr:isArray", "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath",
    "key": "cr:key", "md5": "cr:md5", "parentField": "cr:parentField", "path": "cr:path", "recordSet": "cr:recordSet", "references": "cr:references",
    "regex": "cr:regex", "readLines": "cr:readLines", "repeated": "cr:repeated", "replace": "cr:replace", "samplingRate": "cr:samplingRate",
    "sdVersion": "cr:sdVersion", "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField", "transform": "cr:transform",
    "unArchive": "cr:unArchive", "value": "cr:value"}`

// writeCroissant writes Croissant 1.1. Up to maxObjects files are listed one by
// one, with URLs relative to the root of the data. A larger dataset is its
// packs, as they lie in an OCI layout, and a FileSet in them for each media
// type. Tables whose columns are known become RecordSets.
func writeCroissant(ctx context.Context, d *document) ([]string, error) {
	f, err := d.facts(ctx)
	if err != nil {
		return nil, err
	}
	j := newJSON(d.out)
	j.object("")
	j.raw("@context", croissantContext)
	j.str("@type", "sc:Dataset")
	j.str("conformsTo", "http://mlcommons.org/croissant/1.1")
	d.common(j, f, "sc:")
	j.str("datePublished", published(d.ds))
	j.str("citeAs", citation(d.ds))
	j.array("distribution")
	if d.ds.Files <= maxObjects {
		err = d.fileObjects(ctx, j)
	} else {
		err = d.fileSets(ctx, j, f)
	}
	if err != nil {
		return nil, err
	}
	j.end()
	recordSets(j, f)
	j.end()
	return missing(
		wanted{"a title", d.ds.Title != ""}, wanted{"a description", d.ds.Description != ""}, wanted{"a licence", licenseText(d.ds) != ""},
		wanted{"creators", len(d.ds.People()) > 0}, wanted{"a URL or a DOI", d.ds.URL != "" || d.ds.DOI() != ""},
		wanted{"the date of publication (that of the newest file stands for it)", d.ds.DatePublished != ""}), nil
}

func (d *document) fileObjects(ctx context.Context, j *jsonWriter) error {
	return d.files(ctx, func(e *catalog.Entry) error {
		fileObject(j, iriPath(e.Path), e.Path, d.opts.Base+iriPath(e.Path), mediaType(e), e.Size, hex.EncodeToString(e.SHA256[:]), nil)
		return nil
	})
}

func fileObject(j *jsonWriter, id, name, url, media string, size int64, sha256 string, in []string) {
	j.object("")
	j.str("@type", "cr:FileObject")
	j.str("@id", id)
	j.str("name", name)
	containedIn(j, in)
	j.str("contentUrl", url)
	j.str("contentSize", strconv.FormatInt(size, 10)+" B")
	j.str("encodingFormat", media)
	j.str("sha256", sha256)
	j.end()
}

// containedIn names the packs that something is in.
func containedIn(j *jsonWriter, packs []string) {
	if len(packs) == 0 {
		return
	}
	j.array("containedIn")
	for _, id := range packs {
		j.ref("", id)
	}
	j.end()
}

func (d *document) fileSets(ctx context.Context, j *jsonWriter, f *facts) error {
	packs, err := d.db.Packs(ctx)
	if err != nil {
		return err
	}
	var ids []string
	byPack := map[int]string{}
	for i := range packs {
		p := &packs[i]
		id := "#pack-" + strconv.Itoa(p.ID)
		ids, byPack[p.ID] = append(ids, id), id
		hex := strings.TrimPrefix(p.Digest, "sha256:")
		fileObject(j, id, "pack "+strconv.Itoa(p.ID), "blobs/sha256/"+hex, "application/x-tar", p.Size, hex, nil)
	}
	prefix := strings.Trim(d.ds.Prefix, "/")
	if prefix != "" {
		prefix += "/"
	}
	for _, m := range f.formats {
		j.object("")
		j.str("@type", "cr:FileSet")
		j.str("@id", "#files-"+iriPart(m.media))
		j.str("name", count(m.files, "file")+" of type "+m.media)
		containedIn(j, ids)
		j.str("encodingFormat", m.media)
		j.array("includes")
		for _, ext := range m.exts {
			j.str("", prefix+"*"+ext)
			j.str("", prefix+"**/*"+ext)
		}
		j.end()
		j.end()
	}
	for _, t := range f.tables {
		e, err := d.db.Lookup(ctx, t.path)
		if err != nil {
			return err
		}
		if e == nil || byPack[e.Pack] == "" {
			continue
		}
		fileObject(j, iriPath(t.path), t.path, prefix+t.path, t.media, t.size, t.sha256, []string{byPack[e.Pack]})
	}
	return nil
}

// recordSets describes the columns of tables. One without a header has none
// that a reader could find by name.
func recordSets(j *jsonWriter, f *facts) {
	open := false
	for _, t := range f.tables {
		if t.noHeader {
			continue
		}
		if !open {
			j.array("recordSet")
			open = true
		}
		id := "#rows/" + iriPath(t.path)
		j.object("")
		j.str("@type", "cr:RecordSet")
		j.str("@id", id)
		j.str("name", t.path)
		j.array("field")
		seen := map[string]bool{}
		for i, name := range t.names {
			if name == "" || seen[name] {
				continue
			}
			seen[name] = true
			j.object("")
			j.str("@type", "cr:Field")
			j.str("@id", id+"/"+iriPart(name))
			j.str("name", name)
			j.str("dataType", croissantType(t.typ(i)))
			j.object("source")
			j.ref("fileObject", iriPath(t.path))
			j.object("extract")
			j.str("column", name)
			j.end()
			j.end()
			j.end()
		}
		j.end()
		j.end()
	}
	if open {
		j.end()
	}
}

func croissantType(t string) string {
	switch t {
	case "boolean":
		return "sc:Boolean"
	case "integer":
		return "sc:Integer"
	case "number":
		return "sc:Float"
	case "date":
		return "sc:Date"
	case "datetime":
		return "sc:DateTime"
	}
	return "sc:Text"
}

// citation returns how the dataset is to be cited: as it says itself, or made
// of what is known; "" if not even who made it is.
func citation(ds *catalog.Dataset) string {
	if ds.Citation != "" {
		return ds.Citation
	}
	people := ds.People()
	if len(people) == 0 {
		return ""
	}
	var names []string
	for i := range people {
		names = append(names, people[i].Name)
	}
	when := "n.d."
	if ds.DatePublished != "" {
		when = year(ds)
	}
	s := strings.Join(names, ", ") + " (" + when + "). " + strings.TrimSuffix(datasetTitle(ds), ".") + "."
	if ds.Version != "" {
		s += " Version " + ds.Version + "."
	}
	if ds.Publisher != "" {
		s += " " + ds.Publisher + "."
	}
	if u := doiURL(ds); u != "" {
		return s + " " + u
	}
	return strings.TrimSpace(s + " " + ds.URL)
}

// year returns that of publication.
func year(ds *catalog.Dataset) string {
	if y := ds.DatePublished; len(y) >= 4 && strings.Trim(y[:4], "0123456789") == "" {
		return y[:4]
	}
	return ds.Created.UTC().Format("2006")
}
