package extract

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/gabriel-vasile/mimetype"
)

// sniffSize is how much of a file its media type is told from, in bytes.
const sniffSize = 3 << 10

// MediaType returns the media type of a file that no format describes, by its
// first bytes and its name, or "" for plain text and for what is not known.
// It is cheap for text.
func MediaType(f *File) string {
	if len(f.Head) == 0 {
		return ""
	}
	head := f.Head[:min(len(f.Head), sniffSize)]
	text := isText(head)
	if t := scienceMagic(f, text); t != "" {
		return t
	}
	if text {
		if t := nameType(f.Path); t != "" || !hasStructure(head) {
			return t
		}
	}
	t := mimetype.Detect(head).String()
	t, _, _ = strings.Cut(t, ";")
	if t == "application/octet-stream" || t == "text/plain" {
		return ""
	}
	return t
}

// magics are what scientific and other formats begin with that other tables
// do not know. The registered names are IANA's, the others those in use.
var magics = []struct {
	off        int
	magic, typ string
	text       bool // it goes on as text
}{
	{0, "\x89HDF\r\n\x1a\n", "application/vnd.hdfgroup.hdf5", false},
	{0, "CDF\x01", "application/x-netcdf", false},
	{0, "CDF\x02", "application/x-netcdf", false},
	{0, "CDF\x05", "application/x-netcdf", false},
	{0, "\x0e\x03\x13\x01", "application/vnd.hdfgroup.hdf4", false},
	{0, "SIMPLE  =", "application/fits", true},
	{128, "DICM", "application/dicom", false},
	{344, "n+1\x00", "application/x-nifti", false},
	{344, "ni1\x00", "application/x-nifti", false},
	{4, "n+2\x00\r\n\x1a\n", "application/x-nifti", false},
	{0, "PAR1", "application/vnd.apache.parquet", false},
	{0, "ARROW1", "application/vnd.apache.arrow.file", false},
	{0, "FEA1", "application/vnd.apache.arrow.file", false},
	{0, "Obj\x01", "application/vnd.apache.avro", false},
	{0, "ORC", "application/x-orc", false},
	{0, "\x93NUMPY", "application/x-npy", false},
	{0, "MATLAB 5.0 MAT-file", "application/x-matlab-data", true},
	{0, "SQLite format 3\x00", "application/vnd.sqlite3", false},
	{0, "BAM\x01", "application/x-bam", false},
	{0, "CRAM", "application/x-cram", false},
	{0, "GRIB", "application/x-grib", false},
	{0, "BUFR", "application/x-bufr", false},
	{0, "NRRD000", "application/x-nrrd", true},
	{0, "0       ", "application/x-edf", true},
	{0, "\xffBIOSEMI", "application/x-bdf", false},
	{0, "$FL2", "application/x-spss-sav", false},
	{0, "<stata_dta>", "application/x-stata-dta", true},
	{0, "RDX3\n", "application/x-r-data", false},
	{0, "RDX2\n", "application/x-r-data", false},
}

// magicFirst says which first bytes begin a magic of offset 0.
var magicFirst = func() (first [256]bool) {
	for _, m := range magics {
		if m.off == 0 {
			first[m.magic[0]] = true
		}
	}
	return first
}()

func scienceMagic(f *File, text bool) string {
	begins := magicFirst[f.Head[0]]
	for i := range magics {
		m := &magics[i]
		if (m.off > 0 || begins) && (m.text || !text) && f.hasMagic(m.off, m.magic) {
			return m.typ
		}
	}
	return ""
}

// nameTypes are the media types of text with a structure, by the ending of the
// name: its content says less.
var nameTypes = map[string]string{
	"csv": "text/csv", "tsv": "text/tab-separated-values",
	"json": "application/json", "jsonld": "application/ld+json", "geojson": "application/geo+json",
	"ipynb": "application/x-ipynb+json", "jsonl": "application/jsonl", "ndjson": "application/x-ndjson",
	"yaml": "application/yaml", "yml": "application/yaml", "toml": "application/toml",
	"xml": "application/xml", "html": "text/html", "htm": "text/html", "svg": "image/svg+xml",
	"md": "text/markdown", "rst": "text/x-rst", "tex": "application/x-tex", "bib": "application/x-bibtex",
	"css": "text/css", "js": "text/javascript", "py": "text/x-python", "r": "text/x-r", "m": "text/x-matlab",
	"sh": "application/x-sh", "sql": "application/sql", "c": "text/x-c", "h": "text/x-c", "go": "text/x-go",
	"fasta": "text/x-fasta", "fa": "text/x-fasta", "fastq": "text/x-fastq", "fq": "text/x-fastq",
	"vcf": "text/x-vcf", "gff": "text/x-gff3", "gff3": "text/x-gff3", "gtf": "text/x-gtf", "bed": "text/x-bed",
	"sam": "text/x-sam", "pdb": "chemical/x-pdb", "cif": "chemical/x-cif", "mol": "chemical/x-mdl-molfile",
	"sdf": "chemical/x-mdl-sdfile", "ply": "application/x-ply", "obj": "model/obj", "gii": "application/x-gifti+xml",
	"rdf": "application/rdf+xml", "ttl": "text/turtle", "nt": "application/n-triples",
	"ics": "text/calendar", "eml": "message/rfc822",
}

// nameType returns the media type of the ending of a name.
func nameType(name string) string {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || len(name)-dot > 9 || strings.IndexByte(name[dot:], '/') >= 0 {
		return ""
	}
	var lower [8]byte
	n := copy(lower[:], name[dot+1:])
	for i, c := range lower[:n] {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c | 0x20
		}
	}
	return nameTypes[string(lower[:n])]
}

// sniffText is how much of a file is looked at to tell text from binary data,
// in bytes.
const sniffText = 256

// textBytes says which bytes text has, beside those of UTF-8.
var textBytes = func() (text [256]bool) {
	for c := range text {
		text[c] = c >= 0x20 && c != 0x7f
	}
	for _, c := range "\t\n\f\r\b\x1b" {
		text[c] = true
	}
	return text
}()

// isText says if b begins with text in UTF-8.
func isText(b []byte) bool {
	b = b[:min(len(b), sniffText)]
	high := byte(0)
	for _, c := range b {
		if !textBytes[c] {
			return false
		}
		high |= c
	}
	for i := 0; high >= 0x80 && !utf8.Valid(b); i++ { // its last character may be cut
		if i == utf8.UTFMax || len(b) == 0 {
			return false
		}
		b = b[:len(b)-1]
	}
	return true
}

// hasStructure says if text begins as markup, JSON, a program or a page
// description does: then it is worth a closer look.
func hasStructure(b []byte) bool {
	b = bytes.TrimLeft(b[:min(len(b), 32)], " \t\r\n\ufeff")
	if len(b) < 2 {
		return false
	}
	switch b[0] {
	case '<', '{', '[':
		return true
	case '#', '%':
		return b[1] == '!' || b[1] == 'P'
	}
	return false
}
