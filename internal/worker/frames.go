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
)

// The protocol between a pool and a Python process: frames, each a length of
// four bytes, big-endian, and so much JSON. The process first says that it is
// ready, or why it is not; then each request has one reply. Bytes that need
// not be UTF-8 travel in base64.

// maxFrame is the most bytes of a reply: a bound for what a process that has
// gone mad can make us keep.
const maxFrame = 32 << 20

// A frame asks about one file.
type frame struct {
	ID   int64  `json:"id"`
	File []byte `json:"file"`
}

// A reply is the answer to the frame with the same ID; that with ID 0 says
// that the process is ready.
type reply struct {
	ID    int64  `json:"id"`
	Kind  Kind   `json:"kind"`
	Text  []byte `json:"text"`
	Error string `json:"error"`
}

// A framed process speaks in frames.
type framed struct {
	*process
	last int64 // ID of a request
}

var _ Worker = (*framed)(nil)

// startFramed starts a command and waits until it is ready.
func startFramed(ctx context.Context, name string, cmd *exec.Cmd) (*framed, error) {
	p, err := startProcess(name, cmd)
	if err != nil {
		return nil, err
	}
	w := &framed{process: p}
	err = p.ready(ctx, startTimeout, func(ctx context.Context) error {
		r, err := w.ask(ctx, nil)
		if err == nil && r.Error != "" {
			err = errors.New(r.Error)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// Call implements Worker.
func (w *framed) Call(ctx context.Context, req Request) (Value, error) {
	w.last++
	doc, err := json.Marshal(frame{w.last, []byte(req.File)})
	if err != nil {
		return Value{}, err
	}
	r, err := w.ask(ctx, append(binary.BigEndian.AppendUint32(nil, uint32(len(doc))), doc...))
	if err != nil {
		return Value{}, err
	}
	if r.Error != "" {
		return Value{}, Reject(r.Error)
	}
	return r.value()
}

// ask sends a frame, if there is one, and returns the next reply.
func (w *framed) ask(ctx context.Context, question []byte) (r *reply, err error) {
	err = w.converse(ctx, question, func(out *bufio.Reader) error {
		r, err = readReply(out)
		return err
	})
	if err == nil && r.ID != w.last {
		err = fmt.Errorf("%s answered a question that was not asked", w.name)
	}
	return r, err
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
