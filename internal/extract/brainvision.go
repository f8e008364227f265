package extract

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// brainVisionFormat is the header (.vhdr) and the marker file (.vmrk) of the
// BrainVision core data format 1.0 and 2.0
// (https://www.brainproducts.com/support-resources/brainvision-core-data-format-1-0).
func brainVisionFormat() *Format {
	return &Format{
		Name:      "brainvision",
		Version:   1,
		MediaType: "text/plain",
		Keys: []Key{
			{Name: "channels", Type: "integer", Doc: "number of channels"},
			{Name: "channel_names", Type: "array of string", Doc: "names of the channels"},
			{Name: "sampling_interval", Type: "number", Unit: "µs", Doc: "time between samples"},
			{Name: "sampling_rate", Type: "number", Unit: "Hz", Doc: "samples per second"},
			{Name: "data_format", Type: "string", Doc: "BINARY or ASCII"},
			{Name: "orientation", Type: "string", Doc: "MULTIPLEXED or VECTORIZED"},
			{Name: "data_type", Type: "string", Doc: "int16, float32 …"},
			{Name: "data_file", Type: "string", Doc: "name of the file with the samples"},
			{Name: "marker_file", Type: "string", Doc: "name of the file with the markers"},
			{Name: "markers", Type: "integer", Doc: "number of markers, of a marker file"},
			{Name: "partial", Type: "boolean", Doc: "true if the file is too large to be looked at completely"},
		},
		Match: func(f *File) bool { return brainVisionKind(f.Head) != "" },
		Extract: func(f *File, m *Meta) error {
			if !f.Whole() {
				m.Set("partial", true)
			}
			if brainVisionKind(f.Head) == "Marker" {
				return extractMarkers(f, m)
			}
			return extractVHDR(f, m)
		},
	}
}

// brainVisionKind returns "Header" or "Marker", by the first line.
func brainVisionKind(b []byte) string {
	b = bytes.TrimPrefix(b[:min(len(b), 100)], []byte("\ufeff"))
	if !bytes.HasPrefix(b, []byte("Brain")) {
		return ""
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	s := string(line)
	for _, kind := range []string{"Header", "Marker"} {
		for _, brand := range []string{"Brain Vision", "BrainVision"} {
			if strings.HasPrefix(s, brand+" Data Exchange "+kind+" File") {
				return kind
			}
		}
	}
	return ""
}

// eachSetting calls f for the lines KEY=VALUE of sections in brackets, until
// one is the comment, which is free text.
func eachSetting(b []byte, f func(section, key, value string)) {
	section := ""
	for line := range bytes.Lines(b) {
		s := headerText(line)
		switch {
		case strings.HasPrefix(s, ";"):
		case strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]"):
			section = s[1 : len(s)-1]
		case section != "Comment":
			if key, value, ok := strings.Cut(s, "="); ok {
				f(section, strings.TrimSpace(key), strings.TrimSpace(value))
			}
		}
	}
}

func extractVHDR(f *File, m *Meta) error {
	common := map[string]string{}
	binaryFormat := ""
	var names []string
	eachSetting(f.Head, func(section, key, value string) {
		switch section {
		case "Common Infos":
			switch key {
			case "NumberOfChannels", "SamplingInterval", "DataFormat", "DataOrientation", "DataFile", "MarkerFile":
				common[key] = value
			}
		case "Binary Infos":
			if key == "BinaryFormat" {
				binaryFormat = value
			}
		case "Channel Infos":
			if strings.HasPrefix(key, "Ch") && len(names) < edfMaxNames {
				name, _, _ := strings.Cut(value, ",")
				names = append(names, strings.ReplaceAll(name, `\1`, ","))
			}
		}
	})
	channels, err := strconv.Atoi(common["NumberOfChannels"])
	if err == nil && channels >= 0 {
		m.Set("channels", channels)
	}
	if names != nil {
		m.Set("channel_names", names)
	}
	interval, intervalErr := strconv.ParseFloat(common["SamplingInterval"], 64)
	if intervalErr == nil && interval > 0 {
		m.Set("sampling_interval", interval)
		m.Set("sampling_rate", tidy(1e6/interval))
	}
	m.SetString("data_format", common["DataFormat"])
	m.SetString("orientation", common["DataOrientation"])
	m.SetString("data_type", map[string]string{"INT_16": "int16", "UINT_16": "uint16", "INT_32": "int32", "IEEE_FLOAT_32": "float32"}[binaryFormat])
	m.SetString("data_file", common["DataFile"])
	m.SetString("marker_file", common["MarkerFile"])
	if f.Whole() && (err != nil || intervalErr != nil) {
		return errors.New("it has no NumberOfChannels or no SamplingInterval")
	}
	return nil
}

func extractMarkers(f *File, m *Meta) error {
	n := 0
	eachSetting(f.Head, func(section, key, value string) {
		switch {
		case section == "Marker Infos" && strings.HasPrefix(key, "Mk"):
			n++
		case section == "Common Infos" && key == "DataFile":
			m.SetString("data_file", value)
		}
	})
	m.Set("markers", n)
	return nil
}

// fifFormat recognises the FIFF of Elekta/Neuromag and MNE: its first tag is
// the ID of the file (kind 100, type 31, 20 bytes, big-endian).
func fifFormat() *Format {
	return &Format{
		Name:      "fif",
		Version:   1,
		MediaType: "application/x-fif",
		Keys:      []Key{{Name: "version", Type: "string", Doc: "of FIFF, as 1.3"}},
		Match: func(f *File) bool {
			return len(f.Head) >= 36 && string(f.Head[:12]) == "\x00\x00\x00\x64\x00\x00\x00\x1f\x00\x00\x00\x14"
		},
		Extract: func(f *File, m *Meta) error {
			m.Set("version", strconv.Itoa(int(f.Head[17]))+"."+strconv.Itoa(int(f.Head[18])<<8|int(f.Head[19])))
			return nil
		},
	}
}
