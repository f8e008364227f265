package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// RecordSize is the length in bytes of a frame's record in a table: its
// compressed length (32 bits, little-endian) and the sha256 of its compressed
// bytes.
const RecordSize = 4 + sha256.Size

// A Table describes the frames of one pack. Packs compressed with gzip or
// zstd end in their table, hidden from decompressors, so that each can be
// read at any place without further knowledge.
type Table struct {
	FrameSize int64  // bytes of tar stream in each frame but the last
	TarSize   int64  // bytes of tar stream in all
	Records   []byte // RecordSize bytes per frame

	raw []byte // as it was read, if it was
}

// A Location says where the table of a blob lies, and what it must be.
type Location struct {
	Offset int64 // in the blob
	Size   int64 // in bytes, as it lies in the blob
	SHA256 [sha256.Size]byte
}

const (
	tableMagic  = "cdbtable"
	footerMagic = "cdbfoot\x01"
	tableHead   = 8 + 4 + 4 + 8                   // magic, frame size, frames, tar size
	footerData  = 8 + 8 + 8 + 32                  // magic, offset, size, sha256
	gzipFooter  = 10 + 2 + 4 + footerData + 2 + 8 // an empty member with one extra field
	zstdFooter  = 8 + footerData                  // a skippable frame
	maxExtra    = math.MaxUint16 - 4              // data bytes of one extra field
	maxFrames   = 1 << 26                         // 64 TiB of 1 MiB frames
)

// zstdMagic begins a skippable frame of zstd.
var zstdMagic = []byte{0x5e - 4, 0x2a, 0x4d, 0x18} // 0x184D2A5A

// ErrTable is wrapped by errors about frame tables that are missing or
// damaged.
var ErrTable = errors.New("no valid frame table")

// Frames returns the number of frames.
func (t *Table) Frames() int { return len(t.Records) / RecordSize }

// marshal returns the bytes of the table itself.
func (t *Table) marshal() []byte {
	b := make([]byte, 0, tableHead+len(t.Records))
	b = append(b, tableMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(t.FrameSize))
	b = binary.LittleEndian.AppendUint32(b, uint32(t.Frames()))
	b = binary.LittleEndian.AppendUint64(b, uint64(t.TarSize))
	return append(b, t.Records...)
}

// unmarshalTable is the inverse of marshal.
func unmarshalTable(b []byte) (*Table, error) {
	if len(b) < tableHead || string(b[:8]) != tableMagic {
		return nil, ErrTable
	}
	t := &Table{
		FrameSize: int64(binary.LittleEndian.Uint32(b[8:])),
		TarSize:   int64(binary.LittleEndian.Uint64(b[16:])),
		Records:   b[tableHead:],
	}
	frames := int64(binary.LittleEndian.Uint32(b[12:]))
	if err := t.check(); err != nil {
		return nil, err
	}
	if frames*RecordSize != int64(len(t.Records)) {
		return nil, fmt.Errorf("%w: %d frames in %d bytes", ErrTable, frames, len(t.Records))
	}
	return t, nil
}

// check says if the numbers of t fit together.
func (t *Table) check() error {
	switch n := int64(len(t.Records) / RecordSize); {
	case t.FrameSize <= 0 || t.FrameSize > maxFrameSize:
		return fmt.Errorf("%w: frame size %d", ErrTable, t.FrameSize)
	case t.TarSize < 0 || n > maxFrames || (t.TarSize+t.FrameSize-1)/t.FrameSize != n:
		return fmt.Errorf("%w: %d frames of %d bytes for %d bytes", ErrTable, n, t.FrameSize, t.TarSize)
	}
	return nil
}

// trailer returns what follows the last frame of a blob: the table and the
// footer that points to it. offset is where the trailer will lie.
func (t *Table) trailer(c Compression, offset int64) ([]byte, Location) {
	var b []byte
	data := t.marshal()
	if c == Zstd {
		b = appendSkippable(nil, data)
	} else {
		for len(data) > 0 {
			n := min(len(data), maxExtra)
			b = appendExtra(b, data[:n])
			data = data[n:]
		}
	}
	loc := Location{Offset: offset, Size: int64(len(b)), SHA256: sha256.Sum256(b)}
	foot := append(make([]byte, 0, footerData), footerMagic...)
	foot = binary.LittleEndian.AppendUint64(foot, uint64(loc.Offset))
	foot = binary.LittleEndian.AppendUint64(foot, uint64(loc.Size))
	foot = append(foot, loc.SHA256[:]...)
	if c == Zstd {
		return appendSkippable(b, foot), loc
	}
	return appendExtra(b, foot), loc
}

