package store_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/data-containers/cdb/internal/store"
)

const someDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestParseRef(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "layout/oci-layout", []byte("{}"))
	writeFile(t, "with:colon/oci-layout", []byte("{}"))
	writeFile(t, "folder/file", nil)
	writeFile(t, "image", makeTar(t, tarFile{name: "x"}))
	writeFile(t, "image.tar.gz", gzipped(t, nil))
	writeFile(t, "text", []byte("text"))
	sif := make([]byte, 128)
	copy(sif[32:], "SIF_MAGIC")
	writeFile(t, "x.sif", sif)
	for _, c := range []struct {
		in   string
		want store.Ref
		out  string // of String, "" means in
	}{
		{"name", store.Ref{Transport: "store", Name: "name", Tag: "latest"}, "name:latest"},
		{"a/b-c__d.e:V1.0_x", store.Ref{Transport: "store", Name: "a/b-c__d.e", Tag: "V1.0_x"}, ""},
		{"Host.example:5000/a/b", store.Ref{Transport: "store", Name: "Host.example:5000/a/b", Tag: "latest"}, "Host.example:5000/a/b:latest"},
		{"localhost/x:y", store.Ref{Transport: "store", Name: "localhost/x", Tag: "y"}, ""},
		{"name@" + someDigest, store.Ref{Transport: "store", Name: "name", Digest: someDigest}, ""},
		{"name:v1@" + someDigest, store.Ref{Transport: "store", Name: "name", Tag: "v1", Digest: someDigest}, ""},
		{someDigest, store.Ref{Transport: "store", Digest: someDigest}, ""},
		{"sha256:e3b0", store.Ref{Transport: "store", Digest: "sha256:e3b0"}, ""},
		{"folder", store.Ref{Transport: "store", Name: "folder", Tag: "latest"}, "folder:latest"},
		{"text", store.Ref{Transport: "store", Name: "text", Tag: "latest"}, "text:latest"},
		{"docker://ghcr.io/a/b", store.Ref{Transport: "docker", Name: "ghcr.io/a/b", Tag: "latest"}, "docker://ghcr.io/a/b:latest"},
		{"docker-daemon:a/b:c", store.Ref{Transport: "docker-daemon", Name: "a/b", Tag: "c"}, ""},
		{"docker-daemon:sha256:abc", store.Ref{Transport: "docker-daemon", Digest: "sha256:abc"}, ""},
		{"oci:dir", store.Ref{Transport: "oci", Path: "dir"}, ""},
		{"oci:dir:v1", store.Ref{Transport: "oci", Path: "dir", Tag: "v1"}, ""},
		{"oci:/no/such:odd/dir", store.Ref{Transport: "oci", Path: "/no/such:odd/dir"}, ""},
		{"oci:with:colon", store.Ref{Transport: "oci", Path: "with:colon"}, ""},
		{"oci:with:colon:v1", store.Ref{Transport: "oci", Path: "with:colon", Tag: "v1"}, ""},
		{"oci:layout:a/b:v1", store.Ref{Transport: "oci", Path: "layout", Name: "a/b", Tag: "v1"}, ""},
		{"oci:dir@" + someDigest, store.Ref{Transport: "oci", Path: "dir", Digest: someDigest}, ""},
		{"oci-archive:x.tar", store.Ref{Transport: "oci-archive", Path: "x.tar"}, ""},
		{"oci-archive:d/x.tar:a/b:v1", store.Ref{Transport: "oci-archive", Path: "d/x.tar", Name: "a/b", Tag: "v1"}, ""},
		{"docker-archive:x:v1", store.Ref{Transport: "docker-archive", Path: "x", Tag: "v1"}, ""},
		{"sif:a:b", store.Ref{Transport: "sif", Path: "a:b"}, ""},
		{"layout", store.Ref{Transport: "oci", Path: "layout"}, "oci:layout"},
		{"./layout:v1", store.Ref{Transport: "oci", Path: "./layout", Tag: "v1"}, "oci:./layout:v1"},
		{"layout@" + someDigest, store.Ref{Transport: "oci", Path: "layout", Digest: someDigest}, "oci:layout@" + someDigest},
		{"./with:colon:v1", store.Ref{Transport: "oci", Path: "./with:colon", Tag: "v1"}, "oci:./with:colon:v1"},
		{"image", store.Ref{Transport: "oci-archive", Path: "image"}, "oci-archive:image"},
		{"image:v1", store.Ref{Transport: "oci-archive", Path: "image", Tag: "v1"}, "oci-archive:image:v1"},
		{"./image.tar.gz", store.Ref{Transport: "oci-archive", Path: "./image.tar.gz"}, "oci-archive:./image.tar.gz"},
		{"x.sif", store.Ref{Transport: "sif", Path: "x.sif"}, "sif:x.sif"},
	} {
		got, err := store.ParseRef(c.in)
		if err != nil {
			t.Error(err)
			continue
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.in, d)
		}
		if c.out == "" {
			c.out = c.in
		}
		if got.String() != c.out {
			t.Errorf("%s: printed as %q", c.in, got.String())
		}
		if again, err := store.ParseRef(got.String()); err != nil || again != got {
			t.Errorf("%s: printed as %q and read back as %+v, %v", c.in, got, again, err)
		}
	}
}

