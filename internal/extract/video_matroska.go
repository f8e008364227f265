package extract

import (
	"errors"
	"io"
)

// Elements of Matroska that are looked at (RFC 9559).
const (
	ebmlHeader     = 0x1a45dfa3
	ebmlDocType    = 0x4282
	mkvSegment     = 0x18538067
	mkvInfo        = 0x1549a966
	mkvScale       = 0x2ad7b1
	mkvDuration    = 0x4489
	mkvTitle       = 0x7ba9
	mkvTracks      = 0x1654ae6b
	mkvTrack       = 0xae
	mkvTrackType   = 0x83
	mkvCodec       = 0x86
	mkvFrameTime   = 0x23e383
	mkvVideo       = 0xe0
	mkvWidth       = 0xb0
	mkvHeight      = 0xba
	mkvAudio       = 0xe1
	mkvRate        = 0xb5
	mkvChannels    = 0x9f
	mkvCluster     = 0x1f43b675
	maxEBMLElement = 1 << 12 // elements on one level
)

// ebml calls each with the elements of b, until it returns false. The body of
// one that goes on beyond b is what there is.
func ebml(b []byte, each func(id uint64, body []byte, cut bool) bool) {
	for range maxEBMLElement {
		id, n := ebmlNumber(b, false)
		if n == 0 {
			return
		}
		size, k := ebmlNumber(b[n:], true)
		if k == 0 {
			return
		}
		b = b[n+k:]
		cut := size > uint64(len(b)) // or of unknown size
		if cut {
			size = uint64(len(b))
		}
		if !each(id, b[:size], cut) {
			return
		}
		b = b[size:]
	}
}

// ebmlNumber reads a number of variable length, and says how long it is.
func ebmlNumber(b []byte, mask bool) (v uint64, n int) {
	if len(b) == 0 || b[0] == 0 {
		return 0, 0
	}
	for n = 1; b[0]>>(8-n) == 0; n++ {
	}
	if n > len(b) {
		return 0, 0
	}
	v = uint64(b[0])
	if mask {
		v &= 1<<(8-n) - 1
	}
	for _, c := range b[1:n] {
		v = v<<8 | uint64(c)
	}
	if mask && v == 1<<(7*n)-1 {
		v = 1<<64 - 1 // unknown
	}
	return v, n
}

// ebmlFloat reads a floating-point element of four or eight bytes.
func ebmlFloat(b []byte) float64 {
	switch len(b) {
	case 4:
		return float64(float32frombytes(b))
	case 8:
		return float64frombytes(b)
	}
	return 0
}

// ebmlUint reads an unsigned element.
func ebmlUint(b []byte) int64 {
	if len(b) > 7 {
		return 0
	}
	return bigEndian(b)
}

// matroska describes a Matroska or WebM film by the information and tracks at
// its beginning.
func matroska(f *File, m *Meta) error {
	err := io.ErrUnexpectedEOF
	ebml(f.Head, func(id uint64, body []byte, _ bool) bool {
		switch id {
		case ebmlHeader:
			ebml(body, func(id uint64, body []byte, _ bool) bool {
				if id == ebmlDocType && cleanText(body) == "webm" {
					m.Set("format", "webm")
					m.SetMediaType("video/webm")
				}
				return true
			})
		case mkvSegment:
			err = segment(body, m)
			return false
		}
		return true
	})
	return err
}

func segment(b []byte, m *Meta) error {
	complete := false
	ebml(b, func(id uint64, body []byte, cut bool) bool {
		switch id {
		case mkvInfo:
			segmentInfo(body, m)
		case mkvTracks:
			complete = !cut
			ebml(body, func(id uint64, body []byte, _ bool) bool {
				if id == mkvTrack {
					mkvSetTrack(body, m)
				}
				return true
			})
		}
		return id != mkvCluster
	})
	if !complete {
		return errors.New("its tracks are not found at its beginning")
	}
	return nil
}

func segmentInfo(b []byte, m *Meta) {
	scale, duration := int64(1e6), 0.0
	ebml(b, func(id uint64, body []byte, _ bool) bool {
		switch id {
		case mkvScale:
			scale = ebmlUint(body)
		case mkvDuration:
			duration = ebmlFloat(body)
		case mkvTitle:
			m.setText("title", body)
		}
		return true
	})
	setPositive(m, "duration", duration*float64(scale)/1e9)
}

func mkvSetTrack(b []byte, m *Meta) {
	kind, codec, period := int64(0), "", int64(0)
	var video, audio []byte
	ebml(b, func(id uint64, body []byte, _ bool) bool {
		switch id {
		case mkvTrackType:
			kind = ebmlUint(body)
		case mkvCodec:
			codec = cleanText(body)
		case mkvFrameTime:
			period = ebmlUint(body)
		case mkvVideo:
			video = body
		case mkvAudio:
			audio = body
		}
		return true
	})
	if kind == 1 && m.Get("video_codec") == nil {
		m.SetString("video_codec", codec)
		if period > 0 {
			m.Set("frame_rate", 1e9/float64(period))
		}
		ebml(video, func(id uint64, body []byte, _ bool) bool {
			switch id {
			case mkvWidth:
				setPositive(m, "width", ebmlUint(body))
			case mkvHeight:
				setPositive(m, "height", ebmlUint(body))
			}
			return true
		})
	}
	if kind == 2 && m.Get("audio_codec") == nil {
		m.SetString("audio_codec", codec)
		channels, rate := int64(1), 8000.0 // what is meant where nothing is said
		ebml(audio, func(id uint64, body []byte, _ bool) bool {
			switch id {
			case mkvRate:
				rate = ebmlFloat(body)
			case mkvChannels:
				channels = ebmlUint(body)
			}
			return true
		})
		if codec == "A_OPUS" {
			rate = 48000 // the file tells that of what was encoded
		}
		setPositive(m, "sample_rate", int64(rate))
		setPositive(m, "channels", channels)
	}
}
