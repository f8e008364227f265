package registry_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// A registry in a private network may have its token server there, under
// another name, as GitLab has. It gets the credentials, and nobody else.
func TestPrivateRealm(t *testing.T) {
	var asked []string
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		asked = append(asked, fmt.Sprint(r.Method, " ", r.Host, r.URL.Path, " ", r.URL.Query()["service"], " ", user, ":", password))
		if password != "s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"token": "good"}`)
	}))
	t.Cleanup(tokens.Close)
	realm := strings.Replace(tokens.URL, "127.0.0.1", "localhost", 1) + "/jwt/auth"
	reg := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer good" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`",service="container_registry",scope="repository:a/b:pull"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Length", "7")
	}))
	t.Cleanup(reg.Close)
	u, err := url.Parse(reg.URL)
	if err != nil {
		t.Fatal(err)
	}
	opts := options(t)
	opts.AuthFiles = []string{authFile(t, u.Host, "me", "s3cret")}
	size, err := repository(t, newClient(t, opts), u.Host, "a/b").BlobSize(t.Context(), digest.FromString("x"))
	if size != 7 || err != nil {
		t.Errorf("%d, %v; the token server was asked %q", size, err, asked)
	}
	host := strings.TrimPrefix(strings.TrimSuffix(realm, "/jwt/auth"), "http://")
	if want := "GET " + host + "/jwt/auth [container_registry] me:s3cret"; len(asked) != 1 || asked[0] != want {
		t.Errorf("asked %q, want %q", asked, want)
	}
}
