package main

import (
	"os"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/ui"
)

// The references of commands and of metadata say what the program says.
func TestDocs(t *testing.T) {
	for name, args := range map[string][]string{"commands": {"docs"}, "metadata": {"docs", "--metadata"}} {
		var out, errs strings.Builder
		a := &app{stdout: &out, stderr: &errs, talk: ui.NewTalk(&errs, "cdb"), getenv: func(string) string { return "" }}
		if code := a.execute(t.Context(), args); code != 0 {
			t.Fatalf("exit code %d: %s", code, errs.String())
		}
		want, err := os.ReadFile("../../docs/" + name + ".md")
		if err != nil {
			t.Fatal(err)
		}
		if out.String() != string(want) {
			t.Errorf("docs/%s.md is not what the program says now: run \"make docs\"", name)
		}
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
