package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The addresses are of the range for benchmarks (RFC 2544); they are seen inside the namespaces only.
const (
	clientAddress = "198.18.0.1"
	serverAddress = "198.18.0.2"
	mtu           = 1500
)

// inFlight bounds the packets that are on their way in one direction.
const inFlight = 1 << 15

// End is one end of a link: a network of its own, with a loopback device and the line to the other end.
type End struct {
	Address string // IP address

	namespace *os.File
	device    *os.File // packets that were sent come from it, packets that arrive go into it
}

// New makes a link. It fails where namespaces or TUN devices cannot be had; the error says which, and why.
func New(o Options) (*Link, error) {
	l := &Link{up: line{Options: o}, down: line{Options: o}}
	var err error
	if l.Client, err = newEnd(clientAddress); err != nil {
		return nil, fmt.Errorf("make a link: %w", err)
	}
	if l.Server, err = newEnd(serverAddress); err != nil {
		l.Client.close()
		return nil, fmt.Errorf("make a link: %w", err)
	}
	l.up.start(&l.working, l.Client.device, l.Server.device)
	l.down.start(&l.working, l.Server.device, l.Client.device)
	return l, nil
}

// Close ends the line. Programs that run at its ends have no network any more; they are not ended.
func (l *Link) Close() {
	l.once.Do(func() {
		l.Client.close()
		l.Server.close()
		l.working.Wait()
	})
}

// newEnd makes a namespace with a device that has the address.
func newEnd(address string) (*End, error) {
	e := &End{Address: address}
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("new network namespace: %w", err)
		}
		var err error
		if e.namespace, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		if e.device, err = openTUN("line"); err != nil {
			return fmt.Errorf("TUN device: %w", err)
		}
		return configure(address)
	})
	if err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

func (e *End) close() {
	for _, f := range []*os.File{e.device, e.namespace} {
		if f != nil {
			f.Close()
		}
	}
}

// onThread runs f on a thread of its own, which ends afterwards: what f did to the thread is undone by that.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked
		done <- f()
	}()
	return <-done
}

// Do calls f on a thread that is at this end: sockets that f opens and programs that it starts are, too. What f
// leaves to other goroutines is not.
func (e *End) Do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(e.namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter the network namespace: %w", err)
		}
		return f()
	})
}

// Start starts a program at this end.
func (e *End) Start(cmd *exec.Cmd) error { return e.Do(cmd.Start) }

// Run runs a program at this end.
func (e *End) Run(cmd *exec.Cmd) error {
	if err := e.Start(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}

// Listen listens on a TCP port of this end's address; 0 is any that is free.
func (e *End) Listen(port int) (net.Listener, error) {
	l := &Listener{end: e}
	err := e.Do(func() (err error) {
		l.Listener, err = net.Listen("tcp", net.JoinHostPort(e.Address, fmt.Sprint(port)))
		return err
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// DialContext connects from this end. There are no names there: address is an IP address with a port.
func (e *End) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = e.Do(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// openTUN makes a TUN device in the thread's namespace. It lives as long as the file is open.
func openTUN(name string) (*os.File, error) {
	const path = "/dev/net/tun"
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// configure gives the thread's namespace its address and brings its devices up.
func configure(address string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	set := func(device string, what uint, change func(*unix.Ifreq) error) {
		request, e := unix.NewIfreq(device)
		if e == nil {
			e = change(request)
		}
		if e == nil {
			e = unix.IoctlIfreq(fd, what, request)
		}
		if e != nil {
			err = errors.Join(err, fmt.Errorf("configure %s: %w", device, e))
		}
	}
	up := func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }
	set("lo", unix.SIOCSIFFLAGS, up)
	set("line", unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(net.ParseIP(address).To4()) })
	set("line", unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(net.CIDRMask(30, 32)) })
	set("line", unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(mtu); return nil })
	set("line", unix.SIOCSIFFLAGS, up)
	return err
}

// packet is on its way until due.
type packet struct {
	data *[]byte
	size int
	due  time.Time
}

// start passes packets from one device to another until the first is closed.
func (l *line) start(working *sync.WaitGroup, from, to *os.File) {
	way := make(chan packet, inFlight)
	pool := &sync.Pool{New: func() any { b := make([]byte, mtu+100); return &b }}
	working.Go(func() {
		defer close(way)
		for {
			data := pool.Get().(*[]byte)
			n, err := from.Read(*data)
			if err != nil {
				return
			}
			due, ok := l.admit(n, time.Now())
			if ok {
				select {
				case way <- packet{data, n, due}:
					continue
				default:
				}
			}
			l.dropped.Add(1)
			pool.Put(data)
		}
	})
	working.Go(func() {
		for p := range way {
			time.Sleep(time.Until(p.due))
			if _, err := to.Write((*p.data)[:p.size]); err == nil {
				l.packets.Add(1)
				l.bytes.Add(int64(p.size))
			}
			pool.Put(p.data)
		}
	})
}
