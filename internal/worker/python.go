package worker

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// shim is the program that a Python process runs: it loads the function of
// the user and speaks the protocol.
//
//go:embed python.py
var shim string

// Python returns a pool of Python processes that call the function of a spec
// PATH.py:NAME, such as "meta.py:basic". The function takes the name of a
// file, a str as os.fsdecode makes it, and returns a dict, a str, a list or
// None. In JSON, floats that it has not (NaN and infinities) become null.
//
// The file is loaded once in each process, with its folder first in sys.path.
// What it prints goes to opts.Stderr. Its error, or that of the interpreter,
// is returned here. Close ends the processes.
func Python(ctx context.Context, spec string, opts Options) (*Pool, error) {
	path, name, err := splitSpec(opts.Dir, spec)
	if err != nil {
		return nil, err
	}
	if opts.Python == "" {
		opts.Python = "python3"
	}
	program, err := lookPath("", opts.Python)
	if err != nil {
		return nil, fmt.Errorf("function %q: %w: install Python 3, or say where it is", spec, err)
	}
	lists := "repr"
	if opts.JSON {
		lists = "json"
	}
	stderr := &sharedWriter{w: opts.Stderr}
	start := func(ctx context.Context) (Worker, error) {
		// Unbuffered, no .pyc files (which could end up in the data), and
		// names as bytes whatever the locale.
		cmd := exec.Command(program, "-u", "-B", "-X", "utf8", "-c", shim, path, name, lists)
		cmd.Dir = opts.Dir
		if opts.Stderr != nil {
			cmd.Stderr = stderr
		}
		p, err := startFramed(ctx, opts.Python, cmd)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, fmt.Errorf("load function %q: %w", spec, err)
		}
		return p, nil
	}
	return NewPool(ctx, start, opts)
}

// lookPath finds a program: one with a slash relative to dir, else in PATH.
func lookPath(dir, program string) (string, error) {
	if dir != "" && strings.Contains(program, "/") && !filepath.IsAbs(program) {
		program = filepath.Join(dir, program)
	}
	found, err := exec.LookPath(program)
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return "", err
	}
	return filepath.Abs(found)
}

// splitSpec returns the absolute path of the file, which is relative to dir,
// and the name of the function.
func splitSpec(dir, spec string) (path, name string, err error) {
	i := strings.LastIndexByte(spec, ':')
	if i <= 0 || i == len(spec)-1 {
		return "", "", fmt.Errorf("function %q: give it as FILE.py:NAME", spec)
	}
	if path = spec[:i]; !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", "", fmt.Errorf("function %q: %w", spec, err)
	}
	fi, err := os.Stat(path)
	if err == nil && !fi.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return "", "", fmt.Errorf("function %q: file %q: %w", spec, spec[:i], err)
	}
	return path, spec[i+1:], nil
}

// A sharedWriter lets several processes write, one at a time.
type sharedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *sharedWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}
