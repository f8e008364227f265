package scan

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/data-containers/cdb/internal/tree"
)

// A Stat tells one state of a file from another: as long as none of its
// fields and not the size changed, a file may be taken to hold the same bytes.
type Stat struct {
	Dev, Ino, Nlink uint64
	ModTime         time.Time // as the file system has it, to the nanosecond
	ChangeTime      time.Time
}

// A stamp is a time as file systems have it. (Nanoseconds in an int64 would
// end in 2262.)
type stamp struct {
	sec  int64
	nsec int64
}

func (s stamp) time() time.Time { return time.Unix(s.sec, s.nsec).UTC() }

// A record is an entry as it was found, before attributes are normalised.
type record struct {
	path            string
	typ             tree.Type
	mode            uint32 // permission bits, 0o7777
	uid, gid        uint32
	size            int64
	mtime, ctime    stamp
	dev, ino, nlink uint64
	link            string
	xattrs          map[string]string
	opaque          bool // a folder of an overlay that hides the one below
	mark            Mark // no entry but a mark of an overlay
	root            int  // of several sources, the one that the entry is in
}

// newRecord returns the record of what st describes, except its type and
// what takes further calls.
func newRecord(path string, st *unix.Stat_t) record {
	return record{
		path:  path,
		mode:  uint32(st.Mode) & 0o7777,
		uid:   st.Uid,
		gid:   st.Gid,
		mtime: stamp{int64(st.Mtim.Sec), int64(st.Mtim.Nsec)},
		ctime: stamp{int64(st.Ctim.Sec), int64(st.Ctim.Nsec)},
		dev:   uint64(st.Dev),
		ino:   uint64(st.Ino),
		nlink: uint64(st.Nlink),
	}
}

func (r *record) stat() Stat {
	return Stat{Dev: r.dev, Ino: r.ino, Nlink: r.nlink, ModTime: r.mtime.time(), ChangeTime: r.ctime.time()}
}

// entry returns r with its attributes as the options want them.
func (o *Options) entry(r *record) tree.Entry {
	e := tree.Entry{
		Path:    r.path,
		Type:    r.typ,
		Mode:    o.mode(r),
		ModTime: o.modTime(r.mtime),
		Size:    r.size,
		Link:    r.link,
	}
	if o.Preserve {
		e.UID, e.GID, e.Xattrs = int(r.uid), int(r.gid), r.xattrs
	}
	return e
}

func (o *Options) mode(r *record) uint32 {
	switch {
	case o.Preserve:
		return r.mode
	case r.typ == tree.Symlink:
		return 0o777
	case r.typ == tree.Dir, r.mode&0o111 != 0:
		return 0o755
	}
	return 0o644
}

func (o *Options) modTime(s stamp) time.Time {
	t := s.time()
	if !o.Epoch.IsZero() && t.After(o.Epoch) {
		t = o.Epoch.UTC()
	}
	if !o.Preserve {
		t = time.Unix(t.Unix(), 0).UTC()
	}
	return t
}

// typeError returns the reason to skip an entry of the given mode, which is
// no file, folder or symbolic link.
func typeError(mode uint32) error {
	return fmt.Errorf("%s: not data", typeName(mode))
}

func typeName(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return "regular file"
	case unix.S_IFDIR:
		return "folder"
	case unix.S_IFLNK:
		return "symbolic link"
	case unix.S_IFIFO:
		return "named pipe"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFBLK:
		return "block device"
	case unix.S_IFCHR:
		return "character device"
	}
	return fmt.Sprintf("file of type %#o", mode&unix.S_IFMT)
}

// retry calls f until no signal interrupts it: file systems in user space
// and over the network let signals do so.
func retry[T any](f func() (T, error)) (T, error) {
	for {
		v, err := f()
		if !errors.Is(err, unix.EINTR) {
			return v, err
		}
	}
}

func openat(dirfd int, name string, flags int) (int, error) {
	return retry(func() (int, error) {
		return unix.Openat(dirfd, name, flags|unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
}

func fstatat(dirfd int, name string, st *unix.Stat_t) error {
	for {
		err := unix.Fstatat(dirfd, name, st, unix.AT_SYMLINK_NOFOLLOW)
		if err != unix.EINTR {
			return err
		}
	}
}

func fstat(fd int, st *unix.Stat_t) error {
	for {
		err := unix.Fstat(fd, st)
		if err != unix.EINTR {
			return err
		}
	}
}

// readlinkat returns the target of a symbolic link.
func readlinkat(dirfd int, name string, size int64) (string, error) {
	for n := min(max(size, 255), 1<<16) + 1; ; n *= 2 {
		buf := make([]byte, n)
		got, err := retry(func() (int, error) { return unix.Readlinkat(dirfd, name, buf) })
		if err != nil {
			return "", err
		}
		if got < len(buf) {
			return string(buf[:got]), nil
		}
	}
}
