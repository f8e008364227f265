package pack

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"runtime"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/data-containers/cdb/internal/tree"
)

// An Output takes the blob of a pack.
type Output interface {
	io.Writer
	// Rewind forgets all behind the first size bytes.
	Rewind(size int64) error
}

// WriterOptions say how a pack is written. The zero value makes gzip frames
// of 1 MiB on all CPUs.
type WriterOptions struct {
	Compression Compression // default Gzip
	FrameSize   int         // default DataFrameSize
	Workers     int         // goroutines that compress; default GOMAXPROCS
}

// Info describes a finished pack.
type Info struct {
	Digest    digest.Digest // of the blob
	DiffID    digest.Digest // of the tar stream
	MediaType string
	Size      int64 // of the blob, in bytes
	Table     Table
	Location  Location // of the table; zero without compression
}

// A Writer writes one pack: entries come in order, frames are compressed by
// several goroutines and leave in order. Its methods are for one goroutine.
// After an error, and when the context ends, every method returns it; Close
// or Abort must be called in any case.
//
// Memory is bounded by frame size × (3 × workers + 4).
type Writer struct {
	ctx     context.Context // of the goroutines; ends with the first error
	cancel  context.CancelFunc
	group   *errgroup.Group
	opts    WriterOptions
	tar     *tar.Writer
	stopped bool

	frame  []byte // that is being filled
	offset int64  // in the tar stream
	marked []byte // what frame held at the last Mark
	markAt int64  // offset at the last Mark

	work  chan *job // to the compressors
	hash  chan *job // to the goroutine that hashes the tar stream, in order
	write chan *job // to the goroutine that writes the blob, in order
	free  chan []byte

	// These belong to the goroutines until they ended.
	diffID  hash.Hash
	blob    hash.Hash
	size    int64
	records []byte
	trailer Location
}

// A job is a frame on its way, or an order to the goroutines behind it.
type job struct {
	kind   jobKind
	raw    []byte
	packed []byte
	record [RecordSize]byte
	ready  chan struct{} // closed when packed and record are there
	hashed chan struct{} // closed when raw has been hashed
}

type jobKind int

const (
	jobFrame jobKind = iota
	jobMark
	jobRewind
)

// NewWriter begins a pack that is written to out.
func NewWriter(ctx context.Context, out Output, opts WriterOptions) (*Writer, error) {
	if opts.Compression == "" {
		opts.Compression = Gzip
	}
	if opts.FrameSize == 0 {
		opts.FrameSize = DataFrameSize
	}
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	w := &Writer{opts: opts, diffID: sha256.New(), blob: sha256.New()}
	ctx, w.cancel = context.WithCancel(ctx)
	w.group, w.ctx = errgroup.WithContext(ctx)
	w.work = make(chan *job, opts.Workers)
	w.hash = make(chan *job, opts.Workers)
	w.write = make(chan *job, 2*opts.Workers)
	w.free = make(chan []byte, 6*opts.Workers+8)
	w.frame = make([]byte, 0, opts.FrameSize)
	w.tar = tar.NewWriter((*stream)(w))
	for range opts.Workers {
		k, err := newCompressor(opts.Compression)
		if err != nil {
			return nil, fmt.Errorf("begin pack: %w", err)
		}
		w.group.Go(func() error { return w.compressFrames(k) })
	}
	w.group.Go(w.hashFrames)
	w.group.Go(func() error { return w.writeFrames(out) })
	return w, nil
}

// Offset returns the number of bytes of tar stream so far: after Header,
// where the bytes of the entry will lie.
func (w *Writer) Offset() int64 { return w.offset }

// Header begins the next entry. A regular file without a Link wants exactly
// e.Size bytes from Write next; one with a Link becomes a hard link. path is
// the name in the tar.
func (w *Writer) Header(path string, e *tree.Entry) error {
	if err := w.tar.WriteHeader(header(path, e)); err != nil {
		return w.fail(fmt.Errorf("pack %q: %w", path, err))
	}
	return nil
}

