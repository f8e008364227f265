package extract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/data-containers/cdb/internal/catalog"
)

// Contexts returns all conventions about whole datasets.
func Contexts(opts Options) []*ContextFormat { return []*ContextFormat{bidsFormat(opts)} }

// A ContextFormat is a convention on how a whole dataset is laid out, which
// says something of each file by its path.
type ContextFormat struct {
	Name    string
	Version int // as in Format
	// Namespaces begin its keys: "bids" those like "bids.task". No format and
	// no other context has keys that begin so.
	Namespaces []string
	Keys       []Key // with their namespaces
	OnRequest  bool  // as in Format
	// Prepare looks at the dataset before its files are read. It returns nil
	// if the dataset is none of this kind. An error is a warning about the
	// dataset; a context that is returned with it is used.
	Prepare func(ctx context.Context, ds *Dataset) (Context, error)
}

// A Context is what is known of one dataset.
type Context interface {
	// Meta returns what it says of the regular file with this path, which is
	// relative to the root of the data, under keys with their namespaces;
	// nil for nothing. It depends on the path alone and may be called by
	// several goroutines at once.
	Meta(path string) *Meta
}

// A Dataset is a dataset before its files are read.
type Dataset struct {
	// Paths yields the paths of all regular files, in byte order. It may be
	// called again.
	Paths func(ctx context.Context) iter.Seq2[string, error]
	// Open opens one of them, until Prepare returns.
	Open func(ctx context.Context, path string) (io.ReadCloser, error)
}

// Contextual is the contexts of a set for one dataset. nil has none.
type Contextual struct {
	namespaces []string // with their dots
	contexts   []namedContext
}

type namedContext struct {
	Context
	*ContextFormat
}

// Prepare prepares the contexts of the set. Warnings are about the dataset;
// err is that of ctx.
func (s *Set) Prepare(ctx context.Context, ds *Dataset) (c *Contextual, warnings []error, err error) {
	if len(s.contexts) == 0 {
		return nil, nil, nil
	}
	c = &Contextual{}
	for _, f := range s.contexts {
		for _, n := range f.Namespaces {
			c.namespaces = append(c.namespaces, n+".")
		}
		found, err := f.prepare(ctx, ds)
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if err != nil {
			warnings = append(warnings, fmt.Errorf("%s: %w", f.Name, err))
		}
		if found != nil {
			c.contexts = append(c.contexts, namedContext{found, f})
		}
	}
	return c, warnings, nil
}

func (f *ContextFormat) prepare(ctx context.Context, ds *Dataset) (c Context, err error) {
	defer func() {
		if p := recover(); p != nil {
			c, err = nil, fmt.Errorf("a fault of cdb: %v", p)
		}
	}()
	return f.Prepare(ctx, ds)
}

// Attach returns meta, the JSON object of the file with this path or "", with
// what the contexts say now in place of what they said before.
func (c *Contextual) Attach(path, meta string) string {
	if c == nil || len(c.contexts) == 0 && !c.mentioned(meta) {
		return meta
	}
	var o object
	warnings := ""
	if meta != "" {
		catalog.Members(meta, func(key, value string) bool {
			switch {
			case key == warningsKey:
				warnings = value
			case !c.owns(key):
				o.setJSON(key, value)
			}
			return true
		})
	}
	for _, x := range c.contexts {
		if err := x.attach(&o, path); err != nil {
			// In its own namespace, so that it goes when the reason does.
			o.addString(x.Namespaces[0]+".warning", err.Error())
		}
	}
	if warnings != "" {
		o.setJSON(warningsKey, warnings)
	}
	return o.String()
}

func (x namedContext) attach(o *object, path string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a fault of cdb: %v", p)
		}
	}()
	m := x.Meta(path)
	if m == nil {
		return nil
	}
	for _, k := range m.keys {
		if !x.owns(k) {
			return errors.New("key " + k + " is in none of its namespaces")
		}
	}
	return o.add(m, "")
}

func (x namedContext) owns(key string) bool {
	for _, n := range x.Namespaces {
		if strings.HasPrefix(key, n+".") {
			return true
		}
	}
	return false
}

// owns says if a key is that of a context of the set, in use or not.
func (c *Contextual) owns(key string) bool {
	for _, n := range c.namespaces {
		if strings.HasPrefix(key, n) {
			return true
		}
	}
	return false
}

// mentioned says if a key of a context may be in meta.
func (c *Contextual) mentioned(meta string) bool {
	for _, n := range c.namespaces {
		if strings.Contains(meta, `"`+n) {
			return true
		}
	}
	return false
}
