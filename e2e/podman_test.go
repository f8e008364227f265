package e2e_test

import (
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/clienttest"
)

func TestPodman(t *testing.T) {
	podman := clienttest.Podman(t)
	cdb := clienttest.CDB(t)
	podman.Run(t, "import", "--quiet", clienttest.Busybox(t), "busybox")

	t.Run("load the archive", func(t *testing.T) {
		got := podman.Run(t, "load", "--quiet", "--input", archive(t, cdb, "fruit:v1"))
		if !strings.Contains(got, "localhost/fruit:v1") && !strings.Contains(got, "docker.io/library/fruit:v1") {
			t.Errorf("podman load says %q", got)
		}
		askAll(t, podman.With("run", "--rm", "fruit:v1"))
	})
	t.Run("mount the image into another container", func(t *testing.T) {
		got := podman.Run(t, "run", "--rm", "--mount", "type=image,source=fruit:v1,destination=/x,rw=false",
			"busybox", "sh", "-c", "cat /x/data/*; touch /x/data/new 2>/dev/null || echo read-only")
		if got != "avocado!\ntomato!\nread-only\n" {
			t.Errorf("the other container reads %q", got)
		}
	})
	t.Run("start", func(t *testing.T) {
		podman.Run(t, "run", "--detach", "--name", "up", "fruit:v1", "-start")
		if got := podman.Run(t, "exec", "up", "/entrypoint", "-ls"); got != list {
			t.Errorf("podman exec: got %q", got)
		}
		podman.Run(t, "exec", "up", "/entrypoint", "-health")
		podman.Run(t, "stop", "--time", "10", "up")
		if got := podman.Run(t, "inspect", "--format", "{{.State.ExitCode}}", "up"); got != "0\n" {
			t.Errorf("after podman stop the exit code is %q", got)
		}
	})
	for _, compression := range []string{"gzip", "zstd", "none"} {
		t.Run("compression "+compression, func(t *testing.T) {
			path := t.TempDir() + "/image.tar"
			build(t, cdb, fruit(t), "-t", "fruit:"+compression, "--compression", compression, "-o", path)
			podman.Run(t, "load", "--quiet", "--input", path)
			got := podman.Run(t, "run", "--rm", "fruit:"+compression, "-cat", "/data/tomato.txt")
			if got != "tomato!\n" {
				t.Errorf("got %q", got)
			}
		})
	}
	t.Run("buildah", func(t *testing.T) {
		buildah := clienttest.Buildah(t, podman)
		id := strings.TrimSpace(buildah.Run(t, "from", "fruit:v1"))
		defer buildah.Run(t, "rm", id)
		folder := strings.TrimSpace(buildah.Run(t, "mount", id))
		sameTree(t, listFolder(t, folder+"/data"), listFolder(t, fruit(t)))
	})
}
