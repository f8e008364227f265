package faults_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// rounds is how many times something is killed.
func rounds(t testing.TB) int {
	if s := os.Getenv("FAULTS_ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("FAULTS_ROUNDS: %v", err)
		}
		return n
	}
	if testing.Short() {
		return 20
	}
	return 150
}

// Whatever is killed, and when, all images stay as they were, the next build
// is right, and nothing piles up.
func TestKilled(t *testing.T) {
	w := newWorld(t)
	w.randomTree(150)
	w.build("data:first")
	k := &killer{world: w}
	for i := range rounds(t) {
		k.round = i
		k.kill()
		w.verifyAny()
		w.change()
		w.next(i)
		w.thin()
		if t.Failed() {
			t.Fatalf("in round %d", i)
		}
	}
	w.verifyAll()
	w.collect()
	w.verifyAll()
	t.Logf("%d of %d commands were killed in time: %v", k.killed, rounds(t), k.counts)
	if k.killed < rounds(t)/3 {
		t.Errorf("only %d of %d commands were killed before their end", k.killed, rounds(t))
	}
}

// next makes the next version, and now and then looks at all of it.
func (w *world) next(i int) {
	w.Helper()
	name := fmt.Sprintf("data:%d", i)
	w.build(name)
	w.verify(name)
	w.noTemporaries()
	if i%8 == 7 {
		w.exports(name, w.src)
	}
	if i%20 == 19 {
		w.collect()
		w.verifyAny()
	}
}

// thin keeps the number of images small.
func (w *world) thin() {
	w.Helper()
	for len(w.published) > 12 {
		name := w.any()
		w.ok("rm", name)
		delete(w.published, name)
	}
}

// A killer ends commands before they are done.
type killer struct {
	*world
	round, killed int
	counts        map[string]int
}

// kill starts one of all commands that change a store, and kills it.
func (k *killer) kill() {
	k.Helper()
	fresh := fmt.Sprintf("fresh%d:v", k.round)
	version := fmt.Sprintf("data:killed%d", k.round)
	switch k.rand.IntN(11) {
	case 0, 1:
		k.killBuild("first", fresh)
	case 2, 3, 4:
		k.change()
		k.killBuild("version", version)
	case 5:
		k.killBuild("unchanged", version)
	case 6:
		k.killTag(version)
	case 7:
		k.killRemove()
	case 8:
		k.killed1("gc", "gc")
		k.intact()
	case 9:
		k.change()
		k.killOneOfTwo(version)
	case 10:
		k.change()
		k.killed1("commit", "commit", k.src, "-t", version, "-q")
		k.maybePublished(version)
	}
}

// killBuild kills a build, which leaves no image or a whole one.
func (k *killer) killBuild(kind, name string) {
	k.Helper()
	k.killed1(kind, "build", k.src, "-t", name, "-q")
	k.maybePublished(name)
}

// maybePublished takes note of an image that may have come, or not.
func (k *killer) maybePublished(name string) {
	k.Helper()
	digest := k.intactBut(name)
	if digest == "" || digest == k.published[name].digest {
		return
	}
	k.published[name] = published{digest, datasetDigest(k, k.src)}
	k.verify(name)
}

func (k *killer) killTag(name string) {
	k.Helper()
	from := k.any()
	k.killed1("tag", "tag", from, name)
	switch digest := k.intactBut(name); digest {
	case "":
	case k.published[from].digest:
		k.published[name] = k.published[from]
	default:
		k.Fatalf("%s became %s, but was to be %s", name, digest, from)
	}
}

func (k *killer) killRemove() {
	k.Helper()
	name := k.any()
	k.killed1("rm", "rm", name)
	switch digest := k.intactBut(name); digest {
	case "":
		delete(k.published, name)
	case k.published[name].digest:
	default:
		k.Fatalf("%s became %s when it was removed", name, digest)
	}
}

// killOneOfTwo kills a build beside another one, which must not suffer.
func (k *killer) killOneOfTwo(name string) {
	k.Helper()
	other := fmt.Sprintf("data:beside%d", k.round)
	_, wait := k.start("build", k.src, "-t", other, "-q")
	k.killed1("two", "build", k.src, "-t", name, "-q")
	if r := wait(); r.code != 0 {
		k.Fatal(r)
	}
	k.published[other] = published{k.images()[other], datasetDigest(k, k.src)}
	k.verify(other)
	k.maybePublished(name)
}

