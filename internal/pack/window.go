package pack

import (
	"io"
	"sync"
)

// Section returns n bytes of the tar stream from off on. Of a remote pack,
// who reads on is read ahead for, but never behind the end of the section.
// through says that all of it is going to be read, from its first byte to its
// last.
func (r *Reader) Section(off, n int64, through bool) *io.SectionReader {
	if !r.src.Remote || n <= 0 {
		return io.NewSectionReader(r, off, n)
	}
	w := &window{r: r, last: -2, run: 1, end: int((off + n - 1) / r.src.FrameSize)}
	if through {
		w.run = r.longestRun()
		w.last, w.steps = int(off/r.src.FrameSize)-1, 1
		w.ahead = w.last + 1
	}
	return io.NewSectionReader(w, off, n)
}

// FrameRange returns the numbers of the frames that hold n bytes from off on:
// from first to before end.
func (r *Reader) FrameRange(off, n int64) (first, end int) {
	if n <= 0 {
		return 0, 0
	}
	return int(off / r.src.FrameSize), int((off+n-1)/r.src.FrameSize) + 1
}

// FrameAt returns where a frame lies in the blob.
func (r *Reader) FrameAt(i int) (Frame, error) { return r.src.Frame(i) }

// runsAhead is how many runs are on their way at the same time: one alone would
// leave the line idle while its request is under way.
const runsAhead = 4

// A window is a section of a remote pack: it sees how it is read, and fetches
// more at once, the longer that goes on in order.
type window struct {
	r   *Reader
	end int // the last frame of the section

	mu    sync.Mutex
	last  int // the frame that was read last
	run   int // frames to fetch at once
	steps int // in a row that went on in order, and had to wait
	ahead int // the first frame that has not been asked for
}

// ReadAt implements io.ReaderAt over the tar stream.
func (w *window) ReadAt(p []byte, off int64) (int, error) {
	size := w.r.src.FrameSize
	n := 0
	for n < len(p) {
		part := p[n:]
		i := int(off / size)
		if rest := int64(i+1)*size - off; rest < int64(len(part)) {
			part = part[:rest]
		}
		if off < w.r.src.TarSize {
			w.want(i)
		}
		k, err := w.r.ReadAt(part, off)
		n, off = n+k, off+int64(k)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// want fetches frame i, and what will be wanted next.
func (w *window) want(i int) {
	w.mu.Lock()
	if i == w.last {
		w.mu.Unlock()
		return
	}
	inOrder := i == w.last+1
	w.last = i
	longest := w.r.longestRun()
	switch {
	case !inOrder:
		w.run, w.ahead, w.steps = 1, i, 0
	case i >= w.ahead:
		// One step may be chance, as in the search of a tree.
		if w.steps++; w.steps > 1 {
			w.run = min(2*w.run, longest)
		}
		w.ahead = i
	}
	now := w.next(i >= w.ahead)
	var later []frames
	for inOrder && w.run > 1 && w.ahead-i < runsAhead*w.run && w.ahead <= w.end {
		w.run = min(2*w.run, longest)
		later = append(later, w.next(true))
	}
	w.mu.Unlock()
	for _, f := range later {
		w.r.cache.Go(func() { w.r.Fetch(f.first, f.n) })
	}
	w.r.Fetch(now.first, now.n)
}

// frames are some neighbours.
type frames struct{ first, n int }

// next takes the next run, if it is due.
func (w *window) next(due bool) frames {
	f := frames{w.ahead, min(w.run, w.end-w.ahead+1)}
	if !due || f.n <= 0 {
		return frames{}
	}
	w.ahead += f.n
	return f
}
