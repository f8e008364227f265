package extract_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/extract"
)

const hdf5Filled = `"attributes": {"big": 513, "count": -7, "fixed": "ascii", "flag": true, "list": [1.5, 2.5], "names": ["a", "bc"], ` +
	`"ratio": 0.1, "title": "fixture"}, "groups": 3, "datasets": [{"path": "/loop/complex", "shape": [2], "type": "complex128"}, ` +
	`{"path": "/loop/deep/er/vlen", "shape": [2], "type": "int32[]"}, ` +
	`{"path": "/loop/image", "shape": [6, 4], "type": "uint16", "max_shape": [-1, 4], "chunks": [3, 4], "filters": ["shuffle", "gzip"]}, ` +
	`{"path": "/loop/mask", "shape": [2], "type": "bool"}, {"path": "/loop/points", "shape": [3], "type": "{x: float64, n: int32, v: float32[3]}"}, ` +
	`{"path": "/named", "shape": [1], "type": "int64"}, {"path": "/scalar", "shape": [], "type": "float64"}, ` +
	`{"path": "/texts", "shape": [2], "type": "string"}]}`

// The files were written by the HDF5 library: see testdata/SCIENCE.md.
func TestHDF5(t *testing.T) {
	old := scienceFixture(t, "old.h5")
	edit := func(old, new string) []byte {
		b := scienceFixture(t, "old.h5")
		i := bytes.Index(b, []byte(old))
		copy(b[i:], new)
		return b
	}
	scienceTable(t, []scienceCase{
		{name: "old style, user block", path: "a.h5", data: old, format: "hdf5", want: `{"superblock": 0, ` + hdf5Filled},
		{name: "new style", path: "a", data: scienceFixture(t, "new.h5"), format: "hdf5", want: `{"superblock": 3, ` + hdf5Filled},
		{name: "tree of two levels", path: "a.h5", data: scienceFixture(t, "many.h5"), format: "hdf5",
			want: `{"superblock": 0, "groups": 0, "datasets": [{"path": "/d", "shape": [0], "type": "int8"}, {"path": "/l200a", "shape": [1], "type": "int8"}]}`},
		{name: "netCDF-4", path: "a.nc", data: scienceFixture(t, "small-nc4.nc"), format: "hdf5",
			want: `{"superblock": 2, "attributes": {"Conventions": "CF-1.8", "_NCProperties": "version=2,netcdf=4.9.0,hdf5=1.10.8", "factor": [0.1], ` +
				`"institution": "Example", "levels": [1, 2, 3], "title": "A small grid"}, "groups": 0, "datasets": [{"path": "/crs", "shape": [], "type": "int32"}, ` +
				`{"path": "/lat", "shape": [3], "type": "float32"}, {"path": "/lon", "shape": [4], "type": "float32"}, ` +
				`{"path": "/t2m", "shape": [2, 3, 4], "type": "int16", "max_shape": [-1, 3, 4], "chunks": [1, 3, 4]}, ` +
				`{"path": "/time", "shape": [2], "type": "float64", "max_shape": [-1], "chunks": [512]}], "profile": "netCDF-4"}`},
		{name: "cut short", path: "a.h5", data: old[:2000], format: "hdf5", warning: "cut short"},
		{name: "superblock", path: "a.h5", data: edit("HDF\r\n\x1a\n\x00", "HDF\r\n\x1a\n\x09"), format: "hdf5", warning: "superblock has version 9"},
		{name: "damaged tree", path: "a.h5", data: edit("TREE", "EERT"), format: "hdf5", warning: `begins with "EERT"`},
		{name: "text", path: "a.h5", data: []byte("version https://git-lfs"), format: ""},
	})
}

func TestHDF5Dense(t *testing.T) {
	_, m, err := scienceRun(t, scienceFile("a.h5", scienceFixture(t, "dense.h5")), extract.Options{})
	if err != nil || m.Get("groups") != 120 || m.Get("partial") != nil {
		t.Errorf("got %v groups, %v", m.Get("groups"), err)
	}
	attrs, _ := m.Get("attributes").(*extract.Meta)
	if attrs == nil || len(attrs.Keys()) != 30 || attrs.Get("attribute29") != int64(29) {
		t.Errorf("got %s", m.AppendJSON(nil))
	}
}

// Objects in the midst of a large file make it partial, and no warning.
func TestHDF5Beyond(t *testing.T) {
	data := scienceFixture(t, "new.h5")
	for n := 512; n < len(data); n += 512 {
		f := &extract.File{Path: "a.h5", Size: 10 << 20, Head: data[:n]}
		_, m, err := scienceRun(t, f, extract.Options{})
		if err != nil || m.Get("partial") != true && !strings.Contains(string(m.AppendJSON(nil)), hdf5Filled[:100]) {
			t.Errorf("%d bytes: %s, %v", n, m.AppendJSON(nil), err)
		}
	}
}

func TestHDF5Truncated(t *testing.T) {
	scienceTruncate(t, "x.h5", scienceFixture(t, "old.h5"))
	scienceTruncate(t, "x.h5", scienceFixture(t, "new.h5"))
	scienceTruncateBy(t, "x.h5", scienceFixture(t, "dense.h5"), 31)
	scienceTruncateBy(t, "x.h5", scienceFixture(t, "many.h5"), 31)
}

func FuzzHDF5(f *testing.F) {
	scienceFuzz(f, "x.h5", scienceFixture(f, "old.h5"), scienceFixture(f, "new.h5"), scienceFixture(f, "dense.h5"),
		scienceFixture(f, "many.h5"), scienceFixture(f, "small-nc4.nc"))
}
