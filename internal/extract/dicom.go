package extract

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

const (
	dicomMaxDepth  = 16      // of sequences in sequences
	dicomMaxValue  = 1 << 10 // bytes of a value that are looked at
	dicomMaxValues = 64
	dicomInflate   = 1 << 20 // of a deflated data set
	dicomUndefined = 0xffffffff

	dicomItem         = 0xfffee000
	dicomItemEnd      = 0xfffee00d
	dicomSequenceEnd  = 0xfffee0dd
	dicomSharedGroups = 0x52009229 // Shared Functional Groups Sequence
	dicomPixels       = 0x7fe00008 // the first of the pixel data elements
)

// dicomFormat is DICOM (PS3.5, PS3.10), with preamble or without, up to the
// pixels. What it tells is in dicomTags alone.
func dicomFormat(opts Options) *Format {
	wanted := map[uint32]dicomTag{}
	names := dicomUIDNames()
	var keys []Key
	seen := map[string]bool{"partial": true}
	for _, t := range dicomTags() {
		if !t.identifying || opts.Identifying {
			wanted[t.tag] = t
		}
		if seen[t.key] {
			continue
		}
		seen[t.key] = true
		doc := fmt.Sprintf("%s (%04X,%04X)", t.doc, t.tag>>16, t.tag&0xffff)
		if t.identifying {
			doc += "; identifying, on request alone"
		}
		keys = append(keys, Key{Name: t.key, Type: t.kind.typ(), Unit: t.unit, Doc: doc})
	}
	keys = append(keys, Key{Name: "partial", Type: "boolean", Doc: "true if not all before the pixels was in reach"})
	return &Format{
		Name:      "dicom",
		Version:   1,
		MediaType: "application/dicom",
		Keys:      keys,
		Match:     matchDICOM,
		Extract: func(f *File, m *Meta) error {
			return beyond(m, extractDICOM(f, m, wanted, names))
		},
	}
}

func matchDICOM(f *File) bool {
	if len(f.Head) >= 132 && string(f.Head[128:132]) == "DICM" {
		return true
	}
	_, ok := dicomBare(f)
	return ok
}

// dicomBare recognises a data set without a preamble: its first three
// elements are of group 2 or 8, in order, and of sane lengths. It returns a
// reader for them.
func dicomBare(f *File) (*dicomReader, bool) {
	b := f.Head
	if len(b) < 24 {
		return nil, false
	}
	d := &dicomReader{f: f, order: binary.LittleEndian, explicit: dicomVR(b[4:6])}
	if b[0] == 0 && d.explicit {
		d.order = binary.BigEndian
	}
	if group := d.order.Uint16(b); group != 2 && group != 8 {
		return nil, false
	}
	off, last := int64(0), uint32(0)
	for i := range 3 {
		e, err := d.element(off)
		if err != nil || i > 0 && e.tag <= last || e.tag>>16 > 0x10 || e.length > 1<<16 || e.length%2 != 0 {
			return nil, false
		}
		off, last = e.value+int64(e.length), e.tag
	}
	return d, off <= f.Size
}

// dicomVR says if b is a value representation of PS3.5.
func dicomVR(b []byte) bool {
	const all = "AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV"
	i := strings.Index(all, string(b))
	return i >= 0 && i%3 == 0
}

// A dicomReader reads the data elements of a file.
type dicomReader struct {
	f        *File
	order    binary.ByteOrder
	explicit bool
}

// A dicomElement is the header of a data element.
type dicomElement struct {
	tag    uint32
	vr     string // "" if the file does not say it
	length uint32
	value  int64 // where it begins
}

// element reads the header of the element at off.
func (d *dicomReader) element(off int64) (dicomElement, error) {
	b, err := d.f.span(off, 8)
	if err != nil {
		return dicomElement{}, err
	}
	e := dicomElement{
		tag:   uint32(d.order.Uint16(b))<<16 | uint32(d.order.Uint16(b[2:])),
		value: off + 8,
	}
	if !d.explicit || e.tag>>16 == 0xfffe {
		e.length = d.order.Uint32(b[4:])
		return e, nil
	}
	if !dicomVR(b[4:6]) {
		return e, fmt.Errorf("element (%04X,%04X) has no value representation", e.tag>>16, e.tag&0xffff)
	}
	e.vr = string(b[4:6])
	switch e.vr {
	case "OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV":
		if b, err = d.f.span(off+8, 4); err != nil {
			return e, err
		}
		e.length, e.value = d.order.Uint32(b), off+12
	default:
		e.length = uint32(d.order.Uint16(b[6:]))
	}
	return e, nil
}

