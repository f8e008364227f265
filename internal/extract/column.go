package extract

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"time"
)

// kinds are the types of the values of a column so far, a set.
type kinds uint8

const (
	isBoolean kinds = 1 << iota
	isInteger
	isNumber
	isDate
	isDatetime
	isString
)

// A column is what is known of one column of a table. The numbers and times
// are of use as long as nothing else was seen, so a column of text costs no
// more than a comparison a value.
type column struct {
	kinds          kinds
	decimal        byte  // a decimal point beside '.'
	values         int64 // that are not missing
	intMin, intMax int64
	numMin, numMax float64
	time           timeRange
	text           textRange
	lastKey        uint64 // the value before, if it has at most 8 bytes
	lastLen        int    // its length; 0 for none
}

func (c *column) reset(decimal byte) {
	*c = column{decimal: decimal, intMin: math.MaxInt64, intMax: math.MinInt64, numMin: math.Inf(1), numMax: math.Inf(-1)}
}

// add takes a value without space around it, at most maxField of it.
func (c *column) add(b []byte) {
	if isMissing(b) {
		return
	}
	c.values++
	key := prefixKey(b)
	if len(b) == c.lastLen && key == c.lastKey {
		return // once more the same, as in most columns of categories
	}
	if c.lastLen = 0; len(b) <= 8 {
		c.lastLen, c.lastKey = len(b), key
	}
	c.text.add(b, key)
	if c.kinds&isString != 0 {
		return
	}
	v := parseScalar(b, c.decimal)
	c.kinds |= v.kind
	switch v.kind {
	case isInteger:
		c.intMin, c.intMax = min(c.intMin, v.integer), max(c.intMax, v.integer)
	case isNumber:
		if !math.IsInf(v.number, 0) {
			c.numMin, c.numMax = min(c.numMin, v.number), max(c.numMax, v.number)
		}
	case isDate, isDatetime:
		c.time.add(v.integer, b)
	}
}

// typ joins the types of all values.
func (c *column) typ() string {
	switch c.kinds {
	case 0:
		return "null"
	case isBoolean:
		return "boolean"
	case isInteger:
		return "integer"
	case isNumber, isNumber | isInteger:
		return "number"
	case isDate:
		return "date"
	case isDatetime, isDatetime | isDate:
		return "datetime"
	}
	return "string"
}

// setRange sets the least and the greatest value.
func (c *column) setRange(m *Meta) {
	switch c.typ() {
	case "integer":
		m.Set("min", c.intMin)
		m.Set("max", c.intMax)
	case "number":
		if c.kinds&isInteger != 0 {
			c.numMin, c.numMax = min(c.numMin, float64(c.intMin)), max(c.numMax, float64(c.intMax))
		}
		m.Set("min", c.numMin)
		m.Set("max", c.numMax)
	case "date", "datetime":
		m.Set("min", string(c.time.min))
		m.Set("max", string(c.time.max))
	case "string":
		m.Set("min", quote(c.text.min))
		m.Set("max", quote(c.text.max))
	}
}

// isMissing says if b stands for no value.
func isMissing(b []byte) bool {
	switch len(b) {
	case 0:
		return true
	case 2:
		return string(b) == "NA"
	case 3:
		switch string(b) {
		case "n/a", "N/A", "NaN", "nan", "NAN":
			return true
		}
	case 4:
		switch string(b) {
		case "null", "NULL", "Null", "#N/A", "-nan", "-NaN":
			return true
		}
	}
	return false
}

// A textRange keeps the least and the greatest text by their bytes.
type textRange struct {
	min, max       []byte
	minKey, maxKey uint64
}

// shortText is the length of most texts in bytes, at most.
const shortText = 24

// add compares the first eight bytes, of which key is made, as one number:
// nearly always that is enough.
func (r *textRange) add(b []byte, key uint64) {
	if r.min == nil {
		room := make([]byte, 0, 2*shortText) // one allocation for two short texts
		r.min, r.max = append(room[:0:shortText], b...), append(room[shortText:shortText], b...)
		r.minKey, r.maxKey = key, key
		return
	}
	if key <= r.minKey && (key < r.minKey || bytes.Compare(b, r.min) < 0) {
		r.min, r.minKey = append(r.min[:0], b...), key
	}
	if key >= r.maxKey && (key > r.maxKey || bytes.Compare(b, r.max) > 0) {
		r.max, r.maxKey = append(r.max[:0], b...), key
	}
}

