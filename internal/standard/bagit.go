package standard

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// BagDeclaration is the content of bagit.txt (RFC 8493).
const BagDeclaration = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"

// writeManifest writes manifest-sha256.txt of a bag whose payload is the files
// of the dataset (RFC 8493, 2.1.3).
func writeManifest(ctx context.Context, d *document) ([]string, error) {
	names := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	return nil, d.files(ctx, func(e *catalog.Entry) error {
		_, err := fmt.Fprintf(d.out, "%s  data/%s\n", hex.EncodeToString(e.SHA256[:]), names.Replace(e.Path))
		return err
	})
}

// writeBagInfo writes bag-info.txt (RFC 8493, 2.2.2).
func writeBagInfo(_ context.Context, d *document) ([]string, error) {
	ds := d.ds
	put := func(label, value string) {
		if value = strings.Join(strings.Fields(value), " "); value != "" {
			fmt.Fprintf(d.out, "%s: %s\n", label, tree.Visible(value))
		}
	}
	put("Source-Organization", ds.Publisher)
	put("Contact-Name", ds.Contact.Name)
	put("Contact-Email", ds.Contact.Email)
	put("External-Description", cut(ds.Description, 5000))
	put("Bagging-Date", ds.Created.UTC().Format(time.DateOnly))
	for _, id := range identifiers(ds) {
		put("External-Identifier", id)
	}
	put("Bag-Size", size(ds.Bytes))
	put("Payload-Oxum", fmt.Sprintf("%d.%d", ds.Bytes, ds.Files))
	put("Title", ds.Title)
	put("Version", ds.Version)
	put("License", licenseText(ds))
	for _, p := range ds.People() {
		put("Creator", p.Name)
	}
	put("Bag-Software-Agent", ds.Generator)
	return nil, nil
}

// writeBIDS writes dataset_description.json (BIDS 1.11).
func writeBIDS(_ context.Context, d *document) ([]string, error) {
	const iri, newest = "https://bids-specification.readthedocs.io/en/v", "1.11.1"
	ds := d.ds
	version := newest
	for _, c := range ds.ConformsTo {
		if v, ok := strings.CutPrefix(strings.TrimSuffix(c, "/"), iri); ok {
			version = v
		}
	}
	j := newJSON(d.out)
	j.object("")
	j.str("Name", datasetTitle(ds))
	j.str("BIDSVersion", version)
	j.str("DatasetType", "raw")
	j.str("License", licenseText(ds))
	var authors []string
	for _, p := range ds.People() {
		authors = append(authors, p.Name)
	}
	j.strs("Authors", authors)
	j.strs("Keywords", ds.Keywords)
	j.str("HowToAcknowledge", ds.Citation)
	j.strs("Funding", ds.Funding)
	j.strs("ReferencesAndLinks", ds.References)
	if doi := ds.DOI(); doi != "" {
		j.str("DatasetDOI", "doi:"+doi)
	}
	j.end()
	return missing(wanted{"a title", ds.Title != ""}, wanted{"a licence", licenseText(ds) != ""}, wanted{"authors", len(authors) > 0}), nil
}
