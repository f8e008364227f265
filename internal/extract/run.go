package extract

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/data-containers/cdb/internal/catalog"
)

// Limits of what is kept of one file.
const (
	maxMeta     = 64 << 10 // bytes of JSON
	maxWarnings = 8
	maxWarning  = 300 // bytes of text
)

// Keys that belong to no format.
const (
	mediaTypeKey = "mime.type"
	warningsKey  = "extract.warnings"
)

// WarningsKey is the metric of files whose metadata is not all it could be:
// an array of messages.
const WarningsKey = warningsKey

// A Source is a file that a build reads.
type Source struct {
	Path string // relative to the root of the data, with slashes
	Name string // absolute file name on this machine; "" if it has none
	Size int64  // in bytes
}

// A Result is what was found of one file.
type Result struct {
	// Meta is a JSON object in the form that a catalog has it, with the keys
	// mime.type first and extract.warnings last; "" for an empty one.
	Meta     string
	Warnings []string
}

// File extracts from a file that lies in memory. data is not kept or changed.
func (s *Set) File(ctx context.Context, src Source, data []byte) Result {
	src.Size = int64(len(data))
	if s.perFile() == 0 {
		return Result{}
	}
	if len(data) > HeadSize {
		j := s.Begin(src)
		defer j.Close()
		j.Write(data)
		return j.Finish(ctx)
	}
	r := &run{set: s, file: File{Path: src.Path, Size: src.Size, Head: data}}
	r.match()
	r.write(data)
	r.end()
	copied := s.spool(src)
	defer copied.remove()
	copied.write(data)
	r.external(ctx, &ExternalFile{Source: src, Data: data}, copied)
	return r.result()
}

// perFile counts what looks at the bytes of files.
func (s *Set) perFile() int {
	n := len(s.formats) + len(s.externals)
	if s.mime {
		n++
	}
	return n
}

// A Job extracts from one file whose bytes come in pieces.
type Job struct {
	run
	src    Source
	head   *[HeadSize]byte
	n      int64  // bytes so far
	copied *spool // for external extractors, of a file without a name
}

// Begin begins with a file of src.Size bytes. The job must be closed.
func (s *Set) Begin(src Source) *Job {
	j := &Job{run: run{set: s, file: File{Path: src.Path, Size: src.Size}}, src: src}
	if s.perFile() == 0 {
		return j
	}
	j.head, _ = s.heads.Get().(*[HeadSize]byte)
	if j.head == nil {
		j.head = new([HeadSize]byte)
	}
	j.file.Head = j.head[:0]
	j.copied = s.spool(src)
	return j
}

// Write takes the next bytes. It never fails.
func (j *Job) Write(p []byte) (int, error) {
	if j.head == nil {
		return len(p), nil
	}
	j.copied.write(p)
	rest := p
	if free := HeadSize - len(j.file.Head); free > 0 && !j.matched {
		n := min(free, len(p))
		j.file.Head = append(j.file.Head, p[:n]...)
		rest = p[n:]
		if n < free && int64(len(j.file.Head)) < j.src.Size {
			j.n += int64(len(p))
			return len(p), nil
		}
		j.match()
		j.write(j.file.Head)
	}
	j.write(rest)
	j.keepTail(p)
	j.n += int64(len(p))
	return len(p), nil
}

// keepTail keeps what of p is in the last TailSize bytes of the file.
func (j *Job) keepTail(p []byte) {
	if j.format == nil || !j.format.Tail || j.format.Extract == nil {
		return
	}
	if from := j.src.Size - TailSize - j.n; from < int64(len(p)) {
		if j.file.Tail == nil {
			j.file.Tail = make([]byte, 0, TailSize)
		}
		p = p[max(0, from):]
		j.file.Tail = append(j.file.Tail, p[:min(len(p), TailSize-len(j.file.Tail))]...)
	}
}

// Finish ends the file and returns what was found. A file of which fewer bytes
// came than were announced gives nothing.
func (j *Job) Finish(ctx context.Context) Result {
	if j.head == nil || j.n < j.src.Size {
		return Result{}
	}
	if !j.matched { // it is empty
		j.match()
	}
	j.end()
	j.external(ctx, &ExternalFile{Source: j.src}, j.copied)
	return j.result()
}

// Close ends the use of the job, also in the midst of the file.
func (j *Job) Close() {
	if j.stream != nil {
		j.warnings = nil
		j.end()
	}
	if j.head != nil {
		j.set.heads.Put(j.head)
		j.head = nil
	}
	j.copied.remove()
}

// A run is what happens to one file.
type run struct {
	set      *Set
	file     File
	matched  bool    // match was called
	format   *Format // that matched, or nil
	stream   Stream  // nil when it has ended
	meta     Meta
	extra    []found // of externals
	warnings []string
}

// found is what an external extractor found.
type found struct {
	name string
	meta *Meta
}

