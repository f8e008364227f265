package extract

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// What of a table its dialect is told from.
const (
	sampleSize    = 64 << 10
	sampleRecords = 100
)

// A dialect says how a table is written.
type dialect struct {
	delimiter byte
	newline   byte
	decimal   byte // ',' is a decimal point too where ';' delimits
	begin     int  // bytes before the first record
	comments  int  // lines of comments among them
	header    bool
	above     bool     // the header is the last comment
	rowNames  bool     // rows have one field more than the header: R's names of rows
	names     []string // of columns, at most maxColumns
	width     int      // number of columns
	utf16     string   // which UTF-16 the file is in, "" for none
}

// matchCSV takes tables by their name, and those whose name says nothing if
// they can be nothing else.
func matchCSV(f *File, samples *samplePool) bool {
	named := f.HasSuffix(".csv", ".tsv", ".tab", ".psv")
	if !named && strings.Contains(f.Name(), ".") && !f.HasSuffix(".txt", ".dat", ".data") {
		return false
	}
	if mark, _ := byteOrderMark(f.Head); strings.HasPrefix(mark, "utf-16") {
		return named
	}
	if len(f.Head) == 0 || !looksLikeText(f.Head[:min(len(f.Head), sampleSize)]) {
		return false
	}
	return named || isTable(f, samples)
}

// looksLikeText says if b has none of the control characters that text has
// not.
func looksLikeText(b []byte) bool {
	// There is no branch a byte, as texts are full of newlines that none could
	// foresee.
	for len(b) > 0 {
		block := b[:min(len(b), 1024)]
		b = b[len(block):]
		found := byte(0)
		for _, c := range block {
			found |= controlBytes[c]
		}
		if found != 0 {
			return false
		}
	}
	return true
}

// controlBytes has a 1 for the control characters that text has not.
var controlBytes = func() (table [256]byte) {
	for c := range byte(' ') {
		if bytes.IndexByte([]byte("\n\r\t\f\x1b"), c) < 0 {
			table[c] = 1
		}
	}
	return table
}()

// isTable says if content alone shows a table: three or more records that all
// have the same number of fields, and a column of something but text, or
// tabs.
func isTable(f *File, samples *samplePool) bool {
	sample := samples.get()
	defer samples.put(sample)
	d := sniff(f, sample)
	records := sampleOf(f, &d, sample)
	if len(records) < 3 || d.width < 2 {
		return false
	}
	typed := false
	for i, r := range records {
		if len(r) != d.width {
			return false
		}
		typed = typed || i > 0 && slices.ContainsFunc(r, func(b []byte) bool { return isTyped(b, d.decimal) })
	}
	return typed || d.delimiter == '\t'
}

// isTyped says if a field is something but text.
func isTyped(b []byte, decimal byte) bool {
	b = trim(b)
	return !isMissing(b) && parseScalar(b, decimal).kind != isString
}

// sniff tells the dialect of a table from its head.
func sniff(f *File, sample *sample) dialect {
	d := dialect{delimiter: ',', newline: '\n'}
	mark, n := byteOrderMark(f.Head)
	if strings.HasPrefix(mark, "utf-16") {
		d.utf16 = mark
		return d
	}
	d.begin = n
	if !bytes.Contains(f.Head, []byte("\n")) && bytes.Contains(f.Head, []byte("\r")) {
		d.newline = '\r'
	}
	candidates := []byte(",\t;|")
	if f.HasSuffix(".tsv", ".tab") {
		candidates = []byte("\t,;|")
	}
	if line, ok := d.line(f.Head); ok && len(line) == 5 && string(line[:4]) == "sep=" && line[4] < 0x80 && line[4] != '"' {
		candidates = line[4:] // Excel's own
		d.begin += bytes.IndexByte(f.Head[d.begin:], d.newline) + 1
	}
	last := d.passComments(f.Head)
	records := d.choose(f, candidates, sample)
	if d.delimiter == ';' {
		d.decimal = ','
	}
	d.findHeader(records, last, sample)
	return d
}

