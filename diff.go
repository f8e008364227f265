package cdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/store"
	"github.com/data-containers/cdb/internal/tree"
)

// A Side is one of the two trees that [Diff] compares: that of an image or
// that of a folder.
type Side struct {
	Ref       string
	container *Container // nil for a folder
	dir       string     // the folder
	places    Places
}

// OpenSide opens what ref names: an image as [Open] takes it, or a folder. The
// path of a folder that is no OCI layout is that folder; a single word that is
// also the name of an image of the local store is refused.
func OpenSide(ctx context.Context, ref string, places Places) (*Side, error) {
	s := &Side{Ref: ref, places: places}
	if !isFolder(ref) {
		var err error
		if s.container, err = Open(ctx, ref, places); err != nil {
			return nil, err
		}
		return s, nil
	}
	if err := notImage(ctx, ref, places); err != nil {
		return nil, err
	}
	// The folder itself may be reached through links, which tell nothing of
	// what lies in it.
	dir, err := filepath.EvalSymlinks(ref)
	if err == nil {
		s.dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open folder %q: %w", ref, err)
	}
	return s, nil
}

// isFolder says if path is a folder that is no OCI layout.
func isFolder(path string) bool {
	fi, err := os.Stat(path)
	if err != nil || !fi.IsDir() {
		return false
	}
	_, err = os.Stat(filepath.Join(path, "oci-layout"))
	return err != nil
}

// notImage refuses the name of a folder that an image has too.
func notImage(ctx context.Context, name string, places Places) error {
	r, err := store.ParseRef(name)
	if err != nil || r.Transport != store.TransportStore {
		return nil // a path, or what no image can be called
	}
	source, image, err := places.config().OpenSource(ctx, r)
	if err != nil {
		return ctx.Err() // without a store there are no images
	}
	defer source.Close()
	if _, err := source.Resolve(ctx, image); err != nil {
		return ctx.Err()
	}
	return fmt.Errorf("open %q: it is an image of the local store and a folder too: say %q for the image, %q for the folder",
		name, r.String(), "./"+name)
}

// Dataset returns what the image says of its dataset; nil for a folder.
func (s *Side) Dataset() *catalog.Dataset {
	if s.container == nil {
		return nil
	}
	return s.container.db.Dataset()
}

// Close ends the use of the side.
func (s *Side) Close() error {
	if s.container == nil {
		return nil
	}
	return s.container.Close()
}

// Times say which differences in time count.
type Times string

// The values of Times.
const (
	// TimesOfFiles are those of files and links. The time of a folder changes
	// with every change in it, and tells no more than that.
	TimesOfFiles Times = ""
	TimesOfAll   Times = "all"
	TimesOfNone  Times = "none"
)

// DiffOptions say what [Diff] compares, and how.
type DiffOptions struct {
	// Paths restrict the comparison to these files and folders, as paths in
	// the image or relative to the data; default all.
	Paths     []string
	Times     Times // default TimesOfFiles
	NoRenames bool  // report a renamed file as removed and added

	// Of folders, as in BuildOptions:
	Exclude []string
	Epoch   time.Time

	Workers  int       // files hashed at once; default GOMAXPROCS
	Progress *Progress // counts what is read of folders, if not nil
	// Skipped, if not nil, is told what a folder has that cannot be read or
	// is no data. It is called from the iteration.
	Skipped func(*Side, scan.Skip)
}

// A Kind says what happened to an entry.
type Kind string

// The kinds of changes.
const (
	Added       Kind = "added"
	Removed     Kind = "removed"
	Changed     Kind = "changed"  // in content
	Metadata    Kind = "metadata" // but not in content
	Renamed     Kind = "renamed"
	TypeChanged Kind = "type"
	// DatasetChanged is a change of what is said of the dataset as a whole.
	DatasetChanged Kind = "dataset"
)

// A Change is one difference.
type Change struct {
	Kind    Kind
	Path    string         // relative to the root of the data
	OldPath string         // of what was renamed
	Old     *catalog.Entry // nil for what was added
	New     *catalog.Entry // nil for what was removed
	Fields  []Field        // what differs beside content
}

// Diff yields the differences that lead from a to b: first those of the
// dataset, where both are images, then those of entries in the order of the
// tree, a rename where its new path is.
//
// A folder is scanned and hashed as a build would do it, and attributes are
// compared as far as both sides keep them: what a build normalises is no
// difference. Whether files are hard links of each other is not compared, as
// it depends on how they were packed.
//
// The trees are merged, so memory does not grow with them. A rename, a file
// removed here and one with the same bytes added there, is found if no more
// than holdLimit of changes, some 500,000, lie in between; beyond that it is
// reported as removed and added. Empty files are never renamed.
func Diff(ctx context.Context, a, b *Side, opts DiffOptions) iter.Seq2[*Change, error] {
	return func(yield func(*Change, error) bool) {
		d := &differ{a: a, b: b, opts: opts}
		enough := false
		err := d.run(ctx, func(c *Change) bool {
			if ctx.Err() == nil {
				enough = !yield(c, nil)
			}
			return !enough && ctx.Err() == nil
		})
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if err != nil && !enough {
			yield(nil, err)
		}
	}
}

