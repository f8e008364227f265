package main

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/data-containers/cdb/internal/registrytest"
)

// registries are those that scripts start.
type registries struct {
	t      *testing.T // ends them
	mu     sync.Mutex
	byName map[string]*registrytest.Proxy // by host:port
}

// start is "registry VAR [WHAT...]": a registry whose host:port becomes the
// variable. WHAT is basic (user me, password s3cret), tokens (the same from a
// token server), storage (blobs come from another host), tls (the file of its
// authority becomes VAR_CA), nolist (it does not list its repositories) or
// noreferrers (it has no API for them).
func (r *registries) start(ts *testscript.TestScript, neg bool, args []string) {
	var opts []registrytest.Option
	for _, what := range args[1:] {
		switch what {
		case "basic":
			opts = append(opts, registrytest.WithBasicAuth("me", "s3cret"))
		case "tokens":
			opts = append(opts, registrytest.WithTokenAuth(registrytest.Tokens{User: "me", Password: "s3cret", AnonymousPull: true, Uses: 3}))
		case "storage":
			opts = append(opts, registrytest.WithStorage(registrytest.Storage{Uses: 2}))
		case "tls":
			opts = append(opts, registrytest.WithTLS())
		}
	}
	p := registrytest.NewProxy(r.t, registrytest.Referrers(r.t), opts...)
	for _, what := range args[1:] {
		switch what {
		case "nolist":
			p.Inject(registrytest.CatalogGet, registrytest.Status(401))
		case "noreferrers":
			p.Inject(registrytest.ReferrersGet, registrytest.NoReferrers())
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byName[p.Host] = p
	ts.Setenv(args[0], p.Host)
	ts.Setenv(args[0]+"_CA", p.CAFile)
}

func (r *registries) find(ts *testscript.TestScript, host string) *registrytest.Proxy {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.byName[host]
	if p == nil {
		ts.Fatalf("no registry %s was started", host)
	}
	return p
}

// requests is "requests HOST KIND LEAST MOST": so many requests of a kind came
// since the last look.
func (r *registries) requests(ts *testscript.TestScript, neg bool, args []string) {
	p := r.find(ts, args[0])
	n := p.Count(registrytest.Kind(args[1]))
	least, err := strconv.Atoi(args[2])
	ts.Check(err)
	most, err := strconv.Atoi(args[3])
	ts.Check(err)
	if n < least || n > most {
		ts.Fatalf("%d requests of kind %q, want %d to %d:\n%s", n, args[1], least, most, p.Log())
	}
	p.Reset()
}

// inject is "inject HOST KIND STATUS [TIMES]": requests of a kind are answered
// with a status.
func (r *registries) inject(ts *testscript.TestScript, neg bool, args []string) {
	status, err := strconv.Atoi(args[2])
	ts.Check(err)
	times := 0
	if len(args) > 3 {
		times, err = strconv.Atoi(args[3])
		ts.Check(err)
	}
	r.find(ts, args[0]).Inject(registrytest.Kind(args[1]), registrytest.Status(status), registrytest.Times(times))
}

// program returns a function that prepares a run of cdb as a process of its
// own, with folders of the test's.
func program(t *testing.T) func(args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "cdb") // by which name TestMain knows it
	if err := os.Symlink(self, path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o777); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left, _ := os.ReadDir(filepath.Join(dir, "tmp")); len(left) > 0 {
			t.Errorf("temporary files are left: %v", left)
		}
	})
	entrypoints := standIns(t)
	return func(args ...string) *exec.Cmd {
		cmd := exec.Command(path, args...)
		cmd.Env = append(os.Environ(), entrypointsVar+"="+entrypoints, "HOME="+dir, "CDB_STORE="+dir+"/store",
			"CDB_CACHE="+dir+"/cache", "TMPDIR="+dir+"/tmp", "XDG_RUNTIME_DIR=", "XDG_CONFIG_HOME=", "DOCKER_CONFIG=")
		return cmd
	}
}

