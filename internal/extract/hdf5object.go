package extract

import (
	"errors"
	"fmt"
)

// Types of header messages (specification, IV.A.2).
const (
	hdf5MsgDataspace    = 0x01
	hdf5MsgLinkInfo     = 0x02
	hdf5MsgDatatype     = 0x03
	hdf5MsgLink         = 0x06
	hdf5MsgLayout       = 0x08
	hdf5MsgGroupInfo    = 0x0a
	hdf5MsgFilters      = 0x0b
	hdf5MsgAttribute    = 0x0c
	hdf5MsgContinuation = 0x10
	hdf5MsgSymbolTable  = 0x11
	hdf5MsgAttrInfo     = 0x15
)

// An hdf5Message is a header message; shared ones point to it.
type hdf5Message struct {
	data   []byte // nil if there is none
	shared bool
}

// An hdf5Object is what the header of an object says.
type hdf5Object struct {
	dataspace, datatype, layout, filters hdf5Message
	linkInfo, symbolTable, attrInfo      hdf5Message
	groupInfo                            bool
	links                                []hdf5Message
	attributes                           []hdf5Message
}

func (o *hdf5Object) dataset() bool { return o.layout.data != nil }

func (o *hdf5Object) group() bool {
	return o.symbolTable.data != nil || o.linkInfo.data != nil || o.groupInfo || o.links != nil
}

// object reads the header of an object, version 1 or 2. With an error it
// returns what was read before.
func (r *hdf5Reader) object(addr uint64) (*hdf5Object, error) {
	o := &hdf5Object{}
	b, err := r.view(addr, 16)
	if err != nil {
		return o, err
	}
	if string(b[:4]) == "OHDR" {
		return o, r.object2(addr, o)
	}
	if b[0] != 1 {
		return o, fmt.Errorf("no object header is at address %d", addr)
	}
	c := &hdf5Cursor{r: r, b: b[8:]}
	return o, r.messages(addr+16, int64(c.uint(4)), func(b []byte) ([]hdf5Block, error) {
		return r.block1(o, b)
	})
}

// object2 reads a header of version 2.
func (r *hdf5Reader) object2(addr uint64, o *hdf5Object) error {
	b, err := r.view(addr, 6)
	if err != nil {
		return err
	}
	version, flags := b[4], b[5]
	if version != 2 {
		return fmt.Errorf("an object header has version %d", version)
	}
	off := addr + 6
	if flags&0x20 != 0 {
		off += 16 // times
	}
	if flags&0x10 != 0 {
		off += 4 // when attributes become dense
	}
	n := int64(1) << (flags & 3)
	if b, err = r.view(off, n); err != nil {
		return err
	}
	c := &hdf5Cursor{r: r, b: b}
	size := c.uint(int(n))
	if size > HeadSize+TailSize {
		return errors.New("an object header is too large")
	}
	first := true
	return r.messages(off+uint64(n), int64(size), func(b []byte) ([]hdf5Block, error) {
		if !first {
			if len(b) < 8 || string(b[:4]) != "OCHK" {
				return nil, errors.New("a continuation has no signature")
			}
			b = b[4 : len(b)-4]
		}
		first = false
		return r.block2(o, b, flags&4 != 0)
	})
}

// An hdf5Block is where the messages of an object go on.
type hdf5Block struct {
	addr uint64
	size int64
}

// messages parses the block of size bytes at addr and those in which it is
// continued.
func (r *hdf5Reader) messages(addr uint64, size int64, parse func([]byte) ([]hdf5Block, error)) error {
	blocks := []hdf5Block{{addr, size}}
	for len(blocks) > 0 {
		if err := r.step(); err != nil {
			return err
		}
		b, err := r.view(blocks[0].addr, blocks[0].size)
		if err != nil {
			return err
		}
		more, err := parse(b)
		if err != nil {
			return err
		}
		blocks = append(blocks[1:], more...)
	}
	return nil
}

// block1 parses the messages of a header of version 1.
func (r *hdf5Reader) block1(o *hdf5Object, b []byte) (more []hdf5Block, err error) {
	c := &hdf5Cursor{r: r, b: b}
	for len(c.b) >= 8 {
		kind, size, flags := int(c.uint(2)), int(c.uint(2)), byte(c.uint(1))
		c.take(3)
		data := c.take(size)
		if c.err != nil {
			return more, fmt.Errorf("a message is too long: %w", c.err)
		}
		if err = r.message(o, kind, flags, data, &more); err != nil {
			return more, err
		}
	}
	return more, nil
}

// block2 parses those of version 2.
func (r *hdf5Reader) block2(o *hdf5Object, b []byte, ordered bool) (more []hdf5Block, err error) {
	c := &hdf5Cursor{r: r, b: b}
	head := 4
	if ordered {
		head = 6
	}
	for len(c.b) >= head { // less is a gap
		kind, size, flags := int(c.uint(1)), int(c.uint(2)), byte(c.uint(1))
		c.take(head - 4)
		data := c.take(size)
		if c.err != nil {
			return more, fmt.Errorf("a message is too long: %w", c.err)
		}
		if err = r.message(o, kind, flags, data, &more); err != nil {
			return more, err
		}
	}
	return more, nil
}

