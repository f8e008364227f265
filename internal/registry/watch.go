package registry

import (
	"errors"
	"io"
	"sync"
	"time"
)

// A watch ends a request on which nothing moves. Until the answer comes its
// clock runs all the time; then only while somebody waits for bytes of it.
type watch struct {
	limit time.Duration
	timer *time.Timer

	mu       sync.Mutex
	left     time.Duration // of the limit, while nobody waits for the answer
	moved    int64         // bytes since the clock was set
	reading  bool          // the answer is here
	finished bool
}

// extend sets the clock, until the answer comes.
func (w *watch) extend(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.reading && !w.finished {
		w.moved = 0
		w.timer.Reset(d)
	}
}

// sent notes bytes of the request's body.
func (w *watch) sent(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.moved += int64(n); w.moved >= leastMove && !w.reading && !w.finished {
		w.moved = 0
		w.timer.Reset(w.limit)
	}
}

// answered stops the clock: the answer is here.
func (w *watch) answered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reading, w.moved, w.left = true, 0, w.limit
	w.timer.Stop()
}

// read calls f, which waits for bytes of the answer.
func (w *watch) read(f func() (int, error)) (int, error) {
	w.mu.Lock()
	if !w.finished {
		w.timer.Reset(max(w.left, 1))
	}
	w.mu.Unlock()
	begin := time.Now()
	n, err := f()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Stop()
	w.left -= time.Since(begin)
	if w.moved += int64(n); w.moved >= leastMove {
		w.moved, w.left = 0, w.limit
	}
	return n, err
}

func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.finished = true
	w.timer.Stop()
}

// watchedRequest is the body of a request.
type watchedRequest struct {
	io.ReadCloser
	watch   *watch
	patient bool // once it is sent, the answer may take its time
}

func (b *watchedRequest) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.watch.sent(n)
	if err != nil {
		limit := b.watch.limit
		if b.patient {
			limit *= patience
		}
		b.watch.extend(limit)
	}
	return n, err
}

// watchedAnswer is the body of an answer.
type watchedAnswer struct {
	io.ReadCloser
	watch *watch
	done  func()
	cause func() error // why its context ended
}

func (b *watchedAnswer) Read(p []byte) (int, error) {
	n, err := b.watch.read(func() (int, error) { return b.ReadCloser.Read(p) })
	if err != nil && !errors.Is(err, io.EOF) {
		if cause := b.cause(); cause != nil {
			err = cause
		}
	}
	return n, err
}

func (b *watchedAnswer) Close() error {
	err := b.ReadCloser.Close()
	b.watch.end()
	b.done()
	return err
}
