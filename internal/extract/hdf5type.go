package extract

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// An hdf5Type is a datatype (specification, IV.A.2.d).
type hdf5Type struct {
	class    int
	bits     uint32 // of the class
	size     uint32 // of a value, in bytes
	base     *hdf5Type
	dims     []uint64 // of an array
	members  []hdf5Member
	enumBool bool // FALSE and TRUE
}

type hdf5Member struct {
	name string
	typ  *hdf5Type
}

// hdf5MaxMembers is how many members of a compound type are told.
const hdf5MaxMembers = 64

// name writes the type as it is named everywhere here: int16, float32,
// string, {x: float64, y: float64}, int8[3].
func (t *hdf5Type) name() string {
	switch t.class {
	case 0:
		if t.bits&8 != 0 {
			return fmt.Sprintf("int%d", 8*uint64(t.size))
		}
		return fmt.Sprintf("uint%d", 8*uint64(t.size))
	case 1:
		return fmt.Sprintf("float%d", 8*uint64(t.size))
	case 2:
		return "time"
	case 3:
		return "string"
	case 4:
		return fmt.Sprintf("bits%d", 8*uint64(t.size))
	case 5:
		return "opaque"
	case 6:
		return t.compoundName()
	case 7:
		return "reference"
	case 8:
		if t.enumBool {
			return "bool"
		}
		return "enum"
	case 9:
		if t.bits&15 == 1 {
			return "string"
		}
		return t.base.name() + "[]"
	case 10:
		return t.base.name() + strings.ReplaceAll(fmt.Sprint(t.dims), " ", ", ")
	case 11:
		return "complex"
	}
	return fmt.Sprintf("class %d", t.class)
}

func (t *hdf5Type) compoundName() string {
	if len(t.members) == 2 && t.members[0].name == "r" && t.members[1].name == "i" && t.members[0].typ.class == 1 {
		return fmt.Sprintf("complex%d", 8*uint64(t.size)) // as h5py and others have it
	}
	var b strings.Builder
	for i, m := range t.members {
		if i > 0 {
			b.WriteString(", ")
		}
		if i == hdf5MaxMembers || b.Len() > maxText {
			b.WriteString("…")
			break
		}
		b.WriteString(m.name + ": " + m.typ.name())
	}
	return "{" + b.String() + "}"
}

// messageType parses a datatype message, or that of the named type it points
// to.
func (r *hdf5Reader) messageType(m hdf5Message) (*hdf5Type, error) {
	if m.data == nil {
		return nil, errors.New("there is none")
	}
	if !m.shared {
		c := &hdf5Cursor{r: r, b: m.data}
		return c.datatype(0)
	}
	c := &hdf5Cursor{r: r, b: m.data}
	version, kind := c.uint(1), c.uint(1)
	if version == 1 {
		c.take(6)
	}
	if version == 3 && kind != 2 {
		return nil, errHDF5Left // in a shared message table
	}
	addr := c.address()
	if c.err != nil {
		return nil, c.err
	}
	o, err := r.object(addr)
	if err != nil {
		return nil, err
	}
	if o.datatype.data == nil || o.datatype.shared {
		return nil, errors.New("its named type has no datatype")
	}
	c = &hdf5Cursor{r: r, b: o.datatype.data}
	return c.datatype(0)
}

// datatype takes a datatype.
func (c *hdf5Cursor) datatype(depth int) (*hdf5Type, error) {
	if depth > hdf5MaxDepth {
		return nil, errors.New("types are nested too deep")
	}
	if err := c.r.step(); err != nil {
		return nil, err
	}
	head := c.uint(4)
	version := int(head>>4) & 15
	t := &hdf5Type{class: int(head) & 15, bits: uint32(head >> 8), size: uint32(c.uint(4))}
	var err error
	switch t.class {
	case 0, 4:
		c.take(4)
	case 1:
		c.take(12)
	case 2:
		c.take(2)
	case 5:
		c.take(int(t.bits & 0xff))
	case 6:
		err = c.members(t, version, depth)
	case 8:
		err = c.enumeration(t, version, depth)
	case 9:
		t.base, err = c.datatype(depth + 1)
	case 10:
		err = c.array(t, version, depth)
	}
	if err == nil {
		err = c.err
	}
	return t, err
}

// text takes a name that ends in a NUL, padded to 8 bytes if so.
func (c *hdf5Cursor) text(padded bool) string {
	i := slices.Index(c.b, 0)
	if i < 0 {
		c.take(len(c.b) + 1)
		return ""
	}
	n := i + 1
	if padded {
		n = (n + 7) / 8 * 8
	}
	return headerText(c.take(n))
}

