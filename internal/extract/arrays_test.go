package extract_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/extract"
)

// The files were written by NumPy.
func TestNumPy(t *testing.T) {
	const arrays = `{"arrays": [{"name": "image", "version": "1.0", "shape": [2, 3], "data_type": "float32", "endian": "big", "order": "C"}, ` +
		`{"name": "labels", "version": "1.0", "shape": [2], "data_type": "string", "endian": "little", "order": "C"}]}`
	big := scienceFixture(t, "big.npy")
	header := func(s string) []byte { return append([]byte("\x93NUMPY\x01\x00"+string(rune(len(s)))+"\x00"), s...) }
	scienceTable(t, []scienceCase{
		{name: "Fortran, big endian", path: "a", data: big, format: "npy",
			want: `{"version": "1.0", "shape": [2, 3], "data_type": "float32", "endian": "big", "order": "F"}`},
		{name: "scalar date", path: "a.npy", data: scienceFixture(t, "dates.npy"), format: "npy",
			want: `{"version": "1.0", "shape": [], "data_type": "datetime64[D]", "endian": "little", "order": "C"}`},
		{name: "structured", path: "a.npy", data: scienceFixture(t, "structured.npy"), format: "npy",
			want: `{"version": "1.0", "shape": [2], "data_type": "structured", "order": "C"}`},
		{name: "cut short", path: "a.npy", data: big[:40], format: "npy", want: `{"version": "1.0"}`, warning: "cut short"},
		{name: "no shape", path: "a.npy", data: header(`{'descr': '<f4', 'fortran_order': False}`), format: "npy", warning: "lacks shape"},
		{name: "huge shape", path: "a.npy", data: header(`{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}`),
			format: "npy", warning: `holds "99999999999999999999"`},
		{name: "npz", path: "a.npz", data: scienceFixture(t, "plain.npz"), format: "npz", want: arrays},
		{name: "npz, compressed", path: "a.npz", data: scienceFixture(t, "packed.npz"), format: "npz", want: arrays},
		{name: "npz, cut short", path: "a.npz", data: scienceFixture(t, "plain.npz")[:300], format: "npz", want: "{}", warning: "no directory at its end"},
	})
}

// Of an npz that is larger than what is looked at, the directory at its end
// names the arrays.
func TestNPZBeyond(t *testing.T) {
	data := scienceFixture(t, "plain.npz")
	i := bytes.LastIndex(data, []byte("PK\x01\x02")) - 100
	gap := make([]byte, 4<<20)
	data = append(append(bytes.Clone(data[:i]), gap...), data[i:]...)
	end := len(data) - 22 // the directory begins later by the size of the gap
	data[end+18] += 0x40
	_, m, err := scienceRun(t, scienceFile("a.npz", data), extract.Options{})
	if list, _ := m.Get("arrays").([]*extract.Meta); err != nil || len(list) != 2 || list[0].Get("data_type") != "float32" {
		t.Errorf("got %s, %v", m.AppendJSON(nil), err)
	}
}

// The files were written by SciPy.
func TestMATLAB(t *testing.T) {
	const want = `{"header": "MATLAB 5.0 MAT-file Platform: posix, Created on: Thu Feb 29 00:00:00 2024", "endian": "little", "variables": [` +
		`{"name": "x", "shape": [2, 3], "type": "double"}, {"name": "name", "shape": [1, 4], "type": "char"}, ` +
		`{"name": "mask", "shape": [1, 2], "type": "logical"}, {"name": "n", "shape": [1, 1], "type": "int16"}, ` +
		`{"name": "z", "shape": [1, 1], "type": "double", "complex": true}, {"name": "s", "shape": [1, 1], "type": "struct"}, ` +
		`{"name": "c", "shape": [1, 2], "type": "cell"}, {"name": "long_name_of_it", "shape": [50, 50], "type": "single"}]}`
	plain, packed := scienceFixture(t, "plain.mat"), scienceFixture(t, "packed.mat")
	scienceTable(t, []scienceCase{
		{name: "plain", path: "a.mat", data: plain, format: "matlab", want: want},
		{name: "compressed", path: "a.mat", data: packed, format: "matlab", want: want},
		{name: "cut short", path: "a.mat", data: plain[:len(plain)-100], format: "matlab", warning: "cut short"},
		{name: "7.3 is HDF5", path: "a.mat", format: "hdf5",
			data: append([]byte("MATLAB 7.3 MAT-file"), scienceFixture(t, "old.h5")[19:]...)},
	})
}

