package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/data-containers/cdb/bench/link"
	"github.com/data-containers/cdb/internal/distribution"
)

// A network is a registry and the way to it from where the tools run.
type network struct {
	name    string
	host    string // host:port of the registry
	counted string // where the same registry is reached with each byte counted

	registry *distribution.Registry
	line     *link.Link // nil: loopback
	relay    *relay     // nil: the line counts
	work     string
	docker   *daemon // nil until a tool needs it
	stops    []func()
}

// The line of the slow network.
const (
	roundTrip = 50 * time.Millisecond
	lineRate  = 200_000_000 // bits per second, each way
)

// newLoopback starts a registry on this machine.
func newLoopback(work string) (*network, error) {
	n := &network{name: "loopback", work: work}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	// It is free now; another program may take it before the registry does.
	n.host = l.Addr().String()
	l.Close()
	if err := n.start(distribution.Options{}); err != nil {
		return nil, err
	}
	if n.relay, err = newRelay(n.host); err != nil {
		n.close()
		return nil, err
	}
	n.stops = append(n.stops, n.relay.close)
	n.counted = n.relay.address
	return n, nil
}

// newLine starts a registry at the other end of a slow line.
func newLine(work string) (*network, error) {
	l, err := link.New(link.Options{Delay: roundTrip / 2, Rate: lineRate})
	if err != nil {
		return nil, err
	}
	n := &network{name: fmt.Sprintf("%d ms, %d Mbit/s", roundTrip.Milliseconds(), lineRate/1_000_000),
		work: work, line: l, stops: []func(){l.Close}}
	n.host = net.JoinHostPort(l.Server.Address, "5000")
	n.counted = n.host
	return n, n.start(distribution.Options{Start: l.Server.Start, Dial: l.Server.DialContext})
}

func (n *network) start(o distribution.Options) error {
	var err error
	if o.Program, err = exec.LookPath(distribution.Program); err == nil {
		o.Dir, err = os.MkdirTemp(n.work, "registry")
	}
	if err == nil {
		o.Host, o.AccessLog = n.host, true
		n.registry, err = distribution.Start(o)
	}
	if err != nil {
		n.close()
		return err
	}
	n.stops = append(n.stops, func() {
		if err := n.registry.Close(); err != nil {
			say("%v", err)
		}
		os.RemoveAll(o.Dir)
	})
	return nil
}

// close ends what runs in the network, the last one first.
func (n *network) close() {
	for len(n.stops) > 0 {
		last := len(n.stops) - 1
		n.stops[last]()
		n.stops = n.stops[:last]
	}
}

// at calls f where the tools are: programs that f starts are there, too.
func (n *network) at(f func() error) error {
	if n.line == nil {
		return f()
	}
	return n.line.Client.Do(f)
}

// needDocker starts a Docker daemon in the network, once.
func (n *network) needDocker(ctx context.Context) error {
	if n.docker != nil {
		return nil
	}
	return n.at(func() error {
		dir, err := os.MkdirTemp(n.work, "d") // short: sockets lie in it
		if err == nil {
			n.docker, err = startDaemon(ctx, dir, fmt.Sprintf(`{"insecure-registries": [%q]}`, n.host))
		}
		if err == nil {
			n.stops = append(n.stops, n.docker.stop)
		}
		return err
	})
}

// A transfer is what a run cost here and on the way.
type transfer struct {
	usage
	Up, Down int64 // bytes to the registry and back; 0 where they are not counted
	Requests int64
}

func (t transfer) bytes() int64 { return t.Up + t.Down }

// medianTransfer takes the middle of the times, and the bytes and requests of
// the last run.
func medianTransfer(runs []transfer) transfer {
	if len(runs) == 0 {
		return transfer{}
	}
	var all []usage
	for _, r := range runs {
		all = append(all, r.usage)
	}
	m := runs[len(runs)-1]
	m.usage = median(all)
	return m
}

// observe runs something where the tools are and counts what passes meanwhile.
func (n *network) observe(run func() (usage, error)) (transfer, error) {
	up, down := n.traffic()
	seen, err := n.requests()
	if err != nil {
		return transfer{}, err
	}
	var t transfer
	if err = n.at(func() (err error) { t.usage, err = run(); return err }); err != nil {
		return transfer{}, err
	}
	time.Sleep(n.rest())
	upNow, downNow := n.traffic()
	now, err := n.requests()
	t.Up, t.Down, t.Requests = upNow-up, downNow-down, now-seen
	return t, err
}

// rest is how long the last packets may be on their way, and the registry may
// take to log the last request.
func (n *network) rest() time.Duration {
	const logging = 50 * time.Millisecond
	if n.line == nil {
		return logging
	}
	return logging + 2*roundTrip
}

func (n *network) traffic() (up, down int64) {
	if n.line == nil {
		return n.relay.up.Load(), n.relay.down.Load()
	}
	u, d := n.line.Stats()
	return u.Bytes, d.Bytes
}

// requests counts those that the registry has logged.
func (n *network) requests() (int64, error) {
	log, err := os.ReadFile(n.registry.Log)
	if err != nil {
		return 0, fmt.Errorf("count requests: %w", err)
	}
	return int64(bytes.Count(log, []byte(" HTTP/1."))), nil
}

// startNetworks starts the networks that can be had here, and notes why others
// cannot.
func (b *bench) startNetworks() []*network {
	var list []*network
	for i, start := range []func(string) (*network, error){newLoopback, newLine} {
		n, err := start(b.work)
		if err != nil {
			name := []string{"registry over loopback", "registry over a slow line"}[i]
			b.report.missing = append(b.report.missing, name+": "+err.Error())
			say("%s left out: %v", name, err)
			continue
		}
		b.stops = append(b.stops, n.close)
		list = append(list, n)
	}
	return list
}

// count prints a number of bytes or requests, "-" if it was not counted.
func count(n int64, format func(int64) string) string {
	if n <= 0 {
		return "-"
	}
	return format(n)
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
