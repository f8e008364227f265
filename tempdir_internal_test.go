package cdb

import (
	"os"
	"path/filepath"
	"testing"
)

// What killed builds left goes; what a build uses, and what only looks alike,
// stays.
func TestTempDirs(t *testing.T) {
	dir := t.TempDir()
	mkdir := func(name string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Join(path, "sub"), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	left := mkdir("cdb-build-123")
	others := []string{mkdir("cdb-build-mine"), mkdir("cdb-build-"), mkdir("cdb-build-1.bak"), mkdir("elsewhere")}
	link := filepath.Join(dir, "cdb-build-456")
	if err := os.Symlink(others[3], link); err != nil {
		t.Fatal(err)
	}
	first, err := makeTempDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := makeTempDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(left); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", left, err)
	}
	for _, path := range append(others, link, filepath.Join(others[3], "sub"), first.path, second.path) {
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	}
	for _, d := range []*tempDir{first, second} {
		if err := d.remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(d.path); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", d.path, err)
		}
	}
	if _, err := makeTempDir(filepath.Join(dir, "missing")); err == nil {
		t.Error("a temporary folder was made in a folder that is not there")
	}
}