// skip returns where what follows e begins.
func (d *dicomReader) skip(e dicomElement, depth int) (int64, error) {
	if e.length != dicomUndefined {
		return d.end(e)
	}
	inner := *d
	if e.vr == "UN" { // PS3.5, 6.2.2 note 2
		inner.explicit, inner.order = false, binary.LittleEndian
	}
	return inner.items(e, depth, nil)
}

// end returns where e ends, if that is in the file.
func (d *dicomReader) end(e dicomElement) (int64, error) {
	end := e.value + int64(e.length)
	if end > d.f.Size {
		return 0, fmt.Errorf("element (%04X,%04X) ends at byte %d, the file at %d: it is cut short",
			e.tag>>16, e.tag&0xffff, end, d.f.Size)
	}
	return end, nil
}

// items walks the items of a sequence, shows visit their elements, and those
// of sequences in them, and returns where what follows begins. Without visit
// it finds that end alone.
func (d *dicomReader) items(seq dicomElement, depth int, visit func(dicomElement)) (int64, error) {
	if depth > dicomMaxDepth {
		return 0, errors.New("sequences are nested too deep")
	}
	off, end := seq.value, int64(math.MaxInt64)
	var err error
	if seq.length != dicomUndefined {
		if end, err = d.end(seq); err != nil {
			return 0, err
		}
	}
	for off < end {
		item, err := d.element(off)
		if err != nil {
			return 0, err
		}
		switch {
		case item.tag == dicomSequenceEnd && seq.length == dicomUndefined:
			return item.value, nil
		case item.tag != dicomItem:
			return 0, fmt.Errorf("a sequence holds (%04X,%04X), not an item", item.tag>>16, item.tag&0xffff)
		case item.length != dicomUndefined && visit == nil:
			off, err = d.end(item)
		default:
			off, err = d.item(item, depth, visit)
		}
		if err != nil {
			return 0, err
		}
	}
	return off, nil
}

// item walks the elements of one item.
func (d *dicomReader) item(item dicomElement, depth int, visit func(dicomElement)) (int64, error) {
	off, end := item.value, int64(math.MaxInt64)
	var err error
	if item.length != dicomUndefined {
		if end, err = d.end(item); err != nil {
			return 0, err
		}
	}
	for off < end {
		e, err := d.element(off)
		if err != nil {
			return 0, err
		}
		if e.tag == dicomItemEnd && item.length == dicomUndefined {
			return e.value, nil
		}
		switch {
		case visit != nil && (e.vr == "SQ" || e.vr == "" && e.length == dicomUndefined):
			off, err = d.items(e, depth+1, visit)
		default:
			if visit != nil {
				visit(e)
			}
			off, err = d.skip(e, depth+1)
		}
		if err != nil {
			return 0, err
		}
	}
	return off, nil
}

// extractDICOM sets the keys of the wanted elements. UIDs are told by their
// names.
func extractDICOM(f *File, m *Meta, wanted map[uint32]dicomTag, names map[string]string) error {
	d, bare := dicomBare(f)
	off := int64(0)
	if len(f.Head) >= 132 && string(f.Head[128:132]) == "DICM" {
		d, off = &dicomReader{f: f, order: binary.LittleEndian, explicit: true}, 132
	} else if !bare {
		return errors.New("it is no DICOM file")
	}
	set := func(e dicomElement) {
		if t, ok := wanted[e.tag]; ok && m.Get(t.key) == nil {
			d.set(m, t, e, names)
		}
	}
	syntax := ""
	for off < f.Size { // the file meta information, group 2
		if b, err := f.span(off, 2); err == nil && binary.LittleEndian.Uint16(b) != 2 {
			break
		}
		e, err := d.element(off)
		if err != nil {
			return dicomCut(err)
		}
		if e.tag == 0x00020010 {
			syntax = d.text(e)
		}
		set(e)
		if off, err = d.skip(e, 0); err != nil {
			return dicomCut(err)
		}
	}
	off, err := d.switchTo(syntax, off)
	if err != nil {
		return err
	}
	return dicomCut(d.dataSet(off, set))
}

// dicomCut names the end of a file for what it is.
func dicomCut(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("an element goes beyond the end of the file: it is cut short")
	}
	return err
}

