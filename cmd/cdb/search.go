package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	cdb "github.com/data-containers/cdb"
	"github.com/data-containers/cdb/internal/tree"
	"github.com/data-containers/cdb/internal/ui"
)

// A searchRun is one run of the command search.
type searchRun struct {
	*app
	opts cdb.SearchOptions
	json bool
}

func (a *app) searchCommand() *cobra.Command {
	s := &searchRun{app: a}
	cmd := &cobra.Command{
		Use:   "search [REGISTRY[/PREFIX]] [FLAGS]",
		Short: "List the data containers of a registry",
		Long: `List the data containers of a registry, or those whose names begin with PREFIX,
with title, version, files and size. Only manifests are read. Of each repository
the newest image is listed, with --all-tags every one.

Some registries (Docker Hub, GHCR) do not list their repositories. Name them
then, with --repository.`,
		Example: `  cdb search localhost:5000
  cdb search registry.lab:5000/mri --all-tags --json
  cdb search -r ghcr.io/lab/photos -r ghcr.io/lab/sounds`,
		Args:              arguments(0, 1, "a REGISTRY, or repositories with --repository"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			where := ""
			if len(args) == 1 {
				where = strings.TrimPrefix(args[0], "docker://")
			}
			if where == "" && len(s.opts.Repositories) == 0 {
				return usageError("search: give a REGISTRY, or repositories with --repository")
			}
			return s.run(cmd.Context(), where)
		},
	}
	cmd.Flags().StringArrayVarP(&s.opts.Repositories, "repository", "r", nil, "look into `HOST/NAME`; may be repeated")
	cmd.Flags().BoolVar(&s.opts.AllTags, "all-tags", false, "list every tag, not only the newest image")
	cmd.Flags().BoolVar(&s.json, "json", false, "print a JSON array")
	return cmd
}

func (s *searchRun) run(ctx context.Context, where string) error {
	var err error
	if s.opts.Places, err = s.places(); err != nil {
		return err
	}
	s.opts.Progress = &cdb.Progress{}
	stop := s.progressOf(s.opts.Progress)
	found, err := cdb.Search(ctx, where, s.opts)
	stop()
	if err != nil {
		return err
	}
	if s.json {
		return ui.NewJSON(s.stdout).Print(newFoundJSON(found))
	}
	var rows [][]string
	for _, f := range found {
		rows = append(rows, []string{
			f.Ref, short(f.Digest), ui.Count(f.Files), ui.Bytes(f.Bytes), tree.Visible(f.Version), tree.Visible(f.Title),
		})
	}
	return ui.Table(s.stdout, []string{"IMAGE", "DIGEST", "FILES", "SIZE", "VERSION", "TITLE"}, rows)
}

// A foundJSON is a data container of a registry.
type foundJSON struct {
	Ref         string  `json:"ref"`
	Digest      string  `json:"digest"`
	Title       string  `json:"title"`
	Description string  `json:"description,omitempty"`
	Version     string  `json:"version,omitempty"`
	License     string  `json:"license,omitempty"`
	Files       int64   `json:"files"`
	Bytes       int64   `json:"bytes"`
	Created     *string `json:"created"`
}

func newFoundJSON(found []cdb.Found) []foundJSON {
	out := []foundJSON{}
	for _, f := range found {
		j := foundJSON{
			Ref: f.Ref, Digest: f.Digest, Title: f.Title, Description: f.Description,
			Version: f.Version, License: f.License, Files: f.Files, Bytes: f.Bytes,
		}
		if !f.Created.IsZero() {
			created := f.Created.UTC().Format(time.RFC3339)
			j.Created = &created
		}
		out = append(out, j)
	}
	return out
}
