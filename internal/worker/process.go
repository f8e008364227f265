package worker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// The protocol between a pool and a process: frames, each a length of four
// bytes, big-endian, and so much JSON. The process first says that it is
// ready, or why it is not; then each request has one reply. Bytes that need
// not be UTF-8 travel in base64.

// maxFrame is the most bytes of a reply: a bound for what a process that has
// gone mad can make us keep.
const maxFrame = 32 << 20

const (
	startTimeout = 5 * time.Minute // large libraries may come from slow disks
	closeTimeout = 2 * time.Second // for a process to end by itself
)

// A request asks about one file.
type request struct {
	ID   int64  `json:"id"`
	File []byte `json:"file"`
}

// A reply is the answer to the request with the same ID; that with ID 0 says
// that the process is ready.
type reply struct {
	ID    int64  `json:"id"`
	Kind  Kind   `json:"kind"`
	Text  []byte `json:"text"`
	Error string `json:"error"`
}

// A process is a Worker that speaks the protocol on its standard streams.
type process struct {
	cmd     *exec.Cmd
	stdin   io.WriteCloser
	stdout  io.Closer
	out     *bufio.Reader
	last    int64 // ID of a request
	name    string
	mu      sync.Mutex
	waited  bool // it is gone, and its number may belong to another
	waitErr error
}

var _ Worker = (*process)(nil)

// startProcess starts a command and waits until it is ready.
func startProcess(ctx context.Context, name string, cmd *exec.Cmd) (*process, error) {
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
	p := &process{cmd: cmd, stdin: stdin, stdout: stdout, out: bufio.NewReaderSize(stdout, 64<<10), name: name}
	start, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	ready, err := p.converse(start, nil)
	switch {
	case err == nil && ready.Error != "":
		err = errors.New(ready.Error)
	case start.Err() != nil && ctx.Err() == nil:
		err = fmt.Errorf("%s is not ready after %v", name, startTimeout)
	}
	if err != nil {
		p.end()
		return nil, err
	}
	return p, nil
}

// Call implements Worker.
func (p *process) Call(ctx context.Context, file string) (Value, error) {
	p.last++
	r, err := p.converse(ctx, &request{p.last, []byte(file)})
	if err != nil {
		return Value{}, err
	}
	if r.Error != "" {
		return Value{}, Reject(r.Error)
	}
	return r.value()
}

// converse sends a request, if there is one, and returns the next reply. If
// ctx ends, so does the process.
func (p *process) converse(ctx context.Context, req *request) (*reply, error) {
	stop := context.AfterFunc(ctx, p.kill)
	err := writeFrame(p.stdin, req)
	var r *reply
	if err == nil {
		r, err = readReply(p.out)
	}
	switch {
	case !stop():
		return nil, ctx.Err() // even if there is a reply: the process has none more
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE):
		return nil, p.ended()
	case err != nil:
		return nil, fmt.Errorf("%s gave no proper answer: %w", p.name, err)
	case r.ID != p.last:
		return nil, fmt.Errorf("%s answered a question that was not asked", p.name)
	}
	return r, nil
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

func writeFrame(w io.Writer, req *request) error {
	if req == nil {
		return nil
	}
	doc, err := json.Marshal(req)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(doc))), doc...))
	return err
}

// readReply reads a frame. The memory it takes grows with the bytes that
// come, not with the length that is said.
func readReply(in io.Reader) (*reply, error) {
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n > maxFrame {
		return nil, fmt.Errorf("it is %d bytes long, the most are %d", n, maxFrame)
	}
	var doc bytes.Buffer
	if _, err := io.CopyN(&doc, in, n); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	r := &reply{}
	if err := json.Unmarshal(doc.Bytes(), r); err != nil {
		return nil, err
	}
	return r, nil
}

// value checks what a process calls a value.
func (r *reply) value() (Value, error) {
	v := Value{r.Kind, string(r.Text)}
	switch v.Kind {
	case Dict:
		if len(r.Text) == 0 || r.Text[0] != '{' || !json.Valid(r.Text) {
			return Value{}, fmt.Errorf("the answer is no JSON object: %.60q", v.Text)
		}
	case Str, List, None:
	default:
		return Value{}, fmt.Errorf("the answer is of an unknown kind, %q", v.Kind)
	}
	return v, nil
}
