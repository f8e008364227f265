package worker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = 5 * time.Minute // large libraries may come from slow disks
	closeTimeout = 2 * time.Second // for a process to end by itself
)

// errNotReady is wrapped by the error about a process that is too slow to start.
var errNotReady = errors.New("not ready")

// A process is a program that is asked on its standard input and answers on
// its standard output. What questions and answers look like is up to others.
type process struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	stdout  io.Closer
	out     *bufio.Reader
	name    string
	mu      sync.Mutex
	waited  bool // it is gone, and its number may belong to another
	waitErr error
}

// startProcess starts a command.
func startProcess(name string, cmd *exec.Cmd) (*process, error) {
	// A group of its own: it and its children can be ended together, and
	// Ctrl-C is for us to pass on.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = closeTimeout
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{cmd: cmd, stdin: stdin, stdout: stdout, out: bufio.NewReaderSize(stdout, 64<<10), name: name}, nil
}

// ready ends the process, and says why, unless hello succeeds in time.
func (p *process) ready(ctx context.Context, limit time.Duration, hello func(context.Context) error) error {
	start, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := hello(start)
	if err == nil {
		return nil
	}
	p.end()
	if start.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%s is %w after %v", p.name, errNotReady, limit)
	}
	return err
}

// converse sends a question, if there is one, and receives an answer. If ctx
// ends, so does the process.
func (p *process) converse(ctx context.Context, question []byte, receive func(*bufio.Reader) error) error {
	stop := context.AfterFunc(ctx, p.kill)
	_, err := p.stdin.Write(question)
	if err == nil {
		err = receive(p.out)
	}
	switch {
	case !stop():
		return ctx.Err() // even if there is an answer: the process has none more
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE):
		return p.ended()
	case err != nil:
		return fmt.Errorf("%s gave no proper answer: %w", p.name, err)
	}
	return nil
}

// ended says how the process ended, without being asked to.
func (p *process) ended() error {
	p.end()
	if p.waitErr != nil {
		return fmt.Errorf("%s ended: %w", p.name, p.waitErr)
	}
	return fmt.Errorf("%s ended in the midst of it", p.name)
}

// Close implements Worker. A process that does not end by itself is killed.
func (p *process) Close() error {
	p.end()
	return nil
}

// end waits for the process after its input has ended.
func (p *process) end() {
	p.mu.Lock()
	gone := p.waited
	p.mu.Unlock()
	if gone {
		return
	}
	p.stdin.Close()
	timer := time.AfterFunc(closeTimeout, p.kill)
	defer timer.Stop()
	// Until its output ends, the process is there, or a child of it.
	_, _ = io.Copy(io.Discard, p.out)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waitErr = p.cmd.Wait()
	p.waited = true
	// Children that it left behind, with output of their own, are still of
	// its group.
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
}

// kill ends the process and its children at once.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.waited {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		// A child that left the group may hold the other end for ever.
		p.stdout.Close()
	}
}
