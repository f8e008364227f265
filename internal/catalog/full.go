package catalog

import "zombiezen.com/go/sqlite"

// IsFull says if SQLite failed because there was no room on a disk. Its error
// neither names the file nor wraps that of the system.
func IsFull(err error) bool {
	return err != nil && sqlite.ErrCode(err).ToPrimary() == sqlite.ResultFull
}
