package scan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A Snapshot is what an earlier build left. It may be used by several
// goroutines, and stays as it is when others commit or sweep.
type Snapshot struct {
	files []*snapshotFile
	runs  []snapshotRun
	whole *segment // all records, of a complete one
	total int64
	note  string
}

// A snapshotFile is an open file of blocks.
type snapshotFile struct {
	f    *os.File
	id   [idSize]byte
	size int64
	time time.Time
	from int64 // behind the header
}

// A segment is consecutive blocks of a file.
type segment struct {
	file     *snapshotFile
	from, to int64
	run      int // with records of only this run, if not 0: its ordinal in the file
	number   int // and its ordinal in the snapshot
}

// A snapshotRun is a pack and the segment its records are in.
type snapshotRun struct {
	packEntry
	segment
}

// OpenSnapshot opens the complete snapshot of a key. The error wraps
// [fs.ErrNotExist] if there is none: none at all, one of another version or
// of other options, one that is not the user's own, or a damaged one. Damage
// in places that were not looked at yet comes out later, as records that are
// not found.
func OpenSnapshot(dir, key, options string) (*Snapshot, error) {
	s, err := openSnapshot(dir, key, options)
	if err != nil {
		return nil, fmt.Errorf("open snapshot %q: %w", key, noSnapshot(err))
	}
	return s, nil
}

// noSnapshot returns err as one that says there is none.
func noSnapshot(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("%w (%w)", fs.ErrNotExist, err)
}

