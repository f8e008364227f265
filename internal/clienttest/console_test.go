package clienttest_test

import (
	"path/filepath"
	"testing"

	"github.com/data-containers/cdb/internal/clienttest"
)

const document = "Text\n" +
	"```console\n$ echo a; echo b\na\nb\n$ printf '%s\\n' \\\n    c d\n...\nd\n```\n" +
	"```sh\n$ false\n```\n" +
	"```console\n$ true\n```\n"

func TestConsoleReadsCommandsAndTheirOutput(t *testing.T) {
	path := filepath.Join(t.TempDir(), "README.md")
	clienttest.Write(t, path, document)
	got := clienttest.Console(t, path)
	want := []clienttest.Step{
		{Command: "echo a; echo b", Want: "a\nb\n", Line: 3},
		{Command: "printf '%s\\n' \\\n    c d", Want: "...\nd\n", Line: 6},
		{Command: "true", Line: 15},
	}
	if len(got) != len(want) {
		t.Fatalf("got %d steps %+v, want %d", len(got), got, len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("step %d: got %+v, want %+v", i, got[i], want[i])
		}
	}
	clienttest.RunConsole(t, clienttest.Shell(t.TempDir()), path)
}

func TestStepMatches(t *testing.T) {
	for _, c := range []struct {
		want, got string
		matches   bool
	}{
		{"", "anything\n", true},
		{"a\n", "a\n", true},
		{"a\n", "a", false},
		{"a\n", "a\nb\n", false},
		{"a\nb\n", "a\n", false},
		{"...\n", "", true},
		{"...\nb\n", "a\na\nb\n", true},
		{"a\n...\nz\n", "a\nz\n", true},
		{"a\n...\nz\n", "a\nb\n", false},
	} {
		if got := (clienttest.Step{Want: c.want}).Matches(c.got); got != c.matches {
			t.Errorf("%q matches %q: got %v, want %v", c.want, c.got, got, c.matches)
		}
	}
}

func TestClientEnvironment(t *testing.T) {
	t.Setenv("CDB_KEPT", "kept")
	t.Setenv("CDB_REPLACED", "old")
	t.Setenv("CDB_REMOVED", "there")
	sh := clienttest.Client{Path: "sh", Args: []string{"-c"}, Env: map[string]string{"CDB_REPLACED": "new", "CDB_REMOVED": ""}}
	got := sh.Try(`echo "$CDB_KEPT $CDB_REPLACED ${CDB_REMOVED-gone}"; echo talk >&2; exit 5`)
	if want := (clienttest.Result{Stdout: "kept new gone\n", Stderr: "talk\n", Code: 5}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := (clienttest.Client{Path: "/no/such/program"}).Try(); got.Code != -1 {
		t.Errorf("a missing program gives %+v, want code -1", got)
	}
}
