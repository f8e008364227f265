package e2e_test

import (
	"archive/tar"
	"errors"
	"io"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/clienttest"
)

// What each client shows of every version is the folder that the version was built from.
func TestClientsShowEachVersion(t *testing.T) {
	t.Parallel()
	h := &history{cdb: clienttest.CDB(t)}
	h.live(t, evolution, nil)
	t.Run("cdb", func(t *testing.T) { h.inCDB(t) })
	t.Run("docker", func(t *testing.T) { h.inDocker(t) })
	t.Run("podman", func(t *testing.T) {
		podman := clienttest.Podman(t)
		for i, v := range h.versions {
			t.Run(evolution[i].name, func(t *testing.T) { v.inPodman(t, podman) })
		}
	})
	t.Run("containerd", func(t *testing.T) {
		ctr := clienttest.Docker(t).Containerd(t)
		for i, v := range h.versions {
			t.Run(evolution[i].name, func(t *testing.T) { v.inContainerd(t, ctr) })
		}
	})
	t.Run("umoci", func(t *testing.T) {
		skopeo, umoci := clienttest.Skopeo(t), clienttest.Umoci(t)
		for i, v := range h.versions {
			t.Run(evolution[i].name, func(t *testing.T) { v.inUmoci(t, skopeo, umoci) })
		}
	})
	t.Run("skopeo", func(t *testing.T) { h.compressedAnew(t, clienttest.Skopeo(t)) })
}

// inCDB checks what cdb itself makes of each version.
func (h *history) inCDB(t *testing.T) {
	for i, v := range h.versions {
		t.Run(evolution[i].name, func(t *testing.T) {
			if want := strings.Join(names(v.want), "\x00") + "\x00"; v.ls != want {
				t.Errorf("the catalog lists %q\nwant %q", v.ls, want)
			}
			h.cdb.Run(t, "verify", v.name)
			h.cdb.Run(t, "diff", "--exit-code", "--times", "all", v.name, v.folder)
			to := filepath.Join(t.TempDir(), "out")
			h.cdb.Run(t, "export", v.name, "-o", to)
			v.mounted(t, to)
		})
	}
	if first := h.versions[0]; !slices.Equal(first.built, first.links) {
		t.Errorf("the first version has the hard links %v, its source %v", first.built, first.links)
	}
}

// inDocker loads each version, or builds it into the daemon on top of the one before.
func (h *history) inDocker(t *testing.T) {
	docker := clienttest.Docker(t)
	h.cdb.Env["DOCKER_HOST"] = docker.Env["DOCKER_HOST"]
	for i, v := range h.versions {
		t.Run(evolution[i].name, func(t *testing.T) {
			if i%2 == 0 {
				docker.Run(t, "load", "--input", v.file)
			} else {
				h.build(t, v.folder, v, evolution[i].name, "--parent", h.versions[i-1].name, "-o", "docker-daemon:"+v.name)
			}
			v.inContainer(t, docker)
			if i%3 == 2 {
				v.inVolume(t, docker)
			}
		})
	}
}

// inContainer checks a version in a container of its own.
func (v *version) inContainer(t *testing.T, docker *clienttest.Daemon) {
	t.Helper()
	name := "plain-" + v.tag
	docker.Run(t, "run", "--detach", "--network", "none", "--name", name, v.name, "-start")
	defer docker.Run(t, "rm", "--force", name)
	v.sameTar(t, docker.Run(t, "cp", name+":/data", "-"), v.want)
	v.sameTar(t, docker.Run(t, "export", name), v.want)
	v.answers(t, docker.With("exec", name, "/entrypoint"))
}

// inVolume checks a version where it fills a new volume. Docker copies all but the times of folders.
func (v *version) inVolume(t *testing.T, docker *clienttest.Daemon) {
	t.Helper()
	name := "volume-" + v.tag
	docker.Run(t, "run", "--detach", "--network", "none", "--name", name, "--volume", name+":/data", v.name, "-start")
	defer docker.Run(t, "rm", "--force", "--volumes", name)
	v.sameTar(t, docker.Run(t, "cp", name+":/data", "-"), withoutFolderTimes(v.want))
	v.answers(t, docker.With("exec", name, "/entrypoint"))
}

// withoutFolderTimes returns a listing in which folders have a mode, but no time.
func withoutFolderTimes(l listing) listing {
	l = maps.Clone(l)
	for p, what := range l {
		if strings.HasPrefix(what, "d") {
			l[p], _, _ = strings.Cut(what, " ")
		}
	}
	return l
}

