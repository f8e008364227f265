package faults_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// randomBytes are n bytes that do not compress, or text that does.
func randomBytes(r *rand.Rand, n int) []byte {
	data := make([]byte, n)
	if r.IntN(2) == 0 {
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		return data
	}
	line := fmt.Appendf(nil, "line of file %d\n", r.Uint32())
	return bytes.Repeat(line, n/len(line)+1)[:n]
}

// folderNames are those of the folders of a tree; some are hard to get right.
var folderNames = []string{"a", "b/c/d", "with space", "not-utf8-\xff", "b/c", "z", "-dash"}

// randomPath is a place for a file; the same one may come again.
func randomPath(r *rand.Rand) string {
	dir := ""
	if r.IntN(4) > 0 {
		dir = folderNames[r.IntN(len(folderNames))]
	}
	return filepath.Join(dir, fmt.Sprintf("f%d", r.IntN(200)))
}

// randomTree makes n files in src.
func (w *world) randomTree(n int) {
	w.Helper()
	for range n {
		w.writeFile(randomPath(w.rand), randomBytes(w.rand, w.rand.IntN(12_000)))
	}
	w.must(os.MkdirAll(filepath.Join(w.src, "empty"), 0o755))
	w.must(os.Symlink("nowhere", filepath.Join(w.src, "dangling")))
	w.writeFile("first", []byte("one file with two names"))
	w.must(os.Link(filepath.Join(w.src, "first"), filepath.Join(w.src, "second")))
}

func (w *world) writeFile(path string, data []byte) {
	w.Helper()
	path = filepath.Join(w.src, path)
	w.must(os.MkdirAll(filepath.Dir(path), 0o755))
	w.must(os.RemoveAll(path))
	w.must(os.WriteFile(path, data, 0o644))
}

// change changes some of the source: files come, go, change, become links or
// folders, and whole folders go.
func (w *world) change() {
	w.Helper()
	for range 1 + w.rand.IntN(6) {
		path := randomPath(w.rand)
		full := filepath.Join(w.src, path)
		switch w.rand.IntN(12) {
		case 0, 1:
			w.must(os.RemoveAll(full))
		case 2:
			w.must(os.RemoveAll(full))
			w.must(os.MkdirAll(filepath.Dir(full), 0o755))
			w.must(os.Symlink("f1", full))
		case 3:
			w.must(os.RemoveAll(full))
			w.writeFile(path+"/below", randomBytes(w.rand, 100))
		case 4:
			w.must(os.RemoveAll(filepath.Join(w.src, folderNames[w.rand.IntN(len(folderNames))])))
		case 5:
			w.writeFile(path, randomBytes(w.rand, 400_000))
		default:
			w.writeFile(path, randomBytes(w.rand, w.rand.IntN(12_000)))
		}
	}
}

// datasetDigest is what docs/format.md says: the sha256 of what sha256sum
// prints of all files in byte order of their paths.
func datasetDigest(t testing.TB, dir string) string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			paths = append(paths, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(paths)
	sum := sha256.New()
	for _, p := range paths {
		fmt.Fprintf(sum, "%s  %s\n", fileSum(t, filepath.Join(dir, p)), p)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

func fileSum(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sumOf(data)
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// listTree lists a tree so that trees that are the same to cdb have the same
// list.
func listTree(t testing.TB, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		what := ""
		switch {
		case d.Type() == fs.ModeSymlink:
			what, err = os.Readlink(path)
		case d.Type().IsRegular():
			what = fileSum(t, path)
		}
		list = append(list, fmt.Sprintf("%q %v %d %s", strings.TrimPrefix(path, dir+"/"), d.Type(), st.Mtim.Sec, what))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
