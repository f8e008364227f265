package extract

import (
	"errors"
	"fmt"
	"math/bits"
)

// An hdf5Heap is a fractal heap (specification, III.G).
type hdf5Heap struct {
	r          *hdf5Reader
	idSize     int
	filtered   bool
	checksums  bool
	width      uint64 // blocks in a row
	start      uint64 // size of the first block
	maxDirect  uint64 // size of the largest direct block
	offsetBits int
	lengthSize int // bytes of the length in an ID
	root       uint64
	rows       uint64 // of the root, 0 if that is a direct block
}

func (r *hdf5Reader) fractalHeap(addr uint64) (*hdf5Heap, error) {
	b, err := r.view(addr, int64(22+12*r.lengthSize+3*r.offsetSize))
	if err != nil {
		return nil, err
	}
	c := &hdf5Cursor{r: r, b: b}
	c.magic("FRHP")
	h := &hdf5Heap{r: r, idSize: int(c.uint(2))}
	h.filtered = c.uint(2) != 0
	h.checksums = c.uint(1)&2 != 0
	maxObject := c.uint(4)
	c.take(10*r.lengthSize + 2*r.offsetSize)
	h.width, h.start, h.maxDirect = c.uint(2), c.length(), c.length()
	h.offsetBits = int(c.uint(2))
	c.take(2)
	h.root, h.rows = c.address(), c.uint(2)
	h.lengthSize = hdf5Bytes(min(h.maxDirect, maxObject))
	switch {
	case c.err != nil:
		return nil, c.err
	case h.filtered:
		return nil, errHDF5Left
	case h.width == 0 || bits.OnesCount64(h.start) != 1 || bits.OnesCount64(h.maxDirect) != 1 ||
		h.start > h.maxDirect || h.maxDirect > 1<<32 || h.offsetBits > 64 || h.idSize < 2:
		return nil, errors.New("the sizes of a heap are wrong")
	}
	return h, nil
}

// offsetSize is that of offsets in the heap, in bytes.
func (h *hdf5Heap) offsetSize() int { return (h.offsetBits + 7) / 8 }

// get returns the object with an ID.
func (h *hdf5Heap) get(id []byte) ([]byte, error) {
	if err := h.r.step(); err != nil {
		return nil, err
	}
	c := &hdf5Cursor{r: h.r, b: id}
	switch flags := c.uint(1); flags >> 4 & 3 {
	case 0:
	case 2: // tiny: in the ID itself
		n := int(flags&15) + 1
		if h.idSize > 18 {
			n = int(flags&15)<<8 + int(c.uint(1)) + 1
		}
		return c.take(n), c.err
	default:
		return nil, errHDF5Left
	}
	offset, length := c.uint(h.offsetSize()), c.uint(h.lengthSize)
	if c.err != nil || length > HeadSize {
		return nil, errors.New("an ID of a heap is damaged")
	}
	block, begin := h.root, uint64(0)
	if h.rows > 0 {
		var err error
		if block, begin, err = h.find(h.root, h.rows, 0, offset, 0); err != nil {
			return nil, err
		}
	}
	if h.r.undefined(block) {
		return nil, errors.New("a block of a heap is missing")
	}
	return h.r.view(block+(offset-begin), int64(length))
}

// rowSize is the size of a block in a row.
func (h *hdf5Heap) rowSize(row uint64) uint64 {
	if row == 0 {
		return h.start
	}
	return h.start << min(row-1, 40)
}

// find returns the direct block that holds an offset, below the indirect
// block at addr, which begins at base, and where it begins.
func (h *hdf5Heap) find(addr, rows, base, offset uint64, depth int) (block, begin uint64, err error) {
	if depth > hdf5MaxDepth {
		return 0, 0, errors.New("a heap is nested too deep")
	}
	entry, at := uint64(0), base
	for row := uint64(0); row < rows; row++ {
		size := h.rowSize(row)
		if size > 1<<40 {
			break
		}
		if offset-at >= h.width*size {
			at += h.width * size
			entry += h.width
			continue
		}
		entry += (offset - at) / size
		at += (offset - at) / size * size
		child, err := h.child(addr, entry)
		if err != nil || size <= h.maxDirect {
			return child, at, err
		}
		// An indirect block of this size has the rows that fill it.
		inner := uint64(bits.Len64(size)-bits.Len64(h.start*h.width)) + 1
		return h.find(child, inner, at, offset, depth+1)
	}
	return 0, 0, errors.New("an ID of a heap is out of it")
}

