package main

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	cdb "github.com/data-containers/cdb"
	"github.com/data-containers/cdb/internal/external"
)

// A commitRun is one run of the command commit.
type commitRun struct {
	buildRun
	upper, root bool
}

func (a *app) commitCommand() *cobra.Command {
	c := &commitRun{buildRun: buildRun{app: a}}
	cmd := &cobra.Command{
		Use:   "commit FOLDER|CHANGES -t NAME[:TAG] [--parent IMAGE] [FLAGS]",
		Short: "Make a new version of an image of what was changed",
		Long: `Make a new version of the image that --parent names, or of the newest with the
same name in the local store. Its pinned reference is printed.

FOLDER is a changed copy of the data: what is not in it is removed, as with
"cdb build --parent".

CHANGES is the upper folder of an overlay whose lower folder is the data: files
in it are added or replaced, whiteouts and opaque folders remove, all else stays
as the parent has it and need not be there. It is recognised by whiteouts
(devices 0:0, or files .wh.NAME and .wh..wh..opq as in layers of images) and by
the attributes that overlay file systems give to folders; say --upper where it
has none of these, as one that only adds files, and --upper=false if it is a
complete folder all the same. Overlays that root mounted want root here, too.
Those with redirect_dir or metacopy are refused, as CHANGES would not hold all.
Files .cdbignore have no effect on CHANGES, --exclude leaves the parent's.

If the overlay's lower folder was the root of the image, say --root: the changes
of the data are those below the prefix, and what lies elsewhere is not looked at.

Title, labels, prefix, compression, what is extracted and the like are the
parent's, unless flags say something else where they can. Extractors of your own
are not in an image, and must be given again.`,
		Example: `  cdb export photos:v1 -o lower
  mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
  cdb commit upper -t photos:v2 --parent photos:v1 -m "Crop the cat"
  cdb commit working-copy -t photos:v3`,
		Args:              arguments(1, 1, "one FOLDER, or one folder of CHANGES"),
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.run(cmd.Context(), cmd.Flags(), args[0])
		},
	}
	c.flags(cmd.Flags())
	for flag, values := range map[string][]string{
		"compression": {"gzip", "zstd", "none"},
		"arch":        architectures(),
	} {
		// The flags were just defined.
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	return cmd
}

func (c *commitRun) flags(f *pflag.FlagSet) {
	c.imageFlags(f, "of new layers: gzip, zstd or none (default that of the parent)", "")
	f.StringVar(&c.opts.Parent, "parent", "", "the `IMAGE` that was changed (default the newest with the same name in the local store)")
	f.StringArrayVar(&c.opts.Extract, "extract", nil, "an extractor of your own that the parent was built with, `FILE`.py:NAME, FILE.wasm or 'exec: COMMAND'; may be repeated")
	f.BoolVar(&c.upper, "upper", false, "the folder holds only changes (default whether it looks so)")
	f.BoolVar(&c.root, "root", false, "the changes are those of the root of the image")
}

func (c *commitRun) run(ctx context.Context, flags *pflag.FlagSet, src string) error {
	opts := cdb.CommitOptions{}
	if flags.Changed("upper") {
		opts.Upper = &c.upper
	}
	if flags.Changed("root") {
		opts.Root = &c.root
	}
	if opts.Root != nil && opts.Upper != nil && !c.upper {
		return usageError("commit: --root is about folders of changes; leave out --upper=false")
	}
	if c.opts.Name == "" && (c.opts.Output == "" || c.opts.Parent == "") {
		return usageError("commit: give -t NAME, which the new version goes by in the local store, or -o DEST and --parent IMAGE")
	}
	if words, _, err := external.Split(c.opts.Extract); err == nil && len(words) > 0 {
		return usagef("commit: --extract %q: which formats are extracted is up to the parent; give extractors of your own", words[0])
	}
	if err := c.complete(); err != nil {
		return err
	}
	return c.make(ctx, src, func(o cdb.BuildOptions) (*cdb.BuildResult, error) {
		opts.BuildOptions = o
		return cdb.Commit(ctx, src, opts)
	})
}
