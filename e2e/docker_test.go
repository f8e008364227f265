package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/clienttest"
)

func TestDocker(t *testing.T) {
	docker := clienttest.Docker(t)
	cdb := clienttest.CDB(t)
	cdb.Env["DOCKER_HOST"] = docker.Env["DOCKER_HOST"]
	docker.Run(t, "import", clienttest.Busybox(t), "busybox")

	t.Run("build into the daemon", func(t *testing.T) {
		build(t, cdb, fruit(t), "-t", "fruit", "-o", "docker-daemon:fruit")
		askAll(t, docker.With("run", "--rm", "--network", "none", "fruit"))
	})
	t.Run("load the archive", func(t *testing.T) {
		got := docker.Run(t, "load", "--input", archive(t, cdb, "loaded:v1"))
		if !strings.Contains(got, "Loaded image: loaded:v1") {
			t.Errorf("docker load says %q", got)
		}
		askAll(t, docker.With("run", "--rm", "--network", "none", "loaded:v1"))
	})
	t.Run("load an archive that is not compressed", func(t *testing.T) {
		path := t.TempDir() + "/image.tar"
		build(t, cdb, fruit(t), "-t", "plain", "--compression", "none", "-o", path)
		docker.Run(t, "load", "--input", path)
		if got := docker.Run(t, "run", "--rm", "--network", "none", "plain", "-cat", "/data/tomato.txt"); got != "tomato!\n" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("query a daemon's image from outside", func(t *testing.T) {
		if got := cdb.Run(t, "query", "docker-daemon:fruit", "-ls"); got != list {
			t.Errorf("got:\n%swant:\n%s", got, list)
		}
	})
	t.Run("no volume unless asked, no root", func(t *testing.T) {
		got := docker.Run(t, "inspect", "--format", "{{json .Config.Volumes}} {{.Config.User}}", "fruit")
		volumes, user, _ := strings.Cut(strings.TrimSpace(got), " ")
		if volumes != "null" || user == "" || strings.HasPrefix(user, "0") || strings.Trim(user, "0123456789:") != "" {
			t.Errorf("volumes %s and user %q, want null and a number that is not root's", volumes, user)
		}
	})
	t.Run("volumes from", func(t *testing.T) {
		docker.Run(t, "create", "-v", "/data", "--name", "lender", "fruit")
		got := docker.Run(t, "run", "--rm", "--network", "none", "--volumes-from", "lender:ro", "busybox", "sh", "-c", "cat /data/*")
		if got != "avocado!\ntomato!\n" {
			t.Errorf("the second container reads %q", got)
		}
	})
	t.Run("start", func(t *testing.T) { dockerStart(t, docker) })
	t.Run("build on it", func(t *testing.T) {
		dir := t.TempDir()
		clienttest.Write(t, dir+"/Dockerfile", "FROM busybox\nCOPY --from=fruit /data /mine\n")
		docker.Run(t, "build", "--quiet", "--tag", "consumer", dir)
		if got := docker.Run(t, "run", "--rm", "--network", "none", "consumer", "cat", "/mine/tomato.txt"); got != "tomato!\n" {
			t.Errorf("got %q", got)
		}
	})
}

// dockerStart checks the life of a container that stays up: it answers, is healthy, idles and ends when told.
func dockerStart(t *testing.T, docker *clienttest.Daemon) {
	docker.Run(t, "run", "--detach", "--name", "up", "--network", "none", "fruit", "-start")
	if got := docker.Run(t, "exec", "up", "/entrypoint", "-ls"); got != list {
		t.Errorf("docker exec: got %q", got)
	}
	docker.Run(t, "exec", "up", "/entrypoint", "-health")
	if got := docker.Run(t, "logs", "up"); !strings.HasPrefix(got, "Starting data-container\n") {
		t.Errorf("docker logs: got %q", got)
	}
	stopsAtOnce(t, docker, "up")
}

// stopsAtOnce stops a container and demands that its program ended by itself, with code 0.
func stopsAtOnce(t *testing.T, docker *clienttest.Daemon, container string) {
	t.Helper()
	begin := time.Now()
	docker.Run(t, "stop", "--time", "10", container)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("docker stop took %v", took)
	}
	if got := docker.State(t, container); got.Status != "exited" || got.ExitCode != 0 {
		t.Errorf("after docker stop: %+v, want exited with code 0", got)
	}
}
