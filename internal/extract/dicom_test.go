package extract_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/extract"
)

// A dicomWriter writes data elements.
type dicomWriter struct {
	bytes.Buffer
	order    binary.AppendByteOrder
	implicit bool
}

// long writes an element's header with the length that it is told.
func (w *dicomWriter) long(tag uint32, vr string, length uint32) {
	var b []byte
	b = w.order.AppendUint16(b, uint16(tag>>16))
	b = w.order.AppendUint16(b, uint16(tag))
	switch {
	case w.implicit || vr == "":
		b = w.order.AppendUint32(b, length)
	case vr == "OB" || vr == "OW" || vr == "SQ" || vr == "UN":
		b = append(b, vr...)
		b = append(b, 0, 0)
		b = w.order.AppendUint32(b, length)
	default:
		b = append(b, vr...)
		b = w.order.AppendUint16(b, uint16(length))
	}
	w.Write(b)
}

func (w *dicomWriter) text(tag uint32, vr, value string) {
	if len(value)%2 != 0 {
		value += " "
	}
	w.long(tag, vr, uint32(len(value)))
	w.WriteString(value)
}

func (w *dicomWriter) us(tag uint32, v uint16) {
	w.long(tag, "US", 2)
	w.Write(w.order.AppendUint16(nil, v))
}

