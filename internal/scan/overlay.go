package scan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/data-containers/cdb/internal/tree"
)

// A Mark says that an item of an overlay is no entry but hides entries of
// what lies below.
type Mark byte

// The marks of items. They have the path of what they hide and come where a
// file of this path would come, so before whatever they hide.
const (
	NoMark   Mark = iota // an entry
	Whiteout             // hides what has its path, and all that is in it
	Covered              // a folder with its path follows: it hides what is no folder
)

// opaqueName is the file that makes the folder it lies in opaque where there
// are no extended attributes to say so (OCI image-spec, layer.md).
const opaqueName = whiteout + whiteout + ".opq"

// overlayPrefixes begin the names of the extended attributes that overlay
// file systems keep for themselves.
var overlayPrefixes = [...]string{"trusted.overlay.", "user.overlay.", "user.fuseoverlayfs."}

var (
	errOpaqueUnseen = errors.New("it was made by root, and only root sees which folders are opaque; run as root")
	errPlain        = errors.New("mount the overlay with -o redirect_dir=off,metacopy=off and make the changes there, or use the mounted folder as a complete one")
)

// overlayAttr returns the value of an attribute of overlay file systems, and
// says if there is one by the name.
func overlayAttr(xattrs map[string]string, name string) (string, bool) {
	for _, p := range overlayPrefixes {
		if v, ok := xattrs[p+name]; ok {
			return v, true
		}
	}
	return "", false
}

// stripOverlay removes the attributes of overlay file systems.
func stripOverlay(xattrs map[string]string) map[string]string {
	for k := range xattrs {
		for _, p := range overlayPrefixes {
			if strings.HasPrefix(k, p) {
				delete(xattrs, k)
			}
		}
	}
	if len(xattrs) == 0 {
		return nil
	}
	return xattrs
}

// keep returns the extended attributes that an entry of the listing has.
func (o *Options) keep(xattrs map[string]string) map[string]string {
	switch {
	case !o.Preserve:
		return nil
	case o.Overlay:
		return stripOverlay(xattrs)
	}
	return xattrs
}

// overlayNames makes marks of the names that are whiteouts and says if the
// folder is opaque.
func overlayNames(names []name) (marked []name, opaque bool) {
	marked = names[:0]
	for _, n := range names {
		hidden, ok := strings.CutPrefix(n.s, whiteout)
		switch {
		case n.s == opaqueName && !n.isDir:
			opaque = true
			continue
		case ok && !n.isDir && hidden != "" && hidden != "." && hidden != ".." && !strings.HasPrefix(hidden, whiteout):
			n.s, n.mark = hidden, Whiteout
		}
		marked = append(marked, n)
	}
	return marked, opaque
}

// coverFolders adds the marks of folders.
func coverFolders(names []name) []name {
	for _, n := range names {
		if n.isDir {
			names = append(names, name{s: n.s, known: true, mark: Covered})
		}
	}
	return names
}

// emitMark writes a mark to the spool.
func (w *walker) emitMark(p string, m Mark) error {
	if err := w.out.write(&record{path: p, mark: m}, false); err != nil {
		return fmt.Errorf("write the list of files to a temporary file: %w", err)
	}
	return nil
}

// overlayFolder takes from the attributes of a folder what overlays say by
// them.
func overlayFolder(r *record, xattrs map[string]string) error {
	if _, ok := overlayAttr(xattrs, "redirect"); ok {
		return fmt.Errorf("folder %q was renamed, and what it held is not in the overlay's upper folder: %w", r.path, errPlain)
	}
	v, _ := overlayAttr(xattrs, "opaque")
	r.opaque = r.opaque || v == "y"
	return nil
}

// isWhiteout says if the entry in st with path p, which is no folder, is a
// whiteout of an overlay file system.
func (w *walker) isWhiteout(dirfd int, base string, st *unix.Stat_t, p string) (bool, error) {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		if st.Rdev == 0 && st.Uid == 0 && !seesTrusted() {
			return false, fmt.Errorf("whiteout %q: %w", p, errOpaqueUnseen)
		}
		return st.Rdev == 0, nil
	case unix.S_IFREG:
		xattrs, err := entryXattrs(dirfd, base)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil // found when it is opened
		}
		if err != nil {
			return false, fmt.Errorf("%q: %w", p, err)
		}
		if _, ok := overlayAttr(xattrs, "metacopy"); ok {
			return false, fmt.Errorf("of file %q only the attributes are in the overlay's upper folder: %w", p, errPlain)
		}
		_, ok := overlayAttr(xattrs, "whiteout")
		return ok && st.Size == 0, nil
	}
	return false, nil
}

// errFound ends a walk.
var errFound = errors.New("found")

// IsOverlay says if the folder dir is the upper folder of an overlay: if there
// are whiteouts in it, by a device or a name, or folders with the attributes
// that overlay file systems give them. One that only adds files may have none
// of these.
func IsOverlay(ctx context.Context, dir string) (bool, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false, fmt.Errorf("scan %q: %w", dir, bare(err))
	}
	err = filepath.WalkDir(real, func(p string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return nil // the scan to come names it
		}
		if overlaySign(p, d) {
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		return true, nil
	}
	return false, err
}

// overlaySign says if an entry gives an upper folder away.
func overlaySign(p string, d fs.DirEntry) bool {
	switch {
	case d.Type()&fs.ModeCharDevice != 0:
		var st unix.Stat_t
		return unix.Lstat(p, &st) == nil && st.Rdev == 0
	case strings.HasPrefix(d.Name(), whiteout):
		return d.Type().IsRegular()
	case !d.IsDir():
		return false
	}
	f, err := os.OpenFile(p, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	xattrs, err := fdXattrs(int(f.Fd()))
	if err != nil {
		return false
	}
	for _, name := range []string{"opaque", "origin", "impure", "redirect"} {
		if _, ok := overlayAttr(xattrs, name); ok {
			return true
		}
	}
	return false
}

// IsOpaque says if dir, a folder of the upper folder of an overlay, hides all
// that is in the folder below. One that was renamed is an error.
func IsOpaque(dir string) (bool, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_DIRECTORY, 0)
	if err != nil {
		return false, fmt.Errorf("scan %q: %w", dir, bare(err))
	}
	defer f.Close()
	r := record{path: dir}
	xattrs, err := fdXattrs(int(f.Fd()))
	if err == nil {
		err = overlayFolder(&r, xattrs)
	}
	if err != nil {
		return false, fmt.Errorf("scan %q: %w", dir, err)
	}
	var st unix.Stat_t
	return r.opaque || fstatat(int(f.Fd()), opaqueName, &st) == nil, nil
}

// markEntry is the entry of a mark's item: its place in the order.
func markEntry(r *record) tree.Entry { return tree.Entry{Path: r.path} }
