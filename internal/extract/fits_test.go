package extract_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// fitsUnit is a header of cards, "KEY=value" each, and n bytes of data.
func fitsUnit(n int, cards ...string) []byte {
	var b strings.Builder
	for _, c := range append(cards, "END") {
		if key, value, ok := strings.Cut(c, "="); ok {
			if !strings.HasPrefix(value, "'") {
				value = fmt.Sprintf("%20s", value)
			}
			c = fmt.Sprintf("%-8s= %s", key, value)
		}
		fmt.Fprintf(&b, "%-80s", c)
	}
	for b.Len()%2880 != 0 {
		b.WriteByte(' ')
	}
	return append([]byte(b.String()), make([]byte, (n+2879)/2880*2880)...)
}

func fitsImage() []byte {
	return bytes.Join([][]byte{
		fitsUnit(4*3*4, "SIMPLE=T", "BITPIX=-32", "NAXIS=2", "NAXIS1=4", "NAXIS2=3", "EXTEND=T",
			"OBJECT='Barnard''s Star'     / what it is", "TELESCOP='2.2 m    '", "INSTRUME='CAFOS'", "DATE-OBS='2024-02-29T01:02:03'",
			"EXPTIME=1.5D1 / s", "COMMENT   nothing", "BUNIT='adu'", "RA=269.45", "DEC=4.69"),
		fitsUnit(16*5+7, "XTENSION='BINTABLE'", "BITPIX=8", "NAXIS=2", "NAXIS1=16", "NAXIS2=5", "PCOUNT=7", "GCOUNT=1", "TFIELDS=2",
			"TTYPE1='X'", "TFORM1='D'", "TTYPE2='FLUX'", "EXTNAME='EVENTS'"),
		fitsUnit(2*8*8, "XTENSION='IMAGE'", "BITPIX=16", "NAXIS=2", "NAXIS1=8", "NAXIS2=8", "PCOUNT=0", "GCOUNT=1", "EXTNAME='MASK'"),
	}, nil)
}

const fitsImageJSON = `{"object": "Barnard's Star", "telescope": "2.2 m", "instrument": "CAFOS", "observed": "2024-02-29T01:02:03", ` +
	`"unit": "adu", "exposure": 15.0, "ra": 269.45, "dec": 4.69, "shape": [4, 3], "data_type": "float32", "extensions": [` +
	`{"type": "BINTABLE", "name": "EVENTS", "rows": 5, "columns": ["X", "FLUX"]}`

func TestFITS(t *testing.T) {
	data := fitsImage()
	scienceTable(t, []scienceCase{
		{name: "image with extensions", path: "a.fits", data: data, format: "fits",
			want: fitsImageJSON + `, {"type": "IMAGE", "name": "MASK", "data_type": "int16", "shape": [8, 8]}]}`},
		{name: "cut short", path: "a.fits", data: data[:len(data)-2880], format: "fits", warning: "go beyond the end of the file"},
		{name: "no END", path: "a.fits", data: data[:2000], format: "fits", warning: "has no END", want: "{}"},
		{name: "no data", path: "x", data: fitsUnit(0, "SIMPLE=T", "BITPIX=8", "NAXIS=0"), format: "fits", want: "{}"},
		{name: "BITPIX", path: "x", data: fitsUnit(0, "SIMPLE=T", "BITPIX=7", "NAXIS=0"), format: "fits", warning: `BITPIX is "7"`},
		{name: "huge", path: "x", data: fitsUnit(0, "SIMPLE=T", "BITPIX=8", "NAXIS=2", "NAXIS1=9000000000000000000", "NAXIS2=9000000000000000000"),
			format: "fits", warning: "larger than any file"},
		{name: "missing axis", path: "x", data: fitsUnit(0, "SIMPLE=T", "BITPIX=8", "NAXIS=2", "NAXIS1=9"), format: "fits", warning: "NAXIS2 is missing"},
	})
}

// An extension between head and tail makes it partial, one in the tail does not.
func TestFITSBeyond(t *testing.T) {
	big := func(after int) []byte {
		return append(fitsUnit(1<<22, "SIMPLE=T", "BITPIX=8", "NAXIS=1", "NAXIS1=4194304"),
			fitsUnit(after, "XTENSION='IMAGE'", "BITPIX=8", "NAXIS=1", fmt.Sprintf("NAXIS1=%d", after), "EXTNAME='E'")...)
	}
	scienceTable(t, []scienceCase{
		{name: "tail", path: "a.fits", data: big(9), format: "fits",
			want: `{"shape": [4194304], "data_type": "uint8", "extensions": [{"type": "IMAGE", "name": "E", "data_type": "uint8", "shape": [9]}]}`},
		{name: "midst", path: "a.fits", data: big(1 << 21), format: "fits", want: `{"shape": [4194304], "data_type": "uint8", "partial": true}`},
	})
}

func TestFITSTruncated(t *testing.T) { scienceTruncate(t, "x.fits", fitsImage()) }

func FuzzFITS(f *testing.F) { scienceFuzz(f, "x.fits", fitsImage()) }
