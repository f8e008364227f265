package main_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// unpacked returns the folder of an unpacked image with one file.
func unpacked(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, "entrypoint"), ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	err := errors.Join(os.MkdirAll(filepath.Join(dir, "srv/data"), 0o755), os.Mkdir(filepath.Join(dir, ".cdb"), 0o755),
		os.WriteFile(filepath.Join(dir, "srv/data/tomato.txt"), []byte("tomato!\n"), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	w, err := catalog.Create(filepath.Join(dir, ".cdb/catalog.db"), catalog.WriterOptions{Prefix: "/srv/data"})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []*catalog.Entry{
		{Entry: tree.Entry{Type: tree.Dir, Mode: 0o755}},
		{Entry: tree.Entry{Path: "tomato.txt", Type: tree.File, Mode: 0o644, Size: 8}, SHA256: sha256.Sum256([]byte("tomato!\n")), Pack: 1},
	} {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Finish(context.Background(), catalog.Dataset{Created: time.Unix(0, 0)}, catalog.Version{}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestEntrypoint(t *testing.T) {
	dir := unpacked(t)
	program := filepath.Join(dir, "entrypoint")
	run := func(args ...string) (out, errs string, code int) {
		var stdout, stderr strings.Builder
		cmd := exec.Command(program, args...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
	}
	const line = `/srv/data/tomato.txt {"size": 8, "sha256": "3b7721618a86990a3a90f9fa5744d15812954fba6bb21ebf5b5b66ad78cf5816"}` + "\n"
	for args, want := range map[string]string{"": line, "-ls": "/srv/data/tomato.txt\n", "-cat tomato.txt": "tomato!\n", "-health": "healthy\n"} {
		if out, errs, code := run(strings.Fields(args)...); out != want || errs != "" || code != 0 {
			t.Errorf("%q: %q %q %d", args, out, errs, code)
		}
	}
	if out, errs, code := run("-verify"); out != "" || code != 0 || !strings.Contains(errs, "all match") {
		t.Errorf("-verify: %q %q %d", out, errs, code)
	}
	if _, _, code := run("-bogus"); code != 2 {
		t.Errorf("-bogus: code %d", code)
	}
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		startAndStop(t, program, sig)
	}
	// Help and version need no catalog, all else says what is missing.
	if err := os.RemoveAll(filepath.Join(dir, ".cdb")); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := run("-h"); code != 0 || !strings.HasPrefix(errs, "Usage") {
		t.Errorf("-h: %q %d", errs, code)
	}
	if _, err := os.Stat("/.cdb"); err == nil {
		return
	}
	if out, errs, code := run("-ls"); code != 1 || out != "" || !strings.Contains(errs, "/.cdb/catalog.db") {
		t.Errorf("without a catalog: %q %q %d", out, errs, code)
	}
}

func startAndStop(t *testing.T, program string, sig os.Signal) {
	t.Helper()
	cmd := exec.Command(program, "-start")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "Starting data-container\n" {
		t.Errorf("-start: %q, %v", line, err)
	}
	time.Sleep(50 * time.Millisecond)
	begun := time.Now()
	if err := cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || time.Since(begun) > time.Second {
		t.Errorf("%v: %v after %v", sig, err, time.Since(begun))
	}
	if cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(); cpu > 500*time.Millisecond {
		t.Errorf("-start took %v of CPU", cpu)
	}
}
