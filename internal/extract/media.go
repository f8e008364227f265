package extract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// maxText is how much of a text is kept of what a file says, in bytes.
const maxText = 1 << 10

// mediaFormats returns the formats of images, documents, archives, sound and
// film, the most particular first.
func mediaFormats(opts Options) []*Format {
	return []*Format{
		imageFormat(opts), pdfFormat(), documentFormat(), archiveFormat(), audioFormat(), videoFormat(),
	}
}

// span returns n bytes at off, which must not be changed. It fails with
// io.ErrUnexpectedEOF beyond the end of the file and with ErrBeyond in its
// midst.
func (f *File) span(off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || off > f.Size || n > f.Size-off {
		return nil, io.ErrUnexpectedEOF
	}
	if end := off + n; end <= int64(len(f.Head)) {
		return f.Head[off:end:end], nil
	}
	if tail := f.Size - int64(len(f.Tail)); off >= tail {
		return f.Tail[off-tail : off-tail+n : off-tail+n], nil
	}
	if n > HeadSize+TailSize || f.Size-int64(len(f.Tail)) > int64(len(f.Head)) {
		return nil, ErrBeyond
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, off); err != nil {
		return nil, err
	}
	return b, nil
}

// upTo returns as many as n bytes at off, fewer where no more can be seen.
func (f *File) upTo(off, n int64) []byte {
	if off < 0 || off >= f.Size {
		return nil
	}
	n = min(n, f.Size-off)
	if b, err := f.span(off, n); err == nil {
		return b
	}
	if off < int64(len(f.Head)) {
		return f.Head[off:]
	}
	return nil
}

// hasMagic says if the file has magic at off.
func (f *File) hasMagic(off int, magic string) bool {
	return len(f.Head) >= off+len(magic) && string(f.Head[off:off+len(magic)]) == magic
}

// unlessBeyond drops ErrBeyond: what lies in the midst of a large file is no
// fault of the file.
func unlessBeyond(err error) error {
	if errors.Is(err, ErrBeyond) {
		return nil
	}
	return err
}

// reading names what was read when err came, and says it plainly when a file
// ends too soon.
func reading(what string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read %s: the file is cut short", what)
	}
	return fmt.Errorf("read %s: %w", what, err)
}

// cleanText returns text as it can be shown: up to the first NUL, valid UTF-8,
// no longer than maxText, without blanks around it. Bytes that are not UTF-8
// are taken for Latin-1.
func cleanText(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	b = bytes.TrimSpace(b)
	if utf8.Valid(b) {
		return cutText(string(b))
	}
	var s strings.Builder
	for _, c := range b[:min(len(b), maxText)] {
		s.WriteRune(rune(c))
	}
	return cutText(s.String())
}

// cutText cuts s to maxText bytes between two characters.
func cutText(s string) string {
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}

// setText sets a key to text of a file unless there is none.
func (m *Meta) setText(key string, b []byte) { m.SetString(key, cleanText(b)) }
