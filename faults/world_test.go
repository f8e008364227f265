package faults_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A world is a store, a change cache, a folder for temporary files and a
// source, all of one test.
type world struct {
	testing.TB
	dir, store, cache, temp, src string
	rand                         *rand.Rand
	wrapper                      []string                // put before the program
	attr                         *syscall.SysProcAttr    // of the program
	published                    map[string]published    // by NAME:TAG
	usual                        map[string]usualDetails // by the kind of a command
}

// published is what an image must be for ever.
type published struct {
	digest, dataset string
}

// usualDetails are what a command takes when nobody disturbs it.
type usualDetails struct {
	time   time.Duration
	events int
}

// newWorld makes an empty world.
func newWorld(t testing.TB) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{
		TB: t, dir: dir, store: filepath.Join(dir, "store"), cache: filepath.Join(dir, "cache"),
		temp: filepath.Join(dir, "temp"), src: filepath.Join(dir, "src"),
		published: map[string]published{}, usual: map[string]usualDetails{},
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("FAULTS_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("FAULTS_SEED: %v", err)
		}
	}
	t.Logf("FAULTS_SEED=%d", seed)
	w.rand = rand.New(rand.NewPCG(seed, 0))
	for _, d := range []string{w.store, w.cache, w.temp, w.src} {
		w.must(os.Mkdir(d, 0o777))
	}
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// command is cdb with arguments in this world.
func (w *world) command(args ...string) *exec.Cmd {
	line := append(slices.Clone(w.wrapper), append([]string{os.Getenv(program)}, args...)...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "CDB_STORE="+w.store, "CDB_CACHE="+w.cache, "TMPDIR="+w.temp, "HOME="+w.dir)
	cmd.SysProcAttr = w.attr
	return cmd
}

// A result is what a run of cdb came to.
type result struct {
	args           []string
	stdout, stderr string
	code           int            // -1 if a signal ended it
	signal         syscall.Signal // that ended it
}

func (r *result) String() string {
	return "cdb " + strings.Join(r.args, " ") + ": exit code " + strconv.Itoa(r.code) + "\n" + r.stdout + r.stderr
}

// start starts cdb; the function that it returns waits for the end.
func (w *world) start(args ...string) (*exec.Cmd, func() *result) {
	w.Helper()
	cmd := w.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	w.must(cmd.Start())
	limit := time.AfterFunc(2*time.Minute, func() {
		cmd.Process.Signal(syscall.SIGQUIT) // it hangs: the stacks say where
	})
	return cmd, func() *result {
		err := cmd.Wait()
		limit.Stop()
		r := &result{args: args, stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			w.Fatal(err)
		}
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
			r.signal = status.Signal()
		}
		if strings.Contains(r.stderr, "goroutine ") {
			w.Fatalf("it panicked or hung: %v", r)
		}
		return r
	}
}

func (w *world) run(args ...string) *result {
	w.Helper()
	_, wait := w.start(args...)
	return wait()
}

// ok runs cdb, which must succeed, and returns its standard output.
func (w *world) ok(args ...string) string {
	w.Helper()
	r := w.run(args...)
	if r.code != 0 {
		w.Fatal(r)
	}
	return r.stdout
}

// built is what "cdb build --json" prints, as far as tests want it.
type built struct {
	Digest, DatasetDigest, Parent string
	Files, Dirs, Links            int64
	Packs                         int
	Unchanged                     bool
	Skipped                       []struct{ Path, Error string }
}

// build builds the source, which must succeed, and notes the image.
func (w *world) build(name string, flags ...string) built {
	w.Helper()
	out := w.ok(append([]string{"build", w.src, "-t", name, "--json"}, flags...)...)
	var b built
	w.must(json.Unmarshal([]byte(out), &b))
	if want := datasetDigest(w, w.src); b.DatasetDigest != want {
		w.Fatalf("build of %s: dataset digest %s, but that of the folder is %s", name, b.DatasetDigest, want)
	}
	w.published[name] = published{b.Digest, b.DatasetDigest}
	return b
}

// images returns the digests of the images in the store.
func (w *world) images() map[string]string {
	w.Helper()
	var list []struct{ Name, Tag, Digest string }
	w.must(json.Unmarshal([]byte(w.ok("images", "--json")), &list))
	found := map[string]string{}
	for _, i := range list {
		found[i.Name+":"+i.Tag] = i.Digest
	}
	return found
}

// intact checks that the store names just the published images.
func (w *world) intact() {
	w.Helper()
	w.intactBut("")
}

// intactBut is intact, whatever one image has become, and returns the digest
// that this has, "" for none.
func (w *world) intactBut(name string) string {
	w.Helper()
	have := w.images()
	now := have[name]
	for n, p := range w.published {
		if n != name && have[n] != p.digest {
			w.Fatalf("image %s is %q and not %s any more", n, have[n], p.digest)
		}
	}
	for n := range have {
		if _, ok := w.published[n]; !ok && n != name {
			w.Fatalf("image %s has come from nowhere", n)
		}
	}
	return now
}

