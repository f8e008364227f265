package worker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// maxLine is the most bytes of a line that a program answers.
const maxLine = 1 << 20

// A question is the line that a program gets about a file.
type question struct {
	ID   int64  `json:"id"`
	Path string `json:"path"`
	File string `json:"file"`
	Size int64  `json:"size"`
}

// An answer is the line that it replies. Members of other names are ignored.
type answer struct {
	ID    *int64          `json:"id"` // of the question, if it is given
	Meta  json.RawMessage `json:"meta"`
	Error *string         `json:"error"`
}

// Lines returns a pool of processes that speak JSON Lines: for each line with a
// JSON object on its standard input,
//
//	{"id": 1, "path": "a/b.csv", "file": "/data/a/b.csv", "size": 123}
//
// a process writes one on its standard output: {"meta": {...}} with what it
// found, null or {} for nothing, or {"error": "why not"}, or both. It may repeat
// the id, which is compared then. A value is a Dict.
//
// JSON cannot say names that are not UTF-8: of such a path U+FFFD stands for
// what cannot be said, and such a file must not be asked about.
//
// Before the first line is asked for, a process is asked about the empty file
// [os.DevNull]: whatever it says of that shows that it is there, and speaks so.
// It has opts.Timeout for it. Close ends the processes: their input ends, and
// two seconds later so do they.
func Lines(ctx context.Context, command []string, opts Options) (*Pool, error) {
	if len(command) == 0 {
		return nil, errors.New("start program: there is no command")
	}
	program, err := lookPath(opts.Dir, command[0])
	if err != nil {
		return nil, fmt.Errorf("start program: %w", err)
	}
	limit := opts.Timeout
	if limit <= 0 {
		limit = startTimeout
	}
	stderr := &sharedWriter{w: opts.Stderr}
	start := func(ctx context.Context) (Worker, error) {
		cmd := exec.Command(program, command[1:]...)
		cmd.Args[0], cmd.Dir = command[0], opts.Dir
		if opts.Stderr != nil {
			cmd.Stderr = stderr
		}
		w, err := startLines(ctx, command[0], cmd, limit)
		if err != nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("start program %q: %w", command[0], err)
		}
		return w, nil
	}
	return NewPool(ctx, start, opts)
}

// A lined process speaks JSON Lines.
type lined struct {
	*process
	last int64 // ID of a question
}

var _ Worker = (*lined)(nil)

func startLines(ctx context.Context, name string, cmd *exec.Cmd, limit time.Duration) (*lined, error) {
	p, err := startProcess(name, cmd)
	if err != nil {
		return nil, err
	}
	w := &lined{process: p}
	err = p.ready(ctx, limit, func(start context.Context) error {
		_, err := w.Call(start, Request{File: os.DevNull, Path: os.DevNull})
		if errors.Is(err, errRejected) {
			return nil
		}
		return err
	})
	if errors.Is(err, errNotReady) {
		err = fmt.Errorf("%w, when asked about the empty file %s: does it flush its output after each line?", err, os.DevNull)
	}
	if err != nil {
		return nil, err
	}
	return w, nil
}

// Call implements Worker.
func (w *lined) Call(ctx context.Context, req Request) (Value, error) {
	if w.unasked() {
		return Value{}, fmt.Errorf("%s said more than one line about a file", w.name)
	}
	w.last++
	doc, err := json.Marshal(question{w.last, req.Path, req.File, req.Size})
	if err != nil {
		return Value{}, err
	}
	var v Value
	var said error
	err = w.converse(ctx, append(doc, '\n'), func(out *bufio.Reader) error {
		line, err := readLine(out)
		if err == nil {
			v, said, err = parseAnswer(line, w.last)
		}
		return err
	})
	if err != nil {
		return Value{}, err
	}
	return v, said
}

// unasked says if the process has said something since its last answer. It
// takes what there is, as the process is not to be trusted then.
func (w *lined) unasked() bool {
	if w.out.Buffered() > 0 {
		return true
	}
	pipe, ok := w.stdout.(syscall.Conn)
	if !ok {
		return false
	}
	conn, err := pipe.SyscallConn()
	if err != nil {
		return false // it is closed
	}
	n := 0
	_ = conn.Read(func(fd uintptr) bool {
		n, _ = syscall.Read(int(fd), make([]byte, 1)) // does not wait: it is a pipe of Go's
		return true
	})
	return n > 0
}

// readLine reads a line of at most maxLine bytes.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			return nil, fmt.Errorf("a line of it is longer than %d bytes", maxLine)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line, nil
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// parseAnswer returns the value and the error that a line holds.
func parseAnswer(line []byte, id int64) (v Value, said, err error) {
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return Value{}, nil, fmt.Errorf("it is no JSON object in one line, %.60q: %w", bytes.TrimSpace(line), err)
	}
	switch {
	case a.ID != nil && *a.ID != id:
		return Value{}, nil, fmt.Errorf("it answers question %d, asked was %d", *a.ID, id)
	case a.Meta == nil && a.Error == nil:
		return Value{}, nil, fmt.Errorf("there is neither meta nor error in it: %.60q", bytes.TrimSpace(line))
	case a.Error != nil:
		said = Reject(*a.Error)
	}
	if a.Meta == nil || string(a.Meta) == "null" {
		return Value{Kind: None}, said, nil
	}
	if a.Meta[0] != '{' {
		return Value{}, nil, fmt.Errorf("its meta is no object: %.60q", a.Meta)
	}
	return Value{Dict, string(a.Meta)}, said, nil
}
