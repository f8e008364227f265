package extract

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Bounds of PDF, in bytes but for the sections.
const (
	maxPDFObject   = 256 << 10 // one object
	maxPDFInflate  = 16 << 20  // all that is decompressed
	maxPDFSections = 64        // updates of a file
)

// A pdfReader finds objects by the cross-reference sections, the newest first
// (ISO 32000-2, section 7.5).
type pdfReader struct {
	f        *File
	base     int64 // offset of the header, from which offsets count
	sections []pdfSection
	trailer  pdfDict
	inflated int64
	streams  map[int][]byte // object streams, decompressed
}

// A pdfSection is a part of the cross-references: lines of a table in the
// file, or rows of a stream.
type pdfSection struct {
	first, count int
	offset       int64  // of the lines of a table
	rows         []byte // of a stream
	widths       [3]int
}

// A pdfPlace says where an object is: at an offset, or in a stream.
type pdfPlace struct {
	offset int64
	stream int // the number of an object stream, 0 for none
}

var errPDFNoObject = errors.New("there is no such object")

// readSections follows the chain of cross-references from the end of the file.
func (r *pdfReader) readSections() error {
	start := max(0, r.f.Size-2048)
	end, err := r.f.span(start, r.f.Size-start)
	if err != nil {
		return err
	}
	i := bytes.LastIndex(end, []byte("startxref"))
	if i < 0 {
		return errors.New("there is no cross-reference at the end")
	}
	p := &pdfParser{b: end, pos: i + len("startxref")}
	off, err := p.integer()
	if err != nil {
		return err
	}
	seen := map[int]bool{}
	for todo := []int{off}; len(todo) > 0; {
		off, todo = todo[0], todo[1:]
		if seen[off] || len(seen) == maxPDFSections {
			continue
		}
		seen[off] = true
		trailer, err := r.readSection(off)
		if err != nil {
			return err
		}
		if r.trailer == nil {
			r.trailer = trailer
		}
		for _, name := range []pdfName{"XRefStm", "Prev"} {
			if v, ok := trailer[name].(float64); ok {
				todo = append(todo, int(v))
			}
		}
	}
	return nil
}

// at returns a parser for what is at an offset.
func (r *pdfReader) at(off int64) (*pdfParser, error) {
	if off < 0 || off >= r.f.Size-r.base {
		return nil, fmt.Errorf("offset %d is beyond the end", off)
	}
	b := r.f.upTo(r.base+off, maxPDFObject)
	if b == nil {
		return nil, ErrBeyond
	}
	return &pdfParser{b: b}, nil
}

// readSection reads one cross-reference and returns its trailer.
func (r *pdfReader) readSection(off int) (pdfDict, error) {
	p, err := r.at(int64(off))
	if err != nil {
		return nil, err
	}
	if !p.keyword("xref") {
		return r.readStreamSection(p, int64(off))
	}
	pos := int64(off)
	for {
		pos += int64(p.pos)
		if p, err = r.at(pos); err != nil {
			return nil, err
		}
		if p.keyword("trailer") {
			break
		}
		first, err := p.integer()
		if err != nil {
			return nil, err
		}
		count, err := p.integer()
		if err != nil {
			return nil, err
		}
		if first < 0 || count < 0 || len(r.sections) > 1<<12 || int64(count) > r.f.Size/20 {
			return nil, fmt.Errorf("a cross-reference of %d objects", count)
		}
		p.skipSpace()
		r.sections = append(r.sections, pdfSection{first: first, count: count, offset: pos + int64(p.pos)})
		p.pos += 20 * count
	}
	v, err := p.object(0)
	if err != nil {
		return nil, err
	}
	trailer, ok := v.(pdfDict)
	if !ok {
		return nil, errors.New("the trailer is no dictionary")
	}
	return trailer, nil
}

