package cdb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// A Field is one thing that differs between two entries or two datasets.
type Field struct {
	Name string
	Form Form
	// Old and New are the values; nil where there is none.
	Old, New *string
}

// A Form says what the values of a Field are.
type Form int

// The forms of values.
const (
	FormPlain Form = iota // a mode, a time or the like
	FormText              // any bytes
	FormJSON              // one JSON value; the name is "meta." and the key
)

// datasetFields compares what is said of two datasets. What follows from the
// files, such as their number, is left out.
func datasetFields(a, b *catalog.Dataset) []Field {
	rows := []struct{ name, old, new string }{
		{"title", a.Title, b.Title},
		{"description", a.Description, b.Description},
		{"license", a.License, b.License},
		{"extract", a.Extract, b.Extract},
		{"version", a.Version, b.Version},
		{"author", a.Author, b.Author},
		{"prefix", a.Prefix, b.Prefix},
		{"preserved", strconv.FormatBool(a.Preserved), strconv.FormatBool(b.Preserved)},
	}
	var out []Field
	for _, r := range rows {
		if r.old == r.new {
			continue
		}
		f := Field{Name: r.name, Form: FormText, Old: &r.old, New: &r.new}
		if r.old == "" {
			f.Old = nil
		}
		if r.new == "" {
			f.New = nil
		}
		out = append(out, f)
	}
	out = append(out, mapFields("label.", FormText, a.Labels, b.Labels)...)
	return append(out, mapFields("query.", FormText, queryTexts(a), queryTexts(b))...)
}

// queryTexts returns the named queries as JSON.
func queryTexts(ds *catalog.Dataset) map[string]string {
	texts := map[string]string{}
	for name, q := range ds.Queries {
		texts[name] = q.JSON()
	}
	return texts
}

// mapFields compares two maps, in the order of their keys.
func mapFields(prefix string, form Form, a, b map[string]string) []Field {
	keys := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(keys)
	var out []Field
	for _, k := range slices.Compact(keys) {
		f := Field{Name: prefix + k, Form: form}
		if v, ok := a[k]; ok {
			f.Old = &v
		}
		if v, ok := b[k]; ok {
			f.New = &v
		}
		if f.Old == nil || f.New == nil || *f.Old != *f.New {
			out = append(out, f)
		}
	}
	return out
}

// fields compares two entries of the same type in all but content.
func (d *differ) fields(a, b *catalog.Entry) []Field {
	var out []Field
	add := func(name string, form Form, old, now string) {
		if old != now {
			out = append(out, Field{Name: name, Form: form, Old: &old, New: &now})
		}
	}
	if am, bm := d.mode(a), d.mode(b); am != bm {
		add("mode", FormPlain, fmt.Sprintf("%04o", am), fmt.Sprintf("%04o", bm))
	}
	if d.opts.Times == TimesOfAll || d.opts.Times == TimesOfFiles && a.Type != tree.Dir {
		if at, bt := d.time(a), d.time(b); !at.Equal(bt) {
			add("time", FormPlain, formatTime(at), formatTime(bt))
		}
	}
	if d.preserve {
		if a.UID != b.UID || a.GID != b.GID {
			add("owner", FormPlain, fmt.Sprintf("%d:%d", a.UID, a.GID), fmt.Sprintf("%d:%d", b.UID, b.GID))
		}
		out = append(out, mapFields("xattr.", FormText, a.Xattrs, b.Xattrs)...)
	}
	if a.Type == tree.Symlink {
		add("link", FormText, a.Link, b.Link)
	}
	if a.Meta != b.Meta && d.metadata() {
		out = append(out, metaFields(a.Meta, b.Meta)...)
	}
	return out
}

// metadata says if both sides may have metadata of files: folders have none.
func (d *differ) metadata() bool { return d.a.container != nil && d.b.container != nil }

// mode is the mode as far as both sides keep it.
func (d *differ) mode(e *catalog.Entry) uint32 {
	switch {
	case d.preserve:
		return e.Mode
	case e.Type == tree.Symlink:
		return 0o777
	case e.Type == tree.Dir, e.Mode&0o111 != 0:
		return 0o755
	}
	return 0o644
}

// time is the time as far as both sides keep it.
func (d *differ) time(e *catalog.Entry) time.Time {
	if d.preserve {
		return e.ModTime
	}
	return time.Unix(e.ModTime.Unix(), 0)
}

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// metaFields compares two objects of metadata by key.
func metaFields(a, b string) []Field {
	am, aok := metaMap(a)
	bm, bok := metaMap(b)
	if !aok || !bok { // one is damaged
		return []Field{{Name: "meta", Form: FormText, Old: &a, New: &b}}
	}
	return mapFields("meta.", FormJSON, am, bm)
}

// metaMap returns the values of a JSON object as compact JSON.
func metaMap(meta string) (map[string]string, bool) {
	if meta == "" {
		return nil, true
	}
	var raw map[string]json.RawMessage
	if json.Unmarshal([]byte(meta), &raw) != nil {
		return nil, false
	}
	m := make(map[string]string, len(raw))
	for k, v := range raw {
		var b bytes.Buffer
		if json.Compact(&b, v) != nil {
			return nil, false
		}
		m[k] = b.String()
	}
	return m, true
}