// errEnough ends a comparison whose reader has gone.
var errEnough = errors.New("enough")

// A differ is one run of Diff.
type differ struct {
	a, b     *Side
	opts     DiffOptions
	preserve bool // compare all attributes, not only those of a plain build
}

// entriesFunc yields an entry and all below it.
type entriesFunc func(ctx context.Context, under string) iter.Seq2[*catalog.Entry, error]

func (d *differ) run(ctx context.Context, yield func(*Change) bool) error {
	if d.opts.Workers <= 0 {
		d.opts.Workers = runtime.GOMAXPROCS(0)
	}
	paths, err := d.paths(ctx)
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	ca, cb := d.a.container, d.b.container
	if ca != nil && cb != nil {
		if ca.Image.Root.Digest == cb.Image.Root.Digest {
			return nil
		}
		if err := d.datasets(yield); err != nil {
			return err
		}
	}
	d.preserve = keeps(d.a, d.b) && keeps(d.b, d.a)
	old, closeOld, err := d.open(ctx, d.a, d.b, paths)
	if err != nil {
		return err
	}
	defer closeOld()
	now, closeNow, err := d.open(ctx, d.b, d.a, paths)
	if err != nil {
		return err
	}
	defer closeNow()
	h := &holder{yield: yield, renames: !d.opts.NoRenames, fields: d.fields, limit: holdLimit}
	for _, p := range paths {
		if err := d.merge(ctx, h, old(ctx, p), now(ctx, p)); err != nil {
			return err
		}
	}
	return h.flush()
}

// keeps says if s has all attributes. A folder does what other does.
func keeps(s, other *Side) bool {
	switch {
	case s.container != nil:
		return s.Dataset().Preserved
	case other.container != nil:
		return other.Dataset().Preserved
	}
	return false
}

// open returns the entries of a side.
func (d *differ) open(ctx context.Context, s, other *Side, paths []string) (entriesFunc, func() error, error) {
	if s.container != nil {
		return s.container.db.Entries, func() error { return nil }, nil
	}
	d.opts.Progress.setPhase("scan")
	listing, err := scan.Open(ctx, s.dir, scan.Options{
		Exclude: d.opts.Exclude, Outputs: s.images(other), Preserve: d.preserve, Epoch: d.opts.Epoch, TempDir: s.places.TempDir,
	})
	if err != nil {
		return nil, nil, err
	}
	f := &hashedFolder{listing: listing, workers: d.opts.Workers, progress: d.opts.Progress, links: map[string]*linkSum{}}
	f.skip = func(sk scan.Skip) {
		if d.opts.Skipped != nil && slices.ContainsFunc(paths, func(p string) bool { return tree.Within(sk.Path, p) }) {
			d.opts.Skipped(s, sk)
		}
	}
	for _, sk := range listing.Skipped() {
		f.skip(sk)
	}
	d.opts.Progress.setPhase("compare")
	if len(paths) == 1 && paths[0] == "" && other.container != nil {
		d.opts.Progress.setTotal(listing.Totals().Files, listing.Totals().Bytes)
	}
	return f.entries, listing.Close, nil
}

// images returns where in folder s the other image lies, if it does: a build
// leaves out what it writes.
func (s *Side) images(other *Side) []string {
	r, err := store.ParseRef(other.Ref)
	if err != nil || other.container == nil {
		return nil
	}
	place := r.Path
	if r.Transport == store.TransportStore {
		place = s.places.Store
	}
	if place == "" {
		return nil
	}
	real, err := filepath.EvalSymlinks(place)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return nil
	}
	if rel, err := filepath.Rel(s.dir, real); err != nil || rel == "." || rel == ".." || strings.HasPrefix(rel, "../") {
		return nil
	}
	return []string{real}
}

