package scan

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/data-containers/cdb/internal/tree"
)

// The flags of a record in a block: a variable-length integer, whose two
// lowest bits are the type. With those that most files have it is one byte.
const (
	recSettled  = 1 << (iota + 2)
	recPacked   // Pack is that of the block; otherwise 0
	recSum      // SHA256 is not zero
	recNext     // Offset is where it is to be expected
	recOneTime  // the time of change is that of modification
	recExact    // Entry.ModTime is that of Stat; otherwise it is without nanoseconds
	recOffset   // Offset is there; without this and recNext it is 0
	recLink     // Link is not empty
	recXattrs   // Xattrs is not empty
	recOwner    // the owner is not that of the record before
	recDev      // nor is the device
	recMode     // the mode is not that of the last record of this type
	recNlink    // nor is the number of links
	recOwnTime  // Entry.ModTime is there
	recFarTimes // times are there in full, not relative to the record before
	recMeta     // Meta is not empty
)

// maxExtras is up to which size a record keeps its link, attributes and
// metadata, in bytes.
const maxExtras = 16 << 20

// A recordState is what the next record in a block is relative to. It begins
// as zero in each block.
type recordState struct {
	mtime, ctime stamp
	dev, ino     uint64
	uid, gid     int
	mode         [4]uint32 // by type
	nlink        [4]uint64
	offset       int64 // to be expected
}

// moved takes over what r says.
func (s *recordState) moved(typ byte, r *Record, mtime, ctime stamp) {
	s.mtime, s.ctime = mtime, ctime
	s.dev, s.ino = r.Stat.Dev, r.Stat.Ino
	s.uid, s.gid = r.UID, r.GID
	s.mode[typ], s.nlink[typ] = r.Mode, r.Stat.Nlink
	if r.Offset != 0 {
		s.offset = nextOffset(r)
	}
}

// nextOffset returns where the content of the file behind r begins in a tar
// without further headers.
func nextOffset(r *Record) int64 {
	const sector = 512
	return r.Offset + int64((uint64(r.Size)+sector-1)/sector*sector) + sector
}

func stampOf(t time.Time) stamp { return stamp{t.Unix(), int64(t.Nanosecond())} }

// near tells whether the nanoseconds between two times fit in an int64.
func (s stamp) near(o stamp) bool {
	const farAway, mostApart = 1 << 40, 9_000_000_000
	for _, v := range [2]int64{s.sec, o.sec} {
		if v < -farAway || v > farAway {
			return false
		}
	}
	return s.sec-o.sec <= mostApart && o.sec-s.sec <= mostApart
}

func (s stamp) since(o stamp) int64 { return (s.sec-o.sec)*1e9 + s.nsec - o.nsec }

func (s stamp) add(ns int64) stamp {
	s.sec += ns / 1e9
	s.nsec += ns % 1e9
	switch {
	case s.nsec < 0:
		s.sec, s.nsec = s.sec-1, s.nsec+1e9
	case s.nsec >= 1e9:
		s.sec, s.nsec = s.sec+1, s.nsec-1e9
	}
	return s
}

// flags returns the flags of r behind s.
func (s *recordState) flags(typ byte, r *Record, mtime, ctime, own stamp) uint64 {
	f := uint64(typ)
	set := func(flag uint64, on bool) {
		if on {
			f |= flag
		}
	}
	set(recSettled, r.Settled)
	set(recPacked, r.Pack != 0)
	set(recSum, r.SHA256 != [32]byte{})
	next := r.Offset != 0 && r.Offset == s.offset
	set(recNext, next)
	set(recOffset, r.Offset != 0 && !next)
	set(recOneTime, mtime == ctime)
	set(recExact, own == mtime)
	set(recOwnTime, own != mtime && own != stamp{sec: mtime.sec})
	set(recLink, r.Link != "")
	set(recXattrs, len(r.Xattrs) > 0)
	set(recOwner, r.UID != s.uid || r.GID != s.gid)
	set(recDev, r.Stat.Dev != s.dev)
	set(recMode, r.Mode != s.mode[typ])
	set(recNlink, r.Stat.Nlink != s.nlink[typ])
	set(recMeta, r.Meta != "")
	set(recFarTimes, !mtime.near(s.mtime) || !ctime.near(s.ctime))
	return f
}

