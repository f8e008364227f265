package extract

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Bounds of ISO media files: boxes that are looked at on one level, and bytes
// of the box that describes the film.
const (
	maxBoxes = 1 << 14
	maxMoov  = HeadSize
)

// A box is a part of an ISO base media file (ISO/IEC 14496-12).
type box struct {
	kind string
	body []byte // as much of it as there is
}

// boxes yields the boxes of b.
func boxes(b []byte) iter.Seq[box] {
	return func(yield func(box) bool) {
		for range maxBoxes {
			if len(b) < 8 {
				return
			}
			n, head := uint64(binary.BigEndian.Uint32(b)), uint64(8)
			if n == 1 && len(b) >= 16 {
				n, head = binary.BigEndian.Uint64(b[8:]), 16
			}
			if n == 0 || n > uint64(len(b)) {
				n = uint64(len(b))
			}
			if n < head || !yield(box{string(b[4:8]), b[head:n]}) {
				return
			}
			b = b[n:]
		}
	}
}

// inBox returns the first box of a path of kinds within b, nil for none.
func inBox(b []byte, path ...string) []byte {
	for _, kind := range path {
		var found []byte
		for x := range boxes(b) {
			if x.kind == kind {
				found = x.body
				break
			}
		}
		if b = found; b == nil {
			return nil
		}
	}
	return b
}

// movie returns the box "moov" of a file. It is before the media or after it.
func movie(f *File) ([]byte, error) {
	off := int64(0)
	for range maxBoxes {
		b, err := f.span(off, 8)
		if err != nil {
			if off >= f.Size {
				return nil, errors.New("there is no description of the film")
			}
			return nil, err
		}
		n, head, kind := int64(binary.BigEndian.Uint32(b)), int64(8), string(b[4:])
		switch n {
		case 0:
			n = f.Size - off
		case 1:
			if b, err = f.span(off+8, 8); err != nil {
				return nil, err
			}
			n, head = int64(binary.BigEndian.Uint64(b)), 16
		}
		if n < head || n > f.Size {
			return nil, io.ErrUnexpectedEOF
		}
		if kind == "moov" {
			if n > maxMoov { // its tables of samples come after what is wanted
				return f.upTo(off+head, maxMoov), nil
			}
			return f.span(off+head, n-head)
		}
		off += n
	}
	return nil, fmt.Errorf("more than %d boxes", maxBoxes)
}

// A track is what a film says of its pictures or sound.
type track struct {
	handler       string // "vide" or "soun"
	codec         string
	width, height int64
	channels      int
	bits          int
	rate          int64
}

// boxTime reads the time scale and the duration of "mvhd" or "mdhd"; zero
// for none.
func boxTime(b []byte) (seconds float64) {
	if len(b) < 20 {
		return 0
	}
	var scale, duration uint64
	if b[0] == 1 {
		if len(b) < 32 {
			return 0
		}
		scale, duration = uint64(binary.BigEndian.Uint32(b[20:])), binary.BigEndian.Uint64(b[24:])
	} else {
		scale, duration = uint64(binary.BigEndian.Uint32(b[12:])), uint64(binary.BigEndian.Uint32(b[16:]))
		if duration == 1<<32-1 {
			return 0
		}
	}
	if scale == 0 || duration == 1<<64-1 {
		return 0
	}
	return float64(duration) / float64(scale)
}

// readTrack reads a "trak".
func readTrack(b []byte) track {
	t := track{}
	if h := inBox(b, "mdia", "hdlr"); len(h) >= 12 {
		t.handler = string(h[8:12])
	}
	entry := inBox(b, "mdia", "minf", "stbl", "stsd")
	if len(entry) < 16 {
		return t
	}
	entry = entry[8:]
	t.codec = cleanText(entry[4:8])
	switch body := entry[8:]; {
	case t.handler == "vide" && len(body) >= 28:
		t.width, t.height = int64(binary.BigEndian.Uint16(body[24:])), int64(binary.BigEndian.Uint16(body[26:]))
	case t.handler == "soun" && len(body) >= 28:
		t.channels, t.bits = int(binary.BigEndian.Uint16(body[16:])), int(binary.BigEndian.Uint16(body[18:]))
		t.rate = int64(binary.BigEndian.Uint16(body[24:]))
		if n := aacChannels(inBox(body[28:], "esds")); n > 0 {
			t.channels = n // else many writers say 2 whatever there are
		}
	}
	return t
}

// aacChannels returns the channels of an AAC stream by its decoder
// configuration, 0 where it does not tell (ISO/IEC 14496-1, section 7.2.6, and
// 14496-3, section 1.6).
func aacChannels(b []byte) int {
	if len(b) < 4 {
		return 0
	}
	b = b[4:]
	skip := map[byte]int{3: 3, 4: 13, 5: 0} // what is before the descriptors within
	for range 4 {
		if len(b) < 2 {
			return 0
		}
		tag, n := b[0], 1
		for n < len(b) && n < 4 && b[n]&0x80 != 0 { // the length
			n++
		}
		before, ok := skip[tag]
		if !ok || n+1+before > len(b) {
			return 0
		}
		b = b[n+1+before:]
		if tag == 5 {
			break
		}
	}
	if len(b) < 2 || b[0]>>3 != 2 || (b[0]&7<<1|b[1]>>7) == 15 { // not AAC-LC, an odd rate
		return 0
	}
	return [16]int{1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8}[b[1]>>3&15]
}

// isoTag returns a text of the tags that iTunes or QuickTime writes, such as
// "\xa9nam".
func isoTag(moov []byte, kind string) string {
	if b := inBox(moov, "udta", kind); len(b) > 4 { // its length and language, then text
		return cleanText(b[4:])
	}
	meta := inBox(moov, "udta", "meta")
	if len(meta) < 4 {
		return ""
	}
	data := inBox(meta[4:], "ilst", kind, "data")
	if len(data) < 8 {
		return ""
	}
	return cleanText(data[8:])
}

// isISO says if f is an ISO media file or an old QuickTime file.
func isISO(f *File) bool {
	return f.hasMagic(4, "ftyp") || f.hasMagic(4, "moov") || f.hasMagic(4, "mdat") && f.HasSuffix(".mov", ".mp4", ".qt") ||
		f.hasMagic(4, "wide") && f.HasSuffix(".mov", ".qt")
}

// isISOAudio says if an ISO media file is sound alone by its brand or name.
func isISOAudio(f *File) bool {
	return f.hasMagic(4, "ftypM4A ") || f.hasMagic(4, "ftypM4B ") || f.hasMagic(4, "ftyp") && f.HasSuffix(".m4a", ".m4b")
}
