package faults_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A limit on the size of files ends a build as a full disk does.
func TestFileSizeLimit(t *testing.T) {
	w := newWorld(t)
	w.build("small:1")
	w.fullSource()
	failed := 0
	for blocks := 1; ; blocks *= 2 {
		w.wrapper = []string{"sh", "-c", "ulimit -f " + strconv.Itoa(blocks) + `; exec "$0" "$@"`}
		r := w.run("build", w.src, "-t", "big:1")
		w.wrapper = nil
		if r.code == 0 {
			break
		}
		failed++
		if r.code != 1 || !strings.Contains(r.stderr, "file too large") && !strings.Contains(r.stderr, "disk I/O error") ||
			!strings.Contains(r.stderr, w.store) && !strings.Contains(r.stderr, w.temp) {
			t.Errorf("with at most %d blocks to a file: %v", blocks, r)
		}
		w.intact()
		w.verify("small:1")
		w.noTemporariesBut("cache")
	}
	if failed < 3 {
		t.Errorf("only %d limits were too low", failed)
	}
	w.build("big:1")
	w.verifyAll()
	w.collect()
}

// A store that can only be read is read, and says why it takes nothing.
func TestReadOnlyStore(t *testing.T) {
	w := newWorld(t)
	mountTmpfs(t, w.store, room)
	w.randomTree(50)
	w.build("data:1")
	readOnly := func(flag uintptr) {
		w.must(unix.Mount("tmpfs", w.store, "tmpfs", unix.MS_REMOUNT|flag, ""))
	}
	readOnly(unix.MS_RDONLY)
	w.writeFile("new", []byte("new"))
	for _, args := range [][]string{{"build", w.src, "-t", "data:2"}, {"tag", "data:1", "other:1"}, {"rm", "data:1"}, {"gc"}} {
		r := w.run(args...)
		if r.code != 1 || !strings.Contains(r.stderr, "read-only file system") || !strings.Contains(r.stderr, w.store) {
			t.Errorf("on a read-only store: %v", r)
		}
	}
	w.verifyAll()
	if left := names(t, w.temp); len(left) > 0 {
		t.Errorf("left in TMPDIR: %q", left)
	}
	readOnly(0)
	w.build("data:2")
	w.verifyAll()
	w.noTemporaries()
}

// A store whose disk is taken away during a build gets no image that is not
// there.
func TestStoreUnmounted(t *testing.T) {
	w := newWorld(t)
	w.fullSource()
	for range 12 {
		mountTmpfs(t, w.store, room)
		cmd, wait := w.start("build", w.src, "-t", "data:1", "--no-parent")
		time.Sleep(time.Duration(w.rand.IntN(150)) * time.Millisecond)
		unmount(w.store)
		r := wait()
		_ = cmd
		switch {
		case r.code == 0 && len(w.images()) == 0:
			// It had ended before, on the disk that is gone.
		case r.code == 0:
			w.published["data:1"] = published{w.images()["data:1"], datasetDigest(w, w.src)}
			w.verifyAll()
		case r.code != 1 || !strings.Contains(r.stderr, w.store):
			t.Errorf("the store went away: %v", r)
		case len(w.images()) > 0:
			t.Error("a build failed and published")
		}
		delete(w.published, "data:1")
		for _, n := range names(t, w.store) {
			w.must(os.RemoveAll(filepath.Join(w.store, n)))
		}
	}
}

// When the power goes, images that were published are there after it comes
// back, and so is a store that works.
func TestPowerCut(t *testing.T) {
	w := newWorld(t)
	d := newDisk(t, w.store, 64*mib)
	w.store = filepath.Join(w.store, "cdb")
	w.randomTree(100)
	w.build("data:first")
	cuts := 20
	if testing.Short() {
		cuts = 4
	}
	usual := 150 * time.Millisecond
	for i := range cuts {
		name := fmt.Sprintf("data:%d", i)
		w.change()
		begin := time.Now()
		_, wait := w.start("build", w.src, "-t", name)
		time.Sleep(time.Duration(w.rand.Float64() * 1.2 * float64(usual)))
		w.must(d.cutPower())
		r := wait()
		switch {
		case r.code == 0:
			usual = time.Since(begin)
			w.published[name] = published{} // it said so, so it is durable
		case r.code != 1 || !strings.Contains(r.stderr, w.store) || !strings.Contains(r.stderr, "input/output error"):
			t.Errorf("the power went: %v", r)
		}
		d.unmount()
		d.mount()
		digest := w.images()[name]
		if _, ok := w.published[name]; ok && digest == "" {
			t.Fatalf("%s was built, and then it was gone", name)
		}
		if digest != "" {
			w.published[name] = published{digest, datasetDigest(w, w.src)}
		}
		w.verifyAll()
		w.build(fmt.Sprintf("data:after%d", i))
		w.noTemporaries()
		w.thin()
	}
	w.collect()
	w.verifyAll()
}

