package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	cdb "github.com/data-containers/cdb"
	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/describe"
	"github.com/data-containers/cdb/internal/external"
	"github.com/data-containers/cdb/internal/extract"
	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/ui"
)

// A buildRun is one run of the command build.
type buildRun struct {
	*app
	opts        cdb.BuildOptions
	compression string
	labels      []string
	packSize    string
	creators    []string
	contact     string
	doi         string
	json        bool
	from        sourceFlags
}

func (a *app) buildCommand() *cobra.Command {
	b := &buildRun{app: a}
	cmd := &cobra.Command{
		Use:   "build [SRC...] [-t NAME[:TAG]] [-o DEST] [FLAGS]",
		Short: "Make a data container of folders, files, archives or images",
		Long: `Make a data container of the data in SRC, in one pass over it. Its pinned
reference is printed: the image by its digest.

` + sourcesHelp + `

Without SRC the recipe cdb.yaml says what to build ("cdb init" writes one): where
data comes from, what is said of it, named queries and more. What the command
line says goes before it. Recipes elsewhere are named with --recipe.

Without -o the image goes into the local store, under the name that -t gives.
DEST is one of
  oci:DIR[:TAG]          an OCI layout; one that exists gets one image more
  FILE.tar               one file that "docker load", "podman load", skopeo and
                         containerd take, with the name that -t gives
  docker-daemon:NAME[:TAG]
                         the local Docker
  docker://HOST/NAME[:TAG]
                         a registry
With --push the image goes to the registry that its name begins with, each layer
while the next ones are being built, and into the local store unless
--no-store. Then only the layers under way are on disk.

If the local store has an image of the same name, the build makes a new version
of it: files that did not change since the last build are not read again, and
only what changed is packed and added on top. Title, description, licence,
author and labels stay if they are not given. --no-parent builds from nothing.

What flags do not say of the dataset is taken from files in SRC itself, each
word from the first of these that has it: cdb.yaml, dataset_description.json
(BIDS), datapackage.json, ro-crate-metadata.json, croissant.json, datacite.json,
CITATION.cff, codemeta.json, README and LICENSE. "cdb info" shows what was
found, and --no-describe takes nothing.

What formats of files say of themselves, such as the rows of a table or the size
of a picture, becomes their metadata, under keys that begin with the name of the
format; "cdb query" finds files by it. --extract says which formats, as a list of
names, "default", "all", or "basic" for nothing beyond size and digest; -NAME
drops one. Damage in a file is a warning in its key extract.warnings and fails
nothing. Where pictures were taken, and names in medical files, are told only
with --gps and --identifying. If a later build extracts something else, files are
read again for it, but not packed again.

Extractors of your own go with --extract too, and add to the default unless
names of formats, or basic, are given with them:
  FILE.py[:NAME]         a function of Python (default extract) that takes the
                         name of a file and returns a dict
  FILE.wasm              a module of WASI preview 1, run in a sandbox, that reads
                         the file on stdin and prints a JSON object
  'exec: COMMAND'        a program that speaks JSON Lines on stdin and stdout; no
                         shell, and the rest of the list is the command
Each file has --extract-timeout for each of them; what goes wrong with one is a
warning of that file. They are known by their names and content, so that a
changed script extracts anew. docs/extractors.md has examples.

The same data gives the same digest, wherever and whenever it is built. (A new
version depends on its parent too.) What cannot be read, and sockets, devices
and pipes, is named and left out, and the exit code is 3. Files .cdbignore, like
--exclude, say what does not belong to the data, in the syntax of .gitignore.`,
		Example: `  cdb build photos -t photos:2024
  cdb build photos -o photos.tar -t photos:2024 --title "Photos" --license CC-BY-4.0
  cdb build . -o oci:../layout:v1 --exclude '*.tmp' --exclude /cache
  cdb build measurements.csv -o docker-daemon:measurements --label lab=12
  cdb build photos -t photos:2025 -m "those of May"
  cdb build photos -t ghcr.io/lab/photos:2025 --push --no-store
  cdb build photos -t photos --extract default,-mime --gps
  cdb build
  cdb build photos --add tables=gdp.zip -t photos
  cdb build photos -t photos --extract ./meta.py:describe
  cdb build photos -t photos --extract csv --extract 'exec: ./describe --fast'
  SOURCE_DATE_EPOCH=0 cdb build photos -t photos --json`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
		RunE: func(cmd *cobra.Command, args []string) error {
			return b.run(cmd.Context(), cmd.Flags(), args)
		},
	}
	b.flags(cmd.Flags())
	b.from.flags(cmd.Flags())
	for flag, values := range map[string][]string{
		"compression": {"gzip", "zstd", "none"},
		"arch":        architectures(),
		"extract":     append([]string{"default", "basic", "all"}, extract.Names()...),
	} {
		// The flags were just defined.
		directive := cobra.ShellCompDirectiveNoFileComp
		if flag == "extract" { // or one's own
			directive = cobra.ShellCompDirectiveDefault
		}
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, directive))
	}
	return cmd
}