// prefixKey orders as the first eight bytes of b do.
func prefixKey(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.BigEndian.Uint64(b)
	}
	if cap(b) >= 8 { // one load; what lies behind b is cut off
		return binary.BigEndian.Uint64(b[:8]) &^ (1<<(64-8*len(b)) - 1)
	}
	var key uint64
	for i, c := range b {
		key |= uint64(c) << (56 - 8*i)
	}
	return key
}

// A timeRange keeps the first and the last time as the file writes them.
type timeRange struct {
	min, max       []byte
	minKey, maxKey int64
}

func (r *timeRange) add(key int64, b []byte) {
	if r.min == nil || key < r.minKey {
		r.min, r.minKey = append(r.min[:0], b...), key
	}
	if r.max == nil || key > r.maxKey {
		r.max, r.maxKey = append(r.max[:0], b...), key
	}
}

// A value is one field: its type and, by that, its number or time.
type value struct {
	kind    kinds
	integer int64 // of a time, microseconds since 1970 UTC
	number  float64
}

// parseScalar returns the value of text that is not missing.
func parseScalar(b []byte, decimal byte) value {
	switch c := b[0]; {
	case c-'0' <= 9 || c == '-' || c == '+' || c == '.' || c == decimal:
		if v := parseNumber(b, decimal); v.kind != isString {
			return v
		}
		if len(b) >= 10 && b[4] == '-' {
			return parseTime(b)
		}
	case c == 't' || c == 'T':
		if s := string(b); s == "true" || s == "TRUE" || s == "True" {
			return value{kind: isBoolean}
		}
	case c == 'f' || c == 'F':
		if s := string(b); s == "false" || s == "FALSE" || s == "False" {
			return value{kind: isBoolean}
		}
	}
	if isInfinite(b) {
		return value{kind: isNumber, number: math.Inf(1)}
	}
	return value{kind: isString}
}

func isInfinite(b []byte) bool {
	if b[0] == '-' || b[0] == '+' {
		b = b[1:]
	}
	switch string(b) {
	case "inf", "Inf", "INF", "infinity", "Infinity":
		return true
	}
	return false
}

// parseNumber reads decimal numbers. Those with leading zeros ("007") are
// identifiers and so text.
func parseNumber(b []byte, decimal byte) value {
	text := value{kind: isString}
	d := b
	negative := d[0] == '-'
	if negative || d[0] == '+' {
		d = d[1:]
	}
	if len(d) == 0 || len(d) > 1 && d[0] == '0' && d[1]-'0' <= 9 {
		return text
	}
	var mantissa uint64
	i, point := 0, -1
	for ; i < len(d); i++ {
		c := d[i]
		if c-'0' <= 9 {
			if i >= 18 { // no int64 and no power of ten overflows
				return parseLongNumber(b, decimal)
			}
			mantissa = mantissa*10 + uint64(c-'0')
		} else if (c == '.' || c == decimal) && point < 0 {
			point = i
		} else {
			break
		}
	}
	if i < len(d) {
		if d[i]|' ' == 'e' && i > 0 {
			return parseLongNumber(b, decimal)
		}
		return text
	}
	switch {
	case point < 0 && negative:
		return value{kind: isInteger, integer: -int64(mantissa)}
	case point < 0:
		return value{kind: isInteger, integer: int64(mantissa)}
	case len(d) == 1:
		return text // a lone point
	case mantissa >= 1<<53:
		return parseLongNumber(b, decimal)
	}
	// Both are exact in a float64, so one division rounds once.
	v := value{kind: isNumber, number: float64(mantissa) / powerOfTen(len(d)-1-point)}
	if negative {
		v.number = -v.number
	}
	return v
}

// powerOfTen returns 10 to the n, which is below 19.
func powerOfTen(n int) float64 {
	return powersOfTen[n]
}

