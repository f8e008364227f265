package cdb

import (
	"context"
	"iter"
	"strings"

	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/tree"
)

// whiteoutPrefix begins the name of an entry that hides what lower layers
// hold under the rest of the name (OCI image-spec, layer.md).
const whiteoutPrefix = ".wh."

// Walk yields what the data layers hold, whatever the catalog says of them:
// the tree that a runtime mounts, in order.
func (f *Files) Walk(ctx context.Context) iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		w, err := f.newLayerWalk(ctx)
		if err == nil {
			defer w.stop()
			err = w.run(yield)
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

// A layerWalk merges the entries of layers, each of which is in the order of
// the tree.
type layerWalk struct {
	heads []head // lowest layer first
	// hidden is the highest layer, from 1, that has a whiteout of a path.
	hidden map[string]int
}

// A head is the next entry of a layer.
type head struct {
	entry *tree.Entry // nil at the end
	next  func() (*tree.Entry, error, bool)
	stop  func()
}

func (f *Files) newLayerWalk(ctx context.Context) (*layerWalk, error) {
	packs, err := f.c.db.Packs(ctx)
	if err != nil {
		return nil, err
	}
	white, err := f.c.db.WhiteoutPacks(ctx)
	if err != nil {
		return nil, err
	}
	w := &layerWalk{hidden: map[string]int{}}
	n := 0
	for i := range f.c.Image.Layers {
		l := &f.c.Image.Layers[i]
		if l.Role != image.RoleData {
			continue
		}
		// Packs are in the order of layers.
		whiteouts := n < len(packs) && white[packs[n].ID]
		n++
		if err := w.add(ctx, f, l, whiteouts); err != nil {
			w.stop()
			return nil, err
		}
	}
	return w, nil
}

// add puts a layer on top. Packs hold whiteouts or entries; of those with
// whiteouts the folders say nothing new.
func (w *layerWalk) add(ctx context.Context, f *Files, l *image.Layer, whiteouts bool) error {
	if whiteouts {
		for e, err := range f.walkLayer(ctx, l) {
			if err != nil {
				return err
			}
			if name, ok := strings.CutPrefix(tree.Base(e.Path), whiteoutPrefix); ok {
				w.hidden[strings.TrimPrefix(tree.Parent(e.Path)+"/"+name, "/")] = len(w.heads)
			}
		}
		return nil
	}
	next, stop := iter.Pull2(f.walkLayer(ctx, l))
	w.heads = append(w.heads, head{next: next, stop: stop})
	return w.heads[len(w.heads)-1].advance()
}

func (h *head) advance() error {
	e, err, ok := h.next()
	h.entry = nil
	if ok {
		h.entry = e
	}
	return err
}

func (w *layerWalk) stop() {
	for _, h := range w.heads {
		h.stop()
	}
}

// run yields the merged entries.
func (w *layerWalk) run(yield func(*tree.Entry, error) bool) error {
	for {
		// Of layers with the same entry the highest one counts.
		top := -1
		for i := range w.heads {
			if e := w.heads[i].entry; e != nil && (top < 0 || tree.Compare(e, w.heads[top].entry) <= 0) {
				top = i
			}
		}
		if top < 0 {
			return nil
		}
		e := w.heads[top].entry
		if !w.isHidden(e.Path, top) && !yield(e, nil) {
			return nil
		}
		for i := range w.heads[:top+1] {
			if h := &w.heads[i]; h.entry != nil && tree.Compare(h.entry, e) == 0 {
				if err := h.advance(); err != nil {
					return err
				}
			}
		}
	}
}

// isHidden says if a whiteout above layer number i hides path.
func (w *layerWalk) isHidden(path string, i int) bool {
	if len(w.hidden) == 0 {
		return false
	}
	for {
		if w.hidden[path] > i {
			return true
		}
		if path == "" {
			return false
		}
		path = tree.Parent(path)
	}
}
