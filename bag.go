package cdb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/export"
	"github.com/data-containers/cdb/internal/standard"
	"github.com/data-containers/cdb/internal/tree"
)

// ExportBag writes the whole dataset as a bag (BagIt 1.0, RFC 8493) into the
// folder dst, which must be empty or not there: the files in its folder data,
// each checked against its digest as [Container.Export] does, with a manifest
// of their digests, bag-info.txt and a manifest of the two. The declaration
// bagit.txt comes last, so what was interrupted is no bag. Symbolic links have
// no place in a bag and are left out; their number is the result's Links. Of
// opts, Paths and Overwrite have no meaning here.
func (c *Container) ExportBag(ctx context.Context, dst string, opts ExportOptions) (ExportResult, error) {
	res, err := c.exportBag(ctx, dst, opts)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("export bag %q: %w", dst, err)
	}
	return res, err
}

func (c *Container) exportBag(ctx context.Context, dst string, opts ExportOptions) (ExportResult, error) {
	if err := emptyFolder(dst); err != nil {
		return ExportResult{}, err
	}
	opts.Progress.setPhase("export")
	opts.Progress.setTotal(c.db.Dataset().Files, c.db.Dataset().Bytes)
	open := func(ctx context.Context, e *catalog.Entry) (io.ReadCloser, error) {
		r, err := c.Content(ctx, e)
		if err != nil {
			return nil, err
		}
		return &countedReader{r, opts.Progress}, nil
	}
	links := int64(0)
	res, err := export.Tree(ctx, filepath.Join(dst, "data"), withoutLinks(c.db.Entries(ctx, ""), &links), open,
		export.Options{Workers: opts.Workers, Owners: opts.Owners})
	if err != nil {
		return res, err
	}
	res.Links = links
	root, err := os.OpenRoot(dst)
	if err != nil {
		return res, err
	}
	defer root.Close()
	return res, c.writeTags(ctx, root)
}

// emptyFolder makes the folder dst, or sees that it is empty.
func emptyFolder(dst string) error {
	if err := os.MkdirAll(dst, 0o755); err != nil {
		return err
	}
	f, err := os.Open(dst)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Readdirnames(1); err == nil {
		return fmt.Errorf("it is not empty, and a bag is a folder of its own: %w", fs.ErrExist)
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// withoutLinks yields entries without symbolic links, which it counts.
func withoutLinks(entries iter.Seq2[*catalog.Entry, error], links *int64) iter.Seq2[*catalog.Entry, error] {
	return func(yield func(*catalog.Entry, error) bool) {
		for e, err := range entries {
			if err == nil && e.Type == tree.Symlink {
				*links++
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// writeTags writes the tag files of a bag.
func (c *Container) writeTags(ctx context.Context, root *os.Root) error {
	var sums strings.Builder
	for _, tag := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{"manifest-sha256.txt", c.standard(ctx, "bagit")},
		{"bag-info.txt", c.standard(ctx, "bag-info")},
	} {
		sum := sha256.New()
		err := writeTag(root, tag.name, func(w io.Writer) error { return tag.write(io.MultiWriter(w, sum)) })
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%s  %s\n", hex.EncodeToString(sum.Sum(nil)), tag.name)
	}
	declaration := sha256.Sum256([]byte(standard.BagDeclaration))
	fmt.Fprintf(&sums, "%s  bagit.txt\n", hex.EncodeToString(declaration[:]))
	if err := writeTag(root, "tagmanifest-sha256.txt", content(sums.String())); err != nil {
		return err
	}
	return writeTag(root, "bagit.txt", content(standard.BagDeclaration))
}

func (c *Container) standard(ctx context.Context, format string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := standard.Write(ctx, w, c.db, format, standard.Options{})
		return err
	}
}

func content(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

// writeTag writes a file beside its place, and moves it there when it is
// whole.
func writeTag(root *os.Root, name string, write func(io.Writer) error) error {
	part := name + ".part"
	f, err := root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(part, name)
	}
	if err != nil {
		root.Remove(part)
	}
	return err
}