// line returns the line at begin, without its end.
func (d *dialect) line(head []byte) ([]byte, bool) {
	b := head[min(d.begin, len(head)):]
	i := bytes.IndexByte(b, d.newline)
	if i < 0 {
		return nil, false
	}
	return bytes.TrimSuffix(b[:i], []byte("\r")), true
}

// passComments moves begin past lines that begin with '#', and returns the
// last one.
func (d *dialect) passComments(head []byte) (last []byte) {
	for {
		line, ok := d.line(head)
		if !ok || len(line) == 0 || line[0] != '#' {
			return last
		}
		last = line[1:]
		d.comments++
		d.begin += bytes.IndexByte(head[d.begin:], d.newline) + 1
	}
}

// choose sets the delimiter that cuts most records into the same number of
// fields, more than one, and returns the records.
func (d *dialect) choose(f *File, candidates []byte, sample *sample) [][][]byte {
	var best [][][]byte
	bestShare := -1.0
	for _, c := range candidates {
		try := *d
		try.delimiter = c
		records := sampleOf(f, &try, sample)
		width, share := commonWidth(records)
		if share > bestShare {
			best, bestShare = records, share
			d.delimiter, d.width = c, width
		}
		if share == 1 {
			break
		}
	}
	return best
}

// commonWidth returns the most frequent number of fields and the share of
// records that have it, 0 if that number is 1.
func commonWidth(records [][][]byte) (width int, share float64) {
	counts := map[int]int{}
	for _, r := range records {
		counts[len(r)]++
		if n := counts[len(r)]; n > counts[width] || n == counts[width] && len(r) > width {
			width = len(r)
		}
	}
	if width <= 1 {
		return width, 0
	}
	n := counts[width]
	if first := len(records[0]); first > 1 && first == width-1 {
		n++
	}
	return width, float64(n) / float64(len(records))
}

// sampleOf cuts the begin of a table into records. The last one is left out
// if the sample ends in it, unless it is the only one.
func sampleOf(f *File, d *dialect, sample *sample) [][][]byte {
	for size := sampleSize; ; size = HeadSize {
		b := f.Head[min(d.begin, len(f.Head)):]
		whole := f.Whole() && len(b) <= size
		records := d.records(b[:min(len(b), size)], whole, sample)
		if len(records) > 1 || len(b) <= size || size == HeadSize {
			return records
		}
	}
}

// A sample is room for the records that tell a dialect. Tables are many, and
// most of them are small.
type sample struct {
	fields  [][]byte
	records [][][]byte
}

// mostFields bounds the room that is kept for the next table, in fields.
const mostFields = 1 << 13

// A samplePool keeps the room of samples.
type samplePool struct{ pool sync.Pool }

func (p *samplePool) get() *sample {
	if s, ok := p.pool.Get().(*sample); ok {
		return s
	}
	return &sample{}
}

// put takes a sample back, of which nothing may be in use.
func (p *samplePool) put(s *sample) {
	if cap(s.fields) > mostFields {
		return
	}
	clear(s.fields)
	clear(s.records)
	s.fields, s.records = s.fields[:0], s.records[:0]
	p.pool.Put(s)
}

// records cuts b into records, at most sampleRecords. They lie in sample,
// behind those that are there.
func (d *dialect) records(b []byte, whole bool, sample *sample) [][][]byte {
	fields, all := sample.fields, sample.records[len(sample.records):]
	defer func() { sample.fields, sample.records = fields, append(sample.records, all...) }()
	begin := len(fields) // of the record at hand
	for len(b) > 0 && len(all) < sampleRecords {
		field, end, quoted := d.field(b)
		if end == len(b) && !whole && len(all) > 0 {
			return all
		}
		atEnd := end == len(b)
		newline := atEnd || b[end] == d.newline
		b = b[min(end+1, len(b)):]
		if newline && len(fields) == begin && len(trim(field)) == 0 && !quoted {
			continue
		}
		fields = append(fields, field)
		if !atEnd && !newline && len(b) == 0 && (whole || len(all) == 0) {
			fields, newline = append(fields, nil), true // a delimiter at the very end
		}
		if newline {
			all = append(all, fields[begin:len(fields):len(fields)])
			begin = len(fields)
		}
	}
	return all
}

