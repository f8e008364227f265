package cdb

import (
	"context"
	"fmt"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/store"
)

// A LogEntry is one version of a dataset.
type LogEntry struct {
	catalog.Version
	// Image is the digest of the version's image.
	Image string
	// Names are what the image is called in the local store, NAME:TAG.
	Names []string
}

// Log returns the versions of the dataset that led to the container, newest
// first: its own and what its catalog says of its ancestors, of which none
// needs to be there.
func Log(ctx context.Context, c *Container) ([]LogEntry, error) {
	versions, err := c.db.Versions(ctx)
	if err != nil {
		return nil, err
	}
	names, err := namesByDigest(ctx, c.places)
	if err != nil {
		return nil, err
	}
	digest := c.Image.Root.Digest.String()
	log := make([]LogEntry, 0, len(versions))
	for i := len(versions) - 1; i >= 0; i-- {
		log = append(log, LogEntry{Version: versions[i], Image: digest, Names: names[digest]})
		if digest = versions[i].Parent; digest == "" && i > 0 {
			return nil, fmt.Errorf("read log of %s: %w: version %d names no parent", c.Ref, catalog.ErrFormat, i+1)
		}
	}
	return log, nil
}

// namesByDigest returns the names that images have in the local store. They
// are an extra: a store that cannot be read has none.
func namesByDigest(ctx context.Context, places Places) (map[string][]string, error) {
	local, err := store.OpenLocal(places.Store)
	if err != nil {
		return nil, ctx.Err()
	}
	images, err := local.List(ctx)
	if err != nil {
		return nil, ctx.Err()
	}
	names := map[string][]string{}
	for _, i := range images {
		d := i.Desc.Digest.String()
		names[d] = append(names[d], i.Name+":"+i.Tag)
	}
	return names, nil
}