// AlignedHeader is Header for a regular file whose bytes shall begin at a
// multiple of align, itself a multiple of 512, in the tar stream. A comment
// record fills the gap.
func (w *Writer) AlignedHeader(path string, e *tree.Entry, align int64) error {
	if err := w.tar.Flush(); err != nil {
		return w.fail(err)
	}
	const block = 512
	// The comment adds a header and its own blocks to the file's header.
	gap := align - (w.offset+3*block)%align
	h := header(path, e)
	h.PAXRecords = map[string]string{"comment": strings.Repeat(" ", int(gap%align)+block-32)}
	if err := w.tar.WriteHeader(h); err != nil {
		return w.fail(fmt.Errorf("pack %q: %w", path, err))
	}
	return nil
}

// header returns the header of e.
func header(path string, e *tree.Entry) *tar.Header {
	h := &tar.Header{
		Name:    path,
		Mode:    int64(e.Mode),
		Uid:     e.UID,
		Gid:     e.GID,
		ModTime: e.ModTime,
		Format:  tar.FormatPAX,
	}
	switch {
	case e.Type == tree.Dir:
		h.Typeflag = tar.TypeDir
		h.Name += "/"
	case e.Type == tree.Symlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.Link
	case e.Link != "":
		h.Typeflag, h.Linkname = tar.TypeLink, e.Link
	default:
		h.Typeflag, h.Size = tar.TypeReg, e.Size
	}
	for k, v := range e.Xattrs {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords["SCHILY.xattr."+k] = v
	}
	return h
}

// Write appends bytes of the current entry.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.tar.Write(p)
	if err != nil {
		return n, w.fail(err)
	}
	return n, nil
}

// fail prefers the error that stopped the goroutines, as err only follows
// from it.
func (w *Writer) fail(err error) error {
	if cause := context.Cause(w.ctx); cause != nil {
		return cause
	}
	return err
}

// Mark remembers this place, between two entries, for Rewind.
func (w *Writer) Mark() error {
	if err := w.tar.Flush(); err != nil {
		return w.fail(err)
	}
	w.marked = append(w.marked[:0], w.frame...)
	w.markAt = w.offset
	return w.order(&job{kind: jobMark})
}

// Rewind drops all that came behind the last Mark, even half an entry.
func (w *Writer) Rewind() error {
	w.frame = append(w.frame[:0], w.marked...)
	w.offset = w.markAt
	w.tar = tar.NewWriter((*stream)(w))
	return w.order(&job{kind: jobRewind})
}

// Close ends the tar, the frames and the blob.
func (w *Writer) Close() (*Info, error) {
	err := w.tar.Close()
	if err == nil && len(w.frame) > 0 {
		err = w.submit()
	}
	if err2 := w.stop(); err2 != nil {
		return nil, err2
	}
	if err != nil {
		return nil, err
	}
	info := &Info{
		DiffID:    digest.NewDigest(digest.SHA256, w.diffID),
		Digest:    digest.NewDigest(digest.SHA256, w.blob),
		MediaType: w.opts.Compression.MediaType(),
		Size:      w.size,
		Table:     Table{FrameSize: int64(w.opts.FrameSize), TarSize: w.offset, Records: w.records},
		Location:  w.trailer,
	}
	return info, nil
}

// Abort ends the goroutines and leaves the blob as it is.
func (w *Writer) Abort() {
	w.cancel()
	w.stop()
}

// stop lets the goroutines finish what they have and waits for them.
func (w *Writer) stop() error {
	if w.stopped {
		return context.Canceled
	}
	w.stopped = true
	close(w.work)
	close(w.hash)
	close(w.write)
	err := w.group.Wait()
	w.cancel()
	return err
}

// A stream is the Writer as the tar writer sees it.
type stream Writer

func (s *stream) Write(p []byte) (int, error) {
	w := (*Writer)(s)
	total := len(p)
	for len(p) > 0 {
		n := min(len(p), w.opts.FrameSize-len(w.frame))
		w.frame = append(w.frame, p[:n]...)
		w.offset += int64(n)
		p = p[n:]
		if len(w.frame) == w.opts.FrameSize {
			if err := w.submit(); err != nil {
				return 0, err
			}
		}
	}
	return total, nil
}

