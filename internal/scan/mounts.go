package scan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/data-containers/cdb/internal/tree"
)

// A Mount is one of several sources of a tree.
type Mount struct {
	Src string // a folder or a regular file
	// To is the folder of the tree, a path as in tree.Entry, that has what is
	// in Src, or the file Src itself.
	To string
	// Name is what errors call it; default Src.
	Name string
	// Exclude are further patterns for this source.
	Exclude []string
	// Private says that no output can lie in Src, whatever its path.
	Private bool
}

// A part is a mount that was scanned.
type part struct {
	to     string
	name   string
	root   *folder
	single string // as in Listing
}

// OpenMounts walks several sources, which become one tree. Folders with the
// same path are one: it has the attributes that the first source gives it, and
// the newest time. Any other path that two sources have is an error.
// Patterns are relative to the source that they are looked for in. Folders
// that only the targets of mounts make necessary are as new as what is mounted
// in them.
func OpenMounts(ctx context.Context, mounts []Mount, opts Options) (_ *Listing, err error) {
	if len(mounts) == 1 && mounts[0].To == "" {
		return mounts[0].scan(ctx, opts)
	}
	if opts.Overlay {
		return nil, errors.New("scan: an overlay is one source")
	}
	m := &merge{virtual: map[string]virtualDir{}}
	defer func() {
		for _, l := range m.listings {
			err = errors.Join(err, l.Close())
		}
	}()
	for i := range mounts {
		if err := tree.CheckPath(mounts[i].To); err != nil {
			return nil, fmt.Errorf("scan: target: %w", err)
		}
		l, err := mounts[i].scan(ctx, opts)
		if err != nil {
			return nil, err
		}
		m.listings = append(m.listings, l)
	}
	return m.run(ctx, mounts, opts)
}

func (m *Mount) scan(ctx context.Context, opts Options) (*Listing, error) {
	opts.Exclude = append(slices.Clone(opts.Exclude), m.Exclude...)
	if m.Private {
		opts.Outputs = nil
	}
	l, err := open(ctx, m.Src, opts)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("scan %q: %w", m.called(), err)
	}
	return l, nil
}

func (m *Mount) called() string {
	if m.Name != "" {
		return m.Name
	}
	return m.Src
}

// A merge makes one listing of several.
type merge struct {
	listings []*Listing
	heads    []mergeHead
	// virtual are folders that nobody may have but the targets of mounts, and
	// single files.
	virtual map[string]virtualDir
	// files are the paths of no folders, each the beginning of the next, that
	// a folder with the same path may still follow.
	files []mergedFile
	w     *walker
}

type mergedFile struct {
	path string
	root int
}

// A virtualDir is as new as the mounts that need it, of which root is the
// first.
type virtualDir struct {
	time time.Time
	root int
}

// A mergeHead is the next record of a listing.
type mergeHead struct {
	r    *record // nil at the end
	next func() (*record, error, bool)
	stop func()
}

func (m *merge) run(ctx context.Context, mounts []Mount, opts Options) (_ *Listing, err error) {
	l := &Listing{opts: opts, dirTimes: map[string]time.Time{}}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	if l.spool, err = newSpool(opts.TempDir); err != nil {
		return nil, err
	}
	for i, in := range m.listings {
		l.parts = append(l.parts, part{mounts[i].To, mounts[i].called(), in.root.retain(), in.single})
		for _, s := range in.skipped {
			l.skipped = append(l.skipped, Skip{at(mounts[i].To, s.Path), s.Err})
		}
	}
	l.root = l.parts[0].root.retain()
	m.w = &walker{Listing: l, out: newSpoolWriter(l.spool)}
	if err := m.merge(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("scan: %w", err)
	}
	if err := m.w.out.w.Flush(); err != nil {
		return nil, fmt.Errorf("write the list of files to a temporary file: %w", err)
	}
	l.spoolSize = m.w.out.n
	if l.totals.Files+l.totals.Links == 0 {
		l.totals.Newest = m.w.newestDir
	}
	return l, nil
}

// at returns the path of what has the path rel in the folder to.
func at(to, rel string) string {
	if rel == "" {
		return to
	}
	return join(to, rel)
}

// merge writes the records of all listings in one order.
func (m *merge) merge(ctx context.Context) error {
	defer func() {
		for _, h := range m.heads {
			h.stop()
		}
	}()
	for i := range m.listings {
		next, stop := iter.Pull2(m.listings[i].records())
		m.heads = append(m.heads, mergeHead{nil, next, stop})
		if err := m.advance(i); err != nil {
			return err
		}
		m.noteVirtual(i)
	}
	dirs := m.virtualDirs()
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		first := m.first()
		if len(dirs) > 0 && (first < 0 || compareRecords(&dirs[0], m.heads[first].r) < 0) {
			if err := m.emit(&dirs[0]); err != nil {
				return err
			}
			dirs = dirs[1:]
			continue
		}
		if first < 0 {
			return nil
		}
		if len(dirs) > 0 && compareRecords(&dirs[0], m.heads[first].r) == 0 {
			dirs = dirs[1:]
		}
		if err := m.take(first); err != nil {
			return err
		}
	}
}

