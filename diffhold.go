package cdb

import (
	"strings"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// holdLimit is how much memory the changes take that a holder holds back, in
// bytes, about.
const holdLimit = 256 << 20

// maxTwins is how many removed files with the same bytes are looked at for
// one with the same name.
const maxTwins = 64

// A holder holds changes back, in order, until the two halves of a rename or
// of a change of type have been found in them.
type holder struct {
	yield   func(*Change) bool
	renames bool
	fields  func(a, b *catalog.Entry) []Field
	limit   int64

	held   []*Change
	weight int64 // of held, in bytes
	// open are the indexes of files and links that came or went, where a
	// folder of the same path may still go or come: it sorts as if it ended
	// in a slash, so other paths may lie in between. All are prefixes of the
	// current path, so there are few.
	open []int
}

// add is told of each entry at of the merged trees, and what changed if
// anything did.
func (h *holder) add(at *catalog.Entry, c *Change) error {
	for n := len(h.open); n > 0; n-- {
		p := h.held[h.open[n-1]].Path
		if strings.HasPrefix(at.Path, p) && (len(at.Path) == len(p) || at.Path[len(p)] < '/') {
			break
		}
		h.open = h.open[:n-1]
	}
	if h.weight > h.limit || !h.renames && len(h.open) == 0 && len(h.held) > 0 {
		if err := h.flush(); err != nil {
			return err
		}
	}
	if c != nil && !h.joined(at, c) {
		if at.Type != tree.Dir && (c.Kind == Added || c.Kind == Removed) {
			h.open = append(h.open, len(h.held))
		}
		h.held = append(h.held, c)
		h.weight += weigh(c)
	}
	return nil
}

// joined makes a folder that took the place of a file or a link, or lost its
// place to one, one change with that.
func (h *holder) joined(at *catalog.Entry, c *Change) bool {
	if at.Type != tree.Dir || len(h.open) == 0 || c.Kind != Added && c.Kind != Removed {
		return false
	}
	first := h.held[h.open[len(h.open)-1]]
	if first.Path != c.Path || first.Kind == c.Kind {
		return false
	}
	first.Kind = TypeChanged
	if c.Old != nil {
		first.Old = c.Old
	} else {
		first.New = c.New
	}
	h.open = h.open[:len(h.open)-1]
	return true
}

// weigh returns what c takes in memory, about.
func weigh(c *Change) int64 {
	n := 112
	for _, e := range []*catalog.Entry{c.Old, c.New} {
		if e != nil {
			n += 208 + len(e.Path) + len(e.Link) + len(e.Meta)
		}
		if e != nil && len(e.Xattrs) > 0 {
			n += 400
			for k, v := range e.Xattrs {
				n += 32 + len(k) + len(v)
			}
		}
	}
	for _, f := range c.Fields {
		n += 128 + len(f.Name)
		for _, v := range []*string{f.Old, f.New} {
			if v != nil {
				n += len(*v)
			}
		}
	}
	return int64(n)
}

// flush yields what is held.
func (h *holder) flush() error {
	if h.renames {
		h.pair()
	}
	for _, c := range h.held {
		if c != nil && !h.yield(c) {
			return errEnough
		}
	}
	clear(h.held)
	h.held, h.open, h.weight = h.held[:0], h.open[:0], 0
	return nil
}

// pair finds renames: first those that keep the name and change the folder.
func (h *holder) pair() {
	twins := h.removedFiles()
	if len(twins.first) == 0 {
		return
	}
	for _, sameName := range []bool{true, false} {
		for i, c := range h.held {
			if c == nil || c.Kind != Added || !renameable(c.New) {
				continue
			}
			j, ok := twins.take(h.held, c.New, sameName)
			if !ok {
				continue
			}
			old := h.held[j].Old
			h.held[j] = nil
			h.held[i] = &Change{Kind: Renamed, Path: c.Path, OldPath: old.Path, Old: old, New: c.New, Fields: h.fields(old, c.New)}
		}
	}
}

// renameable says if the bytes of e tell it from others.
func renameable(e *catalog.Entry) bool { return e.Type == tree.File && e.Size > 0 }

// twins are lists of removed files with the same bytes, as indexes plus one
// into what is held; 0 ends a list.
type twins struct {
	first map[[32]byte]int32
	next  map[int32]int32
}

func (h *holder) removedFiles() *twins {
	t := &twins{first: map[[32]byte]int32{}, next: map[int32]int32{}}
	for i := len(h.held) - 1; i >= 0; i-- {
		c := h.held[i]
		if c.Kind != Removed || !renameable(c.Old) {
			continue
		}
		n := int32(i + 1)
		if behind := t.first[c.Old.SHA256]; behind != 0 {
			t.next[n] = behind
		}
		t.first[c.Old.SHA256] = n
	}
	return t
}

// take removes a file with the bytes of e from its list, and returns its
// index.
func (t *twins) take(held []*Change, e *catalog.Entry, sameName bool) (int, bool) {
	before := int32(0)
	n := t.first[e.SHA256]
	for range maxTwins {
		if n == 0 {
			break
		}
		old := held[n-1].Old
		if old.Size == e.Size && (!sameName || tree.Base(old.Path) == tree.Base(e.Path)) {
			if before == 0 {
				t.first[e.SHA256] = t.next[n]
			} else {
				t.next[before] = t.next[n]
			}
			return int(n - 1), true
		}
		before, n = n, t.next[n]
	}
	return 0, false
}
