package extract_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"math"
	"testing"
)

// niftiImage is a NIfTI-1 image of 4×3×2×5 voxels of int16, with sform.
func niftiImage(o binary.ByteOrder) []byte {
	b := make([]byte, 352+4*3*2*5*2)
	o.PutUint32(b, 348)
	for i, d := range []uint16{4, 4, 3, 2, 5, 1, 1, 1} {
		o.PutUint16(b[40+2*i:], d)
	}
	o.PutUint16(b[68:], 3)
	o.PutUint16(b[70:], 4)
	o.PutUint16(b[72:], 16)
	f := func(off int, v float32) { o.PutUint32(b[off:], math.Float32bits(v)) }
	for i, p := range []float32{1, 0.9, 0.9, 1.2, 2500} {
		f(76+4*i, p)
	}
	f(108, 352)
	f(112, 2)
	f(116, -1)
	b[123] = 2 | 16 // mm, ms
	copy(b[148:], "hand-made")
	o.PutUint16(b[254:], 4)
	f(280, -0.9)
	f(300, 0.9)
	f(320, 1.2)
	copy(b[328:], "n=12")
	copy(b[344:], "n+1\x00")
	return b
}

func gzipped(b []byte) []byte {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(b)
	w.Close()
	return z.Bytes()
}

const niftiImageJSON = `{"version": 1, "shape": [4, 3, 2, 5], "voxel_size": [0.9, 0.9, 1.2], "tr": 2.5, "data_type": "int16", ` +
	`"scale": {"slope": 2.0, "inter": -1.0}, "description": "hand-made", "intent": "t test", "intent_name": "n=12", ` +
	`"space": "mni152", "orientation": "LAS", "qform_code": 0, "sform_code": 4, `

func TestNIfTI(t *testing.T) {
	le := niftiImage(binary.LittleEndian)
	edit := func(f func(b []byte)) []byte {
		b := bytes.Clone(le)
		f(b)
		return b
	}
	withExtensions := edit(func(b []byte) {
		b[348] = 1
		copy(b[108:], []byte{0, 0, 0xc8, 0x43}) // 400
		binary.LittleEndian.PutUint32(b[352:], 16)
		binary.LittleEndian.PutUint32(b[368:], 32)
	})
	withExtensions = append(withExtensions, make([]byte, 48)...)
	scienceTable(t, []scienceCase{
		{name: "little endian", path: "a/t1.nii", data: le, format: "nifti",
			want: niftiImageJSON + `"endian": "little", "extensions": 0, "pair": false, "compressed": false}`},
		{name: "big endian, any name", path: "a/t1", data: niftiImage(binary.BigEndian), format: "nifti",
			want: niftiImageJSON + `"endian": "big", "extensions": 0, "pair": false, "compressed": false}`},
		{name: "compressed", path: "T1.NII.GZ", data: gzipped(le), format: "nifti",
			want: niftiImageJSON + `"endian": "little", "extensions": 0, "pair": false, "compressed": true}`},
		{name: "extensions", path: "t1.nii", data: withExtensions, format: "nifti",
			want: niftiImageJSON + `"endian": "little", "extensions": 2, "pair": false, "compressed": false}`},
		{name: "header of a pair", path: "t1.hdr", format: "nifti",
			data: edit(func(b []byte) { b[345] = 'i' })[:348],
			want: niftiImageJSON + `"endian": "little", "pair": true, "compressed": false}`},
		{name: "empty", path: "sub-01_bold.nii.gz", format: ""},
		{name: "dim[0] out of range", path: "x.nii", data: edit(func(b []byte) { b[40] = 9 }), format: "nifti", warning: "dim[0] is 9"},
		{name: "negative size", path: "x.nii", data: edit(func(b []byte) { b[43] = 0x80 }), format: "nifti", warning: "dim[1] is -32764"},
		{name: "vox_offset", path: "x.nii", data: edit(func(b []byte) { copy(b[108:], []byte{0, 0, 0x80, 0x3f}) }),
			format: "nifti", warning: "vox_offset is 1, within the header"},
		{name: "cut short", path: "x.nii", data: le[:500], format: "nifti", warning: "the voxels end at byte 592, the file at 500"},
		{name: "no header", path: "x.nii", data: []byte("version https://git-lfs"), format: "nifti", warning: "no NIfTI header", want: "{}"},
		{name: "no gzip", path: "x.nii.gz", data: []byte("hello"), format: "nifti", warning: "no NIfTI header", want: "{}"},
		{name: "analyze", path: "x.hdr", data: edit(func(b []byte) { clear(b[252:]) })[:348], format: "analyze",
			want: `{"shape": [4, 3, 2, 5], "voxel_size": [0.9, 0.9, 1.2], "tr": 2.5, "data_type": "int16", "endian": "little"}`},
	})
}

