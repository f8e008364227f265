package extract

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
)

// audioFormat describes sound by its headers.
func audioFormat() *Format {
	return &Format{
		Name:    "audio",
		Version: 1,
		Keys: []Key{
			{"format", "string", "", "wav, flac, mp3, ogg, m4a or aiff"},
			{"codec", "string", "", "pcm, float, vorbis, opus … as the file names it"},
			{"duration", "number", "s", "length; an estimate for MP3 files of one bit rate that do not tell it"},
			{"sample_rate", "integer", "Hz", "samples a second"},
			{"channels", "integer", "", "channels"},
			{"bits", "integer", "bits", "size of a sample where it is fixed"},
			{"title", "string", "", "title"},
			{"artist", "string", "", "artist"},
			{"album", "string", "", "album"},
		},
		Match:   func(f *File) bool { return audioKind(f) != "" },
		Tail:    true, // the last page of Ogg tells the length
		Extract: extractAudio,
	}
}

func audioKind(f *File) string {
	switch {
	case (f.hasMagic(0, "RIFF") || f.hasMagic(0, "RF64") || f.hasMagic(0, "BW64")) && f.hasMagic(8, "WAVE"):
		return "wav"
	case f.hasMagic(0, "fLaC"):
		return "flac"
	case f.hasMagic(0, "OggS"):
		return "ogg"
	case f.hasMagic(0, "FORM") && (f.hasMagic(8, "AIFF") || f.hasMagic(8, "AIFC")):
		return "aiff"
	case isISOAudio(f):
		return "m4a"
	case isMP3(f):
		return "mp3"
	}
	return ""
}

func extractAudio(f *File, m *Meta) error {
	kind := audioKind(f)
	m.Set("format", kind)
	var err error
	switch kind {
	case "wav":
		m.SetMediaType("audio/wav")
		err = wav(f, m)
	case "flac":
		m.SetMediaType("audio/flac")
		err = flac(f, m)
	case "ogg":
		m.SetMediaType("audio/ogg")
		err = ogg(f, m)
	case "aiff":
		m.SetMediaType("audio/aiff")
		err = aiff(f, m)
	case "m4a":
		m.SetMediaType("audio/mp4")
		err = isoAudio(f, m)
	case "mp3":
		m.SetMediaType("audio/mpeg")
		err = mp3(f, m)
	}
	return reading(kind+" audio", unlessBeyond(err))
}

// waveCodec names a format tag of WAVE (RFC 2361).
func waveCodec(tag uint16) string {
	switch tag {
	case 1:
		return "pcm"
	case 2, 0x11:
		return "adpcm"
	case 3:
		return "float"
	case 6:
		return "a-law"
	case 7:
		return "mu-law"
	case 0x55:
		return "mp3"
	case 0xff, 0x1600, 0x1610:
		return "aac"
	case 0x2000:
		return "ac3"
	}
	return "other"
}

// wav reads the chunks of WAVE, RF64 and BW64.
func wav(f *File, m *Meta) error {
	var data, rate, large int64
	err := riffChunks(f, 12, 64<<10, func(kind string, size int64, b []byte) bool {
		switch {
		case kind == "fmt " && len(b) >= 16:
			tag := binary.LittleEndian.Uint16(b)
			if tag == 0xfffe && len(b) >= 26 { // extensible
				tag = binary.LittleEndian.Uint16(b[24:])
			}
			m.Set("codec", waveCodec(tag))
			setPositive(m, "sample_rate", int64(binary.LittleEndian.Uint32(b[4:])))
			setPositive(m, "channels", int(binary.LittleEndian.Uint16(b[2:])))
			setPositive(m, "bits", int(binary.LittleEndian.Uint16(b[14:])))
			rate = int64(binary.LittleEndian.Uint32(b[8:]))
		case kind == "ds64" && len(b) >= 16:
			large = int64(binary.LittleEndian.Uint64(b[8:]) & math.MaxInt64)
		case kind == "LIST" && len(b) >= 4 && string(b[:4]) == "INFO":
			riffInfo(b, m, map[string]string{"INAM": "title", "IART": "artist", "IPRD": "album"})
		case kind == "data":
			data = size
			return size != math.MaxUint32 // else it is that of ds64, and chunks cannot be followed
		}
		return true
	})
	if data == math.MaxUint32 {
		data = large
	}
	if data > 0 && rate > 0 {
		m.Set("duration", float64(min(data, f.Size))/float64(rate))
	}
	if m.Get("codec") == nil && err == nil {
		err = errors.New("there is no description of its samples")
	}
	if m.Get("duration") != nil { // a recorder that was stopped cuts the data
		err = unlessCut(err)
	}
	return err
}

// riffInfo sets the keys of the chunks that a list INFO has.
func riffInfo(b []byte, m *Meta, keys map[string]string) {
	list := &File{Size: int64(len(b)), Head: b}
	_ = riffChunks(list, 4, maxText, func(kind string, _ int64, b []byte) bool {
		if key := keys[kind]; key != "" {
			m.setText(key, b)
		}
		return true
	})
}