// dicomData writes a data set with sequences of all sorts and private
// elements.
func (w *dicomWriter) dicomData(pixels bool) []byte {
	w.text(0x00080008, "CS", `ORIGINAL\PRIMARY`)
	w.text(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.4\x00")
	w.text(0x00080020, "DA", "20240229")
	w.text(0x00080060, "CS", "MR")
	w.long(0x00081140, "SQ", math.MaxUint32) // undefined, with an item of each kind
	w.long(0xfffee000, "", math.MaxUint32)
	w.us(0x00280010, 9) // rows of something else
	w.long(0x00081140, "SQ", math.MaxUint32)
	w.long(0xfffee0dd, "", 0)
	w.long(0xfffee00d, "", 0)
	w.long(0xfffee000, "", 4)
	w.WriteString("xxxx")
	w.long(0xfffee0dd, "", 0)
	w.text(0x00090010, "LO", "SECRET")
	w.text(0x00091001, "UN", "Doe^Jane")
	w.text(0x00100010, "PN", "Doe^Jane")
	w.text(0x00180050, "DS", "2.50")
	w.us(0x00280010, 128)
	w.us(0x00280011, 64)
	w.text(0x00280030, "DS", `0.5\0.25`)
	w.long(0x52009229, "SQ", math.MaxUint32) // shared functional groups
	w.long(0xfffee000, "", math.MaxUint32)
	w.long(0x00189114, "SQ", math.MaxUint32)
	w.long(0xfffee000, "", math.MaxUint32)
	w.long(0x00189082, "FD", 8)
	w.Write(w.order.AppendUint64(nil, math.Float64bits(4.6)))
	w.long(0xfffee00d, "", 0)
	w.long(0xfffee0dd, "", 0)
	w.long(0xfffee00d, "", 0)
	w.long(0xfffee0dd, "", 0)
	if pixels {
		w.long(0x7fe00010, "OW", 8)
		w.WriteString("pixels!!")
		w.text(0xfffcfffc, "OB", "padding.")
	}
	return w.Bytes()
}

// dicomFile puts the preamble and the meta information before a data set.
func dicomFile(syntax string, data []byte) []byte {
	w := &dicomWriter{order: binary.LittleEndian}
	w.Write(make([]byte, 128))
	w.WriteString("DICM")
	w.text(0x00020002, "UI", "1.2.840.10008.5.1.4.1.1.4\x00")
	if len(syntax)%2 != 0 {
		syntax += "\x00"
	}
	w.text(0x00020010, "UI", syntax)
	w.Write(data)
	return w.Bytes()
}

func dicomSet(order binary.AppendByteOrder, implicit bool) []byte {
	return (&dicomWriter{order: order, implicit: implicit}).dicomData(true)
}

func deflated(b []byte) []byte {
	var z bytes.Buffer
	w, _ := flate.NewWriter(&z, 9)
	w.Write(b)
	w.Close()
	return z.Bytes()
}

const dicomBody = `"image_type": ["ORIGINAL", "PRIMARY"], "sop_class": "MR Image Storage", "modality": "MR", ` +
	`"slice_thickness": 2.5, "rows": 128, "columns": 64, "pixel_spacing": [0.5, 0.25], "echo_time": 4.6}`

func TestDICOM(t *testing.T) {
	le, be := binary.LittleEndian, binary.BigEndian
	const explicit, implicit = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
	file := dicomFile(explicit, dicomSet(le, false))
	deep := &dicomWriter{order: le}
	for range 40 {
		deep.long(0x00081140, "SQ", math.MaxUint32)
		deep.long(0xfffee000, "", math.MaxUint32)
	}
	scienceTable(t, []scienceCase{
		{name: "explicit", path: "I0001", data: file, format: "dicom",
			want: `{"transfer_syntax": "Explicit VR Little Endian", ` + dicomBody},
		{name: "implicit", path: "x.dcm", data: dicomFile(implicit, dicomSet(le, true)), format: "dicom",
			want: `{"transfer_syntax": "Implicit VR Little Endian", ` + dicomBody},
		{name: "big endian", path: "x.dcm", data: dicomFile("1.2.840.10008.1.2.2", dicomSet(be, false)), format: "dicom",
			want: `{"transfer_syntax": "Explicit VR Big Endian", ` + dicomBody},
		{name: "deflated", path: "x.dcm", data: dicomFile("1.2.840.10008.1.2.1.99", deflated(dicomSet(le, false))), format: "dicom",
			want: `{"transfer_syntax": "Deflated Explicit VR Little Endian", ` + dicomBody},
		{name: "explicit without preamble", path: "x", data: dicomSet(le, false), format: "dicom", want: "{" + dicomBody},
		{name: "implicit without preamble", path: "x", data: dicomSet(le, true), format: "dicom", want: "{" + dicomBody},
		{name: "big endian without preamble", path: "x", data: dicomSet(be, false), format: "dicom", want: "{" + dicomBody},
		{name: "implicit, but called explicit", path: "x", data: dicomFile(explicit, dicomSet(le, true)), format: "dicom",
			want: `{"transfer_syntax": "Explicit VR Little Endian", ` + dicomBody},
		{name: "without preamble, with meta", path: "x", data: dicomFile(explicit, dicomSet(le, false))[132:], format: "dicom",
			want: `{"transfer_syntax": "Explicit VR Little Endian", ` + dicomBody},
		{name: "identifying", path: "x", data: file, opts: extract.Options{Identifying: true}, format: "dicom",
			want: `{"transfer_syntax": "Explicit VR Little Endian", "image_type": ["ORIGINAL", "PRIMARY"], "sop_class": "MR Image Storage", ` +
				`"study_date": "2024-02-29", "modality": "MR", "patient_name": "Doe^Jane", ` +
				`"slice_thickness": 2.5, "rows": 128, "columns": 64, "pixel_spacing": [0.5, 0.25], "echo_time": 4.6}`},
		{name: "pixels cut short", path: "x.dcm", data: file[:len(file)-25], format: "dicom",
			want: `{"transfer_syntax": "Explicit VR Little Endian", ` + dicomBody, warning: "(7FE0,0010) ends at byte"},
		{name: "too deep", path: "x.dcm", data: dicomFile(explicit, deep.Bytes()), format: "dicom", warning: "nested too deep"},
		{name: "text", path: "x.txt", data: []byte(strings.Repeat("\b\x00\x05\x00 plain text ", 9)), format: ""},
	})
}

// What lies beyond the head is no damage.
func TestDICOMBeyond(t *testing.T) {
	w := &dicomWriter{order: binary.LittleEndian}
	w.text(0x00080060, "CS", "MR")
	w.long(0x00091001, "OB", 3<<20)
	w.Write(make([]byte, 3<<20))
	w.us(0x00280010, 128)
	data := dicomFile("1.2.840.10008.1.2.1", w.Bytes())
	scienceTable(t, []scienceCase{{name: "private", path: "x.dcm", data: data[:len(data)-1<<20], format: "dicom",
		want: `{"transfer_syntax": "Explicit VR Little Endian", "modality": "MR"}`, warning: "cut short"}})
	f := scienceFile("x.dcm", data)
	f.Tail = nil
	_, m, err := scienceRun(t, f, extract.Options{})
	if err != nil || m.Get("partial") != true || m.Get("modality") != "MR" {
		t.Errorf("got %s, %v", m.AppendJSON(nil), err)
	}
}

// The facts are those that pydicom tells of a Siemens file in which the
// patient is "dft patient name".
func TestRealDICOM(t *testing.T) {
	data := scienceReal(t, "nifti/0.dcm")
	scienceTable(t, []scienceCase{{name: "siemens", path: "0.dcm", data: data, format: "dicom",
		want: `{"transfer_syntax": "Implicit VR Little Endian", "image_type": ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE", "ND", "MOSAIC"], ` +
			`"sop_class": "MR Image Storage", "modality": "MR", "manufacturer": "SIEMENS", "model": "TrioTim", "scanning_sequence": ["EP"], ` +
			`"sequence_variant": ["SK", "SP"], "mr_acquisition_type": "2D", "sequence_name": "ep_b0", "slice_thickness": 2.5, ` +
			`"repetition_time": 6600.0, "echo_time": 93.0, "field_strength": 3.0, "slice_spacing": 3.0, ` +
			`"echo_train_length": 1, "pixel_bandwidth": 1395.0, "software_versions": ["syngo MR B17"], "flip_angle": 90.0, ` +
			`"patient_position": "HFS", "series_number": 12, "acquisition_number": 1, "instance_number": 1, "samples_per_pixel": 1, ` +
			`"photometric": "MONOCHROME2", "rows": 256, "columns": 256, "pixel_spacing": [1.796875, 1.796875], "bits_allocated": 16, ` +
			`"bits_stored": 12, "pixel_representation": 0}`}})
	_, m, err := scienceRun(t, scienceFile("0.dcm", data), extract.Options{Identifying: true})
	if err != nil || m.Get("patient_name") != "dft patient name" || m.Get("patient_birth_date") != "1980-01-02" {
		t.Errorf("got %s, %v", m.AppendJSON(nil), err)
	}
	_, m, err = scienceRun(t, scienceFile("0.dcm", data), extract.Options{})
	for _, secret := range []string{"dft", "1234", "1980", "2010", "CBU", "35119", "1.3.12"} {
		if b := m.AppendJSON(nil); err != nil || bytes.Contains(b, []byte(secret)) {
			t.Errorf("%s is told: %s", secret, b)
		}
	}
}

func TestDICOMTruncated(t *testing.T) {
	scienceTruncate(t, "x.dcm", dicomFile("1.2.840.10008.1.2.1", dicomSet(binary.LittleEndian, false)))
	scienceTruncate(t, "x.dcm", dicomFile("1.2.840.10008.1.2.1.99", deflated(dicomSet(binary.LittleEndian, false))))
	scienceTruncate(t, "x.dcm", dicomSet(binary.LittleEndian, true))
}

func FuzzDICOM(f *testing.F) {
	le := binary.LittleEndian
	scienceFuzz(f, "x.dcm", dicomFile("1.2.840.10008.1.2", dicomSet(le, true)), dicomFile("1.2.840.10008.1.2.1", dicomSet(le, false)),
		dicomFile("1.2.840.10008.1.2.1.99", deflated(dicomSet(le, false))), dicomSet(le, false))
}
