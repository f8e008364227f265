package faults_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Files that change while they are read are in the image as they were at some
// time, never as a mixture, or not at all.
func TestChangingSource(t *testing.T) {
	changing(newWorld(t))
}

// That holds on file systems too whose times are whole seconds, so that they
// do not show every change.
func TestChangingSourceWithoutNanoseconds(t *testing.T) {
	w := newWorld(t)
	newDisk(t, w.src, 128*mib, "-I", "128")
	w.must(os.Remove(filepath.Join(w.src, "lost+found")))
	changing(w)
}

// changing builds a source again and again while it changes.
func changing(w *world) {
	w.Helper()
	t := w.TB
	w.randomTree(60)
	l := &liar{world: w, states: map[string]map[string]bool{}, end: make(chan struct{})}
	for i := range 24 {
		l.names = append(l.names, fmt.Sprintf("changing%02d", i))
	}
	// These are read in several pieces.
	large := []string{"changing-large1", "changing-large2"}
	l.names = append(l.names, large...)
	for _, name := range l.names {
		l.states[name] = map[string]bool{}
	}
	builds := 20
	if testing.Short() {
		builds = 5
	}
	var writers sync.WaitGroup
	for _, some := range [][]string{l.names[:12], l.names[12:24], large} {
		r := rand.New(rand.NewPCG(w.rand.Uint64(), 0))
		writers.Go(func() { l.lie(r, some) })
	}
	skipped := 0
	var images []string
	for i := range builds {
		name := fmt.Sprintf("data:%d", i)
		args := []string{"build", w.src, "-t", name, "--exclude", ".beside-*"}
		if i%4 == 3 {
			args = append(args, "--no-parent")
		}
		r := w.run(args...)
		if r.code != 0 && r.code != 3 {
			t.Errorf("a source that changes: %v", r)
			break
		}
		skipped += strings.Count(r.stderr, "cdb: skipped ")
		images = append(images, name)
	}
	close(l.end)
	writers.Wait()
	for _, name := range images {
		w.ok("verify", name)
		l.check(name)
	}
	t.Logf("%d changes during %d builds, %d files skipped", l.changes, builds, skipped)
	if t.Failed() {
		return
	}
	w.build("data:quiet")
	w.exports("data:quiet", w.src)
	w.noTemporaries()
}

// A liar changes files all the time, and knows all states that they had.
type liar struct {
	*world
	names []string
	end   chan struct{}

	mu         sync.Mutex
	states     map[string]map[string]bool // digests, by file
	generation int
	changes    int
}

// lie changes files until the end.
func (l *liar) lie(r *rand.Rand, names []string) {
	contents := map[string][]byte{}
	pause, lines := 1500*time.Microsecond, 300
	if strings.Contains(names[0], "large") {
		pause, lines = 4*time.Millisecond, 60_000
	}
	for {
		select {
		case <-l.end:
			return
		case <-time.After(time.Duration(r.Int64N(int64(pause)))):
		}
		name := names[r.IntN(len(names))]
		next, err := l.step(r, name, contents[name], lines)
		if err != nil {
			l.Errorf("change %s: %v", name, err)
			return
		}
		contents[name] = next
	}
}

// step changes one file, and returns its new content, nil for
// none. Of a file there are at most so many new lines.
func (l *liar) step(r *rand.Rand, name string, old []byte, most int) ([]byte, error) {
	path := filepath.Join(l.src, name)
	stamped := l.stamped(name, 1+r.IntN(most))
	if old == nil {
		return stamped, l.replace(path, name, stamped)
	}
	switch r.IntN(14) {
	case 0:
		return nil, os.Remove(path)
	case 1, 2:
		return stamped, l.replace(path, name, stamped)
	case 3, 4:
		next := old[:r.IntN(len(old)+1)]
		l.state(name, next)
		return next, os.Truncate(path, int64(len(next)))
	case 5:
		part := stamped[:min(len(stamped), page-len(old)%page)]
		next := append(bytes.Clone(old), part...)
		return next, l.appendTo(path, name, next, part)
	}
	return l.patch(r, path, name, old, stamped)
}

// patch overwrites something near the beginning of a file and then something
// near its end. Who reads the beginning before that and the end after it has a
// mixture.
func (l *liar) patch(r *rand.Rand, path, name string, old, stamped []byte) ([]byte, error) {
	low := r.IntN(len(old)/2 + 1)
	high := low + r.IntN(len(old)-low+1)
	first := bytes.Clone(old)
	n := copy(first[low:], stamped[:min(len(stamped), page-low%page)])
	second := bytes.Clone(first)
	m := copy(second[high:], stamped[:min(len(stamped), page-high%page)])
	l.state(name, first)
	l.state(name, second)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.WriteAt(first[low:low+n], int64(low)); err != nil {
		return nil, err
	}
	_, err = f.WriteAt(second[high:high+m], int64(high))
	return second, err
}

// page is what a call writes at once, and others see as a whole. A larger
// write can be seen half done for as long as it takes, which is a state too.
const page = 4096

// stamped returns lines that say which change of which file they are.
func (l *liar) stamped(name string, lines int) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.generation++
	return bytes.Repeat(fmt.Appendf(nil, "%s in generation %d\n", name, l.generation), lines)
}

// state notes a state before the file has it.
func (l *liar) state(name string, content []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.states[name][sumOf(content)] = true
	l.changes++
}

// appendTo appends part to the file, which makes it next.
func (l *liar) appendTo(path, name string, next, part []byte) error {
	l.state(name, next)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(part)
	return err
}

// replace puts a new file in the place of another.
func (l *liar) replace(path, name string, content []byte) error {
	l.state(name, content)
	beside := filepath.Join(l.src, ".beside-"+name)
	if err := os.WriteFile(beside, content, 0o644); err != nil {
		return err
	}
	return os.Rename(beside, path)
}

// check looks for files of an image in states that they never had.
func (l *liar) check(image string) {
	l.Helper()
	out := l.ok("query", image, "-sql", "SELECT path, sha256 FROM files WHERE name LIKE 'changing%'", "-format", "tsv")
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		path, sum, ok := strings.Cut(line, "\t")
		states := l.states[filepath.Base(path)]
		if ok && states != nil && !states[sum] {
			text := l.ok("query", image, "-cat", path)
			l.Errorf("%s: %s is a mixture of %q", image, path, generations(text))
		}
	}
}

// generations returns the different lines of a text.
func generations(text string) []string {
	var list []string
	for line := range strings.Lines(text) {
		if len(list) == 0 || list[len(list)-1] != line {
			list = append(list, line)
		}
	}
	return list
}
