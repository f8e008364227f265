package extract

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// zarrMaxAttrs is how many attributes are told.
const zarrMaxAttrs = 200

// zarrFormat is the metadata of a node of a Zarr store, version 2 or 3
// (https://zarr-specs.readthedocs.io). They are files of their own, beside
// the chunks.
func zarrFormat() *Format {
	return &Format{
		Name:      "zarr",
		Version:   1,
		MediaType: "application/json",
		Keys: []Key{
			{Name: "version", Type: "integer", Doc: "2 or 3"},
			{Name: "node", Type: "string", Doc: "array or group"},
			{Name: "shape", Type: "array of integer", Doc: "size of each dimension"},
			{Name: "chunks", Type: "array of integer", Doc: "shape of a chunk"},
			{Name: "data_type", Type: "string", Doc: "float32 …"},
			{Name: "endian", Type: "string", Doc: "little or big (version 2)"},
			{Name: "order", Type: "string", Doc: "C or F (version 2)"},
			{Name: "compressor", Type: "string", Doc: "blosc, zlib, zstd … (version 2)"},
			{Name: "filters", Type: "array of string", Doc: "names (version 2)"},
			{Name: "codecs", Type: "array of string", Doc: "names (version 3)"},
			{Name: "dimension_names", Type: "array of string", Doc: "version 3"},
			{Name: "attributes", Type: "object", Doc: "those that are texts, numbers, booleans or short arrays of them"},
			{Name: "partial", Type: "boolean", Doc: "true if the file is too large to be looked at"},
		},
		Match: func(f *File) bool {
			switch f.Name() {
			case ".zarray", ".zgroup", ".zattrs", "zarr.json":
				return f.Size > 0
			}
			return false
		},
		Extract: extractZarr,
	}
}

// zarrNode is what the files of both versions hold.
type zarrNode struct {
	Format     json.RawMessage   `json:"zarr_format"`
	NodeType   string            `json:"node_type"`
	Shape      []json.Number     `json:"shape"`
	Chunks     []json.Number     `json:"chunks"`
	DType      json.RawMessage   `json:"dtype"`
	Order      string            `json:"order"`
	Compressor *zarrNamed        `json:"compressor"`
	Filters    []zarrNamed       `json:"filters"`
	DataType   json.RawMessage   `json:"data_type"`
	Grid       zarrGrid          `json:"chunk_grid"`
	Codecs     []zarrNamed       `json:"codecs"`
	Names      []json.RawMessage `json:"dimension_names"`
	Attributes map[string]any    `json:"attributes"`
}

type zarrNamed struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type zarrGrid struct {
	Configuration struct {
		ChunkShape []json.Number `json:"chunk_shape"`
	} `json:"configuration"`
}

func extractZarr(f *File, m *Meta) error {
	if !f.Whole() {
		return beyond(m, ErrBeyond)
	}
	name := f.Name()
	if name == ".zattrs" {
		var attrs map[string]any
		if err := json.Unmarshal(f.Head, &attrs); err != nil {
			return fmt.Errorf("read JSON: %w", err)
		}
		m.Set("version", 2)
		setAttributes(m, attrs)
		return nil
	}
	var n zarrNode
	if err := json.Unmarshal(f.Head, &n); err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	version := strings.Trim(string(n.Format), `" `)
	switch {
	case version == "2" && name != "zarr.json":
		m.Set("version", 2)
		m.Set("node", map[string]string{".zarray": "array", ".zgroup": "group"}[name])
	case version == "3" && name == "zarr.json":
		m.Set("version", 3)
		m.SetString("node", n.NodeType)
	default:
		return errors.New("zarr_format is not 2 or 3, as the name of the file wants it")
	}
	return n.set(m)
}

func (n *zarrNode) set(m *Meta) error {
	err := setIntegers(m, "shape", n.Shape)
	for _, chunks := range [][]json.Number{n.Chunks, n.Grid.Configuration.ChunkShape} {
		if e := setIntegers(m, "chunks", chunks); err == nil {
			err = e
		}
	}
	var text string
	var named zarrNamed
	switch {
	case len(n.DType) > 0 && json.Unmarshal(n.DType, &text) == nil:
		name, endian := numpyType(text)
		m.SetString("data_type", name)
		m.SetString("endian", endian)
	case len(n.DType) > 0:
		m.Set("data_type", "structured")
	case len(n.DataType) > 0 && json.Unmarshal(n.DataType, &text) == nil:
		m.SetString("data_type", headerText([]byte(text)))
	case len(n.DataType) > 0 && json.Unmarshal(n.DataType, &named) == nil:
		m.SetString("data_type", headerText([]byte(named.Name)))
	}
	m.SetString("order", headerText([]byte(n.Order)))
	if n.Compressor != nil {
		m.SetString("compressor", headerText([]byte(n.Compressor.ID)))
	}
	setNames(m, "filters", n.Filters, func(f zarrNamed) string { return f.ID })
	setNames(m, "codecs", n.Codecs, func(f zarrNamed) string { return f.Name })
	setNames(m, "dimension_names", n.Names, func(b json.RawMessage) string {
		var s string
		if json.Unmarshal(b, &s) != nil {
			return "" // null: it has none
		}
		return s
	})
	setAttributes(m, n.Attributes)
	return err
}

// setIntegers sets a key to a list that came as JSON, unless it is missing.
func setIntegers(m *Meta, key string, list []json.Number) error {
	if list == nil {
		return nil
	}
	out := []int64{}
	for _, v := range list[:min(len(list), 64)] {
		i, err := v.Int64()
		if err != nil {
			return fmt.Errorf("%s holds %q, which is no integer", key, v)
		}
		out = append(out, i)
	}
	m.Set(key, out)
	return nil
}

func setNames[T any](m *Meta, key string, list []T, name func(T) string) {
	var out []string
	for _, v := range list[:min(len(list), 64)] {
		out = append(out, headerText([]byte(name(v))))
	}
	if out != nil {
		m.Set(key, out)
	}
}

// setAttributes sets the key "attributes" to those that are plain values or
// short lists of them.
func setAttributes(m *Meta, attrs map[string]any) {
	list := &Meta{}
	names := make([]string, 0, len(attrs))
	for name := range attrs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names[:min(len(names), zarrMaxAttrs)] {
		if v, ok := plainJSON(attrs[name], true); ok && len(name) <= maxText {
			list.Set(name, v)
		}
	}
	if len(list.Keys()) > 0 {
		m.Set("attributes", list)
	}
}

// plainJSON returns a value as Meta takes it; ok is false for objects, null
// and lists of other things or of more than 64.
func plainJSON(v any, lists bool) (out any, ok bool) {
	switch v := v.(type) {
	case string:
		return headerText([]byte(v)), true
	case bool:
		return v, true
	case float64:
		if v > -1<<53 && v < 1<<53 && v == float64(int64(v)) {
			return int64(v), true
		}
		return v, true
	case []any:
		if !lists || len(v) > 64 {
			return nil, false
		}
		all := []any{}
		for _, e := range v {
			p, ok := plainJSON(e, false)
			if !ok {
				return nil, false
			}
			all = append(all, p)
		}
		return all, true
	}
	return nil, false
}