func (b *buildRun) flags(f *pflag.FlagSet) {
	o := &b.opts
	b.imageFlags(f, "of layers: gzip, zstd or none", "gzip")
	f.StringVar(&o.Prefix, "prefix", "/data", "`folder` of the data in the image")
	f.BoolVar(&o.Volume, "volume", false, "declare the data folder a volume (Docker copies it at each run)")
	f.BoolVar(&o.Preserve, "preserve", false, "keep owners, modes, nanoseconds and extended attributes")
	f.BoolVar(&o.NoText, "no-text", false, "make no full-text index")
	f.StringArrayVar(&o.Extract, "extract", nil, "what to extract from files: a `LIST` of formats, default, all, basic, -NAME, FILE.py:NAME, FILE.wasm or 'exec: COMMAND'; may be repeated (default \"default\")")
	f.BoolVar(&o.GPS, "gps", false, "extract where pictures were taken")
	f.BoolVar(&o.Identifying, "identifying", false, "extract what identifies people in medical files")
	f.StringVar(&o.Parent, "parent", "", "build a new version of this `IMAGE` (default the newest with the same name in the local store)")
	f.BoolVar(&o.Push, "push", false, "send the image to the registry that its name begins with, while it is being built")
	f.BoolVar(&o.NoStore, "no-store", false, "with --push: not into the local store too")
	f.StringVar(&b.packSize, "pack-size", "", "no layer of more than `SIZE`, such as 5GB (default what fits, and what the registry takes)")
	f.BoolVar(&o.NoParent, "no-parent", false, "build from nothing: the image depends on the data alone")
}

// extractorFlags are how extractors of users run.
func (b *buildRun) extractorFlags(f *pflag.FlagSet) {
	f.DurationVar(&b.opts.ExtractTimeout, "extract-timeout", external.DefaultTimeout, "how long an extractor of your own may take for a file")
	f.StringVar(&b.opts.Python, "python", "python3", "`PROGRAM` that runs functions of Python")
}