// Files that a bad disk does not give back are named and left out; the others
// are right.
func TestSourceWithReadErrors(t *testing.T) {
	w := newWorld(t)
	d := newDisk(t, w.src, 8*mib, "-O", "^has_journal", "-b", "1024", "-m", "0")
	w.must(os.Remove(filepath.Join(w.src, "lost+found")))
	whole := map[string]string{}
	for i := range 25 {
		name := fmt.Sprintf("f%02d", i)
		size := 1 + w.rand.IntN(400*kib)
		data := bytes.Repeat(fmt.Appendf(nil, "%s\n", name), size)[:size]
		if os.WriteFile(filepath.Join(w.src, name), data, 0o644) != nil {
			w.must(os.Remove(filepath.Join(w.src, name)))
			break
		}
		whole[name] = sumOf(data)
	}
	w.build("data:whole")
	bad := w.breakDisk(d, whole)
	r := w.run("build", w.src, "-t", "data:broken", "--json", "--no-parent")
	var b built
	if r.code != 3 || json.Unmarshal([]byte(r.stdout), &b) != nil || len(b.Skipped) != len(bad) {
		t.Fatalf("with %d files that cannot be read: %v", len(bad), r)
	}
	for _, s := range b.Skipped {
		if !bad[s.Path] || !strings.Contains(s.Error, "input/output error") {
			t.Errorf("skipped %q: %s", s.Path, s.Error)
		}
		if !strings.Contains(r.stderr, s.Path) {
			t.Errorf("%s is not named: %v", s.Path, r)
		}
	}
	out := filepath.Join(w.dir, "out")
	w.ok("verify", "data:broken")
	w.ok("export", "data:broken", "-o", out)
	for name, sum := range whole {
		_, err := os.Stat(filepath.Join(out, name))
		if bad[name] != os.IsNotExist(err) || !bad[name] && fileSum(t, filepath.Join(out, name)) != sum {
			t.Errorf("%s is not as it should be: %v", name, err)
		}
	}
	if r := w.run("build", w.src, "-t", "data:strict", "--no-parent", "--strict"); r.code != 1 || !strings.Contains(r.stderr, "input/output error") {
		t.Errorf("--strict: %v", r)
	}
	w.published["data:broken"] = published{b.Digest, b.DatasetDigest}
	w.verifyAll()
}

// breakDisk takes away the end of the disk, and returns the files that cannot
// be read any more.
func (w *world) breakDisk(d *disk, files map[string]string) map[string]bool {
	w.Helper()
	unix.Sync()
	w.must(os.Truncate(d.file, 5*mib))
	bad := map[string]bool{}
	for name := range files {
		w.must(forget(filepath.Join(w.src, name)))
		if data, err := os.ReadFile(filepath.Join(w.src, name)); err != nil {
			bad[name] = true
		} else if sumOf(data) != files[name] {
			w.Skip("this system reads zeros from a loop device that lost its end")
		}
	}
	if len(bad) == 0 || len(bad) == len(files) {
		w.Skipf("%d of %d files cannot be read: no ground to test on", len(bad), len(files))
	}
	return bad
}

// forget makes the next read of a file one from the disk.
func forget(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// Files and folders that a user may not read are named and left out; with
// --strict they end the build.
func TestUnreadable(t *testing.T) {
	w := newWorld(t)
	w.randomTree(30)
	w.build("data:all")
	w.must(os.Chmod(filepath.Join(w.src, "first"), 0))
	w.must(os.MkdirAll(filepath.Join(w.src, "closed", "inner"), 0o755))
	w.must(os.Chmod(filepath.Join(w.src, "closed"), 0))
	defer os.Chmod(filepath.Join(w.src, "closed"), 0o755)
	w.asOrdinaryUser()
	r := w.run("build", w.src, "-t", "data:some")
	if r.code != 3 || !strings.Contains(r.stderr, w.src+"/first: ") || !strings.Contains(r.stderr, w.src+"/closed: ") {
		t.Errorf("with unreadable files: %v", r)
	}
	w.ok("verify", "data:some")
	if list := w.ok("ls", "data:some"); strings.Contains(list, "/first\n") || strings.Contains(list, "/second\n") {
		t.Errorf("the parent's file stayed:\n%s", list)
	}
	if r := w.run("build", w.src, "-t", "data:strict", "--strict"); r.code != 1 || !strings.Contains(r.stderr, "permission denied") {
		t.Errorf("--strict: %v", r)
	}
	delete(w.published, "data:all")
	if w.images()["data:strict"] != "" {
		t.Error("--strict failed and published")
	}
}

// asOrdinaryUser gives all but the source to a user without rights, and runs
// cdb as that.
func (w *world) asOrdinaryUser() {
	w.Helper()
	if os.Geteuid() != 0 {
		return
	}
	const nobody = 65534
	for _, d := range []string{w.dir, filepath.Dir(w.dir)} {
		w.must(os.Chmod(d, 0o755))
	}
	if out, err := exec.Command("chown", "-R", fmt.Sprint(nobody), w.store, w.cache, w.temp).CombinedOutput(); err != nil {
		w.Skipf("chown: %v %s", err, out)
	}
	w.attr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
}
