package cdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/tree"
)

func testOptions(t *testing.T) BuildOptions {
	return BuildOptions{
		Output:     "oci:" + filepath.Join(t.TempDir(), "layout"),
		Entrypoint: func(string) ([]byte, error) { return []byte("program"), nil },
		Places:     Places{TempDir: t.TempDir()},
		Workers:    3,
	}
}

// buildMeanwhile builds src, and calls meanwhile between the scan and the
// reading of files.
func buildMeanwhile(t *testing.T, src string, opts BuildOptions, meanwhile func()) (*BuildResult, error) {
	t.Helper()
	if err := opts.check(); err != nil {
		t.Fatal(err)
	}
	target, err := opts.config().OpenTarget(t.Context(), opts.Output, "", "", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	b := &build{opts: opts, target: target, src: src, temp: t.TempDir()}
	listing, err := b.scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer listing.Close()
	meanwhile()
	return b.assemble(t.Context(), listing)
}

// checkContents compares all files of a container with those in a folder and
// says which of those are not in it.
func checkContents(t *testing.T, ref, dir string, want map[string][]byte, places ...Places) {
	t.Helper()
	c, err := Open(t.Context(), ref, append(places, Places{})[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	found := map[string]bool{}
	for e, err := range c.Catalog().Entries(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		if e.Type != tree.File {
			continue
		}
		r, err := c.Content(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want[e.Path]) {
			t.Errorf("%s has %d bytes, want %d: %v", e.Path, len(got), len(want[e.Path]), err)
		}
		found[e.Path] = true
	}
	for p := range want {
		if !found[p] {
			t.Errorf("%s is not in the container", p)
		}
	}
	n := 0
	for _, err := range c.Files(t.Context()).Walk(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if ds := c.Catalog().Dataset(); int64(n) != ds.Files+ds.Dirs+ds.Links {
		t.Errorf("the layers hold %d entries, the catalog %d", n, ds.Files+ds.Dirs+ds.Links)
	}
}

func writeTree(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func noise(n int) []byte {
	b := make([]byte, n)
	rnd := rand.NewChaCha8([32]byte{byte(n)})
	rnd.Read(b)
	return b
}

// Files that changed since the scan come as they are when they are read;
// those that vanished or are no files any more are named.
func TestChangedSinceScan(t *testing.T) {
	for _, size := range []int{10, 3 << 20} {
		files := map[string][]byte{
			"a-first": noise(5000), "z-last": noise(4000),
			"grows": noise(size), "shrinks": noise(size), "vanishes": noise(size), "becomes-folder": noise(size),
			"becomes-empty": noise(size), "sub/x": noise(size + 1), "becomes-large": noise(size), "becomes-link": noise(size),
		}
		dir := writeTree(t, files)
		opts := testOptions(t)
		res, err := buildMeanwhile(t, dir, opts, func() {
			p := func(name string) string { return filepath.Join(dir, name) }
			put := func(name string, data []byte) {
				if err := os.WriteFile(p(name), data, 0o644); err != nil {
					t.Fatal(err)
				}
				files[name] = data
			}
			put("grows", noise(2*size))
			put("shrinks", noise(size/2))
			put("becomes-empty", nil)
			put("becomes-large", noise(5<<20))
			for _, name := range []string{"vanishes", "becomes-folder", "becomes-link"} {
				if err := os.Remove(p(name)); err != nil {
					t.Fatal(err)
				}
				delete(files, name)
			}
			if err := os.Mkdir(p("becomes-folder"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("/etc/passwd", p("becomes-link")); err != nil {
				t.Fatal(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		checkContents(t, opts.Output, dir, files)
		var skipped []string
		for _, s := range res.Skipped {
			skipped = append(skipped, s.Path)
		}
		if got := strings.Join(skipped, " "); got != "becomes-folder becomes-link vanishes" {
			t.Errorf("size %d: skipped %q: %v", size, got, res.Skipped)
		}
	}
}

// A file that never holds still is named, and leaves no trace in the pack.
func TestChangesWhileRead(t *testing.T) {
	files := map[string][]byte{"a": noise(700_000), "z": noise(2_500_000)}
	dir := writeTree(t, files)
	restless := filepath.Join(dir, "restless")
	if err := os.WriteFile(restless, noise(40<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		f, err := os.OpenFile(restless, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				if _, err := f.Write([]byte("more")); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	opts := testOptions(t)
	res, err := Build(t.Context(), dir, opts)
	close(stop)
	<-done
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Skipped) != 1 || !errors.Is(res.Skipped[0].Err, errChanged) {
		t.Fatalf("skipped %v", res.Skipped)
	}
	checkContents(t, opts.Output, dir, files)
	opts.Strict = true
	opts.Output = "oci:" + filepath.Join(t.TempDir(), "strict")
	if _, err := buildMeanwhile(t, dir, opts, func() { os.Remove(restless) }); err == nil || !strings.Contains(err.Error(), "restless") {
		t.Errorf("a strict build of a vanished file: %v", err)
	}
}

// Hard links are links within a pack and files of their own across packs.
func TestHardLinks(t *testing.T) {
	data := noise(300 << 10)
	files := map[string][]byte{"a/1": data, "b/x": noise(10)}
	dir := writeTree(t, files)
	for _, name := range []string{"a/2", "b/3", "z"} {
		if err := os.Link(filepath.Join(dir, "a/1"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		files[name] = data
	}
	opts := testOptions(t)
	res, err := Build(t.Context(), dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	if res.Size > 400<<10 {
		t.Errorf("%d bytes: links were packed as files", res.Size)
	}
	checkContents(t, opts.Output, dir, files)
}

// The digest depends on the data alone: not on the number of workers, the
// order of creation or the place.
func TestSameInputSameDigest(t *testing.T) {
	files := map[string][]byte{}
	for i := range 500 {
		files[fmt.Sprintf("d%d/%d", i%7, i)] = noise(i * 40)
	}
	files["large"] = noise(9 << 20)
	digests := map[string]bool{}
	for workers := 1; workers <= 4; workers++ {
		for _, c := range []pack.Compression{pack.Gzip} {
			dir := writeTree(t, files) // in random order
			err := filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
				return errors.Join(err, os.Chtimes(p, time.Unix(1e9, 0), time.Unix(1e9, 0)))
			})
			if err != nil {
				t.Fatal(err)
			}
			opts := testOptions(t)
			opts.Workers, opts.Compression = workers, c
			res, err := Build(t.Context(), dir, opts)
			if err != nil {
				t.Fatal(err)
			}
			digests[res.Digest] = true
		}
	}
	if len(digests) != 1 {
		t.Errorf("%d digests: %v", len(digests), digests)
	}
}

// A build that is cancelled, wherever it is, says so, publishes nothing and
// leaves no temporary files.
func TestCancel(t *testing.T) {
	files := map[string][]byte{"large": noise(30 << 20)}
	for i := range 300 {
		files[fmt.Sprintf("%d", i)] = noise(3000)
	}
	dir := writeTree(t, files)
	for i := range 15 {
		opts := testOptions(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i*i)*time.Millisecond)
		_, err := Build(ctx, dir, opts)
		cancel()
		if err == nil {
			continue // it was quick enough
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %d ms: %v", i*i, err)
		}
		if c, err := Open(t.Context(), opts.Output, Places{}); err == nil {
			c.Close()
			t.Errorf("after %d ms an image was published", i*i)
		}
		if left, _ := filepath.Glob(opts.TempDir + "/*"); len(left) > 0 {
			t.Errorf("after %d ms: left %v", i*i, left)
		}
	}
}

// Packs with any compression, and many of them, hold what the folder holds.
func TestCompressions(t *testing.T) {
	files := map[string][]byte{"empty": nil, "sub/text": bytes.Repeat([]byte("words "), 1e5), "sub/noise": noise(3 << 20), "z": noise(1)}
	dir := writeTree(t, files)
	for _, c := range []pack.Compression{pack.Gzip, pack.Zstd, pack.None} {
		opts := testOptions(t)
		opts.Compression = c
		if _, err := Build(t.Context(), dir, opts); err != nil {
			t.Fatal(err)
		}
		checkContents(t, opts.Output, dir, files)
	}
}
