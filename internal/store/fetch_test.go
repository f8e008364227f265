package store_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/data-containers/cdb/internal/store"
)

func TestFetch(t *testing.T) {
	data := []byte(strings.Repeat("data", 1<<16))
	mux := http.NewServeMux()
	mux.HandleFunc("/data", func(w http.ResponseWriter, r *http.Request) { w.Write(data) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/data", http.StatusFound) })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
	})
	mux.HandleFunc("/short", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100000000")
		w.Write(data)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	right, wrong := digest.FromBytes(data), digest.FromString("other")
	for _, test := range []struct {
		path   string
		digest digest.Digest
		want   string // in the error; "" for none
	}{
		{"/data", right, ""},
		{"/moved", right, ""},
		{"/data", wrong, "its 262144 bytes have the digest " + right.String() + ", not " + wrong.String()},
		{"/data", "", `digest ""`},
		{"/data", digest.SHA512.FromBytes(data), "must be sha256:"},
		{"/loop", right, "redirects"},
		{"/file", right, "must begin with https"},
		{"/short", right, "unexpected EOF"},
		{"/none", right, "404"},
	} {
		var b bytes.Buffer
		n := int64(0)
		err := store.Fetch(t.Context(), server.URL+test.path, test.digest, &b, store.FetchOptions{Count: func(more int64) { n += more }})
		if test.want == "" {
			if err != nil || !bytes.Equal(b.Bytes(), data) || n != int64(len(data)) {
				t.Errorf("%s: %d bytes, %d counted, %v", test.path, b.Len(), n, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.path, err, test.want)
		}
	}
}

// Passwords are not told, and a server that hangs can be left.
func TestFetchIsCareful(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	err := store.Fetch(t.Context(), "http://user:secret@"+strings.TrimPrefix(plain.URL, "http://")+"/x", digest.FromString(""), &bytes.Buffer{}, store.FetchOptions{})
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "404") {
		t.Errorf("password: %v", err)
	}
	for _, bad := range []string{"", "x", "file:///etc/passwd", "https://", "ftp://x/y", "https://%zz"} {
		if err := store.CheckURL(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	release := make(chan struct{})
	hang := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer hang.Close()
	defer close(release)
	if err := store.Fetch(ctx, hang.URL, digest.FromString(""), &bytes.Buffer{}, store.FetchOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a server that hangs: %v", err)
	}
}
