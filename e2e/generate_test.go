package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/clienttest"
)

// The Dockerfile of cdb generate makes an image that answers. Its first stage wants the image of Go from a registry;
// here it is one of the Go and the busybox of this machine.
func TestGenerateDockerfile(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the standard library of Go in a container")
	}
	podman := clienttest.Podman(t)
	buildah := clienttest.Buildah(t, podman)
	cdb := clienttest.CDB(t)
	goRoot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Skip("the go command is not there")
	}
	work := t.TempDir()
	data := filepath.Join(work, "my data")
	if err := os.CopyFS(data, os.DirFS(fruit(t))); err != nil {
		t.Fatal(err)
	}
	cdb.In(work).Run(t, "generate", "my data", "--out", "entrypoint.go", "--dockerfile", "--quiet")
	importGo(t, podman, strings.TrimSpace(string(goRoot)))
	buildah.In(work).Run(t, "build", "--isolation", "chroot", "--pull=never", "--tag", "generated", ".")

	run := podman.With("run", "--rm", "generated")
	for _, q := range queries {
		if strings.HasPrefix(q.args, "-count") || strings.HasPrefix(q.args, "-cat") {
			continue
		}
		if got := run.Run(t, strings.Fields(q.args)...); got != q.want {
			t.Errorf("entrypoint %s\ngot:\n%swant:\n%s", q.args, got, q.want)
		}
	}
	got := podman.Run(t, "inspect", "--format", `{{index .Labels "org.opencontainers.image.title"}} {{.Config.User}}`, "generated")
	if got != "my data 65532:65532\n" {
		t.Errorf("title and user are %q", got)
	}
	podman.Run(t, "run", "--detach", "--name", "generated-up", "generated", "-start")
	podman.Run(t, "stop", "--time", "10", "generated-up")
	if got := podman.Run(t, "inspect", "--format", "{{.State.ExitCode}}", "generated-up"); got != "0\n" {
		t.Errorf("after podman stop the exit code is %q", got)
	}
}

// importGo makes the image golang:1.26 of what compiling takes.
func importGo(t *testing.T, podman clienttest.Client, goRoot string) {
	t.Helper()
	root := t.TempDir()
	clienttest.Busybox(t) // skips if it needs libraries
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	script := `set -e
mkdir -p "$2/bin" "$2/tmp" "$2/usr/local/go/src"
cp "$3" "$2/bin/busybox"
ln -s busybox "$2/bin/sh"
cd "$1"
cp -rL bin pkg VERSION go.env "$2/usr/local/go/"
cd src
for d in *; do
  case $d in cmd | testdata) ;; *) cp -rL "$d" "$2/usr/local/go/src/" ;; esac
done
tar -C "$2" -cf "$2.tar" .`
	out, err := exec.Command("sh", "-c", script, "sh", goRoot, root, busybox).CombinedOutput()
	if err != nil {
		t.Fatalf("copy Go: %v\n%s", err, out)
	}
	defer os.Remove(root + ".tar")
	podman.Run(t, "import", "--quiet", "--change", "ENV PATH=/usr/local/go/bin:/bin", "--change", "ENV GOCACHE=/tmp/cache GOPATH=/tmp/go",
		root+".tar", "docker.io/library/golang:1.26")
}