// dataset returns the dataset digest that an image has.
func (w *world) dataset(name string) string {
	w.Helper()
	var info struct{ DatasetDigest string }
	w.must(json.Unmarshal([]byte(w.ok("info", name, "--json")), &info))
	return info.DatasetDigest
}

// verify reads all of an image.
func (w *world) verify(name string) {
	w.Helper()
	w.ok("verify", name)
	if got, want := w.dataset(name), w.published[name].dataset; got != want {
		w.Fatalf("image %s has dataset digest %s and not %s any more", name, got, want)
	}
}

// any returns one of the published images, "" if there are none.
func (w *world) any() string {
	if len(w.published) == 0 {
		return ""
	}
	names := slices.Sorted(maps.Keys(w.published))
	return names[w.rand.IntN(len(names))]
}

// verifyAny verifies one image and lists its files.
func (w *world) verifyAny() {
	w.Helper()
	if name := w.any(); name != "" {
		w.ok("ls", name)
		w.verify(name)
	}
}

// verifyAll verifies the whole store.
func (w *world) verifyAll() {
	w.Helper()
	w.intact()
	for name := range w.published {
		w.verify(name)
	}
	if r := w.run("verify"); r.code != 0 && r.code != 2 {
		w.Fatal(r) // 2: it wants an image
	}
}

// exports checks that what an image is exported to is the source.
func (w *world) exports(name, src string) {
	w.Helper()
	out := filepath.Join(w.dir, "exported")
	w.ok("export", name, "-o", out)
	defer os.RemoveAll(out)
	if got, want := listTree(w, out), listTree(w, src); !slices.Equal(got, want) {
		w.Fatalf("%s was exported as\n%s\nand not as\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// collect runs the collection, after which there are the blobs that images
// need, and nothing else.
func (w *world) collect() {
	w.Helper()
	w.ok("gc")
	needed := map[string]bool{}
	var index struct{ Manifests []descriptor }
	data, err := os.ReadFile(filepath.Join(w.store, "index.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	w.must(err)
	w.must(json.Unmarshal(data, &index))
	for _, m := range index.Manifests {
		w.reach(m, needed)
	}
	for _, name := range names(w, filepath.Join(w.store, "blobs/sha256")) {
		if !needed["sha256:"+name] {
			w.Errorf("gc left the blob %s, which no image needs", name)
		}
		delete(needed, "sha256:"+name)
	}
	if len(needed) > 0 {
		w.Fatalf("gc took away %d blobs that images need", len(needed))
	}
	w.noLeftovers()
}

type descriptor struct{ MediaType, Digest string }

// reach adds the blobs that d consists of to needed.
func (w *world) reach(d descriptor, needed map[string]bool) {
	w.Helper()
	if needed[d.Digest] {
		return
	}
	needed[d.Digest] = true
	if !strings.Contains(d.MediaType, "index") && !strings.Contains(d.MediaType, "manifest") {
		return
	}
	data, err := os.ReadFile(filepath.Join(w.store, "blobs/sha256", strings.TrimPrefix(d.Digest, "sha256:")))
	w.must(err)
	var doc struct {
		Manifests, Layers []descriptor
		Config            descriptor
	}
	w.must(json.Unmarshal(data, &doc))
	children := append(doc.Manifests, doc.Layers...)
	if doc.Config.Digest != "" {
		children = append(children, doc.Config)
	}
	for _, c := range children {
		w.reach(c, needed)
	}
}

// noLeftovers checks that a complete build, or a collection, has left no
// temporary files, neither of its own nor of those that were killed before.
func (w *world) noLeftovers() {
	w.Helper()
	for _, n := range names(w, w.store) {
		if !slices.Contains([]string{"blobs", "index.json", "lock", "lost+found", "oci-layout"}, n) {
			w.Errorf("%s is left in the store", n)
		}
	}
}

// noTemporaries is noLeftovers where a build of the source came to its end
// last.
func (w *world) noTemporaries() {
	w.Helper()
	w.noTemporariesBut("")
}

// noTemporariesBut is noTemporaries, but the cache may hold what the next
// build goes on with, if it is excepted.
func (w *world) noTemporariesBut(except string) {
	w.Helper()
	w.noLeftovers()
	if left := names(w, w.temp); len(left) > 0 {
		w.Errorf("left in TMPDIR: %q", left)
	}
	if except == "cache" {
		return
	}
	for _, n := range names(w, filepath.Join(w.cache, "changes")) {
		if strings.Contains(n, ".partial-") {
			w.Errorf("%s is left in the cache", n)
		}
	}
}

// names returns what is in a folder; nothing if there is none.
func names(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	list := []string{}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}