// advance moves on to the next record of a listing, under its path in the
// merged tree.
func (m *merge) advance(i int) error {
	h, p, in := &m.heads[i], &m.w.parts[i], m.listings[i]
	next, err, ok := h.next()
	if !ok || err != nil {
		h.r = nil
		return err
	}
	r := *next
	if t, ok := in.dirTimes[r.path]; ok && r.typ == tree.Dir {
		r.mtime = stamp{t.Unix(), int64(t.Nanosecond())}
	}
	r.path, r.root = at(p.to, r.path), i
	if r.typ == tree.File && r.link != "" {
		r.link = at(p.to, r.link)
	}
	h.r = &r
	return nil
}

// noteVirtual notes the folders above the root of a listing, whose first record
// that is, and the root itself if it is only there to hold a single file.
func (m *merge) noteVirtual(i int) {
	h := &m.heads[i]
	t := h.r.mtime.time()
	dir := h.r.path
	note := func() {
		v, ok := m.virtual[dir]
		if !ok {
			v.root = i
		}
		v.time = later(v.time, t)
		m.virtual[dir] = v
	}
	if m.listings[i].single != "" {
		note()
		// The file is next. A spool that cannot be read will say so again.
		if m.advance(i) != nil {
			h.r = nil
		}
	}
	for dir != "" {
		dir = tree.Parent(dir)
		note()
	}
}

// virtualDirs returns the records of the folders that were noted, in order.
func (m *merge) virtualDirs() []record {
	var dirs []record
	for path, v := range m.virtual {
		s := stamp{v.time.Unix(), int64(v.time.Nanosecond())}
		dirs = append(dirs, record{path: path, typ: tree.Dir, mode: 0o755, mtime: s, ctime: s, root: v.root})
	}
	slices.SortFunc(dirs, func(a, b record) int { return compareRecords(&a, &b) })
	return dirs
}

func compareRecords(a, b *record) int {
	return tree.CompareNames(a.path, a.typ == tree.Dir && a.path != "", b.path, b.typ == tree.Dir && b.path != "")
}

// first returns the listing whose record is next, the first of several with
// the same one, and -1 at the end.
func (m *merge) first() int {
	first := -1
	for i := range m.heads {
		if r := m.heads[i].r; r != nil && (first < 0 || compareRecords(r, m.heads[first].r) < 0) {
			first = i
		}
	}
	return first
}

// take writes the record of listing first, with those of others for the same
// folder.
func (m *merge) take(first int) error {
	r := m.heads[first].r
	if err := m.advance(first); err != nil {
		return err
	}
	for i := first + 1; i < len(m.heads); i++ {
		other := m.heads[i].r
		if other == nil || compareRecords(r, other) != 0 {
			continue
		}
		if r.typ != tree.Dir {
			return m.collision(r.path, r.root, i)
		}
		if other.mtime.time().After(r.mtime.time()) {
			r.mtime = other.mtime
		}
		if err := m.advance(i); err != nil {
			return err
		}
	}
	return m.emit(r)
}

func (m *merge) emit(r *record) error {
	for n := len(m.files); n > 0 && !strings.HasPrefix(r.path, m.files[n-1].path); n-- {
		m.files = m.files[:n-1]
	}
	t := m.w.opts.modTime(r.mtime)
	if r.typ == tree.Dir {
		if n := len(m.files); n > 0 && m.files[n-1].path == r.path {
			return m.collision(r.path, m.files[n-1].root, r.root)
		}
		m.w.newestDir = later(m.w.newestDir, t)
	} else {
		m.files = append(m.files, mergedFile{r.path, r.root})
		m.w.totals.Newest = later(m.w.totals.Newest, t)
	}
	return m.w.emit(r)
}

func (m *merge) collision(path string, a, b int) error {
	first, second := m.w.parts[a].name, m.w.parts[b].name
	if first == second {
		return fmt.Errorf("%q comes twice from %q; give one of them another place", path, first)
	}
	return fmt.Errorf("%q comes from both %q and %q; leave one out, or give it another place", path, first, second)
}

// Mounted returns the number of the mount, from 0, that has the file with this
// path. It looks through all that was found.
func (l *Listing) Mounted(path string) (int, error) {
	for r, err := range l.records() {
		if err != nil {
			return 0, err
		}
		if r.path == path && r.typ == tree.File && r.mark == NoMark {
			return r.root, nil
		}
	}
	return 0, fmt.Errorf("find %q: %w", path, fs.ErrNotExist)
}

// partItems is items for several sources.
func (l *Listing) partItems() (item func(*record) *Item, stop func()) {
	var chains []*chain
	for _, p := range l.parts {
		chains = append(chains, newChain(p.root))
	}
	stop = func() {
		for _, c := range chains {
			c.cut(0)
		}
	}
	return func(r *record) *Item {
		it := &Item{Entry: l.entry(r), opts: &l.opts, stat: r.stat(), name: tree.Base(r.path)}
		if r.typ != tree.File || r.root < 0 || r.root >= len(chains) {
			return it
		}
		p, c := &l.parts[r.root], chains[r.root]
		if p.single != "" {
			it.name = p.single
		} else {
			c.goTo(tree.Parent(strings.TrimPrefix(strings.TrimPrefix(r.path, p.to), "/")))
		}
		dir, err := c.top()
		if err != nil {
			it.err = err
			return it
		}
		it.dir = dir.retain()
		return it
	}, stop
}

// goTo moves the chain to the folder dir.
func (c *chain) goTo(dir string) {
	n := 1
	for dir != "" {
		name, rest, _ := strings.Cut(dir, "/")
		if n >= len(c.levels) || c.levels[n].name != name {
			c.cut(n)
			c.push(name)
		}
		n, dir = n+1, rest
	}
	c.cut(n)
}
