package cdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/blobcache"
	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/registry"
	"github.com/data-containers/cdb/internal/registrytest"
)

// remotePlaces reaches registries with folders of the test's own, and without
// a cache.
func remotePlaces(t testing.TB, change ...func(*registry.Options)) Places {
	t.Helper()
	temp := t.TempDir()
	opts := registry.Options{Stall: 20 * time.Second, Backoff: time.Millisecond, ChunkSize: 1 << 20, StateDir: t.TempDir(), TempDir: temp}
	for _, f := range change {
		f(&opts)
	}
	client, err := registry.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
			t.Errorf("temporary files are left: %v (%v)", left, err)
		}
	})
	return Places{Store: filepath.Join(t.TempDir(), "store"), TempDir: temp, Registries: client}
}

// pushOptions build into a registry alone.
func pushOptions(places Places, name string) BuildOptions {
	return BuildOptions{
		Places: places, Name: name, Push: true, NoStore: true, Workers: 3,
		Entrypoint: func(string) ([]byte, error) { return []byte("program"), nil },
	}
}

// smallFiles are n files of about size bytes in folders of a hundred, half of
// them compressible.
func smallFiles(n, size int) map[string][]byte {
	rnd := rand.New(rand.NewPCG(uint64(n), uint64(size)))
	files := map[string][]byte{}
	for i := range n {
		data := make([]byte, size/2+rnd.IntN(size))
		for j := range data {
			data[j] = byte(rnd.Uint32())
		}
		if i%2 == 0 {
			data = bytes.Repeat(data[:1+len(data)/50], 50)
		}
		kind := []string{"csv", "bin", "txt"}[i%3]
		files[fmt.Sprintf("d%03d/f%05d.%s", i/100, i, kind)] = data
	}
	return files
}

// A shelf is an image in a registry behind a proxy.
type shelf struct {
	*registrytest.Proxy
	ref   string
	files map[string][]byte
	res   *BuildResult
}

func newShelf(t *testing.T, files map[string][]byte, change func(*BuildOptions), opts ...registrytest.Option) *shelf {
	t.Helper()
	upstream := registrytest.Referrers(t)
	o := pushOptions(remotePlaces(t), upstream.Host+"/lab/set:v1")
	if change != nil {
		change(&o)
	}
	res, err := Build(t.Context(), writeTree(t, files), o)
	if err != nil {
		t.Fatal(err)
	}
	p := registrytest.NewProxy(t, upstream, opts...)
	return &shelf{Proxy: p, ref: "docker://" + p.Host + "/lab/set:v1", files: files, res: res}
}

