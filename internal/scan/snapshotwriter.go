package scan

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/data-containers/cdb/internal/tree"
)

// A SnapshotWriter writes a snapshot: what a build finds, reads and packs. It
// is used by one goroutine at a time. After an error each call returns that
// error, and nothing is ever published; packs that ended before stay.
type SnapshotWriter struct {
	note  string
	total int64 // records
	summer
	root    *os.Root
	f       *os.File
	key     string
	name    string // of the file
	at      int64  // where the next block begins
	end     int64  // of the last pack's block
	block   []byte // being filled
	state   recordState
	records int // in block
	path    string
	isDir   bool
	run     packEntry // being filled
	packs   []int64   // places
	err     error
}

// CreateSnapshot begins a snapshot of the source known by key, which may have
// letters, digits, dashes and underscores, in the folder dir, which is made if
// missing. options are those of the build that decide what it makes of a file;
// a snapshot is found by builds with the same options only. Partial snapshots
// that are weeks old are removed, and complete ones that are a year old.
func CreateSnapshot(dir, key, options string) (*SnapshotWriter, error) {
	w, err := createSnapshot(dir, key, options)
	if err != nil {
		return nil, fmt.Errorf("create snapshot in %q: %w", dir, err)
	}
	return w, nil
}

func createSnapshot(dir, key, options string) (*SnapshotWriter, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	sweep(root, "", staleAfter)
	sweepForgotten(root)
	w := &SnapshotWriter{root: root, key: key}
	if w.f, w.name, err = createPartial(root, key); err != nil {
		root.Close()
		return nil, err
	}
	if err := w.begin(options); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// begin writes what comes before the records.
func (w *SnapshotWriter) begin(options string) error {
	rand.Read(w.id[:])
	if _, err := w.f.Write(append([]byte(snapshotMagic), w.id[:]...)); err != nil {
		return err
	}
	w.at = firstBlock
	w.block = appendString(appendString(newBlock(w.block), w.key), options)
	if err := w.write(headerBlock); err != nil {
		return err
	}
	w.nextRun()
	return nil
}

// write writes the block and empties it.
func (w *SnapshotWriter) write(typ byte) error {
	if err := w.seal(w.at, typ, w.block); err != nil {
		return err
	}
	if _, err := w.f.Write(w.block); err != nil {
		return err
	}
	w.at += int64(len(w.block))
	w.block = newBlock(w.block)
	w.records, w.state = 0, recordState{}
	return nil
}

// nextRun begins the run of the next pack.
func (w *SnapshotWriter) nextRun() {
	w.run = packEntry{ordinal: len(w.packs) + 1, from: w.at}
}

// fail notes the first error and returns it.
func (w *SnapshotWriter) fail(err error) error {
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("write snapshot %q: %w", w.name, err)
	}
	return w.err
}

// Add appends the record of an entry. All entries of the tree, folders and
// links included, are added in the order of the scan; those that the build
// leaves out are not. r.Pack is that of the pack that ends next, or 0. r may
// be used again.
func (w *SnapshotWriter) Add(r *Record) error {
	if w.err != nil {
		return w.err
	}
	if err := w.check(r); err != nil {
		return w.fail(err)
	}
	isDir := r.Type == tree.Dir
	shared := 0
	if w.records == 0 {
		w.block = binary.AppendUvarint(newBlock(w.block), uint64(w.run.ordinal))
	} else {
		shared = commonPrefix(w.path, r.Path)
	}
	w.block = w.state.appendTo(w.block, lean(r), shared)
	w.records++
	w.total++
	w.path, w.isDir = r.Path, isDir
	if r.Pack != 0 {
		if w.run.Records == 0 {
			w.run.First, w.run.firstIsDir = r.Path, isDir
		}
		w.run.Last, w.run.lastDir = r.Path, isDir
		w.run.Records++
	}
	if len(w.block) >= blockSize {
		return w.fail(w.write(recordsBlock))
	}
	return nil
}