// appendSkippable appends a skippable frame (RFC 8878, section 3.1.2).
func appendSkippable(b, data []byte) []byte {
	b = append(b, zstdMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

// appendExtra appends an empty gzip member with data in an extra field
// (RFC 1952, section 2.3.1.1) with the ID "CD".
func appendExtra(b, data []byte) []byte {
	b = append(b, 0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(data)+4))
	b = append(b, 'C', 'D')
	b = binary.LittleEndian.AppendUint16(b, uint16(len(data)))
	b = append(b, data...)
	return append(b, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0) // no bytes, their checksum and length
}

// cutSkippable returns the data of the skippable frame that b begins with,
// and what follows it.
func cutSkippable(b []byte) (data, rest []byte, ok bool) {
	if len(b) < 8 || !bytes.Equal(b[:4], zstdMagic) {
		return nil, nil, false
	}
	n := int64(binary.LittleEndian.Uint32(b[4:]))
	if n > int64(len(b)-8) {
		return nil, nil, false
	}
	return b[8 : 8+n], b[8+n:], true
}

// cutExtra does the same for a member made by appendExtra.
func cutExtra(b []byte) (data, rest []byte, ok bool) {
	if len(b) < 16 || !bytes.Equal(b[:4], []byte{0x1f, 0x8b, 8, 4}) || string(b[12:14]) != "CD" {
		return nil, nil, false
	}
	n := int(binary.LittleEndian.Uint16(b[14:]))
	if int(binary.LittleEndian.Uint16(b[10:])) != n+4 || len(b) < 16+n+10 {
		return nil, nil, false
	}
	return b[16 : 16+n], b[16+n+10:], true
}

// Locate reads the footer of a blob of size bytes.
func Locate(blob io.ReaderAt, size int64, c Compression) (Location, error) {
	n, cut := int64(gzipFooter), cutExtra
	if c == Zstd {
		n, cut = zstdFooter, cutSkippable
	}
	if c == None || size < n {
		return Location{}, ErrTable
	}
	b := make([]byte, n)
	if _, err := blob.ReadAt(b, size-n); err != nil && !errors.Is(err, io.EOF) {
		return Location{}, fmt.Errorf("read footer: %w", err)
	}
	data, rest, ok := cut(b)
	if !ok || len(rest) > 0 || len(data) != footerData || string(data[:8]) != footerMagic {
		return Location{}, ErrTable
	}
	loc := Location{
		Offset: int64(binary.LittleEndian.Uint64(data[8:])),
		Size:   int64(binary.LittleEndian.Uint64(data[16:])),
	}
	copy(loc.SHA256[:], data[24:])
	if loc.Offset < 0 || loc.Size < 0 || loc.Offset > size-n || loc.Size != size-n-loc.Offset {
		return Location{}, fmt.Errorf("%w: footer points outside the blob", ErrTable)
	}
	return loc, nil
}

// ReadTable reads and checks the table at loc.
func ReadTable(blob io.ReaderAt, loc Location, c Compression) (*Table, error) {
	if loc.Offset < 0 || loc.Size < 0 || loc.Size > maxFrames*RecordSize {
		return nil, fmt.Errorf("%w: %d bytes long", ErrTable, loc.Size)
	}
	b, err := readAll(blob, loc.Offset, loc.Size)
	if err != nil {
		return nil, fmt.Errorf("read frame table: %w", err)
	}
	if int64(len(b)) != loc.Size || sha256.Sum256(b) != loc.SHA256 {
		return nil, fmt.Errorf("%w: its digest does not match", ErrTable)
	}
	data, ok := tableData(b, c)
	if !ok {
		return nil, ErrTable
	}
	t, err := unmarshalTable(data)
	if err == nil {
		t.raw = b
	}
	return t, err
}

// readAll reads n bytes. The length may be a lie: memory is taken as bytes
// come, a short table in one go.
func readAll(r io.ReaderAt, off, n int64) ([]byte, error) {
	const atOnce = 1 << 20
	var b []byte
	for int64(len(b)) < n {
		piece := make([]byte, min(n-int64(len(b)), atOnce))
		k, err := r.ReadAt(piece, off+int64(len(b)))
		b = append(b, piece[:k]...)
		if k < len(piece) {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return b, err
		}
	}
	return b, nil
}

// readTable is ReadTable by way of what src keeps.
func readTable(src Source, loc Location) (*Table, error) {
	if src.Frames == nil {
		return ReadTable(src.Blob, loc, src.Compression)
	}
	b, ok := src.Frames.Get(loc.SHA256)
	if !ok || int64(len(b)) != loc.Size {
		t, err := ReadTable(src.Blob, loc, src.Compression)
		if err == nil {
			src.Frames.Put(loc.SHA256, t.raw)
		}
		return t, err
	}
	data, ok := tableData(b, src.Compression)
	if !ok {
		return nil, ErrTable
	}
	return unmarshalTable(data)
}

// tableData takes the table out of the members or the frame it hides in.
func tableData(b []byte, c Compression) ([]byte, bool) {
	if c == Zstd {
		data, rest, ok := cutSkippable(b)
		return data, ok && len(rest) == 0
	}
	var all []byte
	for len(b) > 0 {
		data, rest, ok := cutExtra(b)
		if !ok {
			return nil, false
		}
		all, b = append(all, data...), rest
	}
	return all, true
}

// Index returns a function that finds frames by their number, for NewReader.
// It checks that all frames lie in the blob's first limit bytes.
func (t *Table) Index(limit int64) (func(int) (Frame, error), error) {
	offsets := make([]int64, t.Frames()+1)
	for i := range t.Frames() {
		offsets[i+1] = offsets[i] + t.length(i)
	}
	if offsets[len(offsets)-1] > limit {
		return nil, fmt.Errorf("%w: frames end behind byte %d", ErrTable, limit)
	}
	return func(i int) (Frame, error) {
		if i < 0 || i >= t.Frames() {
			return Frame{}, fmt.Errorf("%w: no frame %d", ErrTable, i)
		}
		f := Frame{Offset: offsets[i], Size: offsets[i+1] - offsets[i]}
		copy(f.SHA256[:], t.Records[i*RecordSize+4:])
		return f, nil
	}, nil
}

// Frame returns the frame with this number, where the first frame of t lies at
// offset in the blob.
func (t *Table) Frame(i int, offset int64) (Frame, error) {
	if i < 0 || i >= t.Frames() {
		return Frame{}, fmt.Errorf("%w: no frame %d", ErrTable, i)
	}
	for j := range i {
		offset += t.length(j)
	}
	f := Frame{Offset: offset, Size: t.length(i)}
	copy(f.SHA256[:], t.Records[i*RecordSize+4:])
	return f, nil
}

// length returns the compressed length of a frame.
func (t *Table) length(i int) int64 {
	return int64(binary.LittleEndian.Uint32(t.Records[i*RecordSize:]))
}
