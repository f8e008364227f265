// Package wasm is WebAssembly programs of users in a sandbox: modules of WASI
// preview 1 that see their arguments and their standard input, print on their
// standard output, and can do nothing else. They have no files, no network and
// no environment. Their clock and their random numbers are the same in every
// run, so the same input gives the same output. It is the door to wazero, which
// needs no cgo.
//
// A [Module] is compiled once. Each run is an instance of its own, with fresh
// memory, so several run at once and none leaves anything for the next one.
package wasm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

// Limits that apply where options say nothing.
const (
	DefaultMemory = 256 << 20 // bytes
	DefaultOutput = 64 << 10  // bytes
)

const pageSize = 64 << 10 // of WebAssembly memory, in bytes

// Options say what a module may take. The zero value works.
type Options struct {
	// Memory is the most bytes of memory of a run; default DefaultMemory.
	Memory int64
	// Output is the most bytes that a run may print; default DefaultOutput.
	Output int
	// Cache is a folder in which compiled modules are kept, which nobody else
	// may write to, as what lies there is run; "" is none.
	Cache string
}

// A Module is a compiled program. Its methods may be called from several
// goroutines.
type Module struct {
	runtime wazero.Runtime
	cache   wazero.CompilationCache // nil for none
	module  wazero.CompiledModule
	output  int
}

// Compile compiles a module in the binary format. The error says what is wrong
// with it, or which functions it wants that WASI preview 1 has not.
func Compile(ctx context.Context, code []byte, opts Options) (*Module, error) {
	if opts.Memory <= 0 {
		opts.Memory = DefaultMemory
	}
	if opts.Output <= 0 {
		opts.Output = DefaultOutput
	}
	if err := checkTables(code); err != nil {
		return nil, err
	}
	if opts.Cache != "" {
		// A cache that cannot be used, or holds nonsense, is no reason to fail.
		if cache, err := wazero.NewCompilationCacheWithDir(opts.Cache); err == nil {
			if m, err := compile(ctx, code, opts, cache); err == nil {
				return m, nil
			}
		}
	}
	return compile(ctx, code, opts, nil)
}

func compile(ctx context.Context, code []byte, opts Options, cache wazero.CompilationCache) (*Module, error) {
	config := wazero.NewRuntimeConfig().
		// Without operations on tables none grows beyond what checkTables saw.
		WithCoreFeatures(api.CoreFeaturesV2 &^ api.CoreFeatureReferenceTypes).
		WithMemoryLimitPages(uint32(min(max(opts.Memory/pageSize, 1), 1<<16))).
		WithCloseOnContextDone(true).
		WithDebugInfoEnabled(false)
	if cache != nil {
		config = config.WithCompilationCache(cache)
	}
	m := &Module{runtime: wazero.NewRuntimeWithConfig(ctx, config), cache: cache, output: opts.Output}
	err := m.load(ctx, code)
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// load compiles the code and checks that it can be linked.
func (m *Module) load(ctx context.Context, code []byte) (err error) {
	if _, err = wasi_snapshot_preview1.Instantiate(ctx, m.runtime); err != nil {
		return err
	}
	if m.module, err = m.runtime.CompileModule(ctx, code); err != nil {
		return err
	}
	known := m.runtime.Module(wasi_snapshot_preview1.ModuleName).ExportedFunctionDefinitions()
	for _, f := range m.module.ImportedFunctions() {
		module, name, _ := f.Import()
		if _, ok := known[name]; !ok || module != wasi_snapshot_preview1.ModuleName {
			return fmt.Errorf("it imports %s.%s, which WASI preview 1 has not", module, name)
		}
	}
	if len(m.module.ImportedMemories()) > 0 {
		return errors.New("it imports a memory, which WASI preview 1 has not")
	}
	if _, ok := m.module.ExportedFunctions()["_start"]; !ok {
		return errors.New("it has no function _start: it must be a command, not a library (a reactor)")
	}
	return nil
}

// An ExitError is about a run that ended with an exit code other than 0.
type ExitError struct {
	Code uint32
}

func (e *ExitError) Error() string { return fmt.Sprintf("exit code %d", e.Code) }

// errOutput says that a run printed too much.
var errOutput = errors.New("too much output")

// Run runs the program and returns what it printed. args are its arguments,
// the first being its name; stdin, which it need not read, and stderr may be
// nil. If ctx ends, so does the run, with the error of ctx. The error of a
// program that failed is an [*ExitError]; all else is one of the machine, such
// as a memory access out of bounds.
func (m *Module) Run(ctx context.Context, args []string, stdin io.Reader, stderr io.Writer) ([]byte, error) {
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := &output{max: m.output, cancel: cancel}
	config := wazero.NewModuleConfig().WithName("").WithArgs(args...).WithStdout(out)
	if stdin != nil {
		// Not as the file that it may be: that could be asked for more.
		config = config.WithStdin(struct{ io.Reader }{stdin})
	}
	if stderr != nil {
		config = config.WithStderr(stderr)
	}
	instance, err := m.runtime.InstantiateModule(run, m.module, config)
	if instance != nil {
		err = errors.Join(err, instance.Close(context.WithoutCancel(ctx)))
	}
	var exit *sys.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(context.Cause(run), errOutput):
		return nil, fmt.Errorf("it prints more than %d bytes", m.output)
	case errors.As(err, &exit) && exit.ExitCode() != 0:
		return nil, &ExitError{exit.ExitCode()}
	case err != nil && exit == nil:
		return nil, trap(err)
	}
	return out.Bytes(), nil
}

// trap is what the machine says, without the stack of the module, which wazero
// appends.
func trap(err error) error {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(strings.TrimSpace(strings.TrimPrefix(text, "module[] function[_start] failed: ")))
}

// Close frees the module, which must not be running.
func (m *Module) Close() error {
	ctx := context.Background()
	err := m.runtime.Close(ctx)
	if m.cache != nil {
		err = errors.Join(err, m.cache.Close(ctx))
	}
	return err
}

// An output keeps what a run prints, and ends it if that is too much.
type output struct {
	bytes.Buffer
	max    int
	cancel context.CancelCauseFunc
}

func (o *output) Write(p []byte) (int, error) {
	if len(p) > o.max-o.Len() {
		o.cancel(errOutput)
		return 0, os.ErrInvalid
	}
	return o.Buffer.Write(p)
}
