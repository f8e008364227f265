// Jsonlines-go speaks JSON Lines: it says by which four bytes each file begins.
package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
)

type question struct {
	ID   int64  `json:"id"`
	Path string `json:"path"`
	File string `json:"file"`
	Size int64  `json:"size"`
}

type answer struct {
	ID    int64          `json:"id"`
	Meta  map[string]any `json:"meta,omitempty"`
	Error string         `json:"error,omitempty"`
}

func main() {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var q question
		if err := in.Decode(&q); err != nil {
			return // the input has ended
		}
		a := answer{ID: q.ID}
		magic, err := magic(q.File)
		if err != nil {
			a.Error = err.Error()
		} else {
			a.Meta = map[string]any{"magic": magic}
		}
		if err := out.Encode(a); err != nil {
			os.Exit(1)
		}
	}
}

func magic(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b := make([]byte, 4)
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return "", err
	}
	return hex.EncodeToString(b[:n]), nil
}
