package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	cdb "github.com/data-containers/cdb"
	"github.com/data-containers/cdb/internal/tree"
	"github.com/data-containers/cdb/internal/ui"
)

func (a *app) catCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "cat IMAGE PATH...",
		Short: "Print the bytes of files",
		Long: `Print the bytes of files, one after the other, each checked against its digest.
Only the frames that a file lies in are read. Symbolic links are followed as
long as they stay within the data. PATH is the path in the image, or one
relative to the folder of the data.`,
		Example:           "  cdb cat photos /data/2024/cat.jpg > cat.jpg\n  cdb cat photos README.md",
		Args:              arguments(2, many, "an IMAGE and at least one PATH in it"),
		ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), args[0], func(c *cdb.Container) error {
				return a.cat(cmd.Context(), c, args[1:])
			})
		},
	}
}

// cat goes on after a file that cannot be printed.
func (a *app) cat(ctx context.Context, c *cdb.Container, paths []string) error {
	code := ui.ExitOK
	for _, p := range paths {
		err := a.catFile(ctx, c, p)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			a.fail(fmt.Errorf("cat %q: %w", p, err))
			code = ui.ExitError
		}
	}
	if code != ui.ExitOK {
		return exitCode(code)
	}
	return nil
}

func (a *app) catFile(ctx context.Context, c *cdb.Container, path string) error {
	e, err := c.Catalog().Resolve(ctx, path)
	if err != nil {
		return err
	}
	if e.Type != tree.File {
		return errors.New("is a folder")
	}
	r, err := c.Content(ctx, e)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(a.stdout, r)
	return err
}