func (s *shelf) open(t *testing.T, places Places) *Container {
	t.Helper()
	c, err := Open(t.Context(), s.ref, places)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// depth is how many of the requests had to wait for one another: the length
// of the longest chain in which each begins when the one before has ended.
func depth(requests []registrytest.Request) int {
	n := 0
	var end time.Time
	slices.SortFunc(requests, func(a, b registrytest.Request) int {
		return a.Begin.Add(a.Took).Compare(b.Begin.Add(b.Took))
	})
	for _, r := range requests {
		if !r.Begin.Before(end) {
			n, end = n+1, r.Begin.Add(r.Took)
		}
	}
	return n
}

func read(t *testing.T, c *Container, p string) ([]byte, error) {
	t.Helper()
	e, err := c.Catalog().Lookup(t.Context(), p)
	if err != nil || e == nil {
		t.Fatalf("%s: %v, %v", p, e, err)
	}
	r, err := c.Content(t.Context(), e)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// A small catalog is open after three round trips, and what was read once is
// not fetched again by whoever uses the same cache.
func TestOpenRemote(t *testing.T) {
	s := newShelf(t, smallFiles(200, 2000), nil)
	wait := s.Inject(registrytest.Any, registrytest.Delay(60*time.Millisecond))
	places := remotePlaces(t)
	dir := t.TempDir()
	places.Pieces = blobcache.New(dir, 0)
	s.Reset()
	c := s.open(t, places)
	requests := s.Requests(registrytest.Any)
	if d := depth(requests); len(requests) > 5 || d > 3 {
		t.Errorf("%d requests, %d one after the other:\n%s", len(requests), d, s.Log())
	}
	wait.Remove()
	const name = "d001/f00101.txt"
	if got, err := read(t, c, name); err != nil || !bytes.Equal(got, s.files[name]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if ds := c.Catalog().Dataset(); ds.Files != 200 {
		t.Errorf("%+v", ds)
	}
	for ref, want := range map[string]int{s.ref: 1, s.ref + "@" + s.res.Digest: 0} {
		s.Reset()
		places := remotePlaces(t)
		places.Pieces = blobcache.New(dir, 0)
		again, err := Open(t.Context(), ref, places)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := read(t, again, name); err != nil || !bytes.Equal(got, s.files[name]) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		again.Close()
		if n := s.Count(registrytest.Any); n != want {
			t.Errorf("%s: %d requests, want %d:\n%s", ref, n, want, s.Log())
		}
	}
}

// One file of ten thousand costs its frames and a quarter of a MiB.
func TestReadOneRemote(t *testing.T) {
	s := newShelf(t, smallFiles(10_000, 1500), nil)
	s.Reset()
	c := s.open(t, remotePlaces(t))
	const name = "d077/f07702.bin"
	got, err := read(t, c, name)
	if err != nil || !bytes.Equal(got, s.files[name]) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	frames := int64(0)
	e, _ := c.Catalog().Lookup(t.Context(), name)
	r, err := c.pack(t.Context(), e.Pack)
	if err != nil {
		t.Fatal(err)
	}
	p := r.(*pack.Reader)
	first, end := p.FrameRange(e.Offset, e.Size)
	for i := first; i < end; i++ {
		f, err := p.FrameAt(i)
		if err != nil {
			t.Fatal(err)
		}
		frames += f.Size
	}
	sum := s.Totals(registrytest.Any)
	t.Logf("%d requests, %d bytes and %d of headers; the frames have %d, the image %d", sum.Requests, sum.Sent, sum.HeadSent, frames, s.res.Size)
	if sum.Sent > frames+256<<10 {
		t.Errorf("%d bytes were moved:\n%s", sum.Sent, s.Log())
	}
}

// exported reads a folder.
func exported(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	got := map[string][]byte{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		got[rel], err = os.ReadFile(p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func sameFiles(t *testing.T, got, want map[string][]byte) {
	t.Helper()
	for p, data := range want {
		if !bytes.Equal(got[p], data) {
			t.Errorf("%s has %d bytes, want %d", p, len(got[p]), len(data))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d files, want %d", len(got), len(want))
	}
}

// An export fetches neighbours in one go, several runs at once, and each frame
// once.
func TestExportRemote(t *testing.T) {
	files := smallFiles(3000, 8000)
	files["big"] = noise(9 << 20)
	s := newShelf(t, files, nil)
	keep := func(test func(string) bool) map[string][]byte {
		kept := map[string][]byte{}
		for p, data := range files {
			if test(p) {
				kept[p] = data
			}
		}
		return kept
	}
	for name, c := range map[string]struct {
		opts     ExportOptions
		want     map[string][]byte
		requests int
		bytes    int64
	}{
		"all":      {ExportOptions{}, files, 40, s.res.Size},
		"a folder": {ExportOptions{Paths: []string{"d003"}}, keep(func(p string) bool { return strings.HasPrefix(p, "d003/") }), 14, 4 << 20},
		"where":    {ExportOptions{Where: "path like '/data/d00%' and size > 6000"}, keep(func(p string) bool { return strings.HasPrefix(p, "d00") && len(files[p]) > 6000 }), 25, s.res.Size / 2},
		"include": {ExportOptions{Include: []string{"/d01*/*.csv", "!f01000.csv"}}, keep(func(p string) bool {
			return strings.HasPrefix(p, "d01") && strings.HasSuffix(p, "csv") && p != "d010/f01000.csv"
		}), 25, s.res.Size / 2},
		"sparse": {ExportOptions{Include: []string{"*77.csv", "*77.txt", "*77.bin"}}, keep(func(p string) bool { return strings.Contains(p, "77.") }), 45, s.res.Size},
	} {
		s.Reset()
		dir := filepath.Join(t.TempDir(), "out")
		places := remotePlaces(t)
		container := s.open(t, places)
		if _, err := container.Export(t.Context(), dir, c.opts); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sameFiles(t, exported(t, dir), c.want)
		sum := s.Totals(registrytest.Any)
		t.Logf("%s: %d files, %d requests, %d bytes of %d", name, len(c.want), sum.Requests, sum.Sent, s.res.Size)
		if sum.Requests > c.requests || sum.Sent > c.bytes+c.bytes/20 {
			t.Errorf("%s: %d requests, %d bytes", name, sum.Requests, sum.Sent)
		}
	}
}

// Whatever a registry does, what is read is right, or an error, and soon.
func TestRemoteFaults(t *testing.T) {
	files := smallFiles(400, 20_000)
	files["big"] = noise(6 << 20)
	for _, compression := range []pack.Compression{pack.Gzip, pack.Zstd, pack.None} {
		s := newShelf(t, files, func(o *BuildOptions) { o.Compression = compression }, registrytest.WithStorage(registrytest.Storage{TTL: 200 * time.Millisecond}))
		for _, c := range []struct {
			name  string
			kind  registrytest.Kind
			fault registrytest.Fault
			limit []registrytest.Limit
			err   string // "" is success
		}{
			{"nothing", registrytest.Any, registrytest.Delay(0), nil, ""},
			{"hang up now and then", registrytest.Any, registrytest.HangUp(), []registrytest.Limit{registrytest.When(everyNth(3))}, ""},
			{"503 now and then", registrytest.Any, registrytest.Status(503), []registrytest.Limit{registrytest.When(everyNth(3))}, ""},
			{"cut", registrytest.StorageGet, registrytest.CutResponse(200_000), nil, ""},
			{"cut for good", registrytest.StorageGet, registrytest.CutResponse(0), nil, "EOF"},
			{"ranges ignored", registrytest.StorageGet, registrytest.IgnoreRange(), nil, ""},
			{"ranges refused", registrytest.StorageGet, registrytest.Status(416), []registrytest.Limit{registrytest.When(func(r *http.Request) bool { return r.Header.Get("Range") != "" })}, ""},
			{"wrong ranges", registrytest.StorageGet, registrytest.WrongContentRange(), nil, ""},
			{"flipped once", registrytest.StorageGet, registrytest.Flip(1000), []registrytest.Limit{registrytest.Once()}, ""},
			{"truncated", registrytest.StorageGet, registrytest.Truncate(100_000), nil, ""},
			{"gone", registrytest.StorageGet, registrytest.Status(404), nil, "404"},
			{"denied", registrytest.Any, registrytest.Status(403), nil, "403"},
			{"another manifest", registrytest.ManifestGet, registrytest.WrongDigest(), nil, "damaged"},
			{"flipped manifest", registrytest.ManifestGet, registrytest.Flip(40), []registrytest.Limit{registrytest.After(1)}, "damaged"},
		} {
			rule := s.Inject(c.kind, c.fault, c.limit...)
			begin := time.Now()
			got, err := exportOnce(t, s)
			rule.Remove()
			switch {
			case c.err == "" && err != nil:
				t.Errorf("%s, %s: %v", compression, c.name, err)
			case c.err == "":
				sameFiles(t, got, files)
			case err == nil || !strings.Contains(err.Error(), c.err):
				t.Errorf("%s, %s: error %v, want one with %q", compression, c.name, err, c.err)
			}
			if took := time.Since(begin); took > 40*time.Second {
				t.Errorf("%s, %s: it took %v", compression, c.name, took)
			}
		}
		// Bits that are always flipped, in the middle of the data and in the
		// last layer, the catalog.
		for _, l := range s.open(t, remotePlaces(t)).Image.Layers[1:] {
			rule := s.Inject(registrytest.StorageGet, registrytest.Flip(l.Size/2), registrytest.When(func(r *http.Request) bool {
				return strings.Contains(r.URL.Path, l.Digest.Encoded())
			}))
			got, err := exportOnce(t, s)
			rule.Remove()
			if err == nil {
				sameFiles(t, got, files) // it may have hit what nobody needs
			} else if !errors.Is(err, pack.ErrCorrupt) && !errors.Is(err, registry.ErrDamaged) && !errors.Is(err, catalog.ErrFormat) && !strings.Contains(err.Error(), "corrupt") {
				t.Errorf("%s, flipped: %v", compression, err)
			}
			for p, data := range got {
				if !bytes.Equal(data, files[p]) {
					t.Errorf("%s: wrong bytes in %s", compression, p)
				}
			}
		}
	}
}

func everyNth(n int) func(*http.Request) bool {
	count := make(chan int, 1)
	count <- 0
	return func(*http.Request) bool {
		i := <-count + 1
		count <- i
		return i%n == 0
	}
}

// exportOnce exports all of an image, as nobody who knows anything of it.
func exportOnce(t *testing.T, s *shelf) (map[string][]byte, error) {
	t.Helper()
	c, err := Open(t.Context(), s.ref, remotePlaces(t))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	dir := filepath.Join(t.TempDir(), "out")
	_, err = c.Export(t.Context(), dir, ExportOptions{})
	if _, statErr := os.Stat(dir); statErr != nil {
		return nil, err
	}
	got := exported(t, dir)
	for p := range got {
		if strings.Contains(filepath.Base(p), "tmp") {
			t.Errorf("%s is left", p)
		}
	}
	return got, err
}

// A registry on which nothing moves ends in an error, not in a hang.
func TestRemoteStalls(t *testing.T) {
	files := map[string][]byte{"a": noise(3 << 20), "b/c": noise(1000)}
	s := newShelf(t, files, nil)
	for name, fault := range map[string]registrytest.Fault{
		"stall": registrytest.Stall(10_000, time.Hour), "trickle": registrytest.Trickle(500), "silence": registrytest.Delay(time.Hour),
	} {
		rule := s.Inject(registrytest.BlobGet, fault)
		begin := time.Now()
		places := remotePlaces(t, func(o *registry.Options) { o.Stall, o.Attempts = 400*time.Millisecond, 2 })
		c, err := Open(t.Context(), s.ref, places)
		if err == nil {
			_, err = read(t, c, "a")
			c.Close()
		}
		rule.Remove()
		if err == nil || !strings.Contains(err.Error(), "nothing came for too long") {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
}

// Reading ends with its context, and then nothing runs on.
func TestCancelRemote(t *testing.T) {
	s := newShelf(t, smallFiles(1000, 9000), nil)
	for name, fault := range map[string]registrytest.Fault{"slow": registrytest.Trickle(100_000), "delay": registrytest.Delay(time.Minute)} {
		rule := s.Inject(registrytest.BlobGet, fault, registrytest.After(2))
		ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		begin := time.Now()
		c, err := Open(ctx, s.ref, remotePlaces(t))
		if err == nil {
			_, err = c.Export(ctx, filepath.Join(t.TempDir(), "out"), ExportOptions{})
			c.Close()
		}
		cancel()
		rule.Remove()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
	noGoroutines(t)
}

// noGoroutines fails the test if code of cdb still runs.
func noGoroutines(t *testing.T) {
	t.Helper()
	left := ""
	for range 300 {
		buf := make([]byte, 4<<20)
		left = ""
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			mine := strings.Contains(g, "data-containers/cdb.") || strings.Contains(g, "cdb/internal/")
			if mine && !strings.Contains(g, "registrytest.") && !strings.Contains(g, "testing.tRunner") {
				left += g + "\n\n"
			}
		}
		if left == "" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("goroutines are left:\n%s", left)
}

// An image is the same wherever it lies: verify, diff and log say so.
func TestRemoteLikeLocal(t *testing.T) {
	files := smallFiles(300, 3000)
	s := newShelf(t, files, nil)
	places := remotePlaces(t)
	if _, err := Copy(t.Context(), s.ref, "", CopyOptions{Places: places, Name: "local:v1"}); err != nil {
		t.Fatal(err)
	}
	checkContents(t, "local:v1", "", files, places)
	checkContents(t, s.ref, "", files, places)
	checkContents(t, strings.TrimPrefix(s.ref, "docker://"), "", files, places)
	c := s.open(t, places)
	opts := VerifyOptions{Report: func(f Finding) error {
		t.Errorf("%+v", f)
		return nil
	}}
	if err := c.VerifyBlobs(t.Context(), opts); err != nil {
		t.Error(err)
	}
	if err := c.VerifyFiles(t.Context(), nil, opts); err != nil {
		t.Error(err)
	}
	if log, err := Log(t.Context(), c); err != nil || len(log) != 1 {
		t.Errorf("%+v, %v", log, err)
	}
	noGoroutines(t)
}

// A version of an image in a registry sends what changed alone.
func TestPushVersion(t *testing.T) {
	upstream := registrytest.Referrers(t)
	p := registrytest.NewProxy(t, upstream)
	files := smallFiles(500, 8000)
	files["big"] = noise(5 << 20)
	src := writeTree(t, files)
	places := remotePlaces(t)
	places.Cache = t.TempDir()
	opts := pushOptions(places, p.Host+"/lab/set:v1")
	first, err := Build(t.Context(), src, opts)
	if err != nil {
		t.Fatal(err)
	}
	sent := p.Totals(registrytest.Any).Received
	if sent > first.Size+64<<10 {
		t.Errorf("%d bytes were sent for %d", sent, first.Size)
	}
	for i, name := range []string{"new/file", "d001/f00100.csv"} {
		files[name] = noise(30_000 + i)
		if err := os.MkdirAll(filepath.Join(src, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(src, name), files[name], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p.Reset()
	opts.Name, opts.Parent = p.Host+"/lab/set:v2", "docker://"+p.Host+"/lab/set:v1"
	second, err := Build(t.Context(), src, opts)
	if err != nil {
		t.Fatal(err)
	}
	sum := p.Totals(registrytest.Any)
	t.Logf("the first version: %d bytes; the second: %d sent, %d fetched in %d requests", sent, sum.Received, sum.Sent, sum.Requests)
	if second.Parent != first.Digest || sum.Received > 200<<10 || sum.Sent > 300<<10 {
		t.Errorf("parent %q, %+v", second.Parent, sum)
	}
	checkContents(t, "docker://"+p.Host+"/lab/set:v2", src, files, places)
	// Into another repository of the registry the rest is mounted.
	p.Reset()
	opts.Name = p.Host + "/other/set:v2"
	if _, err := Build(t.Context(), src, opts); err != nil {
		t.Fatal(err)
	}
	if sum := p.Totals(registrytest.Any); sum.Received > 200<<10 {
		t.Errorf("into another repository: %+v", sum)
	}
	checkContents(t, "docker://"+p.Host+"/other/set:v2", src, files, places)
	// Nothing changed: nothing is sent.
	p.Reset()
	opts.Name, opts.Parent = p.Host+"/lab/set:v3", "docker://"+p.Host+"/lab/set:v2"
	third, err := Build(t.Context(), src, opts)
	if err != nil || !third.Unchanged || third.Digest != second.Digest {
		t.Errorf("%+v, %v", third, err)
	}
	if sum := p.Totals(registrytest.Any); sum.Received > 64<<10 {
		t.Errorf("unchanged: %+v", sum)
	}
}

// What changes while it is read is packed anew, also on its way to a registry.
func TestPushChanges(t *testing.T) {
	upstream := registrytest.Referrers(t)
	places := remotePlaces(t)
	files := smallFiles(50, 5000)
	src := writeTree(t, files)
	opts := pushOptions(places, upstream.Host+"/lab/set:v1")
	opts.Push, opts.NoStore, opts.Output = false, false, "docker://"+upstream.Host+"/lab/set:v1"
	_, err := buildMeanwhile(t, src, opts, func() {
		files["d000/f00007.bin"] = noise(3 << 20)
		files["d000/f00008.txt"] = []byte("short")
		for _, p := range []string{"d000/f00007.bin", "d000/f00008.txt"} {
			if err := os.WriteFile(filepath.Join(src, p), files[p], 0o644); err != nil {
				t.Fatal(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	checkContents(t, "docker://"+upstream.Host+"/lab/set:v1", src, files, places)
}

// A registry that fails in the middle ends the build, soon, and nothing is
// left. So does who ends it.
func TestPushEnds(t *testing.T) {
	upstream := registrytest.Referrers(t)
	files := map[string][]byte{}
	for i := range 12 {
		files[fmt.Sprintf("f%02d", i)] = noise(3<<20 + i)
	}
	src := writeTree(t, files)
	for name, fault := range map[string]registrytest.Fault{"refused": registrytest.Status(403), "broken": registrytest.Status(500), "down": registrytest.HangUp()} {
		for _, noStore := range []bool{true, false} {
			p := registrytest.NewProxy(t, upstream)
			p.Inject(registrytest.Upload, fault, registrytest.After(4))
			places := remotePlaces(t, func(o *registry.Options) { o.Attempts = 3 })
			opts := pushOptions(places, p.Host+"/lab/"+strings.ToLower(name)+":v1")
			opts.NoStore, opts.PackSize = noStore, 4<<20
			begin := time.Now()
			_, err := Build(t.Context(), src, opts)
			if err == nil || !strings.Contains(err.Error(), p.Host) {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(begin); took > 30*time.Second {
				t.Errorf("%s: it took %v", name, took)
			}
			if status, _ := upstream.Get(t, "lab/"+strings.ToLower(name)+"/manifests/v1"); status != 404 {
				t.Errorf("%s: the image is there: %d", name, status)
			}
		}
	}
	for _, after := range []time.Duration{20 * time.Millisecond, 150 * time.Millisecond, 400 * time.Millisecond} {
		p := registrytest.NewProxy(t, upstream)
		p.Inject(registrytest.UploadPatch, registrytest.Delay(time.Minute), registrytest.After(2))
		places := remotePlaces(t)
		opts := pushOptions(places, p.Host+"/lab/ended:v1")
		opts.PackSize = 4 << 20
		ctx, cancel := context.WithTimeout(t.Context(), after)
		begin := time.Now()
		_, err := Build(ctx, src, opts)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ended after %v: %v", after, err)
		}
		if took := time.Since(begin); took > 15*time.Second {
			t.Errorf("it took %v to end", took)
		}
	}
	noGoroutines(t)
}

// A registry lists what is in it, page by page, and only data containers.
func TestSearch(t *testing.T) {
	upstream := registrytest.Referrers(t)
	places := remotePlaces(t)
	for i, name := range []string{"lab/a:v1", "lab/a:v2", "lab/b:latest", "other/c:v1"} {
		opts := pushOptions(places, upstream.Host+"/"+name)
		opts.Title, opts.Version = "Set "+name, fmt.Sprint(i)
		opts.Epoch = time.Unix(int64(1_600_000_000+i*1000), 0)
		if _, err := Build(t.Context(), writeTree(t, smallFiles(3+i, 100)), opts); err != nil {
			t.Fatal(err)
		}
	}
	upstream.PutBlob(t, "lab/plain", []byte("{}"))
	upstream.PutManifest(t, "lab/plain", "v1", "application/vnd.oci.image.manifest.v1+json", []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"`+registrytest.Digest([]byte("{}"))+`","size":2},"layers":[]}`))
	p := registrytest.NewProxy(t, upstream)
	for _, c := range []struct {
		where string
		opts  SearchOptions
		want  string
	}{
		{p.Host, SearchOptions{}, "lab/a:v2 lab/b:latest other/c:v1"},
		{p.Host + "/lab", SearchOptions{AllTags: true}, "lab/a:v1 lab/a:v2 lab/b:latest"},
		{p.Host + "/none", SearchOptions{}, ""},
		{"", SearchOptions{Repositories: []string{p.Host + "/lab/a", p.Host + "/lab/nothing"}}, "lab/a:v2"},
	} {
		c.opts.Places = places
		found, err := Search(t.Context(), c.where, c.opts)
		var names []string
		for _, f := range found {
			names = append(names, strings.TrimPrefix(f.Ref, p.Host+"/"))
			if f.Files == 0 || f.Bytes == 0 || !strings.HasPrefix(f.Title, "Set ") {
				t.Errorf("%+v", f)
			}
		}
		if got := strings.Join(names, " "); got != c.want || err != nil {
			t.Errorf("%s: %q, %v", c.where, got, err)
		}
	}
	if n := p.Count(registrytest.Blob); n > 0 {
		t.Errorf("%d blobs were read", n)
	}
	for _, status := range []int{401, 403, 404, 405} {
		rule := p.Inject(registrytest.CatalogGet, registrytest.Status(status))
		_, err := Search(t.Context(), p.Host, SearchOptions{Places: places})
		rule.Remove()
		if !errors.Is(err, ErrNoListing) || !strings.Contains(err.Error(), "--repository") {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// What a registry is known not to take is said before anything is sent.
func TestPushLimit(t *testing.T) {
	places := remotePlaces(t)
	src := t.TempDir()
	f, err := os.Create(filepath.Join(src, "huge"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(50e9); err != nil {
		t.Skip(err)
	}
	f.Close()
	opts := pushOptions(places, "ghcr.io/lab/set:v1")
	opts.NoParent = true
	_, err = Build(t.Context(), src, opts)
	for _, part := range []string{"huge", "ghcr.io", "--pack-size", "10000000000"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not say %q", err, part)
		}
	}
	opts.PackSize = 20e9
	_, err = Build(t.Context(), writeTree(t, map[string][]byte{"a": []byte("x")}), opts)
	if err == nil || !strings.Contains(err.Error(), "--pack-size") {
		t.Error(err)
	}
}