// check returns an error if r cannot come next.
func (w *SnapshotWriter) check(r *Record) error {
	isDir := r.Type == tree.Dir
	first := w.path == "" && !w.isDir
	switch {
	case typeBits(r.Type) > 2:
		return fmt.Errorf("add %q: %v cannot be remembered", r.Path, r.Type)
	case r.Path == "" && !isDir:
		return fmt.Errorf("add a %v without a path", r.Type)
	case r.Size < 0 || r.Offset < 0:
		return fmt.Errorf("add %q: negative size or offset", r.Path)
	case r.Pack != 0 && r.Pack != w.run.ordinal:
		return fmt.Errorf("add %q: in pack %d, while pack %d is next to end", r.Path, r.Pack, w.run.ordinal)
	case !first && comparePaths(w.path, w.isDir, r.Path, isDir) >= 0:
		return fmt.Errorf("add %q: out of order behind %q", r.Path, w.path)
	}
	return nil
}

// EndPack ends the pack that holds all records with its ordinal. When it
// returns, the pack is found again whatever happens; so its blob must be
// durable before.
func (w *SnapshotWriter) EndPack(p PackRecord) error {
	if w.err != nil {
		return w.err
	}
	return w.fail(w.endPack(p))
}

func (w *SnapshotWriter) endPack(p PackRecord) error {
	if err := w.flush(); err != nil {
		return err
	}
	place := w.at
	w.run.PackRecord = p
	w.block = w.run.append(newBlock(w.block))
	if err := w.write(packBlock); err != nil {
		return err
	}
	if err := w.f.Sync(); err != nil {
		return err
	}
	if len(w.packs) == 0 {
		if err := w.syncFolder(); err != nil {
			return err
		}
	}
	w.packs = append(w.packs, place)
	w.end = w.at
	w.nextRun()
	return nil
}

// flush writes the records that are left.
func (w *SnapshotWriter) flush() error {
	if w.records == 0 {
		return nil
	}
	return w.write(recordsBlock)
}

// syncFolder makes the name of the file durable.
func (w *SnapshotWriter) syncFolder() error {
	d, err := w.root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Commit completes the snapshot and makes it the one of its key, in place of
// another. All packs have ended. Partial snapshots of the key are removed,
// but for those that others are writing.
func (w *SnapshotWriter) Commit() error {
	if w.err != nil {
		return w.err
	}
	if err := w.commit(); err != nil {
		return w.fail(err)
	}
	sweep(w.root, w.key, 0)
	return w.close()
}

// SetNote leaves a word for the next build, which [Snapshot.Note] returns if
// this one completes.
func (w *SnapshotWriter) SetNote(note string) { w.note = note }

func (w *SnapshotWriter) commit() error {
	if w.run.Records > 0 {
		return fmt.Errorf("pack %d has not ended", w.run.ordinal)
	}
	if err := w.flush(); err != nil {
		return err
	}
	place := w.at
	w.block = binary.AppendUvarint(newBlock(w.block), uint64(len(w.packs)))
	for _, p := range w.packs {
		w.block = binary.AppendUvarint(w.block, uint64(p))
	}
	w.block = binary.AppendUvarint(w.block, uint64(w.total))
	w.block = binary.AppendUvarint(w.block, uint64(len(w.note)))
	w.block = append(w.block, w.note...)
	if err := w.write(endBlock); err != nil {
		return err
	}
	if _, err := w.f.Write(binary.LittleEndian.AppendUint64(nil, uint64(place))); err != nil {
		return err
	}
	if err := w.f.Sync(); err != nil {
		return err
	}
	if err := w.root.Rename(w.name, w.key); err != nil {
		return err
	}
	w.name = w.key
	return w.syncFolder()
}

// Close ends the use of w. Without [SnapshotWriter.Commit] the packs that
// ended stay, as a partial snapshot; if there are none, nothing does.
func (w *SnapshotWriter) Close() error {
	if w.f == nil || w.name == w.key {
		return w.close()
	}
	var err error
	if w.end == 0 {
		if err = w.root.Remove(w.name); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	} else {
		err = w.f.Truncate(w.end)
	}
	return errors.Join(err, w.close())
}

func (w *SnapshotWriter) close() error {
	if w.f == nil {
		return nil
	}
	err := errors.Join(w.f.Close(), w.root.Close())
	w.f = nil
	if w.err == nil {
		w.err = fmt.Errorf("write snapshot %q: %w", w.name, fs.ErrClosed)
	}
	return err
}