// guard calls f, which may fail and even panic: that is a warning of name.
func (r *run) guard(name string, f func() error) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			r.warn(name, fmt.Errorf("a fault of cdb: %v", p))
		}
	}()
	if err := f(); err != nil {
		r.warn(name, err)
		return false
	}
	return true
}

func (r *run) warn(name string, err error) {
	if len(r.warnings) == maxWarnings {
		return
	}
	text := name + ": " + err.Error()
	if len(text) > maxWarning {
		n := maxWarning
		for n > 0 && !utf8.RuneStart(text[n]) {
			n--
		}
		text = text[:n] + " …"
	}
	r.warnings = append(r.warnings, text)
}

// match finds the format, once the head is there, and begins its stream.
func (r *run) match() {
	r.matched = true
	for next := 0; next < len(r.set.formats) && r.format == nil; {
		next = r.matchFrom(next)
	}
	if f := r.format; f != nil && f.Stream != nil {
		r.guard(f.Name, func() error {
			r.stream = f.Stream(&r.file)
			return nil
		})
	}
}

// matchFrom finds the first format from number i on, and returns where to go
// on if one of them panics. There is one guard for all, not one for each: they
// are many, and most files are small.
func (r *run) matchFrom(i int) (next int) {
	formats := r.set.formats
	defer func() {
		if p := recover(); p != nil {
			r.warn(formats[i].Name, fmt.Errorf("a fault of cdb: %v", p))
			next = i + 1
		}
	}()
	for ; i < len(formats); i++ {
		if formats[i].Match(&r.file) {
			r.format = formats[i]
			break
		}
	}
	return len(formats)
}

// write gives the next bytes to the stream, if there is one.
func (r *run) write(p []byte) {
	if r.stream == nil || len(p) == 0 {
		return
	}
	ok := r.guard(r.format.Name, func() error {
		_, err := r.stream.Write(p)
		return err
	})
	if !ok {
		r.end()
	}
}

// end asks the format for what it found.
func (r *run) end() {
	f, s := r.format, r.stream
	r.stream = nil
	switch {
	case s != nil:
		r.guard(f.Name, func() error { return s.Finish(&r.meta) })
	case f != nil && f.Extract != nil:
		r.guard(f.Name, func() error { return f.Extract(&r.file, &r.meta) })
	}
}

// result puts all that was found together.
func (r *run) result() Result {
	var o object
	if r.set.mime {
		o.addString(mediaTypeKey, r.mediaType())
	}
	if r.format != nil {
		if err := o.add(&r.meta, r.format.Name+"."); err != nil {
			r.warn(r.format.Name, err)
		}
	}
	for _, x := range r.extra {
		if err := o.add(x.meta, ""); err != nil {
			r.warn(x.name, err)
		}
	}
	if len(r.warnings) > 0 {
		o.set(warningsKey, r.warnings)
	}
	return Result{o.String(), r.warnings}
}

func (r *run) mediaType() (t string) {
	if t = r.meta.mediaType; t == "" && r.format != nil {
		t = r.format.MediaType
	}
	if t == "" {
		r.guard(mime, func() error {
			t = MediaType(&r.file)
			return nil
		})
	}
	return t
}

// reservedKeys are set by cdb alone.
func reservedKeys() []string { return []string{"size", "sha256", "link", mediaTypeKey, warningsKey} }

// An object is a JSON object in the making.
type object struct {
	keySet
	text []byte
}

// set appends a member.
func (o *object) set(key string, value any) {
	o.begin(key)
	o.text = appendValue(o.text, value)
}

// setJSON appends a member with a value in JSON.
func (o *object) setJSON(key, value string) {
	o.begin(key)
	o.text = append(o.text, value...)
}

// begin appends the key of a member.
func (o *object) begin(key string) {
	if o.find(key) < 0 {
		o.push(key)
	}
	if o.text == nil {
		o.text = append(make([]byte, 0, 512), '{')
	} else {
		o.text = append(o.text, ", "...)
	}
	o.text = append(catalog.AppendString(o.text, key), ": "...)
}

func (o *object) addString(key, value string) {
	if value != "" {
		o.set(key, value)
	}
}

// add appends all of m with prefix before each key, or nothing if that is too
// much. Keys that are there stay as they are.
func (o *object) add(m *Meta, prefix string) error {
	start, before := len(o.text), len(o.keys)
	var refused []string
	for i, k := range m.keys {
		key := prefix + k
		if slices.Contains(reservedKeys(), key) || o.find(key) >= 0 {
			refused = append(refused, key)
			continue
		}
		o.set(key, m.values[i])
	}
	if n := len(o.text); n > maxMeta {
		o.truncate(before)
		if o.text = o.text[:start]; start == 0 {
			o.text = nil
		}
		return fmt.Errorf("%d bytes of metadata, left out as all of a file may have %d", n-start, maxMeta)
	}
	if len(refused) > 0 && !m.yields {
		return errors.New("key " + refused[0] + " is taken, and left out")
	}
	return nil
}

func (o *object) String() string {
	if o.text == nil {
		return ""
	}
	return string(append(o.text, '}'))
}