// randomFile writes a folder with one file of n bytes that do not compress.
func randomFile(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	data := make([]byte, n)
	_, _ = rand.Read(data)
	if err := os.WriteFile(filepath.Join(dir, "random"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A push that is killed goes on where it stopped when it is run again: as far
// as the registry still has it.
func TestPushKilled(t *testing.T) {
	const piece, size = 64 << 20, 150 << 20
	src := randomFile(t, size)
	for name, c := range map[string]struct {
		start func(testing.TB, ...registrytest.Option) *registrytest.Registry
		most  int64 // bytes of the second run
	}{
		"referrers":      {registrytest.Referrers, size - piece + 1<<20},
		"distribution 2": {registrytest.Distribution, size + 1<<20}, // it may have lost the upload
		"distribution 3": {registrytest.DistributionV3, size - piece + 1<<20},
	} {
		t.Run(name, func(t *testing.T) {
			cdb := program(t)
			p := registrytest.NewProxy(t, c.start(t))
			ref := p.Host + "/lab/set:v1"
			run := func(args ...string) string {
				t.Helper()
				out, err := cdb(args...).CombinedOutput()
				if err != nil {
					t.Fatalf("%q: %v\n%s", args, err, out)
				}
				return string(out)
			}
			run("build", src, "-t", ref, "-q")
			slow := p.Inject(registrytest.UploadPatch, registrytest.Delay(time.Hour), registrytest.After(1))
			cmd := cdb("push", ref)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(time.Minute); slow.Hits() == 0 && time.Now().Before(deadline); {
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(100 * time.Millisecond)
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // killed
			slow.Remove()
			first := p.Totals(registrytest.Upload)
			p.Reset()
			run("push", ref)
			second := p.Totals(registrytest.Upload)
			t.Logf("%d bytes were sent before, %d after", first.Received, second.Received)
			if first.Received < piece || second.Received > c.most {
				t.Errorf("%d bytes were sent before, %d after", first.Received, second.Received)
			}
			run("verify", "docker://"+ref)
		})
	}
}

// A signal ends a build that is being pushed, at once and without a trace.
func TestPushInterrupted(t *testing.T) {
	src := randomFile(t, 80<<20)
	p := registrytest.NewProxy(t, registrytest.Referrers(t))
	slow := p.Inject(registrytest.UploadPatch, registrytest.TrickleRequest(100_000))
	cdb := program(t)
	cmd := cdb("build", src, "-t", p.Host+"/lab/set:v1", "--push", "--no-store")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); slow.Hits() == 0 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	begin := time.Now()
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its code is looked at
	if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v to end", took)
	}
}

// HTTP proxies are taken from the environment.
func TestProxyEnvironment(t *testing.T) {
	src := randomFile(t, 100_000)
	for _, secure := range []bool{false, true} {
		var opts []registrytest.Option
		if secure {
			opts = append(opts, registrytest.WithTLS("registry.test"))
		}
		server := registrytest.NewProxy(t, registrytest.Referrers(t), opts...)
		forward := registrytest.NewForwardProxy(t, registrytest.WithBasicAuth("you", "s3cret"))
		host := "registry.test:" + server.Host[strings.LastIndexByte(server.Host, ':')+1:]
		forward.Map(host, server.Host)
		cdb := program(t)
		args := []string{"--plain-http"}
		if secure {
			args = []string{"--ca-file", server.CAFile}
		}
		for _, command := range [][]string{{"build", src, "-t", host + "/lab/set:v1", "--push", "--no-store", "--no-parent"}, {"ls", "docker://" + host + "/lab/set:v1"}} {
			cmd := cdb(append(command, args...)...)
			cmd.Env = append(cmd.Env, "HTTP_PROXY="+forward.URL, "HTTPS_PROXY="+forward.URL, "http_proxy=", "https_proxy=", "NO_PROXY=", "no_proxy=")
			out, err := cmd.CombinedOutput()
			if err != nil || strings.Contains(string(out), "s3cret") {
				t.Errorf("%q: %v\n%s", command, err, out)
			}
		}
		if len(forward.Requests()) == 0 {
			t.Error("nothing went through the proxy")
		}
	}
}
