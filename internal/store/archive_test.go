package store_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/data-containers/cdb/internal/store"
)

// archiveOf writes a sample and returns the file.
func archiveOf(t testing.TB, s *sample, name, arch string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.tar")
	s.publish(t, must(store.ArchiveTarget(path, name, "v1", arch))(t))
	return must(os.ReadFile(path))(t)
}

// members reads a tar as any client does.
func members(t testing.TB, data []byte) (names []string, content map[string]string) {
	t.Helper()
	content = map[string]string{}
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return names, content
		}
		if err != nil {
			t.Fatal(err)
		}
		mode := int64(0o644)
		if h.Typeflag == tar.TypeDir {
			mode = 0o755
		}
		if h.Mode != mode || h.ModTime.Unix() != 0 || h.Uid != 0 || h.Uname != "" {
			t.Errorf("header %+v", h)
		}
		names = append(names, h.Name)
		content[h.Name] = string(must(io.ReadAll(r))(t))
	}
}

// The archive is what "docker load" of all ages and OCI clients look for.
func TestArchiveContent(t *testing.T) {
	s := newSample(t, "x")
	data := archiveOf(t, s, "name", "arm64")
	names, content := members(t, data)
	if len(names) != len(s.blobs)+5 || len(data)%512 != 0 || !bytes.HasSuffix(data, make([]byte, 1024)) {
		t.Errorf("%d bytes with members %q", len(data), names)
	}
	for d, b := range s.blobs {
		if content["blobs/sha256/"+d.Encoded()] != string(b) {
			t.Errorf("blob %s differs", d)
		}
	}
	// The third layer written is that of arm64, then comes its config.
	want := `[{"Config":"blobs/sha256/` + s.order[5].Digest.Encoded() + `","RepoTags":["name:v1"],"Layers":["blobs/sha256/` +
		s.order[4].Digest.Encoded() + `","blobs/sha256/` + s.order[0].Digest.Encoded() + `"]}]`
	if got := content["manifest.json"]; got != want {
		t.Errorf("manifest.json is %s, want %s", got, want)
	}
	for _, part := range []string{`"org.opencontainers.image.ref.name":"v1"`, `"io.containerd.image.name":"docker.io/library/name:v1"`} {
		if !strings.Contains(content["index.json"], part) {
			t.Errorf("index.json %s lacks %s", content["index.json"], part)
		}
	}
	if !bytes.Equal(data, archiveOf(t, s, "name", "arm64")) {
		t.Error("the same image made another file")
	}
	_, content = members(t, archiveOf(t, s, "", "riscv64"))
	if strings.Contains(content["manifest.json"], "RepoTags") || !strings.Contains(content["manifest.json"], s.order[2].Digest.Encoded()) {
		t.Errorf("without name, of another architecture: %s", content["manifest.json"])
	}
}

// An old file stays until the new one is complete, and what a killed build
// left beside is swept.
func TestArchiveReplaces(t *testing.T) {
	dir := t.TempDir()
	path := writeFile(t, filepath.Join(dir, "x.tar"), []byte("old"))
	writeFile(t, path+".tmp-0123456789abcdef", []byte("left"))
	writeFile(t, path+".tmp-mine", []byte("not ours"))
	s := newSample(t, "x")
	one, two := must(store.ArchiveTarget(path, "", "", ""))(t), must(store.ArchiveTarget(path, "", "", ""))(t)
	s.write(t, one)
	if got := must(os.ReadFile(path))(t); string(got) != "old" {
		t.Errorf("the old file became %q", got)
	}
	s.publish(t, two)
	s.publish(t, one)
	if got := strings.Join(files(t, dir), " "); got != "x.tar x.tar.tmp-mine" {
		t.Errorf("files %s", got)
	}
	a := must(store.OpenArchive(path))(t)
	defer a.Close()
	s.check(t, a)
}

func TestArchiveOneUpload(t *testing.T) {
	target := must(store.ArchiveTarget(filepath.Join(t.TempDir(), "x"), "", "", ""))(t)
	defer target.Close()
	must(target.Create(t.Context()))(t)
	_, err := target.Create(t.Context())
	wantError(t, err, "still open")
	_, err = target.Publish(t.Context(), newSample(t, "x").root)
	wantError(t, err, "still open")
}