// appendTo appends r, whose path shares some bytes with the one before.
func (s *recordState) appendTo(b []byte, r *Record, shared int) []byte {
	typ := typeBits(r.Type)
	mtime, ctime, own := stampOf(r.Stat.ModTime), stampOf(r.Stat.ChangeTime), stampOf(r.ModTime)
	f := s.flags(typ, r, mtime, ctime, own)
	b = binary.AppendUvarint(b, f)
	b = binary.AppendUvarint(b, uint64(shared))
	b = appendString(b, r.Path[shared:])
	b = binary.AppendUvarint(b, uint64(r.Size))
	b = s.appendTimes(b, f, mtime, ctime, own)
	b = binary.AppendVarint(b, int64(r.Stat.Ino-s.ino))
	if f&recSum != 0 {
		b = append(b, r.SHA256[:]...)
	}
	if f&recOffset != 0 {
		b = binary.AppendVarint(b, r.Offset-s.offset)
	}
	b = appendRare(b, f, r)
	s.moved(typ, r, mtime, ctime)
	return b
}

func appendStamp(b []byte, t stamp) []byte {
	return binary.AppendUvarint(binary.AppendVarint(b, t.sec), uint64(t.nsec))
}

func (s *recordState) appendTimes(b []byte, f uint64, mtime, ctime, own stamp) []byte {
	if f&recFarTimes != 0 {
		b = appendStamp(b, mtime)
		if f&recOneTime == 0 {
			b = appendStamp(b, ctime)
		}
	} else {
		b = binary.AppendVarint(b, mtime.since(s.mtime))
		if f&recOneTime == 0 {
			b = binary.AppendVarint(b, ctime.since(s.ctime))
		}
	}
	if f&recOwnTime != 0 {
		b = appendStamp(b, own)
	}
	return b
}

// appendRare appends what few records have.
func appendRare(b []byte, f uint64, r *Record) []byte {
	if f&recOwner != 0 {
		b = binary.AppendVarint(b, int64(r.UID))
		b = binary.AppendVarint(b, int64(r.GID))
	}
	if f&recDev != 0 {
		b = binary.AppendUvarint(b, r.Stat.Dev)
	}
	if f&recMode != 0 {
		b = binary.AppendUvarint(b, uint64(r.Mode))
	}
	if f&recNlink != 0 {
		b = binary.AppendUvarint(b, r.Stat.Nlink)
	}
	if f&recLink != 0 {
		b = appendString(b, r.Link)
	}
	if f&recXattrs != 0 {
		b = binary.AppendUvarint(b, uint64(len(r.Xattrs)))
		for _, k := range slices.Sorted(maps.Keys(r.Xattrs)) {
			b = appendString(b, k)
			b = appendString(b, r.Xattrs[k])
		}
	}
	if f&recMeta != 0 {
		b = appendString(b, r.Meta)
	}
	return b
}

// lean returns r, or if it is too large for a block, what is left of it when
// these are dropped. That is not trusted and equals no
// entry of a scan.
func lean(r *Record) *Record {
	n := len(r.Link) + len(r.Meta)
	for k, v := range r.Xattrs {
		n += len(k) + len(v)
	}
	if n <= maxExtras {
		return r
	}
	l := *r
	l.Link, l.Xattrs, l.Meta, l.Settled = "", nil, "", false
	return &l
}

// A recordReader decodes the records of one block.
type recordReader struct {
	d     decoder
	state recordState
	pack  int // of the block
	path  []byte
}

