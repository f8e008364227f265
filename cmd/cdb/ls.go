package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"time"

	"github.com/spf13/cobra"

	cdb "github.com/data-containers/cdb"
	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
	"github.com/data-containers/cdb/internal/ui"
)

// An lsRun is one run of the command ls.
type lsRun struct {
	*app
	long, level, json, zero bool
}

func (a *app) lsCommand() *cobra.Command {
	l := &lsRun{app: a}
	cmd := &cobra.Command{
		Use:   "ls IMAGE [PATH...] [FLAGS]",
		Short: "List files, folders and links",
		Long: `List what is in an image, or in the folders PATH of it, one path a line in byte
order, folders included. PATH is the path in the image, or one relative to the
folder of the data.

With --long each line has mode, size, time (UTC), path and, of a link, where it
leads; in between owner and group, if the image keeps them. On a terminal,
characters that could steer it are written out; -0 and --json give names
exactly.`,
		Example: `  cdb ls photos
  cdb ls -l photos /data/2024
  cdb ls --dir photos.tar
  cdb ls -0 photos | xargs -0 -n1 echo`,
		Args:              arguments(1, many, "an IMAGE"),
		ValidArgsFunction: a.completeImages,
		RunE: func(cmd *cobra.Command, args []string) error {
			if l.long && l.json || l.long && l.zero || l.json && l.zero {
				return usageError("ls: --long, --json and --null cannot be combined")
			}
			return a.with(cmd.Context(), args[0], func(c *cdb.Container) error {
				return l.run(cmd.Context(), c.Catalog(), args[1:])
			})
		},
	}
	cmd.Flags().BoolVarP(&l.long, "long", "l", false, "mode, size and time too")
	cmd.Flags().BoolVarP(&l.level, "dir", "d", false, "only what is directly in the folder")
	cmd.Flags().BoolVar(&l.json, "json", false, "print a JSON object a line")
	cmd.Flags().BoolVarP(&l.zero, "null", "0", false, "end each path with a NUL byte and escape nothing")
	return cmd
}

// run goes on after a path that is not there.
func (l *lsRun) run(ctx context.Context, db *catalog.DB, paths []string) error {
	if len(paths) == 0 {
		paths = []string{""}
	}
	out := bufio.NewWriterSize(l.stdout, 64<<10)
	print := l.printer(out, db.Dataset())
	code := ui.ExitOK
	for _, p := range paths {
		n, err := l.list(ctx, db, p, print)
		if ferr := out.Flush(); ferr != nil {
			return ferr
		}
		if err != nil {
			return err
		}
		if n == 0 {
			l.fail(fmt.Errorf("list %q: %w", p, fs.ErrNotExist))
			code = ui.ExitError
		}
	}
	if code != ui.ExitOK {
		return exitCode(code)
	}
	return nil
}

// list prints what is in a folder, or the one entry that path is, and says how
// many entries were found, the folder itself included.
func (l *lsRun) list(ctx context.Context, db *catalog.DB, path string, print func(*catalog.Entry) error) (n int, err error) {
	rel, ok := db.Dataset().Rel(path)
	if !ok {
		return 0, nil
	}
	for e, err := range l.entries(ctx, db, rel) {
		if err != nil {
			return n, err
		}
		n++
		if e.Path == rel && e.Type == tree.Dir {
			continue
		}
		if err := print(e); err != nil {
			return n, err
		}
	}
	return n, nil
}

// entries yields the entry with this path and what is in it.
func (l *lsRun) entries(ctx context.Context, db *catalog.DB, rel string) iter.Seq2[*catalog.Entry, error] {
	if !l.level {
		return db.Entries(ctx, rel)
	}
	return func(yield func(*catalog.Entry, error) bool) {
		e, err := db.Lookup(ctx, rel)
		if e == nil && err == nil || !yield(e, err) || err != nil || e.Type != tree.Dir {
			return
		}
		for e, err := range db.Children(ctx, rel) {
			if !yield(e, err) {
				return
			}
		}
	}
}

// printer returns what prints an entry in the form that the flags ask for.
func (l *lsRun) printer(out io.Writer, ds *catalog.Dataset) func(*catalog.Entry) error {
	line := func(s string) error {
		if l.stdoutTTY {
			s = tree.Visible(s)
		}
		_, err := io.WriteString(out, s+"\n")
		return err
	}
	switch {
	case l.json:
		p := ui.NewJSON(out)
		return func(e *catalog.Entry) error { return p.Print(newEntryJSON(ds, e)) }
	case l.zero:
		return func(e *catalog.Entry) error {
			_, err := io.WriteString(out, ds.Abs(e.Path)+"\x00")
			return err
		}
	case l.long:
		return func(e *catalog.Entry) error { return line(longLine(ds, e)) }
	}
	return func(e *catalog.Entry) error { return line(ds.Abs(e.Path)) }
}

// longLine is a line of --long. Sizes are aligned as far as they are usual.
func longLine(ds *catalog.Dataset, e *catalog.Entry) string {
	owner := ""
	if ds.Preserved {
		owner = fmt.Sprintf(" %5d %5d", e.UID, e.GID)
	}
	s := fmt.Sprintf("%s%s %12d %s %s", modeString(e), owner, e.Size, e.ModTime.UTC().Format(time.DateTime), ds.Abs(e.Path))
	switch {
	case e.Type == tree.Symlink:
		s += " -> " + e.Link
	case e.Link != "":
		s += " = " + ds.Abs(e.Link)
	}
	return s
}

// modeString is the mode as ls prints it.
func modeString(e *catalog.Entry) string {
	b := []byte(e.FileMode().Perm().String())
	b[0] = map[tree.Type]byte{tree.File: '-', tree.Dir: 'd', tree.Symlink: 'l'}[e.Type]
	for _, special := range []struct {
		bit   uint32
		at    int
		x, no byte
	}{{0o4000, 3, 's', 'S'}, {0o2000, 6, 's', 'S'}, {0o1000, 9, 't', 'T'}} {
		switch {
		case e.Mode&special.bit == 0:
		case b[special.at] == 'x':
			b[special.at] = special.x
		default:
			b[special.at] = special.no
		}
	}
	return string(b)
}

// An entryJSON is an entry, with the keys that query has for one.
type entryJSON struct {
	pathJSON
	Type       string          `json:"type"`
	Size       *int64          `json:"size"`
	SHA256     *string         `json:"sha256"`
	MTime      int64           `json:"mtime"`
	Mode       string          `json:"mode"`
	Link       *name           `json:"link"`
	LinkBase64 string          `json:"link_base64,omitempty"`
	Meta       json.RawMessage `json:"meta"`
}

func newEntryJSON(ds *catalog.Dataset, e *catalog.Entry) entryJSON {
	j := entryJSON{
		pathJSON: newPathJSON(ds.Abs(e.Path)), Type: e.Type.String(),
		MTime: e.ModTime.Unix(), Mode: fmt.Sprintf("%04o", e.Mode),
	}
	if e.Type == tree.File {
		sum := fmt.Sprintf("%x", e.SHA256)
		j.Size, j.SHA256 = &e.Size, &sum
	}
	if e.Link != "" {
		link := newPathJSON(e.Link)
		j.Link, j.LinkBase64 = &link.Path, link.Base64
	}
	if json.Valid([]byte(e.Meta)) {
		j.Meta = json.RawMessage(e.Meta)
	}
	return j
}
