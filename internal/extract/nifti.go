package extract

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Sizes of headers, which also are the first field of each.
const (
	nifti1Header = 348
	nifti2Header = 540
)

// How much of a compressed image is decompressed: for the header, and for the
// extensions after it.
const (
	niftiHead       = 1 << 10
	niftiExtensions = 64 << 10
)

// niftiFormat is NIfTI-1 and NIfTI-2, single files, compressed ones and the
// headers of pairs (https://nifti.nimh.nih.gov). The .img of a pair says
// nothing of itself.
func niftiFormat() *Format {
	return &Format{
		Name:      "nifti",
		Version:   1,
		MediaType: "application/x-nifti",
		Keys: []Key{
			{Name: "version", Type: "integer", Doc: "1 for NIfTI-1, 2 for NIfTI-2"},
			{Name: "shape", Type: "array of integer", Unit: "voxels", Doc: "size of each dimension: x, y, z, time …"},
			{Name: "voxel_size", Type: "array of number", Unit: "mm", Doc: "size of a voxel along x, y, z; taken for mm where the file names no unit"},
			{Name: "tr", Type: "number", Unit: "s", Doc: "time between volumes, of images with four dimensions or more"},
			{Name: "data_type", Type: "string", Doc: "int16, float32, rgb24 …"},
			{Name: "scale", Type: "object", Doc: "slope and inter: a value is stored × slope + inter; only where this changes values"},
			{Name: "description", Type: "string", Doc: "free text"},
			{Name: "intent", Type: "string", Doc: "what the values are: t test, label …"},
			{Name: "intent_name", Type: "string", Doc: "free text about the intent"},
			{Name: "space", Type: "string", Doc: "scanner, aligned, talairach, mni152 or template: of sform, else of qform"},
			{Name: "orientation", Type: "string", Doc: "where the axes go, as in RAS: to right, anterior, superior"},
			{Name: "qform_code", Type: "integer", Doc: "0 unknown, 1 scanner, 2 aligned, 3 talairach, 4 mni152, 5 template"},
			{Name: "sform_code", Type: "integer", Doc: "the same for sform"},
			{Name: "endian", Type: "string", Doc: "little or big"},
			{Name: "extensions", Type: "integer", Doc: "number of header extensions"},
			{Name: "pair", Type: "boolean", Doc: "the voxels are in an .img file beside"},
			{Name: "compressed", Type: "boolean", Doc: "the file is gzip"},
		},
		Match: func(f *File) bool {
			if f.Size == 0 {
				return false
			}
			return niftiMagic(f.Head) != 0 || f.HasSuffix(".nii", ".nii.gz")
		},
		Extract: extractNIfTI,
	}
}

// niftiMagic returns the version of a NIfTI header, 0 for none.
func niftiMagic(b []byte) int {
	if len(b) < nifti1Header {
		return 0
	}
	if niftiOrder(b, nifti1Header) != nil {
		if s := string(b[344:348]); s == "n+1\x00" || s == "ni1\x00" {
			return 1
		}
	}
	if niftiOrder(b, nifti2Header) != nil && len(b) >= nifti2Header {
		if s := string(b[4:8]); s == "n+2\x00" || s == "ni2\x00" {
			return 2
		}
	}
	return 0
}

// niftiOrder returns the byte order in which b begins with size, nil if in
// none.
func niftiOrder(b []byte, size uint32) binary.ByteOrder {
	switch {
	case binary.LittleEndian.Uint32(b) == size:
		return binary.LittleEndian
	case binary.BigEndian.Uint32(b) == size:
		return binary.BigEndian
	}
	return nil
}

// niftiHeader is what both versions say.
type niftiHeader struct {
	version     int // 0 for Analyze 7.5
	order       binary.ByteOrder
	dim         [8]int64
	pixdim      [8]float64
	dataType    int
	voxOffset   float64
	slope       float64
	inter       float64
	units       int
	description []byte
	intent      int
	intentName  []byte
	qform       int
	sform       int
	quatern     [3]float64
	srow        [3][4]float64
	pair        bool
}

func extractNIfTI(f *File, m *Meta) error {
	head, size, unzip := f.Head, f.Size, error(nil)
	if bytes.HasPrefix(f.Head, []byte{0x1f, 0x8b}) {
		m.SetMediaType("application/gzip")
		if head, unzip = gunzipHead(f, niftiHead); unzip != nil && len(head) < nifti1Header {
			return fmt.Errorf("decompress the header: %w", unzip)
		}
		if v := niftiMagic(head); v > 0 && unzip == nil && hasExtensions(head, v) {
			head, unzip = gunzipHead(f, niftiExtensions)
		}
		size = -1
	}
	var h *niftiHeader
	switch niftiMagic(head) {
	case 1:
		h = parseNIfTI1(head)
	case 2:
		h = parseNIfTI2(head)
	default:
		return errors.New("it has no NIfTI header")
	}
	err := h.set(m)
	if n, ok := h.extensions(head); ok {
		m.Set("extensions", n)
	}
	m.Set("pair", h.pair)
	m.Set("compressed", size < 0)
	if err == nil {
		err = h.checkData(size)
	}
	if err == nil && unzip != nil {
		err = fmt.Errorf("decompress: %w", unzip)
	}
	return err
}

func parseNIfTI1(b []byte) *niftiHeader {
	o := niftiOrder(b, nifti1Header)
	f32 := func(off int) float64 { return shortest32(math.Float32frombits(o.Uint32(b[off:]))) }
	i16 := func(off int) int { return int(int16(o.Uint16(b[off:]))) }
	h := &niftiHeader{
		version: 1, order: o,
		dataType: i16(70), voxOffset: f32(108), slope: f32(112), inter: f32(116), units: int(b[123]),
		description: b[148:228], intent: i16(68), intentName: b[328:344],
		qform: i16(252), sform: i16(254), quatern: [3]float64{f32(256), f32(260), f32(264)},
		pair: b[345] == 'i',
	}
	for i := range h.dim {
		h.dim[i], h.pixdim[i] = int64(i16(40+2*i)), f32(76+4*i)
	}
	for i := range 12 {
		h.srow[i/4][i%4] = f32(280 + 4*i)
	}
	return h
}