// imageFlags are those of all commands that make images.
func (b *buildRun) imageFlags(f *pflag.FlagSet, compressionUsage, compression string) {
	o := &b.opts
	f.StringVarP(&o.Name, "tag", "t", "", "`NAME[:TAG]` of the image (default tag latest)")
	f.StringVarP(&o.Output, "output", "o", "", "where the image goes: `DEST` (default the local store)")
	f.StringArrayVar(&o.Exclude, "exclude", nil, "leave out what the `pattern` matches (gitignore syntax); may be repeated")
	f.StringVar(&b.compression, "compression", compression, compressionUsage)
	f.StringSliceVar(&o.Arch, "arch", architectures(), "architectures that the image runs on")
	f.BoolVar(&o.Strict, "strict", false, "fail instead of leaving out what cannot be read")
	f.StringVar(&o.Title, "title", "", "title of the dataset")
	f.StringVar(&o.Description, "description", "", "description of the dataset")
	f.StringVar(&o.License, "license", "", "its licence, an SPDX expression such as CC-BY-4.0")
	f.StringVar(&o.Version, "version", "", "version of the dataset")
	f.StringVar(&o.Author, "author", "", "who made the dataset")
	f.StringArrayVar(&b.creators, "creator", nil, "one of those who made it, as \"`NAME <EMAIL> (ORCID)`\"; may be repeated")
	f.StringVar(&o.About.Publisher, "publisher", "", "who publishes it")
	f.StringVar(&b.contact, "contact", "", "whom to ask, as \"`NAME <EMAIL>`\"")
	f.StringArrayVar(&o.About.Keywords, "keyword", nil, "a `word` it is found by; may be repeated")
	f.StringVar(&b.doi, "doi", "", "its `DOI`, such as 10.5281/zenodo.1234567")
	f.StringVar(&o.About.URL, "url", "", "the `URL` of its web page")
	f.StringArrayVar(&o.About.Source, "source", nil, "a `URL` or words for what it was made from; may be repeated")
	f.StringVar(&o.About.DatePublished, "published", "", "the `DATE` it was published, such as 2026-11-25")
	f.BoolVar(&o.NoDescribe, "no-describe", false, "take no description from files in SRC, such as README or dataset_description.json")
	f.StringArrayVar(&b.labels, "label", nil, "a label `KEY=VALUE` of the image; may be repeated")
	b.extractorFlags(f)
	f.BoolVar(&o.Rehash, "rehash", false, "read every file, even if it looks unchanged")
	f.StringVarP(&o.Message, "message", "m", "", "what changed in this version, for \"cdb log\"")
	f.BoolVar(&b.json, "json", false, "print a JSON object instead of the reference")
}

// architectures are those that there are entrypoints for.
func architectures() []string { return []string{"amd64", "arm64"} }

func (b *buildRun) run(ctx context.Context, flags *pflag.FlagSet, args []string) error {
	sources, err := b.from.sources(args)
	if err != nil {
		return err
	}
	use, err := useRecipe(b.from.recipe, len(sources) == 0, flags)
	if err != nil {
		return b.sayAll(err)
	}
	if use != nil {
		if len(sources) == 0 {
			if sources, err = use.sources(); err != nil {
				return err
			}
		}
		if b.opts.Queries, err = use.queries(); err != nil {
			return err
		}
		if !use.given["extract"] {
			b.opts.ExtractBase = filepath.Dir(use.File)
		}
	}
	if len(sources) == 0 {
		return usageError("build: give a SRC, such as a folder, or write a recipe cdb.yaml (\"cdb init\" does)")
	}
	if err := b.complete(); err != nil {
		return err
	}
	err = b.make(ctx, skipBase(sources), func(o cdb.BuildOptions) (*cdb.BuildResult, error) {
		return cdb.BuildSources(ctx, sources, o)
	})
	if qe := (*cdb.QueryError)(nil); errors.As(err, &qe) {
		err = use.At("queries."+qe.Name, qe.Err)
	}
	return err
}

// make makes an image of src and says what it made.
func (b *buildRun) make(ctx context.Context, src string, build func(cdb.BuildOptions) (*cdb.BuildResult, error)) error {
	var progress cdb.Progress
	b.opts.Progress = &progress
	begin := time.Now()
	stop := b.talk.Progress(func() ui.Sample { return ui.Sample(progress.Sample()) })
	result, err := build(b.opts)
	stop()
	if err != nil {
		if ctx.Err() != nil && b.opts.Output == "" {
			b.talk.Note("\"cdb gc\" frees what was written so far")
		}
		return err
	}
	seconds := time.Since(begin).Seconds()
	b.report(src, result, seconds)
	if b.json {
		err = ui.NewJSON(b.stdout).Print(newBuildJSON(result, seconds))
	} else {
		_, err = fmt.Fprintln(b.stdout, result.Ref)
	}
	if err == nil && len(result.Skipped) > 0 {
		err = exitCode(ui.ExitIncomplete)
	}
	return err
}

