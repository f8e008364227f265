package unpack

import (
	"archive/zip"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/data-containers/cdb/internal/pack"
)

// Numbers in ZIP files (APPNOTE.TXT 4.4.2 to 4.4.5).
const (
	zipFAT       = 0 // the system that a member is from, in CreatorVersion
	zipEncrypted = 1 << 0
	zipBzip2     = 12
	zipZstd      = 93
)

// Zip unpacks the ZIP file r of size bytes.
func (f *Folder) Zip(ctx context.Context, r io.ReaderAt, size int64) error {
	f.layer = 0
	z, err := zip.NewReader(r, size)
	if err != nil {
		return fmt.Errorf("read zip: %w", err)
	}
	z.RegisterDecompressor(zipBzip2, func(r io.Reader) io.ReadCloser { return io.NopCloser(bzip2.NewReader(r)) })
	z.RegisterDecompressor(zipZstd, func(r io.Reader) io.ReadCloser {
		d, err := pack.Decompress(r, pack.Zstd)
		if err != nil {
			return io.NopCloser(failingReader{err})
		}
		return d
	})
	for _, m := range z.File {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f.zipMember(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

func (f *Folder) zipMember(ctx context.Context, z *zip.File) error {
	mode := z.Mode()
	m := &member{name: z.Name, attr: attr{
		mode: mode & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky), modTime: z.Modified,
	}}
	if z.CreatorVersion>>8 == zipFAT {
		// Old programs for Windows write their own separator.
		m.name = strings.ReplaceAll(m.name, `\`, "/")
	}
	switch {
	case mode.IsDir() || strings.HasSuffix(m.name, "/"):
		m.typ = dirMember
		return f.put(m, nil)
	case z.Flags&zipEncrypted != 0:
		return fmt.Errorf("member %q: it is encrypted; unpack the archive first", z.Name)
	case mode.Type() != 0 && mode.Type() != fs.ModeSymlink:
		m.typ, m.link = otherMember, "member of type "+mode.Type().String()
		return f.put(m, nil)
	}
	body, err := z.Open()
	if err != nil {
		return fmt.Errorf("member %q: %w", z.Name, err)
	}
	defer body.Close()
	if mode.Type() != fs.ModeSymlink {
		return f.put(m, &contextReader{ctx, body})
	}
	target, err := io.ReadAll(io.LimitReader(body, maxPath+1))
	if err == nil && len(target) > maxPath {
		err = errors.New("the target of the link is too long")
	}
	if err != nil {
		return fmt.Errorf("member %q: %w", z.Name, err)
	}
	m.typ, m.link = symlinkMember, string(target)
	return f.put(m, nil)
}
