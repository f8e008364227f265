package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// startWriteback lets the kernel begin to write full chunks to disk, so that
// the sync at the end of a blob finds little to do. It does not wait.
func startWriteback(f *os.File, offset, n int64) {
	const chunk = 8 << 20
	from, to := offset/chunk*chunk, (offset+n)/chunk*chunk
	if to > from {
		// Only advice: the sync reports whatever goes wrong.
		_ = unix.SyncFileRange(int(f.Fd()), from, to-from, unix.SYNC_FILE_RANGE_WRITE)
	}
}
