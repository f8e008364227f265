package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	cdb "github.com/data-containers/cdb"
	"github.com/data-containers/cdb/internal/query"
	"github.com/data-containers/cdb/internal/tree"
	"github.com/data-containers/cdb/internal/ui"
)

// A verifyRun is one run of the command verify.
type verifyRun struct {
	*app
	progress cdb.Progress
	found    int
}

func (a *app) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify IMAGE [PATH...]",
		Short: "Check every byte of an image",
		Long: `Read every layer of an image and compare it with its digest and its diffID, then
read every file and compare it with the catalog, and look for files that are
missing and for those that the catalog does not know. With PATH only these files
are read.

Each finding is a line on stdout, mismatch, missing, extra or unreadable and the
path of a file or the digest of a layer, and the reason is on stderr. The exit
code is 1 if there is any.`,
		Example:           "  cdb verify photos\n  cdb verify photos.tar /data/2024/cat.jpg",
		Args:              arguments(1, many, "an IMAGE"),
		ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), args[0], func(c *cdb.Container) error {
				return (&verifyRun{app: a}).run(cmd.Context(), c, args[1:])
			})
		},
	}
}

func (v *verifyRun) run(ctx context.Context, c *cdb.Container, paths []string) error {
	stop := v.talk.Progress(func() ui.Sample { return ui.Sample(v.progress.Sample()) })
	err := v.verify(ctx, c, paths)
	stop()
	switch {
	case err != nil:
		return err
	case v.found > 0:
		return exitCode(ui.ExitError)
	}
	return nil
}

func (v *verifyRun) verify(ctx context.Context, c *cdb.Container, paths []string) error {
	opts := cdb.VerifyOptions{Progress: &v.progress, Report: v.report}
	if len(paths) > 0 {
		return c.VerifyFiles(ctx, paths, opts)
	}
	if err := c.VerifyBlobs(ctx, opts); err != nil {
		return err
	}
	if v.found > 0 {
		// A damaged layer cannot be walked, but its files can be tried.
		return c.VerifyFiles(ctx, nil, opts)
	}
	return v.compare(ctx, c)
}

// compare compares the files with the catalog, as the entrypoint does it.
func (v *verifyRun) compare(ctx context.Context, c *cdb.Container) error {
	env := query.Env{
		DB: c.Catalog(), Files: c.Files(ctx), Name: "cdb", Version: cdb.Version,
		Stdout: v.stdout, Stderr: v.stderr, StdoutTTY: v.stdoutTTY,
	}
	return queryCode(query.Run(ctx, env, []string{"-verify"}))
}

func (v *verifyRun) report(f cdb.Finding) error {
	v.found++
	what := f.What
	if v.stdoutTTY {
		what = tree.Visible(what)
	}
	v.talk.Warn("%s: %v", f.What, f.Why)
	_, err := fmt.Fprintln(v.stdout, f.Kind, what)
	return err
}
