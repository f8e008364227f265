package cdb

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/extract"
	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/store"
)

// Version is the release of cdb.
const Version = "0.1.0"

// BuildOptions say what [Build] makes of a folder, and where it goes.
type BuildOptions struct {
	Places
	// Name is the image's NAME[:TAG]. Without an Output, which may have a
	// name of its own, it goes into the local store under it.
	Name string
	// Output is oci:DIR[:TAG], FILE.tar, oci-archive:FILE[:TAG],
	// docker-archive:FILE[:TAG] or docker-daemon:NAME[:TAG]; "" is the local
	// store.
	Output string
	// Push sends the image to the registry that Name begins with, each layer
	// while the next ones are being built. It goes into the local store too,
	// unless NoStore.
	Push, NoStore bool
	// PackSize is the size of tar stream in bytes that no pack exceeds, but
	// for a single larger file; default is what fits a number of about 50, and
	// what the registry takes.
	PackSize int64
	// Entrypoint returns the entrypoint program for an architecture.
	Entrypoint func(arch string) ([]byte, error)

	Prefix      string           // folder of the data in the image; default "/data"
	Exclude     []string         // gitignore patterns
	Compression pack.Compression // default pack.Gzip
	Arch        []string         // as in GOARCH; default amd64 and arm64
	Strict      bool             // fail instead of skipping what cannot be read
	Volume      bool             // declare the data folder a volume
	Preserve    bool             // keep owners, modes, nanoseconds, attributes
	NoText      bool             // leave out the full-text index
	// Extract selects what is extracted from files: names of formats and
	// contexts, "mime", "default", "all", "basic" for nothing beyond size and
	// digest, "-NAME" to drop one, each or several with commas between them.
	// The default is "default". GPS and Identifying let formats tell where a
	// picture was taken, and who is in a medical file.
	//
	// Beside these words there may be extractors of users: FILE.py:NAME, a
	// function of Python; FILE.wasm, a module of WASI; "exec: COMMAND", a
	// program that speaks JSON Lines, to the end of the string. Their names are
	// relative to ExtractBase, which is where they run, by default the current
	// folder.
	Extract          []string
	GPS, Identifying bool
	ExtractBase      string
	ExtractTimeout   time.Duration // for one file and one of them; default 60 s
	Python           string        // the interpreter for functions; default "python3"
	// ExtractLog is told each line that they print on their standard error,
	// one at a time for each of them.
	ExtractLog func(extractor, line string)
	// Extractors are asked about every file, too.
	Extractors []extract.External
	Epoch      time.Time // SOURCE_DATE_EPOCH, if not zero
	// Parent is the image that this is to be a version of; default is the
	// newest with the same name in the local store, if the image goes there.
	Parent   string
	NoParent bool   // look for none: the image depends on the data alone
	Rehash   bool   // read all files, whatever the change cache knows
	Message  string // of this version
	Workers  int    // goroutines of each stage; default GOMAXPROCS

	// What is said of the dataset. A new version says what its parent was told
	// to say where these say nothing, the Version apart; and where neither
	// does, files in the root of the tree may, unless NoDescribe.
	Title, Description, License, Version, Author string
	About                                        catalog.About
	Labels                                       map[string]string
	NoDescribe                                   bool
	// Queries get names that -q of the entrypoint knows.
	Queries map[string]catalog.NamedQuery

	Progress *Progress // counts, if not nil
}

// A BuildResult says what a build made.
type BuildResult struct {
	// Ref is the pinned reference of the image.
	Ref    string
	Digest string // of the manifest or index
	// Dataset is what the catalog says, counts included.
	Dataset *catalog.Dataset
	Packs   int   // data layers
	Size    int64 // of all layers, compressed, in bytes
	// Parent is the digest of the image this is a version of, "" for none.
	Parent string
	// Unchanged says that nothing differs from the parent, so this is it.
	Unchanged bool
	Skipped   []scan.Skip
	// Warned counts the files of the image whose metadata is not all it could
	// be; their key extract.warnings says why. DatasetWarnings are about the
	// dataset as a whole, in this build.
	Warned          int64
	DatasetWarnings []error
}

// Build makes a data container of src, a folder or a single file, in one
// pass: every byte is read once, and hashed, packed and catalogued on the way.
// Files that cannot be read, and what is no data, are left out and named in
// the result, unless opts.Strict. Nothing is published if there is an error.
func Build(ctx context.Context, src string, opts BuildOptions) (*BuildResult, error) {
	return (&build{opts: opts, src: src}).start(ctx)
}

