package scan

import (
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// maxOpen is how many folders of one chain are open at the same time.
const maxOpen = 64

// A folder is an open folder, closed when nobody uses it any more.
type folder struct {
	fd   int
	refs atomic.Int32
}

func newFolder(fd int) *folder {
	f := &folder{fd: fd}
	f.refs.Store(1)
	return f
}

func (f *folder) retain() *folder {
	f.refs.Add(1)
	return f
}

func (f *folder) release() {
	if f.refs.Add(-1) == 0 {
		unix.Close(f.fd)
	}
}

// A chain is the folders from the root down to the one being worked in. They
// are opened when needed, each in its parent and never through a symbolic
// link, so neither the length of a path nor a folder that is replaced on the
// way matters. All but the root and the last maxOpen are closed, and found
// again from the root.
type chain struct {
	levels []level
}

type level struct {
	name string
	dir  *folder // nil while it is not open
}

func newChain(root *folder) *chain {
	return &chain{levels: []level{{dir: root.retain()}}}
}

func (c *chain) push(name string) { c.levels = append(c.levels, level{name: name}) }

// cut leaves the folders below the first n.
func (c *chain) cut(n int) {
	for i := n; i < len(c.levels); i++ {
		c.closeLevel(i)
		c.levels[i] = level{}
	}
	c.levels = c.levels[:n]
}

func (c *chain) closeLevel(i int) {
	if d := c.levels[i].dir; d != nil {
		d.release()
		c.levels[i].dir = nil
	}
}

// top returns the last folder, open, as long as the chain does not move;
// retain keeps it longer.
func (c *chain) top() (*folder, error) {
	last := len(c.levels) - 1
	i := last
	for c.levels[i].dir == nil {
		i--
	}
	for i++; i <= last; i++ {
		fd, err := openat(c.levels[i-1].dir.fd, c.levels[i].name, unix.O_DIRECTORY)
		if err != nil {
			return nil, &folderError{name: c.levels[i].name, err: err}
		}
		c.levels[i].dir = newFolder(fd)
		if old := i - maxOpen; old > 0 {
			c.closeLevel(old)
		}
	}
	return c.levels[last].dir, nil
}

// A folderError says that a folder could not be opened.
type folderError struct {
	name string
	err  error
}

func (e *folderError) Error() string {
	if replaced(e.err) {
		return fmt.Sprintf("folder %q is no longer a folder", e.name)
	}
	return fmt.Sprintf("open folder %q: %v", e.name, e.err)
}

func (e *folderError) Unwrap() error {
	if replaced(e.err) {
		return unix.ENOENT
	}
	return e.err
}

// replaced tells whether an entry could not be opened because there is now a
// symbolic link or another type of file in its place.
func replaced(err error) bool {
	return err == unix.ELOOP || err == unix.ENOTDIR || err == unix.ENXIO
}
