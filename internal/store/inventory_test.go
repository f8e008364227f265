package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/data-containers/cdb/internal/store"
)

// An inventory tells images, blobs, uploads and what does not belong apart.
func TestInventory(t *testing.T) {
	local, dir := newLocal(t, "a", "b")
	target := must(local.Target("c", ""))(t)
	defer target.Close()
	running := must(target.Create(t.Context()))(t)
	defer running.Abort()
	hash := "blobs/sha256/" + newSample(t, "a").root.Digest.Encoded()
	for _, name := range []string{"notes", "tmp/upload-00000000000000ff", "tmp/notes", "blobs/notes", "blobs/sha256/abc", "blobs/md5/x"} {
		writeFile(t, filepath.Join(dir, name), []byte("x"))
	}
	if err := os.Symlink("../../"+hash, filepath.Join(dir, "blobs/sha256", newSample(t, "z").root.Digest.Encoded())); err != nil {
		t.Fatal(err)
	}
	inv := must(local.Inventory(t.Context()))(t)
	slices.Sort(inv.Stray)
	want := []string{"blobs/md5/x", "blobs/notes", "blobs/sha256/" + newSample(t, "z").root.Digest.Encoded(), "blobs/sha256/abc", "notes", "tmp/notes"}
	slices.Sort(want)
	if !slices.Equal(inv.Stray, want) {
		t.Errorf("stray %q, want %q", inv.Stray, want)
	}
	if want := []string{"tmp/upload-00000000000000ff"}; !slices.Equal(inv.Unfinished, want) {
		t.Errorf("unfinished %q, want %q: the other is being written", inv.Unfinished, want)
	}
	if len(inv.Images) != 2 || len(inv.Missing) != 0 {
		t.Errorf("images %v, missing %q", inv.Images, inv.Missing)
	}
	sizes := map[string]int64{}
	for _, b := range inv.Blobs {
		sizes[b.Digest.String()] = b.Size
	}
	for d, data := range newSample(t, "a").blobs {
		if sizes[d.String()] != int64(len(data)) {
			t.Errorf("blob %s has %d bytes, want %d", d, sizes[d.String()], len(data))
		}
	}
	// Of a layout, other files are nobody's business but for its blobs.
	layout := must(store.OpenLayout(dir))(t)
	if inv := must(layout.Inventory(t.Context()))(t); slices.Contains(inv.Stray, "notes") || !slices.Contains(inv.Stray, "blobs/notes") {
		t.Errorf("stray in a layout: %q", inv.Stray)
	}
	if err := os.Remove(filepath.Join(dir, "oci-layout")); err != nil {
		t.Fatal(err)
	}
	if inv := must(local.Inventory(t.Context()))(t); !slices.Equal(inv.Missing, []string{"oci-layout"}) {
		t.Errorf("missing %q", inv.Missing)
	}
}

// Each blob that an image lacks or that has another length is a problem, and
// so is a document that is damaged, of whatever platform.
func TestCheck(t *testing.T) {
	s := newSample(t, "a")
	for i, desc := range s.order {
		for _, damage := range []string{"missing", "longer"} {
			local, dir := newLocal(t, "a")
			path := filepath.Join(dir, "blobs/sha256", desc.Digest.Encoded())
			err := os.Remove(path)
			if damage == "longer" {
				writeFile(t, path, append(s.blobs[desc.Digest], ' '))
			}
			if err != nil {
				t.Fatal(err)
			}
			visited := 0
			problems, err := store.Check(t.Context(), local, s.root, func(ocispec.Descriptor) { visited++ })
			if err != nil {
				t.Fatal(err)
			}
			if len(problems) != 1 || problems[0].Desc.Digest != desc.Digest || errors.Is(problems[0].Err, store.ErrNotFound) != (damage == "missing") {
				t.Errorf("blob %d is %s: problems %v", i, damage, problems)
			}
			if desc.MediaType == ocispec.MediaTypeImageLayerGzip && visited != len(s.blobs) {
				t.Errorf("blob %d is %s: %d blobs visited, want %d", i, damage, visited, len(s.blobs))
			}
		}
	}
}

// Who holds a store keeps collections away, and makes no store.
func TestHold(t *testing.T) {
	local, _ := newLocal(t, "a")
	hold := must(local.Hold(t.Context()))(t)
	if _, err := local.GC(t.Context(), false); !errors.Is(err, store.ErrInUse) {
		t.Errorf("collection of a held store: %v", err)
	}
	hold.Close()
	if _, err := local.GC(t.Context(), false); err != nil {
		t.Error(err)
	}
	dir := filepath.Join(t.TempDir(), "none")
	none := must(store.OpenLocal(dir))(t)
	if err := must(none.Hold(t.Context()))(t).Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("a store was made: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if inv, err := none.Inventory(ctx); err != nil || len(inv.Blobs)+len(inv.Stray)+len(inv.Missing) > 0 {
		t.Errorf("inventory of nothing: %+v, %v", inv, err)
	}
}