func openSnapshot(dir, key, options string) (*Snapshot, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := openFile(root, key, key, options)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{files: []*snapshotFile{f}}
	if err := s.readEnd(f); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

var errOther = errors.New("is of another format, source or options")

// openFile opens a file of blocks and checks its header.
func openFile(root *os.Root, name, key, options string) (*snapshotFile, error) {
	f, info, err := openOwn(root, name)
	if err != nil {
		return nil, err
	}
	s := &snapshotFile{f: f, size: info.Size(), time: info.ModTime()}
	if err := s.readHeader(key, options); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

func (s *snapshotFile) readHeader(key, options string) error {
	var begin [firstBlock]byte
	if _, err := s.f.ReadAt(begin[:], 0); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	if string(begin[:len(snapshotMagic)]) != snapshotMagic {
		return errOther
	}
	copy(s.id[:], begin[len(snapshotMagic):])
	typ, payload, next, err := s.blocks().read(firstBlock)
	if err != nil {
		return err
	}
	s.from = next
	d := decoder{data: payload}
	if typ != headerBlock || d.string() != key || d.string() != options || d.bad || len(d.data) > 0 {
		return errOther
	}
	return nil
}

// blocks returns a reader of the file's blocks.
func (s *snapshotFile) blocks() *blockReader {
	return &blockReader{summer: summer{id: s.id}, r: s.f, size: s.size}
}

// readEnd finds the packs of a complete snapshot.
func (s *Snapshot) readEnd(f *snapshotFile) error {
	var tail [tailSize]byte
	if _, err := f.f.ReadAt(tail[:], max(0, f.size-tailSize)); err != nil && err != io.EOF {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	b := f.blocks()
	place := binary.LittleEndian.Uint64(tail[:])
	if place > uint64(f.size) {
		return errDamaged
	}
	typ, payload, next, err := b.read(int64(place))
	if err != nil {
		return err
	}
	if typ != endBlock || next != f.size-tailSize {
		return errDamaged
	}
	s.whole = &segment{file: f, from: f.from, to: int64(place)}
	d := decoder{data: append([]byte(nil), payload...)}
	for n := d.uvarint(); n > 0 && !d.bad; n-- {
		if err := s.readPack(f, b, d.uvarint()); err != nil {
			return err
		}
	}
	s.total, s.note = int64(d.uvarint()), d.string()
	if d.bad || len(d.data) > 0 {
		return errDamaged
	}
	return nil
}

// Note returns what [SnapshotWriter.SetNote] left.
func (s *Snapshot) Note() string { return s.note }

// Len returns the number of records of a complete snapshot.
func (s *Snapshot) Len() int64 { return s.total }

// readPack reads the block of the next pack.
func (s *Snapshot) readPack(f *snapshotFile, b *blockReader, place uint64) error {
	if place > uint64(f.size) {
		return errDamaged
	}
	typ, payload, _, err := b.read(int64(place))
	if err != nil {
		return err
	}
	if typ != packBlock {
		return errDamaged
	}
	p, err := parsePack(payload)
	if err != nil {
		return err
	}
	s.runs = append(s.runs, snapshotRun{*p, segment{f, p.from, int64(place), p.ordinal, p.ordinal}})
	if p.ordinal != len(s.runs) {
		return errDamaged
	}
	return nil
}

// OpenPartial opens what is left of builds of a key that did not complete:
// the packs that they ended. If there are several such builds, packs of the
// newest come first, and those of others are added where they do not overlap;
// leftovers that add nothing are removed. Builds that still run are left
// alone. The error is as that of [OpenSnapshot]; all blocks have been checked.
func OpenPartial(dir, key, options string) (*Snapshot, error) {
	s, err := openPartial(dir, key, options)
	if err != nil {
		return nil, fmt.Errorf("open partial snapshot %q: %w", key, noSnapshot(err))
	}
	return s, nil
}

func openPartial(dir, key, options string) (*Snapshot, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	type leftover struct {
		name string
		file *snapshotFile
	}
	var found []leftover
	for _, name := range partials(root, key) {
		if f, err := openFile(root, name, key, options); err == nil {
			found = append(found, leftover{name, f})
		}
	}
	slices.SortFunc(found, func(a, b leftover) int { return b.file.time.Compare(a.file.time) })
	s := &Snapshot{}
	for _, l := range found {
		if !s.join(root, l.name, l.file) {
			l.file.f.Close()
		}
	}
	if len(s.runs) == 0 {
		return nil, errors.New("no build left finished packs")
	}
	for i := range s.runs {
		s.runs[i].number = i + 1
	}
	return s, nil
}

// join takes over the runs of a partial snapshot that overlap no others, and
// tells whether there are any. Otherwise it removes the file.
func (s *Snapshot) join(root *os.Root, name string, f *snapshotFile) bool {
	lock := tryLock(f.f, unix.LOCK_SH)
	if lock == busy {
		return false
	}
	used := false
	for _, r := range f.wholeRuns() {
		i, taken := slices.BinarySearchFunc(s.runs, r, compareRuns)
		if !taken {
			s.runs = slices.Insert(s.runs, i, r)
			used = true
		}
	}
	switch {
	case used:
		s.files = append(s.files, f)
	case lock == free && tryLock(f.f, unix.LOCK_EX) == free:
		root.Remove(name)
	}
	if lock == free {
		unix.Flock(int(f.f.Fd()), unix.LOCK_UN)
	}
	return used
}

// compareRuns returns which of two runs comes first, 0 if they overlap.
func compareRuns(a, b snapshotRun) int {
	switch {
	case comparePaths(a.Last, a.lastDir, b.First, b.firstIsDir) < 0:
		return -1
	case comparePaths(b.Last, b.lastDir, a.First, a.firstIsDir) < 0:
		return 1
	}
	return 0
}

// wholeRuns returns the runs that ended, up to the first block that is
// damaged, except for those without records.
func (f *snapshotFile) wholeRuns() []snapshotRun {
	var runs []snapshotRun
	b := f.blocks()
	begin := f.from // of the run being read
	for at := f.from; ; {
		typ, payload, next, err := b.read(at)
		if err != nil || typ != recordsBlock && typ != packBlock {
			return runs
		}
		if typ == packBlock {
			p, err := parsePack(payload)
			if err != nil || p.from != begin {
				return runs
			}
			if p.Records > 0 {
				runs = append(runs, snapshotRun{*p, segment{f, begin, at, p.ordinal, 0}})
			}
			begin = next
		}
		at = next
	}
}

// Packs returns the finished packs in the order of the tree. The ordinals in
// [Record.Pack] are places in it, from 1; packs without entries are in it only
// if the snapshot is complete.
func (s *Snapshot) Packs() []PackRun {
	all := make([]PackRun, len(s.runs))
	for i := range s.runs {
		all[i] = s.runs[i].PackRun
	}
	return all
}

// Run iterates over the entries of Packs()[i]. A record is overwritten by the
// next, but its strings and maps may be kept. After an error, or if the caller
// finds fewer records than the pack has, nothing of the run may be used.
func (s *Snapshot) Run(i int) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		run := &s.runs[i]
		rd := &segmentReader{segments: []segment{run.segment}}
		var r Record
		for n := int64(0); ; n++ {
			ok, err := rd.next(&r)
			if err == nil && !ok && n != run.Records {
				err = errDamaged
			}
			if err != nil {
				yield(nil, fmt.Errorf("read records of pack %d: %w", i+1, err))
				return
			}
			if !ok {
				return
			}
			r.Path = string(rd.path)
			if !yield(&r, nil) {
				return
			}
		}
	}
}

// Close ends the use of the snapshot, its cursors included.
func (s *Snapshot) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.f.Close())
	}
	s.files = nil
	return errors.Join(errs...)
}
