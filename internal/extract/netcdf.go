package extract

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

const (
	netcdfMaxList  = 1000 // dimensions, variables, attributes that are told
	netcdfMaxName  = 256  // NC_MAX_NAME
	netcdfMaxRank  = 32   // of a variable, as it is told
	netcdfMaxShown = 64   // values of an attribute
)

// netcdfFormat is classic netCDF: CDF-1, CDF-2 and CDF-5
// (https://docs.unidata.ucar.edu/netcdf-c, "File Format Specifications").
// NetCDF-4 is HDF5, and its format tells of it.
func netcdfFormat() *Format {
	return &Format{
		Name:      "netcdf",
		Version:   1,
		MediaType: "application/x-netcdf",
		Keys: []Key{
			{Name: "version", Type: "string", Doc: "CDF-1 (classic), CDF-2 (64-bit offset) or CDF-5 (64-bit data)"},
			{Name: "records", Type: "integer", Doc: "length of the unlimited dimension; none while it is streamed"},
			{Name: "dimensions", Type: "array of object", Doc: "name and size; unlimited is true for that of records"},
			{Name: "title", Type: "string", Doc: "global attribute"},
			{Name: "conventions", Type: "string", Doc: "global attribute Conventions"},
			{Name: "institution", Type: "string", Doc: "global attribute"},
			{Name: "source", Type: "string", Doc: "global attribute: how the data were made"},
			{Name: "attributes", Type: "object", Doc: "all global attributes: texts, numbers and arrays of numbers"},
			{Name: "variables", Type: "array of object", Doc: "name, type, dimensions (names), shape, and their attributes units, long_name and standard_name"},
			{Name: "partial", Type: "boolean", Doc: "true if not all of the header was in reach or told"},
		},
		Match: func(f *File) bool {
			return len(f.Head) >= 4 && string(f.Head[:3]) == "CDF" && (f.Head[3] == 1 || f.Head[3] == 2 || f.Head[3] == 5)
		},
		Extract: func(f *File, m *Meta) error {
			r := &netcdfReader{f: f, off: 4, wide: f.Head[3] == 5, far: f.Head[3] >= 2}
			m.Set("version", fmt.Sprintf("CDF-%d", f.Head[3]))
			r.header(m)
			if errors.Is(r.err, io.ErrUnexpectedEOF) {
				return errors.New("the header goes beyond the end of the file: it is cut short")
			}
			return beyond(m, r.err)
		},
	}
}

// A netcdfReader reads a header from its beginning to its end, until the
// first error.
type netcdfReader struct {
	f    *File
	off  int64
	wide bool // counts have 64 bits
	far  bool // offsets have 64 bits
	err  error
	dims []netcdfDim
}

type netcdfDim struct {
	name string
	size int64
}

// take returns the next n bytes, nil after an error.
func (r *netcdfReader) take(n int64) []byte {
	if r.err != nil {
		return nil
	}
	b, err := r.f.span(r.off, n)
	if err != nil {
		r.err = err
		return nil
	}
	r.off += n
	return b
}

// skip passes over n bytes.
func (r *netcdfReader) skip(n int64) {
	if r.err == nil && (n < 0 || n > r.f.Size-r.off) {
		r.err = io.ErrUnexpectedEOF
	}
	if r.err == nil {
		r.off += n
	}
}

