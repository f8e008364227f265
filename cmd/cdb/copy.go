package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	cdb "github.com/data-containers/cdb"
	"github.com/data-containers/cdb/internal/store"
	"github.com/data-containers/cdb/internal/ui"
)

// A copyRun is one run of push, pull or copy.
type copyRun struct {
	*app
	opts cdb.CopyOptions
	json bool
}

func (c *copyRun) flags(f *pflag.FlagSet) {
	f.BoolVar(&c.opts.Referrers, "referrers", false, "copy what refers to the image too: signatures, attestations")
	f.BoolVar(&c.json, "json", false, "print a JSON object instead of the reference")
}

func (a *app) pushCommand() *cobra.Command {
	c := &copyRun{app: a}
	cmd := &cobra.Command{
		Use:   "push IMAGE [REF]",
		Short: "Send an image to a registry",
		Long: `Send an image, with all its platforms, to the registry and under the name that
REF says: HOST/NAME[:TAG]. Without REF the image goes where its own name says.
Its pinned reference is printed.

Blobs that the registry has are not sent; those that another repository of the
same registry is known to have are mounted. Large blobs go in pieces: where a
connection breaks, or a push is killed and run again, it goes on where the
registry says it stopped.

"cdb build --push" sends an image while it is being built.`,
		Example: `  cdb push photos:2024 ghcr.io/lab/photos:2024
  cdb push ghcr.io/lab/photos:2024
  cdb push oci:layout:v1 localhost:5000/photos --referrers`,
		Args:              arguments(1, 2, "an IMAGE, and the REF in a registry to send it to"),
		ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			ref := args[len(args)-1]
			if len(args) == 1 {
				if r, err := store.ParseRef(ref); err != nil || r.Transport != store.TransportStore || !strings.ContainsAny(strings.Split(r.Name, "/")[0], ".:") && !strings.HasPrefix(r.Name, "localhost/") {
					return usagef("push: say where to: %s does not begin with the host of a registry", ref)
				}
			}
			dst, err := cdb.RegistryRef(ref)
			if err != nil {
				return usageError(err.Error())
			}
			return c.run(cmd.Context(), args[0], dst)
		},
	}
	c.flags(cmd.Flags())
	return cmd
}

func (a *app) pullCommand() *cobra.Command {
	c := &copyRun{app: a}
	cmd := &cobra.Command{
		Use:   "pull REF [-t NAME[:TAG]]",
		Short: "Bring an image from a registry into the local store",
		Long: `Bring an image, with all its platforms, from a registry into the local store,
under the name that it has there, or the one that -t gives. Blobs that the store
has are not fetched, and where a connection breaks another one goes on.

To look at an image, or take some files of it, no pull is needed: query, ls,
cat, info, diff and export read images where they are.`,
		Example: `  cdb pull ghcr.io/lab/photos:2024
  cdb pull localhost:5000/photos -t photos:here`,
		Args:              arguments(1, 1, "the REF of an image in a registry"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			src, err := cdb.RegistryRef(args[0])
			if err != nil {
				return usageError(err.Error())
			}
			if c.opts.Name == "" {
				if c.opts.Name, err = localName(src); err != nil {
					return usageError(err.Error())
				}
			}
			return c.run(cmd.Context(), src, "")
		},
	}
	cmd.Flags().StringVarP(&c.opts.Name, "tag", "t", "", "`NAME[:TAG]` in the local store (default as in the registry)")
	c.flags(cmd.Flags())
	return cmd
}

// localName is what an image of a registry is called in the local store.
func localName(src string) (string, error) {
	r, err := store.ParseRef(src)
	if err != nil {
		return "", err
	}
	if r.Tag == "" {
		return r.Name + ":" + r.Digest.Encoded()[:12], nil
	}
	return r.Name + ":" + r.Tag, nil
}

func (a *app) copyCommand() *cobra.Command {
	c := &copyRun{app: a}
	cmd := &cobra.Command{
		Use:   "copy SRC DST",
		Short: "Copy an image from any place to any other",
		Long: `Copy an image, with all its platforms, from any place to any other, without a
change: its digest stays. SRC is any IMAGE. DST is one of
  docker://HOST/NAME[:TAG]  a registry
  oci:DIR[:TAG]             an OCI layout
  FILE.tar                  an archive
  docker-daemon:NAME[:TAG]  the local Docker
  NAME[:TAG]                the local store
The pinned reference at DST is printed.`,
		Example: `  cdb copy docker://ghcr.io/lab/photos:2024 docker://registry.lab:5000/photos:2024
  cdb copy photos:2024 photos.tar
  cdb copy docker://ghcr.io/lab/photos oci:layout:v1 --referrers`,
		Args:              arguments(2, 2, "a SRC and a DST"),
		ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			src, dst := args[0], args[1]
			if r, err := store.ParseRef(dst); err == nil && r.Transport == store.TransportStore && !strings.HasSuffix(dst, ".tar") {
				if r.Digest != "" {
					return usagef("copy: a destination has no digest: it is that of the image")
				}
				c.opts.Name, dst = dst, ""
			}
			return c.run(cmd.Context(), src, dst)
		},
	}
	c.flags(cmd.Flags())
	return cmd
}

// run copies and says what was copied.
func (c *copyRun) run(ctx context.Context, src, dst string) error {
	var err error
	if c.opts.Places, err = c.places(); err != nil {
		return err
	}
	var progress cdb.Progress
	c.opts.Progress = &progress
	begin := time.Now()
	stop := c.progressOf(&progress)
	res, err := cdb.Copy(ctx, src, dst, c.opts)
	stop()
	if err != nil {
		return err
	}
	seconds := time.Since(begin).Seconds()
	refs := ""
	if c.opts.Referrers {
		refs = ", " + ui.Plural(int64(res.Referrers), "referrer")
	}
	c.talk.Note("copied %s: %s, %s%s, %s", res.Ref, ui.Plural(int64(res.Blobs), "blob"), ui.Bytes(res.Bytes), refs, ui.Seconds(seconds))
	if c.json {
		return ui.NewJSON(c.stdout).Print(copyJSON{res.Ref, res.Digest, res.Blobs, res.Bytes, res.Referrers, seconds})
	}
	_, err = fmt.Fprintln(c.stdout, res.Ref)
	return err
}

// A copyJSON is what --json prints.
type copyJSON struct {
	Ref       string  `json:"ref"`
	Digest    string  `json:"digest"`
	Blobs     int     `json:"blobs"`
	Bytes     int64   `json:"bytes"` // of all blobs, those that were there included
	Referrers int     `json:"referrers"`
	Seconds   float64 `json:"seconds"`
}
