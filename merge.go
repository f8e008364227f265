package cdb

import (
	"context"
	"iter"
	"maps"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
)

// A match is what is known of an item before it is read.
type match struct {
	old   *catalog.Entry // the row of the parent image with this path and type
	keep  bool           // old says all of it: nothing is read or packed
	adopt *scan.Record   // it lies in a pack that an earlier build finished
	// stay is old, or what becomes of it, if there is no item because the
	// changes that are committed do not touch it.
	stay *catalog.Entry
}

// A merger walks along a listing and finds, for each item, the row of the
// parent image and what the snapshot of the last build remembers. Both are in
// the order of the tree, so it reads each once.
type merger struct {
	preserve bool
	parent   func() (*catalog.Entry, error, bool) // nil without a parent
	stop     func()
	next     *catalog.Entry // of the parent, not passed yet
	cursor   *scan.Cursor   // nil without a snapshot
	adopted  map[int64]*adoption
	run      *adoption // that the current item lies in
	overlay  *overlay  // nil unless the listing is one of changes
	reread   bool      // all files are read, as the parent's metadata is another
}

// An adoption is a pack of an earlier build that this build would make again.
type adoption struct {
	run      scan.PackRun
	snapshot *scan.Snapshot
	index    int   // of the run in the snapshot
	end      int64 // the ordinal behind its last item
	items    func() (*scan.Record, error, bool)
	stop     func()
}

// newMerger returns a merger; parent and snapshot may be nil.
func newMerger(ctx context.Context, parent *Container, snapshot *scan.Snapshot, preserve bool) (*merger, error) {
	m := &merger{preserve: preserve, stop: func() {}}
	if snapshot != nil {
		m.cursor = snapshot.Cursor()
	}
	if parent == nil {
		return m, nil
	}
	m.parent, m.stop = iter.Pull2(parent.db.Entries(ctx, ""))
	return m, m.advance()
}

// close ends the use of the merger.
func (m *merger) close() {
	m.stop()
	for _, a := range m.adopted {
		a.stop()
	}
}

// advance reads the next row of the parent.
func (m *merger) advance() error {
	m.next = nil
	if m.parent == nil {
		return nil
	}
	e, err, ok := m.parent()
	if ok && err == nil {
		m.next = e
	}
	return err
}

// match completes it.match, and calls passed for the rows of the parent that
// come before it and match nothing.
func (m *merger) match(it *readItem, passed func(match) error) error {
	for m.next != nil {
		c := tree.Compare(&m.next.Entry, &it.Entry)
		if c > 0 || c == 0 && it.Mark != scan.NoMark {
			break
		}
		if c == 0 && m.next.Type == it.Type {
			it.old = m.next
			if err := m.advance(); err != nil {
				return err
			}
			break
		}
		if err := m.pass(passed, c == 0); err != nil {
			return err
		}
	}
	if m.overlay != nil {
		m.overlay.enter(it)
	}
	if err := m.adoptItem(it); err != nil || it.adopt != nil {
		return err
	}
	it.keep = it.old != nil && m.same(it.old, &it.Entry) && m.known(it)
	return nil
}

// pass says what becomes of the next row of the parent, which matches nothing,
// and goes on. Something else may have come in its place.
func (m *merger) pass(passed func(match) error, replaced bool) error {
	what := match{old: m.next}
	switch {
	case m.overlay == nil:
	case replaced:
		m.overlay.lose(m.next)
	default:
		what.stay = m.overlay.stays(m.next)
	}
	if err := passed(what); err != nil {
		return err
	}
	return m.advance()
}

// known says if the item is known to have the content that its old row says.
func (m *merger) known(it *readItem) bool {
	if it.Type != tree.File {
		return true
	}
	if it.Link != "" || m.cursor == nil {
		return false // links are for the packer to decide
	}
	r, ok := m.cursor.Find(&it.Entry, it.Stat())
	it.state = state{it.Stat(), ok}
	return ok && !m.reread && r.SHA256 == it.old.SHA256
}

// same says if old has all attributes of e.
func (m *merger) same(old *catalog.Entry, e *tree.Entry) bool {
	return sameAttributes(&old.Entry, e, m.preserve)
}

func sameAttributes(a, b *tree.Entry, preserve bool) bool {
	return a.Type == b.Type && a.Mode == b.Mode && a.ModTime.Equal(b.ModTime) && a.Size == b.Size && a.Link == b.Link &&
		(!preserve || a.UID == b.UID && a.GID == b.GID && maps.Equal(a.Xattrs, b.Xattrs))
}

// adoptItem looks the item up in the adopted pack that it lies in.
func (m *merger) adoptItem(it *readItem) error {
	if a := m.adopted[it.ordinal]; a != nil {
		m.run = a
	}
	if m.run == nil || it.ordinal >= m.run.end {
		return nil
	}
	r, err, ok := m.run.items()
	if err != nil || !ok {
		return errSnapshot(err)
	}
	rec := *r
	it.adopt = &rec
	return nil
}

// rest calls passed for the rows of the parent that are left.
func (m *merger) rest(passed func(match) error) error {
	for m.next != nil {
		if err := m.pass(passed, false); err != nil {
			return err
		}
	}
	return nil
}
