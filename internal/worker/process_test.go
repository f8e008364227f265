package worker_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/worker"
)

func frame(doc string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(doc))), doc...)
}

// A reply that is cut short, or longer than any, is an error.
func TestReadReply(t *testing.T) {
	whole := frame(`{"id": 1, "kind": "dict", "text": "eyJhIjogMX0="}`)
	v, err := worker.ReadValue(bytes.NewReader(whole))
	if err != nil || v != (worker.Value{Kind: worker.Dict, Text: `{"a": 1}`}) {
		t.Errorf("%+v, %v", v, err)
	}
	for n := range whole {
		if v, err := worker.ReadValue(bytes.NewReader(whole[:n])); err == nil {
			t.Errorf("%d bytes of it: %+v", n, v)
		}
	}
	for doc, want := range map[string]string{
		`{"kind": "dict", "text": "eyJhIjogMQ=="}`: "no JSON object",
		`{"kind": "dict", "text": "WzFd"}`:         "no JSON object",
		`{"kind": "set", "text": ""}`:              "unknown kind",
		`{"kind": "str", "text": "!"}`:             "base64",
		`[]`:                                       "cannot unmarshal",
	} {
		if _, err := worker.ReadValue(bytes.NewReader(frame(doc))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", doc, err, want)
		}
	}
	if _, err := worker.ReadValue(strings.NewReader("\xff\xff\xff\xff")); err == nil || !strings.Contains(err.Error(), "bytes long") {
		t.Errorf("a reply of 4 GiB: %v", err)
	}
}

func FuzzReadReply(f *testing.F) {
	f.Add(frame(`{"id": 1, "kind": "dict", "text": "eyJhIjogMX0="}`))
	f.Add(frame(`{"id": 1, "kind": "str", "text": ""}`))
	f.Add([]byte("\x01\xff\xff\xff{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := worker.ReadValue(bytes.NewReader(data))
		if err == nil && v.Kind == worker.Dict && !json.Valid([]byte(v.Text)) {
			t.Errorf("%q is taken for an object", v.Text)
		}
	})
}
