package scan

import (
	"github.com/data-containers/cdb/internal/tree"
)

// A segmentReader decodes the records of segments.
type segmentReader struct {
	segments []segment // the first is being read
	begun    bool
	blocks   *blockReader
	at       int64
	recordReader
}

// next decodes the next record into r, except for its path, which is in
// rd.path. ok is false behind the last.
func (rd *segmentReader) next(r *Record) (ok bool, err error) {
	for {
		for len(rd.d.data) > 0 {
			if err := rd.recordReader.next(r); err != nil {
				return false, err
			}
			seg := &rd.segments[0]
			if seg.run == 0 {
				return true, nil
			}
			if r.Pack != 0 {
				r.Pack = seg.number
				return true, nil
			}
		}
		if ok, err := rd.nextBlock(); !ok {
			return false, err
		}
	}
}

// nextBlock begins the next block of records. ok is false if there is none.
func (rd *segmentReader) nextBlock() (ok bool, err error) {
	for len(rd.segments) > 0 {
		seg := &rd.segments[0]
		if !rd.begun {
			rd.begun, rd.blocks, rd.at = true, seg.file.blocks(), seg.from
		}
		if rd.at >= seg.to {
			rd.segments, rd.begun = rd.segments[1:], false
			continue
		}
		typ, payload, next, err := rd.blocks.read(rd.at)
		if err != nil {
			return false, err
		}
		rd.at = next
		if typ != recordsBlock {
			continue
		}
		if err := rd.reset(payload); err != nil {
			return false, err
		}
		if seg.run != 0 && rd.pack != seg.run {
			return false, errDamaged
		}
		return true, nil
	}
	return false, nil
}

// A Cursor finds records of a snapshot for entries that come in the order of
// the tree, in one pass. It is used by one goroutine at a time.
type Cursor struct {
	rd    segmentReader
	rec   Record
	valid bool // rec is a record that was not passed yet
	done  bool
	err   error
}

// Cursor returns a cursor before the first record.
func (s *Snapshot) Cursor() *Cursor {
	c := &Cursor{}
	if s.whole != nil {
		c.rd.segments = []segment{*s.whole}
		return c
	}
	for i := range s.runs {
		c.rd.segments = append(c.rd.segments, s.runs[i].segment)
	}
	return c
}

// Find returns the record of an entry that a scan found in state st, if its
// content is known: the record is there and [Record.Trusts] the state. An
// entry before the one asked for last is not found. The record is overwritten
// by the next call, but its strings and maps may be kept.
func (c *Cursor) Find(e *tree.Entry, st Stat) (r *Record, ok bool) {
	r = c.Lookup(e)
	if r == nil || !r.Trusts(e, st) {
		return nil, false
	}
	return r, true
}

// Lookup returns what the snapshot remembers under the path of an entry,
// trusted or not; nil if there is nothing. A file and a link may share a
// path, a folder and something else do not. It is as [Cursor.Find] otherwise,
// and may be called beside it for the same entry.
func (c *Cursor) Lookup(e *tree.Entry) *Record {
	isDir := e.Type == tree.Dir
	for {
		if !c.valid && !c.advance() {
			return nil
		}
		order := comparePaths(c.rd.path, c.rec.Type == tree.Dir, e.Path, isDir)
		if order == 0 {
			c.rec.Path = e.Path
			return &c.rec
		}
		if order > 0 {
			return nil
		}
		c.valid = false
	}
}

// advance decodes the next record. Nothing behind damage is found.
func (c *Cursor) advance() bool {
	if c.done {
		return false
	}
	c.valid, c.err = c.rd.next(&c.rec)
	c.done = !c.valid
	return c.valid
}

// Err returns why the cursor finds nothing from some place on, nil if it is
// not for damage. Records found before are good.
func (c *Cursor) Err() error { return c.err }