// dockerSave makes an archive as "docker save" did before OCI layouts.
func dockerSave(t testing.TB, extra ...tarFile) []byte {
	one, two := layerTar(t, "data/a", "one"), layerTar(t, "data/b", "two")
	config := toJSON(t, ocispec.Image{RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{
		digest.FromBytes(one), digest.FromBytes(two), digest.FromBytes(one),
	}}})
	return makeTar(t, append([]tarFile{
		{name: "aaa/", kind: tar.TypeDir},
		{name: "aaa/layer.tar", content: string(one)},
		{name: "bbb/layer.tar", content: string(gzipped(t, two))},
		{name: "ccc/layer.tar", link: "../aaa/layer.tar", kind: tar.TypeSymlink},
		{name: "config.json", content: config},
		{name: "manifest.json", content: `[
			{"Config":"config.json","RepoTags":["name:v1","other/name:v2"],"Layers":["aaa/layer.tar","./bbb/layer.tar","ccc/layer.tar"]},
			{"Config":"none.json","RepoTags":["broken:v3"],"Layers":[]},
			{"Config":"config.json","RepoTags":null,"Layers":["aaa/layer.tar"]}]`},
	}, extra...)...)
}

func TestDockerArchive(t *testing.T) {
	a := must(store.NewArchive(dockerSave(t)))(t)
	var first ocispec.Descriptor
	for i, name := range []string{"name:v1", "v1", "docker.io/library/name:v1", "other/name:v2"} {
		d, err := a.Resolve(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = d
		}
		if d.Digest != first.Digest || d.MediaType != ocispec.MediaTypeImageManifest {
			t.Errorf("%s: %+v", name, d)
		}
	}
	if err := store.CheckComplete(t.Context(), a, first); err != nil {
		t.Error(err)
	}
	layer := layerTar(t, "data/b", "two")
	if _, err := a.Open(t.Context(), ocispec.Descriptor{Digest: digest.FromBytes(gzipped(t, layer))}); err != nil {
		t.Errorf("compressed layer: %v", err)
	}
	b := must(a.Open(t.Context(), ocispec.Descriptor{Digest: digest.FromBytes(layerTar(t, "data/a", "one"))}))(t)
	got := must(io.ReadAll(io.NewSectionReader(b, 0, b.Size())))(t)
	if !bytes.Equal(got, layerTar(t, "data/a", "one")) {
		t.Error("plain layer differs")
	}
	_, err := a.Resolve(t.Context(), "broken:v3")
	wantError(t, err, "none.json")
	_, err = a.Resolve(t.Context(), "v9")
	wantError(t, err, `"name:v1"`, `"broken:v3"`)
	if !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
}

func TestArchiveErrors(t *testing.T) {
	index := tarFile{name: "index.json", content: `{"schemaVersion":2}`}
	loop := tarFile{name: "index.json", link: "index.json", kind: tar.TypeSymlink}
	for name, c := range map[string]struct {
		data []byte
		part string
	}{
		"empty":           {nil, "neither index.json nor manifest.json"},
		"text":            {[]byte(strings.Repeat("text", 1000)), "tar"},
		"gzip":            {gzipped(t, makeTar(t, index)), "compressed with gzip; decompress it first"},
		"other tar":       {makeTar(t, tarFile{name: "a"}), "neither"},
		"twice":           {makeTar(t, index, tarFile{name: "./index.json"}), `"index.json" is there twice`},
		"large index":     {makeTar(t, tarFile{name: "index.json", content: strings.Repeat(" ", 5<<20)}), "too many"},
		"large list":      {makeTar(t, tarFile{name: "manifest.json", content: strings.Repeat(" ", 5<<20)}), "too many"},
		"link loop":       {makeTar(t, loop), "neither"},
		"damaged index":   {makeTar(t, tarFile{name: "index.json", content: "{"}), "index.json is damaged"},
		"damaged list":    {makeTar(t, tarFile{name: "manifest.json", content: "{"}), "manifest.json is damaged"},
		"version":         {makeTar(t, index, tarFile{name: "oci-layout", content: `{"imageLayoutVersion":"9"}`}), `"9"`},
		"too many images": {makeTar(t, tarFile{name: "manifest.json", content: "[" + strings.Repeat("{},", 2000) + "{}]"}), "2001 images"},
		"header cut off":  {makeTar(t, index)[:520], "cut off"},
		"cut at body end": {dockerSave(t)[:4096], "neither"},
	} {
		_, err := store.NewArchive(c.data)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		wantError(t, err, c.part)
	}
	_, err := store.OpenArchive(t.TempDir())
	wantError(t, err, "not a regular file")
}