// message puts a message to its place.
func (r *hdf5Reader) message(o *hdf5Object, kind int, flags byte, data []byte, more *[]hdf5Block) error {
	if err := r.step(); err != nil {
		return err
	}
	if data == nil {
		data = []byte{}
	}
	m := hdf5Message{data: data, shared: flags&2 != 0}
	switch kind {
	case hdf5MsgDataspace:
		o.dataspace = m
	case hdf5MsgDatatype:
		o.datatype = m
	case hdf5MsgLayout:
		o.layout = m
	case hdf5MsgFilters:
		o.filters = m
	case hdf5MsgLinkInfo:
		o.linkInfo = m
	case hdf5MsgGroupInfo:
		o.groupInfo = true
	case hdf5MsgLink:
		o.links = append(o.links, m)
	case hdf5MsgSymbolTable:
		o.symbolTable = m
	case hdf5MsgAttribute:
		o.attributes = append(o.attributes, m)
	case hdf5MsgAttrInfo:
		o.attrInfo = m
	case hdf5MsgContinuation:
		c := &hdf5Cursor{r: r, b: data}
		addr, size := c.address(), c.length()
		if c.err != nil || size > HeadSize+TailSize {
			return errors.New("a continuation is too large")
		}
		*more = append(*more, hdf5Block{addr, int64(size)})
	}
	return nil
}

// dataspace returns the shape and the limits of a dataspace message: empty
// for a scalar, nil for a null dataspace. A limit of -1 is none.
func (r *hdf5Reader) dataspace(m hdf5Message) (shape, limits []int64, err error) {
	if m.shared {
		return nil, nil, errHDF5Left
	}
	c := &hdf5Cursor{r: r, b: m.data}
	version, rank, flags := c.uint(1), int(c.uint(1)), c.uint(1)
	switch version {
	case 1:
		c.take(5)
	case 2:
		if c.uint(1) == 2 {
			return nil, nil, c.err
		}
	default:
		return nil, nil, fmt.Errorf("version %d", version)
	}
	if rank > hdf5MaxRank {
		return nil, nil, fmt.Errorf("rank %d", rank)
	}
	shape = []int64{}
	for range rank {
		shape = append(shape, int64(c.length()))
	}
	if flags&1 != 0 {
		unlimited := uint64(1)<<(8*r.lengthSize-1)<<1 - 1
		for range rank {
			n := c.length()
			if n == unlimited {
				limits = append(limits, -1)
			} else {
				limits = append(limits, int64(n))
			}
		}
	}
	return shape, limits, c.err
}

// hdf5Chunks returns the shape of the chunks that a data layout message
// names, nil for none.
func hdf5Chunks(b []byte, offsetSize, rank int) []int64 {
	c := &hdf5Cursor{b: b}
	var n, size int
	switch version, class := c.uint(1), uint64(0); version {
	case 1, 2:
		n = int(c.uint(1))
		class = c.uint(1)
		c.take(5 + offsetSize)
		if size = 4; class != 2 {
			return nil
		}
	case 3:
		if class = c.uint(1); class != 2 {
			return nil
		}
		n = int(c.uint(1))
		c.take(offsetSize)
		size = 4
	case 4:
		if class = c.uint(1); class != 2 {
			return nil
		}
		c.uint(1)
		n, size = int(c.uint(1)), int(c.uint(1))
	}
	if n != rank+1 || size < 1 || size > 8 { // the last is the size of an element
		return nil
	}
	var chunks []int64
	for range rank {
		chunks = append(chunks, int64(c.uint(size)))
	}
	if c.err != nil {
		return nil
	}
	return chunks
}

// hdf5Filters names the filters of a filter pipeline message.
func hdf5Filters(b []byte) []string {
	c := &hdf5Cursor{b: b}
	version, n := c.uint(1), int(c.uint(1))
	if version == 1 {
		c.take(6)
	}
	var names []string
	for i := 0; i < n && i < 32 && c.err == nil; i++ {
		id, length := c.uint(2), 0
		if version == 1 || id >= 256 {
			length = int(c.uint(2))
		}
		c.take(2)
		values := int(c.uint(2))
		if version == 1 {
			length = (length + 7) / 8 * 8
			values += values % 2
		}
		name := headerText(c.take(length))
		c.take(4 * values)
		if c.err == nil {
			names = append(names, hdf5Filter(id, name))
		}
	}
	return names
}

// hdf5Filter names a filter: those of the library, and the registered ones
// that are met most.
func hdf5Filter(id uint64, name string) string {
	known := map[uint64]string{1: "gzip", 2: "shuffle", 3: "fletcher32", 4: "szip", 5: "nbit", 6: "scaleoffset",
		307: "bzip2", 32000: "lzf", 32001: "blosc", 32004: "lz4", 32008: "bitshuffle", 32013: "zfp", 32015: "zstd"}
	if n := known[id]; n != "" {
		return n
	}
	if name != "" {
		return name
	}
	return fmt.Sprintf("filter %d", id)
}
