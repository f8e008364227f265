package extract

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// isMP3 says if f begins with ID3 tags or, by its name, with MPEG audio.
func isMP3(f *File) bool {
	if f.hasMagic(0, "ID3") && len(f.Head) >= 10 && f.Head[3] <= 4 && f.Head[6]|f.Head[7]|f.Head[8]|f.Head[9] < 0x80 {
		return !f.HasSuffix(".aac", ".tta", ".ape", ".aiff", ".aif")
	}
	if !f.HasSuffix(".mp3", ".mp2", ".mpga") {
		return false
	}
	_, ok := mp3Header(f.Head)
	return ok
}

// An mp3Frame is the header of a frame (ISO/IEC 11172-3, 13818-3).
type mp3Frame struct {
	bitRate, rate, samples, channels int
	side                             int // bytes of side information
}

// mp3Header reads the header of a frame.
func mp3Header(b []byte) (mp3Frame, bool) {
	if len(b) < 4 || b[0] != 0xff || b[1]&0xe0 != 0xe0 {
		return mp3Frame{}, false
	}
	version, layer := b[1]>>3&3, b[1]>>1&3 // version 3: MPEG 1, 2: 2, 0: 2.5; layer 3: I, 2: II, 1: III
	rate, bits := b[2]>>2&3, b[2]>>4
	if version == 1 || layer == 0 || rate == 3 || bits == 0 || bits == 15 {
		return mp3Frame{}, false
	}
	f := mp3Frame{rate: [...]int{44100, 48000, 32000}[rate], channels: 2, side: 32, samples: 1152}
	if b[3]>>6 == 3 {
		f.channels, f.side = 1, 17
	}
	table := [...]int{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320} // layer III of MPEG 1
	switch {
	case version == 3 && layer == 3:
		table = [...]int{0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448}
	case version == 3 && layer == 2:
		table = [...]int{0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384}
	case layer == 3:
		table = [...]int{0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256}
	case version != 3:
		table = [...]int{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}
	}
	f.bitRate = table[bits] * 1000
	if layer == 3 {
		f.samples = 384
	}
	if version != 3 {
		f.rate /= 2
		f.side = map[int]int{1: 9, 2: 17}[f.channels]
		if layer == 1 {
			f.samples = 576
		}
		if version == 0 {
			f.rate /= 2
		}
	}
	return f, true
}

// mp3 reads the tags and the first frame.
func mp3(f *File, m *Meta) error {
	start := int64(0)
	if f.hasMagic(0, "ID3") {
		n := syncsafe(f.Head[6:10])
		id3(f.Head[3], f.Head[5], f.upTo(10, n), m)
		start = 10 + n
	}
	end := f.Size
	if b, err := f.span(f.Size-128, 128); err == nil && string(b[:3]) == "TAG" {
		end -= 128
		id3v1(b, m)
	}
	b := f.upTo(start, 8<<10)
	if b == nil {
		if start >= f.Size {
			return io.ErrUnexpectedEOF
		}
		return ErrBeyond // behind a large picture
	}
	for i := range b { // some bytes may lie between
		frame, ok := mp3Header(b[i:])
		if !ok {
			continue
		}
		m.Set("sample_rate", frame.rate)
		m.Set("channels", frame.channels)
		if n := mp3Frames(b[i:], frame); n > 0 {
			m.Set("duration", float64(n)*float64(frame.samples)/float64(frame.rate))
		} else if size := end - start - int64(i); size > 0 {
			m.Set("duration", float64(size)*8/float64(frame.bitRate))
		}
		return nil
	}
	return errors.New("there is no frame")
}

// mp3Frames returns the number of frames that the first one tells in the way
// of Xing or Fraunhofer; 0 where it does not.
func mp3Frames(b []byte, f mp3Frame) int64 {
	if x := 4 + f.side; len(b) >= x+12 && (string(b[x:x+4]) == "Xing" || string(b[x:x+4]) == "Info") && b[x+7]&1 != 0 {
		return int64(binary.BigEndian.Uint32(b[x+8:]))
	}
	if x := 4 + 32; len(b) >= x+18 && string(b[x:x+4]) == "VBRI" {
		return int64(binary.BigEndian.Uint32(b[x+14:]))
	}
	return 0
}

// syncsafe reads 28 bits from four bytes.
func syncsafe(b []byte) int64 {
	return int64(b[0]&0x7f)<<21 | int64(b[1]&0x7f)<<14 | int64(b[2]&0x7f)<<7 | int64(b[3]&0x7f)
}

// id3 reads the frames of ID3v2.2 to 2.4.
func id3(version, flags byte, b []byte, m *Meta) {
	if flags&0x80 != 0 && version < 4 { // unsynchronised
		b = bytes.ReplaceAll(b, []byte{0xff, 0}, []byte{0xff})
	}
	name, head := int64(4), int64(10)
	if version == 2 {
		name, head = 3, 6
	} else if flags&0x40 != 0 && len(b) >= 4 { // an extended header
		n := int64(binary.BigEndian.Uint32(b)) + 4
		if version == 4 {
			n = syncsafe(b)
		}
		b = b[min(n, int64(len(b))):]
	}
	keys := map[string]string{
		"TIT2": "title", "TPE1": "artist", "TALB": "album", "TT2": "title", "TP1": "artist", "TAL": "album",
	}
	for range maxChunks {
		if int64(len(b)) < head || b[0] == 0 {
			return
		}
		var n int64
		switch version {
		case 2:
			n = bigEndian(b[3:6])
		case 4:
			n = syncsafe(b[4:8])
		default:
			n = int64(binary.BigEndian.Uint32(b[4:]))
		}
		body := b[head:min(head+n, int64(len(b)))]
		if key := keys[string(b[:name])]; key != "" {
			m.SetString(key, id3Text(body))
		}
		b = b[min(head+n, int64(len(b))):]
	}
}

// id3Text decodes a text frame; its first byte tells the encoding.
func id3Text(b []byte) string {
	if len(b) < 2 {
		return ""
	}
	switch b[0] {
	case 1:
		if bytes.HasPrefix(b[1:], []byte{0xff, 0xfe}) {
			return utf16Text(b[3:], binary.LittleEndian)
		}
		return utf16Text(bytes.TrimPrefix(b[1:], []byte{0xfe, 0xff}), binary.BigEndian)
	case 2:
		return utf16Text(b[1:], binary.BigEndian)
	}
	return cleanText(b[1:])
}

// id3v1 sets what the tag at the end says, where the one at the beginning does
// not.
func id3v1(b []byte, m *Meta) {
	for _, t := range []struct {
		key    string
		at, to int
	}{{"title", 3, 33}, {"artist", 33, 63}, {"album", 63, 93}} {
		if m.Get(t.key) == nil {
			m.setText(t.key, b[t.at:t.to])
		}
	}
}
