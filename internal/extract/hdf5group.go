package extract

import (
	"errors"
	"fmt"
)

// An hdf5Link is a hard link in a group. Others are not followed.
type hdf5Link struct {
	name string
	addr uint64 // of an object header
}

// links returns the hard links of a group of either style.
func (r *hdf5Reader) links(o *hdf5Object) ([]hdf5Link, error) {
	var list []hdf5Link
	var err error
	if o.symbolTable.data != nil {
		list, err = r.symbolTable(o.symbolTable.data)
	}
	for _, m := range o.links {
		l, ok, e := r.link(m.data)
		if e != nil {
			return list, e
		}
		if ok {
			list = append(list, l)
		}
	}
	if err == nil && o.linkInfo.data != nil {
		var dense []hdf5Link
		dense, err = r.denseLinks(o.linkInfo.data)
		list = append(list, dense...)
	}
	return list, err
}

// link parses a link message; ok says that it is a hard link.
func (r *hdf5Reader) link(b []byte) (l hdf5Link, ok bool, err error) {
	c := &hdf5Cursor{r: r, b: b}
	version, flags, kind := c.uint(1), c.uint(1), uint64(0)
	if version != 1 && c.err == nil {
		return l, false, fmt.Errorf("a link has version %d", version)
	}
	if flags&8 != 0 {
		kind = c.uint(1)
	}
	if flags&4 != 0 {
		c.take(8)
	}
	if flags&16 != 0 {
		c.take(1)
	}
	n := c.uint(1 << (flags & 3))
	l.name = headerText(c.take(int(min(n, uint64(len(c.b)+1)))))
	if kind == 0 {
		l.addr = c.address()
	}
	return l, kind == 0, c.err
}

// denseStorage reads where links or attributes lie that are not in the header
// of their object: in a fractal heap, by a B-tree. order is how many bytes the
// order of their creation takes. heap is nil if there are none, or an error.
func (r *hdf5Reader) denseStorage(info []byte, order int) (heap *hdf5Heap, treeAddr uint64, err error) {
	c := &hdf5Cursor{r: r, b: info}
	c.take(1)
	if c.uint(1)&1 != 0 {
		c.take(order)
	}
	heapAddr := c.address()
	treeAddr = c.address()
	if c.err != nil || r.undefined(heapAddr) {
		return nil, 0, c.err
	}
	heap, err = r.fractalHeap(heapAddr)
	return heap, treeAddr, err
}

// denseLinks reads links from a fractal heap.
func (r *hdf5Reader) denseLinks(info []byte) ([]hdf5Link, error) {
	heap, treeAddr, err := r.denseStorage(info, 8)
	if err != nil || heap == nil {
		return nil, err
	}
	var list []hdf5Link
	err = r.btree2(treeAddr, func(record []byte) error {
		if len(record) < 4+heap.idSize {
			return errors.New("a record is too short")
		}
		b, err := heap.get(record[4 : 4+heap.idSize])
		if err != nil {
			return err
		}
		l, ok, err := r.link(b)
		if ok && err == nil {
			list = append(list, l)
		}
		return err
	})
	return list, err
}

// symbolTable reads the links of an old-style group: a B-tree of nodes and a
// local heap of names (specification, III.A to III.D).
func (r *hdf5Reader) symbolTable(b []byte) ([]hdf5Link, error) {
	c := &hdf5Cursor{r: r, b: b}
	tree, heap := c.address(), c.address()
	if c.err != nil {
		return nil, c.err
	}
	b, err := r.view(heap, int64(8+2*r.lengthSize+r.offsetSize))
	if err != nil {
		return nil, err
	}
	c = &hdf5Cursor{r: r, b: b}
	c.magic("HEAP")
	c.take(3)
	size, _, addr := c.length(), c.length(), c.address()
	if c.err != nil {
		return nil, c.err
	}
	if size > HeadSize+TailSize {
		return nil, ErrBeyond
	}
	names, err := r.view(addr, int64(size))
	if err != nil {
		return nil, err
	}
	var list []hdf5Link
	err = r.btree1(tree, names, 0, &list)
	return list, err
}

// btree1 reads the links below a node of a B-tree.
func (r *hdf5Reader) btree1(addr uint64, names []byte, depth int, list *[]hdf5Link) error {
	if depth > hdf5MaxDepth {
		return errors.New("a tree is nested too deep")
	}
	if err := r.step(); err != nil {
		return err
	}
	b, err := r.view(addr, int64(8+2*r.offsetSize))
	if err != nil {
		return err
	}
	c := &hdf5Cursor{r: r, b: b}
	kind := c.magic("TREE")
	level, used := c.uint(1), int(c.uint(2))
	if c.err == nil && kind != 0 {
		c.err = fmt.Errorf("a tree of groups has type %d", kind)
	}
	if c.err != nil {
		return c.err
	}
	b, err = r.view(addr+uint64(len(b)), int64(used*(r.lengthSize+r.offsetSize)))
	if err != nil {
		return err
	}
	c = &hdf5Cursor{r: r, b: b}
	for range used {
		c.length()
		child := c.address()
		if level > 0 {
			err = r.btree1(child, names, depth+1, list)
		} else {
			err = r.symbolNode(child, names, list)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// symbolNode reads the links of a symbol table node.
func (r *hdf5Reader) symbolNode(addr uint64, names []byte, list *[]hdf5Link) error {
	b, err := r.view(addr, 8)
	if err != nil {
		return err
	}
	c := &hdf5Cursor{r: r, b: b}
	c.magic("SNOD")
	c.take(1)
	n := int(c.uint(2))
	if c.err != nil {
		return c.err
	}
	if b, err = r.view(addr+8, int64(n*(2*r.offsetSize+24))); err != nil {
		return err
	}
	c = &hdf5Cursor{r: r, b: b}
	for range n {
		if err := r.step(); err != nil {
			return err
		}
		name, object, cache := c.address(), c.address(), c.uint(4)
		c.take(20)
		if name >= uint64(len(names)) {
			return errors.New("a name is beyond its heap")
		}
		if cache != 2 { // 2 is a soft link
			text := names[name:]
			*list = append(*list, hdf5Link{headerText(text[:min(len(text), hdf5MaxPath)]), object})
		}
	}
	return c.err
}
