package cdb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"iter"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/scan"
	"github.com/data-containers/cdb/internal/tree"
)

// A memory is what builds of one source remember from one to the next: by
// what stamps files were known, and what they held. It only saves work, so
// nothing that goes wrong with it stops a build.
type memory struct {
	snapshot *scan.Snapshot // of the last complete build; nil for none
	partial  *scan.Snapshot // of builds that were interrupted; nil for none
	writer   *scan.SnapshotWriter
}

// openMemory opens what is remembered of the source. Any part may be missing.
func (b *build) openMemory() *memory {
	m := &memory{}
	dir := b.opts.Cache
	src, err := b.remembered()
	if dir == "" || err != nil {
		return m
	}
	dir = filepath.Join(dir, "changes")
	sum := sha256.Sum256([]byte(src))
	key := hex.EncodeToString(sum[:16])
	options := fmt.Sprintf("%s %q %s %t %q", Version, b.opts.Prefix, b.opts.Compression, b.opts.Preserve, b.extraction.record)
	if !b.opts.Rehash {
		if m.snapshot, err = scan.OpenSnapshot(dir, key, options); err != nil {
			m.snapshot = nil
		}
		if m.partial, err = scan.OpenPartial(dir, key, options); err != nil {
			m.partial = nil
		}
	}
	if m.writer, err = scan.CreateSnapshot(dir, key, options); err != nil {
		m.writer = nil
	}
	return m
}

// remembered is what builds of the same source are known by.
func (b *build) remembered() (string, error) {
	if b.sources != nil {
		return b.sources.key()
	}
	src, err := filepath.Abs(b.src)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(src); err == nil {
		src = real
	}
	return src, nil
}

// close ends the use of the memory. What an interrupted build has finished
// stays remembered.
func (m *memory) close() {
	for _, s := range []*scan.Snapshot{m.snapshot, m.partial} {
		if s != nil {
			s.Close()
		}
	}
	m.drop()
}

// drop gives up remembering.
func (m *memory) drop() {
	if m.writer != nil {
		m.writer.Close()
		m.writer = nil
	}
}

// add remembers an entry, packed by this build in its pack number ordinal, or
// kept from the parent if that is 0.
func (m *memory) add(it *readItem, e *catalog.Entry, ordinal int) {
	if m.writer == nil {
		return
	}
	r := scan.Record{Entry: e.Entry, Stat: it.state.stat, Settled: it.state.settled, Pack: ordinal, Offset: e.Offset}
	if e.Type == tree.File {
		r.SHA256 = e.SHA256
	}
	if ordinal != 0 { // for who adopts the pack
		r.Meta = e.Meta
	}
	if e.Type != tree.File || e.Link != "" {
		r.Stat, r.Settled = it.Stat(), true
	}
	if err := m.writer.Add(&r); err != nil {
		m.drop()
	}
}

// endPack remembers a pack that is complete and durable.
func (m *memory) endPack(p *catalog.Pack) {
	if m.writer == nil {
		return
	}
	err := m.writer.EndPack(scan.PackRecord{
		Digest: p.Digest, DiffID: p.DiffID, MediaType: p.MediaType,
		Size: p.Size, TarSize: p.TarSize, FrameSize: p.FrameSize, Frames: p.Frames,
	})
	if err != nil {
		m.drop()
	}
}

// commit makes what was remembered that of the image with this digest.
func (m *memory) commit(image string) {
	if m.writer == nil {
		return
	}
	m.writer.SetNote(image)
	if err := m.writer.Commit(); err != nil {
		m.drop()
		return
	}
	m.writer = nil
}

func errSnapshot(err error) error {
	if err == nil {
		err = fs.ErrNotExist
	}
	return fmt.Errorf("read the change cache: %w; build with --rehash", err)
}

// adoptions finds the packs of the plan that an earlier build of this source
// has finished: of the same entries, none of which changed since.
func (b *build) adoptions(ctx context.Context, listing *scan.Listing, m *memory, plan *pack.Plan) (map[int64]*adoption, error) {
	found := map[int64]*adoption{}
	runs := runsOf(m)
	if len(runs) == 0 {
		return found, nil
	}
	next, stop := iter.Pull2(listing.States())
	defer stop()
	for i, start := range plan.Starts {
		end := int64(-1)
		if i+1 < len(plan.Starts) {
			end = plan.Starts[i+1]
		}
		a, n, err := b.adoption(ctx, next, runs, end-start)
		if err != nil {
			return nil, err
		}
		if a != nil {
			a.end = start + n
			a.items, a.stop = iter.Pull2(a.records())
			found[start] = a
		}
	}
	return found, ctx.Err()
}

// runsOf returns the packs that are remembered, by their first paths.
func runsOf(m *memory) map[string]*adoption {
	runs := map[string]*adoption{}
	for _, s := range []*scan.Snapshot{m.snapshot, m.partial} {
		if s == nil {
			continue
		}
		for i, run := range s.Packs() {
			runs[run.First] = &adoption{run: run, snapshot: s, index: i}
		}
	}
	return runs
}

// adoption takes the entries of one planned pack, of which there are n, or all
// that are left if n is negative, and returns the run that has just them.
func (b *build) adoption(ctx context.Context, next func() (*scan.State, error, bool), runs map[string]*adoption, n int64) (*adoption, int64, error) {
	var a *adoption
	var records func() (*scan.Record, error, bool)
	stop := func() {}
	defer func() { stop() }()
	count := int64(0)
	for ; n < 0 || count < n; count++ {
		st, err, ok := next()
		if err != nil {
			return nil, count, err
		}
		if !ok {
			break
		}
		if count == 0 {
			if a = runs[st.Path]; a != nil && b.holds(ctx, a) {
				records, stop = iter.Pull2(a.records())
			} else {
				a = nil
			}
		}
		if a == nil {
			continue
		}
		r, err, ok := records()
		if err != nil || !ok || !b.matches(r, st) {
			a = nil
		}
	}
	if a != nil && a.run.Records != count {
		a = nil
	}
	return a, count, ctx.Err()
}

// holds says if the target still has the blob of a run, which lies on no other
// image's packs.
func (b *build) holds(ctx context.Context, a *adoption) bool {
	has, err := b.target.Has(ctx, digest.Digest(a.run.Digest))
	return err == nil && has
}

// matches says if an entry is what a record remembers.
func (b *build) matches(r *scan.Record, st *scan.State) bool {
	if !sameAttributes(&r.Entry, &st.Entry, b.opts.Preserve) || r.Path != st.Path {
		return false
	}
	return st.Type != tree.File || st.Link != "" || r.Trusts(&st.Entry, st.Stat)
}

// records yields what is remembered of the entries of the run.
func (a *adoption) records() iter.Seq2[*scan.Record, error] { return a.snapshot.Run(a.index) }
