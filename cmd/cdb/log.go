package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	cdb "github.com/data-containers/cdb"
	"github.com/data-containers/cdb/internal/tree"
	"github.com/data-containers/cdb/internal/ui"
)

// A logRun is one run of the command log.
type logRun struct {
	*app
	most          int
	oneline, json bool
}

func (a *app) logCommand() *cobra.Command {
	l := &logRun{app: a}
	cmd := &cobra.Command{
		Use:   "log IMAGE [-n N] [--oneline] [--json]",
		Short: "List the versions that led to an image",
		Long: `List the versions of a dataset, newest first: the image itself and those that it
was built from, each with its digest, its date and message, its size, what it
added, changed and removed, and the digest of its parent. The image knows all of
that; its ancestors need not be there. Those that are in the local store are
shown with their names.`,
		Example:           "  cdb log photos\n  cdb log photos.tar -n 5 --oneline\n  cdb log photos --json",
		Args:              arguments(1, 1, "one IMAGE"),
		ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			if l.oneline && l.json {
				return usageError("log: --oneline and --json cannot be combined")
			}
			if cmd.Flags().Changed("max-count") && l.most < 1 {
				return usagef("log: -n %d: give a number of versions from 1 on", l.most)
			}
			return a.with(cmd.Context(), args[0], func(c *cdb.Container) error {
				return l.run(cmd.Context(), c)
			})
		},
	}
	cmd.Flags().IntVarP(&l.most, "max-count", "n", 0, "print at most `N` versions (default all)")
	cmd.Flags().BoolVar(&l.oneline, "oneline", false, "print a line for each version")
	cmd.Flags().BoolVar(&l.json, "json", false, "print a JSON object a line")
	return cmd
}

func (l *logRun) run(ctx context.Context, c *cdb.Container) error {
	log, err := cdb.Log(ctx, c)
	if err != nil {
		return err
	}
	if l.most > 0 {
		log = log[:min(l.most, len(log))]
	}
	out := bufio.NewWriter(l.stdout)
	for i := range log {
		if err := l.print(out, &log[i], i == 0); err != nil {
			return err
		}
	}
	return out.Flush()
}

func (l *logRun) print(out io.Writer, e *cdb.LogEntry, first bool) error {
	switch {
	case l.json:
		return ui.NewJSON(out).Print(newLogJSON(e))
	case l.oneline:
		return l.line(out, onelineOf(e))
	}
	if !first {
		if err := l.line(out, ""); err != nil {
			return err
		}
	}
	for _, s := range logLines(e) {
		if err := l.line(out, s); err != nil {
			return err
		}
	}
	return nil
}

// line prints a line that may hold what an image says of itself.
func (l *logRun) line(out io.Writer, s string) error {
	if l.stdoutTTY {
		s = tree.Visible(s)
	}
	_, err := io.WriteString(out, s+"\n")
	return err
}

// onelineOf is a version in a line.
func onelineOf(e *cdb.LogEntry) string {
	s := fmt.Sprintf("%s %s +%d ~%d -%d", short(e.Image), e.Created, e.Added, e.Changed, e.Removed)
	if len(e.Names) > 0 {
		s += " (" + strings.Join(e.Names, ", ") + ")"
	}
	if message, _, _ := strings.Cut(e.Message, "\n"); message != "" {
		s += " " + message
	}
	return s
}

// logLines are all that is known of a version, without what is empty.
func logLines(e *cdb.LogEntry) []string {
	head := "image " + e.Image
	if len(e.Names) > 0 {
		head += " (" + strings.Join(e.Names, ", ") + ")"
	}
	lines := []string{head}
	for _, r := range [][2]string{
		{"Date", e.Created},
		{"Version", e.Version.Version},
		{"Files", fmt.Sprintf("%s, %s", ui.Count(e.Files), ui.Bytes(e.Bytes))},
		{"Changes", fmt.Sprintf("+%s ~%s -%s, +%s -%s", ui.Count(e.Added), ui.Count(e.Changed), ui.Count(e.Removed),
			ui.Bytes(e.BytesAdded), ui.Bytes(e.BytesRemoved))},
		{"Dataset", e.Digest},
		{"Parent", e.Parent},
	} {
		if r[1] != "" {
			lines = append(lines, fmt.Sprintf("%-9s%s", r[0]+":", r[1]))
		}
	}
	if e.Message != "" {
		lines = append(lines, "")
		for m := range strings.SplitSeq(strings.TrimRight(e.Message, "\n"), "\n") {
			lines = append(lines, "    "+m)
		}
	}
	return lines
}

// A logJSON is a version for programs.
type logJSON struct {
	Digest        string   `json:"digest"`
	Names         []string `json:"names"`
	Parent        *string  `json:"parent"`
	Created       string   `json:"created"`
	Version       string   `json:"version"`
	Message       string   `json:"message"`
	DatasetDigest string   `json:"datasetDigest"`
	Files         int64    `json:"files"`
	Bytes         int64    `json:"bytes"`
	Added         int64    `json:"added"`
	Changed       int64    `json:"changed"`
	Removed       int64    `json:"removed"`
	BytesAdded    int64    `json:"bytesAdded"`
	BytesRemoved  int64    `json:"bytesRemoved"`
}

func newLogJSON(e *cdb.LogEntry) logJSON {
	j := logJSON{
		Digest: e.Image, Names: e.Names, Created: e.Created, Version: e.Version.Version, Message: e.Message,
		DatasetDigest: e.Digest, Files: e.Files, Bytes: e.Bytes, Added: e.Added, Changed: e.Changed, Removed: e.Removed,
		BytesAdded: e.BytesAdded, BytesRemoved: e.BytesRemoved,
	}
	if j.Names == nil {
		j.Names = []string{}
	}
	if e.Parent != "" {
		j.Parent = &e.Parent
	}
	return j
}
