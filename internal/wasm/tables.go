package wasm

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// maxTable is the most elements of the tables of a module. Tables are for
// pointers to functions, and not part of the memory that is limited; a program
// has as many elements as it has functions.
const maxTable = 1 << 20

const tableSection = 4

// header is how a module, as opposed to a component, begins.
const header = "\x00asm\x01\x00\x00\x00"

// checkTables finds tables that are too large, before memory is taken for
// them. All else that is wrong with a module is for the compiler to say.
//
// https://webassembly.github.io/spec/core/binary/modules.html
func checkTables(code []byte) error {
	if len(code) < len(header) || string(code[:4]) != header[:4] {
		return nil
	}
	if string(code[:len(header)]) != header {
		return errors.New("it is a component, or of a later version: a core module of WASI preview 1 is wanted (target wasm32-wasip1)")
	}
	for rest := code[len(header):]; len(rest) > 0; {
		size, n := binary.Uvarint(rest[1:])
		if n <= 0 || size > uint64(len(rest)-1-n) {
			return nil
		}
		body := rest[1+n : 1+n+int(size)]
		if rest[0] == tableSection {
			return checkTableSection(body)
		}
		rest = rest[1+n+int(size):]
	}
	return nil
}

func checkTableSection(body []byte) error {
	count, n := binary.Uvarint(body)
	if n <= 0 {
		return nil
	}
	body = body[n:]
	total := uint64(0)
	for range count {
		if len(body) < 2 {
			return nil
		}
		hasMax := body[1]&1 != 0
		body = body[2:]
		least, n := binary.Uvarint(body)
		if n <= 0 {
			return nil
		}
		if total += least; total > maxTable {
			return fmt.Errorf("it has a table of %d elements, the most are %d", total, maxTable)
		}
		body = body[n:]
		if hasMax {
			if _, n = binary.Uvarint(body); n <= 0 {
				return nil
			}
			body = body[n:]
		}
	}
	return nil
}
