package extract

import (
	"strings"
	"testing"
)

const (
	mediaCore = `<?xml version="1.0"?><cp:coreProperties xmlns:cp="c" xmlns:dc="d" xmlns:dcterms="t"><dc:title>Minutes &amp; more</dc:title>` +
		`<dc:creator>A. Person</dc:creator><dcterms:created>2020-01-02T03:04:05Z</dcterms:created></cp:coreProperties>`
	mediaApp = `<Properties><TotalTime>1</TotalTime><Pages>3</Pages><Words>450</Words></Properties>`
	mediaODF = `<office:document-meta xmlns:office="o" xmlns:meta="m" xmlns:dc="d"><office:meta><dc:title>Plan</dc:title><meta:initial-creator>A. Person</meta:initial-creator>` +
		`<meta:creation-date>2020-01-02T03:04:05</meta:creation-date><meta:document-statistic meta:page-count="2" meta:word-count="99" meta:table-count="4"/></office:meta></office:document-meta>`
	mediaJSON = `"author": "A. Person", "created": "2020-01-02T03:04:05`
)

func documentFixtures() []mediaFixture {
	return []mediaFixture{
		{"docx", "a.docx", mediaZip("", "[Content_Types].xml", "<Types/>", "word/document.xml", "<w/>", "docProps/core.xml", mediaCore, "docProps/app.xml", mediaApp),
			`{"format": "docx", "title": "Minutes & more", ` + mediaJSON + `Z", "pages": 3, "words": 450}`, documentTypes["docx"], ""},
		{"xlsx", "a", mediaZip("", "xl/workbook.xml", `<workbook><sheets><sheet name="a"/><sheet name="b"/></sheets></workbook>`),
			`{"format": "xlsx", "sheets": 2}`, documentTypes["xlsx"], ""},
		{"pptx", "a.pptx", mediaZip("", "ppt/presentation.xml", "<p/>", "ppt/slides/slide1.xml", "<p/>", "ppt/slides/slide2.xml", "<p/>", "ppt/slides/_rels/slide1.xml.rels", "<r/>"),
			`{"format": "pptx", "slides": 2}`, documentTypes["pptx"], ""},
		{"odt", "a.odt", mediaZip("", "mimetype", documentTypes["odt"], "meta.xml", mediaODF),
			`{"format": "odt", "title": "Plan", ` + mediaJSON + `", "pages": 2, "words": 99}`, documentTypes["odt"], ""},
		{"ods", "a", mediaZip("", "mimetype", documentTypes["ods"], "meta.xml", mediaODF),
			`{"format": "ods", "title": "Plan", ` + mediaJSON + `", "sheets": 4}`, documentTypes["ods"], ""},
		{"epub", "a.epub", mediaZip("", "mimetype", documentTypes["epub"], "META-INF/container.xml", `<container><rootfiles><rootfile full-path="O/c.opf"/></rootfiles></container>`,
			"O/c.opf", `<package><metadata xmlns:dc="d"><dc:title>Book</dc:title><dc:creator>A. Person</dc:creator></metadata></package>`),
			`{"format": "epub", "title": "Book", "author": "A. Person"}`, documentTypes["epub"], ""},
		{"nothing of it", "a.docx", mediaZip("", "a", "b"), `{}`, "application/zip", "no main part"},
		{"deep", "a.docx", mediaZip("", "word/document.xml", "<w/>", "docProps/core.xml", strings.Repeat("<a>", 80000)), `{"format": "docx"}`, documentTypes["docx"], ""},
		{"bomb", "a.docx", mediaZip("", "word/document.xml", "<w/>", "docProps/core.xml", "<a>"+strings.Repeat(" ", 64<<20)), `{"format": "docx"}`, documentTypes["docx"], ""},
	}
}

func TestDocument(t *testing.T) {
	fixtures := documentFixtures()
	mediaTest(t, documentFormat(), fixtures[:len(fixtures)-1])
	bomb := fixtures[len(fixtures)-1]
	if m, err := mediaRun(documentFormat(), bomb.path, bomb.data); string(m.AppendJSON(nil)) != bomb.want || err != nil {
		t.Errorf("bomb: %s, %v", m.AppendJSON(nil), err)
	}
}

// Other zip archives are archives.
func TestDocumentMatch(t *testing.T) {
	for _, b := range [][]byte{mediaZip("", "a", "b"), mediaZip("", "mimetype", "text/plain"), mediaZip("")} {
		if documentFormat().Match(mediaFile("a.zip", b)) {
			t.Errorf("%q matches", b)
		}
	}
}

func FuzzDocument(f *testing.F) { mediaFuzz(f, documentFormat(), documentFixtures()) }
