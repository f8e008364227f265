// Package e2e_test is the suite of real clients: images that cdb makes are loaded, run, mounted and copied by Docker,
// docker-compose, Podman, Buildah, skopeo and containerd, each private to its test. Tests skip where a client cannot
// be had.
package e2e_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/clienttest"
)

const (
	avocado = `{"size": 9, "sha256": "327bf8231c9572ecdfdc53473319699e7b8e6a98adf0f383ff6be5b46094aba4"}`
	tomato  = `{"size": 8, "sha256": "3b7721618a86990a3a90f9fa5744d15812954fba6bb21ebf5b5b66ad78cf5816"}`
	list    = "/data/avocado.txt\n/data/tomato.txt\n"
)

// queries are what the entrypoint is asked, with its exact answer for the two files of the fruit example.
var queries = []struct {
	args string
	want string
}{
	{"", "/data/avocado.txt " + avocado + "\n/data/tomato.txt " + tomato + "\n"},
	{"-ls", list},
	{"--ls", list},
	{"-get /data/avocado.txt", "/data/avocado.txt " + avocado + "\n"},
	{"-get /data/", "/data/avocado.txt " + avocado + "\n/data/tomato.txt " + tomato + "\n"},
	{"-get nothing-like-it", ""},
	{"-metric size", "Order by size\n/data/tomato.txt: " + tomato + "\n/data/avocado.txt: " + avocado + "\n"},
	{"-metric size -search 8", "/data/tomato.txt 8\n"},
	{"-metric sha256 -search 8", "/data/avocado.txt 327bf8231c9572ecdfdc53473319699e7b8e6a98adf0f383ff6be5b46094aba4\n" +
		"/data/tomato.txt 3b7721618a86990a3a90f9fa5744d15812954fba6bb21ebf5b5b66ad78cf5816\n"},
	{"-get toma -metric size -search 9", "/data/tomato.txt " + tomato + "\n"},
	{"-count", "2\n"},
	{"-cat /data/tomato.txt", "tomato!\n"},
}

// fruit returns the data folder of the first example.
func fruit(t *testing.T) string {
	return filepath.Join(clienttest.Root(t), "examples", "docker-simple", "data")
}

// askAll checks every answer of a container; run is "docker run IMAGE" or its like.
func askAll(t *testing.T, run clienttest.Client) {
	t.Helper()
	for _, q := range queries {
		if got := run.Run(t, strings.Fields(q.args)...); got != q.want {
			t.Errorf("entrypoint %s\ngot:\n%swant:\n%s", q.args, got, q.want)
		}
	}
	if got := run.Try("-verify"); got.Code != 0 || got.Stdout != "" || !strings.Contains(got.Stderr, "verified 2 files") {
		t.Errorf("entrypoint -verify: exit code %d\n%s%s", got.Code, got.Stdout, got.Stderr)
	}
	for _, q := range [][]string{
		{"-info"},
		{"-sql", "SELECT count(*) AS n FROM files"},
	} {
		if got := run.Run(t, q...); !strings.Contains(got, "2") {
			t.Errorf("entrypoint %s: the answer does not speak of 2 files:\n%s", strings.Join(q, " "), got)
		}
	}
	for _, bad := range []struct {
		args []string
		code int
	}{
		{[]string{"-metric", "bogus"}, 1},
		{[]string{"-no-such-flag"}, 2},
		{[]string{"-sql", "DELETE FROM files"}, 1},
	} {
		got := run.Try(bad.args...)
		if got.Code != bad.code || got.Stdout != "" || got.Stderr == "" {
			t.Errorf("entrypoint %s: got %+v, want code %d and a message on stderr", strings.Join(bad.args, " "), got, bad.code)
		}
	}
}

// build makes an image and returns the pinned reference that cdb prints.
func build(t *testing.T, cdb clienttest.Client, args ...string) string {
	t.Helper()
	reference := cdb.Run(t, append([]string{"build"}, args...)...)
	line := strings.TrimSuffix(reference, "\n")
	if strings.Contains(line, "\n") || !strings.Contains(line, "sha256:") {
		t.Fatalf("cdb build prints %q, want one pinned reference", reference)
	}
	return line
}

// archive makes the fruit archive that every client takes, under the given name.
func archive(t *testing.T, cdb clienttest.Client, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fruit.tar")
	build(t, cdb, fruit(t), "-t", name, "-o", path)
	return path
}

func TestLocalStoreAnswersAsTheContainerDoes(t *testing.T) {
	cdb := clienttest.CDB(t)
	build(t, cdb, fruit(t), "-t", "fruit")
	for _, q := range queries {
		args := append([]string{"query", "fruit"}, strings.Fields(q.args)...)
		if got := cdb.Run(t, args...); got != q.want {
			t.Errorf("cdb %s\ngot:\n%swant:\n%s", fmt.Sprint(args), got, q.want)
		}
	}
}
