package extract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

const (
	tarBlock = 512
	maxPax   = 64 << 10 // of an extended header, in bytes
)

// isTar says if b begins with the header of a tar archive.
func isTar(b []byte) bool {
	if len(b) < tarBlock || b[0] == 0 {
		return false
	}
	return (string(b[257:262]) == "ustar" || b[156] == 0 || b[156] >= '0' && b[156] <= '7') && tarChecksum(b[:tarBlock])
}

// tarChecksum says if the checksum of a header is right.
func tarChecksum(b []byte) bool {
	want, err := tarNumber(b[148:156])
	if err != nil {
		return false
	}
	var plain, signed int64
	for i, c := range b {
		if i >= 148 && i < 156 {
			c = ' '
		}
		plain += int64(c)
		signed += int64(int8(c))
	}
	return want == plain || want == signed
}

// tarNumber reads a number in octal, or in base 256 as GNU tar has it.
func tarNumber(b []byte) (int64, error) {
	if b[0]&0x80 != 0 {
		n := uint64(b[0] & 0x7f)
		for _, c := range b[1:] {
			if n >= 1<<54 {
				return 0, errors.New("an absurd number")
			}
			n = n<<8 | uint64(c)
		}
		return int64(n), nil
	}
	b = bytes.Trim(b, " \x00")
	if len(b) == 0 {
		return 0, nil
	}
	n, err := strconv.ParseUint(string(b), 8, 62)
	return int64(n), err
}

// A tarCounter counts the members of a tar archive (POSIX pax, with the
// extensions of GNU) that is written to it.
type tarCounter struct {
	members, bytes int64

	header  [tarBlock]byte
	filled  int
	skip    int64  // bytes of content and padding to come
	pax     []byte // an extended header, as it comes
	paxSize int64  // bytes of it to come, padding not included
	sparse  bool   // more of a map of holes follows the header, and then after bytes
	after   int64
	size    int64 // of the next member as an extended header has it, or -1
	real    int64 // the same with its holes
	ended   bool
	err     error
}

func newTarCounter() *tarCounter { return &tarCounter{size: -1, real: -1} }

// Write takes all bytes; Finish says if they made no sense.
func (t *tarCounter) Write(p []byte) (int, error) {
	t.feed(p)
	return len(p), nil
}

// feed takes bytes and says if more are wanted.
func (t *tarCounter) feed(p []byte) bool {
	for len(p) > 0 && t.err == nil && !t.ended {
		if t.skip > 0 {
			c := min(t.skip, int64(len(p)))
			if t.paxSize > 0 {
				text := min(c, t.paxSize)
				t.pax = append(t.pax, p[:text]...)
				if t.paxSize -= text; t.paxSize == 0 {
					t.readPax()
				}
			}
			t.skip, p = t.skip-c, p[c:]
			continue
		}
		c := copy(t.header[t.filled:], p)
		t.filled, p = t.filled+c, p[c:]
		if t.filled == tarBlock {
			t.filled = 0
			t.err = t.block()
		}
	}
	return t.err == nil && !t.ended
}

// block takes a header that is complete.
func (t *tarCounter) block() error {
	h := t.header[:]
	if t.sparse {
		if t.sparse = h[504] != 0; !t.sparse {
			t.skip = t.after
		}
		return nil
	}
	if h[0] == 0 && bytes.Count(h, []byte{0}) == tarBlock {
		t.ended = true
		return nil
	}
	if !tarChecksum(h) {
		return fmt.Errorf("the header of member %d is damaged", t.members+1)
	}
	size, err := tarNumber(h[124:136])
	if err != nil {
		return fmt.Errorf("the size of member %d: %w", t.members+1, err)
	}
	kind := h[156]
	switch kind {
	case 'x':
		if size <= maxPax {
			t.pax, t.paxSize = t.pax[:0], size
		}
	case 'g', 'L', 'K', 'V', 'M':
	default:
		size = t.member(kind, size)
	}
	t.skip = (size + tarBlock - 1) / tarBlock * tarBlock
	if t.sparse {
		t.skip, t.after = 0, t.skip
	}
	return nil
}

// member counts a member and returns how many bytes of content it has.
func (t *tarCounter) member(kind byte, size int64) int64 {
	t.members++
	if t.size >= 0 {
		size = t.size
	}
	whole := size
	if t.real >= 0 {
		whole = t.real
	}
	t.size, t.real = -1, -1
	switch kind {
	case '1', '2', '3', '4', '5', '6': // links, devices, folders and pipes have none
		return 0
	case 'D': // a folder, with a list of what was in it
		whole = 0
	case 'S':
		if n, err := tarNumber(t.header[483:495]); err == nil {
			whole = n
		}
		t.sparse = t.header[482] != 0
	}
	t.bytes += min(whole, math.MaxInt64-t.bytes)
	return size
}

// readPax takes the sizes of an extended header.
func (t *tarCounter) readPax() {
	for b := t.pax; len(b) > 0; {
		space := bytes.IndexByte(b, ' ')
		if space < 0 {
			return
		}
		n, err := strconv.Atoi(string(b[:space]))
		if err != nil || n <= space+1 || n > len(b) {
			return
		}
		key, value, _ := bytes.Cut(bytes.TrimSuffix(b[space+1:n], []byte("\n")), []byte("="))
		if v, err := strconv.ParseUint(string(value), 10, 62); err == nil {
			switch string(key) {
			case "size":
				t.size = int64(v)
			case "GNU.sparse.size", "GNU.sparse.realsize":
				t.real = int64(v)
			}
		}
		b = b[n:]
	}
}

// Finish sets what was counted.
func (t *tarCounter) Finish(m *Meta) error {
	m.Set("members", t.members)
	m.Set("bytes", t.bytes)
	if t.err == nil && !t.ended && (t.skip > 0 || t.filled > 0 || t.sparse) {
		return io.ErrUnexpectedEOF
	}
	return t.err
}