// reset begins a block.
func (rr *recordReader) reset(payload []byte) error {
	rr.d = decoder{data: payload}
	rr.state = recordState{}
	rr.path = rr.path[:0]
	rr.pack = int(rr.d.uvarint())
	if rr.d.bad || rr.pack < 1 {
		return errDamaged
	}
	return nil
}

// next decodes a record into r, except for its path, which is in rr.path.
// The payload must not be at its end.
func (rr *recordReader) next(r *Record) error {
	d, s := &rr.d, &rr.state
	f := d.uvarint()
	typ := byte(f & 3)
	if d.bad || int(typ) >= len(spoolTypes) {
		return errDamaged
	}
	*r = Record{Settled: f&recSettled != 0}
	r.Type = tree.Type(spoolTypes[typ])
	rr.nextPath()
	r.Size = int64(d.uvarint())
	mtime, ctime := rr.times(f, r)
	r.Stat.Ino = s.ino + uint64(d.varint())
	if f&recSum != 0 {
		copy(r.SHA256[:], d.take(uint64(len(r.SHA256))))
	}
	if f&recNext != 0 {
		r.Offset = s.offset
	}
	if f&recOffset != 0 {
		r.Offset = s.offset + d.varint()
	}
	if f&recPacked != 0 {
		r.Pack = rr.pack
	}
	rr.rare(f, typ, r)
	if d.bad || r.Size < 0 || r.Offset < 0 {
		return errDamaged
	}
	s.moved(typ, r, mtime, ctime)
	return nil
}

func (rr *recordReader) nextPath() {
	shared := rr.d.uvarint()
	if shared > uint64(len(rr.path)) {
		rr.d.fail()
		return
	}
	rr.path = append(rr.path[:shared], rr.d.take(rr.d.uvarint())...)
}

func (d *decoder) stamp() stamp {
	t := stamp{d.varint(), int64(d.uvarint())}
	if t.nsec < 0 || t.nsec >= 1e9 {
		d.fail()
	}
	return t
}

func (rr *recordReader) times(f uint64, r *Record) (mtime, ctime stamp) {
	d, s := &rr.d, &rr.state
	if f&recFarTimes != 0 {
		mtime = d.stamp()
		if f&recOneTime == 0 {
			ctime = d.stamp()
		}
	} else {
		mtime = s.mtime.add(d.varint())
		if f&recOneTime == 0 {
			ctime = s.ctime.add(d.varint())
		}
	}
	if f&recOneTime != 0 {
		ctime = mtime
	}
	own := stamp{sec: mtime.sec}
	switch {
	case f&recExact != 0:
		own = mtime
	case f&recOwnTime != 0:
		own = d.stamp()
	}
	r.Stat.ModTime, r.Stat.ChangeTime, r.ModTime = mtime.time(), ctime.time(), own.time()
	return mtime, ctime
}

// rare decodes what few records have.
func (rr *recordReader) rare(f uint64, typ byte, r *Record) {
	d, s := &rr.d, &rr.state
	r.UID, r.GID = s.uid, s.gid
	if f&recOwner != 0 {
		r.UID, r.GID = int(d.varint()), int(d.varint())
	}
	r.Stat.Dev = s.dev
	if f&recDev != 0 {
		r.Stat.Dev = d.uvarint()
	}
	r.Mode = s.mode[typ]
	if f&recMode != 0 {
		r.Mode = uint32(d.uvarint())
	}
	r.Stat.Nlink = s.nlink[typ]
	if f&recNlink != 0 {
		r.Stat.Nlink = d.uvarint()
	}
	if f&recLink != 0 {
		r.Link = d.string()
	}
	if f&recXattrs != 0 {
		r.Xattrs = map[string]string{}
		for n := d.uvarint(); n > 0 && !d.bad; n-- {
			k := d.string()
			r.Xattrs[k] = d.string()
		}
		if len(r.Xattrs) == 0 {
			d.fail()
		}
	}
	if f&recMeta != 0 {
		r.Meta = d.string()
	}
}
