package extract

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strings"
)

const (
	hdf5MaxObjects = 1000    // groups and datasets that are looked at
	hdf5MaxDepth   = 32      // of groups in groups, and of types in types
	hdf5MaxSteps   = 200_000 // messages, links and nodes of trees in all
	hdf5MaxAttrs   = 200     // attributes of the root that are told
	hdf5MaxRank    = 32      // H5S_MAX_RANK
	hdf5MaxPath    = 1000    // bytes
)

const hdf5Signature = "\x89HDF\r\n\x1a\n"

// hdf5Format is HDF5, netCDF-4 included ("HDF5 File Format Specification
// Version 3.0"): what the metadata in reach say of groups and datasets.
func hdf5Format() *Format {
	return &Format{
		Name:      "hdf5",
		Version:   1,
		MediaType: "application/vnd.hdfgroup.hdf5",
		Keys: []Key{
			{Name: "superblock", Type: "integer", Doc: "version of the superblock, 0 to 3"},
			{Name: "profile", Type: "string", Doc: "what was built on HDF5: netCDF-4, MATLAB 7.3, NWB, AnnData or NeXus"},
			{Name: "attributes", Type: "object", Doc: "attributes of the root: texts, numbers, booleans and short arrays of them"},
			{Name: "groups", Type: "integer", Doc: "number of groups below the root"},
			{Name: "datasets", Type: "array of object", Doc: "path, shape, type; max_shape (-1 for unlimited) where it differs; chunks; filters"},
			{Name: "partial", Type: "boolean", Doc: "true if not all was in reach or looked at"},
		},
		Match:   func(f *File) bool { return hdf5Base(f) >= 0 },
		Tail:    true,
		Extract: extractHDF5,
	}
}

// hdf5Base returns where the superblock is, -1 for nowhere: at 0, 512, 1024 …
func hdf5Base(f *File) int64 {
	for off := int64(0); off+8 <= int64(len(f.Head)); off = max(512, 2*off) {
		if string(f.Head[off:off+8]) == hdf5Signature {
			return off
		}
	}
	return -1
}

// errHDF5Left is for all that is left out: more than is looked at, and what is
// too rare to be read. It is no damage.
var errHDF5Left = errors.New("it is not looked at")

// An hdf5Reader reads the structures of a file.
type hdf5Reader struct {
	f          *File
	base       int64
	offsetSize int // of addresses
	lengthSize int
	steps      int
	visited    map[uint64]bool

	m        *Meta
	groups   int
	datasets []*Meta
	scales   bool // there are dimension scales of netCDF
	problem  error
}

func extractHDF5(f *File, m *Meta) error {
	r := &hdf5Reader{f: f, base: hdf5Base(f), m: m, visited: map[uint64]bool{}}
	root, err := r.superblock()
	if err != nil {
		return hdf5Cut(beyond(m, err))
	}
	r.walk(root, "/", 0)
	m.Set("groups", max(r.groups-1, 0))
	if len(r.datasets) > 0 {
		m.Set("datasets", r.datasets)
	}
	if p := r.profile(); p != "" {
		m.Set("profile", p)
		if p == "netCDF-4" {
			m.SetMediaType("application/x-netcdf")
		}
	}
	return hdf5Cut(r.problem)
}

func hdf5Cut(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("an address is beyond the end of the file: it is cut short or damaged")
	}
	return err
}

// note keeps the first problem; what is only out of reach makes it partial.
func (r *hdf5Reader) note(err error) {
	switch {
	case errors.Is(err, ErrBeyond), errors.Is(err, errHDF5Left):
		r.m.Set("partial", true)
	case r.problem == nil:
		r.problem = err
	}
}

// profile says what was built on HDF5.
func (r *hdf5Reader) profile() string {
	attrs, _ := r.m.Get("attributes").(*Meta)
	if attrs == nil {
		attrs = &Meta{}
	}
	encoding, _ := attrs.Get("encoding-type").(string)
	switch {
	case bytes.HasPrefix(r.f.Head, []byte("MATLAB 7.3 MAT-file")):
		return "MATLAB 7.3"
	case attrs.Get("nwb_version") != nil:
		return "NWB"
	case strings.EqualFold(encoding, "anndata"):
		return "AnnData"
	case attrs.Get("NeXus_version") != nil:
		return "NeXus"
	case attrs.Get("_NCProperties") != nil || r.scales:
		return "netCDF-4"
	}
	return ""
}

// view returns n bytes at an address of the file.
func (r *hdf5Reader) view(addr uint64, n int64) ([]byte, error) {
	if addr > math.MaxInt64-uint64(r.base) {
		return nil, io.ErrUnexpectedEOF
	}
	// Large pieces cost more, as they may have to be copied.
	if r.steps += int(min(max(n, 0), HeadSize+TailSize) >> 12); r.steps > hdf5MaxSteps {
		return nil, errHDF5Left
	}
	return r.f.span(r.base+int64(addr), n)
}

// step counts what is looked at.
func (r *hdf5Reader) step() error {
	if r.steps++; r.steps > hdf5MaxSteps {
		return errHDF5Left
	}
	return nil
}

