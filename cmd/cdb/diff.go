package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	cdb "github.com/data-containers/cdb"
	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
	"github.com/data-containers/cdb/internal/ui"
)

// A diffRun is one run of the command diff.
type diffRun struct {
	*app
	opts                 cdb.DiffOptions
	times                string
	stat, json, exitCode bool

	progress cdb.Progress
	prefixes [2]string // of the paths of both sides, with a slash at the end
	sums     cdb.DiffStat
	skipped  int
}

func (a *app) diffCommand() *cobra.Command {
	d := &diffRun{app: a}
	cmd := &cobra.Command{
		Use:   "diff A B [PATH...] [FLAGS]",
		Short: "Compare two images, or an image and a folder",
		Long: `Print what leads from A to B, one change a line in the order of the tree. A and
B are images or folders: the path of a folder that is no OCI layout is the
folder. With PATH only these files and folders are compared.

  A /data/new                         added
  D /data/old                         removed
  M /data/a (5 -> 7 bytes)            changed in content
  m /data/a (mode 0644 -> 0755)       changed in mode, time, owner, extended
                                      attributes, target of a link or metadata
  R /data/a -> /data/b                renamed: removed here, added there
  T /data/a (file -> symlink)         changed in type
  dataset title: "x" -> "y"           changed in what is said of the dataset

A folder is read as "cdb build" does it, with files .cdbignore and
SOURCE_DATE_EPOCH, and what a build would not keep is no difference. Times of
folders are compared with --times all only, as they change with whatever changes
in the folder. What cannot be read is named and taken for not there, and the exit
code is 3.

On a terminal, characters that could steer it are written out; --json gives
names exactly.`,
		Example: `  cdb diff photos:2023 photos:2024
  cdb diff photos:2024 ./photos --stat
  cdb diff photos:2023 photos:2024 /data/summer --json
  cdb diff -q photos:2024 ./photos || cdb build photos -t photos:2025`,
		Args:              arguments(2, many, "two images or folders to compare"),
		ValidArgsFunction: a.completeSides,
		RunE: func(cmd *cobra.Command, args []string) error {
			return d.run(cmd.Context(), args)
		},
	}
	d.flags(cmd.Flags())
	// The flag was just defined.
	_ = cmd.RegisterFlagCompletionFunc("times", cobra.FixedCompletions([]string{"files", "all", "none"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (d *diffRun) flags(f *pflag.FlagSet) {
	f.BoolVar(&d.stat, "stat", false, "print only how much changed")
	f.BoolVar(&d.json, "json", false, "print a JSON object a line, the last one a summary")
	f.BoolVar(&d.exitCode, "exit-code", false, "exit with 1 if there are differences")
	f.BoolVarP(&d.quiet, "quiet", "q", false, "print nothing, and exit with 1 if there are differences")
	f.BoolVar(&d.opts.NoRenames, "no-renames", false, "print a renamed file as removed and added")
	f.StringVar(&d.times, "times", "files", "`which` times to compare: those of files, all or none")
	f.StringArrayVar(&d.opts.Exclude, "exclude", nil, "leave out what the `pattern` matches in a folder (gitignore syntax); may be repeated")
}

// completeSides offers the images of the local store, beside files, twice.
func (a *app) completeSides(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.imageNames(cmd, toComplete), cobra.ShellCompDirectiveDefault
}

func (d *diffRun) run(ctx context.Context, args []string) (err error) {
	if err := d.complete(args[2:]); err != nil {
		return err
	}
	places, err := d.places()
	if err != nil {
		return err
	}
	var sides [2]*cdb.Side
	for i := range sides {
		if sides[i], err = cdb.OpenSide(ctx, args[i], places); err != nil {
			return err
		}
		defer sides[i].Close()
	}
	d.setPrefixes(sides)
	stop := d.talk.Progress(func() ui.Sample { return ui.Sample(d.progress.Sample()) })
	err = d.compare(ctx, sides)
	stop()
	if err != nil {
		return err
	}
	return d.result()
}

// complete checks flags and the environment, and turns them into options.
func (d *diffRun) complete(paths []string) error {
	if d.stat && d.quiet || d.json && d.quiet {
		return usageError("diff: --quiet prints nothing, so it cannot be combined with --stat and --json")
	}
	switch d.times {
	case "files":
	case "all", "none":
		d.opts.Times = cdb.Times(d.times)
	default:
		return usagef("diff: --times %q: give files, all or none", d.times)
	}
	var err error
	if d.opts.Epoch, err = parseEpoch(d.getenv("SOURCE_DATE_EPOCH")); err != nil {
		return err
	}
	d.opts.Paths, d.opts.Progress, d.opts.Skipped = paths, &d.progress, d.skip
	d.opts.NoRenames = d.opts.NoRenames || d.quiet
	d.sums = cdb.DiffStat{}
	return nil
}

// setPrefixes makes paths those that ls prints. Beside an image a folder has
// the paths that it would have there.
func (d *diffRun) setPrefixes(sides [2]*cdb.Side) {
	for i := range sides {
		ds := sides[i].Dataset()
		if ds == nil {
			ds = sides[1-i].Dataset()
		}
		if ds != nil {
			d.prefixes[i] = strings.TrimSuffix(ds.Prefix, "/") + "/"
		}
	}
}

// path is a path of one side as it is printed.
func (d *diffRun) path(side int, rel string) string {
	switch p := d.prefixes[side] + rel; {
	case p == "":
		return "."
	case rel == "" && p != "/":
		return p[:len(p)-1]
	default:
		return p
	}
}

// errDifferent ends a quiet comparison at the first difference.
var errDifferent = errors.New("there are differences")

func (d *diffRun) compare(ctx context.Context, sides [2]*cdb.Side) error {
	out := bufio.NewWriterSize(d.stdout, 64<<10)
	print := d.printer(out)
	for c, err := range cdb.Diff(ctx, sides[0], sides[1], d.opts) {
		if err == nil {
			d.sums.Add(c)
			err = print(c)
		}
		if errors.Is(err, errDifferent) {
			return nil
		}
		if err != nil {
			return errors.Join(err, out.Flush())
		}
	}
	if err := d.summary(out); err != nil {
		return err
	}
	return out.Flush()
}

// printer returns what prints a change in the form that the flags ask for.
func (d *diffRun) printer(out io.Writer) func(*cdb.Change) error {
	switch {
	case d.quiet:
		return func(*cdb.Change) error { return errDifferent }
	case d.stat:
		return func(*cdb.Change) error { return nil }
	case d.json:
		p := ui.NewJSON(out)
		return func(c *cdb.Change) error { return p.Print(d.changeJSON(c)) }
	}
	return func(c *cdb.Change) error {
		s := d.line(c)
		if d.stdoutTTY {
			s = tree.Visible(s)
		}
		_, err := io.WriteString(out, s+"\n")
		return err
	}
}

// line is a change for people.
func (d *diffRun) line(c *cdb.Change) string {
	switch c.Kind {
	case cdb.DatasetChanged:
		f := c.Fields[0]
		return fmt.Sprintf("dataset %s: %s", f.Name, fieldValues(&f))
	case cdb.Added:
		return "A " + d.path(1, c.Path)
	case cdb.Removed:
		return "D " + d.path(0, c.Path)
	case cdb.Changed:
		size := fmt.Sprintf("%d -> %d bytes", c.Old.Size, c.New.Size)
		return "M " + d.path(1, c.Path) + details(c, size)
	case cdb.Renamed:
		return "R " + d.path(0, c.OldPath) + " -> " + d.path(1, c.Path) + details(c)
	case cdb.TypeChanged:
		return fmt.Sprintf("T %s (%s -> %s)", d.path(1, c.Path), c.Old.Type, c.New.Type)
	}
	return "m " + d.path(1, c.Path) + details(c)
}

// details says in brackets what differs. That new content has a new time goes
// without saying.
func details(c *cdb.Change, parts ...string) string {
	for _, f := range c.Fields {
		if f.Name != "time" || c.Kind != cdb.Changed {
			parts = append(parts, f.Name+" "+fieldValues(&f))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func fieldValues(f *cdb.Field) string { return fieldValue(f, f.Old) + " -> " + fieldValue(f, f.New) }

// fieldValue is a value for people, not longer than a line.
func fieldValue(f *cdb.Field, v *string) string {
	const most = 80
	if v == nil {
		return "none"
	}
	s := *v
	if f.Form == cdb.FormText {
		s = strconv.Quote(s)
	}
	if r := []rune(s); len(r) > most {
		s = string(r[:most-3]) + "..."
	}
	return s
}

// A changeJSON is a change for programs.
type changeJSON struct {
	Kind cdb.Kind `json:"kind"`
	*pathJSON
	OldPath       *name       `json:"old_path,omitempty"`
	OldPathBase64 string      `json:"old_path_base64,omitempty"`
	Old           *stateJSON  `json:"old,omitempty"`
	New           *stateJSON  `json:"new,omitempty"`
	Fields        []fieldJSON `json:"fields,omitempty"`
}

// A stateJSON is what an entry is on one side.
type stateJSON struct {
	Type   string  `json:"type"`
	Size   *int64  `json:"size,omitempty"`
	SHA256 *string `json:"sha256,omitempty"`
}

type fieldJSON struct {
	Name      name   `json:"name"`
	Old       any    `json:"old"`
	OldBase64 string `json:"old_base64,omitempty"`
	New       any    `json:"new"`
	NewBase64 string `json:"new_base64,omitempty"`
}

func (d *diffRun) changeJSON(c *cdb.Change) *changeJSON {
	j := &changeJSON{Kind: c.Kind, Old: newStateJSON(c.Old), New: newStateJSON(c.New)}
	if c.Kind != cdb.DatasetChanged {
		side := 1
		if c.Kind == cdb.Removed {
			side = 0
		}
		p := newPathJSON(d.path(side, c.Path))
		j.pathJSON = &p
	}
	if c.Kind == cdb.Renamed {
		p := newPathJSON(d.path(0, c.OldPath))
		j.OldPath, j.OldPathBase64 = &p.Path, p.Base64
	}
	for _, f := range c.Fields {
		fj := fieldJSON{Name: name(f.Name)}
		fj.Old, fj.OldBase64 = valueJSON(&f, f.Old)
		fj.New, fj.NewBase64 = valueJSON(&f, f.New)
		j.Fields = append(j.Fields, fj)
	}
	return j
}

func newStateJSON(e *catalog.Entry) *stateJSON {
	if e == nil {
		return nil
	}
	s := &stateJSON{Type: e.Type.String()}
	if e.Type == tree.File {
		sum := fmt.Sprintf("%x", e.SHA256)
		s.Size, s.SHA256 = &e.Size, &sum
	}
	return s
}

// valueJSON is a value, with its exact bytes where they are not UTF-8.
func valueJSON(f *cdb.Field, v *string) (value any, exact string) {
	switch {
	case v == nil:
		return nil, ""
	case f.Form == cdb.FormJSON:
		return json.RawMessage(*v), ""
	case !utf8.ValidString(*v):
		exact = base64.StdEncoding.EncodeToString([]byte(*v))
	}
	return name(*v), exact
}

// A tallyJSON is the sums over the changes of one kind.
type tallyJSON struct {
	Entries  int64 `json:"entries"`
	Files    int64 `json:"files"`
	OldBytes int64 `json:"old_bytes"`
	NewBytes int64 `json:"new_bytes"`
}

// A summaryJSON is the last line of --json.
type summaryJSON struct {
	Kind      string    `json:"kind"`
	Different bool      `json:"different"`
	Skipped   int       `json:"skipped"`
	Added     tallyJSON `json:"added"`
	Removed   tallyJSON `json:"removed"`
	Changed   tallyJSON `json:"changed"`
	Metadata  tallyJSON `json:"metadata"`
	Renamed   tallyJSON `json:"renamed"`
	Type      tallyJSON `json:"type"`
	Dataset   tallyJSON `json:"dataset"`
}

// summary prints the sums, where they are asked for.
func (d *diffRun) summary(out io.Writer) error {
	if d.json {
		tally := func(k cdb.Kind) tallyJSON { return tallyJSON(d.sums[k]) }
		return ui.NewJSON(out).Print(summaryJSON{
			Kind: "summary", Different: len(d.sums) > 0, Skipped: d.skipped,
			Added: tally(cdb.Added), Removed: tally(cdb.Removed), Changed: tally(cdb.Changed), Metadata: tally(cdb.Metadata),
			Renamed: tally(cdb.Renamed), Type: tally(cdb.TypeChanged), Dataset: tally(cdb.DatasetChanged),
		})
	}
	if !d.stat {
		return nil
	}
	var rows [][]string
	kinds := []cdb.Kind{cdb.Added, cdb.Removed, cdb.Changed, cdb.Metadata, cdb.Renamed, cdb.TypeChanged, cdb.DatasetChanged}
	for _, k := range kinds {
		if t, ok := d.sums[k]; ok {
			rows = append(rows, []string{
				string(k), ui.Count(t.Entries), ui.Count(t.Files), ui.Count(t.OldBytes), ui.Count(t.NewBytes),
			})
		}
	}
	return ui.Table(out, []string{"CHANGE", "ENTRIES", "FILES", "OLD BYTES", "NEW BYTES"}, rows)
}

func (d *diffRun) skip(s *cdb.Side, sk scan.Skip) {
	d.skipped++
	d.talk.Warn("skipped %s: %v", filepath.Join(s.Ref, sk.Path), sk.Err)
}

// result is the exit code.
func (d *diffRun) result() error {
	switch {
	case len(d.sums) > 0 && (d.exitCode || d.quiet):
		return exitCode(ui.ExitError)
	case d.skipped > 0:
		return exitCode(ui.ExitIncomplete)
	}
	return nil
}
