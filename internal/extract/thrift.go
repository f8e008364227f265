package extract

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Types of Thrift's compact protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
	thriftUUID   = 13
)

const maxThriftDepth = 64

// A thriftReader reads Thrift's compact protocol. After a fault it returns
// zeros, and err says what it was.
type thriftReader struct {
	b     []byte
	depth int
	err   error
}

var errThriftCut = errors.New("it ends too early")

func (r *thriftReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *thriftReader) byte() byte {
	if len(r.b) == 0 {
		r.fail(errThriftCut)
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *thriftReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail(errThriftCut)
		return 0
	}
	r.b = r.b[n:]
	return v
}

// integer reads a number of type I16, I32 or I64.
func (r *thriftReader) integer() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// bytes reads a binary or string. It is a part of the input.
func (r *thriftReader) bytes() []byte { return r.take(r.uvarint()) }

func (r *thriftReader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail(errThriftCut)
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// fields reads a struct. Visit is called for each field with its number and
// type, and either reads its value or returns false.
func (r *thriftReader) fields(visit func(id int, t byte) bool) {
	if r.depth++; r.depth > maxThriftDepth {
		r.fail(fmt.Errorf("nested deeper than %d", maxThriftDepth))
	}
	defer func() { r.depth-- }()
	id := 0
	for r.err == nil {
		head := r.byte()
		if head == 0 {
			return
		}
		if delta := int(head >> 4); delta != 0 {
			id += delta
		} else {
			id = int(int16(r.integer()))
		}
		if t := head & 15; r.err == nil && !visit(id, t) {
			r.skip(t)
		}
	}
}

// list reads a list: each is called for every item, to read it.
func (r *thriftReader) list(each func(t byte)) {
	head := r.byte()
	n := uint64(head >> 4)
	if n == 15 {
		n = r.uvarint()
	}
	if n > uint64(len(r.b)) { // an item has a byte at least
		r.fail(errThriftCut)
	}
	for ; n > 0 && r.err == nil; n-- {
		each(head & 15)
	}
}

// skip passes over a value that is a field of a struct.
func (r *thriftReader) skip(t byte) {
	switch t {
	case thriftTrue, thriftFalse:
	case thriftByte:
		r.byte()
	case thriftI16, thriftI32, thriftI64:
		r.uvarint()
	case thriftDouble:
		r.take(8)
	case thriftBinary:
		r.bytes()
	case thriftList, thriftSet:
		if r.depth++; r.depth > maxThriftDepth {
			r.fail(fmt.Errorf("nested deeper than %d", maxThriftDepth))
		}
		r.list(r.skipItem)
		r.depth--
	case thriftMap:
		r.skipMap()
	case thriftStruct:
		r.fields(func(int, byte) bool { return false })
	case thriftUUID:
		r.take(16)
	default:
		r.fail(fmt.Errorf("a value of type %d", t))
	}
}

// skipItem passes over an item of a list or map, where a boolean is a byte.
func (r *thriftReader) skipItem(t byte) {
	if t == thriftTrue || t == thriftFalse {
		t = thriftByte
	}
	r.skip(t)
}

func (r *thriftReader) skipMap() {
	n := r.uvarint()
	if n == 0 {
		return
	}
	types := r.byte()
	if n > uint64(len(r.b)) {
		r.fail(errThriftCut)
	}
	if r.depth++; r.depth > maxThriftDepth {
		r.fail(fmt.Errorf("nested deeper than %d", maxThriftDepth))
	}
	for ; n > 0 && r.err == nil; n-- {
		r.skipItem(types >> 4)
		r.skipItem(types & 15)
	}
	r.depth--
}
