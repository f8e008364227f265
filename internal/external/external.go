// Package external is extractors of users: functions of Python, programs that
// speak JSON Lines, and modules of WebAssembly, each asked about every file that
// a build reads. [Split] finds them in a selection, [Open] starts them.
//
// Whatever one does with a file (fails, crashes, hangs, talks nonsense) is a
// warning about that file. What is wrong with an extractor as such is known when
// it is opened, before any file is read.
package external

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/data-containers/cdb/internal/extract"
	"github.com/data-containers/cdb/internal/worker"
)

// DefaultTimeout is how long an extractor may take for a file.
const DefaultTimeout = time.Minute

// Options say how extractors run. The zero value works.
type Options struct {
	// Base is the folder that files are relative to, and the working
	// directory of what runs; default the current one.
	Base string
	// Workers is how many files one extractor is asked about at the same
	// time; default GOMAXPROCS.
	Workers int
	// Timeout is for one file; default DefaultTimeout.
	Timeout time.Duration
	// Python is the interpreter, by default "python3".
	Python string
	// Log is told each line that extractors print beside their answers, one
	// at a time, up to a bound; nil drops them.
	Log func(extractor, line string)
	// TempDir is for temporary files; default that of the system.
	TempDir string
	// Cache is a folder that compiled modules are kept in, which belongs to
	// this user; "" is none.
	Cache string
}

// Extractors are extractors at work.
type Extractors struct {
	list []extract.External
	open []io.Closer
}

// Open starts extractors and checks that they can be used. They come in the
// order of their names, whatever that of specs, so that a set with the same
// record says the same.
func Open(ctx context.Context, specs []Spec, opts Options) (*Extractors, error) {
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	if opts.Timeout <= 0 {
		opts.Timeout = DefaultTimeout
	}
	x := &Extractors{}
	for _, s := range specs {
		e, closer, err := s.open(ctx, opts)
		if err != nil {
			err = errors.Join(err, x.Close())
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return nil, err
		}
		x.list, x.open = append(x.list, e), append(x.open, closer)
	}
	slices.SortStableFunc(x.list, func(a, b extract.External) int {
		return cmp.Or(cmp.Compare(a.Name(), b.Name()), cmp.Compare(a.Version(), b.Version()))
	})
	return x, nil
}

// List returns the extractors for a set. They must not be asked after Close.
func (x *Extractors) List() []extract.External { return x.list }

// Close ends all extractors; no process of theirs is left.
func (x *Extractors) Close() error {
	var errs []error
	for _, c := range x.open {
		errs = append(errs, c.Close())
	}
	x.open = nil
	return errors.Join(errs...)
}

func (s Spec) open(ctx context.Context, opts Options) (extract.External, io.Closer, error) {
	switch s.kind {
	case python:
		return openPython(ctx, s, opts)
	case command:
		return openCommand(ctx, s, opts)
	case module:
		return openModule(ctx, s, opts)
	}
	return nil, nil, errors.New("open extractor: the spec is empty")
}

// An identity is what a set records of an extractor.
type identity struct{ name, version string }

// Name implements extract.External.
func (i identity) Name() string { return i.name }

// Version implements extract.External.
func (i identity) Version() string { return i.version }

// version is a digest of parts, the first of which changes when the same
// extractor is used in another way.
func version(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d %s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// readFile reads a file of a spec, which is at most so large.
func readFile(name string, most int64) ([]byte, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return nil, cause(err)
	}
	if !fi.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, cause(err)
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("larger than %d bytes", most)
	}
	return data, nil
}

// cause is an error without the name of its file, which is said before it.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// parseMeta reads what an extractor found. What cdb knows itself, size and
// digest, is left out where it is the same, or can be nothing else.
func parseMeta(text string, f *extract.ExternalFile) (*extract.Meta, error) {
	all, err := extract.ParseMeta([]byte(text))
	if err != nil {
		return nil, err
	}
	m := &extract.Meta{}
	for _, k := range all.Keys() {
		v := all.Get(k)
		if k == "size" && fmt.Sprint(v) == strconv.FormatInt(f.Size, 10) || k == "sha256" && isDigest(v) {
			continue
		}
		m.Set(k, v)
	}
	return m, nil
}

func isDigest(v any) bool {
	s, ok := v.(string)
	if !ok || len(s) != sha256.Size*2 {
		return false
	}
	_, err := hex.DecodeString(s)
	return err == nil
}

// complain turns an error of a call into one about the file. It says the same
// wherever the data lies.
func complain(err error, f *extract.ExternalFile) error {
	var about *worker.Error
	if errors.As(err, &about) {
		err = about.Err
	}
	text := err.Error()
	if quoted, err := json.Marshal(f.Name); err == nil {
		text = strings.ReplaceAll(text, string(quoted[1:len(quoted)-1]), f.Path)
	}
	return errors.New(strings.ReplaceAll(text, f.Name, f.Path))
}
