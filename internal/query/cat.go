package query

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// errNoFiles is returned where bytes are asked for and only the catalog is
// there.
var errNoFiles = errors.New("there is no data beside the catalog: run this in the data container")

// printFile is -cat.
func (r *run) printFile(ctx context.Context) error {
	if r.Files == nil {
		return errNoFiles
	}
	e, err := r.resolve(ctx, r.cat)
	if err != nil {
		return fmt.Errorf("cat %q: %w", r.cat, err)
	}
	f, err := openFile(r.Files, e)
	if err != nil {
		return fmt.Errorf("cat %q: %w", r.cat, err)
	}
	defer f.Close()
	// The digest can only be known behind the last byte: whoever reads this
	// must look at the exit code.
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(r.out, sum), bound(ctx, f))
	if err != nil {
		return fmt.Errorf("cat %q: %w", r.cat, err)
	}
	if n != e.Size || [sha256.Size]byte(sum.Sum(nil)) != e.SHA256 {
		return fmt.Errorf("cat %q: the file was changed: its %d bytes do not match the digest in the catalog", r.cat, n)
	}
	return nil
}

// openFile opens what must be a regular file.
func openFile(files Files, e *catalog.Entry) (fs.File, error) {
	f, err := files.Open(e.Path)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = errors.New("is no longer a regular file")
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// A readerFunc is Read.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// bound returns a reader that ends with ctx.
func bound(ctx context.Context, r io.Reader) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(p)
	})
}

// resolve finds the file that path leads to.
func (r *run) resolve(ctx context.Context, path string) (*catalog.Entry, error) {
	e, err := r.DB.Resolve(ctx, path)
	if err == nil && e.Type != tree.File {
		err = errors.New("is a folder")
	}
	return e, err
}
