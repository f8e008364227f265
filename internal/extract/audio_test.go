package extract

import (
	"encoding/binary"
	"strings"
	"testing"
)

// mediaWAVE makes a WAVE file of n bytes of 8-bit samples.
func mediaWAVE(n int, info ...string) []byte {
	format := string(binary.LittleEndian.AppendUint16(nil, 1)) + "\x02\x00" + "\x40\x1f\x00\x00" + "\x80\x3e\x00\x00" + "\x02\x00\x08\x00"
	return mediaRIFF("WAVE", append([]string{"fmt ", format, "data", strings.Repeat("\x80", n)}, info...)...)
}

func mediaVBRI() []byte {
	b := append([]byte{0xff, 0xfb, 0x90, 0x64}, make([]byte, 32)...)
	b = append(b, "VBRI"+strings.Repeat("\x00", 10)+"\x00\x00\x00\x64"...)
	return append(b, make([]byte, 400)...)
}

func audioFixtures() []mediaFixture {
	rf64 := mediaWAVE(100)
	copy(rf64, "RF64\xff\xff\xff\xff")
	ds64 := "ds64\x18\x00\x00\x00" + strings.Repeat("\x00", 8) + "\x64" + strings.Repeat("\x00", 15)
	rf64 = mediaInsert(rf64, 12, []byte(ds64)...)
	copy(rf64[len(rf64)-104:], "\xff\xff\xff\xff")
	tags := `"title": "Tone", "artist": "Nobody", "album": "None"`
	id3v2 := "ID3\x02\x00\x00\x00\x00\x00\x10TT2\x00\x00\x0a\x01\xff\xfeG\x00r\x00\xfc\x00\x00"
	id3v1 := "TAG" + "Old title" + strings.Repeat("\x00", 21) + "Gru\xdf" + strings.Repeat("\x00", 91)
	return []mediaFixture{
		{"wav", "a.wav", mediaTestdata("media-tone.wav"), `{"format": "wav", "codec": "pcm", "sample_rate": 8000, "channels": 1, "bits": 16, "duration": 0.1}`, "audio/wav", ""},
		{"wav with info", "a", mediaWAVE(1600, "LIST", "INFOINAM\x04\x00\x00\x00Toneabcd\x02\x00\x00\x00xyIART\x02\x00\x00\x00Me"),
			`{"format": "wav", "codec": "pcm", "sample_rate": 8000, "channels": 2, "bits": 8, "title": "Tone", "artist": "Me", "duration": 0.1}`, "audio/wav", ""},
		{"wav, large", "a.wav", mediaWAVE(3<<20, "LIST", "INFOINAM\x04\x00\x00\x00Tone"),
			`{"format": "wav", "codec": "pcm", "sample_rate": 8000, "channels": 2, "bits": 8, "title": "Tone", "duration": 196.608}`, "audio/wav", ""},
		{"rf64", "a.wav", rf64, `{"format": "wav", "codec": "pcm", "sample_rate": 8000, "channels": 2, "bits": 8, "duration": 0.00625}`, "audio/wav", ""},
		{"wav without format", "a.wav", mediaRIFF("WAVE", "data", "1234"), `{"format": "wav"}`, "audio/wav", "no description"},
		{"flac", "a.flac", mediaTestdata("media-tone.flac"), `{"format": "flac", "codec": "flac", "duration": 0.1, "sample_rate": 8000, "channels": 1, "bits": 16, ` + tags + `}`, "audio/flac", ""},
		{"aiff", "a.aiff", mediaTestdata("media-tone.aiff"), `{"format": "aiff", "codec": "pcm", "sample_rate": 8000, "duration": 0.1, "channels": 1, "bits": 16}`, "audio/aiff", ""},
		{"vorbis", "a.ogg", mediaTestdata("media-tone.ogg"), `{"format": "ogg", "codec": "vorbis", "sample_rate": 8000, "channels": 1, "duration": 0.5, ` + tags + `}`, "audio/ogg", ""},
		{"opus", "a.opus", mediaTestdata("media-tone.opus"), `{"format": "ogg", "codec": "opus", "sample_rate": 48000, "channels": 1, "duration": 0.5, ` + tags + `}`, "audio/ogg", ""},
		{"m4a", "a.m4a", mediaTestdata("media-tone.m4a"), `{"format": "m4a", "codec": "mp4a", "sample_rate": 8000, "channels": 1, "duration": 0.5, ` + tags + `}`, "audio/mp4", ""},
		{"mp3, xing", "a.mp3", mediaTestdata("media-tone.mp3"), `{"format": "mp3", ` + tags + `, "sample_rate": 8000, "channels": 1, "duration": 0.648}`, "audio/mpeg", ""},
		{"mp3, one bit rate", "a.mp3", mediaTestdata("media-cbr.mp3"), `{"format": "mp3", ` + tags + `, "sample_rate": 8000, "channels": 1, "duration": 0.648}`, "audio/mpeg", ""},
		{"mp3, vbri, old tags", "a.mp3", append([]byte(id3v2), append(mediaVBRI(), id3v1...)...),
			`{"format": "mp3", "title": "Gr\u00fc", "artist": "Gru\u00df", "sample_rate": 44100, "channels": 2, "duration": 2.6122448979591835}`, "audio/mpeg", ""},
		{"mp3 without frames", "a.mp3", []byte("ID3\x03\x00\x00\x00\x00\x00\x00nothing at all"), `{"format": "mp3"}`, "audio/mpeg", "no frame"},
	}
}

func TestAudio(t *testing.T) { mediaTest(t, audioFormat(), audioFixtures()) }

func FuzzAudio(f *testing.F) { mediaFuzz(f, audioFormat(), audioFixtures()) }

func TestAudioMatch(t *testing.T) {
	for _, tc := range []struct{ path, data string }{
		{"a.mp3", "a text"}, {"a.txt", "ID3 is a tag"}, {"a.bin", "\xff\xfb\x90\x64"}, {"a.wav", "RIFF\x00\x00\x00\x00AVI "},
	} {
		if audioFormat().Match(mediaFile(tc.path, []byte(tc.data))) {
			t.Errorf("%s %q matches", tc.path, tc.data)
		}
	}
}
