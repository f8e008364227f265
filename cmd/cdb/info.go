package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	cdb "github.com/data-containers/cdb"
	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/query"
	"github.com/data-containers/cdb/internal/standard"
	"github.com/data-containers/cdb/internal/ui"
)

func (a *app) infoCommand() *cobra.Command {
	asJSON, format, base := false, "", ""
	cmd := &cobra.Command{
		Use:   "info IMAGE [--json|--format FORMAT]",
		Short: "Describe an image and its dataset",
		Long: `Describe an image: what is known of its dataset, what it runs on, and which
layers it is made of.

With --format it is a document of a standard, from the catalog alone: what the
entrypoint prints for "-info -format FORMAT", to the byte. FORMAT is one of
  schema.org             JSON-LD that search engines for datasets read
  croissant              Croissant 1.1 (JSON-LD)
  ro-crate               RO-Crate 1.2: ro-crate-metadata.json
  datapackage            Frictionless Data Package v2: datapackage.json
  datacite, datacite-xml
                         metadata for a DOI: JSON of 4.3, XML of 4.7
  bagit, bag-info        manifest-sha256.txt and bag-info.txt of BagIt 1.0
  bids                   dataset_description.json of BIDS
  markdown               a data card for people
What a standard asks for and nobody said is named on standard error.`,
		Example: `  cdb info photos
  cdb info photos.tar --json
  cdb info photos --format schema.org --base-url https://example.org/photos/
  cdb info photos --format markdown > CARD.md`,
		Args:              arguments(1, 1, "one IMAGE"),
		ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkInfo(format, base, asJSON); err != nil {
				return err
			}
			return a.with(cmd.Context(), args[0], func(c *cdb.Container) error {
				if format != "" {
					return a.infoAs(cmd.Context(), c, format, base)
				}
				return a.info(cmd.Context(), c, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	cmd.Flags().StringVar(&format, "format", "", "print the description in the `FORMAT` of a standard")
	cmd.Flags().StringVar(&base, "base-url", "", "with --format: the `URL` below which the files of the dataset are")
	// The flag was just defined.
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(standard.Formats(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func checkInfo(format, base string, asJSON bool) error {
	switch {
	case format != "" && asJSON:
		return usageError("info: --json and --format cannot be combined")
	case format != "" && !slices.Contains(standard.Formats(), format):
		return usagef("info: format %q: it is none of %s", format, strings.Join(standard.Formats(), ", "))
	case base != "" && format == "":
		return usageError("info: --base-url goes with --format")
	}
	return nil
}

// infoAs is the description in the form of a standard.
func (a *app) infoAs(ctx context.Context, c *cdb.Container, format, base string) error {
	if base != "" && !strings.HasSuffix(base, "/") {
		base += "/"
	}
	return queryCode(query.Run(ctx, query.Env{
		DB: c.Catalog(), Stdout: a.stdout, Stderr: a.stderr, StdoutTTY: a.stdoutTTY, Name: "cdb info", BaseURL: base,
	}, []string{"-info", "-format", format}))
}

func (a *app) info(ctx context.Context, c *cdb.Container, asJSON bool) error {
	info, err := newInfoJSON(ctx, c)
	if err != nil {
		return err
	}
	if asJSON {
		return ui.NewJSON(a.stdout).Print(info)
	}
	return ui.Table(a.stdout, nil, info.table())
}

// An infoJSON is what is known of an image.
type infoJSON struct {
	Ref           string            `json:"ref"`
	Digest        string            `json:"digest"`
	DatasetDigest string            `json:"datasetDigest"`
	Title         string            `json:"title"`
	Description   string            `json:"description"`
	License       string            `json:"license"`
	Version       string            `json:"version"`
	Author        string            `json:"author"`
	Creators      []personJSON      `json:"creators,omitempty"`
	Rights        string            `json:"rights,omitempty"`
	Identifiers   []string          `json:"identifiers,omitempty"`
	URL           string            `json:"url,omitempty"`
	Publisher     string            `json:"publisher,omitempty"`
	Contact       *personJSON       `json:"contact,omitempty"`
	Keywords      []string          `json:"keywords,omitempty"`
	Citation      string            `json:"citation,omitempty"`
	DateCreated   string            `json:"dateCreated,omitempty"`
	DatePublished string            `json:"datePublished,omitempty"`
	DateModified  string            `json:"dateModified,omitempty"`
	Source        []string          `json:"source,omitempty"`
	Funding       []string          `json:"funding,omitempty"`
	References    []string          `json:"references,omitempty"`
	Languages     []string          `json:"languages,omitempty"`
	Spatial       []string          `json:"spatial,omitempty"`
	Temporal      string            `json:"temporal,omitempty"`
	ConformsTo    []string          `json:"conformsTo,omitempty"`
	Origins       map[string]string `json:"origins,omitempty"` // the files that words came from, by their keys
	Created       string            `json:"created"`
	Generator     string            `json:"generator"`
	Extract       string            `json:"extract"` // as in the catalog
	Prefix        string            `json:"prefix"`
	Preserved     bool              `json:"preserved"`
	FullText      bool              `json:"fullText"`
	Files         int64             `json:"files"`
	Bytes         int64             `json:"bytes"`
	Links         int64             `json:"links"`
	Dirs          int64             `json:"dirs"`
	Packs         int               `json:"packs"`
	Size          int64             `json:"size"` // of the layers of one platform
	Platforms     []string          `json:"platforms"`
	Labels        map[string]string `json:"labels"`
	Layers        []layerJSON       `json:"layers"`
	// Queries are the named queries, as in docs/format.md.
	Queries map[string]json.RawMessage `json:"queries"`

	said []catalog.Said
}

type personJSON struct {
	Name        string `json:"name"`
	Given       string `json:"given,omitempty"`
	Family      string `json:"family,omitempty"`
	Affiliation string `json:"affiliation,omitempty"`
	ORCID       string `json:"orcid,omitempty"`
	Email       string `json:"email,omitempty"`
}

type layerJSON struct {
	Role      string `json:"role"`
	Digest    string `json:"digest"`
	DiffID    string `json:"diffID"`
	MediaType string `json:"mediaType"`
	Size      int64  `json:"size"`

	// Of data layers: what they hold before compression, and how much of it
	// belongs to entries of this image. The rest is dead.
	TarSize *int64 `json:"tarSize,omitempty"`
	Live    *int64 `json:"live,omitempty"`
}

func newInfoJSON(ctx context.Context, c *cdb.Container) (*infoJSON, error) {
	packs, err := c.Catalog().Packs(ctx)
	if err != nil {
		return nil, err
	}
	ds := c.Catalog().Dataset()
	info := &infoJSON{
		Ref: c.Ref, Digest: c.Image.Root.Digest.String(), DatasetDigest: ds.Digest,
		Title: ds.Title, Description: ds.Description, License: ds.License, Version: ds.Version, Author: ds.Author,
		Created: ds.Created.UTC().Format(time.RFC3339), Generator: ds.Generator, Extract: ds.Extract,
		Prefix: ds.Prefix, Preserved: ds.Preserved, FullText: c.Catalog().HasText(),
		Files: ds.Files, Bytes: ds.Bytes, Links: ds.Links, Dirs: ds.Dirs, Packs: len(packs),
		Labels: ds.Labels, Queries: map[string]json.RawMessage{}, said: ds.Said(),
		Rights: ds.Rights, Identifiers: ds.Identifiers, URL: ds.URL, Publisher: ds.Publisher, Keywords: ds.Keywords,
		Citation: ds.Citation, DateCreated: ds.DateCreated, DatePublished: ds.DatePublished, DateModified: ds.DateModified,
		Source: ds.Source, Funding: ds.Funding, References: ds.References, Languages: ds.Languages,
		Spatial: ds.Spatial, Temporal: ds.Temporal, ConformsTo: ds.ConformsTo, Origins: ds.Origins,
	}
	for name, q := range ds.Queries {
		info.Queries[name] = json.RawMessage(q.JSON())
	}
	for _, p := range ds.Creators {
		info.Creators = append(info.Creators, personJSON(p))
	}
	if !ds.Contact.IsZero() {
		p := personJSON(ds.Contact)
		info.Contact = &p
	}
	for _, p := range c.Image.Platforms {
		info.Platforms = append(info.Platforms, p.OS+"/"+p.Architecture)
	}
	for _, l := range c.Image.Layers {
		info.Size += l.Size
		layer := layerJSON{
			Role: string(l.Role), Digest: l.Digest.String(), DiffID: l.DiffID.String(), MediaType: l.MediaType, Size: l.Size,
		}
		for i := range packs {
			if l.Role == image.RoleData && packs[i].DiffID == layer.DiffID {
				layer.TarSize, layer.Live = &packs[i].TarSize, &packs[i].Live
			}
		}
		info.Layers = append(info.Layers, layer)
	}
	return info, nil
}

// table is the same for people, without what is empty.
func (i *infoJSON) table() [][]string {
	bytes := func(n int64) string { return fmt.Sprintf("%s (%s)", ui.Count(n), ui.Bytes(n)) }
	rows := [][]string{
		{"Image:", i.Ref},
		{"Digest:", i.Digest},
		{"Dataset:", i.DatasetDigest},
	}
	for _, s := range i.said {
		name := s.Name
		if s.Key == "license" {
			name = "Licence"
		}
		values := s.Values
		if s.Key == "keywords" || s.Key == "languages" {
			values = []string{strings.Join(values, ", ")}
		}
		for n, v := range values {
			if n > 0 {
				name = " "
			} else {
				name += ":"
			}
			rows = append(rows, []string{name, v})
		}
	}
	rows = append(rows, [][]string{
		{"Created:", i.Created},
		{"Generator:", i.Generator},
	}...)
	for n, line := range query.WrapList(i.Extract) {
		name := "Extracted:"
		if n > 0 {
			name = " "
		}
		rows = append(rows, []string{name, line})
	}
	rows = append(rows, [][]string{
		{"Folder:", i.Prefix},
		{"Files:", ui.Count(i.Files)},
		{"Folders:", ui.Count(i.Dirs)},
		{"Links:", ui.Count(i.Links)},
		{"Bytes:", bytes(i.Bytes)},
		{"Image size:", fmt.Sprintf("%s, the data in %s", bytes(i.Size), ui.Plural(int64(i.Packs), "pack"))},
		{"Platforms:", strings.Join(i.Platforms, ", ")},
	}...)
	rows = slices.DeleteFunc(rows, func(r []string) bool { return r[1] == "" })
	for _, k := range slices.Sorted(maps.Keys(i.Labels)) {
		rows = append(rows, []string{"Label:", k + "=" + i.Labels[k]})
	}
	for _, name := range slices.Sorted(maps.Keys(i.Queries)) {
		rows = append(rows, []string{"Query:", name})
	}
	for _, l := range i.Layers {
		rows = append(rows, []string{"Layer:", fmt.Sprintf("%s  %-10s  %s", l.Digest, l.Role, ui.Bytes(l.Size))})
	}
	return rows
}
