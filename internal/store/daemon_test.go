package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/data-containers/cdb/internal/store"
)

// fakeDocker speaks the calls of the API that are used. It keeps one archive.
type fakeDocker struct {
	host    string
	mu      sync.Mutex
	archive []byte
	fail    string // message of /images/load, with status 200
	loads   int
}

func newFakeDocker(t testing.TB) *fakeDocker {
	d := &fakeDocker{}
	socket := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(d)
	server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	d.host = "unix://" + socket
	return d
}

func (d *fakeDocker) id() string { return digest.FromBytes(d.archive).String() }

func (d *fakeDocker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch path := r.Method + " " + r.URL.Path; {
	case path == "GET /version":
		io.WriteString(w, `{"Version":"20.10","Arch":"arm64"}`)
	case path == "POST /images/load" && r.URL.Query().Get("quiet") == "1":
		d.loads++
		data, err := io.ReadAll(r.Body)
		if err != nil || int64(len(data)) != r.ContentLength {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		fmt.Fprintln(w, `{"stream":"Loading"}`)
		if d.fail != "" {
			fmt.Fprintf(w, `{"errorDetail":{"message":%q},"error":"x"}`, d.fail)
			return
		}
		d.archive = data
	case d.archive == nil:
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"message":"No such image"}`)
	case path == "GET /images/example/name:latest/json", path == "GET /images/example/name:v1/json":
		fmt.Fprintf(w, `{"Id":%q}`, d.id())
	case path == "GET /images/"+d.id()+"/get", path == "GET /images/example/name:v1/get":
		w.Write(d.archive)
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, `{"message":"No such image: %s"}`, r.URL.Path)
	}
}

func TestDaemonTarget(t *testing.T) {
	d := newFakeDocker(t)
	target := must(store.DaemonTarget(t.Context(), d.host, "example/name", "v1", t.TempDir()))(t)
	if target.Arch() != "arm64" {
		t.Errorf("architecture %q", target.Arch())
	}
	ref := newSample(t, "x").publish(t, target)
	if want := "docker-daemon:example/name:v1@" + d.id(); ref != want {
		t.Errorf("reference %q, want %q", ref, want)
	}
	for _, part := range []string{`"RepoTags":["example/name:v1"]`, `"io.containerd.image.name":"docker.io/example/name:v1"`} {
		if !bytes.Contains(d.archive, []byte(part)) {
			t.Errorf("the archive has no %s", part)
		}
	}
}

func TestDaemonErrors(t *testing.T) {
	d := newFakeDocker(t)
	d.fail = "no space left"
	target := must(store.DaemonTarget(t.Context(), d.host, "example/name", "", ""))(t)
	s := newSample(t, "x")
	s.write(t, target)
	_, err := target.Publish(t.Context(), s.root)
	wantError(t, err, "example/name:latest", "no space left")
	target.Close()

	_, err = store.OpenDaemon(t.Context(), d.host, "other:v1", t.TempDir())
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("missing image: %v", err)
	}
	wantError(t, err, "No such image")
	for host, part := range map[string]string{
		"ssh://me@there":     "docker load",
		"npipe:////./pipe/d": "docker load",
		"unix://":            "unix://PATH",
		"nonsense":           "unix://PATH",
		"unix:///no/such":    "daemon running at unix:///no/such",
	} {
		_, err := store.DaemonTarget(t.Context(), host, "n", "", "")
		wantError(t, err, part)
	}
	for _, name := range []string{"", "Upper", "a/../../containers/x", "x?y=z", "x y"} {
		if _, err := store.OpenDaemon(t.Context(), d.host, name, ""); err == nil {
			t.Errorf("%q was taken for an image name", name)
		}
	}
}

// A tcp:// host is plain HTTP.
func TestDaemonTCP(t *testing.T) {
	server := httptest.NewServer(&fakeDocker{})
	defer server.Close()
	target := must(store.DaemonTarget(t.Context(), strings.Replace(server.URL, "http", "tcp", 1), "n", "", t.TempDir()))(t)
	target.Close()
}
