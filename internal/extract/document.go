package extract

import (
	"encoding/xml"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// documentFormat describes documents of offices and books that are zip
// archives: Office Open XML (ECMA-376), OpenDocument (ISO/IEC 26300), EPUB.
func documentFormat() *Format {
	return &Format{
		Name:    "document",
		Version: 1,
		Keys: []Key{
			{"format", "string", "", "docx, xlsx, pptx, odt, ods, odp or epub"},
			{"title", "string", "", "title"},
			{"author", "string", "", "who made it"},
			{"created", "string", "", "when it was made, as the document has it"},
			{"pages", "integer", "", "pages of a text, as its writer counted them"},
			{"words", "integer", "", "words of a text, as its writer counted them"},
			{"sheets", "integer", "", "sheets of a workbook"},
			{"slides", "integer", "", "slides of a presentation"},
		},
		Match:   isDocument,
		Tail:    true, // the directory of zip
		Extract: extractDocument,
	}
}

// isDocument says if f is a zip archive that begins as a document does, or is
// named like one.
func isDocument(f *File) bool {
	if !f.hasMagic(0, "PK\x03\x04") {
		return false
	}
	if f.HasSuffix(".docx", ".docm", ".xlsx", ".xlsm", ".pptx", ".pptm", ".odt", ".ods", ".odp", ".epub") {
		return true
	}
	name := string(f.upTo(30, 64))
	if kind, ok := strings.CutPrefix(name, "mimetype"); ok {
		return strings.HasPrefix(kind, "application/vnd.oasis.opendocument.") || strings.HasPrefix(kind, "application/epub+zip")
	}
	for _, begin := range []string{"[Content_Types].xml", "_rels/.rels", "docProps/", "word/", "xl/", "ppt/"} {
		if strings.HasPrefix(name, begin) {
			return true
		}
	}
	return false
}

const officeType = "application/vnd.openxmlformats-officedocument."

// documentTypes are the media types of documents by their format.
var documentTypes = map[string]string{
	"docx": officeType + "wordprocessingml.document",
	"xlsx": officeType + "spreadsheetml.sheet",
	"pptx": officeType + "presentationml.presentation",
	"odt":  "application/vnd.oasis.opendocument.text",
	"ods":  "application/vnd.oasis.opendocument.spreadsheet",
	"odp":  "application/vnd.oasis.opendocument.presentation",
	"epub": "application/epub+zip",
}

// officeParts are the main parts of Office Open XML.
var officeParts = map[string]string{"word/document.xml": "docx", "xl/workbook.xml": "xlsx", "ppt/presentation.xml": "pptx"}

// documentParts are the members of documents that are read.
var documentParts = []string{
	"mimetype", "docProps/core.xml", "docProps/app.xml", "xl/workbook.xml", "meta.xml", "META-INF/container.xml",
}

// A documentReader reads the parts of a document.
type documentReader struct {
	dir    *zipDirectory
	parts  map[string]zipEntry
	format string
	slides int
	m      *Meta
}

func extractDocument(f *File, m *Meta) error {
	r := &documentReader{parts: map[string]zipEntry{}, m: m}
	err := r.read(f)
	if m.mediaType == "" {
		m.SetMediaType("application/zip")
	}
	return reading("document", unlessBeyond(err))
}

func (r *documentReader) read(f *File) error {
	var err error
	if r.dir, err = readZipDirectory(f); err != nil {
		return err
	}
	if r.dir.body == nil {
		return ErrBeyond
	}
	err = r.dir.each(func(e zipEntry) bool {
		if slices.Contains(documentParts, e.name) {
			r.parts[e.name] = e
		}
		if strings.HasPrefix(e.name, "ppt/slides/slide") && strings.HasSuffix(e.name, ".xml") {
			r.slides++
		}
		if kind := officeParts[e.name]; kind != "" {
			r.format = kind
		}
		return true
	})
	if err != nil {
		return err
	}
	if kind := string(r.part("mimetype")); kind != "" {
		for name, typ := range documentTypes {
			if strings.TrimSpace(kind) == typ {
				r.format = name
			}
		}
	}
	if r.format == "" {
		return errors.New("it has no main part")
	}
	r.m.Set("format", r.format)
	r.m.SetMediaType(documentTypes[r.format])
	r.describe()
	return nil
}

// part returns a part that is read, nil where it cannot be had.
func (r *documentReader) part(name string) []byte {
	e, ok := r.parts[name]
	if !ok {
		return nil
	}
	b, err := r.dir.member(e)
	if err != nil {
		return nil
	}
	return b
}

func (r *documentReader) describe() {
	switch r.format {
	case "docx", "xlsx", "pptx":
		r.common(r.part("docProps/core.xml"))
		if r.format == "docx" {
			r.counts(r.part("docProps/app.xml"))
		}
		if r.format == "xlsx" {
			r.sheets(r.part("xl/workbook.xml"))
		}
		if r.format == "pptx" {
			r.m.Set("slides", r.slides)
		}
	case "epub":
		r.common(r.packageDocument())
	default:
		r.common(r.part("meta.xml"))
	}
}

// common sets what Dublin Core elements say, and the statistics of
// OpenDocument.
func (r *documentReader) common(b []byte) {
	eachElement(b, func(e xml.StartElement, text []byte) bool {
		key := ""
		switch e.Name.Local {
		case "title":
			key = "title"
		case "creator", "initial-creator":
			key = "author"
		case "created", "creation-date":
			key = "created"
		case "document-statistic":
			r.statistics(e.Attr)
		}
		if key != "" && r.m.Get(key) == nil {
			r.m.setText(key, text)
		}
		return true
	})
}

// statistics sets the counts of OpenDocument.
func (r *documentReader) statistics(attrs []xml.Attr) {
	for _, a := range attrs {
		switch {
		case r.format == "odt" && a.Name.Local == "page-count":
			r.count("pages", a.Value)
		case r.format == "odt" && a.Name.Local == "word-count":
			r.count("words", a.Value)
		case r.format == "ods" && a.Name.Local == "table-count":
			r.count("sheets", a.Value)
		}
	}
}

// counts sets the counts of Office Open XML.
func (r *documentReader) counts(b []byte) {
	eachElement(b, func(e xml.StartElement, text []byte) bool {
		switch e.Name.Local {
		case "Pages":
			r.count("pages", string(text))
		case "Words":
			r.count("words", string(text))
		}
		return true
	})
}

func (r *documentReader) count(key, value string) {
	if n, err := strconv.ParseInt(value, 10, 64); err == nil && n > 0 {
		r.m.Set(key, n)
	}
}

// sheets counts the sheets of a workbook.
func (r *documentReader) sheets(b []byte) {
	n := 0
	eachElement(b, func(e xml.StartElement, _ []byte) bool {
		if e.Name.Local == "sheet" {
			n++
		}
		return true
	})
	setPositive(r.m, "sheets", n)
}

// packageDocument returns the part that describes a book.
func (r *documentReader) packageDocument() []byte {
	name := ""
	eachElement(r.part("META-INF/container.xml"), func(e xml.StartElement, _ []byte) bool {
		for _, a := range e.Attr {
			if e.Name.Local == "rootfile" && a.Name.Local == "full-path" {
				name = a.Value
			}
		}
		return name == ""
	})
	if name == "" {
		return nil
	}
	_ = r.dir.each(func(e zipEntry) bool {
		if e.name == name {
			r.parts[name] = e
		}
		return e.name != name
	})
	return r.part(name)
}
