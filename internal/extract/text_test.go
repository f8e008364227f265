package extract_test

import (
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/data-containers/cdb/internal/extract"
)

// tableText describes data as text, in chunks of the given size.
func tableText(t testing.TB, data []byte, chunk int) string {
	t.Helper()
	format := tableFormat(tableFile("a.txt", data), true)
	if format == nil || format.Name != "text" {
		return "none"
	}
	m, err := tableDescribe(t, format, "a.txt", data, chunk)
	if err != nil {
		return string(m.AppendJSON(nil)) + " " + err.Error()
	}
	return string(m.AppendJSON(nil))
}

func encode16(s string, big bool) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		if big {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return string(b)
}

func TestText(t *testing.T) {
	tests := []struct{ data, want string }{
		{"avocado!\n", `{"lines": 1, "longest": 8, "encoding": "ascii", "newline": "lf"}`},
		{"no end", `{"lines": 1, "longest": 6, "encoding": "ascii"}`},
		{"a\r\nbcd\r\n\r\n", `{"lines": 3, "longest": 3, "encoding": "ascii", "newline": "crlf"}`},
		{"a\rbcd\r", `{"lines": 2, "longest": 3, "encoding": "ascii", "newline": "cr"}`},
		{"a\nb\r\nc", `{"lines": 3, "longest": 1, "encoding": "ascii", "newline": "mixed"}`},
		{"\n\n\n", `{"lines": 3, "longest": 0, "encoding": "ascii", "newline": "lf"}`},
		{"café 😀\n", `{"lines": 1, "longest": 10, "encoding": "utf-8", "newline": "lf"}`},
		{"\ufeffcafe\n", `{"lines": 1, "longest": 4, "encoding": "utf-8-bom", "newline": "lf"}`},
		{"caf\xe9\n", `{"lines": 1, "longest": 4, "encoding": "iso-8859-1", "newline": "lf"}`},
		{"\x93caf\xe9\x94\n", `{"lines": 1, "longest": 6, "encoding": "windows-1252", "newline": "lf"}`},
		{"cut \xc3", `{"lines": 1, "longest": 5, "encoding": "iso-8859-1"}`},
		{"\xff\xfe" + encode16("aĊb\r\ncc😀\r\n", false), `{"lines": 2, "longest": 8, "encoding": "utf-16le", "newline": "crlf"}`},
		{"\xfe\xff" + encode16("aĊ\nb", true), `{"lines": 2, "longest": 4, "encoding": "utf-16be", "newline": "lf"}`},
		{"\xff\xfea\x00b", `{"lines": 1, "longest": 2, "encoding": "utf-16le"} read text: its UTF-16 ends in half a character`},
		{strings.Repeat("x", 70_000) + "\x00\n", `{"lines": 1, "longest": 70001, "encoding": "binary", "newline": "lf"}`},
		{"a\x00b\n", "none"}, {"", "none"},
	}
	for _, tt := range tests {
		for _, chunk := range []int{1, 2, 3, 1 << 20} {
			if got := tableText(t, []byte(tt.data), chunk); got != tt.want {
				t.Errorf("%.20q in chunks of %d: %s, not %s", tt.data, chunk, got, tt.want)
			}
		}
	}
}

// Text is described on request alone.
func TestTextOnRequest(t *testing.T) {
	for _, format := range extract.Formats(extract.Options{}) {
		if (format.Name == "text") != format.OnRequest && format.Name == "text" {
			t.Errorf("%s is among the defaults", format.Name)
		}
	}
	if got := tableJSON(t, "a.txt", []byte("avocado!\n")); got != "none" {
		t.Errorf("a text file: %s", got)
	}
}

func TestTextTruncated(t *testing.T) {
	tableTruncations(t, "text", "a.txt", []byte("\ufeffcafé\r\nx\ny\r"), 1<<20)
	tableTruncations(t, "text", "a.txt", []byte("\xff\xfe"+encode16("aĊb\r\ncc😀\r\n", false)), 1<<20)
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"a\r\n\xc3\xa9\n", "\xff\xfea\x00\n\x00", "\x93\xe2\x82", "\r\r\n\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		want := tableText(t, data, 1<<20)
		for _, chunk := range []int{1, 5} {
			if got := tableText(t, data, chunk); got != want {
				t.Errorf("in chunks of %d: %s, not %s", chunk, got, want)
			}
		}
	})
}