// switchTo makes d ready for the data set, which begins at off, and returns
// where it does so afterwards.
func (d *dicomReader) switchTo(syntax string, off int64) (int64, error) {
	switch syntax {
	default: // some say explicit and write implicit, so it is looked for
		if b, err := d.f.span(off, 6); err == nil && d.order == binary.LittleEndian {
			d.explicit = dicomVR(b[4:])
		}
	case "1.2.840.10008.1.2":
		d.explicit = false
	case "1.2.840.10008.1.2.2":
		d.order = binary.BigEndian
	case "1.2.840.10008.1.2.1.99":
		var b bytes.Buffer
		if off < int64(len(d.f.Head)) {
			z := flate.NewReader(bytes.NewReader(d.f.Head[off:]))
			_, err := io.Copy(&b, io.LimitReader(z, dicomInflate))
			if err != nil && d.f.Whole() {
				return 0, fmt.Errorf("decompress the data set: %w", err)
			}
		}
		size := int64(b.Len())
		if size == dicomInflate || !d.f.Whole() {
			size = math.MaxInt64 // there is more, beyond what is looked at
		}
		d.f = &File{Path: d.f.Path, Size: size, Head: b.Bytes()}
		return 0, nil
	}
	return off, nil
}

// dataSet walks the elements from off to the pixels.
func (d *dicomReader) dataSet(off int64, set func(dicomElement)) error {
	for off < d.f.Size {
		e, err := d.element(off)
		if err != nil {
			return err
		}
		if e.tag >= dicomPixels {
			if e.length != dicomUndefined {
				_, err = d.end(e)
			}
			return err
		}
		if e.tag == dicomSharedGroups {
			off, err = d.items(e, 0, set)
		} else {
			set(e)
			off, err = d.skip(e, 0)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// text returns the value of e as text.
func (d *dicomReader) text(e dicomElement) string {
	b, err := d.f.span(e.value, int64(min(e.length, dicomMaxValue)))
	if err != nil {
		return ""
	}
	return headerText(b)
}

// set sets the key of t to the value of e.
func (d *dicomReader) set(m *Meta, t dicomTag, e dicomElement, names map[string]string) {
	switch t.kind {
	case dicomInt, dicomNumber, dicomNumbers:
		d.setNumbers(m, t, e)
	case dicomTexts:
		var list []string
		for v := range strings.SplitSeq(d.text(e), `\`) {
			if v = strings.TrimSpace(v); v != "" && len(list) < dicomMaxValues {
				list = append(list, v)
			}
		}
		if list != nil {
			m.Set(t.key, list)
		}
	case dicomUIDName:
		uid := d.text(e)
		suffix, _ := strings.CutPrefix(uid, "1.2.840.10008.")
		if name := names[suffix]; name != "" {
			uid = name
		}
		m.SetString(t.key, uid)
	case dicomDate:
		s := d.text(e)
		if len(s) == 8 {
			s = s[:4] + "-" + s[4:6] + "-" + s[6:]
		}
		m.SetString(t.key, s)
	default:
		m.SetString(t.key, d.text(e))
	}
}

func (d *dicomReader) setNumbers(m *Meta, t dicomTag, e dicomElement) {
	list := d.numbers(t, e)
	if len(list) == 0 {
		return
	}
	switch {
	case t.kind == dicomNumbers:
		m.Set(t.key, list)
	case t.kind == dicomNumber:
		m.Set(t.key, list[0])
	case list[0] == math.Trunc(list[0]) && math.Abs(list[0]) < 1<<53:
		m.Set(t.key, int64(list[0]))
	}
}

// numbers returns the value of e, binary or text, as numbers.
func (d *dicomReader) numbers(t dicomTag, e dicomElement) []float64 {
	vr := e.vr
	if vr == "" || vr == "UN" {
		vr = t.vr
	}
	size := map[string]int{"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8}[vr]
	var list []float64
	if size == 0 {
		for s := range strings.SplitSeq(d.text(e), `\`) {
			v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
			if err != nil || math.IsInf(v, 0) || math.IsNaN(v) || len(list) == dicomMaxValues {
				break
			}
			list = append(list, v)
		}
		return list
	}
	b, err := d.f.span(e.value, int64(min(e.length, dicomMaxValue)))
	if err != nil {
		return nil
	}
	for ; len(b) >= size && len(list) < dicomMaxValues; b = b[size:] {
		v := d.number(vr, b)
		if math.IsInf(v, 0) || math.IsNaN(v) {
			break
		}
		list = append(list, v)
	}
	return list
}

// number decodes one binary number.
func (d *dicomReader) number(vr string, b []byte) float64 {
	switch vr {
	case "US":
		return float64(d.order.Uint16(b))
	case "SS":
		return float64(int16(d.order.Uint16(b)))
	case "UL":
		return float64(d.order.Uint32(b))
	case "SL":
		return float64(int32(d.order.Uint32(b)))
	case "FL":
		return shortest32(math.Float32frombits(d.order.Uint32(b)))
	}
	return math.Float64frombits(d.order.Uint64(b))
}