// complete checks flags and the environment, and turns them into options.
func (b *buildRun) complete() error {
	o := &b.opts
	if o.Name == "" && o.Output == "" {
		return usageError("build: say where the image goes: -t NAME puts it into the local store, -o DEST elsewhere")
	}
	var err error
	if b.compression != "" {
		if o.Compression, err = pack.ParseCompression(b.compression); err != nil {
			return usageError(err.Error())
		}
	}
	if err := b.completeExtract(); err != nil {
		return err
	}
	if o.Labels, err = parseLabels(b.labels); err != nil {
		return err
	}
	if err = b.about(); err != nil {
		return err
	}
	if o.Epoch, err = parseEpoch(b.getenv("SOURCE_DATE_EPOCH")); err != nil {
		return err
	}
	if o.Places, err = b.places(); err != nil {
		return err
	}
	if o.PackSize, err = parseSize(b.packSize); err != nil {
		return usagef("build: --pack-size: %v", err)
	}
	if o.Push && o.Name == "" || o.Push && o.Output != "" {
		return usageError("build: --push sends the image where its name says: give -t HOST/NAME[:TAG], and no -o")
	}
	if o.NoStore && !o.Push {
		return usageError("build: --no-store goes with --push")
	}
	o.Entrypoint = b.entrypoint
	return b.checkArch()
}

// about checks the flags that describe the dataset.
func (b *buildRun) about() error {
	a := &b.opts.About
	for _, c := range b.creators {
		p := catalog.ParsePerson(c)
		if p.Name == "" {
			return usagef("build: creator %q: give \"NAME <EMAIL> (ORCID)\", of which only the name is needed", c)
		}
		a.Creators = append(a.Creators, p)
	}
	if b.contact != "" {
		a.Contact = catalog.ParsePerson(b.contact)
	}
	if b.doi != "" {
		if catalog.ParseDOI(b.doi) == "" {
			return usagef("build: DOI %q: give one such as 10.5281/zenodo.1234567", b.doi)
		}
		a.Identifiers = []string{catalog.Identifier(b.doi)}
	}
	if u := a.URL; u != "" && !strings.HasPrefix(u, "https://") && !strings.HasPrefix(u, "http://") {
		return usagef("build: URL %q: give one that begins with https://", u)
	}
	if d := a.DatePublished; d != "" && !describe.IsDate(d) {
		return usagef("build: date %q: give a year, a month, a day or a time, such as 2026-11-25", d)
	}
	return nil
}

// completeExtract checks what is to be extracted, as far as words can tell.
func (b *buildRun) completeExtract() error {
	words, _, err := external.Split(b.opts.Extract)
	if err == nil {
		_, err = extract.NewSet(words, extract.Options{})
	}
	if err == nil && b.opts.ExtractTimeout <= 0 {
		err = errors.New("--extract-timeout: it must be longer than nothing")
	}
	if err != nil {
		return usagef("build: %v", err)
	}
	b.opts.ExtractLog = func(extractor, line string) { b.talk.Warn("%s: %s", extractor, line) }
	return nil
}

// checkArch puts architectures in one order, whatever that of the flag, and
// sees that their entrypoints are there before any data is read.
func (b *buildRun) checkArch() error {
	slices.Sort(b.opts.Arch)
	b.opts.Arch = slices.Compact(b.opts.Arch)
	if len(b.opts.Arch) == 0 {
		return usagef("build: --arch names no architecture; known are %s", strings.Join(architectures(), ", "))
	}
	for _, arch := range b.opts.Arch {
		if !slices.Contains(architectures(), arch) {
			return usagef("build: architecture %q: known are %s", arch, strings.Join(architectures(), ", "))
		}
		f, err := b.entrypoints.Open("linux-" + arch)
		if err != nil {
			return entrypointError(err)
		}
		f.Close()
	}
	return nil
}

