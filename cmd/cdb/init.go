package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/data-containers/cdb/internal/recipe"
	"github.com/data-containers/cdb/internal/ui"
)

func (a *app) initCommand() *cobra.Command {
	force := false
	cmd := &cobra.Command{
		Use:   "init [DIR] [--force]",
		Short: "Write a recipe for a folder",
		Long: `Look at the folder DIR, by default this one, and write a recipe cdb.yaml for it:
with a name, a title and what else files in the folder say, and with patterns
for what is hardly data. Comments explain it. Then edit it, and run "cdb build".
The name of the file is printed.`,
		Example: "  cdb init\n  cdb init photos\n  cdb build -f photos/cdb.yaml",
		Args:    arguments(0, 1, "one folder DIR at the most"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.init(cmd.Context(), append(args, ".")[0], force)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace a recipe that is there")
	return cmd
}

func (a *app) init(ctx context.Context, dir string, force bool) error {
	s, err := recipe.Suggest(ctx, dir)
	if err != nil {
		return err
	}
	name := filepath.Join(dir, recipe.Name)
	err = recipe.Write(name, s.Recipe(), force)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("init: there is a recipe %s already; --force replaces it", name)
	}
	if err != nil {
		return err
	}
	build := "cdb build"
	if dir != "." {
		build += " -f " + name
	}
	a.talk.Note("%s, %s; edit the recipe, then run \"%s\"", ui.Plural(s.Files, "file"), ui.Bytes(s.Bytes), build)
	_, err = fmt.Fprintln(a.stdout, name)
	return err
}
