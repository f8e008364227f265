package extract

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// analyzeFormat is the header of Analyze 7.5, from which NIfTI-1 came.
func analyzeFormat() *Format {
	return &Format{
		Name:      "analyze",
		Version:   1,
		MediaType: "application/octet-stream",
		Keys: []Key{
			{Name: "shape", Type: "array of integer", Unit: "voxels", Doc: "size of each dimension: x, y, z, time …"},
			{Name: "voxel_size", Type: "array of number", Unit: "mm", Doc: "size of a voxel along x, y, z"},
			{Name: "tr", Type: "number", Unit: "s", Doc: "time between volumes, of images with four dimensions"},
			{Name: "data_type", Type: "string", Doc: "uint8, int16, float32 …"},
			{Name: "endian", Type: "string", Doc: "little or big"},
		},
		Match: func(f *File) bool {
			return f.HasSuffix(".hdr") && len(f.Head) >= nifti1Header && niftiOrder(f.Head, nifti1Header) != nil
		},
		Extract: func(f *File, m *Meta) error {
			h := parseNIfTI1(f.Head)
			h.units = 2 | 16 // mm, ms
			n := h.dim[0]
			err := h.setShape(m)
			if n == 4 && h.dim[4] == 1 && err == nil { // as nearly all have it
				m.Set("shape", append([]int64{}, h.dim[1:4]...))
			}
			m.SetString("data_type", niftiType(h.dataType))
			m.Set("endian", endianName(h.order))
			return err
		},
	}
}

// mghFormat is the volume of FreeSurfer, .mgh and .mgz
// (https://surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat).
func mghFormat() *Format {
	return &Format{
		Name:      "mgh",
		Version:   1,
		MediaType: "application/x-mgh",
		Keys: []Key{
			{Name: "shape", Type: "array of integer", Unit: "voxels", Doc: "size of each dimension: x, y, z and, if there are several, frames"},
			{Name: "voxel_size", Type: "array of number", Unit: "mm", Doc: "size of a voxel along x, y, z"},
			{Name: "data_type", Type: "string", Doc: "uint8, int32, float32 or int16"},
			{Name: "orientation", Type: "string", Doc: "where the axes go, as in LIA: to left, inferior, anterior"},
			{Name: "compressed", Type: "boolean", Doc: "the file is gzip"},
		},
		Match:   func(f *File) bool { return f.Size > 0 && f.HasSuffix(".mgz", ".mgh", ".mgh.gz") },
		Extract: extractMGH,
	}
}

// mghHeader is how much of the header is looked at, in bytes.
const mghHeader = 90

func extractMGH(f *File, m *Meta) error {
	b := f.Head
	zipped := len(b) > 1 && b[0] == 0x1f && b[1] == 0x8b
	if zipped {
		m.SetMediaType("application/gzip")
		var err error
		if b, err = gunzipHead(f, mghHeader); err != nil {
			return fmt.Errorf("decompress the header: %w", err)
		}
	}
	be := binary.BigEndian
	if len(b) < mghHeader || be.Uint32(b) != 1 {
		return errors.New("it has no MGH header")
	}
	shape := make([]int64, 4)
	for i := range shape {
		if shape[i] = int64(int32(be.Uint32(b[4+4*i:]))); shape[i] < 0 {
			return fmt.Errorf("dimension %d is %d", i, shape[i])
		}
	}
	if shape[3] == 1 {
		shape = shape[:3]
	}
	m.Set("shape", shape)
	f32 := func(off int) float64 { return shortest32(math.Float32frombits(be.Uint32(b[off:]))) }
	good := be.Uint16(b[28:]) != 0 // goodRASFlag: spacing and directions count
	if good {
		m.Set("voxel_size", []float64{f32(30), f32(34), f32(38)})
	}
	m.SetString("data_type", map[uint32]string{0: "uint8", 1: "int32", 3: "float32", 4: "int16"}[be.Uint32(b[20:])])
	if good {
		var r [3][3]float64
		for i := range 9 { // by columns: x, y, z each in right, anterior, superior
			r[i%3][i/3] = f32(42 + 4*i)
		}
		m.SetString("orientation", axisCodes(r))
	}
	m.Set("compressed", zipped)
	return nil
}