func (r *netcdfReader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// count reads a number of things, never negative.
func (r *netcdfReader) count() int64 {
	if !r.wide {
		return int64(r.uint32())
	}
	b := r.take(8)
	if b == nil {
		return 0
	}
	n := int64(binary.BigEndian.Uint64(b))
	if n < 0 {
		r.err = errors.New("a count is negative")
		return 0
	}
	return n
}

// name reads a name, padded to four bytes.
func (r *netcdfReader) name() string {
	n := r.count()
	if n > netcdfMaxName {
		r.err = fmt.Errorf("a name has %d bytes", n)
	}
	return headerText(r.take((n + 3) / 4 * 4))
}

// list reads the head of a list with tag and returns its length.
func (r *netcdfReader) list(tag uint32) int64 {
	t, n := r.uint32(), r.count()
	if r.err == nil && t != tag && (t != 0 || n != 0) {
		r.err = fmt.Errorf("a list has tag %d, not %d", t, tag)
	}
	if r.err != nil {
		return 0
	}
	return n
}

func (r *netcdfReader) header(m *Meta) {
	b := r.take(4)
	streaming := b != nil && binary.BigEndian.Uint32(b) == math.MaxUint32
	records := int64(0)
	if r.off -= 4; r.err == nil && r.wide {
		if b = r.take(8); b != nil {
			records = int64(binary.BigEndian.Uint64(b))
			streaming = records == -1
		}
	} else {
		records = int64(r.uint32())
	}
	if r.err == nil && !streaming && records >= 0 {
		m.Set("records", records)
	}
	if streaming {
		records = 0
	}
	r.dimensions(m, records)
	if a := r.attributes(func(string) bool { return true }, m); len(a.Keys()) > 0 {
		for _, k := range [][2]string{{"title", "title"}, {"conventions", "Conventions"}, {"institution", "institution"}, {"source", "source"}} {
			if s, ok := a.Get(k[1]).(string); ok {
				m.SetString(k[0], s)
			}
		}
		m.Set("attributes", a)
	}
	r.variables(m)
}

func (r *netcdfReader) dimensions(m *Meta, records int64) {
	var list []*Meta
	for n := r.list(10); n > 0 && r.err == nil; n-- {
		name, size := r.name(), r.count()
		if r.err != nil {
			break
		}
		d := &Meta{}
		d.Set("name", name)
		if size == 0 {
			size = records
			d.Set("size", size)
			d.Set("unlimited", true)
		} else {
			d.Set("size", size)
		}
		r.dims = append(r.dims, netcdfDim{name, size})
		if len(list) < netcdfMaxList {
			list = append(list, d)
		} else {
			m.Set("partial", true)
		}
	}
	if len(list) > 0 {
		m.Set("dimensions", list)
	}
}

// attributes reads a list of attributes and returns those that keep accepts.
func (r *netcdfReader) attributes(keep func(name string) bool, m *Meta) *Meta {
	list := &Meta{}
	for n := r.list(12); n > 0 && r.err == nil; n-- {
		name, kind, count := r.name(), r.uint32(), r.count()
		size := netcdfSize(kind)
		if r.err == nil && size == 0 {
			r.err = fmt.Errorf("attribute %q has type %d", name, kind)
		}
		if r.err != nil {
			break
		}
		if count > r.f.Size {
			r.err = io.ErrUnexpectedEOF
			break
		}
		begin := r.off
		if r.skip((count*size + 3) / 4 * 4); r.err != nil || !keep(name) {
			continue
		}
		if len(list.Keys()) == netcdfMaxList {
			m.Set("partial", true)
			continue
		}
		r.value(list, name, kind, begin, count)
	}
	return list
}

// value sets an attribute from the bytes at off, if they are in reach.
func (r *netcdfReader) value(list *Meta, name string, kind uint32, off, count int64) {
	size := netcdfSize(kind)
	if kind != 2 {
		count = min(count, netcdfMaxShown)
	} else {
		count = min(count, 2*maxText)
	}
	b, err := r.f.span(off, count*size)
	if err != nil {
		return
	}
	if kind == 2 {
		list.SetString(name, headerText(b))
		return
	}
	var values []any
	for ; len(b) >= int(size); b = b[size:] {
		values = append(values, netcdfNumber(kind, b))
	}
	switch len(values) {
	case 0:
	case 1:
		list.Set(name, values[0])
	default:
		list.Set(name, values)
	}
}

func (r *netcdfReader) variables(m *Meta) {
	var list []*Meta
	for n := r.list(11); n > 0 && r.err == nil; n-- {
		v := r.variable(m)
		if r.err != nil {
			break
		}
		if len(list) == netcdfMaxList {
			m.Set("partial", true)
			break
		}
		list = append(list, v)
	}
	if len(list) > 0 {
		m.Set("variables", list)
	}
}

func (r *netcdfReader) variable(m *Meta) *Meta {
	v := &Meta{}
	v.Set("name", r.name())
	names, shape := []string{}, []int64{}
	for n := r.count(); n > 0 && r.err == nil; n-- {
		id := r.count()
		if r.err == nil && id >= int64(len(r.dims)) {
			r.err = fmt.Errorf("a variable has dimension %d of %d", id, len(r.dims))
		}
		if r.err == nil && len(names) < netcdfMaxRank {
			names, shape = append(names, r.dims[id].name), append(shape, r.dims[id].size)
		}
	}
	attrs := r.attributes(func(name string) bool {
		return name == "units" || name == "long_name" || name == "standard_name"
	}, m)
	kind := r.uint32()
	r.count() // vsize
	if r.far {
		r.skip(8)
	} else {
		r.skip(4)
	}
	v.SetString("type", netcdfType(kind))
	v.Set("dimensions", names)
	v.Set("shape", shape)
	for _, k := range attrs.Keys() {
		v.Set(k, attrs.Get(k))
	}
	return v
}

// netcdfType names an external type, as data types are named everywhere here.
func netcdfType(kind uint32) string {
	names := []string{"", "int8", "char", "int16", "int32", "float32", "float64", "uint8", "uint16", "uint32", "int64", "uint64"}
	if kind >= uint32(len(names)) {
		return ""
	}
	return names[kind]
}

// netcdfSize is the size of a type in bytes, 0 if there is no such type.
func netcdfSize(kind uint32) int64 {
	sizes := []int64{0, 1, 1, 2, 4, 4, 8, 1, 2, 4, 8, 8}
	if kind >= uint32(len(sizes)) {
		return 0
	}
	return sizes[kind]
}

func netcdfNumber(kind uint32, b []byte) any {
	be := binary.BigEndian
	switch kind {
	case 1:
		return int(int8(b[0]))
	case 3:
		return int(int16(be.Uint16(b)))
	case 4:
		return int(int32(be.Uint32(b)))
	case 5:
		return shortest32(math.Float32frombits(be.Uint32(b)))
	case 6:
		return math.Float64frombits(be.Uint64(b))
	case 7:
		return int(b[0])
	case 8:
		return int(be.Uint16(b))
	case 9:
		return int(be.Uint32(b))
	case 10:
		return int64(be.Uint64(b))
	}
	return be.Uint64(b)
}
