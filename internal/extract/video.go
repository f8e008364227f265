package extract

import (
	"encoding/binary"
	"errors"
)

// videoFormat describes films by their headers.
func videoFormat() *Format {
	return &Format{
		Name:    "video",
		Version: 1,
		Keys: []Key{
			{"format", "string", "", "mp4, quicktime, matroska, webm or avi"},
			{"duration", "number", "s", "length"},
			{"width", "integer", "pixels", "columns"},
			{"height", "integer", "pixels", "rows"},
			{"frame_rate", "number", "Hz", "pictures a second (AVI, Matroska)"},
			{"video_codec", "string", "", "codec of the pictures as the file names it, such as avc1 or V_VP9"},
			{"audio_codec", "string", "", "codec of the first sound"},
			{"sample_rate", "integer", "Hz", "samples of the first sound a second"},
			{"channels", "integer", "", "channels of the first sound"},
			{"title", "string", "", "title"},
		},
		Match:   func(f *File) bool { return videoKind(f) != "" },
		Tail:    true, // writers of MP4 put the description at the end
		Extract: extractVideo,
	}
}

func videoKind(f *File) string {
	switch {
	case f.hasMagic(0, "RIFF") && f.hasMagic(8, "AVI "):
		return "avi"
	case f.hasMagic(0, "\x1a\x45\xdf\xa3"):
		return "matroska"
	case f.hasMagic(4, "ftypqt  "), isISO(f) && !f.hasMagic(4, "ftyp"):
		return "quicktime"
	case isISO(f):
		return "mp4"
	}
	return ""
}

func extractVideo(f *File, m *Meta) error {
	var err error
	kind := videoKind(f)
	m.Set("format", kind)
	switch kind {
	case "avi":
		m.SetMediaType("video/x-msvideo")
		err = avi(f, m)
	case "matroska":
		m.SetMediaType("video/matroska")
		err = matroska(f, m)
	case "quicktime":
		m.SetMediaType("video/quicktime")
		err = isoVideo(f, m)
	case "mp4":
		m.SetMediaType("video/mp4")
		err = isoVideo(f, m)
	}
	return reading(kind+" video", unlessBeyond(err))
}

// isoVideo describes an MP4 or QuickTime film.
func isoVideo(f *File, m *Meta) error {
	moov, err := movie(f)
	if err != nil {
		return err
	}
	setPositive(m, "duration", boxTime(inBox(moov, "mvhd")))
	for b := range boxes(moov) {
		if b.kind != "trak" {
			continue
		}
		switch t := readTrack(b.body); {
		case t.handler == "vide" && m.Get("video_codec") == nil:
			setPositive(m, "width", t.width)
			setPositive(m, "height", t.height)
			m.SetString("video_codec", t.codec)
		case t.handler == "soun" && m.Get("audio_codec") == nil:
			m.SetString("audio_codec", t.codec)
			setPositive(m, "sample_rate", t.rate)
			setPositive(m, "channels", t.channels)
		}
	}
	m.SetString("title", isoTag(moov, "\xa9nam"))
	return nil
}

// setPositive sets a key unless the number is zero or less: unknown.
func setPositive[T int | int64 | float64](m *Meta, key string, v T) {
	if v > 0 {
		m.Set(key, v)
	}
}

// riffChunks calls f with the chunks of a RIFF list from off on: as many as
// most bytes of each, until f returns false.
func riffChunks(f *File, off, most int64, each func(kind string, size int64, b []byte) bool) error {
	for range maxChunks {
		head, err := f.span(off, 8)
		if err != nil {
			if off >= f.Size-1 {
				return nil
			}
			return err
		}
		n := int64(binary.LittleEndian.Uint32(head[4:]))
		if !each(string(head[:4]), n, f.upTo(off+8, min(n, most))) {
			return nil
		}
		off += 8 + n + n&1
	}
	return nil
}

// avi describes an AVI film by its header list.
func avi(f *File, m *Meta) error {
	found := false
	err := riffChunks(f, 12, 64<<10, func(kind string, _ int64, b []byte) bool {
		if kind != "LIST" || len(b) < 4 {
			return true
		}
		switch string(b[:4]) {
		case "hdrl":
			found = true
			aviHeader(b[4:], m)
		case "INFO":
			riffInfo(b, m, map[string]string{"INAM": "title"})
		case "movi":
			return false
		}
		return true
	})
	if err == nil && !found {
		err = errors.New("there is no header")
	}
	return err
}

// aviHeader reads "avih" and the stream headers within "strl".
func aviHeader(b []byte, m *Meta) {
	part := &File{Size: int64(len(b)), Head: b}
	kindOf := ""
	_ = riffChunks(part, 0, 64<<10, func(kind string, _ int64, b []byte) bool {
		switch {
		case kind == "avih" && len(b) >= 40:
			period, frames := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[16:])
			setPositive(m, "duration", float64(frames)*float64(period)/1e6)
			setPositive(m, "width", int64(binary.LittleEndian.Uint32(b[32:])))
			setPositive(m, "height", int64(binary.LittleEndian.Uint32(b[36:])))
			if period > 0 {
				m.Set("frame_rate", 1e6/float64(period))
			}
		case kind == "LIST" && len(b) >= 4 && string(b[:4]) == "strl":
			list := &File{Size: int64(len(b)), Head: b}
			_ = riffChunks(list, 4, 64<<10, func(kind string, _ int64, b []byte) bool {
				switch {
				case kind == "strh" && len(b) >= 8:
					kindOf = string(b[:4])
					if kindOf == "vids" && m.Get("video_codec") == nil {
						m.setText("video_codec", b[4:8])
					}
				case kind == "strf" && kindOf == "auds" && len(b) >= 16 && m.Get("audio_codec") == nil:
					m.Set("audio_codec", waveCodec(binary.LittleEndian.Uint16(b)))
					setPositive(m, "sample_rate", int64(binary.LittleEndian.Uint32(b[4:])))
					setPositive(m, "channels", int(binary.LittleEndian.Uint16(b[2:])))
				}
				return true
			})
		}
		return true
	})
}
