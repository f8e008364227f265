package cdb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/data-containers/cdb/internal/store"
)

// CopyOptions say what [Copy] copies, and as what.
type CopyOptions struct {
	Places
	// Name is what the image is called where the destination does not say so:
	// NAME[:TAG].
	Name string
	// Referrers copies signatures and whatever else refers to the image too.
	Referrers bool
	Workers   int       // blobs copied at once; default 4
	Progress  *Progress // counts, if not nil
}

// A CopyResult says what a copy copied.
type CopyResult struct {
	Ref       string // pinned, at the destination
	Digest    string // of the manifest or index
	Blobs     int
	Bytes     int64
	Referrers int
}

// Copy copies an image with all its platforms, from any place to any other,
// without a change: its digest stays. src is as for [Open]; dst is
// docker://HOST/NAME[:TAG], oci:DIR[:TAG], FILE.tar, oci-archive:FILE,
// docker-archive:FILE, docker-daemon:NAME[:TAG], or "" for the local store.
// Blobs that are there already are not copied again, and a copy that was
// interrupted goes on where it stopped. The image need not be a data
// container.
func Copy(ctx context.Context, src, dst string, opts CopyOptions) (*CopyResult, error) {
	res, err := copyImage(ctx, src, dst, &opts)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return res, err
}

func copyImage(ctx context.Context, src, dst string, opts *CopyOptions) (_ *CopyResult, err error) {
	r, err := store.ParseRef(src)
	if err != nil {
		return nil, err
	}
	config := opts.config()
	config.Sent = opts.Progress.addBytes
	source, name, err := config.OpenSource(ctx, r)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	root, err := source.Resolve(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", src, err)
	}
	as, tag := "", ""
	if opts.Name != "" {
		if as, tag, err = store.ParseName(opts.Name); err != nil {
			return nil, err
		}
	}
	target, err := config.OpenTarget(ctx, dst, as, tag, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	opts.Progress.setPhase("copy")
	copied, err := store.Copy(ctx, source, root, target, store.CopyOptions{
		Workers:   opts.Workers,
		Referrers: opts.Referrers,
		Begin:     func(_ int, bytes int64) { opts.Progress.setTotal(0, bytes) },
		Done:      opts.Progress.addBytes,
	})
	if err != nil {
		return nil, err
	}
	return &CopyResult{
		Ref: copied.Ref, Digest: root.Digest.String(), Blobs: copied.Blobs, Bytes: copied.Bytes, Referrers: copied.Referrers,
	}, nil
}

// RegistryRef makes a reference to a registry of what people write for one:
// HOST/NAME[:TAG], with or without docker://, and without a host for Docker
// Hub.
func RegistryRef(s string) (string, error) {
	ref := s
	if !strings.HasPrefix(s, "docker://") {
		if strings.Contains(s, "://") {
			return "", fmt.Errorf("read image reference %q: a registry is written HOST/NAME[:TAG] or docker://HOST/NAME[:TAG]", s)
		}
		ref = "docker://" + s
	}
	if _, err := store.ParseRef(ref); err != nil {
		return "", err
	}
	return ref, nil
}
