package extract

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// mediaZip makes a zip archive of names and contents.
func mediaZip(comment string, members ...string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	err := w.SetComment(comment)
	for i := 0; i < len(members); i += 2 {
		name, text := members[i], []byte(members[i+1])
		create := w.CreateHeader
		h := &zip.FileHeader{Name: name, Method: zip.Deflate}
		if name == "mimetype" || name == "stored" { // without a descriptor behind it
			h = &zip.FileHeader{
				Name: name, CRC32: crc32.ChecksumIEEE(text),
				UncompressedSize64: uint64(len(text)), CompressedSize64: uint64(len(text)),
			}
			create = w.CreateRaw
		}
		m, e := create(h)
		err = errors.Join(err, e)
		if m != nil {
			_, e = m.Write(text)
			err = errors.Join(err, e)
		}
	}
	return mediaMust(b, errors.Join(err, w.Close()))
}

func mediaGzip(b []byte, name string) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Name = name
	if name != "" {
		w.ModTime = time.Unix(1577934245, 0)
	}
	_, err := w.Write(b)
	return mediaMust(out, errors.Join(err, w.Close()))
}

func mediaZstd(b []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(b, nil)
}

// mediaTar makes a tar archive with all that the writer knows.
func mediaTar(format tar.Format) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	var err error
	for _, h := range []tar.Header{
		{Typeflag: tar.TypeDir, Name: "d/"},
		{Typeflag: tar.TypeReg, Name: "d/" + strings.Repeat("long/", 60) + "a", Size: 700},
		{Typeflag: tar.TypeReg, Name: "empty"},
		{Typeflag: tar.TypeSymlink, Name: "s", Linkname: "d"},
		{Typeflag: tar.TypeReg, Name: "b", Size: 512},
	} {
		h.Format = format
		err = errors.Join(err, w.WriteHeader(&h))
		_, e := w.Write(make([]byte, h.Size))
		err = errors.Join(err, e)
	}
	return mediaMust(b, errors.Join(err, w.Close()))
}

// mediaTarHeader makes a header by hand.
func mediaTarHeader(kind byte, size string, more func(h []byte)) []byte {
	h := make([]byte, tarBlock)
	copy(h, "name")
	copy(h[124:], size)
	copy(h[148:], "        ")
	h[156] = kind
	copy(h[257:], "ustar\x0000")
	if more != nil {
		more(h)
	}
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], []byte{'0' + byte(sum>>15&7), '0' + byte(sum>>12&7), '0' + byte(sum>>9&7), '0' + byte(sum>>6&7), '0' + byte(sum>>3&7), '0' + byte(sum&7), 0})
	return h
}

// mediaSparse is a member with holes in the way of GNU, with one more block of
// its map, then another member whose size a pax header has.
func mediaSparse() []byte {
	b := mediaTarHeader('S', "00000001000", func(h []byte) {
		copy(h[482:], "\x0100000100000")
	})
	b = append(b, make([]byte, tarBlock)...)                   // its map goes on
	b = append(b, bytes.Repeat([]byte("data"), tarBlock/4)...) // what is no hole
	b = append(b, mediaTarHeader('x', "00000000013", nil)...)
	b = append(b, "11 size=513"...)
	b = append(b, make([]byte, tarBlock-11)...)
	b = append(b, mediaTarHeader('0', "00000000000", nil)...)
	return append(b, make([]byte, 4*tarBlock)...)
}

