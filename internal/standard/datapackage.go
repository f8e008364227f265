package standard

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/data-containers/cdb/internal/catalog"
)

// writeDataPackage writes datapackage.json of Frictionless Data Package v2.
// Its resources are up to maxListed files, tables before all others if there
// are more. Files whose paths the standard does not allow are left out: those
// that begin with a dot, and names that are not UTF-8.
func writeDataPackage(ctx context.Context, d *document) ([]string, error) {
	ds := d.ds
	j := newJSON(d.out)
	j.object("")
	j.str("$schema", "https://datapackage.org/profiles/2.0/datapackage.json")
	j.str("name", slug(datasetTitle(ds), 60))
	j.str("id", packageID(ds))
	j.str("title", ds.Title)
	j.str("description", ds.Description)
	j.str("homepage", ds.URL)
	j.str("version", ds.Version)
	j.str("created", ds.Created.UTC().Format(time.RFC3339))
	if licenseText(ds) != "" {
		writePackageLicense(j, ds)
	}
	j.strs("keywords", ds.Keywords)
	writeContributors(j, ds)
	if len(ds.Source) > 0 {
		j.array("sources")
		for _, s := range ds.Source {
			j.object("")
			j.str("title", s)
			if isURL(s) {
				j.str("path", s)
			}
			j.end()
		}
		j.end()
	}
	n, left, err := d.resources(ctx, j)
	if err != nil {
		return nil, err
	}
	j.end()
	lacks := missing(wanted{"at least one file with a path it allows", n > 0})
	if left > 0 {
		lacks = append(lacks, count(left, "file")+" of the dataset, which it does not list")
	}
	return lacks, nil
}

func packageID(ds *catalog.Dataset) string {
	if u := doiURL(ds); u != "" {
		return u
	}
	return digestIRI(ds)
}

func writePackageLicense(j *jsonWriter, ds *catalog.Dataset) {
	j.array("licenses")
	j.object("")
	u := licenseURL(ds)
	switch {
	case ds.License != "" && !strings.ContainsAny(ds.License, " ()"):
		j.str("name", ds.License)
	case u == "":
		j.str("name", "other")
	}
	j.str("path", u)
	j.str("title", cut(licenseText(ds), 200))
	j.end()
	j.end()
}

func writeContributors(j *jsonWriter, ds *catalog.Dataset) {
	people := ds.People()
	if len(people) == 0 && ds.Publisher == "" && ds.Contact.IsZero() {
		return
	}
	one := func(p *catalog.Person, role string) {
		j.object("")
		j.str("title", p.Name)
		j.str("givenName", p.Given)
		j.str("familyName", p.Family)
		j.str("path", orcidURL(p))
		if strings.Count(p.Email, "@") == 1 && !strings.ContainsAny(p.Email, " <>()") {
			j.str("email", p.Email)
		}
		j.str("organization", p.Affiliation)
		j.strs("roles", []string{role})
		j.end()
	}
	j.array("contributors")
	for i := range people {
		one(&people[i], "creator")
	}
	if ds.Publisher != "" {
		one(&catalog.Person{Name: ds.Publisher}, "publisher")
	}
	if !ds.Contact.IsZero() {
		one(&ds.Contact, "contact")
	}
	j.end()
}

// resources writes the files, and returns how many it wrote and how many it
// left out.
func (d *document) resources(ctx context.Context, j *jsonWriter) (written, left int64, err error) {
	tables := int64(0)
	if d.ds.Files > maxListed {
		err := d.files(ctx, func(e *catalog.Entry) error {
			if allowed(e.Path) && tableOf(e) != nil {
				tables++
			}
			return nil
		})
		if err != nil {
			return 0, 0, err
		}
	}
	tables = min(tables, maxListed)
	others := maxListed - tables
	names := resourceNames{}
	j.array("resources")
	err = d.files(ctx, func(e *catalog.Entry) error {
		t := tableOf(e)
		quota := &others
		if t != nil && d.ds.Files > maxListed {
			quota = &tables
		}
		if !allowed(e.Path) || e.Path == "datapackage.json" || *quota == 0 {
			if e.Path != "datapackage.json" {
				left++
			}
			return nil
		}
		*quota--
		written++
		resource(j, e, t, names)
		return nil
	})
	j.end()
	return written, left, err
}

// allowed says if a resource can have this path: no hidden file, nothing that
// looks like one of the home of a user or like a URL.
func allowed(path string) bool {
	return utf8.ValidString(path) && !strings.ContainsAny(path[:1], ".~/") && !strings.Contains(path, "..") &&
		!strings.ContainsAny(path, "\\") && !strings.Contains(path, "://") && !strings.HasPrefix(path, "file:")
}

// resourceNames counts how often each name was wanted.
type resourceNames map[string]int

// take returns a name for a path that no other resource has.
func (n resourceNames) take(path string) string {
	base := slug(path, 200)
	name := base
	for n[name] > 0 {
		n[base]++
		name = base + "-" + strconv.Itoa(n[base])
	}
	n[name]++
	return name
}

func resource(j *jsonWriter, e *catalog.Entry, t *table, names resourceNames) {
	j.object("")
	j.str("name", names.take(e.Path))
	if t != nil {
		j.str("type", "table")
	}
	j.str("path", e.Path)
	j.str("mediatype", mediaType(e))
	j.num("bytes", e.Size)
	j.str("hash", "sha256:"+hex.EncodeToString(e.SHA256[:]))
	if t != nil {
		writeSchema(j, t)
	}
	j.end()
}

func writeSchema(j *jsonWriter, t *table) {
	if t.delimiter != "" && t.delimiter != "," || t.noHeader {
		j.object("dialect")
		j.str("delimiter", t.delimiter)
		if t.noHeader {
			j.raw("header", "false")
		}
		j.end()
	}
	j.object("schema")
	j.array("fields")
	for i, name := range t.names {
		j.object("")
		j.next("name")
		j.text(name)
		j.str("type", fieldType(t.typ(i)))
		j.end()
	}
	j.end()
	j.end()
}

func fieldType(t string) string {
	switch t {
	case "boolean", "integer", "number", "date", "datetime", "string":
		return t
	}
	return "any"
}

// slug returns s in the form of a name: lower case, digits and -._/, at most n
// bytes.
func slug(s string, n int) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		switch {
		case 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune("._/", r):
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= n {
			break
		}
	}
	if out := strings.Trim(b.String(), "-"); out != "" {
		return out
	}
	return "data"
}
