//go:build !linux

package link

import (
	"context"
	"errors"
	"net"
	"os/exec"
)

// End is one end of a link; on Linux only.
type End struct {
	Address string // IP address
}

var errLinux = errors.New("make a link: network namespaces are on Linux only")

// New fails: there are no network namespaces here.
func New(Options) (*Link, error) { return nil, errLinux }

// Close does nothing.
func (l *Link) Close() {}

// Do fails.
func (e *End) Do(func() error) error { return errLinux }

// Start fails.
func (e *End) Start(*exec.Cmd) error { return errLinux }

// Run fails.
func (e *End) Run(*exec.Cmd) error { return errLinux }

// Listen fails.
func (e *End) Listen(int) (net.Listener, error) { return nil, errLinux }

// DialContext fails.
func (e *End) DialContext(context.Context, string, string) (net.Conn, error) { return nil, errLinux }
