package query

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// A finding is what -verify says of one entry. The empty one is that it is
// as it should be.
type finding struct {
	kind string // mismatch, missing, extra, unreadable
	path string // in the image
	why  string // on stderr
}

// tally sums up a verification.
type tally struct {
	files, links, dirs, bytes            int64
	mismatch, missing, extra, unreadable int64
}

// verifyFiles is -verify: it compares what is there with the catalog, both
// in the order of the tree, and reads every file.
func (r *run) verifyFiles(ctx context.Context) error {
	if r.Files == nil {
		return errNoFiles
	}
	workers := runtime.GOMAXPROCS(0)
	g, ctx := errgroup.WithContext(ctx)
	// Findings come in the order of the tree, however long each takes.
	results := make(chan chan finding, 8*workers)
	jobs := make(chan func(), workers)
	var sum tally
	g.Go(func() error {
		defer close(results)
		defer close(jobs)
		v := &verifier{run: r, sum: &sum, results: results, jobs: jobs}
		return v.merge(ctx)
	})
	for range workers {
		g.Go(func() error {
			for job := range jobs {
				job()
			}
			return nil
		})
	}
	g.Go(func() error {
		for res := range results {
			if err := r.report(<-res, &sum); err != nil {
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return r.summary(&sum)
}

func (r *run) report(f finding, sum *tally) error {
	switch f.kind {
	case "":
		return nil
	case "mismatch":
		sum.mismatch++
	case "missing":
		sum.missing++
	case "extra":
		sum.extra++
	case "unreadable":
		sum.unreadable++
	}
	if f.why != "" {
		fmt.Fprintf(r.Stderr, "%s: %s: %s\n", r.Name, tree.Visible(f.path), tree.Visible(f.why))
	}
	_, err := r.out.Write(append(r.str([]byte(f.kind+" "), f.path), '\n'))
	return err
}

func (r *run) summary(s *tally) error {
	bad := s.mismatch + s.missing + s.extra + s.unreadable
	fmt.Fprintf(r.Stderr, "%s: verified %s (%s), %s and %s: ", r.Name, plural(s.files, "file"), plural(s.bytes, "byte"), plural(s.links, "link"), plural(s.dirs, "folder"))
	if bad == 0 {
		fmt.Fprintln(r.Stderr, "all match the catalog")
		return nil
	}
	fmt.Fprintf(r.Stderr, "%d mismatched, %d missing, %d extra, %d unreadable\n", s.mismatch, s.missing, s.extra, s.unreadable)
	return errFound
}

// A verifier compares two trees.
type verifier struct {
	*run
	sum     *tally
	results chan<- chan finding
	jobs    chan<- func()
}

// merge walks catalog and data side by side.
func (v *verifier) merge(ctx context.Context) error {
	nextWant, stopWant := iter.Pull2(v.DB.Entries(ctx, ""))
	defer stopWant()
	nextHave, stopHave := iter.Pull2(v.Files.Walk(ctx))
	defer stopHave()
	want, err := pullEntry(nextWant)
	if err != nil {
		return err
	}
	have, haveErr, err := pullHave(nextHave)
	for err == nil && (want != nil || have != nil) {
		c := 0
		switch {
		case want == nil:
			c = 1
		case have == nil:
			c = -1
		default:
			c = tree.Compare(&want.Entry, have)
		}
		switch {
		case c == 0:
			err = v.pair(ctx, want, have, haveErr)
		case c < 0:
			err = v.missing(ctx, want)
		default:
			err = v.extra(ctx, have, haveErr)
		}
		if err != nil {
			return err
		}
		if c <= 0 {
			if want, err = pullEntry(nextWant); err != nil {
				return err
			}
		}
		if c >= 0 {
			have, haveErr, err = pullHave(nextHave)
		}
	}
	return err
}

func pullEntry(next func() (*catalog.Entry, error, bool)) (*catalog.Entry, error) {
	e, err, _ := next()
	return e, err
}

func pullHave(next func() (*tree.Entry, error, bool)) (e *tree.Entry, unreadable, err error) {
	e, err, _ = next()
	if e == nil {
		return nil, nil, err
	}
	return e, err, nil
}

// pair compares an entry with what is in its place.
func (v *verifier) pair(ctx context.Context, want *catalog.Entry, have *tree.Entry, haveErr error) error {
	path := v.DB.Dataset().Abs(want.Path)
	switch want.Type {
	case tree.Dir:
		v.sum.dirs++
	case tree.Symlink:
		v.sum.links++
	case tree.File:
		v.sum.files++
		v.sum.bytes += want.Size
	}
	switch {
	case haveErr != nil:
		return v.find(ctx, finding{"unreadable", path, haveErr.Error()})
	case want.Type != have.Type:
		return v.find(ctx, finding{"mismatch", path, "it is no longer a " + want.Type.String()})
	case want.Type == tree.Symlink && want.Link != have.Link:
		return v.find(ctx, finding{"mismatch", path, fmt.Sprintf("links to %q instead of %q", have.Link, want.Link)})
	case want.Type == tree.File && want.Size != have.Size:
		return v.find(ctx, finding{"mismatch", path, fmt.Sprintf("has %d bytes instead of %d", have.Size, want.Size)})
	case want.Type != tree.File:
		return nil
	}
	e := *want // want is gone when the job runs
	res := make(chan finding, 1)
	select {
	case v.results <- res:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case v.jobs <- func() { res <- v.compareBytes(ctx, &e, path) }:
		return nil
	case <-ctx.Done():
		res <- finding{} // nobody may wait for it
		return ctx.Err()
	}
}

func (v *verifier) compareBytes(ctx context.Context, e *catalog.Entry, path string) finding {
	f, err := openFile(v.Files, e)
	if err != nil {
		return finding{"unreadable", path, err.Error()}
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.CopyBuffer(sum, bound(ctx, f), make([]byte, 128<<10))
	switch {
	case err != nil && ctx.Err() != nil:
		return finding{}
	case err != nil:
		return finding{"unreadable", path, err.Error()}
	case n != e.Size:
		return finding{"mismatch", path, fmt.Sprintf("has %d bytes instead of %d", n, e.Size)}
	case [sha256.Size]byte(sum.Sum(nil)) != e.SHA256:
		return finding{"mismatch", path, "its sha256 differs"}
	}
	return finding{}
}

// missing reports an entry of the catalog that the walk has not met. It can
// still be there as something else, which sorts elsewhere: then that is
// reported when the walk comes to it.
func (v *verifier) missing(ctx context.Context, want *catalog.Entry) error {
	f, err := v.Files.Open(want.Path)
	if err == nil {
		f.Close()
		return nil
	}
	why := ""
	if !errors.Is(err, fs.ErrNotExist) {
		why = err.Error()
	}
	return v.find(ctx, finding{"missing", v.DB.Dataset().Abs(want.Path), why})
}

// extra reports what the catalog does not know, or knows as another type.
func (v *verifier) extra(ctx context.Context, have *tree.Entry, haveErr error) error {
	f := finding{"extra", v.DB.Dataset().Abs(have.Path), ""}
	e, err := v.DB.Lookup(ctx, have.Path)
	switch {
	case err != nil:
		return err
	case haveErr != nil:
		f.kind, f.why = "unreadable", haveErr.Error()
	case e != nil:
		f.kind, f.why = "mismatch", "it is no longer a "+e.Type.String()
	}
	return v.find(ctx, f)
}

func (v *verifier) find(ctx context.Context, f finding) error {
	res := make(chan finding, 1)
	res <- f
	select {
	case v.results <- res:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// plural is a number of things, such as "1 file".
func plural(n int64, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
