package external

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/extract"
	"github.com/data-containers/cdb/internal/worker"
)

const (
	maxScript = 64 << 20 // bytes of a script
	// maxTracked is up to which size in bytes a file that a command names is
	// known by its content; a larger one is known by its size.
	maxTracked = 64 << 20
)

// processes are a pool and what its processes print.
type processes struct {
	*worker.Pool
	log *log
}

// Close implements io.Closer.
func (p processes) Close() error {
	err := p.Pool.Close()
	p.log.flush()
	return err
}

// start makes processes by a function that makes a pool.
func start(name string, opts Options, pool func(worker.Options) (*worker.Pool, error)) (processes, error) {
	p := processes{log: &log{to: &teller{name: name, tell: opts.Log}}}
	var err error
	p.Pool, err = pool(worker.Options{
		Workers: opts.Workers, Timeout: opts.Timeout, Python: opts.Python, JSON: true, Dir: opts.Base, Stderr: p.log,
	})
	if err != nil {
		p.log.flush()
	}
	return p, err
}

// A function is a function of Python.
type function struct {
	identity
	key  string // for what is no dict
	pool *worker.Pool
}

func openPython(ctx context.Context, s Spec, opts Options) (extract.External, io.Closer, error) {
	script, err := readFile(in(opts.Base, s.file), maxScript)
	if err != nil {
		return nil, nil, fmt.Errorf("extract with %q: %w", s.file, err)
	}
	pool, err := start(s.Name(), opts, func(o worker.Options) (*worker.Pool, error) {
		return worker.Python(ctx, s.file+":"+s.name, o)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("extract with Python: %w", err)
	}
	return &function{identity{s.Name(), version("python 1", string(script))}, s.name, pool.Pool}, pool, nil
}

// Extract implements extract.External. The members of a dict are metadata; a
// str and a list are under the name of the function.
func (x *function) Extract(ctx context.Context, f *extract.ExternalFile) (*extract.Meta, error) {
	v, err := x.pool.Ask(ctx, worker.Request{File: f.Name, Path: f.Path, Size: f.Size})
	if err != nil {
		return nil, complain(err, f)
	}
	switch v.Kind {
	case worker.Dict:
		return parseMeta(v.Text, f)
	case worker.Str:
		m := &extract.Meta{}
		m.Set(x.key, v.Text)
		return m, nil
	case worker.List:
		key := catalog.AppendString(nil, x.key)
		return extract.ParseMeta(fmt.Appendf(nil, "{%s: %s}", key, v.Text))
	}
	return nil, nil
}

// A program speaks JSON Lines.
type program struct {
	identity
	tempDir string
	pool    *worker.Pool
}

func openCommand(ctx context.Context, s Spec, opts Options) (extract.External, io.Closer, error) {
	parts := append([]string{"exec 1"}, s.args...)
	for _, word := range s.args {
		content, err := track(in(opts.Base, word))
		if err != nil {
			return nil, nil, fmt.Errorf("extract with %q: %w", word, err)
		}
		parts = append(parts, content)
	}
	pool, err := start(s.Name(), opts, func(o worker.Options) (*worker.Pool, error) {
		return worker.Lines(ctx, s.args, o)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("extract with %q: %w", s.Name(), err)
	}
	return &program{identity{s.Name(), version(parts...)}, opts.TempDir, pool.Pool}, pool, nil
}

// track returns what is to be known of a word of a command that may be the
// name of a file: a script, a table. It is "" for other words.
func track(name string) (string, error) {
	fi, err := os.Stat(name)
	if err != nil || !fi.Mode().IsRegular() {
		return "", nil
	}
	if fi.Size() > maxTracked {
		return fmt.Sprintf("%d bytes", fi.Size()), nil
	}
	data, err := readFile(name, maxTracked)
	return string(data), err
}

// Extract implements extract.External.
func (x *program) Extract(ctx context.Context, f *extract.ExternalFile) (*extract.Meta, error) {
	req := worker.Request{File: f.Name, Path: strings.ToValidUTF8(f.Path, "\ufffd"), Size: f.Size}
	if !utf8.ValidString(f.Name) {
		// JSON cannot say the name, but that of a link.
		dir, err := os.MkdirTemp(x.tempDir, "cdb-extract-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		req.File = filepath.Join(dir, strings.ToValidUTF8(filepath.Base(f.Name), "_"))
		if err := os.Symlink(f.Name, req.File); err != nil {
			return nil, err
		}
	}
	v, err := x.pool.Ask(ctx, req)
	if err != nil {
		err = complain(err, f)
	}
	if v.Kind != worker.Dict {
		return nil, err
	}
	m, parseErr := parseMeta(v.Text, f)
	if parseErr != nil {
		return nil, parseErr
	}
	return m, err
}