// submit sends the current frame on its way.
func (w *Writer) submit() error {
	j := &job{raw: w.frame, ready: make(chan struct{}), hashed: make(chan struct{})}
	w.frame = w.buffer()
	select {
	case w.work <- j:
	case <-w.ctx.Done():
		return context.Cause(w.ctx)
	}
	return w.order(j)
}

// order hands a job to the goroutines that work in order.
func (w *Writer) order(j *job) error {
	for _, c := range []chan *job{w.hash, w.write} {
		select {
		case c <- j:
		case <-w.ctx.Done():
			return context.Cause(w.ctx)
		}
	}
	return nil
}

// buffer returns an empty buffer for a frame.
func (w *Writer) buffer() []byte {
	select {
	case b := <-w.free:
		return b[:0]
	default:
		return make([]byte, 0, w.opts.FrameSize+w.opts.FrameSize/1024+64)
	}
}

func (w *Writer) recycle(b []byte) {
	select {
	case w.free <- b:
	default:
	}
}

// compressFrames is one compressor.
func (w *Writer) compressFrames(k *compressor) error {
	for j := range w.work {
		packed, err := k.frame(w.buffer(), j.raw)
		if err != nil {
			return fmt.Errorf("compress frame: %w", err)
		}
		j.packed = packed
		binary.LittleEndian.PutUint32(j.record[:], uint32(len(packed)))
		sum := sha256.Sum256(packed)
		copy(j.record[4:], sum[:])
		close(j.ready)
	}
	return nil
}

// hashFrames computes the diffID.
func (w *Writer) hashFrames() error {
	var mark hash.Hash
	for j := range w.hash {
		var err error
		switch j.kind {
		case jobFrame:
			w.diffID.Write(j.raw)
			close(j.hashed)
		case jobMark:
			mark, err = clone(w.diffID)
		case jobRewind:
			w.diffID, err = clone(mark)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// clone copies the state of a hash.
func clone(h hash.Hash) (hash.Hash, error) {
	c, err := h.(hash.Cloner).Clone()
	return c, err
}

// writeFrames writes the blob, its trailer last.
func (w *Writer) writeFrames(out Output) error {
	var markBlob hash.Hash
	var markSize int64
	var markRecords int
	for j := range w.write {
		var err error
		switch j.kind {
		case jobFrame:
			err = w.writeFrame(out, j)
		case jobMark:
			markSize, markRecords = w.size, len(w.records)
			markBlob, err = clone(w.blob)
		case jobRewind:
			w.size, w.records = markSize, w.records[:markRecords]
			if w.blob, err = clone(markBlob); err == nil {
				err = out.Rewind(w.size)
			}
		}
		if err != nil {
			return err
		}
	}
	if err := context.Cause(w.ctx); err != nil || w.opts.Compression == None {
		return err
	}
	t := Table{FrameSize: int64(w.opts.FrameSize), TarSize: w.offset, Records: w.records}
	b, loc := t.trailer(w.opts.Compression, w.size)
	w.trailer = loc
	return w.append(out, b)
}

func (w *Writer) writeFrame(out Output, j *job) error {
	select {
	case <-j.ready:
	case <-w.ctx.Done():
		return context.Cause(w.ctx)
	}
	if err := w.append(out, j.packed); err != nil {
		return err
	}
	w.records = append(w.records, j.record[:]...)
	w.recycle(j.packed)
	select {
	case <-j.hashed:
	case <-w.ctx.Done():
		return context.Cause(w.ctx)
	}
	w.recycle(j.raw)
	return nil
}

// append writes b to the blob.
func (w *Writer) append(out Output, b []byte) error {
	if _, err := out.Write(b); err != nil {
		return fmt.Errorf("write pack: %w", err)
	}
	w.blob.Write(b)
	w.size += int64(len(b))
	return nil
}
