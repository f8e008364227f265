package extract

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"
)

// pdfFormat describes PDF documents by their catalogs; their text is not read.
func pdfFormat() *Format {
	return &Format{
		Name:      "pdf",
		Version:   1,
		MediaType: "application/pdf",
		Keys: []Key{
			{"version", "string", "", "version of PDF, such as 1.7"},
			{"pages", "integer", "", "pages"},
			{"title", "string", "", "title"},
			{"author", "string", "", "author"},
			{"subject", "string", "", "subject"},
			{"creator", "string", "", "program that the document was made with"},
			{"producer", "string", "", "program that wrote the PDF"},
			{"created", "string", "", "when it was made, as 2006-01-02T15:04:05+02:00"},
			{"encrypted", "boolean", "", "it is encrypted: only its version and perhaps its pages are told"},
			{"linearized", "boolean", "", "it is laid out for the web"},
		},
		Match:   func(f *File) bool { return pdfHeader(f.Head) >= 0 },
		Tail:    true,
		Extract: extractPDF,
	}
}

// pdfHeader returns where the header is, within the first KiB, or -1.
func pdfHeader(head []byte) int {
	if bytes.HasPrefix(head, []byte("%PDF-")) {
		return 0
	}
	if len(head) > 0 && head[0] != 0 && head[0] != '\r' && head[0] != '\n' && head[0] != 0xef {
		return -1 // only blanks and a byte order mark are seen before it
	}
	return bytes.Index(head[:min(len(head), 1024)], []byte("%PDF-"))
}

func extractPDF(f *File, m *Meta) error {
	base := pdfHeader(f.Head)
	version := f.Head[base+5 : min(base+8, len(f.Head))]
	if len(version) == 3 && version[1] == '.' {
		m.setText("version", version)
	}
	r := &pdfReader{f: f, base: int64(base), streams: map[int][]byte{}}
	linearPages, linear := r.linearized()
	err := r.readSections()
	if err == nil {
		err = r.describe(m)
	}
	if m.Get("pages") == nil && linearPages > 0 {
		m.Set("pages", linearPages)
		err = unlessEncrypted(m, err)
	}
	if linear {
		m.Set("linearized", true)
	}
	return reading("PDF", unlessEncrypted(m, unlessBeyond(err)))
}

// unlessEncrypted drops the error that objects of an encrypted file make no
// sense.
func unlessEncrypted(m *Meta, err error) error {
	if m.Get("encrypted") == true {
		return nil
	}
	return err
}

// linearized returns the pages that the first object of a linearised file
// tells, and if the file is one.
func (r *pdfReader) linearized() (pages int64, ok bool) {
	p := &pdfParser{b: r.f.upTo(r.base, 1024)}
	v, err := r.indirect(p)
	if err != nil {
		return 0, false
	}
	dict, _ := v.(pdfDict)
	if _, ok := dict["Linearized"]; !ok {
		return 0, false
	}
	n, _ := dict["N"].(float64)
	return int64(max(0, min(n, 1<<31))), true
}

// describe sets what the catalog and the document information say.
func (r *pdfReader) describe(m *Meta) error {
	encrypted := r.trailer["Encrypt"] != nil
	if encrypted {
		m.Set("encrypted", true)
	}
	var errs []error
	root, err := r.dict(r.trailer["Root"])
	if err == nil {
		if v, ok := root["Version"].(pdfName); ok && len(v) == 3 {
			m.setText("version", []byte(v))
		}
		err = r.pages(root, m)
	}
	errs = append(errs, err)
	if !encrypted && r.trailer["Info"] != nil {
		info, err := r.dict(r.trailer["Info"])
		errs = append(errs, err)
		r.info(info, m)
	}
	for _, err := range errs {
		if unlessBeyond(err) != nil {
			return err
		}
	}
	return nil
}

func (r *pdfReader) pages(root pdfDict, m *Meta) error {
	tree, err := r.dict(root["Pages"])
	if err != nil {
		return fmt.Errorf("the tree of pages: %w", err)
	}
	v, err := r.get(tree["Count"])
	if err != nil {
		return err
	}
	n, ok := v.(float64)
	if !ok || n < 0 || n > 1<<31 {
		return errors.New("the tree of pages has no count")
	}
	m.Set("pages", int64(n))
	return nil
}

func (r *pdfReader) info(info pdfDict, m *Meta) {
	text := func(name pdfName) string {
		v, _ := r.get(info[name])
		s, _ := v.(pdfString)
		return pdfText(s)
	}
	m.SetString("title", text("Title"))
	m.SetString("author", text("Author"))
	m.SetString("subject", text("Subject"))
	m.SetString("creator", text("Creator"))
	m.SetString("producer", text("Producer"))
	m.SetString("created", pdfTime(text("CreationDate")))
}

// pdfText decodes a text string: UTF-16 or UTF-8 with a byte order mark, else
// PDFDocEncoding, which is taken for Latin-1 (ISO 32000-2, section 7.9.2).
func pdfText(s pdfString) string {
	switch {
	case bytes.HasPrefix(s, []byte("\xfe\xff")), bytes.HasPrefix(s, []byte("\xff\xfe")):
		order := binary.ByteOrder(binary.BigEndian)
		if s[0] == 0xff {
			order = binary.LittleEndian
		}
		return utf16Text(s[2:], order)
	case bytes.HasPrefix(s, []byte("\xef\xbb\xbf")):
		s = s[3:]
	}
	return cleanText(s)
}

// utf16Text decodes UTF-16.
func utf16Text(b []byte, order binary.ByteOrder) string {
	var units []uint16
	for ; len(b) >= 2 && len(units) < maxText; b = b[2:] {
		units = append(units, order.Uint16(b))
	}
	return cleanText([]byte(string(utf16.Decode(units))))
}

// pdfTime turns D:20200102030405+02'00' into ISO 8601, "" if it is no time.
func pdfTime(s string) string {
	s = strings.ReplaceAll(strings.TrimPrefix(s, "D:"), "'", "")
	for _, layout := range []string{"20060102150405-0700", "20060102150405Z0700", "20060102150405Z", "20060102150405"} {
		t, err := time.Parse(layout, s)
		switch {
		case err != nil:
			continue
		case layout == "20060102150405":
			return t.Format("2006-01-02T15:04:05")
		}
		return t.Format(time.RFC3339)
	}
	return ""
}