// entrypoint returns the program for an architecture.
func (b *buildRun) entrypoint(arch string) ([]byte, error) {
	program, err := fs.ReadFile(b.entrypoints, "linux-"+arch)
	if err != nil {
		return nil, entrypointError(err)
	}
	return program, nil
}

func entrypointError(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("build: this cdb was built without entrypoints; build it with \"make build\"")
	}
	return fmt.Errorf("build: read entrypoint: %w", err)
}

func parseLabels(list []string) (map[string]string, error) {
	labels := map[string]string{}
	for _, l := range list {
		key, value, ok := strings.Cut(l, "=")
		if !ok || key == "" {
			return nil, usagef("build: label %q: give KEY=VALUE", l)
		}
		labels[key] = value
	}
	return labels, nil
}

// parseEpoch reads SOURCE_DATE_EPOCH, seconds since 1970.
func parseEpoch(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	const endOf9999 = 253402300799
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > endOf9999 {
		return time.Time{}, usagef("build: SOURCE_DATE_EPOCH %q in the environment: must be a number of seconds since 1970", s)
	}
	return time.Unix(n, 0).UTC(), nil
}

// report says what was made, and what was not.
func (b *buildRun) report(src string, r *cdb.BuildResult, seconds float64) {
	ds := r.Dataset
	verb := "built"
	if r.Unchanged {
		verb = "nothing changed, it is the parent:"
	}
	b.talk.Note("%s %s: %s, %s, %s, %s in %s; image of %s, %s", verb, r.Ref,
		ui.Plural(ds.Files, "file"), ui.Plural(ds.Links, "link"), ui.Plural(ds.Dirs, "folder"), ui.Bytes(ds.Bytes),
		ui.Plural(int64(r.Packs), "pack"), ui.Bytes(r.Size), ui.Seconds(seconds))
	for _, s := range r.Skipped {
		b.talk.Warn("skipped %s: %v", filepath.Join(src, s.Path), s.Err)
	}
	if n := len(r.Skipped); n > 0 {
		b.talk.Warn("%s left out; --strict makes that an error", ui.Plural(int64(n), "input"))
	}
	for _, err := range r.DatasetWarnings {
		b.talk.Warn("%v", err)
	}
	if r.Warned > 0 {
		b.talk.Warn("%s with warnings about their metadata, see -metric %s, or -where \"%[2]s IS NOT NULL\"",
			ui.Plural(r.Warned, "file"), extract.WarningsKey)
	}
}

// A buildJSON is what --json prints.
type buildJSON struct {
	Ref           string     `json:"ref"`
	Digest        string     `json:"digest"`
	DatasetDigest string     `json:"datasetDigest"`
	Files         int64      `json:"files"`
	Bytes         int64      `json:"bytes"`
	Links         int64      `json:"links"`
	Dirs          int64      `json:"dirs"`
	Packs         int        `json:"packs"`
	Size          int64      `json:"size"` // of all layers
	Parent        string     `json:"parent,omitempty"`
	Unchanged     bool       `json:"unchanged"`
	Skipped       []skipJSON `json:"skipped"`
	Warned        int64      `json:"warned"` // files with extract.warnings
	Seconds       float64    `json:"seconds"`
}

type skipJSON struct {
	pathJSON
	Error string `json:"error"`
}

func newBuildJSON(r *cdb.BuildResult, seconds float64) buildJSON {
	ds := r.Dataset
	out := buildJSON{
		Ref: r.Ref, Digest: r.Digest, DatasetDigest: ds.Digest,
		Files: ds.Files, Bytes: ds.Bytes, Links: ds.Links, Dirs: ds.Dirs,
		Packs: r.Packs, Size: r.Size, Parent: r.Parent, Unchanged: r.Unchanged, Skipped: []skipJSON{}, Warned: r.Warned, Seconds: seconds,
	}
	for _, s := range r.Skipped {
		out.Skipped = append(out.Skipped, newSkipJSON(s))
	}
	return out
}

func newSkipJSON(s scan.Skip) skipJSON { return skipJSON{newPathJSON(s.Path), s.Err.Error()} }
