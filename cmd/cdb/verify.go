package main

import (
	"context"
	"fmt"
	"strings"

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
		Use:   "verify [IMAGE [PATH...]]",
		Short: "Check every byte of an image, or the local store",
		Long: `Read every layer of an image and compare it with its digest and its diffID, then
read every file and compare it with the catalog, and look for files that are
missing and for those that the catalog does not know. With PATH only these files
are read.

Without IMAGE the local store is checked: every blob against its digest, whether
all blobs of every image are there, the catalog of each image against its packs,
and whether there are files that do not belong. An OCI layout oci:DIR that holds
several images is checked the same way if none of them is named.

Each finding is a line on stdout, mismatch, missing, extra or unreadable and the
path of a file or the digest of a layer, and the reason is on stderr. What is in
the catalog of an image of a store begins with the name of the image. The exit
code is 1 if there is any.`,
		Example:           "  cdb verify\n  cdb verify photos\n  cdb verify photos.tar /data/2024/cat.jpg",
		Args:              arguments(0, many, "an IMAGE, or nothing for the local store"),
		ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.verify(cmd.Context(), args)
		},
	}
}

// verify checks an image, or all that is in a store.
func (a *app) verify(ctx context.Context, args []string) error {
	places, err := a.places()
	if err != nil {
		return err
	}
	v := &verifyRun{app: a}
	whole := len(args) == 0
	if len(args) == 1 {
		if whole, err = cdb.HoldsSeveral(ctx, args[0], places); err != nil {
			return err
		}
	}
	if whole {
		ref := strings.Join(args, "")
		return v.run(func() error { return v.whole(ctx, ref) })
	}
	return a.with(ctx, args[0], func(c *cdb.Container) error {
		return v.run(func() error { return v.one(ctx, c, args[1:]) })
	})
}

func (v *verifyRun) run(verify func() error) error {
	stop := v.talk.Progress(func() ui.Sample { return ui.Sample(v.progress.Sample()) })
	err := verify()
	stop()
	switch {
	case err != nil:
		return err
	case v.found > 0:
		return exitCode(ui.ExitError)
	}
	return nil
}

// whole checks the local store, or the layout ref, and says how much it was.
func (v *verifyRun) whole(ctx context.Context, ref string) error {
	places, err := v.places()
	if err != nil {
		return err
	}
	res, err := cdb.VerifyStore(ctx, ref, places, cdb.VerifyOptions{Progress: &v.progress, Report: v.report})
	if err != nil {
		return err
	}
	verdict := "all as they should be"
	if v.found > 0 {
		verdict = ui.Plural(int64(v.found), "finding")
	}
	v.talk.Note("verified %s, %s of %s: %s", ui.Plural(int64(res.Images), "image"), ui.Plural(int64(res.Blobs), "blob"), ui.Bytes(res.Bytes), verdict)
	if res.Unneeded+res.Unfinished > 0 {
		v.talk.Note("%s and %s belong to no image: \"cdb gc\" removes them from the local store",
			ui.Plural(int64(res.Unneeded), "blob"), ui.Plural(int64(res.Unfinished), "unfinished upload"))
	}
	return nil
}

// one checks one image.
func (v *verifyRun) one(ctx context.Context, c *cdb.Container, paths []string) error {
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