func TestDockerArchiveErrors(t *testing.T) {
	one := string(layerTar(t, "a", "b"))
	config := func(ids ...string) tarFile {
		return tarFile{name: "c", content: toJSON(t, map[string]any{"rootfs": map[string]any{"diff_ids": ids}})}
	}
	list := func(layers string) tarFile {
		return tarFile{name: "manifest.json", content: `[{"Config":"c","Layers":[` + layers + `]}]`}
	}
	for name, c := range map[string]struct {
		members []tarFile
		part    string
	}{
		"no config":   {[]tarFile{list("")}, `"c"`},
		"bad config":  {[]tarFile{list(""), {name: "c", content: "["}}, "damaged"},
		"other count": {[]tarFile{list(`"l"`), config()}, "0 layers, manifest.json 1"},
		"no layer":    {[]tarFile{list(`"l"`), config(someDigest)}, `"l"`},
		"bad diffID":  {[]tarFile{list(`"l"`), config("sha256:1"), {name: "l", content: one}}, "diffID"},
		"bzip2 layer": {[]tarFile{list(`"l"`), config(someDigest), {name: "l", content: "BZh91AY"}}, "bzip2"},
	} {
		a, err := store.NewArchive(makeTar(t, c.members...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_, err = a.Resolve(t.Context(), "")
		wantError(t, err, c.part)
	}
}

// use reads all there is to read.
func use(t *testing.T, a *store.Archive) error {
	d, err := a.Resolve(t.Context(), "")
	if err != nil {
		return err
	}
	return store.CheckComplete(t.Context(), a, d)
}

// Every cut is either noticed or harmless: behind the last needed byte.
func TestArchiveTruncated(t *testing.T) {
	for name, data := range map[string][]byte{
		"oci":    archiveOf(t, newSample(t, "x"), "name", ""),
		"docker": makeTar(t, tarFile{name: "c", content: `{"rootfs":{}}`}, tarFile{name: "manifest.json", content: `[{"Config":"c"}]`}),
	} {
		needed := bytes.LastIndexByte(data, '}')
		if name == "oci" {
			// Without manifest.json an archive of ours is an OCI archive still.
			needed = bytes.LastIndexByte(data[:bytes.LastIndex(data, []byte("manifest.json"))], '}')
		}
		for i := range data {
			a, err := store.NewArchive(data[:i])
			if err == nil {
				err = use(t, a)
			}
			if err == nil && i <= needed {
				t.Errorf("%s archive cut at %d of %d was read", name, i, len(data))
			}
		}
	}
}

func FuzzArchive(f *testing.F) {
	f.Add(archiveOf(f, newSample(f, "x"), "name", ""))
	f.Add(dockerSave(f))
	f.Add(makeTar(f, tarFile{name: "index.json", content: `{"schemaVersion":2}`}))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := store.NewArchive(data)
		if err != nil {
			return
		}
		use(t, a)
		a.Resolve(t.Context(), "name:v1")
		a.Resolve(t.Context(), someDigest)
	})
}

// hugeFile is an archive with a member of 9 GiB of zeros.
type hugeFile struct {
	head, tail []byte
	gap        int64
}

func (h hugeFile) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		at := off + int64(n)
		switch {
		case at < int64(len(h.head)):
			n += copy(p[n:], h.head[at:])
		case at < int64(len(h.head))+h.gap:
			p[n] = 0
			n++
		case at < int64(len(h.head)+len(h.tail))+h.gap:
			n += copy(p[n:], h.tail[at-h.gap-int64(len(h.head)):])
		default:
			return n, io.EOF
		}
	}
	return n, nil
}

// Members of 8 GiB and more do not fit the usual header.
func TestArchiveHugeMember(t *testing.T) {
	const size = 9 << 30
	h := hugeFile{
		head: must(store.TarHeader("blobs/sha256/"+strings.TrimPrefix(someDigest, "sha256:"), size))(t),
		gap:  size,
		tail: makeTar(t, tarFile{name: "index.json", content: `{"schemaVersion":2}`}),
	}
	a := must(store.NewArchiveReader(h, int64(len(h.head)+len(h.tail))+size))(t)
	b := must(a.Open(t.Context(), ocispec.Descriptor{Digest: someDigest, Size: size}))(t)
	if b.Size() != size {
		t.Errorf("size %d", b.Size())
	}
	_, err := store.NewArchiveReader(h, size/2)
	wantError(t, err, "cut off")
}
