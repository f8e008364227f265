package scan

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/data-containers/cdb/internal/tree"
)

// A walker visits every entry of a tree once and writes it to the spool.
type walker struct {
	*Listing
	out     *spoolWriter
	chain   *chain
	stack   []frame
	dirents []byte
	links   map[inode]*hardLink
	// exclude are the rules of the options, which win over ignore files.
	exclude    *rules
	ignoreFile string // "" for none
	newestDir  time.Time
}

// A frame is a folder on the way from the root to the entry being visited.
type frame struct {
	path    string
	names   []name
	next    int
	rules   *rules
	holds   bool // an output
	opaque  bool // by a file in it
	modTime time.Time
	newest  time.Time // of the entries in it; zero if there are none
}

// A name is an entry of a folder.
type name struct {
	s     string
	isDir bool
	known bool // whether isDir is
	mark  Mark
}

type inode struct{ dev, ino uint64 }

// A hardLink is an inode of which more links may come.
type hardLink struct {
	path string
	left uint64
}

// walk visits the tree below l.root.
func (w *walker) walk(ctx context.Context) error {
	w.chain = newChain(w.root)
	defer func() { w.chain.cut(0) }()
	if err := w.enter("", nil); err != nil {
		return err
	}
	if len(w.stack) == 0 { // the root is the only folder that must be readable
		return w.skipped[0].Err
	}
	for n := 0; len(w.stack) > 0; n++ {
		if n%64 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		f := &w.stack[len(w.stack)-1]
		if f.next == len(f.names) {
			w.leave()
			continue
		}
		next := f.names[f.next]
		f.next++
		if err := w.visit(f, next); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// whiteout begins the names of entries that say, in a layer of an image, that
// something of a lower layer is gone (OCI image-spec, layer.md, "Whiteouts").
// No image can hold a file with such a name.
const whiteout = ".wh."

var errWhiteout = errors.New("its name begins with .wh., which marks deletions in images; rename it or leave it out with --exclude")

func (w *walker) visit(f *frame, n name) error {
	p := join(f.path, n.s)
	if n.mark != NoMark {
		return w.emitMark(p, n.mark)
	}
	if strings.HasPrefix(n.s, whiteout) {
		return w.skip(p, errWhiteout)
	}
	if !n.isDir {
		return w.leaf(p, n.s)
	}
	w.chain.push(n.s)
	depth := len(w.stack)
	err := w.enter(p, f.rules)
	if len(w.stack) == depth {
		w.chain.cut(depth)
	}
	return err
}

// enter puts the last folder of the chain on the stack, or notes why not.
func (w *walker) enter(p string, parent *rules) error {
	dir, err := w.chain.top()
	if err != nil {
		return w.skip(p, err)
	}
	var st unix.Stat_t
	if err := fstat(dir.fd, &st); err != nil {
		return w.skip(p, err)
	}
	names, err := w.readNames(dir.fd)
	if err != nil {
		return w.skip(p, fmt.Errorf("read folder: %w", err))
	}
	f := frame{path: p, rules: parent, holds: w.outputs[p] != nil}
	if err := w.filter(&f, dir.fd, names); err != nil {
		return err
	}
	r := newRecord(p, &st)
	r.typ, r.opaque = tree.Dir, f.opaque
	if w.opts.Preserve || w.opts.Overlay {
		if r.xattrs, err = fdXattrs(dir.fd); err != nil {
			return w.skip(p, err)
		}
	}
	if w.opts.Overlay {
		if err := overlayFolder(&r, r.xattrs); err != nil {
			return err
		}
	}
	r.xattrs = w.opts.keep(r.xattrs)
	f.modTime = w.opts.modTime(r.mtime)
	w.stack = append(w.stack, f)
	return w.emit(&r)
}

// leave takes a folder from the stack when all of it was visited. Only now
// the time of one that holds an output is known.
func (w *walker) leave() {
	last := len(w.stack) - 1
	f := &w.stack[last]
	if f.holds {
		f.modTime = f.newest
		if f.newest.IsZero() {
			f.modTime = time.Unix(0, 0).UTC()
		}
		w.dirTimes[f.path] = f.modTime
	}
	t := f.modTime
	w.stack[last] = frame{}
	w.stack = w.stack[:last]
	w.chain.cut(last)
	w.newestDir = later(w.newestDir, t)
	if last > 0 {
		w.stack[last-1].newest = later(w.stack[last-1].newest, t)
	}
}

// leaf visits an entry that was no folder when its name was read.
func (w *walker) leaf(p, base string) error {
	dir, err := w.chain.top()
	if err != nil {
		return w.skip(p, err)
	}
	var st unix.Stat_t
	if err := fstatat(dir.fd, base, &st); err != nil {
		return w.skip(p, err)
	}
	r := newRecord(p, &st)
	if w.opts.Overlay {
		white, err := w.isWhiteout(dir.fd, base, &st, p)
		if err != nil {
			return err
		}
		if white {
			return w.emitMark(p, Whiteout)
		}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		r.typ, r.size = tree.File, st.Size
	case unix.S_IFLNK:
		r.typ = tree.Symlink
		if r.link, err = readlinkat(dir.fd, base, st.Size); err != nil {
			return w.skip(p, fmt.Errorf("read link: %w", err))
		}
	case unix.S_IFDIR:
		return w.skip(p, errors.New("became a folder during the scan; scan again"))
	default:
		return w.skip(p, typeError(uint32(st.Mode)))
	}
	if w.opts.Preserve {
		if r.xattrs, err = entryXattrs(dir.fd, base); err != nil {
			return w.skip(p, err)
		}
		r.xattrs = w.opts.keep(r.xattrs)
	}
	if r.typ == tree.File {
		r.link = w.hardLink(&r)
	}
	f := &w.stack[len(w.stack)-1]
	t := w.opts.modTime(r.mtime)
	f.newest = later(f.newest, t)
	w.totals.Newest = later(w.totals.Newest, t)
	return w.emit(&r)
}

// hardLink returns the path of the first link to the inode of r, or "" if r
// is it.
func (w *walker) hardLink(r *record) string {
	if r.nlink < 2 {
		return ""
	}
	key := inode{r.dev, r.ino}
	first := w.links[key]
	if first == nil {
		w.links[key] = &hardLink{path: r.path, left: r.nlink - 1}
		return ""
	}
	if first.left--; first.left == 0 {
		delete(w.links, key)
	}
	return first.path
}

func (w *walker) emit(r *record) error {
	switch {
	case r.typ == tree.Dir:
		w.totals.Dirs++
	case r.typ == tree.Symlink:
		w.totals.Links++
	default:
		w.totals.Files++
		if r.link == "" {
			w.totals.Bytes += r.size
		}
	}
	if err := w.out.write(r, w.opts.Preserve); err != nil {
		return fmt.Errorf("write the list of files to a temporary file: %w", err)
	}
	return nil
}

// skip notes why p is no entry. Only what concerns the whole scan is an
// error; what vanished meanwhile is nothing.
func (w *walker) skip(p string, err error) error {
	switch {
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("%q: %w", p, err)
	case p != "" && errors.Is(err, fs.ErrNotExist) && !isReplaced(err):
		return nil
	}
	var fe *folderError
	if errors.As(err, &fe) && !replaced(fe.err) {
		err = fmt.Errorf("open folder: %w", fe.err)
	}
	w.skipped = append(w.skipped, Skip{Path: p, Err: err})
	if w.opts.Overlay {
		return w.emitMark(p, Whiteout)
	}
	return nil
}

func isReplaced(err error) bool {
	var fe *folderError
	return errors.As(err, &fe) && replaced(fe.err)
}

// readNames returns the names in the folder, in no order.
func (w *walker) readNames(fd int) ([]name, error) {
	if w.dirents == nil {
		w.dirents = make([]byte, 64<<10)
	}
	var names []name
	for {
		n, err := retry(func() (int, error) { return unix.ReadDirent(fd, w.dirents) })
		if err != nil {
			return nil, err
		}
		if n <= 0 {
			return names, nil
		}
		// One string holds the names of a block.
		names = appendNames(names, string(w.dirents[:n]))
	}
}

// appendNames appends the names in a block of directory entries.
func appendNames(names []name, block string) []name {
	for len(block) > direntName {
		size := int(binary.NativeEndian.Uint16([]byte(block[16:18])))
		if size <= direntName || size > len(block) {
			break
		}
		ino := binary.NativeEndian.Uint64([]byte(block[:8]))
		typ := block[direntType]
		s := block[direntName:size]
		block = block[size:]
		if i := strings.IndexByte(s, 0); i >= 0 {
			s = s[:i]
		}
		if s == "" || s == "." || s == ".." || skipIno(ino) {
			continue
		}
		names = append(names, name{s: s, isDir: typ == unix.DT_DIR, known: typ != unix.DT_UNKNOWN})
	}
	return names
}

// filter gives f those of the names that are not left out, in order, and the
// rules for what is below.
func (w *walker) filter(f *frame, fd int, names []name) error {
	resolveTypes(fd, names)
	if w.opts.Overlay {
		names, f.opaque = overlayNames(names)
	}
	outputs := w.outputs[f.path]
	if w.ignoreFile != "" {
		for _, n := range names {
			if n.s == w.ignoreFile && !n.isDir {
				r, err := readRules(fd, n.s, f.path, f.rules)
				if err != nil {
					return err
				}
				f.rules = r
			}
		}
	}
	if outputs != nil {
		names = slices.DeleteFunc(names, func(n name) bool { return outputs[n.s] })
	}
	if f.rules != nil || w.exclude != nil {
		names = slices.DeleteFunc(names, func(n name) bool {
			return ignored(w.exclude, f.rules, join(f.path, n.s), n.isDir)
		})
	}
	if w.opts.Overlay {
		names = coverFolders(names)
	}
	slices.SortFunc(names, func(a, b name) int {
		if c := tree.CompareNames(a.s, a.isDir, b.s, b.isDir); c != 0 {
			return c
		}
		return int(b.mark) - int(a.mark)
	})
	// A folder that changes while it is read may return a name twice.
	f.names = slices.Compact(names)
	return nil
}

// resolveTypes asks for the types of those names that came without.
func resolveTypes(fd int, names []name) {
	for i := range names {
		if n := &names[i]; !n.known {
			var st unix.Stat_t
			n.isDir = fstatat(fd, n.s, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
			n.known = true
		}
	}
}

func join(dir, base string) string {
	if dir == "" {
		return base
	}
	return dir + "/" + base
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