// powersOfTen would be copied for each number if it were within a function.
var powersOfTen = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18}

// parseLongNumber reads numbers with exponents or many digits.
func parseLongNumber(b []byte, decimal byte) value {
	whole := true
	for _, c := range b {
		switch {
		case c-'0' <= 9 || c == '-' || c == '+':
		case c == '.' || c == decimal || c == 'e' || c == 'E':
			whole = false
		default:
			return value{kind: isString}
		}
	}
	if whole {
		if n, err := strconv.ParseInt(string(b), 10, 64); err == nil {
			return value{kind: isInteger, integer: n}
		}
	}
	var buf [maxField]byte
	s := buf[:copy(buf[:], b)]
	for i, c := range s {
		if c == decimal {
			s[i] = '.'
		}
	}
	f, err := strconv.ParseFloat(string(s), 64)
	if err != nil && !math.IsInf(f, 0) {
		return value{kind: isString}
	}
	return value{kind: isNumber, number: f}
}

// parseTime reads the dates and times of ISO 8601 that leave no doubt:
// 2006-01-02, and after a T or a space 15:04, seconds, a fraction and a zone.
func parseTime(b []byte) value {
	text := value{kind: isString}
	year, ok1 := digits(b[0:4])
	month, ok2 := digits(b[5:7])
	day, ok3 := digits(b[8:10])
	if !ok1 || !ok2 || !ok3 || b[4] != '-' || b[7] != '-' || month < 1 || month > 12 || day < 1 || day > daysIn(month, year) {
		return text
	}
	date := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Unix()
	if len(b) == 10 {
		return value{kind: isDate, integer: date * 1e6}
	}
	clock, ok := parseClock(b[11:])
	if b[10] != 'T' && b[10] != ' ' || !ok {
		return text
	}
	return value{kind: isDatetime, integer: date*1e6 + clock}
}

// parseClock returns the microseconds since midnight UTC of a time of day.
func parseClock(b []byte) (int64, bool) {
	if len(b) < 5 || b[2] != ':' {
		return 0, false
	}
	hour, ok1 := digits(b[0:2])
	minute, ok2 := digits(b[3:5])
	if !ok1 || !ok2 || hour > 24 || minute > 59 {
		return 0, false
	}
	micros := int64(hour*60+minute) * 60e6
	b = b[5:]
	if len(b) >= 3 && b[0] == ':' {
		second, ok := digits(b[1:3])
		if !ok || second > 60 {
			return 0, false
		}
		micros += int64(second) * 1e6
		if b = b[3:]; len(b) > 1 && (b[0] == '.' || b[0] == ',') {
			unit := int64(1e5)
			for b = b[1:]; len(b) > 0 && b[0]-'0' <= 9; b = b[1:] {
				micros += int64(b[0]-'0') * unit
				unit /= 10
			}
		}
	}
	offset, ok := parseZone(b)
	return micros - offset, ok
}

// parseZone reads "", Z, ±hh, ±hhmm and ±hh:mm as microseconds.
func parseZone(b []byte) (int64, bool) {
	if len(b) == 0 || string(b) == "Z" || string(b) == "z" {
		return 0, true
	}
	if b[0] != '+' && b[0] != '-' {
		return 0, false
	}
	rest := b[1:]
	if len(rest) == 5 && rest[2] == ':' {
		rest = []byte{rest[0], rest[1], rest[3], rest[4]}
	}
	if len(rest) == 2 {
		rest = []byte{rest[0], rest[1], '0', '0'}
	}
	if len(rest) != 4 {
		return 0, false
	}
	hour, ok1 := digits(rest[:2])
	minute, ok2 := digits(rest[2:])
	offset := int64(hour*60+minute) * 60e6
	if b[0] == '-' {
		offset = -offset
	}
	return offset, ok1 && ok2 && hour < 24 && minute < 60
}

// digits returns the number that b is, all digits.
func digits(b []byte) (int, bool) {
	n := 0
	for _, c := range b {
		if c-'0' > 9 {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

func daysIn(month, year int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}
