package cdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/pack"
)

// lie publishes an image again with a catalog that sql has changed.
func lie(t *testing.T, opts BuildOptions, ref, name, sql string) {
	t.Helper()
	c, err := Open(t.Context(), ref, opts.Places)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l := c.Image.Catalog()[0]
	stream, size, err := c.openLayer(t.Context(), &l)
	if err != nil {
		t.Fatal(err)
	}
	offset, length, err := findInTar(stream, size, image.CatalogPath)
	if err != nil {
		t.Fatal(err)
	}
	temp := t.TempDir()
	data, err := io.ReadAll(io.NewSectionReader(stream, offset, length))
	if err == nil {
		err = os.WriteFile(filepath.Join(temp, "catalog.db"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	conn, err := sqlite.OpenConn(filepath.Join(temp, "catalog.db"), sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sqlitex.ExecuteScript(conn, sql, nil), conn.Close()); err != nil {
		t.Fatal(err)
	}
	target, err := opts.config().OpenTarget(t.Context(), "", name, "", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if err := opts.check(); err != nil {
		t.Fatal(err)
	}
	b := &build{opts: opts, target: target, temp: temp}
	ds := c.Catalog().Dataset()
	shared := slices.DeleteFunc(slices.Clone(c.Image.Layers[1:]), func(l image.Layer) bool { return l.Role == image.RoleCatalog })
	layers, err := b.catalogLayers(t.Context(), shared, ds)
	if err == nil {
		_, err = b.publish(t.Context(), ds, layers)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A catalog that does not fit its packs is found, whatever is wrong with it,
// although all digests are right.
func TestVerifyStoreFindsLies(t *testing.T) {
	for _, compression := range []pack.Compression{pack.Gzip, pack.Zstd, pack.None} {
		files := map[string][]byte{"a": noise(3 << 20), "b/c": noise(5), "b/d": noise(2 << 20)}
		dir := writeTree(t, files)
		if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "link")); err != nil {
			t.Fatal(err)
		}
		opts := storeOptions(t, "good")
		opts.Compression = compression
		if _, err := Build(t.Context(), dir, opts); err != nil {
			t.Fatal(err)
		}
		checkStore(t, opts)
		for sql, want := range map[string]string{
			"UPDATE entry SET pack = 7 WHERE path = '/data/b/c'":                             "mismatch lie:latest /data/b/c: it lies in pack 7, which",
			"UPDATE entry SET pack = NULL WHERE path = '/data/b/'":                           "mismatch lie:latest /data/b: it lies in pack 0, which",
			"UPDATE entry SET offset = 9e15 WHERE path = '/data/b/c'":                        "mismatch lie:latest /data/b/c: its bytes lie from",
			"UPDATE entry SET size = 9223372036854775807, offset = 1 WHERE path='/data/b/c'": "mismatch lie:latest /data/b/c: its bytes lie from",
			"UPDATE entry SET link = 'nothing' WHERE path = '/data/link'":                    "mismatch lie:latest /data/link: it is a hard link of \"nothing\", which is no file",
			"UPDATE entry SET offset = offset + 1 WHERE path = '/data/link'":                 "mismatch lie:latest /data/link: it is a hard link of \"a\", but",
			"DELETE FROM entry WHERE path = '/data/b/'":                                      "missing lie:latest /data/b: the folder of",
			"DELETE FROM entry WHERE path = '/data/b/c'":                                     "mismatch lie:latest: its catalog has 3 files",
			"UPDATE pack SET tar_size = tar_size + 512":                                      "bytes in frames of 1048576, but the blob says",
			"UPDATE pack SET frame_size = 1":                                                 "frames of 1 bytes",
			"UPDATE pack SET size = size - 1":                                                "but the manifest says",
			"UPDATE pack SET diff_id = 'sha256:0'":                                           "no layer has its diffID",
			"UPDATE frame_group SET frames = x'01' || substr(frames, 2)":                     "its frames from 0 on are not those of the blob",
			"UPDATE frame_group SET offset = 1":                                              "frame 0 lies at byte 0 of the blob, not 1",
			"DELETE FROM frame_group":                                                        "has no frame 0",
			"DELETE FROM pack":                                                               "the catalog does not know this data layer",
			"UPDATE entry SET type = 'x' WHERE path = '/data/b/c'":                           "unreadable lie:latest: ",
		} {
			lie(t, opts, "good", "lie", sql)
			if found := findings(t, opts); !strings.Contains(found, want) {
				t.Errorf("%s, %s: found %q, want %q", compression, sql, found, want)
			} else if strings.Contains(found, "good") {
				t.Errorf("%s, %s: found %q", compression, sql, found)
			}
		}
	}
}

func findings(t *testing.T, opts BuildOptions) string {
	t.Helper()
	var found strings.Builder
	_, err := VerifyStore(t.Context(), "", opts.Places, VerifyOptions{Workers: 2, Report: func(f Finding) error {
		fmt.Fprintf(&found, "%s %s: %v\n", f.Kind, f.What, f.Why)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return found.String()
}

// A verification ends when it is told to, or when nobody takes its findings.
func TestVerifyStoreEnds(t *testing.T) {
	opts := storeOptions(t, "set")
	if _, err := Build(t.Context(), writeTree(t, map[string][]byte{"a": noise(5)}), opts); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := VerifyStore(ctx, "", opts.Places, VerifyOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: error %v", err)
	}
	full := errors.New("full")
	for _, damage := range []func(){
		func() { lie(t, opts, "set", "lie", "DELETE FROM pack") },
		func() {
			if err := os.WriteFile(filepath.Join(opts.Store, "stray"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		},
	} {
		damage()
		_, err := VerifyStore(t.Context(), "", opts.Places, VerifyOptions{Report: func(Finding) error { return full }})
		if !errors.Is(err, full) {
			t.Errorf("error %v", err)
		}
	}
}
