// Package blobcache is a folder of bytes that were fetched from afar and
// checked: each piece (a frame, a manifest, a frame table) is a file that is
// named by its sha256. Several processes may use one folder at the same time.
// It is bounded in size, and whatever happens to it costs time, never
// correctness: a piece that is not what its name says is dropped.
package blobcache

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// DefaultLimit is the size in bytes that a cache is kept below, about.
const DefaultLimit = 2 << 30

// maxPiece is the size in bytes of the largest piece that is kept.
const maxPiece = 64 << 20

// A Cache is a folder of pieces. A nil Cache holds nothing.
type Cache struct {
	dir   string
	limit int64

	mu      sync.Mutex
	written int64 // since the size was looked at
	looked  bool
}

// New returns the cache in the folder dir, which is made when the first piece
// comes; "" is no cache. limit is in bytes, 0 is DefaultLimit.
func New(dir string, limit int64) *Cache {
	if dir == "" {
		return nil
	}
	return &Cache{dir: dir, limit: cmp.Or(limit, DefaultLimit)}
}

func (c *Cache) path(sum [sha256.Size]byte) string {
	name := hex.EncodeToString(sum[:])
	return filepath.Join(c.dir, name[:2], name)
}

// Get returns the bytes whose sha256 is sum. They have been compared with it.
func (c *Cache) Get(sum [sha256.Size]byte) ([]byte, bool) {
	if c == nil {
		return nil, false
	}
	path := c.path(sum)
	fi, err := os.Lstat(path)
	if err != nil || !fi.Mode().IsRegular() || fi.Size() > maxPiece {
		return nil, false
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, false
	}
	if sha256.Sum256(data) != sum {
		os.Remove(path)
		return nil, false
	}
	// Its time says when it was used last, to the minute or so.
	if now := time.Now(); now.Sub(fi.ModTime()) > time.Minute {
		os.Chtimes(path, now, now)
	}
	return data, true
}

// Put keeps data, whose sha256 the caller has compared with sum. What cannot
// be written is not kept.
func (c *Cache) Put(sum [sha256.Size]byte, data []byte) {
	if c == nil || len(data) > maxPiece {
		return
	}
	path := c.path(sum)
	if err := writeBeside(path, data); err != nil {
		return
	}
	c.mu.Lock()
	c.written += int64(len(data))
	// Looking costs time: once when the cache is first used, and then when
	// much has come.
	due := !c.looked || c.written > c.limit/16
	if due {
		c.looked, c.written = true, 0
	}
	c.mu.Unlock()
	if due {
		c.trim()
	}
}

func writeBeside(path string, data []byte) error {
	dir := filepath.Dir(path)
	temp := filepath.Join(dir, "tmp-"+rand.Text())
	err := os.WriteFile(temp, data, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		err = os.WriteFile(temp, data, 0o600)
	}
	if err == nil {
		// Not synced: after a crash a piece that is damaged is dropped.
		err = os.Rename(temp, path)
	}
	if err != nil {
		os.Remove(temp)
	}
	return err
}

// A piece is a file of the cache.
type piece struct {
	path string
	size int64
	used time.Time
}

// trim removes the pieces that were not used for longest until there is room
// again, and what crashed processes left.
func (c *Cache) trim() {
	pieces, total := c.pieces()
	if total <= c.limit {
		return
	}
	slices.SortFunc(pieces, func(a, b piece) int { return a.used.Compare(b.used) })
	for _, p := range pieces {
		if total <= c.limit-c.limit/8 {
			return
		}
		if os.Remove(p.path) == nil {
			total -= p.size
		}
	}
}

func (c *Cache) pieces() (pieces []piece, total int64) {
	// What cannot be listed is left as it is.
	_ = filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		fi, err := d.Info()
		if err != nil {
			return nil
		}
		if name := d.Name(); len(name) > 4 && name[:4] == "tmp-" && time.Since(fi.ModTime()) > time.Hour {
			os.Remove(path)
			return nil
		}
		pieces = append(pieces, piece{path, fi.Size(), fi.ModTime()})
		total += fi.Size()
		return nil
	})
	return pieces, total
}
