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

func (s *search) run(ctx context.Context, repos []string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(s.opts.Workers)
	s.opts.Progress.setTotal(int64(len(repos)), 0)
	for _, repo := range repos {
		g.Go(func() error {
			defer s.opts.Progress.addFile()
			return s.repository(ctx, repo)
		})
	}
	return g.Wait()
}

// repository looks at the tags of one repository.
func (s *search) repository(ctx context.Context, repo string) error {
	tags, err := s.config.Tags(ctx, repo)
	if errors.Is(err, store.ErrNotFound) {
		return nil // registries list repositories that are empty now
	}
	if err != nil {
		return fmt.Errorf("search %s: %w", repo, err)
	}
	var newest *Found
	for _, tag := range tags {
		f, err := s.look(ctx, repo+":"+tag)
		if err != nil {
			return fmt.Errorf("search %s: %w", repo, err)
		}
		switch {
		case f == nil:
		case s.opts.AllTags:
			s.add(f)
		case newest == nil || f.Created.After(newest.Created) || f.Created.Equal(newest.Created) && tag == "latest":
			newest = f
		}
	}
	if newest != nil {
		s.add(newest)
	}
	return nil
}

func (s *search) add(f *Found) {
	s.mu.Lock()
	defer s.mu.Unlock()
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