// field returns the first field of b without its quotes, and where it ends.
func (d *dialect) field(b []byte) (field []byte, end int, quoted bool) {
	if b[0] != '"' {
		end = d.endOf(b)
		return b[:end], end, false
	}
	i := 1
	for i < len(b) {
		j := bytes.IndexByte(b[i:], '"')
		if j < 0 {
			return append(field, b[i:]...), len(b), true
		}
		field = append(field, b[i:i+j]...)
		if i += j + 1; i == len(b) || b[i] != '"' {
			break
		}
		field = append(field, '"')
		i++
	}
	end = i + d.endOf(b[i:])
	return append(field, trim(b[i:end])...), end, true
}

// endOf returns where the next delimiter or newline in b is, or its length.
func (d *dialect) endOf(b []byte) int {
	for i, c := range b {
		if c == d.delimiter || c == d.newline {
			return i
		}
	}
	return len(b)
}

// findHeader sets what the columns are called.
func (d *dialect) findHeader(records [][][]byte, last []byte, sample *sample) {
	if len(records) == 0 {
		return
	}
	header := records[0]
	if last != nil {
		if r := d.records(last, true, sample); len(r) == 1 && len(r[0]) == d.width && d.width > 1 {
			d.header, d.above, header = true, true, r[0]
			d.comments--
		}
	}
	if !d.above {
		d.header = isHeader(records, d.decimal)
		d.rowNames = d.header && len(header) == d.width-1 && len(header) > 1
		if !d.rowNames {
			d.width = len(header)
		}
	}
	if d.rowNames {
		header = append([][]byte{nil}, header...)
	}
	for i, name := range header[:min(len(header), maxColumns)] {
		if d.header {
			d.names = append(d.names, quote(name[:min(len(name), maxField)]))
		} else {
			d.names = append(d.names, fmt.Sprintf("column%d", i+1))
		}
	}
}

// isHeader says if the first record holds names: by the columns whose values
// are something but text, and if there are none, if all fields differ.
func isHeader(records [][][]byte, decimal byte) bool {
	first, votes := records[0], 0
	if isYears(first) {
		return true
	}
	shift := 0
	if len(records) > 1 && len(records[1]) == len(first)+1 && len(first) > 1 {
		shift = 1
	}
	for i, name := range first {
		switch {
		case isTyped(name, decimal):
			votes--
		case mostlyTyped(records[1:], i+shift, decimal):
			votes++
		}
		if left := len(first) - 1 - i; votes > left || votes < -left {
			return votes > 0 // whatever the other columns say
		}
	}
	if votes != 0 {
		return votes > 0
	}
	seen := map[string]bool{}
	for i, b := range first {
		if name := string(trim(b)); seen[name] || name == "" && i > 0 {
			return false
		} else {
			seen[name] = true
		}
	}
	return true
}

// mostlyTyped says if more than half of the values of a column are something
// but text.
func mostlyTyped(records [][][]byte, column int, decimal byte) bool {
	typed, texts := 0, 0
	for i, r := range records {
		if column >= len(r) {
			continue
		}
		if b := trim(r[column]); isMissing(b) {
			continue
		} else if parseScalar(b, decimal).kind != isString {
			typed++
		} else {
			texts++
		}
		if left := len(records) - 1 - i; typed > texts+left || texts >= typed+left {
			break
		}
	}
	return typed > texts
}

// isYears says if a record is names and then years, one after the other.
func isYears(record [][]byte) bool {
	run, previous := 0, 0
	for _, b := range record {
		year, ok := digits(trim(b))
		if !ok || len(trim(b)) != 4 {
			if run > 0 && len(trim(b)) > 0 {
				return false
			}
			continue
		}
		if run > 0 && year != previous+1 {
			return false
		}
		run, previous = run+1, year
	}
	return run >= 3 && run < len(record) && len(trim(record[0])) > 0 && previous >= 1000 && previous < 3000
}
