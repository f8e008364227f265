package registrytest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/data-containers/cdb/internal/clienttest"
)

// startTimeout bounds how long a registry may take to answer, stopTimeout how long to end.
const startTimeout, stopTimeout = 20 * time.Second, 5 * time.Second

// Distribution starts Debian's docker-registry (distribution 2.8.2) with an empty storage. It can have WithBasicAuth
// and WithTLS. It has no referrers API, takes chunks in order only, and lets manifests and blobs be deleted.
func Distribution(t testing.TB, opts ...Option) *Registry {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		skip(t, "docker-registry is not installed")
	}
	return startDistribution(t, program, opts)
}

// DistributionV3 is Distribution with distribution v3.1.2, which "scripts/registry.sh build" makes.
func DistributionV3(t testing.TB, opts ...Option) *Registry {
	t.Helper()
	script := clienttest.Client{Path: filepath.Join(clienttest.Root(t), "scripts", "registry.sh")}
	got := script.Try("path")
	if got.Code != 0 {
		skip(t, "%s", strings.TrimSpace(got.Stderr))
	}
	return startDistribution(t, strings.TrimSpace(got.Stdout), opts)
}

// guardScript runs the registry and ends it when standard input ends: when the test does, however it ends.
const guardScript = `"$0" serve "$1" </dev/null & trap 'kill $!' TERM; cat >/dev/null; kill $!; wait`

const distributionConfig = `version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %q}
  delete: {enabled: true}
  redirect: {disable: true}
http:
  addr: %q
  secret: registrytest
`

func startDistribution(t testing.TB, program string, opts []Option) *Registry {
	t.Helper()
	s := settingsOf(opts)
	if s.listener != nil || s.tokens != nil || s.storage != nil || s.http2 {
		t.Fatal("distribution has a port of its own, no tokens and no storage host: put a Proxy before it")
	}
	// The port is free when it is asked for, not when it is used: another program may take it in between.
	for try := 1; ; try++ {
		r, err := tryDistribution(t, program, &s)
		if err == nil {
			return r
		}
		if try == 3 {
			skip(t, "%s does not start: %v", filepath.Base(program), err)
		}
	}
}

func tryDistribution(t testing.TB, program string, s *settings) (*Registry, error) {
	t.Helper()
	l := listenLoopback(t)
	host := l.Addr().String()
	l.Close()
	dir := t.TempDir()
	r := &Registry{Host: host, URL: "http://" + host, User: s.user, Password: s.password, Dir: filepath.Join(dir, "data")}
	config := fmt.Sprintf(distributionConfig, r.Dir, host)
	var ca *Authority
	if s.tls {
		ca = NewAuthority(t)
		cert, key := ca.issueFiles(t, append(s.names, host)...)
		config += fmt.Sprintf("  tls: {certificate: %q, key: %q}\n", cert, key)
		r.URL, r.CAFile = "https://"+host, ca.File
	}
	if s.user != "" {
		passwords := filepath.Join(dir, "htpasswd")
		hash, err := bcrypt.GenerateFromPassword([]byte(s.password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		clienttest.Write(t, passwords, s.user+":"+string(hash)+"\n")
		config += fmt.Sprintf("auth:\n  htpasswd: {realm: registrytest, path: %q}\n", passwords)
	}
	r.transport = newTransport(ca)
	path := filepath.Join(dir, "config.yml")
	clienttest.Write(t, path, config)
	return r, r.start(t, program, path)
}

// start runs the program until the test ends and waits for its first answer.
func (r *Registry) start(t testing.TB, program, config string) error {
	t.Helper()
	log, err := os.Create(config + ".log")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", guardScript, program, config)
	cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	cmd.Stdout, cmd.Stderr = log, log
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	log.Close()
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() { stop(t, cmd, stdin, ended) })
	return r.await(log.Name())
}

// await returns when the registry answers, or why it does not.
func (r *Registry) await(log string) error {
	client := &http.Client{Transport: r.transport, Timeout: 2 * time.Second}
	var failed error
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		res, err := client.Get(r.URL + "/v2/")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusUnauthorized {
				return nil
			}
			err = fmt.Errorf("GET /v2/: status %s", res.Status)
		}
		failed = err
		if said, _ := os.ReadFile(log); bytes.Contains(said, []byte("level=fatal")) || bytes.Contains(said, []byte("panic:")) {
			return fmt.Errorf("%w; it says: %s", err, bytes.TrimSpace(said))
		}
	}
	return failed
}

// stop ends the registry by ending the input of its guard, and kills the guard if that takes too long.
func stop(t testing.TB, cmd *exec.Cmd, stdin io.Closer, ended <-chan struct{}) {
	stdin.Close()
	select {
	case <-ended:
	case <-time.After(stopTimeout):
		cmd.Process.Kill()
		t.Errorf("the registry of %s did not end within %v", cmd.Args[len(cmd.Args)-1], stopTimeout)
	}
}