// members takes those of a compound type.
func (c *hdf5Cursor) members(t *hdf5Type, version, depth int) error {
	for range t.bits & 0xffff {
		name := c.text(version < 3)
		if version < 3 {
			c.take(4)
		} else {
			c.take(hdf5Bytes(uint64(t.size)))
		}
		var dims []uint64
		if version == 1 {
			rank := int(c.uint(1))
			c.take(11)
			for i := range 4 {
				if d := c.uint(4); i < rank {
					dims = append(dims, d)
				}
			}
		}
		if c.err != nil {
			return c.err
		}
		member, err := c.datatype(depth + 1)
		if err != nil {
			return err
		}
		if dims != nil {
			member = &hdf5Type{class: 10, base: member, dims: dims}
		}
		if len(t.members) <= hdf5MaxMembers {
			t.members = append(t.members, hdf5Member{name, member})
		}
	}
	return nil
}

// enumeration takes the base, the names and the values of an enumeration.
func (c *hdf5Cursor) enumeration(t *hdf5Type, version, depth int) (err error) {
	if t.base, err = c.datatype(depth + 1); err != nil {
		return err
	}
	n := int(t.bits & 0xffff)
	var names []string
	for range n {
		name := c.text(version < 3)
		if c.err != nil {
			return c.err
		}
		if len(names) <= 2 {
			names = append(names, name)
		}
	}
	c.take(n * int(min(t.base.size, 16)))
	t.enumBool = slices.Equal(names, []string{"FALSE", "TRUE"})
	return nil
}

// array takes the dimensions and the base of an array.
func (c *hdf5Cursor) array(t *hdf5Type, version, depth int) (err error) {
	rank := int(c.uint(1))
	if version < 3 {
		c.take(3)
	}
	if rank > hdf5MaxRank {
		return fmt.Errorf("an array has rank %d", rank)
	}
	for range rank {
		t.dims = append(t.dims, c.uint(4))
	}
	if version < 3 {
		c.take(4 * rank)
	}
	if c.err != nil {
		return c.err
	}
	t.base, err = c.datatype(depth + 1)
	return err
}

// hdf5Bytes is the number of bytes that n takes.
func hdf5Bytes(n uint64) int {
	size := 1
	for n > 255 {
		n >>= 8
		size++
	}
	return size
}

// value decodes one value, nil if it is of a type that is not told.
func (r *hdf5Reader) value(t *hdf5Type, b []byte) any {
	if uint64(len(b)) < uint64(t.size) {
		return nil
	}
	b = b[:t.size]
	var order binary.ByteOrder = binary.LittleEndian
	if t.bits&1 != 0 {
		order = binary.BigEndian
	}
	switch t.class {
	case 0:
		return hdf5Integer(b, order, t.bits&8 != 0)
	case 1:
		switch t.size {
		case 4:
			return shortest32(math.Float32frombits(order.Uint32(b)))
		case 8:
			return math.Float64frombits(order.Uint64(b))
		}
	case 3:
		return headerText(b)
	case 8:
		n := r.value(t.base, b)
		if t.enumBool && n != nil {
			return n != any(int64(0)) && n != any(uint64(0))
		}
		return n
	case 9:
		if t.bits&15 == 1 {
			return r.heapText(b)
		}
	}
	return nil
}

func hdf5Integer(b []byte, order binary.ByteOrder, signed bool) any {
	var n uint64
	switch len(b) {
	case 1:
		n = uint64(b[0])
	case 2:
		n = uint64(order.Uint16(b))
	case 4:
		n = uint64(order.Uint32(b))
	case 8:
		n = order.Uint64(b)
	default:
		return nil
	}
	if signed {
		shift := 64 - 8*len(b)
		return int64(n<<shift) >> shift
	}
	return n
}

// heapText returns a text of variable length, which is in a global heap
// (specification, III.E); nil if it is not in reach.
func (r *hdf5Reader) heapText(b []byte) any {
	c := &hdf5Cursor{r: r, b: b}
	length, addr, index := c.uint(4), c.address(), c.uint(4)
	if c.err != nil {
		return nil
	}
	if addr == 0 || length == 0 {
		return ""
	}
	head, err := r.view(addr, int64(8+r.lengthSize))
	if err != nil {
		r.note(err)
		return nil
	}
	c = &hdf5Cursor{r: r, b: head}
	c.magic("GCOL")
	c.take(3)
	size := c.length()
	if c.err != nil || size > HeadSize+TailSize {
		return nil
	}
	if head, err = r.view(addr, int64(size)); err != nil {
		r.note(err)
		return nil
	}
	c = &hdf5Cursor{r: r, b: head[min(8+r.lengthSize, len(head)):]}
	for c.err == nil && r.step() == nil {
		i := c.uint(2)
		c.take(6)
		n := c.length()
		if c.err != nil || i == 0 || n > uint64(len(c.b)) {
			break
		}
		if i == index {
			return headerText(c.take(int(min(n, length))))
		}
		c.take(int(min((n+7)/8*8, uint64(len(c.b)))))
	}
	return nil
}
