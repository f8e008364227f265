package registry_test

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/data-containers/cdb/internal/registrytest"

	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/data-containers/cdb/internal/registry"
)

func hasRange(r *http.Request) bool { return r.Header.Get("Range") != "" }

// authFile writes a file as Docker and Podman have it, with one entry if there
// is a key.
func authFile(t testing.TB, key, user, password string) string {
	t.Helper()
	auths := map[string]any{}
	if key != "" {
		auths[key] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(user + ":" + password))}
	}
	return writeJSON(t, filepath.Join(t.TempDir(), "auth.json"), map[string]any{"auths": auths})
}

func writeJSON(t testing.TB, path string, doc any) string {
	t.Helper()
	data, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// writeAuth logs in.
func writeAuth(t testing.TB, c *registry.Client, host, user, password string) {
	t.Helper()
	if err := c.Login(t.Context(), host, user, password); err != nil {
		t.Fatal(err)
	}
}

// fakeHelper puts a credential helper into PATH, which keeps what it is told
// in a file, and notes how it was called.
func fakeHelper(t *testing.T, name string) (log string) {
	t.Helper()
	dir := t.TempDir()
	log = filepath.Join(dir, "log")
	script := `#!/bin/sh
echo "$1" >>` + log + `
case $1 in
get) [ -f ` + dir + `/kept ] && cat ` + dir + `/kept || { echo "credentials not found in native keychain"; exit 1; } ;;
store) cat >` + dir + `/kept ;;
erase) rm ` + dir + `/kept ;;
esac
`
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return log
}

// Credentials are found where Docker and Podman keep them, the most special
// first, and go to the registry.
func TestCredentials(t *testing.T) {
	upstream := registrytest.Referrers(t)
	good := map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte("me:s3cret"))}
	bad := map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte("me:wrong"))}
	type auths map[string]any
	for name, c := range map[string]struct {
		files []auths // of the files, HOST stands for the registry
		ok    bool
	}{
		"host":                  {[]auths{{"HOST": good}}, true},
		"host with https":       {[]auths{{"https://HOST": good}}, true},
		"host with a path":      {[]auths{{"https://HOST/v1/": good}}, true},
		"user and password":     {[]auths{{"HOST": map[string]string{"username": "me", "password": "s3cret"}}}, true},
		"namespace":             {[]auths{{"HOST": bad, "HOST/a": good}}, true},
		"repository":            {[]auths{{"HOST": bad, "HOST/a": bad, "HOST/a/b": good}}, true},
		"another namespace":     {[]auths{{"HOST": good, "HOST/a/c": bad, "HOST/b": bad, "HOST/a/bb": bad}}, true},
		"the second file":       {[]auths{{"elsewhere": bad}, {"HOST": good}}, true},
		"the first file counts": {[]auths{{"HOST": bad}, {"HOST": good}}, false},
		"none":                  {[]auths{{}}, false},
		"no files":              {nil, false},
		"another port":          {[]auths{{"127.0.0.1:1": good, "127.0.0.1": good}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, upstream, nil, registrytest.WithBasicAuth("me", "s3cret"))
			data := []byte("content of a blob")
			desc := f.put(t, data)
			opts := options(t)
			for _, a := range c.files {
				doc := auths{}
				for k, v := range a {
					doc[strings.ReplaceAll(k, "HOST", f.Host)] = v
				}
				opts.AuthFiles = append(opts.AuthFiles, writeJSON(t, filepath.Join(t.TempDir(), "config.json"), auths{"auths": doc}))
			}
			opts.AuthFiles = append(opts.AuthFiles, filepath.Join(t.TempDir(), "none.json"))
			b := must(repository(t, newClient(t, opts), f.Host, "a/b").Blob(t.Context(), desc))(t)
			got, err := readAll(t.Context(), b, 0, desc.Size)
			if !c.ok {
				wantError(t, err, "read blob")
				if !errors.Is(err, registry.ErrDenied) {
					t.Error(err)
				}
			} else if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// A file with credentials that cannot be read is said so, not passed over.
func TestBadAuthFile(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"cut": `{"auths": {`, "other types": `{"auths": []}`, "bad base64": `{"auths":{"HOST":{"auth":"%%"}}}`} {
		f := newFixture(t, registrytest.Referrers(t), nil, registrytest.WithBasicAuth("me", "s3cret"))
		opts := options(t)
		file := filepath.Join(t.TempDir(), "bad.json")
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(content, "HOST", f.Host)), 0o600); err != nil {
			t.Fatal(err)
		}
		opts.AuthFiles = []string{file}
		_, _, err := repository(t, newClient(t, opts), f.Host, "a/b").Manifest(t.Context(), "v1")
		wantError(t, err, file)
		if n := f.Count(registrytest.Any); n > 3 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
}

