// Package scan is the ordered walk over a folder: it finds the entries of a
// dataset, leaves out what the user ignores, names what it must skip, and
// opens files for the one read that a build allows itself.
//
// [Open] walks a tree once and keeps what it found in a temporary file, so
// its memory does not grow with the number of files. The [Listing] it returns
// is iterated for planning ([Listing.Entries]) and for reading
// ([Listing.Read]), both times in the order of [tree.CompareNames], the root
// first. Symbolic links are entries and never followed, neither by the walk
// nor when files are opened later: each folder is opened in its parent.
package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/data-containers/cdb/internal/tree"
)

// Options say what a scan leaves out and which attributes it keeps. The zero
// value keeps every entry and normalises attributes.
type Options struct {
	// Exclude are patterns in gitignore syntax, relative to the source.
	// They apply after (so win over) those of ignore files.
	Exclude []string
	// IgnoreFile is the name of files with such patterns, looked up in
	// every folder; default ".cdbignore", "-" reads none. The ignore files
	// themselves are part of the data unless a pattern says otherwise.
	IgnoreFile string
	// Outputs are absolute paths of files and folders that are never
	// entries, because the build writes them. They need not exist. A folder
	// that holds one gets as time the newest of its other entries, the Unix
	// epoch if there are none: its own changes with each build.
	Outputs []string
	// Preserve keeps owners, all mode bits, nanoseconds and extended
	// attributes. Otherwise owners are 0:0, modes 0755 for folders and
	// executable files, 0644 for others and 0777 for links, times whole
	// seconds.
	Preserve bool
	// Epoch, if not zero, is the newest time an entry may have
	// (SOURCE_DATE_EPOCH); newer ones are set to it.
	Epoch time.Time
	// Overlay says that the source is the upper folder of an overlay: the
	// changes of another tree. Its whiteouts become marks between the items
	// of [Listing.Read], folders say if they are opaque, and extended
	// attributes of overlay file systems are left out. What must be skipped
	// is marked too, as it hides what lies below all the same. A redirect or
	// a file without its data is an error.
	Overlay bool
	// TempDir holds the spool; default os.TempDir().
	TempDir string
}

// A Skip names an entry that is not part of the dataset although it is there,
// and why: its type, or that it cannot be read.
type Skip struct {
	Path string // as in tree.Entry
	Err  error
}

// Totals are the sums over a listing.
type Totals struct {
	Files int64 // regular files, hard links included
	Dirs  int64 // folders, the root included
	Links int64 // symbolic links
	Bytes int64 // in regular files, each inode counted once
	// Newest is the newest ModTime of files and links; of folders, if there
	// are no others.
	Newest time.Time
}

// A Listing is what a scan found. Its methods may be called from several
// goroutines, Close after all others have returned.
type Listing struct {
	opts      Options
	root      *folder
	parts     []part // of several sources; nil for one
	single    string // name in root of the only file, if that is the source
	outputs   map[string]map[string]bool
	dirTimes  map[string]time.Time // of folders that hold outputs
	spool     *os.File
	spoolSize int64
	totals    Totals
	skipped   []Skip
}

// Open walks src, a folder or a single regular file, completely. A single
// file becomes a tree of a root, with the time of the file, and the file under
// its base name; patterns do not apply to it. If src is a symbolic link, it is
// followed. Entries that are no data or cannot be read are left to
// [Listing.Skipped]; those that vanish during the walk are not mentioned. An
// error is one of src itself, of an ignore file, of the temporary file, or
// that of ctx.
func Open(ctx context.Context, src string, opts Options) (*Listing, error) {
	l, err := open(ctx, src, opts)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("scan %q: %w", src, err)
	}
	return l, nil
}

func open(ctx context.Context, src string, opts Options) (_ *Listing, err error) {
	if strings.Contains(opts.IgnoreFile, "/") {
		return nil, fmt.Errorf("name of ignore files %q: want a name without a slash", opts.IgnoreFile)
	}
	l := &Listing{opts: opts, dirTimes: map[string]time.Time{}}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	// Before the folder, which the temporary file may be in.
	if l.spool, err = newSpool(opts.TempDir); err != nil {
		return nil, err
	}
	if l.outputs, err = findOutputs(src, opts.Outputs); err != nil {
		return nil, err
	}
	w := &walker{Listing: l, out: newSpoolWriter(l.spool), links: map[inode]*hardLink{}}
	if err := w.run(ctx, src); err != nil {
		return nil, err
	}
	if err := w.out.w.Flush(); err != nil {
		return nil, fmt.Errorf("write the list of files to a temporary file in %q: %w", cmp.Or(opts.TempDir, os.TempDir()), err)
	}
	l.spoolSize = w.out.n
	if l.totals.Files+l.totals.Links == 0 {
		l.totals.Newest = w.newestDir
	}
	return l, nil
}