// unlessCut drops the error that a file is cut short.
func unlessCut(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// aiff reads the chunks of AIFF and AIFF-C.
func aiff(f *File, m *Meta) error {
	off := int64(12)
	for range maxChunks {
		head, err := f.span(off, 8)
		if err != nil {
			if off >= f.Size-1 {
				break
			}
			return err
		}
		n := int64(binary.BigEndian.Uint32(head[4:]))
		b := f.upTo(off+8, min(n, maxText))
		switch kind := string(head[:4]); {
		case kind == "COMM" && len(b) >= 18:
			codec := "pcm"
			if len(b) >= 22 && string(b[18:22]) != "NONE" && string(b[18:22]) != "sowt" {
				codec = cleanText(b[18:22])
			}
			m.Set("codec", codec)
			rate := extended(b[8:18])
			if rate >= 1 && rate < 1<<31 {
				m.Set("sample_rate", int64(rate))
				setPositive(m, "duration", float64(binary.BigEndian.Uint32(b[2:]))/rate)
			}
			setPositive(m, "channels", int(binary.BigEndian.Uint16(b)))
			setPositive(m, "bits", int(binary.BigEndian.Uint16(b[6:])))
		case kind == "NAME":
			m.setText("title", b)
		case kind == "AUTH":
			m.setText("artist", b)
		}
		off += 8 + n + n&1
	}
	if m.Get("codec") == nil {
		return errors.New("there is no description of its samples")
	}
	return nil
}

// extended reads a floating-point number of 80 bits.
func extended(b []byte) float64 {
	exp := int(binary.BigEndian.Uint16(b)&0x7fff) - 16383 - 63
	return math.Ldexp(float64(binary.BigEndian.Uint64(b[2:])), exp)
}

func float32frombytes(b []byte) float32 { return math.Float32frombits(binary.BigEndian.Uint32(b)) }
func float64frombytes(b []byte) float64 { return math.Float64frombits(binary.BigEndian.Uint64(b)) }

// isoAudio describes an MP4 file with sound alone.
func isoAudio(f *File, m *Meta) error {
	moov, err := movie(f)
	if err != nil {
		return err
	}
	for b := range boxes(moov) {
		if b.kind != "trak" {
			continue
		}
		if t := readTrack(b.body); t.handler == "soun" {
			m.SetString("codec", t.codec)
			setPositive(m, "sample_rate", t.rate)
			setPositive(m, "channels", t.channels)
			if t.codec == "alac" {
				setPositive(m, "bits", t.bits)
			}
			break
		}
	}
	setPositive(m, "duration", boxTime(inBox(moov, "mvhd")))
	m.SetString("title", isoTag(moov, "\xa9nam"))
	m.SetString("artist", isoTag(moov, "\xa9ART"))
	m.SetString("album", isoTag(moov, "\xa9alb"))
	return nil
}

// flac reads the metadata blocks of FLAC (RFC 9639, section 8).
func flac(f *File, m *Meta) error {
	off := int64(4)
	for range maxChunks {
		head, err := f.span(off, 4)
		if err != nil {
			return err
		}
		n := bigEndian(head[1:])
		b := f.upTo(off+4, n)
		switch head[0] & 0x7f {
		case 0:
			if len(b) < 18 {
				return io.ErrUnexpectedEOF
			}
			flacInfo(b, m)
		case 4:
			vorbisComment(b, m)
		}
		off += 4 + n
		if head[0]&0x80 != 0 {
			return nil
		}
	}
	return nil
}

// flacInfo reads the block STREAMINFO.
func flacInfo(b []byte, m *Meta) {
	bits := binary.BigEndian.Uint64(b[10:])
	rate, samples := int64(bits>>44), int64(bits&(1<<36-1))
	m.Set("codec", "flac")
	if rate > 0 {
		setPositive(m, "duration", float64(samples)/float64(rate))
		m.Set("sample_rate", rate)
	}
	m.Set("channels", int(bits>>41&7)+1)
	m.Set("bits", int(bits>>36&31)+1)
}

// vorbisComment reads the tags of Vorbis, Opus and FLAC.
func vorbisComment(b []byte, m *Meta) {
	next := func() []byte {
		if len(b) < 4 {
			b = nil
			return nil
		}
		n := min(uint64(binary.LittleEndian.Uint32(b)), uint64(len(b)-4))
		s := b[4 : 4+n]
		b = b[4+n:]
		return s
	}
	next() // who wrote it
	if len(b) < 4 {
		return
	}
	count := binary.LittleEndian.Uint32(b)
	b = b[4:]
	for range min(count, maxChunks) {
		if len(b) == 0 {
			return
		}
		s := next()
		for _, key := range []string{"title", "artist", "album"} {
			if len(s) > len(key) && s[len(key)] == '=' && equalFoldASCII(s[:len(key)], key) && m.Get(key) == nil {
				m.setText(key, s[len(key)+1:])
			}
		}
	}
}

// equalFoldASCII says if b is lower, whatever the case.
func equalFoldASCII(b []byte, lower string) bool {
	for i := range lower {
		if b[i]|0x20 != lower[i] {
			return false
		}
	}
	return len(b) == len(lower)
}