func archiveFixtures() []mediaFixture {
	plain := mediaZip("a comment", "a", strings.Repeat("a", 1000), "d/", "", "b", "bb")
	encrypted := mediaZip("", "a", "secret")
	encrypted[bytes.Index(encrypted, []byte("PK\x01\x02"))+8] |= 1
	zip64 := mediaZip("", "a", "12345")
	i := bytes.Index(zip64, []byte("PK\x05\x06"))
	dir := bytes.Index(zip64, []byte("PK\x01\x02"))
	record := append([]byte("PK\x06\x06"), make([]byte, 28)...)
	for _, n := range []int{1, i - dir, dir} {
		record = binary.LittleEndian.AppendUint64(record, uint64(n))
	}
	record = append(record, "PK\x06\x07\x00\x00\x00\x00"...)
	record = append(binary.LittleEndian.AppendUint64(record, uint64(i)), 1, 0, 0, 0)
	zip64 = mediaInsert(zip64, i, record...)
	copy(zip64[len(zip64)-14:], "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
	counted := `"members": 5, "bytes": 1212}`
	gnu := mediaTar(tar.FormatGNU)
	damaged := bytes.Clone(gnu)
	damaged[len(damaged)-4*tarBlock] ^= 1
	return []mediaFixture{
		{"zip", "a.zip", plain, `{"format": "zip", "members": 3, "bytes": 1002}`, "application/zip", ""},
		{"zip behind a program", "a", append([]byte("PK\x03\x04 program "), plain...), `{"format": "zip", "members": 3, "bytes": 1002}`, "application/zip", ""},
		{"zip encrypted", "a.zip", encrypted, `{"format": "zip", "members": 1, "bytes": 6, "encrypted": true}`, "application/zip", ""},
		{"zip of none", "a.zip", mediaZip(""), `{"format": "zip", "members": 0, "bytes": 0}`, "application/zip", ""},
		{"zip, 64 bits", "a.zip", zip64, `{"format": "zip", "members": 1, "bytes": 5}`, "application/zip", ""},
		{"zip, large", "a.zip", mediaZip("", "stored", strings.Repeat("x", 3<<20), "b", "y"), `{"format": "zip", "members": 2, "bytes": 3145729}`, "application/zip", ""},
		{"zip cut", "a.zip", plain[:len(plain)-40], `{"format": "zip"}`, "application/zip", "no directory"},
		{"tar, gnu", "a", gnu, `{"format": "tar", ` + counted, "application/x-tar", ""},
		{"tar, pax", "a.tar", mediaTar(tar.FormatPAX), `{"format": "tar", ` + counted, "application/x-tar", ""},
		{"tar, sparse", "a.tar", mediaSparse(), `{"format": "tar", "members": 2, "bytes": 33281}`, "application/x-tar", ""},
		{"tar cut", "a.tar", gnu[:len(gnu)-4*tarBlock+9], `{"format": "tar", "members": 4, "bytes": 700}`, "application/x-tar", "cut short"},
		{"tar damaged", "a.tar", damaged, `{"format": "tar", "members": 4, "bytes": 700}`, "application/x-tar", "member 5 is damaged"},
		{"tar.gz", "a.tar.gz", mediaGzip(gnu, "a.tar"), `{"format": "tar.gz", ` + counted, "application/gzip", ""},
		{"tar.gz, two members", "a.TGZ", append(mediaGzip(gnu[:1000], ""), mediaGzip(gnu[1000:], "")...), `{"format": "tar.gz", ` + counted, "application/gzip", ""},
		{"tar.gz cut", "a.tgz", mediaGzip(gnu, "")[:60], `{"format": "tar.gz"}`, "application/gzip", "cut short"},
		{"tar.gz of text", "a.tgz", mediaGzip([]byte(strings.Repeat("text", 500)), ""), `{"format": "tar.gz", "members": 0, "bytes": 0}`, "application/gzip", "member 1 is damaged"},
		{"tar.zst", "a.tar.zst", mediaZstd(gnu), `{"format": "tar.zst", ` + counted, "application/zstd", ""},
		{"tar.xz", "a.txz", []byte("\xfd7zXZ\x00\x00\x04"), `{"format": "tar.xz"}`, "application/x-xz", ""},
		{"7z", "a.7z", []byte("7z\xbc\xaf\x27\x1c\x00\x04"), `{"format": "7z"}`, "application/x-7z-compressed", ""},
		{"rar", "a.rar", []byte("Rar!\x1a\x07\x01\x00"), `{"format": "rar"}`, "application/vnd.rar", ""},
	}
}

func compressedFixtures() []mediaFixture {
	return []mediaFixture{
		{"gzip", "a.gz", mediaGzip([]byte("text"), "a.txt"), `{"format": "gzip", "name": "a.txt", "modified": "2020-01-02T03:04:05Z"}`, "application/gzip", ""},
		{"gzip without a name", "a.gz", mediaGzip([]byte("text"), ""), `{"format": "gzip"}`, "application/gzip", ""},
		{"zstd", "a.zst", mediaZstd([]byte("text")), `{"format": "zstd"}`, "application/zstd", ""},
		{"xz", "a", []byte("\xfd7zXZ\x00\x00\x04"), `{"format": "xz"}`, "application/x-xz", ""},
		{"bzip2", "a", []byte("BZh91AY&SY\x00"), `{"format": "bzip2"}`, "application/x-bzip2", ""},
		{"lz4", "a", []byte("\x04\x22\x4d\x18\x64"), `{"format": "lz4"}`, "application/x-lz4", ""},
	}
}

func TestArchive(t *testing.T)    { mediaTest(t, archiveFormat(), archiveFixtures()) }
func TestCompressed(t *testing.T) { mediaTest(t, compressedFormat(), compressedFixtures()) }

// A tar archive that grows a thousandfold is not followed to its end.
func TestArchiveBomb(t *testing.T) {
	if testing.Short() {
		t.Skip("it decompresses a gibibyte")
	}
	head := mediaTarHeader('0', "77777777777", nil)
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b)
	_, e := w.Write(head)
	err = errors.Join(err, e)
	for range maxTarUnpacked>>20 + 1 {
		_, e := w.Write(make([]byte, 1<<20))
		err = errors.Join(err, e)
	}
	m, got := mediaRun(archiveFormat(), "a.tar.zst", mediaMust(b, errors.Join(err, w.Close())))
	if got == nil || !strings.Contains(got.Error(), "are not counted") || m.Get("members") != nil {
		t.Errorf("got %s, %v", m.AppendJSON(nil), got)
	}
}

