package ui

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/term"
)

// A Sample is how far something is.
type Sample struct {
	Phase                  string // what is being done, such as "pack"
	Files, Bytes           int64
	TotalFiles, TotalBytes int64 // 0 as long as they are not known
}

// The line appears late, so that short commands show none, and is drawn
// seldom.
const (
	progressDelay = time.Second
	progressPause = 100 * time.Millisecond
	rateWindow    = 50 // samples that the rate is an average over: 5 seconds
)

// Progress draws a line about what sample returns until stop is called, which
// erases it. Without a terminal, or if t is quiet, nothing is drawn.
func (t *Talk) Progress(sample func() Sample) (stop func()) {
	if t.fd < 0 || t.quiet {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t.draw(sample, quit)
	}()
	return func() {
		close(quit)
		<-done
		t.mu.Lock()
		defer t.mu.Unlock()
		t.erase()
	}
}

func (t *Talk) draw(sample func() Sample, quit <-chan struct{}) {
	ticker := time.NewTicker(progressPause)
	defer ticker.Stop()
	begin := time.Now()
	var meter meter
	for {
		select {
		case <-quit:
			return
		case now := <-ticker.C:
			s := sample()
			meter.add(now, s)
			if now.Sub(begin) >= progressDelay {
				t.show(formatProgress(s, meter.rate()))
			}
		}
	}
}

// show draws the line, as much of it as fits.
func (t *Talk) show(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	width, _, err := term.GetSize(t.fd)
	if err != nil || width < 10 {
		width = 80
	}
	if r := []rune(line); len(r) >= width {
		line = string(r[:width-1])
	}
	n := len([]rune(line))
	pad := max(0, t.line-n)
	fmt.Fprintf(t.w, "\r%s%s%s", line, strings.Repeat(" ", pad), strings.Repeat("\b", pad))
	t.line = n
}

// erase takes the line away.
func (t *Talk) erase() {
	if t.line > 0 {
		fmt.Fprintf(t.w, "\r%s\r", strings.Repeat(" ", t.line))
		t.line = 0
	}
}

// A meter finds the rate of the last seconds.
type meter struct {
	phase string
	times []time.Time
	bytes []int64
}

func (m *meter) add(now time.Time, s Sample) {
	if s.Phase != m.phase {
		*m = meter{phase: s.Phase}
	}
	m.times, m.bytes = append(m.times, now), append(m.bytes, s.Bytes)
	if len(m.times) > rateWindow {
		m.times, m.bytes = m.times[1:], m.bytes[1:]
	}
}

// rate is in bytes per second.
func (m *meter) rate() float64 {
	last := len(m.times) - 1
	seconds := m.times[last].Sub(m.times[0]).Seconds()
	if seconds <= 0 {
		return 0
	}
	return max(0, float64(m.bytes[last]-m.bytes[0])/seconds)
}

func formatProgress(s Sample, rate float64) string {
	of := func(done, total string, known bool) string {
		if known {
			return done + "/" + total
		}
		return done
	}
	parts := []string{s.Phase}
	if s.Files > 0 || s.TotalFiles > 0 {
		parts = append(parts, of(Count(s.Files), Count(s.TotalFiles), s.TotalFiles > 0)+" files")
	}
	if s.Bytes > 0 || s.TotalBytes > 0 {
		parts = append(parts, of(Bytes(s.Bytes), Bytes(s.TotalBytes), s.TotalBytes > 0))
	}
	if rate > 0 {
		parts = append(parts, Bytes(int64(rate))+"/s")
		if left := s.TotalBytes - s.Bytes; left > 0 {
			parts = append(parts, Seconds(float64(left)/rate)+" left")
		}
	}
	return strings.Join(parts, "  ")
}
