package faults_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Ctrl-C and SIGTERM, whenever they come, leave nothing half-written.
func TestInterrupted(t *testing.T) {
	w := newWorld(t)
	w.fullSource()
	w.build("data:first")
	out := filepath.Join(w.dir, "out")
	w.must(os.Mkdir(out, 0o777))
	n := 45
	if testing.Short() {
		n = 9
	}
	in := &interrupter{world: w, usual: 150 * time.Millisecond}
	for i := range n {
		w.change()
		name := fmt.Sprintf("data:%d", i)
		switch i % 3 {
		case 0:
			done := in.run("build", w.src, "-t", name)
			if digest := w.intactBut(name); done != (digest != "") {
				t.Errorf("interrupted: %t, image: %q", !done, digest)
			} else if done {
				w.published[name] = published{digest, datasetDigest(w, w.src)}
				w.verify(name)
			}
		case 1:
			if file := filepath.Join(out, "image.tar"); in.run("build", w.src, "-t", name, "-o", file) {
				w.ok("verify", file)
				w.must(os.Remove(file))
			}
		case 2:
			if dir := filepath.Join(out, "layout"); in.run("build", w.src, "-o", "oci:"+dir+":x") {
				w.ok("verify", "oci:"+dir+":x")
				w.must(os.RemoveAll(dir))
			}
		}
		if left := names(t, out); len(left) > 0 {
			t.Errorf("left at the destination: %q", left)
		}
		w.noTemporariesBut("cache")
		w.verifyAny()
		w.build(name)
		w.verify(name)
		w.noTemporaries()
		w.thin()
		if t.Failed() {
			t.Fatalf("in round %d", i)
		}
	}
	t.Logf("%d of %d builds were interrupted in time", in.count, n)
	w.collect()
	w.verifyAll()
}

// An interrupter presses Ctrl-C.
type interrupter struct {
	*world
	usual time.Duration
	count int
}

// run runs a command, which is interrupted at a random point, and says if it
// was done before.
func (in *interrupter) run(args ...string) (done bool) {
	in.Helper()
	sig := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}[in.rand.IntN(2)]
	begin := time.Now()
	cmd, wait := in.start(args...)
	timer := time.AfterFunc(time.Duration(in.rand.Float64()*1.1*float64(in.usual)), func() { _ = cmd.Process.Signal(sig) })
	r := wait()
	timer.Stop()
	switch {
	case r.code == 0:
		in.usual = time.Since(begin)
		return true
	case r.signal == sig && r.stdout+r.stderr == "":
		return false // it came before the program listened
	case r.code != 130:
		in.Fatalf("interrupted by %v: %v", sig, r)
	case !strings.Contains(r.stderr, "cdb: interrupted\n") || r.stdout != "":
		in.Errorf("interrupted by %v: %v", sig, r)
	}
	in.count++
	return false
}

// A first build that was interrupted goes on where it was: packs that were
// complete are not made again, and their files not even read.
func TestInterruptedBuildGoesOn(t *testing.T) {
	signals := []syscall.Signal{syscall.SIGINT, syscall.SIGKILL, syscall.SIGTERM}
	if testing.Short() {
		signals = signals[:2]
	}
	w := newWorld(t)
	large := w.largeFiles(4)
	time.Sleep(2200 * time.Millisecond) // so that their times can be trusted
	for i, sig := range signals {
		name := fmt.Sprintf("large%d:1", i)
		for _, dir := range []string{w.store, w.cache} {
			w.must(os.RemoveAll(dir))
			w.must(os.Mkdir(dir, 0o777))
		}
		complete := w.interruptAfter(name, 1+i%3, sig)
		w.intact()
		read := w.readBy(large, func() { w.ok("build", w.src, "-t", name) })
		for i, path := range large[:complete] {
			if read[path] {
				t.Errorf("%v: file %d of %d complete packs was read again", sig, i+1, complete)
			}
		}
		for _, path := range large[complete+1:] {
			if !read[path] {
				t.Errorf("%v: %s was never read", sig, path)
			}
		}
		if got, want := w.dataset(name), datasetDigest(t, w.src); got != want {
			t.Errorf("%v: dataset digest %s, but that of the folder is %s", sig, got, want)
		}
		w.ok("verify", name)
		w.noTemporaries()
		w.collect()
	}
}

// largeFiles makes n files, each large enough for a pack of its own, in a
// source without anything else.
func (w *world) largeFiles(n int) []string {
	w.Helper()
	var paths []string
	for i := range n {
		path := filepath.Join(w.src, fmt.Sprintf("large%d", i))
		f, err := os.Create(path)
		w.must(err)
		w.must(f.Truncate(129 * mib))
		for at := int64(0); at < 129*mib; at += 16 * mib {
			_, err := fmt.Fprintf(&offsetWriter{f, at}, "file %d at %d\n", i, at)
			w.must(err)
		}
		w.must(f.Close())
		paths = append(paths, path)
	}
	return paths
}

type offsetWriter struct {
	f  *os.File
	at int64
}

func (o *offsetWriter) Write(p []byte) (int, error) { return o.f.WriteAt(p, o.at) }

// interruptAfter builds the source and sends a signal as soon as packs are
// complete. It returns how many were.
func (w *world) interruptAfter(name string, packs int, sig syscall.Signal) int {
	w.Helper()
	cmd, wait := w.start("build", w.src, "-t", name)
	blobs := filepath.Join(w.store, "blobs/sha256")
	for range 20_000 {
		if len(names(w, blobs)) >= packs {
			break
		}
		time.Sleep(time.Millisecond)
	}
	// The pack is remembered right after it is there.
	time.Sleep(20 * time.Millisecond)
	_ = cmd.Process.Signal(sig)
	r := wait()
	if r.code == 0 {
		w.Skip("the build was too fast to be interrupted")
	}
	if sig != syscall.SIGKILL && r.code != 130 {
		w.Fatal(r)
	}
	return packs
}

// readBy returns which of the files are read while do runs.
func (w *world) readBy(files []string, do func()) map[string]bool {
	w.Helper()
	watches := map[string]int{}
	for _, name := range files {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
		w.must(err)
		defer unix.Close(fd)
		_, err = unix.InotifyAddWatch(fd, name, unix.IN_ACCESS)
		w.must(err)
		watches[name] = fd
	}
	do()
	read := map[string]bool{}
	for name, fd := range watches {
		var buf [4096]byte
		n, _ := unix.Read(fd, buf[:])
		read[name] = n > 0
	}
	return read
}
