package e2e_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/clienttest"
	"github.com/data-containers/cdb/internal/registrytest"
)

// checkRemote reads an image that somebody brought to a registry, without
// pulling it.
func checkRemote(t *testing.T, cdb clienttest.Client, ref string) {
	t.Helper()
	if got := cdb.Run(t, "query", "docker://"+ref, "-ls"); got != list {
		t.Errorf("%s lists:\n%swant:\n%s", ref, got, list)
	}
	dir := filepath.Join(t.TempDir(), "out")
	cdb.Run(t, "export", "docker://"+ref, "-o", dir, "-q")
	sameTree(t, listFolder(t, dir), listFolder(t, fruit(t)))
	cdb.Run(t, "verify", "docker://"+ref)
}

// What cdb pushes the clients of registries pull, and the other way round.
func TestRegistryPodman(t *testing.T) {
	podman := clienttest.Podman(t)
	cdb := clienttest.CDB(t)
	registry := registrytest.Distribution(t)
	for _, compression := range []string{"gzip", "zstd", "none"} {
		t.Run(compression, func(t *testing.T) {
			ref := registry.Host + "/lab/fruit:" + compression
			build(t, cdb, fruit(t), "-t", ref, "--push", "--no-store", "--compression", compression)
			podman.Run(t, "pull", "--quiet", "--tls-verify=false", ref)
			askAll(t, podman.With("run", "--rm", ref))
			back := registry.Host + "/podman/fruit:" + compression
			podman.Run(t, "push", "--quiet", "--tls-verify=false", ref, back)
			checkRemote(t, cdb, back)
		})
	}
}

func TestRegistrySkopeo(t *testing.T) {
	skopeo := clienttest.Skopeo(t)
	cdb := clienttest.CDB(t)
	registry := registrytest.Distribution(t)
	ref := registry.Host + "/lab/fruit:v1"
	build(t, cdb, fruit(t), "-t", ref, "--push")
	got := skopeo.Run(t, "inspect", "--tls-verify=false", "docker://"+ref)
	if !strings.Contains(got, `"Architecture"`) {
		t.Errorf("skopeo inspect says %s", got)
	}
	layout := filepath.Join(t.TempDir(), "layout")
	skopeo.Run(t, "copy", "--quiet", "--all", "--src-tls-verify=false", "docker://"+ref, "oci:"+layout+":v1")
	if got := cdb.Run(t, "query", "oci:"+layout+":v1", "-ls"); got != list {
		t.Errorf("the layout lists %s", got)
	}
	for _, compression := range []string{"gzip", "zstd", "none"} {
		for _, format := range []string{"oci", "v2s2"} {
			if format == "v2s2" && compression == "zstd" {
				continue // Docker's manifests know no zstd
			}
			t.Run(compression+" as "+format, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "fruit.tar")
				build(t, cdb, fruit(t), "-t", "fruit:v1", "--compression", compression, "-o", path)
				to := registry.Host + "/skopeo/fruit:" + compression + format
				// Layers that are not compressed come out compressed.
				skopeo.Run(t, "copy", "--quiet", "--format", format, "--dest-tls-verify=false", "oci-archive:"+path, "docker://"+to)
				checkRemote(t, cdb, to)
			})
		}
	}
}

func TestRegistryDocker(t *testing.T) {
	docker := clienttest.Docker(t)
	cdb := clienttest.CDB(t)
	registry := registrytest.Distribution(t)
	ref := registry.Host + "/lab/fruit:v1"
	build(t, cdb, fruit(t), "-t", ref, "--push", "--no-store")
	docker.Run(t, "pull", "--quiet", ref)
	askAll(t, docker.With("run", "--rm", "--network", "none", ref))
	back := registry.Host + "/docker/fruit:v1"
	docker.Run(t, "tag", ref, back)
	docker.Run(t, "push", "--quiet", back)
	checkRemote(t, cdb, back)
	t.Run("containerd", func(t *testing.T) {
		ctr := docker.Containerd(t)
		ctr.Run(t, "images", "pull", "--plain-http", ref)
		got := ctr.Run(t, "run", "--rm", ref, "fruit", "/entrypoint", "-ls")
		if got != list {
			t.Errorf("ctr run lists %s", got)
		}
	})
}