// superblock returns the address of the root group's object header.
func (r *hdf5Reader) superblock() (uint64, error) {
	b, err := r.f.span(r.base, 16)
	if err != nil {
		return 0, err
	}
	version := int(b[8])
	r.m.Set("superblock", version)
	sizes, entry := b[13:15], int64(24) // where the addresses begin
	switch version {
	case 0:
	case 1:
		entry = 28
	case 2, 3:
		sizes, entry = b[9:11], 12
	default:
		return 0, fmt.Errorf("its superblock has version %d", version)
	}
	r.offsetSize, r.lengthSize = int(sizes[0]), int(sizes[1])
	if !hdf5Size(r.offsetSize) || !hdf5Size(r.lengthSize) {
		return 0, fmt.Errorf("its addresses have %d bytes, its lengths %d", r.offsetSize, r.lengthSize)
	}
	// Version 0: base, free space, end, driver, then the entry of the root:
	// offset of its name, address. Version 2: base, extension, end, root.
	n := 6
	if version >= 2 {
		n = 4
	}
	b, err = r.f.span(r.base+entry, int64(n*r.offsetSize))
	if err != nil {
		return 0, err
	}
	c := &hdf5Cursor{r: r, b: b[(n-1)*r.offsetSize:]}
	return c.address(), c.err
}

func hdf5Size(n int) bool { return n == 2 || n == 4 || n == 8 }

// walk looks at the object at addr, and at all below it.
func (r *hdf5Reader) walk(addr uint64, name string, depth int) {
	if r.visited[addr] {
		return
	}
	if len(r.visited) == hdf5MaxObjects || depth > hdf5MaxDepth || len(name) > hdf5MaxPath {
		r.note(errHDF5Left)
		return
	}
	r.visited[addr] = true
	o, err := r.object(addr)
	if err != nil {
		r.note(fmt.Errorf("%s: %w", name, err))
	}
	if name == "/" {
		if a := r.attributes(o); len(a.Keys()) > 0 {
			r.m.Set("attributes", a)
		}
	}
	if o.dataset() {
		r.datasets = append(r.datasets, r.dataset(o, name))
		return
	}
	if !o.group() {
		return
	}
	r.groups++
	links, err := r.links(o)
	if err != nil {
		r.note(fmt.Errorf("%s: %w", name, err))
	}
	slices.SortFunc(links, func(a, b hdf5Link) int { return strings.Compare(a.name, b.name) })
	for _, l := range links {
		r.walk(l.addr, path.Join(name, l.name), depth+1)
	}
}

// dataset describes a dataset.
func (r *hdf5Reader) dataset(o *hdf5Object, name string) *Meta {
	d := &Meta{}
	d.Set("path", name)
	shape, limits, err := r.dataspace(o.dataspace)
	if err != nil {
		r.note(fmt.Errorf("%s: dataspace: %w", name, err))
	} else if shape != nil {
		d.Set("shape", shape)
	}
	t, err := r.messageType(o.datatype)
	if err != nil {
		r.note(fmt.Errorf("%s: datatype: %w", name, err))
	} else {
		d.Set("type", t.name())
	}
	if limits != nil && !slices.Equal(limits, shape) {
		d.Set("max_shape", limits)
	}
	if chunks := hdf5Chunks(o.layout.data, r.offsetSize, len(shape)); chunks != nil {
		d.Set("chunks", chunks)
	}
	if filters := hdf5Filters(o.filters.data); len(filters) > 0 {
		d.Set("filters", filters)
	}
	for _, a := range o.attributes {
		if n := r.attributeName(a); n == "_Netcdf4Dimid" || n == "_Netcdf4Coordinates" {
			r.scales = true
		}
	}
	return d
}

// A hdf5Cursor takes fields from bytes until there are none left.
type hdf5Cursor struct {
	r   *hdf5Reader
	b   []byte
	err error
}

func (c *hdf5Cursor) take(n int) []byte {
	if c.err != nil || n < 0 || n > len(c.b) {
		if c.err == nil {
			c.err = errors.New("a field is longer than what holds it")
		}
		return nil
	}
	b := c.b[:n:n]
	c.b = c.b[n:]
	return b
}

// uint takes a little-endian number of n bytes, 8 at the most.
func (c *hdf5Cursor) uint(n int) uint64 {
	b := c.take(n)
	if b == nil || n > 8 {
		return 0
	}
	var full [8]byte
	copy(full[:], b)
	return binary.LittleEndian.Uint64(full[:])
}

func (c *hdf5Cursor) address() uint64 { return c.uint(c.r.offsetSize) }
func (c *hdf5Cursor) length() uint64  { return c.uint(c.r.lengthSize) }

// magic takes a signature and the version after it.
func (c *hdf5Cursor) magic(want string) int {
	if got := c.take(4); c.err == nil && string(got) != want {
		c.err = fmt.Errorf("a structure begins with %q, not %q", got, want)
	}
	return int(c.uint(1))
}
