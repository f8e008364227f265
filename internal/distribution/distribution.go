// Package distribution runs a registry of the distribution project on this machine: Debian's docker-registry, or a
// later one. It is for tests and measurements; a registry ends with the process that started it, however that ends.
package distribution

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Program is what Debian calls the registry (distribution 2.8.2).
const Program = "docker-registry"

// startTimeout bounds how long a registry may take to answer, stopTimeout how long to end.
const startTimeout, stopTimeout = 20 * time.Second, 5 * time.Second

// Options say how a registry runs. Program, Dir and Host must be there.
type Options struct {
	Program   string // the program; see Program
	Dir       string // folder for its configuration, its log and, in "data", its data
	Host      string // host:port that it listens on
	CertFile  string // PEM files of a certificate and its key; empty: no TLS
	KeyFile   string
	Roots     *x509.CertPool // authorities that signed the certificate
	Passwords string         // htpasswd file (bcrypt); empty: anybody may do everything
	AccessLog bool           // write a line to the log for each request

	// Start starts a program; nil: cmd.Start. One in another network namespace needs Dial, too.
	Start func(cmd *exec.Cmd) error
	// Dial connects to Host; nil: as always.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Registry is a registry that runs. It has no referrers API, takes chunks in order only, and lets manifests and blobs
// be deleted.
type Registry struct {
	Data string // folder of its data
	Log  string // file of its log

	stdin io.Closer
	cmd   *exec.Cmd
	ended chan struct{}
}

// guardScript runs the registry and ends it when standard input ends: when the starting process does, however it ends.
const guardScript = `"$0" serve "$1" </dev/null & trap 'kill $!' TERM; cat >/dev/null; kill $!; wait`

const config = `version: 0.1
log: {level: warn, accesslog: {disabled: %t}}
storage:
  filesystem: {rootdirectory: %q}
  delete: {enabled: true}
  redirect: {disable: true}
http:
  addr: %q
  secret: distribution
`

// Start starts a registry and returns when it answers. The error says what the program says.
func Start(o Options) (*Registry, error) {
	r := &Registry{Data: filepath.Join(o.Dir, "data"), ended: make(chan struct{})}
	text := fmt.Sprintf(config, !o.AccessLog, r.Data, o.Host)
	if o.CertFile != "" {
		text += fmt.Sprintf("  tls: {certificate: %q, key: %q}\n", o.CertFile, o.KeyFile)
	}
	if o.Passwords != "" {
		text += fmt.Sprintf("auth:\n  htpasswd: {realm: registry, path: %q}\n", o.Passwords)
	}
	path := filepath.Join(o.Dir, "config.yml")
	r.Log = path + ".log"
	err := os.WriteFile(path, []byte(text), 0o600)
	if err == nil {
		err = r.run(o, path)
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(o.Program), err)
	}
	if err := r.await(o); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", filepath.Base(o.Program), err), r.Close())
	}
	return r, nil
}

func (r *Registry) run(o Options, path string) error {
	log, err := os.Create(r.Log)
	if err != nil {
		return err
	}
	defer log.Close()
	r.cmd = exec.Command("sh", "-c", guardScript, o.Program, path)
	r.cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	r.cmd.Stdout, r.cmd.Stderr = log, log
	start := o.Start
	if start == nil {
		start = (*exec.Cmd).Start
	}
	if r.stdin, err = r.cmd.StdinPipe(); err == nil {
		err = start(r.cmd)
	}
	if err != nil {
		return err
	}
	go func() { r.cmd.Wait(); close(r.ended) }()
	return nil
}

// await returns when the registry answers, or why it does not.
func (r *Registry) await(o Options) error {
	transport := &http.Transport{DialContext: o.Dial, TLSClientConfig: &tls.Config{RootCAs: o.Roots}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 2 * time.Second}
	address := "http://" + o.Host + "/v2/"
	if o.CertFile != "" {
		address = "https://" + o.Host + "/v2/"
	}
	var failed error
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		res, err := client.Get(address)
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK || res.StatusCode == http.StatusUnauthorized {
				return nil
			}
			err = fmt.Errorf("GET /v2/: status %s", res.Status)
		}
		failed = err
		if said, _ := os.ReadFile(r.Log); bytes.Contains(said, []byte("level=fatal")) || bytes.Contains(said, []byte("panic:")) {
			return fmt.Errorf("%w; it says: %s", err, bytes.TrimSpace(said))
		}
	}
	return failed
}

// Close ends the registry by ending the input of its guard, and kills the guard if that takes too long.
func (r *Registry) Close() error {
	r.stdin.Close()
	select {
	case <-r.ended:
		return nil
	case <-time.After(stopTimeout):
		r.cmd.Process.Kill()
		return fmt.Errorf("the registry of %s did not end within %v", r.cmd.Args[len(r.cmd.Args)-1], stopTimeout)
	}
}

// Wipe removes all that the registry holds. It must be idle.
func (r *Registry) Wipe() error {
	if err := os.RemoveAll(filepath.Join(r.Data, "docker")); err != nil {
		return fmt.Errorf("empty the registry: %w", err)
	}
	return nil
}