// A login is tried first, and kept as Docker and Podman keep it.
func TestLogin(t *testing.T) {
	t.Parallel()
	f := newFixture(t, registrytest.Referrers(t), nil, registrytest.WithBasicAuth("me", "s3cret"))
	opts := options(t)
	file := filepath.Join(t.TempDir(), "new", "config.json")
	opts.AuthFiles = []string{file}
	c := newClient(t, opts)
	wantError(t, c.Login(t.Context(), f.Host, "me", "s3cret2"), "401", "log in to "+f.Host)
	if _, err := os.Stat(file); err == nil {
		t.Error("credentials that the registry refuses were kept")
	}
	writeAuth(t, c, f.Host, "me", "s3cret")
	var doc struct {
		Auths map[string]struct{ Auth string }
	}
	if err := json.Unmarshal(must(os.ReadFile(file))(t), &doc); err != nil || doc.Auths[f.Host].Auth != base64.StdEncoding.EncodeToString([]byte("me:s3cret")) {
		t.Errorf("kept as %+v, %v", doc, err)
	}
	if mode := must(os.Stat(file))(t).Mode().Perm(); mode != 0o600 {
		t.Errorf("the file has the mode %v", mode)
	}
	// The same client knows it now, and another one.
	f.put(t, []byte("x"))
	for _, c := range []*registry.Client{c, newClient(t, opts)} {
		if size, err := repository(t, c, f.Host, "a/b").BlobSize(t.Context(), digest.FromString("x")); size != 1 || err != nil {
			t.Errorf("%d, %v", size, err)
		}
	}
	for _, want := range []bool{true, false} {
		if had, err := c.Logout(t.Context(), f.Host); had != want || err != nil {
			t.Errorf("log out: %v, %v", had, err)
		}
	}
	if strings.Contains(string(must(os.ReadFile(file))(t)), f.Host) {
		t.Error("the file still names the registry")
	}
	empty := newClient(t, options(t))
	wantError(t, empty.Login(t.Context(), f.Host, "me", "s3cret"), "--authfile")
}

// Logging in and out goes through the helper that the file names.
func TestHelper(t *testing.T) {
	log := fakeHelper(t, "cdbtest")
	f := newFixture(t, registrytest.Referrers(t), nil, registrytest.WithBasicAuth("me", "s3cret"))
	f.put(t, []byte("x"))
	for name, doc := range map[string]map[string]any{
		"store": {"credsStore": "cdbtest"}, "of the host": {"credHelpers": map[string]string{f.Host: "cdbtest"}},
	} {
		opts := options(t)
		file := writeJSON(t, filepath.Join(t.TempDir(), "config.json"), doc)
		opts.AuthFiles = []string{file}
		writeAuth(t, newClient(t, opts), f.Host, "me", "s3cret")
		if strings.Contains(string(must(os.ReadFile(file))(t)), "auth") {
			t.Errorf("%s: the password is in the file", name)
		}
		c := newClient(t, opts)
		for range 3 {
			if size, err := repository(t, c, f.Host, "a/b").BlobSize(t.Context(), digest.FromString("x")); size != 1 || err != nil {
				t.Errorf("%s: %d, %v", name, size, err)
			}
		}
		if had, err := c.Logout(t.Context(), f.Host); !had || err != nil {
			t.Errorf("%s: %v, %v", name, had, err)
		}
		if _, err := repository(t, newClient(t, opts), f.Host, "a/b").BlobSize(t.Context(), digest.FromString("x")); !errors.Is(err, registry.ErrDenied) {
			t.Errorf("%s: after the logout: %v", name, err)
		}
	}
	if calls := string(must(os.ReadFile(log))(t)); !strings.Contains(calls, "store") || !strings.Contains(calls, "get") || !strings.Contains(calls, "erase") {
		t.Errorf("the helper was called for %q", calls)
	}
}

