package extract_test

import (
	"bytes"
	"testing"
)

const netcdfSmall = `"records": 2, "dimensions": [{"name": "time", "size": 2, "unlimited": true}, {"name": "lat", "size": 3}, {"name": "lon", "size": 4}], ` +
	`"title": "A small grid", "conventions": "CF-1.8", "institution": "Example", ` +
	`"attributes": {"title": "A small grid", "Conventions": "CF-1.8", "institution": "Example", "levels": [1, 2, 3], "factor": 0.1}, ` +
	`"variables": [{"name": "time", "type": "float64", "dimensions": ["time"], "shape": [2], "units": "days since 2000-01-01"}, ` +
	`{"name": "lat", "type": "float32", "dimensions": ["lat"], "shape": [3], "standard_name": "latitude", "units": "degrees_north"}, ` +
	`{"name": "t2m", "type": "int16", "dimensions": ["time", "lat", "lon"], "shape": [2, 3, 4], "long_name": "temperature at 2 m", "units": "K"}, ` +
	`{"name": "crs", "type": "int32", "dimensions": [], "shape": []}]}`

// The files were written by ncgen.
func TestNetCDF(t *testing.T) {
	cdf1 := scienceFixture(t, "small-cdf1.nc")
	edit := func(off int, to ...byte) []byte {
		b := bytes.Clone(cdf1)
		copy(b[off:], to)
		return b
	}
	scienceTable(t, []scienceCase{
		{name: "CDF-1", path: "a.nc", data: cdf1, format: "netcdf", want: `{"version": "CDF-1", ` + netcdfSmall},
		{name: "CDF-2", path: "a", data: scienceFixture(t, "small-cdf2.nc"), format: "netcdf", want: `{"version": "CDF-2", ` + netcdfSmall},
		{name: "CDF-5", path: "a", data: scienceFixture(t, "small-cdf5.nc"), format: "netcdf", want: `{"version": "CDF-5", ` + netcdfSmall},
		{name: "cut short", path: "a.nc", data: cdf1[:200], format: "netcdf", warning: "cut short"},
		{name: "wrong tag", path: "a.nc", data: edit(8, 0, 0, 0, 9), format: "netcdf", warning: "a list has tag 9", want: `{"version": "CDF-1", "records": 2}`},
		{name: "long name", path: "a.nc", data: edit(16, 0, 1, 0, 0), format: "netcdf", warning: "a name has 65536 bytes"},
		{name: "empty", path: "a.nc", data: append([]byte("CDF\x01"), make([]byte, 28)...), format: "netcdf", want: `{"version": "CDF-1", "records": 0}`},
	})
}

func TestNetCDFTruncated(t *testing.T) {
	scienceTruncate(t, "x.nc", scienceFixture(t, "small-cdf1.nc"))
	scienceTruncate(t, "x.nc", scienceFixture(t, "small-cdf5.nc"))
}

func FuzzNetCDF(f *testing.F) {
	scienceFuzz(f, "x.nc", scienceFixture(f, "small-cdf1.nc"), scienceFixture(f, "small-cdf2.nc"), scienceFixture(f, "small-cdf5.nc"))
}
