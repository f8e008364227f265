package extract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// maxNesting is how deep the JSON of an external extractor may go.
const maxNesting = 64

// ParseMeta reads a JSON object, as external extractors print it, into
// metadata with the same keys in the same order. The last of equal keys
// counts.
func ParseMeta(text []byte) (*Meta, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	v, err := decodeJSON(dec, 0)
	if err != nil {
		return nil, fmt.Errorf("parse metadata: %w", err)
	}
	m, ok := v.(*Meta)
	if !ok {
		return nil, errors.New("parse metadata: it is no JSON object")
	}
	if dec.More() {
		return nil, errors.New("parse metadata: something follows the JSON object")
	}
	return m, nil
}

func decodeJSON(dec *json.Decoder, depth int) (any, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxNesting {
		return nil, fmt.Errorf("it is nested more than %d deep", maxNesting)
	}
	switch t {
	case json.Delim('{'):
		m := &Meta{}
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return nil, err
			}
			v, err := decodeJSON(dec, depth+1)
			if err != nil {
				return nil, err
			}
			m.Set(key.(string), v)
		}
		_, err := dec.Token()
		return m, err
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := decodeJSON(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := dec.Token()
		return list, err
	}
	return t, nil
}
