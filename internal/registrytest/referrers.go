package registrytest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
)

// Referrers starts a registry in this process that has the referrers API: manifests, tags and referrers are those of
// go-containerregistry, which keeps uploads in memory and hashes a blob at each request; blobs are ours, so
// that they go to disk as they come, and uploads can be asked for their state, resumed and mounted. It takes any
// manifest, also one whose blobs it has not. It can have every option but WithTokenAuth and WithStorage.
func Referrers(t testing.TB, opts ...Option) *Registry {
	t.Helper()
	s := settingsOf(opts)
	if s.tokens != nil || s.storage != nil {
		t.Fatal("this registry has no tokens and no storage host: put a Proxy before it")
	}
	l, host, address, ca := s.listen(t)
	r := &Registry{Host: host, URL: address, User: s.user, Password: s.password, Dir: t.TempDir(), transport: newTransport(ca)}
	if ca != nil {
		r.CAFile = ca.File
	}
	quiet := log.New(io.Discard, "", 0)
	var handler http.Handler = &blobStore{dir: r.Dir, manifests: registry.New(registry.Logger(quiet), registry.WithReferrersSupport(true))}
	if s.user != "" {
		handler = basicAuth(handler, s.user, s.password)
	}
	server := &http.Server{Handler: handler, ErrorLog: quiet, ReadHeaderTimeout: time.Minute}
	go server.Serve(l)
	t.Cleanup(func() { server.Close(); r.transport.CloseIdleConnections() })
	return r
}

func basicAuth(next http.Handler, user, password string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != user || p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="registrytest"`)
			writeError(w, http.StatusUnauthorized, "")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// blobStore answers what concerns blobs: DIR/repository/sha256-HEX are blobs, DIR/uploads/ID what is coming.
type blobStore struct {
	dir       string
	manifests http.Handler

	mu     sync.Mutex
	lastID int
	busy   map[string]chan struct{} // uploads that a request is writing to; closed when it is over
}

var hexDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

func (b *blobStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	to := parseTarget(r)
	switch to.Kind {
	case BlobGet, BlobHead:
		b.serve(w, r, to)
	case UploadPost, Mount:
		b.begin(w, r, to)
	case UploadPatch, UploadPut:
		b.receive(w, r, to)
	case UploadGet, UploadDelete:
		b.state(w, to)
	default:
		b.manifests.ServeHTTP(w, r)
	}
}

func (b *blobStore) blob(repo, digest string) string {
	return filepath.Join(b.dir, "blobs", hex.EncodeToString([]byte(repo)), digest[len("sha256:"):])
}

func (b *blobStore) upload(id string) string {
	return filepath.Join(b.dir, "uploads", filepath.Base(id))
}

func (b *blobStore) serve(w http.ResponseWriter, r *http.Request, to target) {
	if !hexDigest.MatchString(to.Reference) {
		writeError(w, http.StatusBadRequest, "DIGEST_INVALID")
		return
	}
	f, err := os.Open(b.blob(to.Repo, to.Reference))
	if err != nil {
		writeError(w, http.StatusNotFound, "BLOB_UNKNOWN")
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", to.Reference)
	http.ServeContent(w, r, "", time.Time{}, f)
}

// begin mounts the blob of another repository, or opens an upload.
func (b *blobStore) begin(w http.ResponseWriter, r *http.Request, to target) {
	query := r.URL.Query()
	if digest, from := query.Get("mount"), query.Get("from"); hexDigest.MatchString(digest) && from != "" {
		path := b.blob(to.Repo, digest)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.Link(b.blob(from, digest), path)
		}
		if err == nil || errors.Is(err, fs.ErrExist) {
			created(w, to.Repo, digest)
			return
		}
	}
	b.mu.Lock()
	b.lastID++
	id := strconv.Itoa(b.lastID)
	b.mu.Unlock()
	err := os.MkdirAll(filepath.Join(b.dir, "uploads"), 0o755)
	if err == nil {
		err = os.WriteFile(b.upload(id), nil, 0o644)
	}
	if err != nil {
		writeError(w, http.StatusInternalServerError, "UNKNOWN")
		return
	}
	if query.Has("digest") {
		to.Session = id
		b.receive(w, r, to)
		return
	}
	b.accepted(w, to.Repo, id, 0, http.StatusAccepted)
}

// receive appends the body to an upload and, for a PUT or a POST, makes it a blob.
func (b *blobStore) receive(w http.ResponseWriter, r *http.Request, to target) {
	if !b.claim(r.Context(), to.Session) {
		return // the client has gone
	}
	defer b.release(to.Session)
	f, err := os.OpenFile(b.upload(to.Session), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		writeError(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
		return
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if first, _, ok := contentRange(r); err != nil || ok && first != size {
		w.Header().Set("Range", fmt.Sprintf("0-%d", max(size-1, 0)))
		writeError(w, http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID")
		return
	}
	n, err := io.Copy(f, r.Body)
	switch {
	case err != nil:
		writeError(w, http.StatusBadRequest, "BLOB_UPLOAD_INVALID")
	case r.Method == http.MethodPatch:
		b.accepted(w, to.Repo, to.Session, size+n, http.StatusAccepted)
	default:
		b.finish(w, to, r.URL.Query().Get("digest"))
	}
}

func (b *blobStore) finish(w http.ResponseWriter, to target, digest string) {
	if !hexDigest.MatchString(digest) {
		writeError(w, http.StatusBadRequest, "DIGEST_INVALID")
		return
	}
	f, err := os.Open(b.upload(to.Session))
	if err != nil {
		writeError(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
		return
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil || "sha256:"+hex.EncodeToString(hash.Sum(nil)) != digest {
		writeError(w, http.StatusBadRequest, "DIGEST_INVALID")
		return
	}
	path := b.blob(to.Repo, digest)
	err = os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		writeError(w, http.StatusInternalServerError, "UNKNOWN")
		return
	}
	created(w, to.Repo, digest)
}

// state says how much of an upload is there, or forgets the upload.
func (b *blobStore) state(w http.ResponseWriter, to target) {
	stat, err := os.Stat(b.upload(to.Session))
	if err != nil {
		writeError(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
		return
	}
	if to.Kind == UploadDelete {
		os.Remove(b.upload(to.Session))
		w.WriteHeader(http.StatusNoContent)
		return
	}
	b.accepted(w, to.Repo, to.Session, stat.Size(), http.StatusNoContent)
}

// claim waits until no other request writes to an upload: one that was cut may take a moment to notice.
func (b *blobStore) claim(ctx context.Context, id string) bool {
	for {
		b.mu.Lock()
		other := b.busy[id]
		if other == nil {
			if b.busy == nil {
				b.busy = map[string]chan struct{}{}
			}
			b.busy[id] = make(chan struct{})
			b.mu.Unlock()
			return true
		}
		b.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return false
		}
	}
}

func (b *blobStore) release(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.busy[id])
	delete(b.busy, id)
}

// accepted says where an upload goes on. Each answer names another place, as the specification allows.
func (b *blobStore) accepted(w http.ResponseWriter, repo, id string, size int64, status int) {
	w.Header().Set("Location", fmt.Sprintf("/v2/%s/blobs/uploads/%s?at=%d", repo, id, size))
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(size-1, 0)))
	w.Header().Set("Docker-Upload-UUID", id)
	w.WriteHeader(status)
}

func created(w http.ResponseWriter, repo, digest string) {
	w.Header().Set("Location", "/v2/"+repo+"/blobs/"+digest)
	w.Header().Set("Docker-Content-Digest", digest)
	w.WriteHeader(http.StatusCreated)
}
