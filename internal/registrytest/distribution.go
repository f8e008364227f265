package registrytest

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/data-containers/cdb/internal/clienttest"
	"github.com/data-containers/cdb/internal/distribution"
)

// Distribution starts Debian's docker-registry (distribution 2.8.2) with an empty storage. It can have WithBasicAuth
// and WithTLS. It has no referrers API, takes chunks in order only, and lets manifests and blobs be deleted.
func Distribution(t testing.TB, opts ...Option) *Registry {
	t.Helper()
	program, err := exec.LookPath(distribution.Program)
	if err != nil {
		skip(t, distribution.Program+" is not installed")
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
	o := distribution.Options{Program: program, Dir: dir, Host: host}
	r := &Registry{Host: host, URL: "http://" + host, User: s.user, Password: s.password, Dir: filepath.Join(dir, "data")}
	var ca *Authority
	if s.tls {
		ca = NewAuthority(t)
		o.CertFile, o.KeyFile = ca.issueFiles(t, append(s.names, host)...)
		o.Roots = ca.Pool
		r.URL, r.CAFile = "https://"+host, ca.File
	}
	if s.user != "" {
		o.Passwords = filepath.Join(dir, "htpasswd")
		hash, err := bcrypt.GenerateFromPassword([]byte(s.password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		clienttest.Write(t, o.Passwords, s.user+":"+string(hash)+"\n")
	}
	r.transport = newTransport(ca)
	running, err := distribution.Start(o)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		if err := running.Close(); err != nil {
			t.Error(err)
		}
	})
	return r, nil
}
