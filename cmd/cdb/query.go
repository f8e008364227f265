package main

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	cdb "github.com/data-containers/cdb"
	"github.com/data-containers/cdb/internal/query"
	"github.com/data-containers/cdb/internal/tree"
)

func (a *app) queryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "query IMAGE [FLAGS]",
		Short: "Ask a data container what its entrypoint answers",
		Long: `Answer questions about the files of an image, exactly as the entrypoint in it
does, but without a container engine. The flags behind IMAGE are those of the
entrypoint:

` + indent(queryUsage()),
		Example: `  cdb query photos
  cdb query photos -get /data/2024/cat.jpg
  cdb query photos.tar -where "size > 1e6" -format csv
  cdb query oci:layout:v1 -sql 'SELECT dir, count(*) FROM files GROUP BY dir'`,
		Args:              arguments(1, many, "an IMAGE first, and the flags behind it"),
		ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.query(cmd.Context(), args[0], args[1:])
		},
	}
	// What stands behind IMAGE is not cobra's.
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func (a *app) query(ctx context.Context, ref string, args []string) error {
	env := query.Env{
		Stdout: a.stdout, Stderr: a.stderr, StdoutTTY: a.stdoutTTY,
		Name: "cdb query " + tree.Visible(ref), Version: cdb.Version,
	}
	if query.WantsHelp(args) {
		// Help needs no image, but tells of the queries in it.
		if places, err := a.places(); err == nil {
			if c, err := cdb.Open(ctx, ref, places); err == nil {
				defer c.Close()
				env.DB = c.Catalog()
			}
		}
	}
	if !query.NeedsCatalog(args) {
		return queryCode(query.Run(ctx, env, args))
	}
	return a.with(ctx, ref, func(c *cdb.Container) error {
		env.DB, env.Files = c.Catalog(), c.Files(ctx)
		return queryCode(query.Run(ctx, env, args))
	})
}

// queryCode ends with the code of a query, which has said what was wrong.
func queryCode(code int) error {
	if code == 0 {
		return nil
	}
	return exitCode(code)
}

// queryUsage is the help of the entrypoint.
func queryUsage() string {
	var help strings.Builder
	query.Run(context.Background(), query.Env{Stdout: io.Discard, Stderr: &help, Name: "cdb query IMAGE"}, []string{"-h"})
	_, flags, _ := strings.Cut(help.String(), "\n\n")
	return flags
}

func indent(s string) string {
	s = strings.ReplaceAll("  "+strings.TrimSpace(s), "\n", "\n  ")
	return strings.ReplaceAll(s, "\n  \n", "\n\n")
}
