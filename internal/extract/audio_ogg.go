package extract

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// maxOggPacket bounds a header packet of Ogg; comments may hold pictures.
const maxOggPacket = 256 << 10

// An oggPage is a page of an Ogg stream (RFC 3533, section 6).
type oggPage struct {
	granule  int64
	serial   uint32
	segments []byte // the lengths of the parts of packets
	body     []byte
	size     int64
}

// oggPageAt reads the page at off.
func oggPageAt(f *File, off int64) (oggPage, error) {
	head, err := f.span(off, 27)
	if err != nil {
		return oggPage{}, err
	}
	if string(head[:4]) != "OggS" {
		return oggPage{}, errors.New("a page is missing")
	}
	p := oggPage{granule: int64(binary.LittleEndian.Uint64(head[6:])), serial: binary.LittleEndian.Uint32(head[14:])}
	if p.segments, err = f.span(off+27, int64(head[26])); err != nil {
		return oggPage{}, err
	}
	var n int64
	for _, c := range p.segments {
		n += int64(c)
	}
	p.size = 27 + int64(len(p.segments)) + n
	p.body, err = f.span(off+p.size-n, n)
	return p, err
}

// oggPackets returns the first two packets of the first stream: what it is,
// and its comments.
func oggPackets(f *File) (packets [2][]byte, serial uint32, err error) {
	i, off := 0, int64(0)
	for n := 0; n < maxChunks; n++ {
		p, err := oggPageAt(f, off)
		if err != nil {
			return packets, serial, err
		}
		off += p.size
		if n == 0 {
			serial = p.serial
		} else if p.serial != serial {
			continue
		}
		for _, c := range p.segments {
			if len(packets[i]) < maxOggPacket {
				packets[i] = append(packets[i], p.body[:c]...)
			}
			p.body = p.body[c:]
			if c == 255 {
				continue // the packet goes on
			}
			if i++; i == len(packets) {
				return packets, serial, nil
			}
		}
	}
	return packets, serial, errors.New("no comments are found")
}

// ogg describes Vorbis, Opus, FLAC or Speex in Ogg.
func ogg(f *File, m *Meta) error {
	packets, serial, err := oggPackets(f)
	id, comments := packets[0], packets[1]
	var rate, skip int64
	switch {
	case bytes.HasPrefix(id, []byte("\x01vorbis")) && len(id) >= 16:
		rate = int64(binary.LittleEndian.Uint32(id[12:]))
		m.Set("codec", "vorbis")
		setPositive(m, "sample_rate", rate)
		setPositive(m, "channels", int(id[11]))
		comments = bytes.TrimPrefix(comments, []byte("\x03vorbis"))
	case bytes.HasPrefix(id, []byte("OpusHead")) && len(id) >= 12:
		rate, skip = 48000, int64(binary.LittleEndian.Uint16(id[10:])) // RFC 7845: whatever it was before
		m.Set("codec", "opus")
		m.Set("sample_rate", rate)
		setPositive(m, "channels", int(id[9]))
		comments = bytes.TrimPrefix(comments, []byte("OpusTags"))
	case bytes.HasPrefix(id, []byte("\x7fFLAC")) && len(id) >= 17+18:
		flacInfo(id[17:], m)
		comments = comments[min(4, len(comments)):]
	case bytes.HasPrefix(id, []byte("Speex   ")) && len(id) >= 52:
		rate = int64(binary.LittleEndian.Uint32(id[36:]))
		m.Set("codec", "speex")
		setPositive(m, "sample_rate", rate)
		setPositive(m, "channels", int(min(binary.LittleEndian.Uint32(id[48:]), 255)))
	case bytes.HasPrefix(id, []byte("\x80theora")):
		m.Set("codec", "theora")
		m.SetMediaType("video/ogg")
		return nil
	case err == nil:
		return errors.New("its codec is not known")
	}
	if last := lastGranule(f, serial); rate > 0 && last > skip {
		m.Set("duration", float64(last-skip)/float64(rate))
	}
	vorbisComment(comments, m)
	return err
}

// lastGranule returns the position of the last page of a stream, which is its
// length in samples; 0 where it is not found.
func lastGranule(f *File, serial uint32) int64 {
	const most = 128 << 10 // a page has at most 65,307 bytes
	start := max(0, f.Size-most)
	b, err := f.span(start, f.Size-start)
	if err != nil {
		return 0
	}
	for {
		i := bytes.LastIndex(b, []byte("OggS"))
		if i < 0 {
			return 0
		}
		if p, err := oggPageAt(f, start+int64(i)); (err == nil || errors.Is(err, io.ErrUnexpectedEOF)) && p.serial == serial && p.granule > 0 {
			return p.granule
		}
		b = b[:i]
	}
}