// The facts are those that nibabel tells.
func TestRealNIfTI(t *testing.T) {
	scienceTable(t, []scienceCase{
		{name: "anatomical", path: "anatomical.nii", data: scienceReal(t, "nifti/anatomical.nii"), format: "nifti",
			want: `{"version": 1, "shape": [33, 41, 25], "voxel_size": [2.0, 2.0, 2.0], "data_type": "int16", ` +
				`"description": "spm - 3D normalized", "space": "aligned", "orientation": "LAS", ` +
				`"qform_code": 2, "sform_code": 2, "endian": "big", "extensions": 0, "pair": false, "compressed": false}`},
		{name: "4d", path: "example4d.nii.gz", data: scienceReal(t, "nifti/example4d.nii.gz"), format: "nifti",
			want: `{"version": 1, "shape": [128, 96, 24, 2], "voxel_size": [2.0, 2.0, 2.199999], "tr": 2000.0, "data_type": "int16", ` +
				`"description": "FSL3.3", "space": "scanner", "orientation": "LAS", ` +
				`"qform_code": 1, "sform_code": 1, "endian": "little", "extensions": 2, "pair": false, "compressed": true}`},
		{name: "nifti2", path: "example_nifti2.nii.gz", data: scienceReal(t, "nifti/example_nifti2.nii.gz"), format: "nifti",
			want: `{"version": 2, "shape": [32, 20, 12, 2], "voxel_size": [2.0, 2.0, 2.19999909], "tr": 2000.0, "data_type": "int16", ` +
				`"description": "FSL3.3", "space": "scanner", "orientation": "LAS", ` +
				`"qform_code": 1, "sform_code": 1, "endian": "little", "extensions": 2, "pair": false, "compressed": true}`},
		{name: "functional", path: "functional.nii", data: scienceReal(t, "nifti/functional.nii"), format: "nifti",
			want: `{"version": 1, "shape": [17, 21, 3, 20], "voxel_size": [4.0, 4.0, 8.0], "tr": 2.0, "data_type": "int16", ` +
				`"scale": {"slope": 0.07540697, "inter": 3100.7617}, "description": "spm - 3D normalized", "space": "aligned", "orientation": "LAS", ` +
				`"qform_code": 2, "sform_code": 2, "endian": "little", "extensions": 0, "pair": false, "compressed": false}`},
		{name: "emptied", path: "sub-04_T1w.nii.gz", data: scienceReal(t, "ds005/sub-04/anat/sub-04_T1w.nii.gz"), format: ""},
	})
}

// mghImage is the header of an MGH volume of 256³ uint8 voxels of 1 mm.
func mghImage() []byte {
	be := binary.BigEndian
	b := make([]byte, 284)
	for i, v := range []uint32{1, 256, 256, 256, 1, 0, 0} {
		be.PutUint32(b[4*i:], v)
	}
	be.PutUint16(b[28:], 1)
	for i, v := range []float32{1, 1, 1, -1, 0, 0, 0, 0, -1, 0, 1, 0} {
		be.PutUint32(b[30+4*i:], math.Float32bits(v))
	}
	return b
}

func TestMGH(t *testing.T) {
	const want = `{"shape": [256, 256, 256], "voxel_size": [1.0, 1.0, 1.0], "data_type": "uint8", "orientation": "LIA", "compressed": `
	scienceTable(t, []scienceCase{
		{name: "plain", path: "T1.mgh", data: mghImage(), format: "mgh", want: want + "false}"},
		{name: "compressed", path: "T1.mgz", data: gzipped(mghImage()), format: "mgh", want: want + "true}"},
		{name: "empty", path: "T1.mgz", format: ""},
		{name: "other", path: "T1.mgz", data: []byte("x"), format: "mgh", warning: "no MGH header"},
	})
}

func TestNIfTITruncated(t *testing.T) {
	scienceTruncate(t, "x.nii", niftiImage(binary.LittleEndian))
	scienceTruncate(t, "x.nii.gz", gzipped(niftiImage(binary.BigEndian)))
	scienceTruncate(t, "x.hdr", niftiImage(binary.BigEndian)[:348])
	scienceTruncate(t, "x.mgz", gzipped(mghImage()))
}

func FuzzNIfTI(f *testing.F) {
	scienceFuzz(f, "x.nii", niftiImage(binary.LittleEndian), niftiImage(binary.BigEndian), gzipped(niftiImage(binary.LittleEndian)))
}

func FuzzMGH(f *testing.F) { scienceFuzz(f, "x.mgz", mghImage(), gzipped(mghImage())) }

func FuzzAnalyze(f *testing.F) { scienceFuzz(f, "x.hdr", niftiImage(binary.LittleEndian)[:348]) }
