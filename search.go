package cdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/data-containers/cdb/internal/image"
	"github.com/data-containers/cdb/internal/registry"
	"github.com/data-containers/cdb/internal/store"
)

// SearchOptions say where [Search] looks.
type SearchOptions struct {
	Places
	// Repositories are HOST/NAME to look into, beside or instead of those that
	// a registry lists.
	Repositories []string
	// AllTags looks at every tag; otherwise only the newest image of each
	// repository is returned, by its date.
	AllTags  bool
	Workers  int // requests at once; default 8
	Progress *Progress
}

// A Found is a data container that a search found, as its annotations tell.
type Found struct {
	Ref string // HOST/NAME:TAG
	image.Summary
}

// ErrNoListing says that a registry does not list its repositories.
var ErrNoListing = errors.New("the registry does not list its repositories")

// Search returns the data containers of a registry, in the order of their
// references: of all its repositories, or of those whose name begins with
// prefix ("HOST/PREFIX"; "" for those of opts alone). Only manifests are read,
// nothing of the images.
func Search(ctx context.Context, where string, opts SearchOptions) ([]Found, error) {
	if opts.Workers <= 0 {
		opts.Workers = 8
	}
	opts.Progress.setPhase("search")
	s := &search{opts: &opts, config: opts.config()}
	if s.config.Registries == nil {
		return nil, fmt.Errorf("search %s: %w: there is no client for registries", where, errors.ErrUnsupported)
	}
	repos := slices.Clone(opts.Repositories)
	if where != "" {
		listed, err := s.list(ctx, where)
		if err != nil {
			return nil, err
		}
		repos = append(repos, listed...)
	}
	slices.Sort(repos)
	repos = slices.Compact(repos)
	if err := s.run(ctx, repos); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	slices.SortFunc(s.found, func(a, b Found) int { return cmp.Compare(a.Ref, b.Ref) })
	return s.found, nil
}

type search struct {
	opts   *SearchOptions
	config store.Config
	mu     sync.Mutex
	found  []Found
}

// list returns the repositories that a registry lists.
func (s *search) list(ctx context.Context, where string) ([]string, error) {
	hostName, prefix, _ := strings.Cut(strings.TrimPrefix(where, "docker://"), "/")
	var repos []string
	for name, err := range s.config.Registries.Repositories(ctx, hostName) {
		var status *registry.StatusError
		if errors.As(err, &status) && status.Status >= 400 && status.Status < 500 {
			return nil, fmt.Errorf("search %s: %w (%w); name repositories instead: --repository HOST/NAME", where, ErrNoListing, err)
		}
		if err != nil {
			return nil, fmt.Errorf("search %s: %w", where, err)
		}
		if strings.HasPrefix(name, prefix) {
			repos = append(repos, hostName+"/"+name)
		}
	}
	return repos, nil
}

// run looks at all tags of all repositories.
func (s *search) run(ctx context.Context, repos []string) error {
	tags := make([][]string, len(repos))
	err := s.each(ctx, len(repos), func(ctx context.Context, i int) (err error) {
		tags[i], err = s.config.Tags(ctx, repos[i])
		if errors.Is(err, store.ErrNotFound) {
			return nil // registries list repositories that are empty now
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("search: %w", err)
	}
	type image struct{ repo, tag string }
	var all []image
	for i, repo := range repos {
		for _, tag := range tags[i] {
			all = append(all, image{repo, tag})
		}
	}
	s.opts.Progress.setTotal(int64(len(all)), 0)
	newest := map[string]*Found{}
	return s.each(ctx, len(all), func(ctx context.Context, i int) error {
		defer s.opts.Progress.addFile()
		f, err := s.look(ctx, all[i].repo+":"+all[i].tag)
		if err != nil {
			return fmt.Errorf("search %s: %w", all[i].repo, err)
		}
		if f != nil {
			s.add(newest, all[i].repo, f)
		}
		return nil
	})
}

// each calls f for the numbers below n, several at once.
func (s *search) each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(s.opts.Workers)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return f(ctx, i) })
	}
	return g.Wait()
}

// add keeps an image: the newest of its repository, unless all are wanted.
func (s *search) add(newest map[string]*Found, repo string, f *Found) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := newest[repo]; old != nil && !s.opts.AllTags {
		if f.Created.Before(old.Created) || f.Created.Equal(old.Created) && f.Ref < old.Ref {
			return
		}
		s.found = slices.DeleteFunc(s.found, func(o Found) bool { return o.Ref == old.Ref })
	}
	newest[repo] = f
	s.found = append(s.found, *f)
}

// look returns nil for an image that is no data container.
func (s *search) look(ctx context.Context, ref string) (*Found, error) {
	r, err := store.ParseRef("docker://" + ref)
	if err != nil {
		return nil, err
	}
	source, name, err := s.config.OpenSource(ctx, r)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	root, err := source.Resolve(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil // the tag has gone meanwhile
	}
	if err != nil {
		return nil, err
	}
	doc, err := readDocument(ctx, source, root)
	if err != nil {
		return nil, err
	}
	sum, ok := image.Summarize(root, doc)
	if !ok {
		return nil, nil
	}
	return &Found{Ref: ref, Summary: sum}, nil
}
