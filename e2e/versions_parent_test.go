package e2e_test

import (
	"maps"
	"path/filepath"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/clienttest"
)

// TestParentsFromElsewhere builds versions on a parent that a client has had in its hands: layers may be compressed
// anew or not at all, digests and frame tables may be gone.
func TestParentsFromElsewhere(t *testing.T) {
	t.Parallel()
	skopeo, umoci := clienttest.Skopeo(t), clienttest.Umoci(t)
	cdb := clienttest.CDB(t)
	h := &history{cdb: cdb}
	h.live(t, evolution[:5], nil)
	first, last := h.versions[3], h.versions[4]
	parents := map[string]func(t *testing.T) string{
		"archive": func(*testing.T) string { return first.file },
		"layout":  func(*testing.T) string { return first.layout },
		"docker-archive": func(t *testing.T) string {
			to := "docker-archive:" + filepath.Join(t.TempDir(), "plain.tar")
			skopeo.Run(t, "copy", "--quiet", first.layout, to+":set:x")
			return to
		},
		"zstd": func(t *testing.T) string {
			to := "oci:" + filepath.Join(t.TempDir(), "zstd") + ":x"
			skopeo.Run(t, "copy", "--quiet", "--dest-compress-format", "zstd", first.layout, to)
			return to
		},
		"docker-daemon": func(t *testing.T) string {
			docker := clienttest.Docker(t)
			cdb.Env["DOCKER_HOST"] = docker.Env["DOCKER_HOST"]
			docker.Run(t, "load", "--input", first.file)
			return "docker-daemon:" + first.name
		},
	}
	for name, parent := range parents {
		t.Run(name, func(t *testing.T) {
			v := *last
			v.layout = "oci:" + filepath.Join(t.TempDir(), "layout") + ":" + v.tag
			h.build(t, v.folder, &v, "", "--parent", parent(t), "--compression", "zstd", "-o", v.layout)
			v.opens(t, h, v.layout)
			v.inUmoci(t, skopeo, umoci)
		})
	}
}

// TestVersionsUnderOtherPrefixes builds into other folders than /data: the root of the image, and one far down.
func TestVersionsUnderOtherPrefixes(t *testing.T) {
	t.Parallel()
	skopeo, umoci := clienttest.Skopeo(t), clienttest.Umoci(t)
	for _, prefix := range []string{"/", "/srv/data/set"} {
		t.Run(prefix, func(t *testing.T) {
			h := &history{cdb: clienttest.CDB(t), args: []string{"--prefix", prefix}, brief: true}
			h.live(t, evolution, nil)
			for _, i := range []int{2, 4, 8, 11} {
				v := h.versions[i]
				t.Run(evolution[i].name, func(t *testing.T) {
					root := v.unpack(t, skopeo, umoci)
					got, want := listFolder(t, filepath.Join(root, prefix)), v.want
					if prefix == "/" {
						want = maps.Clone(want)
						for _, ours := range []string{"", "entrypoint", ".cdb"} {
							want[ours] = got[ours]
						}
						maps.DeleteFunc(got, func(p, _ string) bool { return strings.HasPrefix(p, ".cdb/") })
					}
					sameTree(t, got, want)
				})
			}
		})
	}
}
