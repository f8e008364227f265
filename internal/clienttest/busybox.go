package clienttest

import (
	"archive/tar"
	"debug/elf"
	"os"
	"path/filepath"
	"testing"
)

// Busybox writes a tar with the root file system of a small image (Debian's static busybox and links to it) and
// returns its path: what "docker import" and "podman import" take, since the tests pull nothing.
func Busybox(t testing.TB) string {
	t.Helper()
	program := lookup(t, "busybox")
	if !static(program) {
		skip(t, "%s is not static: install busybox-static", program)
	}
	bytes, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "busybox.tar")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(f)
	add := func(h tar.Header, content []byte) {
		h.Size = int64(len(content))
		if err == nil {
			err = w.WriteHeader(&h)
		}
		if err == nil {
			_, err = w.Write(content)
		}
	}
	add(tar.Header{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	add(tar.Header{Name: "bin/busybox", Typeflag: tar.TypeReg, Mode: 0o755}, bytes)
	for _, name := range []string{"cat", "find", "ls", "md5sum", "sh", "sha256sum", "sleep", "tail", "touch", "wc"} {
		add(tar.Header{Name: "bin/" + name, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777}, nil)
	}
	for _, closer := range []func() error{w.Close, f.Close} {
		if e := closer(); err == nil {
			err = e
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// static says whether an ELF program asks for no interpreter.
func static(path string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}
