package scan

import (
	"fmt"
	"strings"
	"time"

	"github.com/data-containers/cdb/internal/tree"
)

// A Record is what a snapshot remembers of one entry.
type Record struct {
	tree.Entry
	// Stat is the state the file was in when it was read: that of
	// [File.Stat], not that of the scan before.
	Stat Stat
	// Settled is what the function [Settled] said when the bytes were read.
	// It stays as it is when a later build takes the record over.
	Settled bool
	// SHA256 is the digest of a file's content; zero for folders and links.
	SHA256 [32]byte
	// Pack is the ordinal, from 1, of the pack of this build whose run the
	// entry is part of; 0 if it was kept from a parent image.
	Pack int
	// Offset is where the content begins in the tar stream of the pack.
	Offset int64
	// Meta is the metadata of a packed file, as its catalog has it.
	Meta string
}

// A PackRecord is what a snapshot remembers of a finished pack.
type PackRecord struct {
	Digest    string // of the blob
	DiffID    string // of its tar stream
	MediaType string
	Size      int64  // of the blob, in bytes
	TarSize   int64  // of the tar stream, in bytes
	FrameSize int64  // in bytes
	Frames    []byte // the records of its frame table
}

// A PackRun is a finished pack and the run of entries it was made of.
type PackRun struct {
	// First and Last are the paths of the first and the last entry, folders
	// and links included. Entries between them that were kept from a parent
	// image are not part of the run.
	First, Last string
	Records     int64 // the number of entries
	PackRecord
}

// settledAfter is the age from which times can tell a file from what it may
// become: the coarsest granularity of a file system in use, 2 s of FAT, and
// some ticks of the kernel's clock, which is behind the precise one.
const settledAfter = 2*time.Second + 100*time.Millisecond

// Settled tells whether a file that was found in state st, and then read, can
// be recognised as unchanged by its state alone. readStart is a time not
// later than the first read; the caller has made sure that the file did not
// change until the last one ([File.Changed]).
//
// A file that is written to twice within one tick of its file system's clock
// has the same times after both, so one that was read between the two would
// look unchanged for ever (git knows the problem as "racy"). After
// readStart, a change sets the time of change to readStart at least, rounded
// down to the granularity. So if the time of change is older than that, no
// change can bring it back; users can set the time of modification but not
// this one. The time of modification must be older too, for file systems that
// only have that. Times in the future say nothing: later ones may be the
// same. Nor does a time of change in whole seconds that equals the time of
// modification: that is how file systems look that have no time of change,
// such as squashfs, ISO 9660 and FAT, where other content may come with the
// same times.
//
// This is as much as stat can promise, which is not all. It is wrong
//   - if the clock that stamps files is behind the one that readStart is from
//     by seconds, as that of a file server may be, and a file is changed within
//     that time after it was read;
//   - if the clock is set back, and a change meets the very nanoseconds of the
//     one before;
//   - for some seconds to a minute after another machine changed a file on a
//     network file system, while the client here still serves the state it has
//     cached;
//   - for file systems in user space that make up a time of change, as those
//     over SFTP or object stores do, if a change keeps size and time of
//     modification;
//   - for writes through shared memory maps, which set the times when a page
//     first becomes dirty (on Linux; on tmpfs not even then), so a program that
//     goes on writing to a page shows it only once that was written back;
//   - for what does not go through the file system, such as writes to the disk
//     below.
//
// For those cases builds can be told to ignore snapshots.
func Settled(st Stat, readStart time.Time) bool {
	limit := readStart.Round(0).Add(-settledAfter)
	if st.ModTime.After(limit) || st.ChangeTime.After(limit) {
		return false
	}
	return !st.ModTime.Equal(st.ChangeTime) || st.ChangeTime.Nanosecond() != 0
}

// Trusts tells whether an entry that a scan found in state st has the content
// that r remembers. It does not compare modes, owners and other attributes,
// which the scan has anew; but changing those changes the state, so it is
// rather false too often. So it is where device numbers differ from one mount
// to the next.
func (r *Record) Trusts(e *tree.Entry, st Stat) bool {
	return r.Settled &&
		r.Type == e.Type && r.Size == e.Size &&
		r.Stat.Dev == st.Dev && r.Stat.Ino == st.Ino &&
		r.Stat.ModTime.Equal(st.ModTime) && r.Stat.ChangeTime.Equal(st.ChangeTime) &&
		(r.Type != tree.File || r.SHA256 != [32]byte{})
}

// maxKey is what names of files leave for a key.
const maxKey = 200

// checkKey returns an error unless key can be a name of files.
func checkKey(key string) error {
	odd := func(c rune) bool {
		return (c < '0' || '9' < c) && (c < 'A' || 'Z' < c) && (c < 'a' || 'z' < c) && c != '-' && c != '_'
	}
	if key == "" || len(key) > maxKey || strings.ContainsFunc(key, odd) {
		return fmt.Errorf("key %q: want up to %d letters, digits, dashes and underscores", key, maxKey)
	}
	return nil
}

// comparePaths orders paths as a walk meets them: byte by byte, where those
// of folders end in a slash. The root comes first.
func comparePaths[A, B []byte | string](a A, aIsDir bool, b B, bIsDir bool) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return int(a[i]) - int(b[i])
		}
	}
	return pathEnd(a, aIsDir, n) - pathEnd(b, bIsDir, n)
}

// pathEnd returns what decides about a path that shares n bytes with another,
// and one of the two ends there.
func pathEnd[P []byte | string](p P, isDir bool, n int) int {
	switch {
	case n < len(p) && p[n] == '/':
		return '/'<<1 | 1 // behind the folder itself
	case n < len(p):
		return int(p[n]) << 1
	case isDir && n > 0:
		return '/' << 1
	}
	return -1
}
