package export

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// A dir is an open folder below the destination. It is shared by the files
// that are being written into it and closed with the last of them.
type dir struct {
	path string
	root *os.Root
	refs atomic.Int64
}

func newDir(path string, root *os.Root) *dir {
	d := &dir{path: path, root: root}
	d.refs.Store(1)
	return d
}

func (d *dir) retain() { d.refs.Add(1) }

func (d *dir) release() {
	if d != nil && d.refs.Add(-1) == 0 {
		d.root.Close()
	}
}

// openDir returns the folder with this path. It is open at least until the
// next call.
func (x *exporter) openDir(path string) (*dir, error) {
	d := x.root
	if x.at != nil && (path == x.at.path || strings.HasPrefix(path, x.at.path+"/")) {
		d = x.at
	}
	d.retain()
	for d.path != path {
		name, _, _ := strings.Cut(strings.TrimPrefix(path[len(d.path):], "/"), "/")
		next, err := d.child(name)
		d.release()
		if err != nil {
			return nil, err
		}
		d = next
	}
	x.at.release()
	x.at = d
	return d, nil
}

// child opens the folder called name in d, and makes it if need be. Names are
// opened one by one: no path is too long, and none leads through a symbolic
// link, be it an old one or one that was just exported.
func (d *dir) child(name string) (*dir, error) {
	err := d.mustBeDir(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = d.root.Mkdir(name, 0o777)
	}
	if err != nil {
		return nil, err
	}
	sub, err := d.root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	path := name
	if d.path != "" {
		path = d.path + "/" + name
	}
	return newDir(path, sub), nil
}

func (d *dir) mustBeDir(name string) error {
	fi, err := d.root.Lstat(name)
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		return fmt.Errorf("%q is not a folder", name)
	}
	return nil
}

// symlink makes a symbolic link, whatever it may point to.
func (x *exporter) symlink(parent *dir, e *catalog.Entry) error {
	name := tree.Base(e.Path)
	if err := x.clear(parent, name); err != nil {
		return err
	}
	if err := parent.root.Symlink(e.Link, name); err != nil {
		return err
	}
	if x.opts.Owners {
		if err := parent.root.Lchown(name, e.UID, e.GID); err != nil {
			return err
		}
	}
	x.links++
	return parent.setLinkTime(name, e)
}

// setLinkTime sets the time of a link itself, which package os cannot.
func (d *dir) setLinkTime(name string, e *catalog.Entry) error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	ts, err := unix.TimeToTimespec(e.ModTime)
	if err != nil {
		return err
	}
	err = unix.UtimesNanoAt(int(f.Fd()), name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) {
		return nil // some file systems keep no times of links
	}
	return err
}

// setXattrs gives the folder its extended attributes.
func (d *dir) setXattrs(xattrs map[string]string) error {
	if len(xattrs) == 0 {
		return nil
	}
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	return setXattrs(f, xattrs)
}
