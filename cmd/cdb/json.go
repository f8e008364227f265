package main

import (
	"encoding/base64"
	"unicode/utf8"

	"github.com/data-containers/cdb/internal/catalog"
)

// A name is a string of any bytes. In JSON those that are not UTF-8 become
// lone surrogates, as query prints them.
type name string

// MarshalJSON implements json.Marshaler.
func (n name) MarshalJSON() ([]byte, error) { return catalog.AppendString(nil, string(n)), nil }

// A pathJSON is a path in JSON, with its exact bytes where they are not
// UTF-8.
type pathJSON struct {
	Path   name   `json:"path"`
	Base64 string `json:"path_base64,omitempty"`
}

func newPathJSON(path string) pathJSON {
	p := pathJSON{Path: name(path)}
	if !utf8.ValidString(path) {
		p.Base64 = base64.StdEncoding.EncodeToString([]byte(path))
	}
	return p
}
