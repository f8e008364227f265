package extract

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// scienceFormats returns the formats of this group, the most particular first.
func scienceFormats(opts Options) []*Format {
	return []*Format{
		niftiFormat(), analyzeFormat(), mghFormat(),
		dicomFormat(opts), fitsFormat(), netcdfFormat(), hdf5Format(),
		zarrFormat(), numpyFormat(), npzFormat(), matlabFormat(),
		edfFormat(opts), brainVisionFormat(), fifFormat(),
		vcfFormat(opts), samFormat(opts), fastaFormat(), fastqFormat(),
	}
}

// headerText returns a text field of a header as cleanText does, with blanks
// for control characters, which fields of a fixed width hold by accident.
func headerText(b []byte) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return ' '
		}
		return r
	}, cleanText(b)))
}

// shortest32 returns the number that the shortest decimal form of f names:
// 0.1 for float32(0.1), not 0.10000000149011612.
func shortest32(f float32) float64 {
	d, _ := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'g', -1, 32), 64)
	return d
}

// gunzipHead returns the first n bytes of what the gzip file f holds, or all
// there is of them.
func gunzipHead(f *File, n int) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(f.Head))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, err = io.Copy(&b, io.LimitReader(z, int64(n)))
	return b.Bytes(), err
}

// beyond clears ErrBeyond, and sets the key "partial" in its stead.
func beyond(m *Meta, err error) error {
	if errors.Is(err, ErrBeyond) {
		m.Set("partial", true)
		return nil
	}
	return err
}
