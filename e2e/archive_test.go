package e2e_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/clienttest"
)

func TestSkopeoCopiesWhatCDBWrites(t *testing.T) {
	skopeo := clienttest.Skopeo(t)
	cdb := clienttest.CDB(t)
	file := archive(t, cdb, "fruit:v1")
	layout := filepath.Join(t.TempDir(), "layout")
	build(t, cdb, fruit(t), "-o", "oci:"+layout+":v1")

	for _, source := range []string{"oci-archive:" + file, "docker-archive:" + file, "oci:" + layout + ":v1"} {
		t.Run(strings.SplitN(source, ":", 2)[0], func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "copy")
			skopeo.Run(t, "copy", "--quiet", source, "oci:"+to+":copied")
			if got := cdb.Run(t, "query", "oci:"+to+":copied", "-ls"); got != list {
				t.Errorf("the copy answers %q", got)
			}
		})
	}
	t.Run("by an ordinary user", func(t *testing.T) {
		ordinary, dir := clienttest.Ordinary(t, skopeo)
		clienttest.Write(t, dir+"/fruit.tar", string(read(t, file)))
		ordinary.In(dir).Run(t, "copy", "--quiet", "oci-archive:fruit.tar", "oci:copy:copied")
	})
	t.Run("all architectures, same digest", func(t *testing.T) {
		to := filepath.Join(t.TempDir(), "copy")
		skopeo.Run(t, "copy", "--quiet", "--all", "--preserve-digests", "oci:"+layout+":v1", "oci:"+to+":v1")
		if got, want := top(t, to).Digest, top(t, layout).Digest; got != want {
			t.Errorf("the copy is %s, what cdb wrote %s", got, want)
		}
	})
}

func TestContainerdImportsAndRuns(t *testing.T) {
	docker := clienttest.Docker(t)
	ctr := docker.Containerd(t)
	cdb := clienttest.CDB(t)
	ctr.Run(t, "images", "import", archive(t, cdb, "fruit:v1"))
	const name = "docker.io/library/fruit:v1"
	if got := ctr.Run(t, "images", "list", "--quiet"); !slices.Contains(strings.Split(got, "\n"), name) {
		t.Fatalf("images after the import: %q, want %s", got, name)
	}
	if got := ctr.Run(t, "run", "--rm", name, "one", "/entrypoint", "-ls"); got != list {
		t.Errorf("ctr run: got %q", got)
	}
}

// TestBothArchitecturesInTheIndex reads the layout with nothing of cdb: one manifest an architecture, whose first
// layer holds a static program for it, and all other layers the same.
func TestBothArchitecturesInTheIndex(t *testing.T) {
	layout := filepath.Join(t.TempDir(), "layout")
	build(t, clienttest.CDB(t), fruit(t), "-o", "oci:"+layout)
	var index struct{ Manifests []descriptor }
	blob(t, layout, top(t, layout).Digest, &index)
	want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}
	var shared [][]descriptor
	for _, d := range index.Manifests {
		machine, ok := want[d.Platform.Architecture]
		if !ok || d.Platform.OS != "linux" {
			t.Errorf("unexpected platform %+v", d.Platform)
			continue
		}
		delete(want, d.Platform.Architecture)
		var manifest struct{ Layers []descriptor }
		blob(t, layout, d.Digest, &manifest)
		checkProgram(t, layout, manifest.Layers[0].Digest, machine)
		shared = append(shared, manifest.Layers[1:])
	}
	if len(want) > 0 {
		t.Fatalf("no manifest for %v", want)
	}
	if !slices.Equal(shared[0], shared[1]) {
		t.Errorf("the data layers differ: %v", shared)
	}
}

type descriptor struct {
	Digest   string
	Platform struct{ OS, Architecture string }
}

// top returns the one descriptor of a layout's index.json.
func top(t *testing.T, layout string) descriptor {
	t.Helper()
	var index struct{ Manifests []descriptor }
	readJSON(t, filepath.Join(layout, "index.json"), &index)
	if len(index.Manifests) != 1 {
		t.Fatalf("%s/index.json names %d images, want 1", layout, len(index.Manifests))
	}
	return index.Manifests[0]
}

func blob(t *testing.T, layout, digest string, into any) {
	t.Helper()
	readJSON(t, blobPath(layout, digest), into)
}

func blobPath(layout, digest string) string {
	return filepath.Join(layout, "blobs", filepath.FromSlash(strings.Replace(digest, ":", "/", 1)))
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// checkProgram demands that a layer holds /entrypoint, a static program for the machine.
func checkProgram(t *testing.T, layout, digest string, machine elf.Machine) {
	t.Helper()
	f, err := os.Open(blobPath(layout, digest))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	plain, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(plain); ; {
		h, err := r.Next()
		if err != nil {
			t.Fatalf("layer %s holds no entrypoint: %v", digest, err)
		}
		if strings.Trim(h.Name, "./") != "entrypoint" {
			continue
		}
		program, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Mode&0o111 != 0o111 {
			t.Errorf("the entrypoint has mode %o, want one that everybody can run", h.Mode)
		}
		checkStatic(t, program, machine)
		return
	}
}

func checkStatic(t *testing.T, program []byte, machine elf.Machine) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	if f.Machine != machine {
		t.Errorf("the entrypoint is for %v, want %v", f.Machine, machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the entrypoint is not static")
		}
	}
}