// child returns the address of an entry of the indirect block at addr.
func (h *hdf5Heap) child(addr, entry uint64) (uint64, error) {
	head := uint64(5 + h.r.offsetSize + h.offsetSize())
	b, err := h.r.view(addr, 4)
	if err == nil && string(b) != "FHIB" {
		err = errors.New("an indirect block has no signature")
	}
	if err != nil {
		return 0, err
	}
	if b, err = h.r.view(addr+head+entry*uint64(h.r.offsetSize), int64(h.r.offsetSize)); err != nil {
		return 0, err
	}
	c := &hdf5Cursor{r: h.r, b: b}
	return c.address(), nil
}

// An hdf5Tree is a B-tree of version 2 (specification, III.A.2).
type hdf5Tree struct {
	r          *hdf5Reader
	nodeSize   uint64
	recordSize uint64
	visit      func(record []byte) error
	most       []uint64 // records in a node, by depth
	total      []uint64 // records below a node, by depth
}

// btree2 shows visit all records of the tree at addr.
func (r *hdf5Reader) btree2(addr uint64, visit func(record []byte) error) error {
	b, err := r.view(addr, int64(18+r.offsetSize+r.lengthSize))
	if err != nil {
		return err
	}
	c := &hdf5Cursor{r: r, b: b}
	c.magic("BTHD")
	c.take(1)
	t := &hdf5Tree{r: r, visit: visit, nodeSize: c.uint(4), recordSize: c.uint(2)}
	depth := int(c.uint(2))
	c.take(2)
	root, n := c.address(), c.uint(2)
	if c.err != nil {
		return c.err
	}
	if t.recordSize == 0 || t.nodeSize < 10+t.recordSize || t.nodeSize > HeadSize || depth > 8 {
		return errors.New("the sizes of a tree are wrong")
	}
	if r.undefined(root) || n == 0 {
		return nil
	}
	// How wide the counts in pointers are depends on how much a node can hold.
	t.most = []uint64{(t.nodeSize - 10) / t.recordSize}
	t.total = []uint64{t.most[0]}
	for d := 1; d <= depth; d++ {
		pointer := t.pointerSize(d)
		if t.nodeSize < 10+pointer+t.recordSize {
			return errors.New("the sizes of a tree are wrong")
		}
		most := (t.nodeSize - 10 - pointer) / (t.recordSize + pointer)
		t.most = append(t.most, most)
		t.total = append(t.total, (most+1)*t.total[d-1]+most)
	}
	return t.node(root, n, depth)
}

// pointerSize is the size of a pointer in a node of depth d.
func (t *hdf5Tree) pointerSize(d int) uint64 {
	n := t.r.offsetSize + hdf5Bytes(t.most[0])
	if d > 1 {
		n += hdf5Bytes(t.total[d-1])
	}
	return uint64(n)
}

// node visits the n records of the node at addr and those below it.
func (t *hdf5Tree) node(addr, n uint64, depth int) error {
	if err := t.r.step(); err != nil {
		return err
	}
	if n > t.most[depth] {
		return fmt.Errorf("a node of a tree has %d records", n)
	}
	b, err := t.r.view(addr, int64(t.nodeSize))
	if err != nil {
		return err
	}
	c := &hdf5Cursor{r: t.r, b: b}
	if depth == 0 {
		c.magic("BTLF")
	} else {
		c.magic("BTIN")
	}
	c.take(1)
	for range n {
		record := c.take(int(t.recordSize))
		if c.err != nil {
			return c.err
		}
		if err := t.visit(record); err != nil {
			return err
		}
	}
	if depth == 0 {
		return c.err
	}
	for range n + 1 {
		child, count := c.address(), c.uint(hdf5Bytes(t.most[0]))
		if depth > 1 {
			c.uint(hdf5Bytes(t.total[depth-1]))
		}
		if c.err != nil {
			return c.err
		}
		if err := t.node(child, count, depth-1); err != nil {
			return err
		}
	}
	return nil
}