// start runs the build and closes what it opened, and the parent.
func (b *build) start(ctx context.Context) (*BuildResult, error) {
	result, err := b.toTarget(ctx)
	if b.parent != nil {
		err = errors.Join(err, b.parent.Close())
	}
	if err2 := b.extraction.close(); err == nil {
		err = err2
	}
	if b.target != nil {
		if err2 := b.target.Close(); err == nil {
			err = err2
		}
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	return result, nil
}

// toTarget opens the target and the parent, and runs the build.
func (b *build) toTarget(ctx context.Context) (*BuildResult, error) {
	if err := b.opts.check(); err != nil {
		return nil, err
	}
	name, tag := "", ""
	var err error
	if err := b.chooseSet(ctx); err != nil {
		return nil, err
	}
	if b.opts.Name != "" {
		if name, tag, err = store.ParseName(b.opts.Name); err != nil {
			return nil, err
		}
	}
	if b.opts.Push {
		b.target, err = b.opts.config().PushTarget(ctx, name, tag, !b.opts.NoStore)
	} else {
		b.target, err = b.opts.config().OpenTarget(ctx, b.opts.Output, name, tag, defaultArch(b.opts.Arch))
	}
	if err != nil {
		return nil, err
	}
	if b.parent == nil {
		if err := b.openParent(ctx, name); err != nil {
			return nil, err
		}
	}
	return b.run(ctx)
}

// defaultArch returns which of several architectures stands for all where
// only one can: this machine's, if it is among them.
func defaultArch(archs []string) string {
	for _, a := range archs {
		if a == runtime.GOARCH {
			return a
		}
	}
	return archs[0]
}

// check completes the options and says what is wrong with them.
func (o *BuildOptions) check() error {
	if o.Prefix == "" {
		o.Prefix = "/data"
	}
	if !strings.HasPrefix(o.Prefix, "/") || path.Clean(o.Prefix) != o.Prefix {
		return fmt.Errorf("prefix %q: must be an absolute path without . and .., such as /data", o.Prefix)
	}
	if first, _, _ := strings.Cut(o.Prefix[1:], "/"); first == image.CatalogDir || first == image.EntrypointPath {
		return fmt.Errorf("prefix %q: /%s belongs to cdb", o.Prefix, first)
	}
	if o.Compression == "" {
		o.Compression = pack.Gzip
	}
	if len(o.Arch) == 0 {
		o.Arch = []string{"amd64", "arm64"}
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	switch {
	case o.Name == "" && o.Output == "":
		return errors.New("build: it has no name and no output; give it one of them")
	case o.Push && (o.Name == "" || o.Output != ""):
		return errors.New("build: to be pushed it needs a name, HOST/NAME[:TAG], and no other output")
	case o.NoStore && !o.Push:
		return errors.New("build: only what is pushed can do without the local store")
	case o.PackSize < 0:
		return errors.New("build: the size of packs is negative")
	}
	return nil
}

// A build is one run of Build.
type build struct {
	opts    BuildOptions
	src     string
	sources *sources // nil if all data is in src
	target  store.Target
	temp    string // a folder for the catalog
	parent  *Container
	overlay *overlay         // nil unless src holds only the changes of the parent
	newest  time.Time        // of the files
	whites  int              // the pack for whiteouts, below the other new ones
	most    int64            // bytes of tar stream of a pack; 0 for any
	found   *catalog.Dataset // what the tree says of itself
	warned  []error          // about the files that say it
	mu      sync.Mutex
	skipped []scan.Skip

	extraction extraction
}

func (b *build) run(ctx context.Context) (*BuildResult, error) {
	temp, err := makeTempDir(b.opts.TempDir)
	if err != nil {
		return nil, err
	}
	defer temp.remove()
	b.temp = temp.path
	if err := b.checkQueries(ctx); err != nil {
		return nil, err
	}
	if b.sources != nil {
		err := b.openSources(ctx)
		defer b.sources.close()
		if err != nil {
			return nil, err
		}
		b.keepMeta()
	}
	result, err := b.scanAndAssemble(ctx)
	if catalog.IsFull(err) {
		err = fmt.Errorf("write catalog in temporary folder %q: %w (%w)", b.temp, syscall.ENOSPC, err)
	}
	return result, err
}

func (b *build) scanAndAssemble(ctx context.Context) (*BuildResult, error) {
	b.opts.Progress.setPhase("scan")
	listing, err := b.scan(ctx)
	if err != nil {
		return nil, err
	}
	defer listing.Close()
	return b.assemble(ctx, listing)
}

// assemble makes the image of a listing.
func (b *build) assemble(ctx context.Context, listing *scan.Listing) (*BuildResult, error) {
	if err := b.chooseSet(ctx); err != nil {
		return nil, err
	}
	totals := listing.Totals()
	b.newest = totals.Newest
	b.opts.Progress.setTotal(totals.Files, totals.Bytes)
	for _, s := range listing.Skipped() {
		if err := b.skip(s); err != nil {
			return nil, err
		}
	}
	if err := b.describe(ctx, listing); err != nil {
		return nil, err
	}
	memory := b.openMemory()
	defer memory.close()
	if unchanged, err := b.isUnchanged(listing, memory.snapshot); err != nil || unchanged {
		if err != nil {
			return nil, err
		}
		return b.keepParent(ctx)
	}
	if err := b.prepare(ctx, listing); err != nil {
		return nil, err
	}
	b.opts.Progress.setPhase("pack")
	cat, err := b.beginCatalog(ctx)
	if err != nil {
		return nil, err
	}
	defer cat.Abort()
	layers, err := b.pack(ctx, listing, memory, cat)
	if err != nil {
		return nil, err
	}
	var result *BuildResult
	if b.isParent(cat) {
		result, err = b.keepParent(ctx)
	} else {
		result, err = b.finish(ctx, cat, b.dataset(b.newest), layers)
	}
	if err == nil {
		result.DatasetWarnings = slices.Concat(b.warned, b.extraction.warnings, result.DatasetWarnings)
		memory.commit(result.Digest)
	}
	return result, err
}

// finish completes the catalog and publishes the image.
func (b *build) finish(ctx context.Context, cat *catalog.Writer, words catalog.Dataset, layers []image.Layer) (*BuildResult, error) {
	b.opts.Progress.setPhase("catalog")
	version := catalog.Version{Message: b.opts.Message}
	if b.parent != nil {
		version.Parent = b.parent.Image.Root.Digest.String()
	}
	ds, err := cat.Finish(ctx, words, version)
	if err != nil {
		return nil, err
	}
	wrong, err := b.askQueries(ctx)
	if err != nil {
		return nil, err
	}
	if layers, err = b.catalogLayers(ctx, layers, ds); err != nil {
		return nil, err
	}
	b.opts.Progress.setPhase("publish")
	result, err := b.publish(ctx, ds, layers)
	if err == nil {
		result.Parent, result.Warned = version.Parent, cat.MetricFiles(extract.WarningsKey)
		result.DatasetWarnings = wrong
	}
	return result, err
}

// scan lists the source. The target is left out, should it lie there.
func (b *build) scan(ctx context.Context) (*scan.Listing, error) {
	outputs := []string{b.temp}
	if b.opts.Cache != "" {
		outputs = append(outputs, b.opts.Cache)
	}
	if o, ok := b.target.(store.Outputter); ok {
		outputs = append(outputs, o.Outputs()...)
	}
	for i, o := range outputs {
		var err error
		if outputs[i], err = filepath.Abs(o); err != nil {
			return nil, fmt.Errorf("build: %w", err)
		}
	}
	opts := scan.Options{
		Exclude:  b.opts.Exclude,
		Outputs:  outputs,
		Preserve: b.opts.Preserve,
		Epoch:    b.opts.Epoch,
		TempDir:  b.opts.TempDir,
	}
	if b.overlay != nil {
		opts.Overlay, opts.IgnoreFile = true, "-"
	}
	if b.sources != nil {
		return scan.OpenMounts(ctx, b.sources.mounts, opts)
	}
	return scan.Open(ctx, b.src, opts)
}

// skip notes an entry that is left out.
func (b *build) skip(s scan.Skip) error {
	if b.opts.Strict {
		return fmt.Errorf("build %q: %w", s.Path, s.Err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.skipped = append(b.skipped, s)
	return nil
}

// pack runs the stages that every byte goes through: read, pack, catalogue. It
// returns the layers between the entrypoint and the catalog that is to come.
func (b *build) pack(ctx context.Context, listing *scan.Listing, memory *memory, cat *catalog.Writer) (_ []image.Layer, err error) {
	if b.most, err = b.largestPack(listing); err != nil {
		return nil, err
	}
	plan, err := pack.NewPlan(listing.Entries, pack.PlanOptions{Largest: b.most})
	if err != nil {
		return nil, err
	}
	var packs []catalog.Pack
	p := &packer{
		packWriter: &packWriter{ctx: ctx, opts: &b.opts, target: b.target, id: 1},
		skip:       b.skip,
		contexts:   b.extraction.contexts,
		memory:     memory,
		starts:     plan.Starts,
	}
	if b.parent != nil {
		if packs, err = b.parent.Catalog().Packs(ctx); err != nil {
			return nil, err
		}
		// What is packed is not known before: packs end as they are full.
		p.starts, p.limit, p.most = nil, plan.Target, b.most
		b.whites = 1
		if n := len(packs); n > 0 {
			b.whites = packs[n-1].ID + 1
		}
		p.whites, p.id = b.whites, b.whites+1
	}
	if err := b.runStages(ctx, listing, cat, p, plan); err != nil {
		p.abort()
		return nil, err
	}
	if b.parent == nil {
		var layers []image.Layer
		for _, l := range p.layers {
			layers = append(layers, l.Layer)
		}
		return layers, nil
	}
	if b.isParent(cat) {
		return nil, nil
	}
	return b.versionLayers(ctx, cat, packs, p.layers)
}

// runStages runs the stages until all entries are packed.
func (b *build) runStages(ctx context.Context, listing *scan.Listing, cat *catalog.Writer, p *packer, plan *pack.Plan) error {
	merger, err := newMerger(ctx, b.parent, p.memory.snapshot, b.opts.Preserve)
	if err != nil {
		return err
	}
	if b.parent == nil {
		if merger.adopted, err = b.adoptions(ctx, listing, p.memory, plan); err != nil {
			return err
		}
	}
	merger.overlay = b.overlay
	merger.reread = b.parent != nil && b.parent.Catalog().Dataset().Extract != b.extraction.record
	g, ctx := errgroup.WithContext(ctx)
	rows := make(chan row, 1024)
	p.rows, p.reader = rows, newReader(listing, merger, b.opts.Workers)
	p.reader.extraction = &b.extraction
	p.reader.start(ctx, g)
	g.Go(func() error {
		defer close(rows)
		return p.run(ctx)
	})
	g.Go(func() error { return catalogRows(ctx, cat, rows) })
	err = g.Wait()
	if p.failed != nil {
		p.failed.Release()
	}
	merger.close()
	if b.overlay != nil {
		b.newest = b.overlay.newest()
	}
	return err
}

// publish writes the documents of the image and makes it visible.
// shared are all layers but the entrypoint.
func (b *build) publish(ctx context.Context, ds *catalog.Dataset, shared []image.Layer) (*BuildResult, error) {
	user := "65532:65532"
	if b.opts.Preserve {
		// Modes are the user's, and may be for their owner alone.
		user = "0:0"
	}
	result := &BuildResult{Dataset: ds, Skipped: b.skipped}
	for _, l := range shared {
		result.Size += l.Size
		if l.Role == image.RoleData {
			result.Packs++
		}
	}
	var manifests []ocispec.Descriptor
	var layers []image.Layer
	for _, arch := range b.opts.Arch {
		entrypoint, err := b.entrypointLayer(ctx, arch)
		if err != nil {
			return nil, err
		}
		result.Size += entrypoint.Size
		layers = append([]image.Layer{entrypoint}, shared...)
		config, err := image.Config(ds, layers, image.ConfigOptions{Arch: arch, User: user, Volume: b.opts.Volume})
		if err != nil {
			return nil, err
		}
		configDesc, err := b.document(ctx, ocispec.MediaTypeImageConfig, config)
		if err != nil {
			return nil, err
		}
		manifest, err := image.Manifest(ds, configDesc, layers)
		if err != nil {
			return nil, err
		}
		desc, err := b.document(ctx, ocispec.MediaTypeImageManifest, manifest)
		if err != nil {
			return nil, err
		}
		desc.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
		manifests = append(manifests, desc)
	}
	root := manifests[0]
	if len(manifests) > 1 {
		index, err := image.Index(ds, layers, manifests)
		if err != nil {
			return nil, err
		}
		if root, err = b.document(ctx, ocispec.MediaTypeImageIndex, index); err != nil {
			return nil, err
		}
	}
	var err error
	result.Digest = root.Digest.String()
	result.Ref, err = b.target.Publish(ctx, root)
	return result, err
}

// document writes a small blob.
func (b *build) document(ctx context.Context, mediaType string, doc []byte) (ocispec.Descriptor, error) {
	desc := image.Describe(mediaType, doc)
	up, err := b.target.Create(ctx)
	if err != nil {
		return desc, err
	}
	defer up.Abort()
	if _, err := up.Write(doc); err != nil {
		return desc, err
	}
	return desc, up.Commit(ctx, desc.Digest, desc.Size)
}
