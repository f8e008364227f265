// Package clienttest is the real container engines of this machine as tests see them: a private Docker daemon, a
// private Podman store, skopeo, buildah, ctr and docker-compose, each as a Client that can be run.
//
// Nothing here touches the user's daemon, images or settings: every engine gets its own socket, storage and
// configuration below a temporary folder, which is gone when the test ends, however it ends. Where an engine cannot
// be had the test skips and says why; with CDB_TEST_REQUIRE set it fails instead.
package clienttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// runTimeout bounds one run of a client: a hanging client must fail its test, not the whole suite.
const runTimeout = 2 * time.Minute

// Client is a program with the arguments and the environment that point it at a private engine.
// The zero Env inherits everything; a value in Env replaces that of the process, an empty one removes it.
type Client struct {
	Path string            // the program
	Args []string          // put before the arguments of every run
	Env  map[string]string // added to the environment of every run
	Dir  string            // working folder; the test's own when empty
}

// Result is what one run of a client gave back.
type Result struct {
	Stdout, Stderr string
	Code           int // exit code; -1 when it could not be run or was killed
}

// Try runs the client and returns what came, whatever the exit code.
func (c Client) Try(args ...string) Result {
	return c.try(nil, args)
}

// Run runs the client and returns its standard output; the test ends when the exit code is not 0.
func (c Client) Run(t testing.TB, args ...string) string {
	t.Helper()
	return c.Pipe(t, nil, args...)
}

// Pipe is Run with standard input.
func (c Client) Pipe(t testing.TB, stdin io.Reader, args ...string) string {
	t.Helper()
	got := c.try(stdin, args)
	if got.Code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s%s", filepath.Base(c.Path), strings.Join(args, " "), got.Code, got.Stdout, got.Stderr)
	}
	return got.Stdout
}

func (c Client) try(stdin io.Reader, args []string) Result {
	ctx, cancel := context.WithTimeout(context.Background(), runTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Path, slices.Concat(c.Args, args)...)
	cmd.Env, cmd.Dir, cmd.Stdin = c.environ(), c.Dir, stdin
	// A grandchild that keeps the pipes open must not keep the test waiting.
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	got := Result{Stdout: stdout.String(), Stderr: stderr.String()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		got.Code = -1
		got.Stderr += fmt.Sprintf("\nended after %v", runTimeout)
	case errors.As(err, &exit):
		got.Code = exit.ExitCode()
	case err != nil:
		got.Code = -1
		got.Stderr += err.Error()
	}
	return got
}

// With returns the client with more arguments before those of every run.
func (c Client) With(args ...string) Client {
	c.Args = slices.Concat(c.Args, args)
	return c
}

// In returns the client running in folder dir.
func (c Client) In(dir string) Client {
	c.Dir = dir
	return c
}

// Shell returns bash with the environments of the clients together, the later ones winning, and path before PATH.
func Shell(path string, clients ...Client) Client {
	env := map[string]string{"PATH": path + string(os.PathListSeparator) + os.Getenv("PATH")}
	for _, c := range clients {
		maps.Copy(env, c.Env)
	}
	return Client{Path: "bash", Args: []string{"-euo", "pipefail", "-c"}, Env: env}
}

func (c Client) environ() []string {
	env := slices.DeleteFunc(os.Environ(), func(s string) bool {
		key, _, _ := strings.Cut(s, "=")
		_, replaced := c.Env[key]
		return replaced
	})
	for _, key := range slices.Sorted(maps.Keys(c.Env)) {
		if c.Env[key] != "" {
			env = append(env, key+"="+c.Env[key])
		}
	}
	return env
}

// lookup finds a program, also where only root's PATH looks; the test skips when it is not there.
func lookup(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	skip(t, "%s is not installed", name)
	return ""
}

// needRoot skips the test unless it runs as root on Linux.
func needRoot(t testing.TB, what string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		skip(t, "%s runs on Linux only", what)
	}
	if os.Geteuid() != 0 {
		skip(t, "%s of the tests' own needs root", what)
	}
}

func skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CDB_TEST_REQUIRE") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// privateDir makes a folder with a path short enough for sockets (t.TempDir is not); whoever asks removes it.
func privateDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cdbtest")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Root returns the top folder of the module, seen from the test's working folder.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod in the working folder or above it")
		}
		dir = up
	}
}

// CDB returns the cdb program with a local store of its own: $CDB if set, else the one that "make build" makes.
func CDB(t testing.TB) Client {
	t.Helper()
	path := os.Getenv("CDB")
	if path == "" {
		root := Root(t)
		Client{Path: lookup(t, "make"), Dir: root}.Run(t, "build")
		path = filepath.Join(root, "bin", "cdb")
	}
	return Client{Path: path, Env: map[string]string{"CDB_STORE": t.TempDir(), "XDG_CACHE_HOME": t.TempDir()}}
}

// Write writes a file and the folders above it.
func Write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Ordinary returns the client as an ordinary user runs it, and a folder where that user can write: the client itself
// and a temporary folder, unless the tests run as root.
func Ordinary(t testing.TB, c Client) (Client, string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return c, t.TempDir()
	}
	dir := privateDir(t) // the folders of t.TempDir are closed to others
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	env := maps.Clone(c.Env)
	maps.Copy(env, map[string]string{"HOME": dir, "TMPDIR": dir, "XDG_RUNTIME_DIR": dir})
	id := strconv.Itoa(nobody)
	args := []string{"--reuid", id, "--regid", id, "--clear-groups", c.Path}
	return Client{Path: lookup(t, "setpriv"), Args: slices.Concat(args, c.Args), Env: env}, dir
}

// nobody is the user and the group without rights on Debian and elsewhere.
const nobody = 65534
