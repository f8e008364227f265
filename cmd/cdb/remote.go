package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	cdb "github.com/data-containers/cdb"
	"github.com/data-containers/cdb/internal/blobcache"
	"github.com/data-containers/cdb/internal/registry"
	"github.com/data-containers/cdb/internal/ui"
)

// remoteFlags say how registries are reached; all commands have them.
type remoteFlags struct {
	plainHTTP bool
	caFiles   []string
	authFile  string
}

func (r *remoteFlags) define(f *pflag.FlagSet) {
	f.BoolVar(&r.plainHTTP, "plain-http", false, "speak http to registries (one on this machine is asked what it speaks)")
	f.StringArrayVar(&r.caFiles, "ca-file", nil, "trust the certificate authorities in this PEM `file` too; may be repeated")
	f.StringVar(&r.authFile, "authfile", "", "`file` with the credentials for registries (default those of Docker and Podman)")
}

// A reach is what registries are reached by.
type reach struct {
	client *registry.Client
	pieces *blobcache.Cache
}

// reach makes the client for registries, once.
func (a *app) reach() (*reach, error) {
	if a.reached != nil {
		return a.reached, nil
	}
	dir := a.cacheDir()
	limit, err := parseSize(a.getenv("CDB_CACHE_SIZE"))
	if err != nil {
		return nil, usagef("CDB_CACHE_SIZE in the environment: %v", err)
	}
	opts := registry.Options{
		PlainHTTP: a.remote.plainHTTP,
		CAFiles:   a.remote.caFiles,
		CertDirs:  a.certDirs(),
		AuthFiles: a.authFiles(),
		Proxy:     http.ProxyFromEnvironment,
		TempDir:   os.TempDir(),
		UserAgent: "cdb/" + cdb.Version,
	}
	r := &reach{}
	if dir != "" {
		opts.StateDir = filepath.Join(dir, "registries")
		r.pieces = blobcache.New(filepath.Join(dir, "pieces"), limit)
	}
	if r.client, err = registry.New(opts); err != nil {
		return nil, err
	}
	a.reached = r
	return r, nil
}

// authFiles are the files with credentials: the one of the flag alone, else
// Docker's, then those that Podman looks into.
func (a *app) authFiles() []string {
	if a.remote.authFile != "" {
		return []string{a.remote.authFile}
	}
	var files []string
	add := func(dir string, rest ...string) {
		if dir != "" {
			files = append(files, filepath.Join(append([]string{dir}, rest...)...))
		}
	}
	home := a.getenv("HOME")
	add(a.getenv("REGISTRY_AUTH_FILE"))
	if dir := a.getenv("DOCKER_CONFIG"); dir != "" {
		add(dir, "config.json")
	} else {
		add(home, ".docker", "config.json")
	}
	add(a.getenv("XDG_RUNTIME_DIR"), "containers", "auth.json")
	if dir := a.getenv("XDG_CONFIG_HOME"); dir != "" {
		add(dir, "containers", "auth.json")
	} else {
		add(home, ".config", "containers", "auth.json")
	}
	return files
}

// certDirs are the folders that Docker and Podman keep certificates of
// registries in.
func (a *app) certDirs() []string {
	dirs := []string{"/etc/containers/certs.d", "/etc/docker/certs.d"}
	if home := a.getenv("HOME"); home != "" {
		dirs = append(dirs, filepath.Join(home, ".config", "containers", "certs.d"), filepath.Join(home, ".docker", "certs.d"))
	}
	return dirs
}

// parseSize reads a number of bytes, with or without a unit: 500M, 2GiB, 10GB.
func parseSize(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	unit, ok := map[string]float64{
		"": 1, "b": 1,
		"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40,
		"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
		"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	}[strings.ToLower(s[len(digits):])]
	if err != nil || !ok || n < 0 || n*unit >= 1<<62 {
		return 0, usagef("%q is no size such as 500M, 2GiB or 10GB", s)
	}
	return int64(n * unit), nil
}

// progressOf draws what p counts until the function that it returns is called.
func (a *app) progressOf(p *cdb.Progress) (stop func()) {
	return a.talk.Progress(func() ui.Sample { return ui.Sample(p.Sample()) })
}
