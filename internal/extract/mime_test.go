package extract

import (
	"strings"
	"testing"
)

func TestMediaType(t *testing.T) {
	for _, tc := range []struct{ path, data, want string }{
		{"a.txt", "", ""},
		{"a", "plain text\n", ""},
		{"a.txt", "Grüße\n", ""},
		{"a.txt", strings.Repeat("a", 255) + "ü and more", ""},
		{"a.txt", "# a comment\n1 2 3\n", ""},
		{"a.bin", "\x00\x01\x02\x03", ""},
		{"a.dat", "ORCHID,1\n", ""},
		{"README.MD", "# Title\n", "text/markdown"},
		{"a.md", "\x00\x01\x02", ""},
		{"dir.csv/a", "x,y\n", ""},
		{"a.csv", "x,y\n", "text/csv"},
		{"a", "<?xml version=\"1.0\"?><a/>", "text/xml"},
		{"a", "{\"a\": 1}", "application/json"},
		{"a", "#!/bin/sh\n", "text/x-shellscript"},
		{"a", "\x89HDF\r\n\x1a\n", "application/vnd.hdfgroup.hdf5"},
		{"a", strings.Repeat("\x00", 128) + "DICM", "application/dicom"},
		{"a", "PAR1\x15\x04", "application/vnd.apache.parquet"},
		{"a", "SQLite format 3\x00", "application/vnd.sqlite3"},
		{"a.exe", "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 64), "application/x-elf"},
		{"a", "\x00asm\x01\x00\x00\x00", "application/wasm"},
		{"a", "SIMPLE  =                    T", "application/fits"},
	} {
		if got := MediaType(mediaFile(tc.path, []byte(tc.data))); got != tc.want {
			t.Errorf("%s %.20q: got %q, want %q", tc.path, tc.data, got, tc.want)
		}
	}
}

func FuzzMediaType(f *testing.F) {
	f.Add("a.txt", []byte("text"))
	f.Add("a", []byte("\x89HDF\r\n\x1a\n"))
	f.Add("", []byte("<\xef\xbb\xbf"))
	f.Fuzz(func(t *testing.T, path string, data []byte) {
		MediaType(mediaFile(path, data))
	})
}

func BenchmarkMediaTypeText(b *testing.B) {
	f := mediaFile("sub-01/data.txt", []byte(strings.Repeat("some words of text\n", 50)))
	b.ReportAllocs()
	for b.Loop() {
		if MediaType(f) != "" {
			b.Fatal("plain text has a type")
		}
	}
}

func BenchmarkMediaTypeBinary(b *testing.B) {
	f := mediaFile("data.bin", []byte(strings.Repeat("\x00\x01\x02\x03", 1000)))
	b.ReportAllocs()
	for b.Loop() {
		MediaType(f)
	}
}

// What all formats of this group cost a file that none of them describes.
func BenchmarkMediaMatch(b *testing.B) {
	f := mediaFile("sub-01/data.txt", []byte(strings.Repeat("some words of text\n", 50)))
	formats := append(mediaFormats(Options{}), compressedFormats()...)
	b.ReportAllocs()
	for b.Loop() {
		for _, format := range formats {
			if format.Match(f) {
				b.Fatal("plain text matches")
			}
		}
	}
}

func BenchmarkMediaExtract(b *testing.B) {
	for _, fix := range append(imageFixtures(), pdfFixtures()...) {
		if fix.warn != "" || len(fix.data) > HeadSize {
			continue
		}
		format := imageFormat(Options{})
		if !format.Match(mediaFile(fix.path, fix.data)) {
			format = pdfFormat()
		}
		b.Run(fix.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = mediaRun(format, fix.path, fix.data)
			}
		})
	}
}
