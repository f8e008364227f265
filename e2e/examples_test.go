package e2e_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/clienttest"
)

// Every command that the documents of the examples show is run, and shows what they say it shows.

func TestDockerExamples(t *testing.T) {
	docker := clienttest.Docker(t)
	compose := docker.Compose(t)
	cdb := clienttest.CDB(t)
	docker.Run(t, "import", clienttest.Busybox(t), "busybox")
	examples := copyExamples(t)
	shell := clienttest.Shell(programs(t, cdb, compose), cdb, docker.Client)

	t.Run("docker-simple", func(t *testing.T) {
		clienttest.RunConsole(t, shell.In(examples+"/docker-simple"), examples+"/docker-simple/README.md")
	})
	t.Run("docker-simple/build.sh", func(t *testing.T) {
		shell.In(t.TempDir()).Run(t, examples+"/docker-simple/build.sh")
	})
	t.Run("docker-volumes-from", func(t *testing.T) {
		clienttest.RunConsole(t, shell.In(examples+"/docker-volumes-from"), examples+"/docker-volumes-from/README.md")
	})
	t.Run("versions", func(t *testing.T) {
		clienttest.RunConsole(t, shell.In(examples+"/versions"), examples+"/versions/README.md")
	})
	t.Run("compose", func(t *testing.T) {
		composeLife(t, docker, compose.In(examples+"/docker-simple"))
	})
}

// composeLife checks what the document of the example cannot show: that the data container becomes healthy, that the
// other one cannot change the data, and that it ends when told.
func composeLife(t *testing.T, docker *clienttest.Daemon, compose clienttest.Client) {
	compose.Run(t, "up", "-d")
	defer compose.Run(t, "down", "-v")
	id := func(service string) string { return strings.TrimSpace(compose.Run(t, "ps", "-q", service)) }
	data, base := id("data"), id("base")
	if got := docker.Run(t, "exec", base, "sh", "-c", "cat /data/*"); got != "avocado!\ntomato!\n" {
		t.Errorf("the second container reads %q", got)
	}
	if got := docker.Try("exec", base, "touch", "/data/new"); got.Code == 0 {
		t.Error("the second container can write to the data")
	}
	if got := docker.Run(t, "exec", data, "/entrypoint", "-metric", "size", "-search", "8"); got != "/data/tomato.txt 8\n" {
		t.Errorf("docker exec: got %q", got)
	}
	docker.Run(t, "exec", data, "/entrypoint", "-verify")
	if got := docker.Health(t, data); got != "healthy" {
		t.Errorf("the health check says %q", got)
	}
	stopsAtOnce(t, docker, data)
}

func TestPodmanExample(t *testing.T) {
	podman := clienttest.Podman(t)
	cdb := clienttest.CDB(t)
	podman.Run(t, "import", "--quiet", clienttest.Busybox(t), "busybox")
	dir := copyExamples(t) + "/podman-image-mount"
	clienttest.RunConsole(t, clienttest.Shell(programs(t, cdb), cdb, podman).In(dir), dir+"/README.md")
}

// copyExamples copies the examples, so that what they write does not land in the source.
func copyExamples(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(clienttest.Root(t), "examples"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// programs makes a folder for PATH in which cdb and docker-compose, however they are really called, have the names
// that the documents use.
func programs(t *testing.T, cdb clienttest.Client, compose ...clienttest.Client) string {
	t.Helper()
	dir := t.TempDir()
	wrap := func(name string, c clienttest.Client) {
		script := "#!/bin/sh\nexec '" + c.Path + "' " + strings.Join(c.Args, " ") + " \"$@\"\n"
		clienttest.Write(t, filepath.Join(dir, name), script)
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	wrap("cdb", cdb)
	for _, c := range compose {
		wrap("docker-compose", c)
	}
	return dir
}
