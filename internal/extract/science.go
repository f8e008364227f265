package extract

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
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

// maxText is how much of a text of a header is kept, in bytes.
const maxText = 1000

// headerText returns a text field of a header: up to the first NUL, without
// blanks around it, as UTF-8. What is not UTF-8 is taken for Latin-1, control
// characters become blanks, and no more than maxText bytes stay.
func headerText(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	b = bytes.TrimSpace(b)
	cut := len(b) > maxText
	if cut {
		b = b[:maxText]
		for i := 0; i < utf8.UTFMax-1 && !utf8.Valid(b); i++ {
			b = b[:len(b)-1]
		}
	}
	var s strings.Builder
	latin1 := !utf8.Valid(b)
	for i := 0; i < len(b); {
		r, n := rune(b[i]), 1
		if !latin1 {
			r, n = utf8.DecodeRune(b[i:])
		}
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			r = ' '
		}
		s.WriteRune(r)
		i += n
	}
	return strings.TrimSpace(s.String())
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
