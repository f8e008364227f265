package faults_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	kib  = 1 << 10
	mib  = 1 << 20
	room = 64 * mib // enough for all that the tests do
)

// sizes are those of free space on a disk, until something fits.
func sizes(yield func(int64) bool) {
	for size := int64(64 * kib); size < room; size = size * 8 / 5 / kib * kib {
		if !yield(size) {
			return
		}
	}
}

// full checks the error of a command that found the disk at place full.
func (w *world) full(r *result, place string) {
	w.Helper()
	if r.code != 1 {
		w.Fatalf("on a full disk: %v", r)
	}
	if !strings.Contains(r.stderr, "no space left on device") || !strings.Contains(r.stderr, place) {
		w.Errorf("the message neither names %s nor says that it is full: %v", place, r)
	}
	if r.stdout != "" {
		w.Errorf("it printed an answer: %v", r)
	}
}

// fullSource makes a source whose image takes a few MiB.
func (w *world) fullSource() {
	w.Helper()
	w.randomTree(150)
	for _, name := range []string{"large", "large2"} {
		data := make([]byte, 900*kib)
		for i := range data {
			data[i] = byte(w.rand.Uint32())
		}
		w.writeFile(name, data)
	}
}

// used returns the bytes that are taken on a tmpfs.
func used(t testing.TB, dir string) int64 {
	t.Helper()
	total, free := space(t, dir)
	return total - free
}

// A store that is full keeps its images, gets no new one, and takes it as soon
// as there is room.
func TestFullStore(t *testing.T) {
	steps(t, "store", func(w *world, size int64) bool {
		mountTmpfs(w, w.store, room)
		defer unmount(w.store)
		w.build("small:1")
		w.fullSource()
		resize(w, w.store, used(w, w.store)+size)
		r := w.run("build", w.src, "-t", "big:1")
		if r.code == 0 {
			return true
		}
		w.full(r, w.store)
		w.intact()
		w.verify("small:1")
		w.noTemporariesBut("cache")
		// Even now it can be cleared up.
		w.collect()
		w.verify("small:1")
		resize(w, w.store, room)
		w.build("big:1")
		w.verifyAll()
		return false
	})
}

// A new version into a full store is no different.
func TestFullStoreNewVersion(t *testing.T) {
	steps(t, "store", func(w *world, size int64) bool {
		mountTmpfs(w, w.store, room)
		defer unmount(w.store)
		w.fullSource()
		w.build("data:1")
		w.writeFile("large", randomBytes(w.rand, 700*kib))
		w.must(os.Remove(filepath.Join(w.src, "large2")))
		resize(w, w.store, used(w, w.store)+size)
		r := w.run("build", w.src, "-t", "data:2")
		if r.code == 0 {
			return true
		}
		w.full(r, w.store)
		w.intact()
		w.verify("data:1")
		resize(w, w.store, room)
		w.build("data:2")
		w.verifyAll()
		w.noTemporaries()
		return false
	})
}

// Without room for temporary files nothing is built.
func TestFullTemp(t *testing.T) {
	steps(t, "TMPDIR", func(w *world, size int64) bool {
		w.build("small:1")
		for i := range 3000 {
			w.must(os.WriteFile(filepath.Join(w.src, fmt.Sprintf("row-%d-of-the-catalog", i)), nil, 0o644))
		}
		mountTmpfs(w, w.temp, size)
		defer unmount(w.temp)
		r := w.run("build", w.src, "-t", "big:1")
		if r.code == 0 {
			return true
		}
		w.full(r, w.temp)
		w.intact()
		w.noTemporariesBut("cache")
		resize(w, w.temp, room)
		w.build("big:1")
		w.verifyAll()
		return false
	})
}

// The change cache only saves work: it may be full.
func TestFullCache(t *testing.T) {
	w := newWorld(t)
	w.fullSource()
	for _, size := range []int64{4 * kib, 8 * kib, 16 * kib, 64 * kib} {
		func() {
			mountTmpfs(t, w.cache, size)
			defer unmount(w.cache)
			w.build("data:1")
			w.change()
			w.build("data:2")
			w.build("data:3")
			w.build("data:4", "--no-parent")
			w.verifyAll()
			w.noLeftovers()
		}()
	}
}