func (r *pdfReader) readStreamSection(p *pdfParser, off int64) (pdfDict, error) {
	v, err := r.indirect(p)
	if err != nil {
		return nil, err
	}
	dict, ok := v.(pdfDict)
	if !ok || dict["Type"] != pdfName("XRef") {
		return nil, fmt.Errorf("no cross-reference at offset %d", off)
	}
	rows, err := r.stream(dict, p, off)
	if err != nil {
		return nil, err
	}
	var widths [3]int
	list, _ := dict["W"].([]any)
	for i := range min(3, len(list)) {
		w, _ := list[i].(float64)
		if w < 0 || w > 8 {
			return nil, fmt.Errorf("a column of %g bytes", w)
		}
		widths[i] = int(w)
	}
	index, _ := dict["Index"].([]any)
	if index == nil {
		index = []any{0.0, float64(len(rows))} // all rows: those of Size
	}
	width := widths[0] + widths[1] + widths[2]
	for ; len(index) >= 2 && width > 0 && len(rows) > 0; index = index[2:] {
		first, _ := index[0].(float64)
		count, _ := index[1].(float64)
		if first < 0 || first > 1<<31 || count < 0 || count > 1<<31 {
			return nil, fmt.Errorf("a cross-reference of %g objects", count)
		}
		n := min(int(count), len(rows)/width)
		r.sections = append(r.sections, pdfSection{first: int(first), count: n, rows: rows[:n*width], widths: widths})
		rows = rows[n*width:]
	}
	return dict, nil
}

// find returns where object num is.
func (r *pdfReader) find(num int) (pdfPlace, error) {
	for _, s := range r.sections {
		i := num - s.first
		if i < 0 || i >= s.count {
			continue
		}
		if s.rows == nil {
			line, err := r.f.span(r.base+s.offset+20*int64(i), 20)
			if err != nil {
				return pdfPlace{}, err
			}
			if line[17] == 'f' {
				continue
			}
			off, err := strconv.ParseInt(string(line[:10]), 10, 64)
			if err != nil || line[17] != 'n' {
				return pdfPlace{}, fmt.Errorf("the cross-reference of object %d is no such line", num)
			}
			return pdfPlace{offset: off}, nil
		}
		row := s.rows[i*(s.widths[0]+s.widths[1]+s.widths[2]):]
		kind := 1
		if s.widths[0] > 0 {
			kind = int(bigEndian(row[:s.widths[0]]))
		}
		value := bigEndian(row[s.widths[0]:][:s.widths[1]])
		switch kind {
		case 1:
			return pdfPlace{offset: value}, nil
		case 2:
			return pdfPlace{stream: int(value)}, nil
		}
	}
	return pdfPlace{}, fmt.Errorf("object %d: %w", num, errPDFNoObject)
}

// bigEndian reads a number of at most 8 bytes.
func bigEndian(b []byte) int64 {
	var n int64
	for _, c := range b {
		n = n<<8 | int64(c)
	}
	return n
}

// indirect reads "1 0 obj" and the object.
func (r *pdfReader) indirect(p *pdfParser) (any, error) {
	if _, err := p.integer(); err != nil {
		return nil, err
	}
	if _, err := p.integer(); err != nil {
		return nil, err
	}
	if !p.keyword("obj") {
		return nil, errors.New("no object where one should be")
	}
	return p.object(0)
}

// get returns the object that v refers to, or v.
func (r *pdfReader) get(v any) (any, error) {
	ref, ok := v.(pdfRef)
	if !ok {
		return v, nil
	}
	place, err := r.find(ref.num)
	if err != nil {
		return nil, err
	}
	if place.stream != 0 {
		return r.fromStream(place.stream, ref.num)
	}
	p, err := r.at(place.offset)
	if err != nil {
		return nil, err
	}
	return r.indirect(p)
}

// dict returns the dictionary that v is or refers to.
func (r *pdfReader) dict(v any) (pdfDict, error) {
	v, err := r.get(v)
	if err != nil {
		return nil, err
	}
	dict, ok := v.(pdfDict)
	if !ok {
		return nil, errors.New("an object is no dictionary")
	}
	return dict, nil
}

