package extract

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// mediaFarMP4 puts n bytes of media before the description of a film, and as
// many behind it.
func mediaFarMP4(n, behind int) []byte {
	b := mediaTestdata("media-film.mp4")
	i := bytes.Index(b, []byte("moov")) - 4
	pad := func(n int) []byte {
		if n == 0 {
			return nil
		}
		return append(binary.BigEndian.AppendUint32(nil, uint32(n)), append([]byte("mdat"), make([]byte, n-8)...)...)
	}
	return append(append(append(bytes.Clone(b[:i]), pad(n)...), b[i:]...), pad(behind)...)
}

func videoFixtures() []mediaFixture {
	sizes := `"width": 32, "height": 16`
	mp4 := `{"format": "mp4", "duration": 1.0, ` + sizes + `, "video_codec": "avc1", "audio_codec": "mp4a", "sample_rate": 8000, "channels": 1, "title": "Nothing"}`
	mkv := mediaTestdata("media-film.mkv")
	return []mediaFixture{
		{"mp4", "a.mp4", mediaTestdata("media-film.mp4"), mp4, "video/mp4", ""},
		{"mp4, its description at the end", "a.mp4", mediaFarMP4(3<<20, 0), mp4, "video/mp4", ""},
		{"mp4, its description in the midst", "a.mp4", mediaFarMP4(2<<20, 2<<20), `{"format": "mp4"}`, "video/mp4", ""},
		{"mp4 without a description", "a.mp4", []byte("\x00\x00\x00\x10ftypisom\x00\x00\x00\x00"), `{"format": "mp4"}`, "video/mp4", "no description"},
		{"quicktime", "a.mov", mediaTestdata("media-film.mov"), `{"format": "quicktime", "duration": 1.0, ` + sizes +
			`, "video_codec": "avc1", "audio_codec": "mp4a", "sample_rate": 8000, "channels": 1, "title": "Nothing"}`, "video/quicktime", ""},
		{"matroska", "a.mkv", mkv, `{"format": "matroska", "title": "Nothing", "duration": 1.032, "video_codec": "V_MPEG4/ISO/AVC", ` +
			`"frame_rate": 5.0, ` + sizes + `, "audio_codec": "A_VORBIS", "sample_rate": 8000, "channels": 1}`, "video/matroska", ""},
		{"matroska cut", "a.mkv", mkv[:100], `{"format": "matroska"}`, "video/matroska", "tracks"},
		{"webm", "a.webm", mediaTestdata("media-film.webm"), `{"format": "webm", "title": "Nothing", "duration": 1.008, "video_codec": "V_VP8", ` +
			`"frame_rate": 5.0, ` + sizes + `, "audio_codec": "A_OPUS", "sample_rate": 48000, "channels": 1}`, "video/webm", ""},
		{"avi", "a.avi", mediaTestdata("media-film.avi"), `{"format": "avi", "duration": 1.2, ` + sizes +
			`, "frame_rate": 5.0, "video_codec": "FMP4", "audio_codec": "mp3", "sample_rate": 8000, "channels": 1, "title": "Nothing"}`, "video/x-msvideo", ""},
	}
}

func TestVideo(t *testing.T) { mediaTest(t, videoFormat(), videoFixtures()) }

func FuzzVideo(f *testing.F) { mediaFuzz(f, videoFormat(), videoFixtures()) }