// An archive is there as a whole, or not at all, or as it was.
func TestFullArchive(t *testing.T) {
	for _, there := range []bool{false, true} {
		steps(t, "archive", func(w *world, size int64) bool {
			out := filepath.Join(w.dir, "out")
			w.must(os.Mkdir(out, 0o777))
			mountTmpfs(w, out, room)
			defer unmount(out)
			file := filepath.Join(out, "image.tar")
			before := ""
			if there {
				w.ok("build", w.src, "-t", "small:1", "-o", file)
				before = fileSum(w, file)
			}
			w.fullSource()
			resize(w, out, used(w, out)+size)
			r := w.run("build", w.src, "-t", "big:1", "-o", file)
			if r.code == 0 {
				return true
			}
			w.full(r, file)
			if left := strings.Join(names(w, out), " "); there && left != "image.tar" || !there && left != "" {
				w.Errorf("left in the folder: %q", left)
			}
			if there && fileSum(w, file) != before {
				w.Error("the archive that was there is another one")
			}
			w.noTemporariesBut("cache")
			resize(w, out, room)
			w.ok("build", w.src, "-t", "big:1", "-o", file)
			w.ok("verify", file)
			return false
		})
	}
}

// So is a layout; one that was there keeps its images.
func TestFullLayout(t *testing.T) {
	for _, there := range []bool{false, true} {
		steps(t, "layout", func(w *world, size int64) bool {
			out := filepath.Join(w.dir, "out")
			w.must(os.Mkdir(out, 0o777))
			mountTmpfs(w, out, room)
			defer unmount(out)
			dir := filepath.Join(out, "layout")
			if there {
				w.ok("build", w.src, "-o", "oci:"+dir+":small")
			}
			w.fullSource()
			resize(w, out, used(w, out)+size)
			r := w.run("build", w.src, "-o", "oci:"+dir+":big")
			if r.code == 0 {
				return true
			}
			w.full(r, dir)
			if there {
				w.ok("verify", "oci:"+dir+":small")
			} else if left := names(w, out); len(left) > 0 {
				w.Errorf("left in the folder: %q", left)
			}
			w.noTemporariesBut("cache")
			resize(w, out, room)
			w.ok("build", w.src, "-o", "oci:"+dir+":big")
			w.ok("verify", "oci:"+dir+":big")
			return false
		})
	}
}

// Nor does an export leave half a file.
func TestFullExport(t *testing.T) {
	steps(t, "export", func(w *world, size int64) bool {
		w.fullSource()
		w.build("data:1")
		out := filepath.Join(w.dir, "out")
		w.must(os.Mkdir(out, 0o777))
		mountTmpfs(w, out, size)
		defer unmount(out)
		r := w.run("export", "data:1", "-o", out)
		if r.code == 0 {
			return true
		}
		if r.code != 1 || !strings.Contains(r.stderr, "no space left on device") {
			w.Errorf("on a full disk: %v", r)
		}
		have := map[string]bool{}
		for _, line := range listTree(w, w.src) {
			have[line] = true
		}
		for _, line := range listTree(w, out) {
			if !have[line] && !strings.Contains(line, `" d`) {
				w.Errorf("half-written: %s", line)
			}
		}
		return false
	})
}

// steps runs a test with disks of more and more room, each in a world of its
// own, until it has succeeded.
func steps(t *testing.T, what string, try func(w *world, size int64) bool) {
	t.Helper()
	needRoot(t)
	failed := 0
	for size := range sizes {
		done := false
		t.Run(strings.ReplaceAll(what, " ", "-")+"-"+byteSize(size), func(t *testing.T) {
			done = try(newWorld(t), size)
		})
		if t.Failed() {
			return
		}
		if done {
			break
		}
		failed++
	}
	if failed < 2 {
		t.Errorf("only %d sizes of the %s were too small", failed, what)
	}
}
