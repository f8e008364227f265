package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/data-containers/cdb/internal/store"
	"github.com/data-containers/cdb/internal/ui"
)

func (a *app) imagesCommand() *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "images [--json]",
		Short: "List the images of the local store",
		Long: `List the images of the local store by name. The size is that of all blobs an
image consists of; images share blobs, so that together they take less.`,
		Example:           "  cdb images\n  cdb images --json",
		Args:              arguments(0, 0, "no arguments"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.images(cmd.Context(), asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func (a *app) images(ctx context.Context, asJSON bool) error {
	local, err := a.local()
	if err != nil {
		return err
	}
	images, err := local.List(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		err = ui.NewJSON(a.stdout).Print(newImagesJSON(images))
	} else {
		err = a.imagesTable(images)
	}
	if err != nil {
		return err
	}
	for _, i := range images {
		if i.Err != nil {
			a.talk.Warn("%v", i.Err)
			err = exitCode(ui.ExitError)
		}
	}
	return err
}

func (a *app) imagesTable(images []store.Image) error {
	var rows [][]string
	for _, i := range images {
		created := "-"
		if !i.Created.IsZero() {
			created = i.Created.UTC().Format(time.DateTime)
		}
		title := i.Title
		if i.Err != nil {
			title = "(damaged)"
		}
		rows = append(rows, []string{i.Name, i.Tag, short(string(i.Desc.Digest)), ui.Bytes(i.Size), created, title})
	}
	return ui.Table(a.stdout, []string{"NAME", "TAG", "DIGEST", "SIZE", "CREATED", "TITLE"}, rows)
}

// short abbreviates a digest so that it is still understood as one.
func short(digest string) string {
	const length = len("sha256:") + 12
	return digest[:min(length, len(digest))]
}

// An imageJSON is an image of the local store.
type imageJSON struct {
	Name    string  `json:"name"`
	Tag     string  `json:"tag"`
	Digest  string  `json:"digest"`
	Size    int64   `json:"size"`
	Created *string `json:"created"`
	Title   string  `json:"title"`
	Error   string  `json:"error,omitempty"`
}

func newImagesJSON(images []store.Image) []imageJSON {
	out := []imageJSON{}
	for _, i := range images {
		j := imageJSON{Name: i.Name, Tag: i.Tag, Digest: string(i.Desc.Digest), Size: i.Size, Title: i.Title}
		if !i.Created.IsZero() {
			created := i.Created.UTC().Format(time.RFC3339)
			j.Created = &created
		}
		if i.Err != nil {
			j.Error = i.Err.Error()
		}
		out = append(out, j)
	}
	return out
}

func (a *app) tagCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "tag IMAGE NAME[:TAG]",
		Short: "Give an image of the local store one more name",
		Long: `Give an image of the local store one more name. If another image has that name
it loses it. IMAGE may be a digest or the beginning of one.`,
		Example:           "  cdb tag photos photos:2024\n  cdb tag sha256:3f1c0a photos:old",
		Args:              arguments(2, 2, "an IMAGE of the local store and its new name"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.tag(cmd.Context(), args[0], args[1])
		},
	}
}

func (a *app) tag(ctx context.Context, from, to string) error {
	name, tag, err := store.ParseName(to)
	if err != nil {
		return err
	}
	if err := checkLocal("tag", from); err != nil {
		return err
	}
	local, err := a.local()
	if err != nil {
		return err
	}
	return local.Tag(ctx, from, name, tag)
}

// checkLocal says if ref can be one of the local store.
func checkLocal(verb, ref string) error {
	r, err := store.ParseRef(ref)
	if err == nil && r.Transport != store.TransportStore {
		err = fmt.Errorf("%s %q: only images of the local store have names to change", verb, ref)
	}
	return err
}

func (a *app) rmCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME[:TAG]...",
		Short: "Remove images from the local store",
		Long: `Remove names from the local store, and print each one that is gone. A digest
stands for all names of its image. What no name needs any more stays on disk
until "cdb gc".`,
		Example:           "  cdb rm photos:2023\n  cdb rm photos@sha256:3f1c0a... && cdb gc",
		Args:              arguments(1, many, "the names to remove"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.rm(cmd.Context(), args)
		},
	}
}

// rm goes on after a name that is not there.
func (a *app) rm(ctx context.Context, names []string) error {
	local, err := a.local()
	if err != nil {
		return err
	}
	code := ui.ExitOK
	for _, n := range names {
		removed, err := a.remove(ctx, local, n)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			a.fail(err)
			code = ui.ExitError
		}
		for _, r := range removed {
			if _, err := fmt.Fprintln(a.stdout, r); err != nil {
				return err
			}
		}
	}
	if code != ui.ExitOK {
		return exitCode(code)
	}
	return nil
}

func (a *app) remove(ctx context.Context, local *store.Local, name string) ([]string, error) {
	if err := checkLocal("rm", name); err != nil {
		return nil, err
	}
	return local.Remove(ctx, name)
}

func (a *app) gcCommand() *cobra.Command {
	dryRun, asJSON := false, false
	cmd := &cobra.Command{
		Use:   "gc [--dry-run] [--json]",
		Short: "Free what no image of the local store needs",
		Long: `Remove the blobs of the local store that no image needs any more, and what
builds that were killed left half-written. While a build runs nothing is
removed.`,
		Example:           "  cdb gc --dry-run\n  cdb gc",
		Args:              arguments(0, 0, "no arguments"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.gc(cmd.Context(), dryRun, asJSON)
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be removed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	return cmd
}

func (a *app) gc(ctx context.Context, dryRun, asJSON bool) error {
	local, err := a.local()
	if err != nil {
		return err
	}
	res, err := local.GC(ctx, dryRun)
	if err != nil {
		return err
	}
	if asJSON {
		return ui.NewJSON(a.stdout).Print(struct {
			Blobs  int   `json:"blobs"`
			Bytes  int64 `json:"bytes"`
			DryRun bool  `json:"dryRun"`
		}{res.Blobs, res.Bytes, dryRun})
	}
	verb := "removed"
	if dryRun {
		verb = "would remove"
	}
	_, err = fmt.Fprintf(a.stdout, "%s %s, %s\n", verb, ui.Plural(int64(res.Blobs), "blob"), ui.Bytes(res.Bytes))
	return err
}
