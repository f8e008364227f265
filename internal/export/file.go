package export

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// holeSize is the length and alignment of blocks of zeros that are not
// written, in bytes.
const holeSize = 64 << 10

// A fileWriter writes one file after the other.
type fileWriter struct {
	*exporter
	buf  []byte
	zero []byte
}

func newFileWriter(x *exporter) *fileWriter {
	return &fileWriter{x, make([]byte, holeSize), make([]byte, holeSize)}
}

func (w *fileWriter) write(ctx context.Context, j job) error {
	if err := w.file(ctx, j.dir, j.e); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("export %q: %w", j.e.Path, err)
	}
	return nil
}

// file writes e beside its place and moves it there when it is whole.
func (w *fileWriter) file(ctx context.Context, parent *dir, e *catalog.Entry) (err error) {
	name := tree.Base(e.Path)
	if err := w.clear(parent, name); err != nil {
		return err
	}
	src, err := w.open(ctx, e)
	if err != nil {
		return err
	}
	defer src.Close()
	temp := ".cdb-" + rand.Text()
	f, err := parent.root.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			parent.root.Remove(temp)
		}
	}()
	err = w.content(ctx, f, src, e)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := parent.root.Chtimes(temp, e.ModTime, e.ModTime); err != nil {
		return err
	}
	if err := parent.root.Rename(temp, name); err != nil {
		return err
	}
	w.files.Add(1)
	w.bytes.Add(e.Size)
	return nil
}

// content writes bytes, owner and mode.
func (w *fileWriter) content(ctx context.Context, f *os.File, src io.Reader, e *catalog.Entry) error {
	if err := w.copy(ctx, f, src, e); err != nil {
		return err
	}
	if w.opts.Owners {
		if err := f.Chown(e.UID, e.GID); err != nil {
			return err
		}
		if err := setXattrs(f, e.Xattrs); err != nil {
			return err
		}
	}
	// Behind the owner, as a new one takes away the set-uid bit.
	return f.Chmod(e.FileMode())
}

// copy writes the bytes of e and leaves holes for blocks of zeros.
func (w *fileWriter) copy(ctx context.Context, f *os.File, src io.Reader, e *catalog.Entry) error {
	sum := sha256.New()
	var at, written int64
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(src, w.buf)
		b := w.buf[:n]
		if at+int64(n) > e.Size {
			return fmt.Errorf("has more than the %d bytes that the catalog knows", e.Size)
		}
		sum.Write(b)
		if n > 0 && !bytes.Equal(b, w.zero) {
			if _, err := f.WriteAt(b, at); err != nil {
				return err
			}
			written = at + int64(n)
		}
		at += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if at != e.Size || [sha256.Size]byte(sum.Sum(nil)) != e.SHA256 {
		return fmt.Errorf("its %d bytes do not match the digest in the catalog", at)
	}
	if written < at {
		return f.Truncate(at)
	}
	return nil
}

// setXattrs gives an open file or folder its extended attributes.
func setXattrs(f *os.File, xattrs map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(xattrs)) {
		if err := unix.Fsetxattr(int(f.Fd()), name, []byte(xattrs[name]), 0); err != nil {
			return fmt.Errorf("set attribute %s: %w", name, err)
		}
	}
	return nil
}