// Tokens are asked for as they are needed, and again when they have expired,
// in the middle of a blob too.
func TestTokens(t *testing.T) {
	type test struct {
		tokens registrytest.Tokens
		doc    map[string]string
		faults func(f *fixture)
	}
	me := map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte("me:s3cret"))}
	with := func(c registrytest.Tokens) registrytest.Tokens {
		c.User, c.Password = "me", "s3cret"
		return c
	}
	slowly := func(f *fixture) {
		f.Inject(registrytest.UploadPatch, registrytest.Delay(200*time.Millisecond))
	}
	each(t, map[string]test{
		"plain":               {with(registrytest.Tokens{}), me, nil},
		"no POST":             {with(registrytest.Tokens{NoPost: true}), me, nil},
		"each for one use":    {with(registrytest.Tokens{Uses: 1}), me, nil},
		"short life":          {with(registrytest.Tokens{TTL: 500 * time.Millisecond}), me, slowly},
		"wrong about its end": {with(registrytest.Tokens{TTL: 500 * time.Millisecond, ExpiresIn: time.Hour}), me, slowly},
		"identity token":      {with(registrytest.Tokens{IdentityToken: "refresh-token-1"}), map[string]string{"identitytoken": "refresh-token-1", "auth": base64.StdEncoding.EncodeToString([]byte("00000000-0000-0000-0000-000000000000:"))}, nil},
		"it ends in the middle": {with(registrytest.Tokens{}), me, func(f *fixture) {
			f.Inject(registrytest.BlobGet, registrytest.CutResponse(300*kib))
			f.Inject(registrytest.BlobGet, registrytest.ExpireToken(), registrytest.When(every(2)))
			f.Inject(registrytest.UploadPatch, registrytest.ExpireToken(), registrytest.When(every(2)))
			f.Inject(registrytest.UploadPut, registrytest.ExpireToken(), registrytest.Once())
			f.Inject(registrytest.ManifestPut, registrytest.ExpireToken(), registrytest.Once())
		}},
		"the server is busy": {with(registrytest.Tokens{}), me, func(f *fixture) {
			f.Inject(registrytest.Token, registrytest.Status(503), registrytest.Times(2))
			f.Inject(registrytest.Token, registrytest.HangUp(), registrytest.Once())
		}},
	}, func(t *testing.T, c test) {
		upstream := registrytest.Referrers(t)
		f := newFixture(t, upstream, nil, registrytest.WithTokenAuth(c.tokens), registrytest.WithStorage(registrytest.Storage{}))
		opts := options(t)
		opts.AuthFiles = []string{writeJSON(t, filepath.Join(t.TempDir(), "config.json"), map[string]any{"auths": map[string]any{f.Host: c.doc}})}
		f.repo = repository(t, newClient(t, opts), f.Host, "a/b")
		if c.faults != nil {
			c.faults(f)
		}
		data := random(6*chunk, 1)
		if how, err := f.upload(t, data); how != registry.Uploaded || err != nil {
			t.Fatalf("%q, %v", how, err)
		}
		if _, err := f.repo.PutManifest(t.Context(), "v1", ocispec.MediaTypeImageManifest, []byte(`{"schemaVersion":2}`)); err != nil {
			t.Fatal(err)
		}
		b := must(f.repo.Blob(t.Context(), descriptor(data)))(t)
		got, err := readAll(t.Context(), b, 0, b.Size())
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		upstream.PutBlob(t, "other/one", []byte("mounted"))
		if how, err := f.upload(t, []byte("mounted"), "other/one"); how != registry.Mounted || err != nil {
			t.Errorf("mount: %q, %v", how, err)
		}
	})
}