// fromStream returns object num of an object stream. It holds pairs of a
// number and an offset, then the objects.
func (r *pdfReader) fromStream(stream, num int) (any, error) {
	b, ok := r.streams[stream]
	if !ok {
		place, err := r.find(stream)
		if err != nil {
			return nil, err
		}
		p, err := r.at(place.offset)
		if err != nil || place.stream != 0 {
			return nil, errors.Join(err, errPDFNoObject)
		}
		v, err := r.indirect(p)
		if err != nil {
			return nil, err
		}
		dict, _ := v.(pdfDict)
		if b, err = r.stream(dict, p, place.offset); err != nil {
			return nil, err
		}
		first, _ := dict["First"].(float64)
		if first < 0 || first > float64(len(b)) {
			return nil, fmt.Errorf("objects at offset %g of a stream", first)
		}
		r.streams[stream] = append(strconv.AppendInt(nil, int64(first), 10), append([]byte{' '}, b...)...)
		b = r.streams[stream]
	}
	p := &pdfParser{b: b}
	first, err := p.integer()
	if err != nil {
		return nil, err
	}
	start := p.pos + 1
	for p.pos < start+first {
		n, err := p.integer()
		if err != nil {
			return nil, err
		}
		off, err := p.integer()
		if err != nil {
			return nil, err
		}
		if n == num && off >= 0 && off < len(b)-start-first {
			return (&pdfParser{b: b[start+first+off:]}).object(0)
		}
	}
	return nil, fmt.Errorf("object %d of stream %d: %w", num, stream, errPDFNoObject)
}

// stream returns the decompressed data of the stream whose dictionary p has
// just read from what is at off.
func (r *pdfReader) stream(dict pdfDict, p *pdfParser, off int64) ([]byte, error) {
	if !p.keyword("stream") {
		return nil, errors.New("an object is no stream")
	}
	if p.pos < len(p.b) && p.b[p.pos] == '\r' {
		p.pos++
	}
	if p.pos < len(p.b) && p.b[p.pos] == '\n' {
		p.pos++
	}
	v, err := r.get(dict["Length"])
	if err != nil {
		return nil, err
	}
	n, _ := v.(float64)
	raw, err := r.f.span(r.base+off+int64(p.pos), int64(n))
	if err != nil {
		return nil, err
	}
	switch f := dict["Filter"].(type) {
	case nil:
		return raw, nil
	case pdfName:
		if f == "FlateDecode" {
			parms, _ := dict["DecodeParms"].(pdfDict)
			return r.inflate(raw, parms)
		}
	case []any:
		if len(f) == 1 && f[0] == pdfName("FlateDecode") {
			parms, _ := dict["DecodeParms"].([]any)
			first, _ := append(parms, nil)[0].(pdfDict)
			return r.inflate(raw, first)
		}
	}
	return nil, errors.New("a stream has an unknown filter")
}

// inflate decompresses zlib data and undoes the predictor.
func (r *pdfReader) inflate(raw []byte, parms pdfDict) ([]byte, error) {
	z, err := zlib.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	n, err := io.Copy(&out, io.LimitReader(z, maxPDFInflate-r.inflated+1))
	if r.inflated += n; r.inflated > maxPDFInflate {
		return nil, fmt.Errorf("more than %d bytes of objects", maxPDFInflate)
	}
	if err != nil && n == 0 {
		return nil, err
	}
	b := out.Bytes()
	if predictor, _ := parms["Predictor"].(float64); predictor >= 10 {
		columns, _ := parms["Columns"].(float64)
		return undoPredictor(b, max(1, int(columns)))
	}
	return b, nil
}

// undoPredictor undoes the filters of PNG for samples of one byte: each row
// begins with its filter.
func undoPredictor(b []byte, columns int) ([]byte, error) {
	if columns > len(b) {
		return nil, errors.New("rows longer than the stream")
	}
	out, above := make([]byte, 0, len(b)), make([]byte, columns)
	for ; len(b) > columns; b = b[1+columns:] {
		row := b[1 : 1+columns]
		for i := range row {
			var left, corner byte
			if i > 0 {
				left, corner = row[i-1], above[i-1]
			}
			switch b[0] {
			case 1:
				row[i] += left
			case 2:
				row[i] += above[i]
			case 3:
				row[i] += byte((int(left) + int(above[i])) / 2)
			case 4:
				row[i] += paeth(left, above[i], corner)
			}
		}
		out, above = append(out, row...), row
	}
	return out, nil
}

// paeth is the predictor of that name (PNG specification, section 9.4).
func paeth(left, above, corner byte) byte {
	p := int(left) + int(above) - int(corner)
	a, b, c := abs(p-int(left)), abs(p-int(above)), abs(p-int(corner))
	switch {
	case a <= b && a <= c:
		return left
	case b <= c:
		return above
	}
	return corner
}

func abs(n int) int { return max(n, -n) }
