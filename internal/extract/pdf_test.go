package extract

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"
)

// mediaTestdata returns a file of testdata, which says how it was made.
func mediaTestdata(name string) []byte {
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		panic(err)
	}
	return b
}

// mediaLargePDF puts n bytes into the midst of a PDF file, behind the objects
// that are needed and before the cross-references.
func mediaLargePDF(n int) []byte {
	b := mediaTestdata("media-plain.pdf")
	i := bytes.Index(b, []byte("xref"))
	start := bytes.Index(b, []byte("startxref"))
	b = append(append(bytes.Clone(b[:i]), bytes.Repeat([]byte("%....\n\n\n"), n/8)...), b[i:start]...)
	return append(b, "startxref\n"+strconv.Itoa(i+n/8*8)+"\n%%EOF\n"...)
}

func pdfFixtures() []mediaFixture {
	plain := mediaTestdata("media-plain.pdf")
	info := `"title": "A (small) title", "author": "Gi\u00df", "subject": "Nothing", "creator": "an editor", "producer": "by hand", "created": "2020-01-02T03:04:05+02:00"`
	return []mediaFixture{
		{"table", "a.pdf", plain, `{"version": "1.4", "pages": 2, ` + info + `}`, "", ""},
		{"object streams", "a.pdf", mediaTestdata("media-objstm.pdf"), `{"version": "1.5", "pages": 2, ` + info + `}`, "", ""},
		{"linearised", "a.pdf", mediaTestdata("media-linearized.pdf"), `{"version": "1.4", "pages": 2, ` + info + `, "linearized": true}`, "", ""},
		{"encrypted", "a.pdf", mediaTestdata("media-encrypted.pdf"), `{"version": "1.7", "encrypted": true, "pages": 2}`, "", ""},
		{"encrypted object streams", "a.pdf", mediaTestdata("media-encrypted-objstm.pdf"), `{"version": "1.7", "encrypted": true}`, "", ""},
		{"blanks before", "a.pdf", append([]byte("\r\n"), plain...), `{"version": "1.4", "pages": 2, ` + info + `}`, "", ""},
		{"large", "a.pdf", mediaLargePDF(3 << 20), `{"version": "1.4", "pages": 2, ` + info + `}`, "", ""},
		{"no end", "a.pdf", plain[:len(plain)-30], `{"version": "1.4"}`, "", "no cross-reference"},
		{"wrong offset", "a.pdf", bytes.Replace(plain, []byte("startxref\n"), []byte("startxref\n9"), 1), `{"version": "1.4"}`, "", "beyond the end"},
	}
}

func TestPDF(t *testing.T) { mediaTest(t, pdfFormat(), pdfFixtures()) }

func FuzzPDF(f *testing.F) { mediaFuzz(f, pdfFormat(), pdfFixtures()) }

func TestPDFObjects(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want any // nil for an error
	}{
		{"/A#20B", pdfName("A B")},
		{"(a\\(b\\051 (c) \\\nd\\n)", pdfString("a(b) (c) d\n")},
		{"<48 65 6>", pdfString("He`")},
		{"12 0 R", pdfRef{12, 0}},
		{"-1.5", -1.5},
		{"true", true},
		{"(open", nil},
		{"<< /A", nil},
		{"<< 1 2 >>", nil},
		{strings.Repeat("[", 10000), nil},
	} {
		v, err := (&pdfParser{b: []byte(tc.in)}).object(0)
		if tc.want == nil {
			if err == nil {
				t.Errorf("%.20q: got %v, want an error", tc.in, v)
			}
			continue
		}
		if s, ok := tc.want.(pdfString); ok {
			if got, _ := v.(pdfString); !bytes.Equal(got, s) {
				t.Errorf("%q: got %q, want %q", tc.in, v, s)
			}
		} else if v != tc.want {
			t.Errorf("%q: got %v, want %v", tc.in, v, tc.want)
		}
	}
}

// A stream that grows a thousandfold is not followed.
func TestPDFBomb(t *testing.T) {
	r := &pdfReader{}
	bomb := mediaZlib(make([]byte, maxPDFInflate+1))
	if _, err := r.inflate(bomb, nil); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v", err)
	}
}
