package external

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/data-containers/cdb/internal/extract"
	"github.com/data-containers/cdb/internal/wasm"
)

const maxModule = 256 << 20 // bytes of a module

// A sandboxed is a module of WebAssembly.
type sandboxed struct {
	identity
	timeout time.Duration
	module  *wasm.Module
	free    chan struct{} // has room for each run
	to      *teller
}

func openModule(ctx context.Context, s Spec, opts Options) (extract.External, io.Closer, error) {
	code, err := readFile(in(opts.Base, s.file), maxModule)
	if err != nil {
		return nil, nil, fmt.Errorf("extract with %q: %w", s.file, err)
	}
	cache := ""
	if opts.Cache != "" {
		cache = filepath.Join(opts.Cache, "wasm")
		if err := os.MkdirAll(cache, 0o700); err != nil {
			cache = "" // it only saves time
		}
	}
	m, err := wasm.Compile(ctx, code, wasm.Options{Cache: cache})
	if err != nil {
		return nil, nil, fmt.Errorf("load module %q: %w", s.file, err)
	}
	x := &sandboxed{
		identity: identity{s.Name(), version("wasm 1", string(code))}, timeout: opts.Timeout, module: m,
		free: make(chan struct{}, opts.Workers), to: &teller{name: s.Name(), tell: opts.Log},
	}
	return x, m, nil
}

// Extract implements extract.External.
func (x *sandboxed) Extract(ctx context.Context, f *extract.ExternalFile) (*extract.Meta, error) {
	select {
	case x.free <- struct{}{}:
		defer func() { <-x.free }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	run, cancel := context.WithTimeout(ctx, x.timeout)
	defer cancel()
	text, err := x.run(run, f)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case run.Err() != nil && err != nil:
		return nil, fmt.Errorf("no answer after %v", x.timeout)
	case err != nil:
		return nil, err
	case len(bytes.TrimSpace(text)) == 0:
		return nil, nil
	}
	return parseMeta(string(text), f)
}

// run gives the file to the module. A program that fails has its say: what it
// printed last on its standard error.
func (x *sandboxed) run(ctx context.Context, f *extract.ExternalFile) ([]byte, error) {
	var stdin io.Reader = bytes.NewReader(f.Data)
	if f.Data == nil {
		// Not a pipe that took its place, which might never open.
		file, err := os.OpenFile(f.Name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return nil, cause(err)
		}
		defer file.Close()
		if fi, err := file.Stat(); err != nil || !fi.Mode().IsRegular() {
			return nil, errors.Join(errors.New("it is no regular file any more"), err)
		}
		stdin = io.LimitReader(file, f.Size)
	}
	log := &log{to: x.to}
	text, err := x.module.Run(ctx, []string{x.name, f.Path, strconv.FormatInt(f.Size, 10)}, stdin, log)
	log.flush()
	if errors.As(err, new(*wasm.ExitError)) && log.last != "" {
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(log.last))
	}
	return text, err
}
