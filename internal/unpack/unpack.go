// Package unpack is how archives and the layers of images become a folder:
// members in the order of the archive, of several with one name the last,
// with their times and links, and nothing ever written outside the folder.
//
// What an archive says is hostile: paths are bounded and checked, every folder
// is opened in its parent, a symbolic link on the way leads at most to the root
// of the folder, and devices are named and left out.
package unpack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// maxPath is the length in bytes of the longest path of a member: PATH_MAX of
// Linux. It also bounds the depth, and so the memory that one member takes.
const maxPath = 4096

// maxLinks is how many symbolic links are followed on the way to a member.
const maxLinks = 40

// Options say which attributes a Folder keeps. The zero value keeps times and
// permissions.
type Options struct {
	// Owners keeps owner and group, all bits of modes and all extended
	// attributes, which only root can.
	Owners bool
	// Xattrs keeps extended attributes "user.*".
	Xattrs bool
}

// A Skip names a member that is no data, and why.
type Skip struct {
	Path string // in the folder
	Err  error
}

// A Folder is a folder that archives and layers are unpacked into, one after
// the other. It is used by one goroutine.
type Folder struct {
	opts    Options
	root    *os.Root
	top     *node
	at      *place // the folder of the last member
	layer   int    // the number of the layer that is being unpacked, from 1; 0 in archives
	skipped []Skip
	buf     []byte
}

// Create makes the folder dir, which must not exist.
func Create(dir string, opts Options) (*Folder, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Folder{opts: opts, root: root, top: &node{implicit: true}, buf: make([]byte, holeSize)}, nil
}

// A node is what is known of a folder until all is unpacked.
type node struct {
	children map[string]*node // folders
	// implicit says that no member described the folder. Its time is then the
	// newest of what is in it.
	implicit bool
	newest   time.Time
	attr     attr
	layer    int            // the last one that mentions the folder or something in it
	others   map[string]int // of images: the layers of what is no folder
}

// An attr is what a member says of itself beside name and content.
type attr struct {
	mode     fs.FileMode // permissions, set-uid, set-gid and sticky
	uid, gid int
	modTime  time.Time
	xattrs   map[string]string
}

// A place is an open folder.
type place struct {
	path string // as members write it
	real string // without symbolic links
	node *node
	root *os.Root
	file *os.File // the same folder
}

func (p *place) close() {
	if p != nil {
		p.root.Close()
		if p.file != nil {
			p.file.Close()
		}
	}
}

// cleanPath returns the path in the folder that a member means. Leading
// slashes and "./" are dropped, as tar does.
func cleanPath(name string) (string, error) {
	if len(name) > maxPath {
		return "", fmt.Errorf("member %.40q…: a path of %d bytes, at most %d are possible", name, len(name), maxPath)
	}
	if strings.IndexByte(name, 0) >= 0 {
		return "", fmt.Errorf("member %q: a NUL byte in the path", name)
	}
	var elems []string
	for elem := range strings.SplitSeq(name, "/") {
		switch elem {
		case "", ".":
		case "..":
			return "", fmt.Errorf("member %q: the path leads out of its folder", name)
		default:
			elems = append(elems, elem)
		}
	}
	return strings.Join(elems, "/"), nil
}

// errNoParent says that a folder on the way does not exist.
var errNoParent = errors.New("there is no such folder")

// goTo opens the folder dir, and makes what is missing on the way to it if
// create says so. Symbolic links are followed as if the folder were the root of
// a file system.
func (f *Folder) goTo(dir string, create bool) (*place, error) {
	if f.at != nil && f.at.path == dir {
		f.touch(f.at.real)
		return f.at, nil
	}
	f.leave()
	p, err := f.walk(dir, create)
	if err != nil {
		return nil, err
	}
	if p.file, err = p.root.Open("."); err != nil {
		p.close()
		return nil, err
	}
	p.path, f.at = dir, p
	f.touch(p.real)
	return p, nil
}

// leave closes the folder of the last member.
func (f *Folder) leave() {
	f.at.close()
	f.at = nil
}

// touch notes that the current layer has something in the folder real.
func (f *Folder) touch(real string) {
	if f.layer == 0 {
		return
	}
	n := f.top
	n.layer = f.layer
	for name := range strings.SplitSeq(real, "/") {
		if n = n.children[name]; n == nil {
			return
		}
		n.layer = f.layer
	}
}

