package main

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// A relay passes TCP connections on to a server and counts the bytes.
type relay struct {
	address  string // host:port that it listens on
	up, down atomic.Int64

	to       string
	listener net.Listener
	mu       sync.Mutex
	open     map[net.Conn]bool // nil: closed
	working  sync.WaitGroup
}

func newRelay(to string) (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{address: l.Addr().String(), to: to, listener: l, open: map[net.Conn]bool{}}
	r.working.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.working.Go(func() { r.pass(conn) })
		}
	})
	return r, nil
}

// pass serves one connection until both ways have ended.
func (r *relay) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer server.Close()
	if !r.keep(client, server) {
		return
	}
	defer r.drop(client, server)
	var ways sync.WaitGroup
	ways.Go(func() { copyCounted(server, client, &r.up) })
	ways.Go(func() { copyCounted(client, server, &r.down) })
	ways.Wait()
}

// copyCounted copies until one of them ends, and tells the other.
func copyCounted(to, from net.Conn, n *atomic.Int64) {
	io.Copy(to, io.TeeReader(from, counter{n}))
	if c, ok := to.(*net.TCPConn); ok {
		c.CloseWrite()
	}
}

// A counter counts what is written to it.
type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

func (r *relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		return false
	}
	for _, c := range conns {
		r.open[c] = true
	}
	return true
}

func (r *relay) drop(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		delete(r.open, c)
	}
}

// close ends all connections and waits for them.
func (r *relay) close() {
	r.listener.Close()
	r.mu.Lock()
	for c := range r.open {
		c.Close()
	}
	r.open = nil
	r.mu.Unlock()
	r.working.Wait()
}
