package extract

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
)

// An External is an extractor that is no format of this package: a script, a
// module, a program. It is asked about every file, whatever its format, by
// several goroutines at once.
type External interface {
	// Name stands in the record of the set and before its warnings.
	Name() string
	// Version changes whenever the same file gives other metadata: the
	// digest of a script, say. It has no comma.
	Version() string
	// Extract returns what it finds of a file, under keys as they are to be
	// in the catalog (those that cdb or a format has set are refused), or nil
	// for nothing. An error is a warning about that file; what is returned
	// with it stays. The metadata is written in the order of its keys.
	Extract(ctx context.Context, f *ExternalFile) (*Meta, error)
}

// An ExternalFile is a file as external extractors see it.
type ExternalFile struct {
	// Source has a Name in any case: a file that has none on this machine is
	// copied to a temporary one, with the same last part of its name, for as
	// long as it is looked at.
	Source
	// Data is all of a file of up to HeadSize bytes, which was read already;
	// nil of a larger one, which must be opened by its Name. It must not be
	// kept or changed.
	Data []byte
}

// external asks the external extractors. copied is the file if it has no name.
func (r *run) external(ctx context.Context, f *ExternalFile, copied *spool) {
	if len(r.set.externals) == 0 {
		return
	}
	if f.Name == "" {
		name, err := copied.finish()
		if err != nil {
			r.warn("copy for extractors", err)
			return
		}
		f.Name = name
	}
	for _, x := range r.set.externals {
		r.guard(x.Name(), func() error {
			m, err := x.Extract(ctx, f)
			if m != nil {
				r.extra = append(r.extra, found{x.Name(), m})
			}
			return err
		})
	}
}

// A spool is a temporary copy of a file without a name. A nil spool does
// nothing.
type spool struct {
	dir  string
	file *os.File
	err  error // the first
}

// spool begins a copy of a file, if external extractors will ask for it.
func (s *Set) spool(src Source) *spool {
	if len(s.externals) == 0 || src.Name != "" {
		return nil
	}
	c := &spool{}
	if c.dir, c.err = os.MkdirTemp(s.opts.TempDir, "cdb-extract-"); c.err == nil {
		c.file, c.err = os.Create(filepath.Join(c.dir, path.Base(src.Path)))
	}
	return c
}

func (c *spool) write(p []byte) {
	if c != nil && c.err == nil {
		_, c.err = c.file.Write(p)
	}
}

// finish returns the name of the complete copy.
func (c *spool) finish() (string, error) {
	if c == nil {
		return "", errors.New("it was not copied")
	}
	if c.err == nil {
		c.err = c.file.Close()
	}
	if c.err != nil {
		return "", c.err
	}
	return c.file.Name(), nil
}

// remove ends the use of the copy, complete or not.
func (c *spool) remove() {
	if c == nil {
		return
	}
	if c.file != nil {
		c.file.Close()
	}
	if c.dir != "" {
		os.RemoveAll(c.dir)
	}
}