func TestArchiveMatch(t *testing.T) {
	for _, tc := range []struct{ path, data string }{
		{"a.zip", "PK is not enough"}, {"a.tar", strings.Repeat("text", 400)}, {"a.tar", strings.Repeat("\x00", 1024)}, {"a.gz", "\x1f\x8b\x08"},
	} {
		if archiveFormat().Match(mediaFile(tc.path, []byte(tc.data))) {
			t.Errorf("%s %.20q matches", tc.path, tc.data)
		}
	}
}

// The counts are those of the standard library, for the archives that it is
// tested with.
func TestArchiveLikeStandardLibrary(t *testing.T) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	files, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "src/archive/tar/testdata/*.tar"))
	if err != nil || len(files) == 0 {
		t.Skip("the sources of Go are not there")
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var members, size int64
		r := tar.NewReader(bytes.NewReader(b))
		h, err := r.Next()
		for ; err == nil; h, err = r.Next() {
			if h.Typeflag != tar.TypeXGlobalHeader {
				members++
			}
			if h.Typeflag == tar.TypeReg || h.Typeflag == tar.TypeGNUSparse {
				size += h.Size
			}
		}
		if !errors.Is(err, io.EOF) { // it checks more than sizes
			continue
		}
		m, err := mediaRun(archiveFormat(), name, b)
		if m == nil || m.Get("members") != members || m.Get("bytes") != size || err != nil {
			t.Errorf("%s: got %s, %v, want %d members, %d bytes", filepath.Base(name), m.AppendJSON(nil), err, members, size)
		}
	}
}

func FuzzArchive(f *testing.F) {
	mediaFuzz(f, archiveFormat(), append(archiveFixtures(), compressedFixtures()...))
}

func FuzzCompressed(f *testing.F) { mediaFuzz(f, compressedFormat(), compressedFixtures()) }

// However the bytes come, the counts are the same.
func FuzzTarCounter(f *testing.F) {
	f.Add(mediaTar(tar.FormatGNU))
	f.Add(mediaTar(tar.FormatPAX))
	f.Add(mediaSparse())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := &Meta{}, error(nil)
		c := newTarCounter()
		for i := range data { // byte by byte
			_, _ = c.Write(data[i : i+1])
		}
		err = c.Finish(m)
		whole := newTarCounter()
		_, _ = whole.Write(data)
		if whole.members != c.members || whole.bytes != c.bytes || (whole.err == nil) != (c.err == nil) {
			t.Fatalf("at once: %d members, %d bytes, %v; byte by byte: %d, %d, %v", whole.members, whole.bytes, whole.err, c.members, c.bytes, err)
		}
		if c.members < 0 || c.bytes < 0 {
			t.Fatalf("%d members, %d bytes", c.members, c.bytes)
		}
	})
}
