package extract

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

const (
	edfHeader   = 256 // of the file, and as much of each signal
	edfMaxNames = 1024
)

// edfFormat is the European Data Format, EDF+ and the BDF of BioSemi
// (https://www.edfplus.info/specs). The fields of patient and recording hold
// names and dates, so they are told on request alone.
func edfFormat(opts Options) *Format {
	return &Format{
		Name:      "edf",
		Version:   1,
		MediaType: "application/edf",
		Keys: []Key{
			{Name: "variant", Type: "string", Doc: "EDF, EDF+C, EDF+D, BDF, BDF+C or BDF+D"},
			{Name: "channels", Type: "integer", Doc: "number of signals, without annotations"},
			{Name: "channel_names", Type: "array of string", Doc: "labels of the signals"},
			{Name: "sampling_rate", Type: "number", Unit: "Hz", Doc: "of all signals, if they have the same"},
			{Name: "sampling_rates", Type: "array of number", Unit: "Hz", Doc: "of each signal, if they differ"},
			{Name: "records", Type: "integer", Doc: "number of data records; none if the file does not know"},
			{Name: "record_duration", Type: "number", Unit: "s", Doc: "length of a data record"},
			{Name: "duration", Type: "number", Unit: "s", Doc: "records × record_duration"},
			{Name: "annotations", Type: "boolean", Doc: "there is a signal of annotations"},
			{Name: "patient", Type: "string", Doc: "local patient identification; identifying, on request alone"},
			{Name: "recording", Type: "string", Doc: "local recording identification; identifying, on request alone"},
			{Name: "start", Type: "string", Doc: "dd.mm.yy hh.mm.ss; identifying, on request alone"},
		},
		Match:   func(f *File) bool { return edfSignals(f.Head) > 0 },
		Extract: func(f *File, m *Meta) error { return extractEDF(f, m, opts.Identifying) },
	}
}

// edfSignals returns the number of signals, 0 if b is no EDF or BDF.
func edfSignals(b []byte) int {
	if len(b) < edfHeader || string(b[:8]) != "0       " && string(b[:8]) != "\xffBIOSEMI" {
		return 0
	}
	size, err1 := strconv.Atoi(edfText(b[184:192]))
	n, err2 := strconv.Atoi(edfText(b[252:256]))
	if err1 != nil || err2 != nil || n < 1 || size != edfHeader*(n+1) {
		return 0
	}
	return n
}

func edfText(b []byte) string { return strings.TrimSpace(string(b)) }

func extractEDF(f *File, m *Meta, identifying bool) error {
	b, n := f.Head, edfSignals(f.Head)
	variant := "EDF"
	if b[0] == 0xff {
		variant = "BDF"
	}
	if plus := edfText(b[192:197]); len(plus) == 5 && plus[:3] == variant && plus[3] == '+' {
		variant = plus
	}
	m.Set("variant", variant)
	records, err := strconv.ParseInt(edfText(b[236:244]), 10, 64)
	if err == nil && records >= 0 {
		m.Set("records", records)
	}
	length, err := strconv.ParseFloat(edfText(b[244:252]), 64)
	if err != nil || !(length >= 0) || math.IsInf(length, 0) {
		return fmt.Errorf("the duration of a record is %q", edfText(b[244:252]))
	}
	m.Set("record_duration", length)
	if records >= 0 {
		m.Set("duration", tidy(float64(records)*length))
	}
	if identifying {
		m.SetString("patient", headerText(b[8:88]))
		m.SetString("recording", headerText(b[88:168]))
		m.SetString("start", headerText([]byte(edfText(b[168:176])+" "+edfText(b[176:184]))))
	}
	signals, err := f.span(edfHeader, int64(n)*edfHeader)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the header goes beyond the end of the file: it is cut short")
	}
	if err != nil {
		return err
	}
	return edfRates(m, signals, n, length)
}

// edfRates sets what the headers of the signals say: each field of all
// signals, then the next.
func edfRates(m *Meta, b []byte, n int, length float64) error {
	names, rates := []string{}, []float64{}
	channels := 0
	for i := range n {
		name := headerText(b[16*i : 16*i+16])
		if name == "EDF Annotations" || name == "BDF Annotations" {
			m.Set("annotations", true)
			continue
		}
		samples, err := strconv.Atoi(edfText(b[216*n+8*i : 216*n+8*i+8]))
		if err != nil || samples < 0 {
			return fmt.Errorf("signal %q has no number of samples", name)
		}
		channels++
		if len(names) < edfMaxNames {
			names = append(names, name)
			rates = append(rates, tidy(float64(samples)/length))
		}
	}
	m.Set("channels", channels)
	if channels > 0 {
		m.Set("channel_names", names)
	}
	switch {
	case length == 0 || channels == 0:
	case slices.Min(rates) == slices.Max(rates):
		m.Set("sampling_rate", rates[0])
	default:
		m.Set("sampling_rates", rates)
	}
	return nil
}