func TestParseRefErrors(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "folder/file", nil)
	for in, part := range map[string]string{
		"":                       "empty",
		"Upper":                  `lower case, for example "upper"`,
		"a b":                    "may hold",
		"a//b":                   "may hold",
		"-x":                     "may hold",
		"a:":                     "tag behind the colon is missing",
		"a:-x":                   `tag "-x"`,
		"a@sha256:12":            "must be a digest",
		"sha256:latest":          "stands for a digest",
		"ftp://x":                "unknown transport",
		"oci:":                   "path is missing",
		"oci-archive:":           "path is missing",
		"sif:":                   "path is missing",
		"docker://":              "name is empty",
		"docker-daemon:":         "name is empty",
		"docker-daemon:A":        "lower case",
		"./none":                 "no such file",
		"./folder":               "cdb build",
		"folder/file/x/../y":     "may hold",
		"exa_mple.org:x/y":       "not a host name",
		strings.Repeat("a", 256): "at most 255",
	} {
		_, err := store.ParseRef(in)
		wantError(t, err, part)
	}
}

func TestParseName(t *testing.T) {
	name, tag, err := store.ParseName("localhost:5000/x")
	if name != "localhost:5000/x" || tag != "latest" || err != nil {
		t.Errorf("got %q, %q, %v", name, tag, err)
	}
	if _, _, err := store.ParseName("x@" + someDigest); err == nil {
		t.Error("a digest was taken for a name to give")
	}
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"a:b", "oci:a:b@" + someDigest, "docker://x/y", "x@y", ":", "@", "sif:", "oci::", "docker-archive:a.tar:b:c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := store.ParseRef(s)
		if err != nil || r.Path != "" {
			return // what a path means depends on what exists
		}
		if again, err := store.ParseRef(r.String()); err != nil || again != r {
			t.Errorf("%q: printed as %q and read back as %+v, %v", s, r, again, err)
		}
	})
}

func TestDefaultRoot(t *testing.T) {
	for want, getenv := range map[string]func(string) string{
		"/s":                  env("CDB_STORE", "/s", "XDG_DATA_HOME", "/x", "HOME", "/h"),
		"/x/cdb":              env("XDG_DATA_HOME", "/x", "HOME", "/h"),
		"/h/.local/share/cdb": env("HOME", "/h", "XDG_DATA_HOME", "relative"),
		"":                    env(),
	} {
		if got := store.DefaultRoot(getenv); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	_, err := store.OpenLocal("")
	wantError(t, err, "CDB_STORE")
}

// What -o may say, and where the image goes then.
func TestOpenTarget(t *testing.T) {
	t.Chdir(t.TempDir())
	cfg := store.Config{Root: "store"}
	for dest, file := range map[string]string{
		"":                                   "store/index.json",
		"oci:layout":                         "layout/index.json",
		"oci:layout:v2":                      "layout/index.json",
		"x.tar":                              "x.tar",
		"oci-archive:y":                      "y",
		"docker-archive:z.tar:other/name:v3": "z.tar",
	} {
		target := must(cfg.OpenTarget(t.Context(), dest, "name", "", ""))(t)
		newSample(t, "x").publish(t, target)
		if m, _ := filepath.Glob(file); len(m) == 0 {
			t.Errorf("%q did not write %s", dest, file)
		}
	}
	for ref, ok := range map[string]bool{
		"oci:layout:latest": true, "oci:layout:v2": true, "oci:layout:v3": false,
		"oci-archive:z.tar:other/name:v3": true, "oci-archive:z.tar:v3": true, "oci-archive:x.tar:latest": true,
		"oci-archive:x.tar:docker.io/library/name:latest": true, "oci-archive:x.tar:v3": false,
		"name": true, "name:v3": false,
	} {
		src, name, err := cfg.OpenSource(t.Context(), must(store.ParseRef(ref))(t))
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := src.Resolve(t.Context(), name); (err == nil) != ok {
			t.Errorf("%s: %v", ref, err)
		}
		src.Close()
	}
	writeFile(t, "full/of/things", nil)
	for dest, part := range map[string]string{
		"word":                 "-t",
		"folder/":              "-t",
		"x.tar.gz":             "FILE.tar",
		"oci:":                 "path is missing",
		"oci:x@" + someDigest:  "no digest",
		"oci:full":             "other files",
		"no/such/folder/x.tar": "no such file",
		"oci-archive:full":     "not a regular file",
	} {
		_, err := cfg.OpenTarget(t.Context(), dest, "name", "", "")
		wantError(t, err, part)
	}
	_, err := cfg.OpenTarget(t.Context(), "", "", "", "")
	wantError(t, err, "-t NAME")
	for _, c := range []string{"docker://x/y", "sif:x"} {
		_, err := cfg.OpenTarget(t.Context(), c, "n", "", "")
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("write %s: %v", c, err)
		}
		_, _, err = cfg.OpenSource(t.Context(), must(store.ParseRef(c))(t))
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("read %s: %v", c, err)
		}
	}
}
