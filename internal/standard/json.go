package standard

import (
	"bufio"
	"bytes"
	"strconv"
	"strings"

	"github.com/data-containers/cdb/internal/catalog"
)

// A jsonWriter writes JSON, indented, as it comes. Errors stay in the
// bufio.Writer until it is flushed.
type jsonWriter struct {
	w     *bufio.Writer
	ends  []byte // closing brackets of what is open
	empty bool   // nothing is in the innermost yet
	buf   []byte
}

func newJSON(w *bufio.Writer) *jsonWriter { return &jsonWriter{w: w, empty: true} }

// next begins a member, or with the key "" an element.
func (j *jsonWriter) next(key string) {
	if len(j.ends) > 0 {
		if !j.empty {
			j.w.WriteByte(',')
		}
		j.newline()
	}
	j.empty = false
	if key != "" {
		j.text(key)
		j.w.WriteString(": ")
	}
}

func (j *jsonWriter) newline() {
	j.w.WriteByte('\n')
	for range j.ends {
		j.w.WriteString("  ")
	}
}

// text writes a string. A document can stand in a script element of a page
// whatever is in it, as nothing in a string ends one.
func (j *jsonWriter) text(s string) {
	j.buf = catalog.AppendString(j.buf[:0], strings.ToValidUTF8(s, "\ufffd"))
	for i, piece := range bytes.Split(j.buf, []byte("<")) {
		if i > 0 {
			j.w.WriteString(`\u003c`)
		}
		j.w.Write(piece)
	}
}

// object and array open one; end closes the innermost.
func (j *jsonWriter) object(key string) { j.open(key, '{', '}') }
func (j *jsonWriter) array(key string)  { j.open(key, '[', ']') }

func (j *jsonWriter) open(key string, begin, end byte) {
	j.next(key)
	j.w.WriteByte(begin)
	j.ends, j.empty = append(j.ends, end), true
}

func (j *jsonWriter) end() {
	last := len(j.ends) - 1
	end := j.ends[last]
	j.ends = j.ends[:last]
	if !j.empty {
		j.newline()
	}
	j.empty = false
	j.w.WriteByte(end)
	if last == 0 {
		j.w.WriteByte('\n')
	}
}

// str writes a string, unless it is empty.
func (j *jsonWriter) str(key, value string) {
	if value != "" {
		j.next(key)
		j.text(value)
	}
}

// strs writes an array of strings, unless it is empty.
func (j *jsonWriter) strs(key string, values []string) {
	if len(values) == 0 {
		return
	}
	j.array(key)
	for _, v := range values {
		j.str("", v)
	}
	j.end()
}

func (j *jsonWriter) num(key string, n int64) {
	j.next(key)
	j.w.WriteString(strconv.FormatInt(n, 10))
}

// ref writes {"@id": id}.
func (j *jsonWriter) ref(key, id string) {
	j.next(key)
	j.w.WriteString(`{"@id": `)
	j.text(id)
	j.w.WriteByte('}')
}

// raw writes a value that is JSON already.
func (j *jsonWriter) raw(key, value string) {
	j.next(key)
	j.w.WriteString(value)
}