func TestZarr(t *testing.T) {
	v3 := `{"zarr_format": 3, "node_type": "array", "shape": [4, 5], "data_type": "float64",
		"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 5]}}, "codecs": [{"name": "bytes"}, {"name": "zstd"}],
		"dimension_names": ["y", null], "attributes": {"units": "K", "deep": {"x": 1}, "big": 1e300}}`
	scienceTable(t, []scienceCase{
		{name: "array", path: "a.zarr/image/.zarray", data: scienceFixture(t, "store.zarr/image/.zarray"), format: "zarr",
			want: `{"version": 2, "node": "array", "shape": [10, 20], "chunks": [5, 20], "data_type": "uint16", "endian": "little", "order": "C", "compressor": "blosc"}`},
		{name: "group", path: "a.zarr/.zgroup", data: scienceFixture(t, "store.zarr/.zgroup"), format: "zarr", want: `{"version": 2, "node": "group"}`},
		{name: "attributes", path: "a.zarr/.zattrs", data: scienceFixture(t, "store.zarr/.zattrs"), format: "zarr",
			want: `{"version": 2, "attributes": {"n": 3, "scale": [0.5, 2], "title": "fixture"}}`},
		{name: "version 3", path: "a.zarr/zarr.json", data: []byte(v3), format: "zarr",
			want: `{"version": 3, "node": "array", "shape": [4, 5], "chunks": [2, 5], "data_type": "float64", "codecs": ["bytes", "zstd"], ` +
				`"dimension_names": ["y", ""], "attributes": {"big": 1e+300, "units": "K"}}`},
		{name: "other version", path: "zarr.json", data: []byte(`{"zarr_format": 4}`), format: "zarr", warning: "is not 2 or 3"},
		{name: "no JSON", path: ".zattrs", data: []byte(`{"a": `), format: "zarr", warning: "read JSON"},
		{name: "odd shape", path: ".zarray", data: []byte(`{"zarr_format": 2, "shape": [1.5]}`), format: "zarr", warning: "no integer"},
	})
}

func TestArraysTruncated(t *testing.T) {
	for _, name := range []string{"big.npy", "plain.npz", "packed.npz", "plain.mat", "packed.mat", "store.zarr/image/.zarray", "store.zarr/.zattrs"} {
		scienceTruncate(t, "x/"+name, scienceFixture(t, name))
	}
}

func FuzzNumPy(f *testing.F) {
	scienceFuzz(f, "x.npy", scienceFixture(f, "big.npy"), scienceFixture(f, "structured.npy"))
}

func FuzzNPZ(f *testing.F) {
	scienceFuzz(f, "x.npz", scienceFixture(f, "plain.npz"), scienceFixture(f, "packed.npz"))
}

func FuzzMATLAB(f *testing.F) {
	scienceFuzz(f, "x.mat", scienceFixture(f, "plain.mat"), scienceFixture(f, "packed.mat"))
}

func FuzzZarr(f *testing.F) {
	scienceFuzz(f, ".zarray", scienceFixture(f, "store.zarr/image/.zarray"), []byte(strings.Repeat("[", 100)))
}

func FuzzZarr3(f *testing.F) {
	scienceFuzz(f, "zarr.json", []byte(`{"zarr_format": "3", "shape": [1], "data_type": {"name": "r8"}, "attributes": {"a": [1, "b", true]}}`))
}