// sameTar demands that a tar of a container's /data is what was built. Folders that want has no time of have any.
func (v *version) sameTar(t *testing.T, stream string, want listing) {
	t.Helper()
	got := listTar(t, strings.NewReader(stream), "data")
	for p, what := range got {
		if mode, _, _ := strings.Cut(what, " "); want[p] == mode {
			got[p] = mode
		}
	}
	sameTree(t, got, want)
	groups := map[string][]string{}
	for r := tar.NewReader(strings.NewReader(stream)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		if h.Typeflag == tar.TypeLink {
			first := path.Join("/", h.Linkname)
			groups[first] = append(groups[first], path.Join("/", h.Name))
		}
	}
	if got := grouped(groups); !slices.Equal(got, v.built) {
		t.Errorf("hard links are %v, want %v", got, v.built)
	}
}

func (v *version) inPodman(t *testing.T, podman clienttest.Client) {
	t.Helper()
	podman.Run(t, "load", "--quiet", "--input", v.file)
	folder := strings.TrimSpace(podman.Run(t, "image", "mount", v.name))
	v.mounted(t, folder+"/data")
	podman.Run(t, "image", "unmount", v.name)
	podman.Run(t, "run", "--detach", "--name", v.tag, v.name, "-start")
	v.answers(t, podman.With("exec", v.tag, "/entrypoint"))
	podman.Run(t, "rm", "--force", "--time", "0", v.tag)
}

func (v *version) inContainerd(t *testing.T, ctr clienttest.Client) {
	t.Helper()
	name := "docker.io/library/" + v.name
	ctr.Run(t, "images", "import", v.file)
	folder := t.TempDir()
	ctr.Run(t, "images", "mount", name, folder)
	defer ctr.Run(t, "images", "unmount", "--rm", folder)
	v.mounted(t, folder+"/data")
	v.answers(t, ctr.With("run", "--rm", name, v.tag, "/entrypoint"))
}

func (v *version) inUmoci(t *testing.T, skopeo, umoci clienttest.Client) {
	t.Helper()
	v.mounted(t, v.unpack(t, skopeo, umoci)+"/data")
}

// unpack has skopeo copy the image of one platform into another layout, and umoci unpack it. Layers that
// are not compressed with gzip become so, as umoci knows nothing else.
func (v *version) unpack(t *testing.T, skopeo, umoci clienttest.Client) string {
	t.Helper()
	layout, bundle := filepath.Join(t.TempDir(), "layout"), filepath.Join(t.TempDir(), "bundle")
	skopeo.Run(t, "copy", "--quiet", "--dest-compress-format", "gzip", v.layout, "oci:"+layout+":"+v.tag)
	umoci.Run(t, "unpack", "--image", layout+":"+v.tag, bundle)
	return bundle + "/rootfs"
}

// compressedAnew has skopeo compress every layer anew: frame tables and digests are gone, and what was deltas and
// frames is read from other streams.
func (h *history) compressedAnew(t *testing.T, skopeo clienttest.Client) {
	for i, v := range h.versions {
		t.Run(evolution[i].name, func(t *testing.T) {
			from, to, format := v.layout, "oci:"+filepath.Join(t.TempDir(), "to")+":x", "zstd"
			if i%2 == 0 {
				plain := filepath.Join(t.TempDir(), "plain.tar")
				skopeo.Run(t, "copy", "--quiet", from, "docker-archive:"+plain+":set:x")
				from, format = "docker-archive:"+plain, "gzip"
			}
			skopeo.Run(t, "copy", "--quiet", "--dest-compress-format", format, from, to)
			v.opens(t, h, to)
		})
	}
}

// opens demands that cdb reads an image elsewhere as the one that it built.
func (v *version) opens(t *testing.T, h *history, ref string) {
	t.Helper()
	if got, want := h.cdb.Run(t, "ls", "--json", ref), h.cdb.Run(t, "ls", "--json", v.name); got != want {
		t.Errorf("cdb ls: got  %q\nwant %q", got, want)
	}
	h.cdb.Run(t, "verify", ref)
	if got := h.cdb.Run(t, "cat", ref, "/data/kept"); got != "never touched\n" {
		t.Errorf("cdb cat: got %q", got)
	}
	h.cdb.Run(t, "diff", "--exit-code", ref, v.name)
}
