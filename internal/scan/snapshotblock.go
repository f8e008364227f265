package scan

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
)

// A snapshot is a file of blocks behind a magic number, with its version, and
// a random ID. A block is
//
//	type     1 byte
//	length   4 bytes, little-endian: of the payload
//	sum      16 bytes: of the sha256 of ID, place, type, length and payload
//	payload
//
// Because ID and place are part of the sum, a block is valid only where it
// was written: what is left of other files or was moved about is not. Blocks
// can be decoded each on its own. They are, in this order:
//
//   - once, the header: key and options, each with its length before it;
//   - records: the ordinal of the pack they may be part of, then the entries;
//   - behind the records of a pack, the pack;
//   - in complete snapshots, the end: the places of the packs. The last 8
//     bytes of the file are the place of the end.
//
// Integers are of variable length unless said otherwise.
const (
	snapshotMagic = "cdb snapshot 1\n\x00"
	idSize        = 16
	firstBlock    = int64(len(snapshotMagic) + idSize)
	sumSize       = 16
	blockHead     = 1 + 4 + sumSize
	blockSize     = 64 << 10 // from when on a block of records is complete
	maxBlock      = 1 << 30
	tailSize      = 8
)

const (
	headerBlock  = 'h'
	recordsBlock = 'r'
	packBlock    = 'p'
	endBlock     = 'e'
)

// errDamaged says that a block is not as it was written. (What is cut off is
// damaged too.)
var errDamaged = errors.New("snapshot is damaged")

// A summer makes the sums of one file's blocks.
type summer struct {
	id  [idSize]byte
	h   hash.Hash
	buf []byte
}

// sum returns the sum of a block, given all of it but for the sum itself.
func (s *summer) sum(at int64, block []byte) []byte {
	if s.h == nil {
		s.h = sha256.New()
	}
	s.h.Reset()
	s.buf = append(s.buf[:0], s.id[:]...)
	s.buf = binary.LittleEndian.AppendUint64(s.buf, uint64(at))
	s.buf = append(s.buf, block[:blockHead-sumSize]...)
	s.h.Write(s.buf)
	s.h.Write(block[blockHead:])
	s.buf = s.h.Sum(s.buf[:0])
	return s.buf[:sumSize]
}

// newBlock returns buf, emptied, with room for the head of a block.
func newBlock(buf []byte) []byte {
	return append(buf[:0], make([]byte, blockHead)...)
}

// seal completes the head of a block that will lie at a place.
func (s *summer) seal(at int64, typ byte, block []byte) error {
	n := len(block) - blockHead
	if n > maxBlock {
		return fmt.Errorf("block of %d bytes is larger than %d", n, maxBlock)
	}
	block[0] = typ
	binary.LittleEndian.PutUint32(block[1:], uint32(n))
	copy(block[blockHead-sumSize:], s.sum(at, block))
	return nil
}

// A blockReader reads the blocks of one file. Each user has one of its own.
type blockReader struct {
	summer
	r    io.ReaderAt
	size int64 // of the file, in bytes
	buf  []byte
}

// read returns a block and the place of the next. The payload is overwritten
// by the next call. Whatever goes wrong is errDamaged: there is no use in
// telling a bad disk from a bad block.
func (b *blockReader) read(at int64) (typ byte, payload []byte, next int64, err error) {
	var head [blockHead]byte
	if at < firstBlock || at > b.size-blockHead {
		return 0, nil, 0, errDamaged
	}
	if _, err := b.r.ReadAt(head[:], at); err != nil {
		return 0, nil, 0, fmt.Errorf("%w: %w", errDamaged, err)
	}
	n := int64(binary.LittleEndian.Uint32(head[1:]))
	if n > maxBlock || n > b.size-at-blockHead {
		return 0, nil, 0, errDamaged
	}
	if int64(cap(b.buf)) < blockHead+n {
		b.buf = make([]byte, max(blockHead+n, blockSize*5/4))
	}
	block := b.buf[:blockHead+n]
	copy(block, head[:])
	if _, err := b.r.ReadAt(block[blockHead:], at+blockHead); err != nil && n > 0 {
		return 0, nil, 0, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if string(b.sum(at, block)) != string(head[blockHead-sumSize:]) {
		return 0, nil, 0, errDamaged
	}
	return head[0], block[blockHead:], at + blockHead + n, nil
}

// A decoder takes values off a payload. After the first that is not there,
// bad is true and all others are zero.
type decoder struct {
	data []byte
	bad  bool
}

func (d *decoder) fail() {
	d.data, d.bad = nil, true
}

func (d *decoder) uvarint() uint64 {
	if len(d.data) > 0 && d.data[0] < 0x80 {
		v := d.data[0]
		d.data = d.data[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(d.data)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.data = d.data[n:]
	return v
}

func (d *decoder) varint() int64 {
	v := d.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// take returns the next n bytes, which are part of the payload.
func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.data)) {
		d.fail()
		return nil
	}
	b := d.data[:n]
	d.data = d.data[n:]
	return b
}

func (d *decoder) string() string { return string(d.take(d.uvarint())) }

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// A packEntry is the payload of a pack's block.
type packEntry struct {
	PackRun
	ordinal             int
	firstIsDir, lastDir bool
	from                int64 // where the blocks with its records begin
}

func (p *packEntry) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(p.ordinal))
	b = binary.AppendUvarint(b, uint64(p.from))
	b = binary.AppendUvarint(b, uint64(p.Records))
	b = appendBool(appendString(b, p.First), p.firstIsDir)
	b = appendBool(appendString(b, p.Last), p.lastDir)
	b = appendString(b, p.Digest)
	b = appendString(b, p.DiffID)
	b = appendString(b, p.MediaType)
	b = binary.AppendVarint(b, p.Size)
	b = binary.AppendVarint(b, p.TarSize)
	b = binary.AppendVarint(b, p.FrameSize)
	b = binary.AppendUvarint(b, uint64(len(p.Frames)))
	return append(b, p.Frames...)
}

func parsePack(payload []byte) (*packEntry, error) {
	d := decoder{data: payload}
	p := &packEntry{}
	p.ordinal = int(d.uvarint())
	p.from = int64(d.uvarint())
	p.Records = int64(d.uvarint())
	p.First, p.firstIsDir = d.string(), d.uvarint() == 1
	p.Last, p.lastDir = d.string(), d.uvarint() == 1
	p.Digest, p.DiffID, p.MediaType = d.string(), d.string(), d.string()
	p.Size, p.TarSize, p.FrameSize = d.varint(), d.varint(), d.varint()
	p.Frames = append([]byte(nil), d.take(d.uvarint())...)
	if d.bad || len(d.data) > 0 || p.ordinal < 1 || p.Records < 0 || p.from < firstBlock {
		return nil, errDamaged
	}
	return p, nil
}