func (f *Folder) walk(dir string, create bool) (*place, error) {
	p, err := f.open("", f.top)
	if err != nil {
		return nil, err
	}
	links := 0
	for rest := dir; rest != ""; {
		name, after, _ := strings.Cut(rest, "/")
		target, err := f.step(p, name, create)
		if err != nil {
			p.close()
			return nil, err
		}
		rest = after
		if target == "" {
			continue
		}
		if links++; links > maxLinks {
			p.close()
			return nil, fmt.Errorf("%q: more than %d symbolic links on the way", dir, maxLinks)
		}
		if !strings.HasPrefix(target, "/") {
			target = path.Join("/", p.real, target)
		}
		rest = strings.Trim(path.Join(target, after), "/")
		p.close()
		if p, err = f.open("", f.top); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (f *Folder) open(real string, n *node) (*place, error) {
	root, err := f.root.OpenRoot(cmp.Or(real, "."))
	if err != nil {
		return nil, err
	}
	return &place{real: real, node: n, root: root}, nil
}

// step moves p to the folder name in it, or returns where a symbolic link of
// that name leads.
func (f *Folder) step(p *place, name string, create bool) (string, error) {
	fi, err := p.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !create:
		return "", errNoParent
	case errors.Is(err, fs.ErrNotExist):
		if err := p.root.Mkdir(name, 0o700); err != nil {
			return "", err
		}
		p.node.add(name)
	case err != nil:
		return "", err
	case fi.Mode().Type() == fs.ModeSymlink:
		target, err := p.root.Readlink(name)
		if err == nil && (target == "" || len(target) > maxPath) {
			err = fmt.Errorf("symbolic link %q leads nowhere", name)
		}
		return target, err
	case !fi.IsDir():
		return "", fmt.Errorf("%q is not a folder", path.Join(p.real, name))
	}
	next, err := p.root.OpenRoot(name)
	if err != nil {
		return "", err
	}
	p.root.Close()
	p.root, p.real = next, path.Join(p.real, name)
	if p.node = p.node.children[name]; p.node == nil {
		next.Close()
		return "", fmt.Errorf("folder %q was put there by somebody else", p.real)
	}
	return "", nil
}

// add makes a new folder known of which no member has told.
func (n *node) add(name string) *node {
	if n.children == nil {
		n.children = map[string]*node{}
	}
	c := &node{implicit: true}
	n.children[name] = c
	return c
}

// remove removes what is called name in p, if anything is.
func (f *Folder) remove(p *place, name string) error {
	delete(p.node.children, name)
	delete(p.node.others, name)
	if err := p.root.RemoveAll(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// skip notes that the member name is left out, and takes away what it would
// have replaced.
func (f *Folder) skip(name string, err error) {
	f.skipped = append(f.skipped, Skip{name, err})
}

// Skipped returns the members that were left out, in their order.
func (f *Folder) Skipped() []Skip { return f.skipped }

// Close gives all folders their times and modes, and ends the use of f. The
// folder itself stays.
func (f *Folder) Close() error {
	f.leave()
	_, err := f.finish("", f.top)
	return errors.Join(err, f.root.Close())
}

// finish completes a folder when those in it are, and returns its time.
func (f *Folder) finish(real string, n *node) (time.Time, error) {
	names := make([]string, 0, len(n.children))
	for name := range n.children {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t, err := f.finish(path.Join(real, name), n.children[name])
		if err != nil {
			return time.Time{}, err
		}
		if t.After(n.newest) {
			n.newest = t
		}
	}
	if n.implicit {
		n.attr = attr{mode: 0o755, modTime: n.newest}
		if n.newest.IsZero() {
			n.attr.modTime = time.Unix(0, 0)
		}
	}
	d, err := f.root.Open(cmp.Or(real, "."))
	if err != nil {
		return time.Time{}, err
	}
	defer d.Close()
	if err := f.setAttr(d, &n.attr, 0o700); err != nil {
		return time.Time{}, fmt.Errorf("folder %q: %w", real, err)
	}
	return n.attr.modTime, setTime(d, ".", n.attr.modTime)
}

// setAttr gives an open file or folder its owner, mode and extended
// attributes. Whoever is not root could not read it back without the bits of
// least.
func (f *Folder) setAttr(file *os.File, a *attr, least fs.FileMode) error {
	mode := a.mode
	if f.opts.Owners {
		if err := file.Chown(a.uid, a.gid); err != nil {
			return err
		}
	} else {
		mode = mode.Perm() | least
	}
	for name, value := range a.xattrs {
		if !f.opts.Owners && !(f.opts.Xattrs && strings.HasPrefix(name, "user.")) {
			continue
		}
		err := unix.Fsetxattr(int(file.Fd()), name, []byte(value), 0)
		if err != nil && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("set attribute %q: %w", name, err)
		}
	}
	return file.Chmod(mode)
}

// setTime sets the time of name in the open folder dir, of a link its own.
func setTime(dir *os.File, name string, t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return err
	}
	err = unix.UtimesNanoAt(int(dir.Fd()), name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) {
		return nil // some file systems keep no times of links
	}
	return err
}

// A contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   interface{ Read([]byte) (int, error) }
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
