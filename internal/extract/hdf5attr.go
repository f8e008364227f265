package extract

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// hdf5MaxValues is how many values of an attribute are told.
const hdf5MaxValues = 64

// An hdf5Attribute is an attribute in its parts.
type hdf5Attribute struct {
	name       string
	typ, space hdf5Message
	data       []byte
}

// attribute parses an attribute message.
func (r *hdf5Reader) attribute(m hdf5Message) (a hdf5Attribute, err error) {
	if m.shared {
		return a, errHDF5Left
	}
	c := &hdf5Cursor{r: r, b: m.data}
	version, flags := c.uint(1), c.uint(1)
	if version < 1 || version > 3 {
		return a, fmt.Errorf("an attribute has version %d", version)
	}
	nameSize, typeSize, spaceSize := int(c.uint(2)), int(c.uint(2)), int(c.uint(2))
	if version == 3 {
		c.take(1) // character set: ASCII or UTF-8
	}
	part := func(n int) []byte {
		if version == 1 {
			n = (n + 7) / 8 * 8
		}
		return c.take(n)
	}
	a.name = headerText(part(nameSize))
	a.typ.data, a.space.data = part(typeSize), part(spaceSize)
	a.data = c.b
	if version > 1 {
		a.typ.shared, a.space.shared = flags&1 != 0, flags&2 != 0
	}
	return a, c.err
}

// attributeName returns the name of an attribute, "" if it is damaged.
func (r *hdf5Reader) attributeName(m hdf5Message) string {
	a, err := r.attribute(m)
	if err != nil {
		return ""
	}
	return a.name
}

// attributes returns the attributes of an object that are told.
func (r *hdf5Reader) attributes(o *hdf5Object) *Meta {
	list := &Meta{}
	all, err := r.denseAttributes(o)
	if err != nil {
		r.note(fmt.Errorf("attributes: %w", err))
	}
	var parsed []hdf5Attribute
	for _, m := range append(all, o.attributes...) {
		a, err := r.attribute(m)
		if err != nil {
			r.note(fmt.Errorf("attribute %q: %w", a.name, err))
			continue
		}
		parsed = append(parsed, a)
	}
	// Dense ones come in the order of hashes.
	slices.SortFunc(parsed, func(a, b hdf5Attribute) int { return strings.Compare(a.name, b.name) })
	for _, a := range parsed {
		if len(list.Keys()) == hdf5MaxAttrs {
			r.note(errHDF5Left)
			break
		}
		if err := r.setAttribute(list, a); err != nil {
			r.note(fmt.Errorf("attribute %q: %w", a.name, err))
		}
	}
	return list
}

// setAttribute sets the value of an attribute, if it is one that is told.
func (r *hdf5Reader) setAttribute(list *Meta, a hdf5Attribute) error {
	t, err := r.messageType(a.typ)
	if err != nil {
		return err
	}
	shape, _, err := r.dataspace(a.space)
	if err != nil || shape == nil || t.size == 0 {
		return err
	}
	n := int64(1)
	for _, d := range shape {
		if d < 0 || d > 1<<31 || n > 1<<31 {
			return errors.New("it is too large")
		}
		n *= d
	}
	var values []any
	for i := int64(0); i < n && i < hdf5MaxValues; i++ {
		if int64(len(a.data)) < (i+1)*int64(t.size) {
			return errors.New("its value is cut short")
		}
		v := r.value(t, a.data[i*int64(t.size):])
		if v == nil {
			return nil
		}
		values = append(values, v)
	}
	if len(shape) == 0 && len(values) == 1 {
		list.Set(a.name, values[0])
	} else if n <= hdf5MaxValues {
		list.Set(a.name, values)
	}
	return nil
}

// denseAttributes reads the attributes that are not in the header.
func (r *hdf5Reader) denseAttributes(o *hdf5Object) ([]hdf5Message, error) {
	if o.attrInfo.data == nil {
		return nil, nil
	}
	heap, treeAddr, err := r.denseStorage(o.attrInfo.data, 2)
	if err != nil || heap == nil {
		return nil, err
	}
	var list []hdf5Message
	err = r.btree2(treeAddr, func(record []byte) error {
		if len(record) < heap.idSize+1 {
			return errors.New("a record is too short")
		}
		b, err := heap.get(record[:heap.idSize])
		if err == nil && len(list) <= hdf5MaxAttrs {
			list = append(list, hdf5Message{data: b, shared: record[heap.idSize]&2 != 0})
		}
		return err
	})
	return list, err
}

// undefined says if an address is that of nothing.
func (r *hdf5Reader) undefined(addr uint64) bool {
	return addr == uint64(1)<<(8*r.offsetSize-1)<<1-1
}
