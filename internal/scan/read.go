package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/data-containers/cdb/internal/tree"
)

// Entries iterates over the entries in order, the root first. It may be used
// any number of times, also at the same time, and reads only the temporary
// file. The caller may keep the entries.
func (l *Listing) Entries() iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		for r, err := range l.records() {
			if err != nil {
				yield(nil, err)
				return
			}
			if r.mark != NoMark {
				continue
			}
			e := l.entry(r)
			if !yield(&e, nil) {
				return
			}
		}
	}
}

// A State is an entry and the state that the scan found it in.
type State struct {
	tree.Entry
	Stat Stat
}

// States iterates as [Listing.Entries] does.
func (l *Listing) States() iter.Seq2[*State, error] {
	return func(yield func(*State, error) bool) {
		for r, err := range l.records() {
			if err != nil {
				yield(nil, err)
				return
			}
			if r.mark != NoMark {
				continue
			}
			if !yield(&State{l.entry(r), r.stat()}, nil) {
				return
			}
		}
	}
}

// records iterates over the spool, up to the first error.
func (l *Listing) records() iter.Seq2[*record, error] {
	return func(yield func(*record, error) bool) {
		if l.spool == nil {
			yield(nil, errors.New("list files: the listing is closed"))
			return
		}
		s := newSpoolReader(l.spool, l.spoolSize)
		for {
			r, err := s.next()
			if err == io.EOF {
				return
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

func (l *Listing) entry(r *record) tree.Entry {
	e := l.opts.entry(r)
	if r.typ == tree.Dir {
		if t, ok := l.dirTimes[r.path]; ok {
			e.ModTime = t
		}
	}
	return e
}

// Read iterates over the same entries as [Listing.Entries], as items that can
// open their files, and of an overlay the marks between them. Every item must
// be released. If ctx ends, the last error is that of ctx.
func (l *Listing) Read(ctx context.Context) iter.Seq2[*Item, error] {
	return func(yield func(*Item, error) bool) {
		if l.root == nil {
			yield(nil, errors.New("read files: the listing is closed"))
			return
		}
		item, stop := l.items()
		defer stop()
		for r, err := range l.records() {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(item(r), nil) {
				return
			}
		}
	}
}

// items returns what makes items of records, which come in order, and what
// ends it.
func (l *Listing) items() (item func(*record) *Item, stop func()) {
	if l.parts != nil {
		return l.partItems()
	}
	c := newChain(l.root)
	return func(r *record) *Item { return l.item(c, r) }, func() { c.cut(0) }
}

// item returns the item of r and moves the chain to its folder.
func (l *Listing) item(c *chain, r *record) *Item {
	if r.mark != NoMark {
		return &Item{Entry: markEntry(r), Mark: r.mark}
	}
	it := &Item{Entry: l.entry(r), Opaque: r.opaque, opts: &l.opts, stat: r.stat(), name: tree.Base(r.path)}
	if r.path == "" {
		return it
	}
	c.cut(strings.Count(r.path, "/") + 1)
	switch r.typ {
	case tree.Dir:
		c.push(it.name)
	case tree.File:
		if l.single != "" {
			it.name = l.single
		}
		dir, err := c.top()
		if err != nil {
			it.err = err
			break
		}
		it.dir = dir.retain()
	}
	return it
}

// An Item is an entry that can open its file. It holds a descriptor of the
// file's folder until it is released; it may be used from any one goroutine
// at a time, also after the iteration went on or ended.
type Item struct {
	tree.Entry // as the scan found it; of a mark its path alone
	// Mark and Opaque are of overlays: that the item is a mark, and that the
	// folder hides all that is in the folder below.
	Mark   Mark
	Opaque bool
	opts   *Options
	stat   Stat
	name   string
	dir    *folder
	err    error // why there is no dir
}

// Stat returns the state the scan found the entry in.
func (it *Item) Stat() Stat { return it.stat }

// Release ends the use of the item. It is called exactly once.
func (it *Item) Release() {
	if it.dir != nil {
		it.dir.release()
		it.dir = nil
	}
	it.err = errors.New("item was released")
}

// Open opens the file for reading; it may be called repeatedly. It never
// follows a link and never blocks on a pipe. Errors name the path and wrap
// [fs.ErrNotExist] if the file vanished or is no longer a regular file, or
// [fs.ErrPermission] if it may not be read.
func (it *Item) Open() (*File, error) {
	f, err := it.open()
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", it.Path, err)
	}
	return f, nil
}

func (it *Item) open() (*File, error) {
	if it.Type != tree.File {
		return nil, fmt.Errorf("%s, not a regular file", it.Type)
	}
	if it.dir == nil {
		return nil, it.err
	}
	fd, err := openat(it.dir.fd, it.name, noAtime)
	if err == unix.EPERM && noAtime != 0 {
		fd, err = openat(it.dir.fd, it.name, 0)
	}
	if replaced(err) {
		return nil, &goneError{now: "something else"}
	}
	if err != nil {
		return nil, err
	}
	f, err := it.newFile(fd)
	if err != nil {
		unix.Close(fd)
	}
	return f, err
}

// newFile returns the file that fd is open at.
func (it *Item) newFile(fd int) (*File, error) {
	f := &File{fd: fd}
	if err := fstat(fd, &f.at); err != nil {
		return nil, err
	}
	if f.at.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, &goneError{now: typeName(uint32(f.at.Mode))}
	}
	r := newRecord(it.Path, &f.at)
	r.typ, r.size, r.link = tree.File, f.at.Size, it.Link
	if it.opts.Preserve {
		var err error
		if r.xattrs, err = fdXattrs(fd); err != nil {
			return nil, err
		}
		r.xattrs = it.opts.keep(r.xattrs)
	}
	f.entry, f.stat = it.opts.entry(&r), r.stat()
	return f, nil
}

// A goneError says that there is no file any more where the scan saw one.
type goneError struct{ now string }

func (e *goneError) Error() string        { return "no longer a regular file but a " + e.now }
func (e *goneError) Is(target error) bool { return target == fs.ErrNotExist }

// A File is a regular file, open for reading. It is used by one goroutine at
// a time.
type File struct {
	fd    int // -1 when closed
	at    unix.Stat_t
	entry tree.Entry
	stat  Stat
}

var _ io.ReadCloser = (*File)(nil)

// Entry returns the entry with the attributes that the file had when it was
// opened. They may differ from those of the [Item].
func (f *File) Entry() tree.Entry { return f.entry }

// Stat returns the state of the file when it was opened.
func (f *File) Stat() Stat { return f.stat }

// Read reads the next bytes.
func (f *File) Read(p []byte) (int, error) {
	if f.fd < 0 {
		return 0, fmt.Errorf("read %q: %w", f.entry.Path, fs.ErrClosed)
	}
	if len(p) == 0 {
		return 0, nil
	}
	p = p[:min(len(p), maxRead)]
	n, err := retry(func() (int, error) { return unix.Read(f.fd, p) })
	if err != nil {
		return 0, fmt.Errorf("read %q: %w", f.entry.Path, err)
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// maxRead is what every system can read in one call.
const maxRead = 1 << 30

// Changed tells whether the file was written to, or its attributes set, since
// it was opened.
func (f *File) Changed() (bool, error) {
	if f.fd < 0 {
		return false, fmt.Errorf("stat %q: %w", f.entry.Path, fs.ErrClosed)
	}
	var now unix.Stat_t
	if err := fstat(f.fd, &now); err != nil {
		return false, fmt.Errorf("stat %q: %w", f.entry.Path, err)
	}
	was := &f.at
	return now.Size != was.Size || now.Mtim != was.Mtim || now.Ctim != was.Ctim || now.Ino != was.Ino, nil
}

// Close closes the file.
func (f *File) Close() error {
	if f.fd < 0 {
		return fmt.Errorf("close %q: %w", f.entry.Path, fs.ErrClosed)
	}
	err := unix.Close(f.fd)
	f.fd = -1
	if err != nil && err != unix.EINTR {
		return fmt.Errorf("close %q: %w", f.entry.Path, err)
	}
	return nil
}
