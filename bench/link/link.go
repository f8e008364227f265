// Package link is a slow network on this machine: two network namespaces, a client's and a server's, and between them
// a line with a delay, a rate and a queue.
//
// The kernel's TCP runs over it as over any other, with slow start and all that. The line itself is two TUN devices
// and a loop that passes packets on when they are due, because the kernel's own means for it (the netem queueing
// discipline) is missing from many kernels; so nothing but root on Linux is needed. The namespaces have no names and
// no life of their own: they end with the process, however it ends.
package link

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Options say what the line is like. Its zero value is a line without delay and limit.
type Options struct {
	Delay time.Duration // of a packet, each way; kept to about a millisecond
	Rate  int64         // bits per second, each way; 0: as fast as this machine can, some Gbit/s at most
	Queue int           // bytes that wait before more are dropped; 0: what fits into 100 ms, and 64 KiB at least
}

// Stats are counts of packets that went one way.
type Stats struct {
	Packets, Bytes int64 // that arrived
	Dropped        int64 // packets, by the full queue
}

// Link is a line with two ends.
type Link struct {
	Client, Server *End

	up, down line // to the server, to the client
	working  sync.WaitGroup
	once     sync.Once
}

// line is one direction of a link.
type line struct {
	Options
	free                    time.Time // when the last packet has been sent
	packets, bytes, dropped atomic.Int64
}

// Stats returns what went up to the server and down to the client since the beginning.
func (l *Link) Stats() (up, down Stats) { return l.up.stats(), l.down.stats() }

func (l *line) stats() Stats {
	return Stats{Packets: l.packets.Load(), Bytes: l.bytes.Load(), Dropped: l.dropped.Load()}
}

// admit says when a packet that comes now arrives at the other end, or that the queue has no room for it.
func (l *line) admit(size int, now time.Time) (due time.Time, ok bool) {
	if l.Rate <= 0 {
		return now.Add(l.Delay), true
	}
	if l.free.Before(now) {
		l.free = now
	}
	if l.free.Sub(now) > l.duration(l.queue()) {
		return time.Time{}, false
	}
	l.free = l.free.Add(l.duration(int64(size)))
	return l.free.Add(l.Delay), true
}

func (l *line) queue() int64 {
	if l.Queue > 0 {
		return int64(l.Queue)
	}
	return max(l.Rate/8/10, 64<<10)
}

// duration is how long it takes to send some bytes.
func (l *line) duration(size int64) time.Duration {
	return time.Duration(float64(size*8) / float64(l.Rate) * float64(time.Second))
}

// Listener is a TCP listener at an end of a link.
type Listener struct {
	net.Listener
	end *End
}

// Sibling returns a listener with the same address and another port.
func (l *Listener) Sibling() (net.Listener, error) { return l.end.Listen(0) }
