package clienttest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// containersConf makes podman and buildah work where limits cannot be raised and cgroups are of the hybrid kind
// (crun cannot), and keeps locks and run files apart from those of the machine's podman.
const containersConf = `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "none"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
tmp_dir = "%[1]s/tmp"
`

const storageConf = `[storage]
driver = "overlay"
graphroot = "%[1]s/store"
runroot = "%[1]s/run"
`

// Podman returns podman with a private store, which is removed with its containers when the test ends.
// Containers have no network and are run by runc.
func Podman(t testing.TB) Client {
	t.Helper()
	needRoot(t, "a Podman store")
	podman := lookup(t, "podman")
	lookup(t, "runc")
	lookup(t, "conmon")
	dir := privateDir(t)
	Write(t, filepath.Join(dir, "containers.conf"), fmt.Sprintf(containersConf, dir))
	Write(t, filepath.Join(dir, "storage.conf"), fmt.Sprintf(storageConf, dir))
	client := Client{Path: podman, Env: map[string]string{
		"CONTAINERS_CONF":         filepath.Join(dir, "containers.conf"),
		"CONTAINERS_STORAGE_CONF": filepath.Join(dir, "storage.conf"),
		"CONTAINER_HOST":          "",
		"TMPDIR":                  dir,
	}}
	t.Cleanup(func() {
		if got := client.Try("rm", "--all", "--force", "--time", "0"); got.Code != 0 {
			t.Errorf("remove the containers of podman: %s", got.Stderr)
		}
		removeMounted(t, dir)
	})
	if got := client.Try("info"); got.Code != 0 {
		skip(t, "podman does not work here: %s", lastLine(got.Stderr))
	}
	return client
}

// Buildah returns buildah on the store of a Podman client.
func Buildah(t testing.TB, podman Client) Client {
	t.Helper()
	return Client{Path: lookup(t, "buildah"), Env: podman.Env}
}

// Skopeo returns skopeo; it keeps nothing of its own.
func Skopeo(t testing.TB) Client {
	t.Helper()
	return Client{Path: lookup(t, "skopeo"), Env: map[string]string{"TMPDIR": t.TempDir()}}
}

// Umoci returns umoci, which unpacks the images of an OCI layout into folders.
func Umoci(t testing.TB) Client {
	t.Helper()
	needRoot(t, "umoci that keeps owners")
	return Client{Path: lookup(t, "umoci"), Env: map[string]string{"TMPDIR": t.TempDir()}}
}

// removeMounted unmounts everything below dir, deepest first, and removes dir.
func removeMounted(t testing.TB, dir string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Error(err)
		return
	}
	var below []string
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			below = append(below, fields[1])
		}
	}
	sort.Sort(sort.Reverse(sort.StringSlice(below)))
	for _, m := range below {
		if err := exec.Command("umount", m).Run(); err != nil {
			t.Errorf("umount %s: %v", m, err)
			return // removing dir now could remove what is mounted there
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}