// run opens src and visits all of it.
func (w *walker) run(ctx context.Context, src string) error {
	fi, err := os.Stat(src)
	if err != nil {
		return bare(err)
	}
	if fi.Mode().IsRegular() {
		return w.openFile(src)
	}
	if !fi.IsDir() {
		return errors.New("neither a folder nor a regular file")
	}
	fd, err := retry(func() (int, error) {
		return unix.Open(src, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return err
	}
	w.root = newFolder(fd)
	w.exclude = parseRules([]byte(strings.Join(w.opts.Exclude, "\n")), "", nil)
	switch w.opts.IgnoreFile {
	case "-":
	case "":
		w.ignoreFile = ".cdbignore"
	default:
		w.ignoreFile = w.opts.IgnoreFile
	}
	return w.walk(ctx)
}

// openFile makes src the only file of the listing.
func (w *walker) openFile(src string) error {
	real, err := filepath.EvalSymlinks(src)
	if err != nil {
		return bare(err)
	}
	dir, base := filepath.Split(real)
	if dir == "" {
		dir = "."
	}
	// Neither reading nor listing the folder is needed.
	fd, err := retry(func() (int, error) {
		return unix.Open(dir, openSearch|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return err
	}
	w.root, w.single = newFolder(fd), base
	var st unix.Stat_t
	if err := fstatat(fd, base, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return errors.New("no longer a regular file")
	}
	if strings.HasPrefix(filepath.Base(src), whiteout) {
		return errWhiteout
	}
	return w.emitFile(filepath.Base(src), &st)
}

func (w *walker) emitFile(base string, st *unix.Stat_t) (err error) {
	file := newRecord(base, st)
	file.typ, file.size = tree.File, st.Size
	root := record{typ: tree.Dir, mode: 0o755, uid: file.uid, gid: file.gid, mtime: file.mtime, ctime: file.mtime}
	if w.opts.Preserve {
		if file.xattrs, err = entryXattrs(w.root.fd, w.single); err != nil {
			return err
		}
	}
	w.totals.Newest = w.opts.modTime(file.mtime)
	if err := w.emit(&root); err != nil {
		return err
	}
	return w.emit(&file)
}

// bare returns err without the path, which the caller names.
func bare(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// findOutputs returns the outputs in src: for each folder (as in tree.Entry)
// the names in it. An output that is above src would leave nothing.
func findOutputs(src string, outputs []string) (map[string]map[string]bool, error) {
	found := map[string]map[string]bool{}
	if len(outputs) == 0 {
		return found, nil
	}
	abs, err := filepath.Abs(src)
	if err != nil {
		return nil, err
	}
	for _, out := range outputs {
		if !filepath.IsAbs(out) {
			return nil, fmt.Errorf("output %q: want an absolute path", out)
		}
		out = filepath.Clean(out)
		pairs := [][2]string{{abs, out}, {resolve(abs), join(resolve(filepath.Dir(out)), filepath.Base(out))}}
		for _, p := range pairs {
			rel, err := filepath.Rel(p[0], filepath.Clean(p[1]))
			if err != nil {
				return nil, err
			}
			switch {
			case rel == ".", strings.ReplaceAll(rel+"/", "../", "") == "": // it is src, or above
				return nil, fmt.Errorf("lies in %q, which the build writes; choose another output", out)
			case strings.HasPrefix(rel, "../"):
				continue
			}
			dir := tree.Parent(rel)
			if found[dir] == nil {
				found[dir] = map[string]bool{}
			}
			found[dir][tree.Base(rel)] = true
		}
	}
	return found, nil
}

// resolve follows the symbolic links in as much of the path p as exists.
func resolve(p string) string {
	if r, err := filepath.EvalSymlinks(p); err == nil {
		return r
	}
	dir := filepath.Dir(p)
	if dir == p {
		return p
	}
	return filepath.Join(resolve(dir), filepath.Base(p))
}

// Totals returns the sums over all entries.
func (l *Listing) Totals() Totals { return l.totals }

// Skipped returns what is there but no entry, in the order of the walk: pipes,
// sockets, devices and what could not be read. Files that cannot be opened are
// found only by [Item.Open].
func (l *Listing) Skipped() []Skip { return l.skipped }

// Close ends the use of the listing. Items of it that are not released yet
// can still be opened.
func (l *Listing) Close() error {
	if l.root != nil {
		l.root.release()
		l.root = nil
	}
	for _, p := range l.parts {
		p.root.release()
	}
	l.parts = nil
	if l.spool == nil {
		return nil
	}
	err := l.spool.Close()
	l.spool = nil
	return err
}
