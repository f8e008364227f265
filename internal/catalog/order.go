package catalog

import (
	"bytes"
	"cmp"
	"slices"
)

// sortMemory is the memory that ordering by a metric may take, in bytes. What
// does not fit is left for another pass over the catalog.
const sortMemory = 48 << 20

// A sorter finds the first of many keyed entries, as many as fit into its
// memory, without keeping the others.
type sorter struct {
	desc  bool
	limit int // the most entries wanted
	bytes int // the most memory

	arena []byte // the keys
	items []item
	after *bound // entries up to here are done
	until *bound // entries from here on are for later passes
	more  bool   // something was left out
}

type item struct {
	id       int64
	off, len int
}

// itemSize is what an item takes beside its key, in bytes.
const itemSize = 24

// A bound is a place in the order.
type bound struct {
	id  int64
	key []byte
}

// compare orders by key and then by place in the tree, or exactly the other
// way round.
func (s *sorter) compare(aKey []byte, a int64, bKey []byte, b int64) int {
	c := cmp.Or(bytes.Compare(aKey, bKey), cmp.Compare(a, b))
	if s.desc {
		return -c
	}
	return c
}

func (s *sorter) key(it item) []byte { return s.arena[it.off : it.off+it.len] }

// add offers an entry.
func (s *sorter) add(id int64, key []byte) {
	if s.after != nil && s.compare(key, id, s.after.key, s.after.id) <= 0 {
		return
	}
	if s.until != nil && s.compare(key, id, s.until.key, s.until.id) >= 0 {
		s.more = true
		return
	}
	s.items = append(s.items, item{id, len(s.arena), len(key)})
	s.arena = append(s.arena, key...)
	// To sort only now and then makes each entry cost little.
	if len(s.items) >= 2*max(s.limit, 512) || len(s.arena)+itemSize*len(s.items) > s.bytes {
		s.shrink()
	}
}

// shrink drops what is too much.
func (s *sorter) shrink() {
	s.sort()
	n := min(len(s.items), s.limit)
	if len(s.arena)+itemSize*len(s.items) > s.bytes {
		n = min(n, max(1, len(s.items)/2))
	}
	if n == len(s.items) {
		return
	}
	s.more = true
	s.until = &bound{s.items[n].id, bytes.Clone(s.key(s.items[n]))}
	// The keys that stay move together, in the order in which they lie.
	s.items = s.items[:n]
	slices.SortFunc(s.items, func(a, b item) int { return cmp.Compare(a.off, b.off) })
	end := 0
	for i, it := range s.items {
		s.items[i].off = end
		end += copy(s.arena[end:], s.key(it))
	}
	s.arena = s.arena[:end]
}

func (s *sorter) sort() {
	slices.SortFunc(s.items, func(a, b item) int { return s.compare(s.key(a), a.id, s.key(b), b.id) })
}

// next makes s ready for the pass after this one, if there is one. Of a pass
// at least one entry must have come out.
func (s *sorter) next() bool {
	if !s.more || len(s.items) == 0 {
		return false
	}
	last := s.items[len(s.items)-1]
	s.limit -= len(s.items)
	s.after, s.until, s.more = &bound{last.id, bytes.Clone(s.key(last))}, nil, false
	s.items, s.arena = s.items[:0], s.arena[:0]
	return s.limit > 0
}

// finish ends a pass: what it returns is in order.
func (s *sorter) finish() []item {
	s.sort()
	if len(s.items) > s.limit {
		s.items = s.items[:s.limit]
	}
	return s.items
}
