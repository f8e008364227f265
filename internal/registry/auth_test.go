package registry_test

import (
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
