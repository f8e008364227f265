package link_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/data-containers/cdb/bench/link"
)

func newLink(t *testing.T, o link.Options) *link.Link {
	t.Helper()
	l, err := link.New(o)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(l.Close)
	return l
}

// serve serves n bytes at the server's end and returns their address.
func serve(t *testing.T, l *link.Link, n int) string {
	t.Helper()
	listener, err := l.Server.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("0123456789abcdef"), n/16)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(content) })}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return "http://" + listener.Addr().String() + "/"
}

// fetch downloads from the client's end and returns how long it took to the first and to the last byte.
func fetch(t *testing.T, l *link.Link, address string) (first, last time.Duration, n int64) {
	t.Helper()
	transport := &http.Transport{DialContext: l.Client.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	begin := time.Now()
	res, err := (&http.Client{Transport: transport, Timeout: 20 * time.Second}).Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	first = time.Since(begin)
	n, err = io.Copy(io.Discard, res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return first, time.Since(begin), n
}

// Connecting and asking are two round trips: four times the delay.
func TestDelay(t *testing.T) {
	l := newLink(t, link.Options{Delay: 25 * time.Millisecond})
	first, _, _ := fetch(t, l, serve(t, l, 1600))
	if first < 100*time.Millisecond || first > 400*time.Millisecond {
		t.Errorf("first byte after %v, want a little more than 100 ms", first)
	}
	up, down := l.Stats()
	if up.Packets < 3 || down.Bytes < 1600 || down.Dropped != 0 {
		t.Errorf("up %+v, down %+v", up, down)
	}
}

func TestRate(t *testing.T) {
	l := newLink(t, link.Options{Delay: time.Millisecond, Rate: 40_000_000})
	_, last, n := fetch(t, l, serve(t, l, 3_200_000))
	// 3.2 MB at 40 Mbit/s take 640 ms, headers not counted.
	if n != 3_200_000 || last < 600*time.Millisecond || last > 3*time.Second {
		t.Errorf("%d bytes took %v, want about 0.7 s", n, last)
	}
}

// A program that is started at an end sees the other end, and no other network.
func TestPrograms(t *testing.T) {
	l := newLink(t, link.Options{Delay: 5 * time.Millisecond})
	listener, err := l.Server.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "hello\n")
			conn.Close()
		}
	}()
	host, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, bash, "-c", "cat </dev/tcp/"+host+"/"+port+"; cat /proc/net/dev")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := l.Client.Run(cmd); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if got := out.String(); !strings.HasPrefix(got, "hello\n") || !strings.Contains(got, "line:") || strings.Contains(got, "eth0") {
		t.Errorf("the program says %s", got)
	}
	if sibling, err := listener.(*link.Listener).Sibling(); err != nil || sibling.Addr().String() == listener.Addr().String() {
		t.Errorf("sibling: %v, %v", sibling, err)
	}
}