// Who may not write hears so, and nothing of the credentials.
func TestTokensDenied(t *testing.T) {
	t.Parallel()
	f := newFixture(t, registrytest.Referrers(t), nil, registrytest.WithTokenAuth(registrytest.Tokens{User: "me", Password: "s3cret", AnonymousPull: true, Only: []string{"pull"}}))
	f.put(t, []byte("x"))
	for name, file := range map[string]string{
		"nobody": authFile(t, "", "", ""), "another": authFile(t, f.Host, "me", "not the s3cret"), "pull only": authFile(t, f.Host, "me", "s3cret"),
	} {
		opts := options(t)
		opts.AuthFiles = []string{file}
		r := repository(t, newClient(t, opts), f.Host, "a/b")
		size, err := r.BlobSize(t.Context(), digest.FromString("x"))
		if known := name != "another"; known && (err != nil || size != 1) || !known && !errors.Is(err, registry.ErrDenied) {
			t.Errorf("%s: %d, %v", name, size, err)
		}
		_, err = r.Upload(t.Context(), descriptor([]byte("new")), contentOf([]byte("new")), registry.UploadOptions{})
		wantError(t, err, "upload blob")
		if !errors.Is(err, registry.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
		_, err = r.PutManifest(t.Context(), "v1", ocispec.MediaTypeImageManifest, []byte("{}"))
		wantError(t, err, "put manifest")
		if !errors.Is(err, registry.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, r := range f.Requests(registrytest.Any) {
		if n := len(f.Requests(registrytest.Any)); n > 60 {
			t.Fatalf("%d requests, such as %+v", n, r)
		}
	}
}

// Another registry that is redirected to gets no credentials either: of none
// of the requests that a client sends.
func TestRedirectToStranger(t *testing.T) {
	t.Parallel()
	stranger := newFixture(t, registrytest.Referrers(t), nil, registrytest.WithBasicAuth("me", "s3cret"))
	f := newFixture(t, registrytest.Referrers(t), nil, registrytest.WithBasicAuth("me", "s3cret"))
	opts := options(t)
	opts.AuthFiles = []string{authFile(t, f.Host, "me", "s3cret")}
	r := repository(t, newClient(t, opts), f.Host, "a/b")
	for _, kind := range []registrytest.Kind{registrytest.BlobGet, registrytest.ManifestGet, registrytest.ManifestPut, registrytest.UploadPost, registrytest.BlobHead, registrytest.TagsGet} {
		f.Inject(kind, registrytest.Answer(307, "", "Location: "+stranger.URL+"/v2/a/b/blobs/"+digest.FromString("x").String()))
	}
	f.Inject(registrytest.ReferrersGet, registrytest.SetHeader("Link", "<"+stranger.URL+`/v2/x>; rel="next"`))
	_, _, err := r.Manifest(t.Context(), "v1")
	wantError(t, err, "get manifest")
	_, err = r.BlobSize(t.Context(), digest.FromString("x"))
	wantError(t, err, "look for blob")
	_, err = r.PutManifest(t.Context(), "v1", ocispec.MediaTypeImageManifest, []byte("{}"))
	wantError(t, err, "put manifest")
	_, err = r.Upload(t.Context(), descriptor([]byte("x")), contentOf([]byte("x")), registry.UploadOptions{})
	wantError(t, err, "upload")
	_, _, err = r.Referrers(t.Context(), digest.FromString("x"))
	wantError(t, err, "list referrers")
	f.Clear()
	f.Inject(registrytest.UploadPost, registrytest.SetHeader("Location", stranger.URL+"/v2/a/b/blobs/uploads/x"))
	_, err = r.Upload(t.Context(), descriptor([]byte("x")), contentOf([]byte("x")), registry.UploadOptions{})
	wantError(t, err, "upload")
	if stranger.Count(registrytest.Any) == 0 {
		t.Error("nothing was redirected")
	}
	for _, req := range stranger.Requests(registrytest.Any) {
		if req.Authorization != "" {
			t.Errorf("%s %s got credentials", req.Method, req.Path)
		}
	}
}
