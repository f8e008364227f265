package cdb

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// Versions add packs on top of those of their parents. So that there never
// are too many, nor too many dead bytes in them, packs of the parent are
// rewritten, as in a log-structured merge tree:
//
//   - a pack that holds nothing any more is dropped;
//   - a pack of which more than 30 % is dead is rewritten;
//   - the newest packs are merged when there are 8 of them that are no larger
//     together than what they are merged with: so each byte is rewritten
//     about log2(versions) times;
//   - when there are more than 50 all the same, the smallest neighbours are
//     merged.
//
// Only neighbours are merged, and the result takes their place: what lies
// above goes on hiding what lies below.
const (
	maxPacks  = 50
	tailPacks = 8
	deadShare = 0.3
	deadBytes = 1 << 20 // below which a pack is not worth rewriting
)

// A span is some neighbouring packs, by their places in a list.
type span struct{ first, last int }

// spans says which packs to rewrite together. live is what each pack still
// holds, above how many packs come on top of them, and most how many bytes a
// pack may have, 0 for any.
func spans(packs []catalog.Pack, live map[int]int64, above int, most int64) []span {
	n := len(packs)
	size := func(i int) int64 { return live[packs[i].ID] }
	var out []span
	tail := n
	sum := int64(0)
	for i := n - 1; i >= 0; i-- {
		if most > 0 && sum+size(i) > most {
			break
		}
		if n-i >= tailPacks && size(i) <= sum {
			tail = i
		}
		sum += size(i)
	}
	for i := range tail {
		dead := packs[i].TarSize - size(i)
		if size(i) == 0 || dead > deadBytes && float64(dead) > deadShare*float64(packs[i].TarSize) {
			out = append(out, span{i, i})
		}
	}
	if tail < n {
		out = append(out, span{tail, n - 1})
	}
	return fewer(out, n, above, most, size)
}

// fewer merges more neighbours until at most maxPacks are left.
func fewer(out []span, n, above int, most int64, size func(int) int64) []span {
	groups := make([]span, 0, n)
	for i := 0; i < n; i++ {
		g := span{i, i}
		for _, s := range out {
			if s.first == i {
				g = s
			}
		}
		groups = append(groups, g)
		i = g.last
	}
	sum := func(g span) (total int64) {
		for i := g.first; i <= g.last; i++ {
			total += size(i)
		}
		return total
	}
	for len(groups)+above > maxPacks && len(groups) > 1 {
		best := 0
		for i := range len(groups) - 1 {
			if sum(groups[i])+sum(groups[i+1]) < sum(groups[best])+sum(groups[best+1]) {
				best = i
			}
		}
		if most > 0 && sum(groups[best])+sum(groups[best+1]) > most {
			break
		}
		groups[best].last = groups[best+1].last
		groups = slices.Delete(groups, best+1, best+2)
	}
	return slices.DeleteFunc(groups, func(g span) bool {
		return g.first == g.last && !slices.Contains(out, g)
	})
}

// compact rewrites packs of the parent, and returns what takes the place of
// each that it touched.
func (b *build) compact(ctx context.Context, cat *catalog.Writer, packs []catalog.Pack, above int) (map[int][]packLayer, error) {
	replaced := map[int][]packLayer{}
	whites, err := cat.WhiteoutPacks()
	if err != nil {
		return nil, err
	}
	for _, s := range spans(packs, cat.Live(), above, b.most) {
		if s.first == s.last && s.first > 0 && whites[packs[s.first].ID] {
			continue // it is still wanted
		}
		b.opts.Progress.setPhase("compact")
		layers, err := b.rewrite(ctx, cat, packs[s.first].ID, packs[s.last].ID, s.first == 0)
		if err != nil {
			return nil, err
		}
		for _, p := range packs[s.first : s.last+1] {
			replaced[p.ID] = nil
		}
		replaced[packs[s.first].ID] = layers
	}
	return replaced, nil
}

// rewrite makes the packs from first to last anew: one for their whiteouts,
// unless there is nothing below to hide, and one for their entries.
func (b *build) rewrite(ctx context.Context, cat *catalog.Writer, first, last int, lowest bool) ([]packLayer, error) {
	var whiteouts []string
	if !lowest {
		for path, err := range cat.Whiteouts(first, last) {
			if err != nil {
				return nil, err
			}
			whiteouts = append(whiteouts, path)
		}
	}
	if err := cat.RemovePacks(first, last); err != nil {
		return nil, err
	}
	w := &packWriter{ctx: ctx, opts: &b.opts, target: b.target, id: first}
	defer w.abort()
	for _, path := range whiteouts {
		if err := cat.AddWhiteout(catalog.Whiteout{Path: path, Pack: first}); err != nil {
			return nil, err
		}
	}
	if err := b.whiteouts(ctx, w, cat, slices.Values(whiteouts)); err != nil {
		return nil, err
	}
	for e, err := range cat.InPacks(ctx, first, last) {
		if err != nil {
			return nil, err
		}
		if err := b.move(ctx, w, cat, e); err != nil {
			return nil, fmt.Errorf("move %q: %w", e.Path, err)
		}
	}
	if err := b.endPack(ctx, w, cat); err != nil {
		return nil, err
	}
	if w.id > last+1 {
		return nil, fmt.Errorf("compact packs %d to %d: they became %d", first, last, len(w.layers))
	}
	return w.layers, nil
}

// move packs an entry of the parent again.
func (b *build) move(ctx context.Context, w *packWriter, cat *catalog.Writer, e *catalog.Entry) error {
	if err := b.enter(w, cat, e.Path); err != nil {
		return err
	}
	from := *e
	switch {
	case e.Type == tree.Dir:
		w.push(e.Entry)
	case e.Type == tree.File && e.Link != "":
		target, err := cat.Find(e.Link, tree.File)
		if err != nil {
			return err
		}
		if target == nil || w.pack == nil || target.Pack != w.id {
			e.Link = "" // it lies elsewhere now
		} else {
			e.Offset = target.Offset
		}
	}
	if e.Type != tree.File || e.Link != "" {
		if err := w.header(ctx, e); err != nil {
			return err
		}
		return cat.Move(e)
	}
	r, err := b.parent.Content(ctx, &from)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := w.begin(ctx, e); err != nil {
		return err
	}
	if _, err := io.Copy(w.pack, r); err != nil {
		return err
	}
	return cat.Move(e)
}

// enter makes the folders of path, as they are now, those of w.
func (b *build) enter(w *packWriter, cat *catalog.Writer, path string) error {
	w.leave(path)
	have := len(w.parents)
	if have > 0 && w.parents[have-1].Path == tree.Parent(path) {
		return nil
	}
	var missing []tree.Entry
	for dir := path; dir != ""; {
		dir = tree.Parent(dir)
		if have > 0 && w.parents[have-1].Path == dir {
			break
		}
		e, err := cat.Find(dir, tree.Dir)
		if err != nil {
			return err
		}
		if e == nil {
			return fmt.Errorf("%w: folder %q is missing", catalog.ErrFormat, dir)
		}
		missing = append(missing, e.Entry)
	}
	for _, e := range slices.Backward(missing) {
		w.push(e)
	}
	return nil
}
