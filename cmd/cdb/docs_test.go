package main

import (
	"os"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/ui"
)

// The reference of commands says what their help says.
func TestDocs(t *testing.T) {
	var out, errs strings.Builder
	a := &app{stdout: &out, stderr: &errs, talk: ui.NewTalk(&errs, "cdb"), getenv: func(string) string { return "" }}
	if code := a.execute(t.Context(), []string{"docs"}); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	want, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Error("docs/commands.md is not what the help says now: run \"make docs\"")
	}
}

// Every command explains itself with an example.
func TestHelp(t *testing.T) {
	a := &app{getenv: func(string) string { return "" }}
	for _, c := range a.root().Commands() {
		if c.Name() == "docs" || c.Name() == "help" {
			continue
		}
		if c.Long == "" || !strings.Contains(c.Example, "cdb "+c.Name()) {
			t.Errorf("%s has no description or no example", c.CommandPath())
		}
		if c.ValidArgsFunction == nil {
			t.Errorf("%s completes nothing", c.CommandPath())
		}
	}
}
