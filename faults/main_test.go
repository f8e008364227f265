package faults_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// program names the cdb under test in the environment of the tests; if it is
// set from outside, that one is tested.
const program = "FAULTS_CDB"

func TestMain(m *testing.M) {
	os.Exit(withProgram(m.Run))
}

// withProgram builds cdb, unless there is one already, and runs the tests.
func withProgram(run func() int) int {
	if os.Getenv(program) != "" {
		return run()
	}
	dir, err := os.MkdirTemp("", "cdb-faults-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = buildProgram(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run()
}

// buildProgram builds cdb with small entrypoints into dir, where any user may
// run it.
func buildProgram(dir string) error {
	root, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	replace := map[string]string{}
	for _, arch := range []string{"amd64", "arm64"} {
		standIn := filepath.Join(dir, "linux-"+arch)
		if err := os.WriteFile(standIn, []byte("#!/bin/sh\necho stand-in for "+arch+"\n"), 0o755); err != nil {
			return err
		}
		replace[filepath.Join(root, "cmd/cdb/entrypoints/linux-"+arch)] = standIn
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o644); err != nil {
		return err
	}
	out := filepath.Join(dir, "cdb")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-overlay", file, "-o", out, "./cmd/cdb")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build cdb: %w\n%s", err, msg)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	return os.Setenv(program, out)
}
