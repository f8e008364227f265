package main

import (
	"context"

	"github.com/spf13/cobra"

	cdb "github.com/data-containers/cdb"
	"github.com/data-containers/cdb/internal/ui"
)

// An exportRun is one run of the command export.
type exportRun struct {
	*app
	dst   string
	opts  cdb.ExportOptions
	bagit bool
	json  bool
}

func (a *app) exportCommand() *cobra.Command {
	x := &exportRun{app: a}
	cmd := &cobra.Command{
		Use:   "export IMAGE [PATH...] -o DIR [FLAGS]",
		Short: "Write files into a folder",
		Long: `Write the files of an image, or those that PATH names, into the folder DIR,
which is made if need be. They get the paths that they have below the folder of
the data: /data/a/b becomes DIR/a/b. Names, modes, times and links are restored,
every byte is checked, and nothing is ever written outside DIR. Files that are
there already are an error, unless --overwrite replaces them.

--where and --include select among the files: by an SQL expression over the
columns of view files, as "cdb query -where" has it, and by patterns in the
syntax of .gitignore. Of an image in a registry only what is selected is
fetched, with neighbours in one go.

With --bagit the whole dataset becomes a bag (BagIt 1.0, RFC 8493), as archives
take them: its files in DIR/data, and beside them manifests of their digests and
what is known of the dataset. DIR must be empty or not there. Symbolic links
have no place in a bag; if there are some, they are left out and the exit code
is 3.`,
		Example: `  cdb export photos -o photos
  cdb export photos.tar /data/2024 /data/README.md -o some --overwrite
  cdb export photos -o small --where "size < 100000 and path like '%/2024/%'"
  cdb export docker://ghcr.io/lab/photos:2024 -o raw --include '*.dng' --include '!old/'
  cdb export photos -o bag --bagit`,
		Args:              arguments(1, many, "an IMAGE"),
		ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			if x.dst == "" {
				return usageError("export: say where to: -o DIR")
			}
			if x.bagit && (len(args) > 1 || x.opts.Overwrite) {
				return usageError("export: a bag holds the whole dataset, in a folder of its own: --bagit goes with neither PATH nor --overwrite")
			}
			return a.with(cmd.Context(), args[0], func(c *cdb.Container) error {
				return x.run(cmd.Context(), c, args[1:])
			})
		},
	}
	cmd.Flags().StringVarP(&x.dst, "output", "o", "", "write into the folder `DIR`")
	cmd.Flags().StringVar(&x.opts.Where, "where", "", "only files for which this SQL `EXPR` is true")
	cmd.Flags().StringArrayVar(&x.opts.Include, "include", nil, "only files that the `pattern` matches (gitignore syntax); may be repeated")
	cmd.Flags().BoolVar(&x.opts.Overwrite, "overwrite", false, "replace files that are there already")
	cmd.Flags().BoolVar(&x.opts.Owners, "owners", false, "restore owner and group, which only root can, and extended attributes")
	cmd.Flags().BoolVar(&x.bagit, "bagit", false, "write a bag (BagIt 1.0): the files in DIR/data, with manifests")
	cmd.Flags().BoolVar(&x.json, "json", false, "print a JSON object with what was written")
	_ = cmd.MarkFlagDirname("output") // the flag was just defined
	return cmd
}

func (x *exportRun) run(ctx context.Context, c *cdb.Container, paths []string) error {
	var progress cdb.Progress
	x.opts.Paths, x.opts.Progress = paths, &progress
	stop := x.talk.Progress(func() ui.Sample { return ui.Sample(progress.Sample()) })
	export := c.Export
	if x.bagit {
		export = c.ExportBag
	}
	res, err := export(ctx, x.dst, x.opts)
	stop()
	if err != nil {
		return err
	}
	left := int64(0)
	if x.bagit {
		left, res.Links = res.Links, 0
	}
	x.talk.Note("wrote %s (%s), %s and %s to %s", ui.Plural(res.Files, "file"), ui.Bytes(res.Bytes),
		ui.Plural(res.Links, "link"), ui.Plural(res.Dirs, "folder"), x.dst)
	if left > 0 {
		x.talk.Warn("%s left out: a bag has none", ui.Plural(left, "symbolic link"))
	}
	if x.json {
		err = ui.NewJSON(x.stdout).Print(struct {
			Files int64 `json:"files"`
			Bytes int64 `json:"bytes"`
			Links int64 `json:"links"`
			Dirs  int64 `json:"dirs"`
		}{res.Files, res.Bytes, res.Links, res.Dirs})
	}
	if err == nil && left > 0 {
		err = exitCode(ui.ExitIncomplete)
	}
	return err
}