// killed1 runs a command and kills it at a random point: after some time, or
// at some change in the store, the cache or TMPDIR.
func (k *killer) killed1(kind string, args ...string) {
	k.Helper()
	usual, ok := k.usual[kind]
	if !ok {
		usual = usualDetails{100 * time.Millisecond, 20}
	}
	watch := k.watch()
	begin := time.Now()
	cmd, wait := k.start(args...)
	var fuse *time.Timer
	if k.rand.IntN(2) == 0 {
		fuse = time.AfterFunc(time.Duration(k.rand.Float64()*1.1*float64(usual.time)), func() { kill(cmd) })
	} else {
		watch.after(1+k.rand.IntN(usual.events+1), func() { kill(cmd) })
	}
	r := wait()
	events := watch.close()
	if fuse != nil {
		fuse.Stop()
	}
	if k.counts == nil {
		k.counts = map[string]int{}
	}
	switch {
	case r.signal == syscall.SIGKILL:
		k.killed++
		k.counts[kind]++
	case r.code == 0:
		k.usual[kind] = usualDetails{time.Since(begin), events}
	default:
		k.Fatal(r)
	}
}

func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill() // it may have ended
}

// A watcher counts what happens in folders.
type watcher struct {
	f       *os.File
	mu      sync.Mutex
	dirs    map[int]string
	seen    int
	at      int
	do      func()
	stopped chan struct{}
}

const watched = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_DELETE | unix.IN_MODIFY | unix.IN_CLOSE_WRITE

// watch begins to count what happens in the store, the cache and TMPDIR.
func (w *world) watch() *watcher {
	w.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	w.must(err)
	c := &watcher{f: os.NewFile(uintptr(fd), "inotify"), dirs: map[int]string{}, stopped: make(chan struct{})}
	for _, dir := range []string{w.store, w.store + "/tmp", w.store + "/blobs/sha256", w.cache + "/changes", w.temp} {
		c.add(dir)
	}
	go c.read()
	return c
}

// add watches a folder, if it is there.
func (c *watcher) add(dir string) {
	conn, err := c.f.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) {
		if wd, err := unix.InotifyAddWatch(int(fd), dir, watched); err == nil {
			c.dirs[wd] = dir
		}
	})
}

// after calls do as soon as there were n events.
func (c *watcher) after(n int, do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at, c.do = n, do
}

func (c *watcher) read() {
	defer close(c.stopped)
	buf := make([]byte, 64<<10)
	for {
		n, err := c.f.Read(buf)
		if err != nil {
			return
		}
		for rest := buf[:n]; len(rest) >= unix.SizeofInotifyEvent; {
			// wd and mask, then a cookie and the length of the name, in
			// the order of bytes of the machine.
			word := func(i int) uint32 {
				return binary.NativeEndian.Uint32(rest[4*i:])
			}
			size := int(word(3))
			name := strings.TrimRight(string(rest[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+size]), "\x00")
			c.event(int(word(0)), word(1), name)
			rest = rest[unix.SizeofInotifyEvent+size:]
		}
	}
}

func (c *watcher) event(wd int, mask uint32, name string) {
	if mask&unix.IN_ISDIR != 0 && mask&unix.IN_CREATE != 0 {
		c.add(filepath.Join(c.dirs[wd], name))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen++
	if c.seen == c.at {
		c.do()
	}
}

// close ends the count and returns it.
func (c *watcher) close() int {
	_ = c.f.Close()
	<-c.stopped
	return c.seen
}

// Commands that are killed one after the other, with nothing in between that
// could put things right, leave no more behind than one does.
func TestKilledInARow(t *testing.T) {
	w := newWorld(t)
	w.randomTree(100)
	w.build("data:first")
	k := &killer{world: w}
	for range 3 {
		for i := range 8 {
			k.round = i
			w.change()
			cmd, wait := w.start("build", w.src, "-t", "data:killed", "-q")
			time.Sleep(time.Duration(w.rand.IntN(60)) * time.Millisecond)
			kill(cmd)
			wait()
			k.maybePublished("data:killed")
			if n := len(names(t, w.temp)); n > 1 {
				t.Errorf("after %d killed builds there are %d folders in TMPDIR", i+1, n)
			}
			if n := len(names(t, filepath.Join(w.store, "tmp"))); n > 3 {
				t.Errorf("after %d killed builds there are %d half-written blobs", i+1, n)
			}
		}
		w.build("data:next")
		w.noTemporaries()
		w.collect()
		w.verifyAll()
	}
}

// The documented way to a dataset digest, with the tools of everybody.
func TestDatasetDigestOfCoreutils(t *testing.T) {
	w := newWorld(t)
	w.randomTree(40)
	b := w.build("data:1")
	const line = `find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum -- | sha256sum`
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = w.src
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("coreutils: %v", err)
	}
	if got := "sha256:" + strings.Fields(string(out))[0]; got != b.DatasetDigest {
		t.Errorf("sha256sum says %s, cdb %s", got, b.DatasetDigest)
	}
}
