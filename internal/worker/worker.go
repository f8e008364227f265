// Package worker is functions and programs of users that run outside of cdb, one
// call for each file: long-lived processes that are asked many times, several at
// once.
//
// A [Pool] keeps some workers and hands each call to a free one. What goes
// wrong in a call, be it an exception, a crash, nonsense for an answer, or no
// answer in time, is an error about that file alone: a worker that cannot be
// trusted any more is ended, and another takes its place at the next call.
// [Python] is a pool of Python processes, [Lines] one of programs that speak JSON
// Lines; [NewPool] makes one of any [Worker].
//
// It uses the standard library only.
package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"
)

// A Kind says what a function returned.
type Kind string

// The kinds of values.
const (
	Dict Kind = "dict" // the text is a JSON object
	Str  Kind = "str"  // the text is the string itself
	List Kind = "list" // the text is what Python's repr makes of the list, or JSON
	None Kind = "none" // the text is "None"
)

// A Value is what a function returned for a file.
type Value struct {
	Kind Kind
	// Text is the value as a catalog has it. Of a Dict it is the text that
	// Python's json.dumps makes: keys in their order, ASCII only.
	Text string
}

// An Error is what went wrong with one file. The pool goes on.
type Error struct {
	File string
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("describe %q: %v", e.File, e.Err) }

// Unwrap returns the cause without the name of the file.
func (e *Error) Unwrap() error { return e.Err }

// errRejected is wrapped by the error of a call that failed in an orderly way:
// the worker is good for the next one.
var errRejected = errors.New("rejected")

// A rejection is what a function says of a file that it has no value for.
type rejection string

func (r rejection) Error() string        { return string(r) }
func (r rejection) Is(target error) bool { return target == errRejected }

// Reject returns an error by which a [Worker] says that a call failed without
// harm to the worker.
func Reject(reason string) error { return rejection(reason) }

// A Request is what a worker is asked about.
type Request struct {
	File string // a file on this machine; its name may hold any byte but NUL
	Path string // what its user knows it by
	Size int64  // in bytes
}

// A Worker answers one call at a time.
type Worker interface {
	// Call returns the value for a file. If ctx ends it returns soon. After
	// an error that does not come from [Reject] the worker is closed; with one
	// that does there may be a value, too.
	Call(ctx context.Context, req Request) (Value, error)
	// Close ends the worker. It is called once, and not during a call.
	Close() error
}

// Options say how a pool works. The zero value works.
type Options struct {
	// Workers is how many work at the same time; default GOMAXPROCS.
	Workers int
	// Timeout is how long a call may take; 0 is no limit.
	Timeout time.Duration
	// Python is the interpreter for [Python]: a path, or a name to be looked
	// up in PATH; default "python3".
	Python string
	// JSON says that lists of [Python] are to be JSON, as dicts are.
	JSON bool
	// Dir is the working directory of processes; default that of cdb. The
	// script of [Python] and the program of [Lines] are relative to it.
	Dir string
	// Stderr takes what functions print, on whatever stream; nil drops it.
	// Writes come one at a time.
	Stderr io.Writer
}

// A Pool is some workers. Its methods may be called from several goroutines.
type Pool struct {
	start   func(ctx context.Context) (Worker, error)
	timeout time.Duration
	// free has a slot for each worker that is not at work; nil is one that
	// has not been started.
	free chan Worker
	size int
}

// NewPool returns a pool of workers that start makes. The first one is made
// at once, so that what is wrong with all of them is known; the others when
// they are needed.
func NewPool(ctx context.Context, start func(ctx context.Context) (Worker, error), opts Options) (*Pool, error) {
	size := opts.Workers
	if size <= 0 {
		size = runtime.GOMAXPROCS(0)
	}
	p := &Pool{start: start, timeout: opts.Timeout, free: make(chan Worker, size), size: size}
	first, err := start(ctx)
	if err != nil {
		return nil, err
	}
	// Slots are taken in turn, so the one that is ready goes first.
	p.free <- first
	for range size - 1 {
		p.free <- nil
	}
	return p, nil
}

// Call asks a free worker about a file, waiting for one if need be. The error
// is that of ctx, or an [*Error].
func (p *Pool) Call(ctx context.Context, file string) (Value, error) {
	return p.Ask(ctx, Request{File: file, Path: file})
}

// Ask is Call with all that a request may say. With an [*Error] there may be a
// value, too.
func (p *Pool) Ask(ctx context.Context, req Request) (Value, error) {
	var w Worker
	select {
	case w = <-p.free:
	case <-ctx.Done():
		return Value{}, ctx.Err()
	}
	v, w, err := p.ask(ctx, w, req)
	p.free <- w
	if err == nil {
		return v, nil
	}
	if ctx.Err() != nil {
		return Value{}, ctx.Err()
	}
	return v, &Error{req.File, err}
}

// ask returns the worker that is to be kept, nil for none.
func (p *Pool) ask(ctx context.Context, w Worker, req Request) (Value, Worker, error) {
	if w == nil {
		var err error
		if w, err = p.start(ctx); err != nil {
			return Value{}, nil, err
		}
	}
	call, cancel := ctx, context.CancelFunc(func() {})
	if p.timeout > 0 {
		call, cancel = context.WithTimeout(ctx, p.timeout)
	}
	defer cancel()
	v, err := w.Call(call, req)
	if err == nil || errors.Is(err, errRejected) {
		return v, w, err
	}
	_ = w.Close() // what the call says is the reason
	if call.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("no answer after %v", p.timeout)
	}
	return Value{}, nil, err
}

// Close waits for the calls that are at work and ends all workers. The pool
// is of no use afterwards.
func (p *Pool) Close() error {
	errs := make([]error, p.size)
	var wg sync.WaitGroup
	for i := range p.size {
		if w := <-p.free; w != nil {
			wg.Go(func() { errs[i] = w.Close() })
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}