func parseNIfTI2(b []byte) *niftiHeader {
	o := niftiOrder(b, nifti2Header)
	f64 := func(off int) float64 { return math.Float64frombits(o.Uint64(b[off:])) }
	i32 := func(off int) int { return int(int32(o.Uint32(b[off:]))) }
	h := &niftiHeader{
		version: 2, order: o,
		dataType: int(int16(o.Uint16(b[12:]))), voxOffset: float64(int64(o.Uint64(b[168:]))),
		slope: f64(176), inter: f64(184), units: i32(500),
		description: b[240:320], intent: i32(504), intentName: b[508:524],
		qform: i32(344), sform: i32(348), quatern: [3]float64{f64(352), f64(360), f64(368)},
		pair: b[5] == 'i',
	}
	for i := range h.dim {
		h.dim[i], h.pixdim[i] = int64(o.Uint64(b[16+8*i:])), f64(104+8*i)
	}
	for i := range 12 {
		h.srow[i/4][i%4] = f64(400 + 8*i)
	}
	return h
}

// set sets what the header says.
func (h *niftiHeader) set(m *Meta) error {
	m.Set("version", h.version)
	err := h.setShape(m)
	m.SetString("data_type", niftiType(h.dataType))
	if h.slope != 0 && (h.slope != 1 || h.inter != 0) {
		scale := &Meta{}
		scale.Set("slope", h.slope)
		scale.Set("inter", h.inter)
		m.Set("scale", scale)
	}
	m.SetString("description", headerText(h.description))
	m.SetString("intent", niftiIntent(h.intent))
	m.SetString("intent_name", headerText(h.intentName))
	m.SetString("space", h.space())
	m.SetString("orientation", h.orientation())
	m.Set("qform_code", h.qform)
	m.Set("sform_code", h.sform)
	m.Set("endian", endianName(h.order))
	return err
}

// setShape sets what dim and pixdim say.
func (h *niftiHeader) setShape(m *Meta) error {
	n := h.dim[0]
	if n < 1 || n > 7 {
		return fmt.Errorf("dim[0] is %d, not 1 to 7", n)
	}
	for i, d := range h.dim[1 : n+1] {
		if d < 0 {
			return fmt.Errorf("dim[%d] is %d", i+1, d)
		}
	}
	m.Set("shape", append([]int64{}, h.dim[1:n+1]...))
	mm := map[int]float64{1: 1000, 3: 0.001}[h.units&7]
	if mm == 0 {
		mm = 1
	}
	voxel := []float64{}
	for _, p := range h.pixdim[1 : min(n, 3)+1] {
		voxel = append(voxel, tidy(math.Abs(p)*mm))
	}
	m.Set("voxel_size", voxel)
	seconds, ok := map[int]float64{0: 1, 8: 1, 16: 1e-3, 24: 1e-6}[h.units&0x38]
	if tr := h.pixdim[4]; n >= 4 && ok && tr > 0 {
		m.Set("tr", tidy(tr*seconds))
	}
	return nil
}

// tidy rounds away what a change of units adds to a number that had seven
// digits.
func tidy(f float64) float64 {
	if math.IsInf(f, 0) || math.IsNaN(f) || f == 0 {
		return f
	}
	p := math.Pow(10, 9-math.Ceil(math.Log10(math.Abs(f))))
	if math.IsInf(p, 0) || p == 0 {
		return f
	}
	return math.Round(f*p) / p
}

// checkData compares size, that of the file or -1, with what the voxels need.
func (h *niftiHeader) checkData(size int64) error {
	least := float64(nifti1Header + 4)
	if h.version == 2 {
		least = nifti2Header + 4
	}
	if h.pair {
		return nil
	}
	if !(h.voxOffset == 0 || h.voxOffset >= least) {
		return fmt.Errorf("vox_offset is %v, within the header", h.voxOffset)
	}
	if size < 0 || h.dim[0] < 1 || h.dim[0] > 7 {
		return nil
	}
	bits := niftiBits(h.dataType)
	for _, d := range h.dim[1 : h.dim[0]+1] {
		bits *= float64(d)
	}
	if end := math.Max(h.voxOffset, least) + math.Ceil(bits/8); end > float64(size) {
		return fmt.Errorf("the voxels end at byte %.0f, the file at %d: it is cut short", end, size)
	}
	return nil
}

// hasExtensions says if the four bytes after a header announce extensions.
func hasExtensions(head []byte, version int) bool {
	off := map[int]int{1: nifti1Header, 2: nifti2Header}[version]
	return len(head) > off && head[off] != 0
}

// extensions counts the header extensions, if head reaches to the end of
// them.
func (h *niftiHeader) extensions(head []byte) (int, bool) {
	off := nifti1Header
	if h.version == 2 {
		off = nifti2Header
	}
	if len(head) < off+4 {
		return 0, false
	}
	if !hasExtensions(head, h.version) {
		return 0, true
	}
	end := h.voxOffset
	if h.pair {
		end = float64(len(head))
	}
	n := 0
	for off += 4; float64(off)+16 <= end; n++ {
		if off+8 > len(head) {
			return 0, false
		}
		size := h.order.Uint32(head[off:])
		if size < 16 || size%16 != 0 || float64(off)+float64(size) > end {
			break
		}
		off += int(size)
	}
	return n, true
}
