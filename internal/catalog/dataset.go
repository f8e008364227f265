package catalog

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/data-containers/cdb/internal/tree"
)

// A Dataset is what a catalog says of the dataset as a whole. The labels and
// annotations of the image are made from it.
type Dataset struct {
	Title       string
	Description string
	License     string // an SPDX expression
	Version     string
	Author      string
	About
	Labels  map[string]string // the user's own
	Queries map[string]NamedQuery
	Created time.Time // whole seconds, UTC
	// Prefix is the folder of the image that the data lies in: absolute,
	// clean, "/" at the least.
	Prefix string
	// Preserved says that the build kept owners, modes and times exactly.
	Preserved bool
	// Generator names the program that wrote the catalog.
	Generator string
	// Extract names what metadata was extracted by, with versions, such as
	// "csv@1,mime@1"; "" for nothing beyond size and digest.
	Extract string

	// The rest is counted by the Writer.

	// Mixed says that the IDs of rows do not ascend with their paths, as rows
	// came in between later.
	Mixed bool

	Files int64 // regular files, hard links included
	Dirs  int64 // folders, the root included
	Links int64 // symbolic links
	Bytes int64 // sum of the sizes of regular files
	// Digest is "sha256:" and the hex digest of the sha256sum-style
	// listing of all regular files in byte order of their paths.
	Digest string
}

// labelKey begins the keys of table dataset that hold Labels.
const labelKey = "label:"

// pairs returns the rows of table dataset for ds, without empty values.
func (ds *Dataset) pairs() map[string]string {
	kv := map[string]string{
		"created":   ds.Created.UTC().Format(time.RFC3339),
		"prefix":    ds.Prefix,
		"preserved": strconv.FormatBool(ds.Preserved),
		"generator": ds.Generator,
		"extract":   ds.Extract,
		"files":     strconv.FormatInt(ds.Files, 10),
		"dirs":      strconv.FormatInt(ds.Dirs, 10),
		"links":     strconv.FormatInt(ds.Links, 10),
		"bytes":     strconv.FormatInt(ds.Bytes, 10),
		"digest":    ds.Digest,
	}
	if ds.Mixed {
		kv["mixed"] = "true"
	}
	for _, w := range ds.words() {
		kv[w.key] = w.encode()
	}
	for k, v := range ds.Origins {
		kv[originKey+k] = v
	}
	for k, v := range ds.Labels {
		kv[labelKey+k] = v
	}
	for k, q := range ds.Queries {
		kv[queryKey+k] = q.JSON()
	}
	for k, v := range kv {
		if v == "" {
			delete(kv, k)
		}
	}
	return kv
}

// parseDataset is the inverse of pairs. Keys it does not know are left to
// newer programs.
func parseDataset(kv map[string]string) (*Dataset, error) {
	ds := &Dataset{
		Prefix:    kv["prefix"],
		Preserved: kv["preserved"] == "true",
		Mixed:     kv["mixed"] == "true",
		Generator: kv["generator"],
		Extract:   kv["extract"],
		Digest:    kv["digest"],
		Labels:    map[string]string{},
	}
	for _, w := range ds.words() {
		w.decode(kv[w.key])
	}
	var err error
	if ds.Created, err = time.Parse(time.RFC3339, kv["created"]); err != nil {
		return nil, fmt.Errorf("dataset key created: %w", err)
	}
	for key, dst := range map[string]*int64{"files": &ds.Files, "dirs": &ds.Dirs, "links": &ds.Links, "bytes": &ds.Bytes} {
		if *dst, err = strconv.ParseInt(kv[key], 10, 64); err != nil || *dst < 0 {
			return nil, fmt.Errorf("dataset key %s: %q is no count", key, kv[key])
		}
	}
	for k, v := range kv {
		if name, ok := strings.CutPrefix(k, labelKey); ok {
			ds.Labels[name] = v
		}
		if key, ok := strings.CutPrefix(k, originKey); ok {
			if ds.Origins == nil {
				ds.Origins = map[string]string{}
			}
			ds.Origins[key] = v
		}
	}
	if ds.Queries, err = parseQueries(kv); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(ds.Prefix, "/") {
		return nil, fmt.Errorf("dataset key prefix: %q is not absolute", ds.Prefix)
	}
	return ds, nil
}

// Abs returns the path in the image of the entry with path rel.
func (ds *Dataset) Abs(rel string) string {
	switch {
	case rel == "":
		return ds.Prefix
	case ds.Prefix == "/":
		return "/" + rel
	}
	return ds.Prefix + "/" + rel
}

// column returns what column path holds for the entry rel: its path in the
// image, which of a folder ends in a slash. So the order of the column is the
// order of the tree.
func (ds *Dataset) column(rel string, t tree.Type) string {
	p := ds.Abs(rel)
	if t == tree.Dir && p != "/" {
		p += "/"
	}
	return p
}

// Rel is the inverse of Abs. It takes a path in the image or one relative to
// the root of the data, and says if it can be one of this dataset.
func (ds *Dataset) Rel(p string) (string, bool) {
	if !strings.HasPrefix(p, "/") {
		return strings.TrimSuffix(p, "/"), true
	}
	if ds.Prefix != "/" {
		rest, ok := strings.CutPrefix(p, ds.Prefix)
		if !ok || rest != "" && rest[0] != '/' {
			return "", false
		}
		p = rest
	}
	return strings.Trim(p, "/"), true
}
