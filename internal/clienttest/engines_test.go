package clienttest_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/clienttest"
)

// The two engines are tried with an image that does not come from cdb: when these pass, what fails in the
// end-to-end suite is cdb's doing.

func TestDockerRunsAndLeavesNothing(t *testing.T) {
	var socket string
	t.Run("run", func(t *testing.T) {
		docker := clienttest.Docker(t)
		address, err := url.Parse(docker.Env["DOCKER_HOST"])
		if err != nil {
			t.Fatal(err)
		}
		socket = address.Path
		docker.Run(t, "import", clienttest.Busybox(t), "busybox")
		if got := docker.Run(t, "run", "--rm", "busybox", "sh", "-c", "echo hello"); got != "hello\n" {
			t.Errorf("got %q", got)
		}
		docker.Run(t, "run", "--detach", "--name", "left-behind", "busybox", "sleep", "1000")
		if got := docker.State(t, "left-behind").Status; got != "running" {
			t.Errorf("a container that sleeps is %s", got)
		}
	})
	if socket != "" {
		wantGone(t, strings.TrimSuffix(socket, "/docker.sock"))
	}
}

func TestPodmanRunsAndLeavesNothing(t *testing.T) {
	var conf string
	t.Run("run", func(t *testing.T) {
		podman := clienttest.Podman(t)
		conf = podman.Env["CONTAINERS_CONF"]
		podman.Run(t, "import", "--quiet", clienttest.Busybox(t), "busybox")
		if got := podman.Run(t, "run", "--rm", "busybox", "sh", "-c", "echo hello"); got != "hello\n" {
			t.Errorf("got %q", got)
		}
		podman.Run(t, "run", "--detach", "--name", "left-behind", "busybox", "sleep", "1000")
	})
	if conf != "" {
		wantGone(t, strings.TrimSuffix(conf, "/containers.conf"))
	}
}

// wantGone checks that neither the folder of an engine nor a process or mount that names it is left.
func wantGone(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there (%v)", dir, err)
	}
	lists, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range append(lists, "/proc/self/mounts") {
		text, err := os.ReadFile(list)
		if err == nil && strings.Contains(string(text), dir+"/") { // an error: the process has ended
			t.Errorf("%s still names %s: %q", list, dir, text)
		}
	}
}
