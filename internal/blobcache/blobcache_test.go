package blobcache_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/blobcache"
)

func size(t *testing.T, dir string) (total int64, files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		files = append(files, p)
		total += fi.Size()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return total, files
}

// What was put comes back, also to another process.
func TestRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "cache")
	data := []byte("some frame")
	sum := sha256.Sum256(data)
	c := blobcache.New(dir, 0)
	if _, ok := c.Get(sum); ok {
		t.Error("an empty cache has something")
	}
	c.Put(sum, data)
	got, ok := blobcache.New(dir, 0).Get(sum)
	if !ok || !bytes.Equal(got, data) {
		t.Errorf("got %q, %v", got, ok)
	}
	none := blobcache.New("", 0)
	none.Put(sum, data)
	if _, ok := none.Get(sum); ok {
		t.Error("no cache has something")
	}
}

// A piece that was changed on disk is never handed out, and goes.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	data := []byte("some frame")
	sum := sha256.Sum256(data)
	c := blobcache.New(dir, 0)
	c.Put(sum, data)
	_, files := size(t, dir)
	if len(files) != 1 {
		t.Fatal(files)
	}
	if err := os.WriteFile(files[0], []byte("same frame"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, ok := c.Get(sum); ok {
		t.Errorf("got %q", got)
	}
	if _, files := size(t, dir); len(files) != 0 {
		t.Errorf("%v were left", files)
	}
	if err := os.Symlink("/etc/passwd", files[0]); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Get(sum); ok {
		t.Error("a link was followed")
	}
}

// It stays below its limit, and what is used stays longest.
func TestLimit(t *testing.T) {
	dir := t.TempDir()
	const limit = 1 << 20
	c := blobcache.New(dir, limit)
	piece := func(i int) ([32]byte, []byte) {
		data := bytes.Repeat(fmt.Appendf(nil, "%08d", i), 1<<10)
		return sha256.Sum256(data), data
	}
	first, _ := piece(0)
	for i := range 400 {
		sum, data := piece(i)
		c.Put(sum, data)
		if i == 0 {
			continue
		}
		// All others are older than the first.
		_, files := size(t, dir)
		for _, f := range files {
			if filepath.Base(f) != fmt.Sprintf("%x", first) {
				old := time.Now().Add(-time.Hour)
				os.Chtimes(f, old, old)
			}
		}
		if i%50 != 0 {
			continue
		}
		if total, _ := size(t, dir); total > limit+limit/16+int64(len(data)) {
			t.Fatalf("%d bytes after %d pieces", total, i+1)
		}
	}
	if _, ok := c.Get(first); !ok {
		t.Error("the piece that was used last is gone")
	}
}

// Many goroutines, as many processes would.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			c := blobcache.New(dir, 64<<10)
			for i := range 200 {
				data := bytes.Repeat([]byte{byte(i)}, 1<<10)
				sum := sha256.Sum256(data)
				if got, ok := c.Get(sum); ok && !bytes.Equal(got, data) {
					t.Errorf("piece %d is wrong", i)
				}
				c.Put(sum, data)
			}
		})
	}
	wg.Wait()
}
