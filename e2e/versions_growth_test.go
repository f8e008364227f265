package e2e_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/clienttest"
)

const (
	growth    = 22 // versions: packs are merged several times
	watched   = 13 // the version from which on clients get each
	maxLayers = 50
)

// grow builds many versions that each change a little of a larger folder: one file added, one changed, and after a
// while one removed, in folders that come and go.
func grow(t *testing.T, cdb clienttest.Client) *history {
	t.Helper()
	h := &history{cdb: cdb, args: []string{"--arch", runtime.GOARCH}, brief: true}
	s := source{t, t.TempDir() + "/source"}
	for i := range 3000 {
		s.write(fmt.Sprintf("base/%02d/%04d", i%30, i), noise(byte(i), i%1000))
	}
	for n := range growth {
		s.write(fmt.Sprintf("day %d/new", n), noise(byte(n), 1000))
		s.write(fmt.Sprintf("base/%02d/%04d", n, n), fmt.Sprintf("changed in version %d\n", n+1))
		switch {
		case n%5 == 4:
			s.remove(fmt.Sprintf("day %d", n-2))
		case n%5 == 2 && n > 5:
			s.write(fmt.Sprintf("day %d/back", n-5), "back\n")
		}
		h.add(t, s, fmt.Sprintf("version %d", n+1))
	}
	return h
}

// stack returns the digests of a version's layers, lowest first.
func (h *history) stack(t *testing.T, v *version) []string {
	t.Helper()
	var manifest struct{ Layers []descriptor }
	must(t, json.Unmarshal([]byte(clienttest.Skopeo(t).Run(t, "inspect", "--raw", v.layout)), &manifest))
	var digests []string
	for _, l := range manifest.Layers {
		digests = append(digests, l.Digest)
	}
	return digests
}

// shared says how many layers two images have in common from the bottom: what a client keeps once.
func shared(a, b []string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// TestManyVersions keeps a dataset alive for a while: layers stay few, what clients have unpacked of one version
// serves for the next, and after all the merging the tree is what was built.
func TestManyVersions(t *testing.T) {
	t.Parallel()
	h := grow(t, clienttest.CDB(t))
	stacks := make([][]string, len(h.versions))
	whole := 0
	for i, v := range h.versions {
		stacks[i] = h.stack(t, v)
		if n := len(stacks[i]); n > maxLayers {
			t.Errorf("%s has %d layers, want at most %d", v.name, n, maxLayers)
		}
		if i == 0 {
			continue
		}
		n := shared(stacks[i-1], stacks[i])
		if n < 2 {
			t.Errorf("%s shares %d layers with the version before, want the entrypoint and the first data at least", v.name, n)
		}
		if n == len(stacks[i-1]) {
			whole++
		}
	}
	if whole < growth/2 {
		t.Errorf("%d of %d versions only add layers, want half of them at least", whole, growth)
	}
	if n := len(stacks[growth-1]); n >= growth {
		t.Errorf("the last of %d versions has %d layers: none were merged", growth, n)
	}
	t.Run("docker", func(t *testing.T) { h.inDockerGrowing(t, clienttest.Docker(t), stacks) })
	t.Run("containerd", func(t *testing.T) { h.inContainerdGrowing(t, clienttest.Docker(t).Containerd(t), stacks) })
	t.Run("podman", func(t *testing.T) {
		podman := clienttest.Podman(t)
		for _, v := range h.tested() {
			t.Run(v.tag, func(t *testing.T) { v.inPodman(t, podman) })
		}
	})
	t.Run("umoci", func(t *testing.T) {
		skopeo, umoci := clienttest.Skopeo(t), clienttest.Umoci(t)
		for _, v := range h.tested() {
			t.Run(v.tag, func(t *testing.T) { v.inUmoci(t, skopeo, umoci) })
		}
	})
}

// tested are the versions whose trees are looked at: the last ones, made of packs of any age.
func (h *history) tested() []*version {
	n := len(h.versions)
	return []*version{h.versions[watched], h.versions[n-2], h.versions[n-1]}
}

// inDockerGrowing loads every version and demands that Docker has the layers that a version shares with the one
// before once, unpacked.
func (h *history) inDockerGrowing(t *testing.T, docker *clienttest.Daemon, stacks [][]string) {
	var before []string
	for i, v := range h.versions {
		if i+1 < watched {
			continue
		}
		docker.Run(t, "load", "--input", v.file)
		folders := dockerFolders(t, docker, v.name)
		if len(folders) != len(stacks[i]) {
			t.Errorf("%s has %d layers in Docker, want %d", v.name, len(folders), len(stacks[i]))
		}
		if before != nil {
			if got, want := shared(before, folders), shared(stacks[i-1], stacks[i]); got != want {
				t.Errorf("%s shares %d unpacked layers with the version before, want %d", v.name, got, want)
			}
		}
		before = folders
		if slices.Contains(h.tested(), v) {
			t.Run(v.tag, func(t *testing.T) { v.inContainer(t, docker) })
		}
	}
}

// dockerFolders returns the folders that an image's layers are unpacked in, lowest first.
func dockerFolders(t *testing.T, docker *clienttest.Daemon, name string) []string {
	t.Helper()
	var driver struct {
		Name string
		Data struct{ LowerDir, UpperDir string }
	}
	must(t, json.Unmarshal([]byte(docker.Run(t, "image", "inspect", "--format", "{{json .GraphDriver}}", name)), &driver))
	if driver.Name != "overlay2" {
		t.Skipf("Docker keeps layers with %s, not overlay2", driver.Name)
	}
	folders := append([]string{driver.Data.UpperDir}, strings.Split(driver.Data.LowerDir, ":")...)
	slices.Reverse(folders)
	return folders
}

// inContainerdGrowing imports every version and demands that containerd unpacks only what is above the layers that a
// version shares with the one before.
func (h *history) inContainerdGrowing(t *testing.T, ctr clienttest.Client, stacks [][]string) {
	snapshots := func() int { return strings.Count(ctr.Run(t, "snapshots", "list"), "\n") - 1 } // but the heading
	for i, v := range h.versions {
		if i+1 < watched {
			continue
		}
		had := snapshots()
		if slices.Contains(h.tested(), v) {
			t.Run(v.tag, func(t *testing.T) { v.inContainerd(t, ctr) })
		} else {
			ctr.Run(t, "images", "import", v.file)
		}
		if had == 0 {
			continue
		}
		got, want := snapshots()-had, len(stacks[i])-shared(stacks[i-1], stacks[i])
		if got != want {
			t.Errorf("%s: containerd unpacks %d layers, want %d", v.name, got, want)
		}
	}
}
