package unpack

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// at is a time of members.
func at(n int64) time.Time { return time.Unix(1e9+n, 0) }

// makeTar writes members: "d NAME", "f NAME CONTENT", "l NAME TARGET" (symbolic
// link), "h NAME TARGET" (hard link), "p NAME" (pipe). Each is a second newer
// than the one before.
func makeTar(t testing.TB, members ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i, m := range members {
		part := append(strings.SplitN(m, " ", 3), "", "")
		h := &tar.Header{Name: part[1], Mode: 0o644, ModTime: at(int64(i)), Format: tar.FormatPAX}
		body := ""
		switch part[0] {
		case "d":
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		case "f":
			h.Typeflag, body = tar.TypeReg, part[2]
		case "l":
			h.Typeflag, h.Linkname = tar.TypeSymlink, part[2]
		case "h":
			h.Typeflag, h.Linkname = tar.TypeLink, part[2]
		case "p":
			h.Typeflag = tar.TypeFifo
		}
		h.Size = int64(len(body))
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// list returns what is in a folder: PATH, then "/", "-> TARGET" or "= CONTENT".
func list(t testing.TB, dir string) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		switch {
		case d.IsDir():
			rel += "/"
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			rel += "->" + target
		default:
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			rel += "=" + string(b)
		}
		lines = append(lines, rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, " ")
}

// unpackLayers unpacks archives as one, or as layers, and returns the folder.
func unpackAll(t testing.TB, layers bool, tars ...[]byte) (string, *Folder, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "to")
	f, err := Create(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range tars {
		if layers {
			err = f.Layer(context.Background(), bytes.NewReader(b))
		} else {
			err = f.Tar(context.Background(), bytes.NewReader(b))
		}
		if err != nil {
			break
		}
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return dir, f, err
}

func TestTar(t *testing.T) {
	for name, test := range map[string]struct {
		members []string
		want    string // what is there, or
		err     string // the error
	}{
		"plain":             {[]string{"d ./", "d ./a/", "f ./a/x 1", "l s a/x", "h y a/x"}, "a/ a/x=1 s->a/x y=1", ""},
		"no folders":        {[]string{"f a/b/c 1"}, "a/ a/b/ a/b/c=1", ""},
		"absolute":          {[]string{"f /a 1", "f //b//c 2"}, "a=1 b/ b/c=2", ""},
		"last wins":         {[]string{"f a 1", "f a 2", "l a x", "d a", "f a/b 3"}, "a/ a/b=3", ""},
		"file for folder":   {[]string{"f a/b 1", "f a 2"}, "a=2", ""},
		"dangling":          {[]string{"l a ../../../etc/passwd", "l b /etc"}, "a->../../../etc/passwd b->/etc", ""},
		"out":               {[]string{"f ../a 1"}, "", "leads out"},
		"out within":        {[]string{"f a/../../b 1"}, "", "leads out"},
		"through a link":    {[]string{"d real", "l s real", "f s/x 1"}, "real/ real/x=1 s->real", ""},
		"link out":          {[]string{"l s ../..", "f s/x 1"}, "s->../.. x=1", ""},
		"link to the root":  {[]string{"l s /etc", "f s/passwd 1"}, "etc/ etc/passwd=1 s->/etc", ""},
		"link circle":       {[]string{"l a b", "l b a", "f a/x 1"}, "", "symbolic links"},
		"write over a link": {[]string{"l a /etc/passwd", "f a 1"}, "a=1", ""},
		"below a file":      {[]string{"f a 1", "f a/b 1"}, "", "not a folder"},
		"hard link out":     {[]string{"h a ../../etc/passwd"}, "", "outside"},
		"hard link nowhere": {[]string{"h a b"}, "", "does not come before"},
		"hard link to self": {[]string{"f a 1", "h a a"}, "a=1", ""},
		"hard link above":   {[]string{"f a/b 1", "h a a/b"}, "", "what the link replaces"},
		"hard link, a link": {[]string{"l a x", "h b a"}, "a->x b->x", ""},
		"long":              {[]string{"f " + strings.Repeat("a/", 3000) + "x 1"}, "", "a path of 6001 bytes"},
		"long name":         {[]string{"f " + strings.Repeat("a", 300) + " 1"}, "", "name too long"},
		"pipe":              {[]string{"f p 1", "p p", "f q 2"}, "q=2", ""},
		"whiteouts stay":    {[]string{"f a 1", "f .wh.a 2"}, ".wh.a=2 a=1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir, _, err := unpackAll(t, false, makeTar(t, test.members...))
			if test.err != "" || err != nil {
				if test.err == "" || err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v, want %q", err, test.err)
				}
				return
			}
			if got := list(t, dir); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestTimes(t *testing.T) {
	dir, f, err := unpackAll(t, false, makeTar(t, "d ./a/", "f ./a/x 1", "l s nowhere", "f b/c/d 2", "p pipe"))
	if err != nil {
		t.Fatal(err)
	}
	// Folders that the archive does not mention are as new as what is in them.
	for p, want := range map[string]int64{"a": 0, "a/x": 1, "s": 2, "b/c/d": 3, "b/c": 3, "b": 3, ".": 3} {
		fi, err := os.Lstat(filepath.Join(dir, p))
		if err != nil {
			t.Fatal(err)
		}
		if !fi.ModTime().Equal(at(want)) {
			t.Errorf("%s: %v, want %v", p, fi.ModTime(), at(want))
		}
	}
	if s := fmt.Sprint(f.Skipped()); s != "[{pipe named pipe: not data}]" {
		t.Errorf("skipped: %s", s)
	}
}

func TestLayers(t *testing.T) {
	base := []string{"d etc", "f etc/a 1", "f etc/b 2", "d opt/x", "f opt/x/y 3", "d usr/bin", "l bin usr/bin"}
	for name, test := range map[string]struct {
		layers [][]string
		want   string
	}{
		"nothing":         {nil, "bin->usr/bin etc/ etc/a=1 etc/b=2 opt/ opt/x/ opt/x/y=3 usr/ usr/bin/"},
		"whiteout":        {[][]string{{"f etc/.wh.a ", "f .wh.opt ", "f .wh.bin ", "f .wh.usr "}}, "etc/ etc/b=2"},
		"of nothing":      {[][]string{{"f nowhere/.wh.a ", "f etc/.wh.zzz ", "f .wh.opt ", "f .wh.usr "}}, "bin->usr/bin etc/ etc/a=1 etc/b=2"},
		"opaque first":    {[][]string{{"f etc/.wh..wh..opq ", "f etc/c 4", "f .wh.opt ", "f .wh.usr "}}, "bin->usr/bin etc/ etc/c=4"},
		"opaque last":     {[][]string{{"f etc/c 4", "f etc/d/e 5", "f etc/.wh..wh..opq ", "f .wh.opt ", "f .wh.usr "}}, "bin->usr/bin etc/ etc/c=4 etc/d/ etc/d/e=5"},
		"own stays":       {[][]string{{"f opt/x/z 4", "f .wh.opt ", "f .wh.etc ", "f .wh.usr "}}, "bin->usr/bin opt/ opt/x/ opt/x/z=4"},
		"own before":      {[][]string{{"f etc/a 9", "f etc/.wh.a ", "f .wh.opt ", "f .wh.usr "}}, "bin->usr/bin etc/ etc/a=9 etc/b=2"},
		"next layer":      {[][]string{{"f etc/a 9"}, {"f etc/.wh.a ", "f .wh.opt ", "f .wh.usr "}}, "bin->usr/bin etc/ etc/b=2"},
		"through a link":  {[][]string{{"f bin/sh 4", "f .wh.etc ", "f .wh.opt "}}, "bin->usr/bin usr/ usr/bin/ usr/bin/sh=4"},
		"folder for link": {[][]string{{"d bin", "f bin/sh 4", "f .wh.etc ", "f .wh.opt "}}, "bin/ bin/sh=4 usr/ usr/bin/"},
		"hard link":       {[][]string{{"h etc/c etc/a", "f .wh.opt ", "f .wh.usr "}}, "bin->usr/bin etc/ etc/a=1 etc/b=2 etc/c=1"},
		"of aufs":         {[][]string{{"d .wh..wh.plnk", "f .wh..wh.aufs ", "f .wh.opt ", "f .wh.usr ", "f .wh.etc "}}, "bin->usr/bin"},
		"removed, again":  {[][]string{{"f .wh.etc "}, {"f etc/z 1", "f .wh.opt ", "f .wh.usr "}}, "bin->usr/bin etc/ etc/z=1"},
	} {
		t.Run(name, func(t *testing.T) {
			tars := [][]byte{makeTar(t, base...)}
			for _, l := range test.layers {
				tars = append(tars, makeTar(t, l...))
			}
			dir, _, err := unpackAll(t, true, tars...)
			if err != nil {
				t.Fatal(err)
			}
			if got := list(t, dir); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
	for _, bad := range []string{"f .wh... ", "f .wh.. ", "f ../.wh.a "} {
		if _, _, err := unpackAll(t, true, makeTar(t, "d a"), makeTar(t, bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// makeZip writes files; a name that ends in "@" is a symbolic link.
func makeZip(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i, f := range files {
		name, body, _ := strings.Cut(f, "=")
		h := &zip.FileHeader{Name: strings.TrimSuffix(name, "@"), Method: zip.Deflate, Modified: at(int64(i))}
		h.SetMode(0o644)
		if strings.HasSuffix(name, "@") {
			h.SetMode(fs.ModeSymlink | 0o777)
		}
		if strings.Contains(name, `\`) {
			h.CreatorVersion = zipFAT << 8
		}
		m, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(m, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestZip(t *testing.T) {
	open := func(b []byte) (string, error) {
		dir := filepath.Join(t.TempDir(), "to")
		f, err := Create(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = f.Zip(context.Background(), bytes.NewReader(b), int64(len(b)))
		return dir, errors.Join(err, f.Close())
	}
	whole := makeZip(t, "a/x=1", "s@=a/x", `win\dows=2`, "e/", "a/x=3")
	dir, err := open(whole)
	if err != nil {
		t.Fatal(err)
	}
	if got := list(t, dir); got != "a/ a/x=3 e/ s->a/x win/ win/dows=2" {
		t.Error(got)
	}
	if fi, err := os.Stat(filepath.Join(dir, "win/dows")); err != nil || !fi.ModTime().Equal(at(2)) {
		t.Errorf("time: %v %v", fi.ModTime(), err)
	}
	for _, bad := range []string{"../a=1", "a@=" + strings.Repeat("x", 5000)} {
		if _, err := open(makeZip(t, bad)); err == nil {
			t.Errorf("%.20q: no error", bad)
		}
	}
	for n := range whole {
		if _, err := open(whole[:n]); err == nil {
			t.Errorf("cut to %d bytes: no error", n)
		}
	}
}

// An archive that is cut short is an error, wherever it ends, and nothing of it
// lies outside. (A tar may do without its end, of which nothing is left then.)
func TestTruncated(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(makeTar(t, "d a/", "f a/x hello", "l s a/x", "h y a/x"))
	z.Close()
	for n := range b.Len() {
		dir := filepath.Join(t.TempDir(), "to")
		f, err := Create(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		r := bytes.NewReader(b.Bytes()[:n])
		if err := f.Archive(context.Background(), r, int64(n), TarGzipFormat); err == nil {
			t.Errorf("cut to %d bytes: no error", n)
		}
		if err := f.Close(); err != nil {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

func TestRecognise(t *testing.T) {
	plain := makeTar(t, "f a 1")
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(plain)
	z.Close()
	tgz := b.Bytes()
	var c bytes.Buffer
	z = gzip.NewWriter(&c)
	z.Write([]byte(strings.Repeat("a,b\n", 1000)))
	z.Close()
	zipped := makeZip(t, "a=1")
	for _, test := range []struct {
		name string
		data []byte
		want Format
		err  error
	}{
		{"x", plain, TarFormat, nil},
		{"x", plain[:511], "", nil},
		{"x.tar", nil, "", nil},
		{"x", tgz, TarGzipFormat, nil},
		{"x.tar.gz", tgz[:20], "", nil},
		{"data.csv.gz", c.Bytes(), "", nil},
		{"x.ZIP", zipped, ZipFormat, nil},
		{"x.xlsx", zipped, "", nil},
		{"x.tar.xz", []byte("\xfd7zXZ\x00rest"), "", ErrFormat},
		{"x.xz", []byte("\xfd7zXZ\x00rest"), "", nil},
		{"x.tar", bytes.Repeat([]byte("text\n"), 1000), "", nil},
	} {
		got, err := Recognise(test.name, bytes.NewReader(test.data))
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s, %d bytes: %q %v, want %q %v", test.name, len(test.data), got, err, test.want, test.err)
		}
	}
}

func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f, err := Create(filepath.Join(t.TempDir(), "to"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Tar(ctx, bytes.NewReader(makeTar(t, "f a 1"))); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Whatever an archive says, nothing is written outside of its folder.
func FuzzUnpack(f *testing.F) {
	f.Add(makeTar(f, "d a/", "f a/x 1", "l s ..", "f s/y 2", "h z a/x"), []byte{})
	f.Add(makeTar(f, "d a", "f a/x 1", "l s a"), makeTar(f, "f s/.wh.x ", "f a/.wh..wh..opq ", "f .wh.s "))
	f.Add(makeZip(f, "a/x=1", "s@=/etc", "s/y=2"), []byte{})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "beside"), []byte("safe"), 0o644); err != nil {
			t.Fatal(err)
		}
		to, err := Create(filepath.Join(dir, "to"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		format, _ := Recognise("x.zip", bytes.NewReader(first))
		if format != "" && len(second) == 0 {
			_ = to.Archive(ctx, bytes.NewReader(first), int64(len(first)), format)
		} else if to.Layer(ctx, bytes.NewReader(first)) == nil {
			_ = to.Layer(ctx, bytes.NewReader(second))
		}
		// Times that no file system has are the one thing that may go wrong.
		_ = to.Close()
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 2 {
			t.Fatalf("beside the folder: %v %v", entries, err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, "beside")); err != nil || string(b) != "safe" {
			t.Fatalf("beside: %q %v", b, err)
		}
	})
}
