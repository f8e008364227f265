package clienttest

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Daemon is a private Docker daemon together with the client that speaks to it.
type Daemon struct {
	Client
	dir string
}

// Docker starts a private Docker daemon with scripts/dockerd.sh and stops it when the test ends. It has no network
// but "none" and "host". Should the test process die, the guard process of the script stops it.
func Docker(t testing.TB) *Daemon {
	t.Helper()
	needRoot(t, "a Docker daemon")
	docker := lookup(t, "docker")
	script := Client{Path: filepath.Join(Root(t), "scripts", "dockerd.sh")}
	dir := privateDir(t)
	started := script.Try("start", dir)
	switch started.Code {
	case 0:
	case 77:
		skip(t, "no private Docker daemon: %s", strings.TrimSpace(started.Stderr))
	default:
		t.Fatalf("start a Docker daemon: exit code %d: %s", started.Code, started.Stderr)
	}
	guard(t, script.Path, dir)
	host := strings.TrimPrefix(strings.TrimSpace(started.Stdout), "DOCKER_HOST=")
	return &Daemon{dir: dir, Client: Client{Path: docker, Env: map[string]string{
		"DOCKER_HOST":       host,
		"DOCKER_CONFIG":     filepath.Join(dir, "config"),
		"DOCKER_BUILDKIT":   "0",
		"DOCKER_CONTEXT":    "",
		"DOCKER_TLS_VERIFY": "",
		"DOCKER_CERT_PATH":  "",
	}}}
}

// guard starts the process that stops the daemon in dir as soon as its standard input ends: at the end of the test,
// or when this process dies.
func guard(t testing.TB, script, dir string) {
	t.Helper()
	cmd := exec.Command(script, "guard", dir)
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		Client{Path: script}.Run(t, "stop", dir)
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("stop the Docker daemon in %s: %v", dir, err)
		}
	})
}

// Compose returns docker-compose (or "docker compose") for the daemon.
func (d *Daemon) Compose(t testing.TB) Client {
	t.Helper()
	if path, err := exec.LookPath("docker-compose"); err == nil {
		return Client{Path: path, Env: d.Env}
	}
	compose := d.With("compose")
	if compose.Try("version").Code != 0 {
		skip(t, "docker-compose is not installed")
	}
	return compose
}

// Containerd returns ctr for the daemon's own containerd, in a namespace apart from the daemon's.
func (d *Daemon) Containerd(t testing.TB) Client {
	t.Helper()
	return Client{Path: lookup(t, "ctr"), Args: []string{"--address", filepath.Join(d.dir, "containerd.sock"), "--namespace", "test"}}
}

// Health waits until the health check of a container gives an answer other than "starting", and returns it.
func (d *Daemon) Health(t testing.TB, container string) string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		status := d.State(t, container).Health.Status
		if status != "starting" || time.Now().After(deadline) {
			return status
		}
	}
}

// State is what the daemon says of a container.
type State struct {
	Status   string
	ExitCode int
	Health   struct{ Status string }
}

// State asks the daemon about a container.
func (d *Daemon) State(t testing.TB, container string) State {
	t.Helper()
	var state State
	answer := d.Run(t, "inspect", "--format", "{{json .State}}", container)
	if err := json.Unmarshal([]byte(answer), &state); err != nil {
		t.Fatalf("inspect %s: %v in %s", container, err, answer)
	}
	return state
}