// paths returns Paths relative to the data, sorted and without those that lie
// in others. Each must be in one of the sides.
func (d *differ) paths(ctx context.Context) ([]string, error) {
	var all []string
	for _, p := range d.opts.Paths {
		rel, found := "", false
		for _, s := range []*Side{d.a, d.b} {
			r, ok, err := s.find(ctx, p)
			if err != nil {
				return nil, err
			}
			if ok {
				rel, found = r, true
			}
		}
		if !found {
			return nil, fmt.Errorf("%q: %w in %s and in %s", p, fs.ErrNotExist, d.a.Ref, d.b.Ref)
		}
		all = append(all, rel)
	}
	if len(all) == 0 {
		return []string{""}, nil
	}
	slices.Sort(all)
	var kept []string
	for _, p := range all {
		if !slices.ContainsFunc(kept, func(k string) bool { return tree.Within(p, k) }) {
			kept = append(kept, p)
		}
	}
	return kept, nil
}

// find returns path relative to the data, and says if it is there.
func (s *Side) find(ctx context.Context, path string) (string, bool, error) {
	if s.container != nil {
		rel, ok := s.Dataset().Rel(path)
		if !ok {
			return "", false, nil
		}
		e, err := s.container.db.Lookup(ctx, rel)
		return rel, e != nil, err
	}
	rel := strings.TrimSuffix(path, "/")
	if tree.CheckPath(rel) != nil {
		return "", false, nil
	}
	_, err := os.Lstat(filepath.Join(s.dir, rel))
	return rel, err == nil, nil
}

// merge compares two trees, or parts of them, in one pass.
func (d *differ) merge(ctx context.Context, h *holder, old, now iter.Seq2[*catalog.Entry, error]) error {
	oldSide, stopOld := newCursor(old)
	defer stopOld()
	nowSide, stopNow := newCursor(now)
	defer stopNow()
	for {
		if err := errors.Join(oldSide.err, nowSide.err); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		a, b := oldSide.entry, nowSide.entry
		if a == nil && b == nil {
			return nil
		}
		order := compareEntries(a, b)
		var err error
		switch {
		case order < 0:
			err = h.add(a, &Change{Kind: Removed, Path: a.Path, Old: a})
		case order > 0:
			err = h.add(b, &Change{Kind: Added, Path: b.Path, New: b})
		default:
			err = h.add(b, d.compare(a, b))
		}
		if err != nil {
			return err
		}
		if order <= 0 {
			oldSide.advance()
		}
		if order >= 0 {
			nowSide.advance()
		}
	}
}

// A cursor is a place in a sequence of entries.
type cursor struct {
	next  func() (*catalog.Entry, error, bool)
	entry *catalog.Entry // nil behind the last
	err   error
}

// newCursor returns a cursor on the first entry of seq.
func newCursor(seq iter.Seq2[*catalog.Entry, error]) (*cursor, func()) {
	next, stop := iter.Pull2(seq)
	c := &cursor{next: next}
	c.advance()
	return c, stop
}

func (c *cursor) advance() {
	e, err, ok := c.next()
	c.entry, c.err = nil, err
	if ok && err == nil {
		mine := *e // it may be kept
		c.entry = &mine
	}
}

// compareEntries orders entries as trees are ordered; nil is behind all.
func compareEntries(a, b *catalog.Entry) int {
	switch {
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return tree.Compare(&a.Entry, &b.Entry)
}

// compare returns what differs between two entries with the same path, nil if
// nothing does.
func (d *differ) compare(a, b *catalog.Entry) *Change {
	c := &Change{Path: b.Path, Old: a, New: b}
	if a.Type != b.Type {
		c.Kind = TypeChanged
		return c
	}
	c.Fields = d.fields(a, b)
	switch {
	case a.Type == tree.File && (a.Size != b.Size || a.SHA256 != b.SHA256):
		c.Kind = Changed
	case len(c.Fields) > 0:
		c.Kind = Metadata
	default:
		return nil
	}
	return c
}

// datasets yields the differences between what is said of the datasets.
func (d *differ) datasets(yield func(*Change) bool) error {
	if len(d.opts.Paths) > 0 {
		return nil
	}
	for _, f := range datasetFields(d.a.Dataset(), d.b.Dataset()) {
		if !yield(&Change{Kind: DatasetChanged, Fields: []Field{f}}) {
			return errEnough
		}
	}
	return nil
}

// A DiffStat counts changes.
type DiffStat map[Kind]Tally

// A Tally is the sums over the changes of one kind.
type Tally struct {
	Entries            int64
	Files              int64 // regular files among them, before or after
	OldBytes, NewBytes int64 // of these files
}

// Add counts c.
func (s DiffStat) Add(c *Change) {
	t := s[c.Kind]
	t.Entries++
	isFile := func(e *catalog.Entry) bool { return e != nil && e.Type == tree.File }
	if isFile(c.Old) || isFile(c.New) {
		t.Files++
	}
	if isFile(c.Old) {
		t.OldBytes += c.Old.Size
	}
	if isFile(c.New) {
		t.NewBytes += c.New.Size
	}
	s[c.Kind] = t
}
