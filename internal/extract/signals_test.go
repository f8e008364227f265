package extract_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/extract"
)

// edfFile is an EDF+ of ten records of 0.5 s, with signals of so many samples
// per record and one of annotations.
func edfFile(magic string, samples ...int) []byte {
	var b strings.Builder
	n := len(samples) + 1
	plus := "EDF+C"
	if magic[0] == 0xff {
		plus = "BDF+C"
	}
	fmt.Fprintf(&b, "%s%-80s%-80s%8s%8s%-8d%-44s%-8d%-8s%-4d", magic, "X F 02-MAY-1951 Jane_Doe", "Startdate 02-MAR-2002 PSG",
		"02.03.02", "01.02.03", 256*(n+1), plus, 10, "0.5", n)
	for i := range samples {
		fmt.Fprintf(&b, "%-16s", fmt.Sprintf("EEG %d", i+1))
	}
	fmt.Fprintf(&b, "%-16s", plus[:3]+" Annotations")
	b.WriteString(strings.Repeat(" ", n*(80+8*5+80)))
	for _, s := range append(samples, 60) {
		fmt.Fprintf(&b, "%-8d", s)
	}
	b.WriteString(strings.Repeat(" ", 32*n))
	return []byte(b.String())
}

func TestEDF(t *testing.T) {
	edf := edfFile("0       ", 128, 128)
	const rest = `"records": 10, "record_duration": 0.5, "duration": 5.0, `
	scienceTable(t, []scienceCase{
		{name: "EDF+", path: "a.edf", data: edf, format: "edf",
			want: `{"variant": "EDF+C", ` + rest + `"annotations": true, "channels": 2, "channel_names": ["EEG 1", "EEG 2"], "sampling_rate": 256.0}`},
		{name: "BDF+, rates differ", path: "a", data: edfFile("\xffBIOSEMI", 1024, 1), format: "edf",
			want: `{"variant": "BDF+C", ` + rest + `"annotations": true, "channels": 2, "channel_names": ["EEG 1", "EEG 2"], "sampling_rates": [2048.0, 2.0]}`},
		{name: "identifying", path: "a.edf", data: edf, format: "edf", opts: extract.Options{Identifying: true},
			want: `{"variant": "EDF+C", ` + rest + `"patient": "X F 02-MAY-1951 Jane_Doe", "recording": "Startdate 02-MAR-2002 PSG", "start": "02.03.02 01.02.03", ` +
				`"annotations": true, "channels": 2, "channel_names": ["EEG 1", "EEG 2"], "sampling_rate": 256.0}`},
		{name: "cut short", path: "a.edf", data: edf[:600], format: "edf", want: strings.TrimSuffix(`{"variant": "EDF+C", `+rest, ", ") + "}", warning: "cut short"},
		{name: "text", path: "a.edf", data: []byte(strings.Repeat("0       ", 40)), format: ""},
	})
}

const vhdr = "\ufeffBrain Vision Data Exchange Header File Version 2.0\r\n; Data created on 1.2.2003\r\n[Common Infos]\r\nDataFile=a.eeg\r\n" +
	"NumberOfChannels=2\r\nSamplingInterval=4000\r\n[Channel Infos]\r\nCh1=Fp1,,0.1,µV\r\nCh2=A\\1B,Ref\r\n[Comment]\r\nName = Jane\r\n"

func TestBrainVision(t *testing.T) {
	scienceTable(t, []scienceCase{
		{name: "header", path: "a", data: []byte(vhdr), format: "brainvision",
			want: `{"channels": 2, "channel_names": ["Fp1", "A,B"], "sampling_interval": 4000.0, "sampling_rate": 250.0, "data_file": "a.eeg"}`},
		{name: "lacking", path: "a.vhdr", data: []byte(vhdr[:100]), format: "brainvision", warning: "no NumberOfChannels"},
		{name: "fif", path: "a.fif", data: append([]byte("\x00\x00\x00\x64\x00\x00\x00\x1f\x00\x00\x00\x14\x00\x00\x00\x00\x00\x01\x00\x03"), make([]byte, 99)...),
			format: "fif", want: `{"version": "1.3"}`},
	})
}

func TestRealBrainVision(t *testing.T) {
	const base = "eeg_matchingpennies/sub-05/eeg/sub-05_task-matchingpennies_eeg."
	scienceTable(t, []scienceCase{
		{name: "header", path: base + "vhdr", data: scienceReal(t, base+"vhdr"), format: "brainvision",
			want: `{"channels": 10, "channel_names": ["FC5", "FC1", "C3", "CP5", "CP1", "FC2", "FC6", "C4", "CP2", "CP6"], ` +
				`"sampling_interval": 200.0, "sampling_rate": 5000.0, "data_format": "BINARY", "orientation": "MULTIPLEXED", "data_type": "float32", ` +
				`"data_file": "sub-05_task-matchingpennies_eeg.eeg", "marker_file": "sub-05_task-matchingpennies_eeg.vmrk"}`},
		{name: "markers", path: base + "vmrk", data: scienceReal(t, base+"vmrk"), format: "brainvision",
			want: `{"data_file": "sub-05_task-matchingpennies_eeg.eeg", "markers": 301}`},
		{name: "samples, emptied", path: base + "eeg", data: scienceReal(t, base+"eeg"), format: ""},
	})
}

func TestSignalsTruncated(t *testing.T) {
	scienceTruncate(t, "x.edf", edfFile("0       ", 128, 64))
	scienceTruncate(t, "x.vhdr", []byte(vhdr))
}

func FuzzEDF(f *testing.F) {
	scienceFuzz(f, "x.edf", edfFile("0       ", 128, 64), edfFile("\xffBIOSEMI", 1))
}

func FuzzBrainVision(f *testing.F) {
	scienceFuzz(f, "x.vhdr", []byte(vhdr), []byte("BrainVision Data Exchange Marker File\n[Marker Infos]\nMk1=S,,1\n"))
}
