package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A pushTarget writes an image to a folder and, while it grows, to a registry:
// each blob is sent as soon as it is whole.
type pushTarget struct {
	*writer
	to *remoteTarget
}

var _ Target = (*pushTarget)(nil)

// MaxLayer implements Limiter.
func (p *pushTarget) MaxLayer() (int64, string) { return p.to.MaxLayer() }

// Create begins a blob in the folder.
func (p *pushTarget) Create(ctx context.Context) (Upload, error) {
	if err := p.to.usable(ctx); err != nil {
		return nil, err
	}
	u, err := p.writer.Create(ctx)
	if err != nil {
		return nil, err
	}
	return &pushUpload{u, p}, nil
}

// Publish makes the image visible in the folder, and then in the registry, of
// which it returns the reference.
func (p *pushTarget) Publish(ctx context.Context, root ocispec.Descriptor) (string, error) {
	local, err := p.writer.Publish(ctx, root)
	if err != nil {
		return "", err
	}
	ref, err := p.to.PublishFrom(ctx, root, p.writer)
	if err != nil {
		name, _, _ := strings.Cut(local, "@")
		err = fmt.Errorf("%w (it is in the local store now: \"cdb push %s\" sends it)", err, name)
	}
	return ref, err
}

// Close ends both.
func (p *pushTarget) Close() error {
	return errors.Join(p.to.Close(), p.writer.Close())
}

type pushUpload struct {
	Upload
	p *pushTarget
}

// Write implements Upload. Once sending has failed there is no use in it.
func (u *pushUpload) Write(b []byte) (int, error) {
	if err := u.p.to.failed(); err != nil {
		return 0, err
	}
	return u.Upload.Write(b)
}

func (u *pushUpload) Commit(ctx context.Context, d digest.Digest, size int64) error {
	if err := u.Upload.Commit(ctx, d, size); err != nil {
		return err
	}
	desc := ocispec.Descriptor{Digest: d, Size: size}
	b, err := u.p.writer.Open(ctx, desc)
	if err != nil {
		return err
	}
	if doc, err := mayBeDocument(b); doc || err != nil {
		return errors.Join(err, b.Close()) // it is sent in the end
	}
	return u.p.to.later(ctx, desc, b, func() { b.Close() })
}

// mayBeDocument says if a blob looks like a manifest or a config.
func mayBeDocument(b Blob) (bool, error) {
	if b.Size() == 0 || b.Size() > maxDocument {
		return false, nil
	}
	var first [1]byte
	if _, err := b.ReadAt(first[:], 0); err != nil {
		return false, err
	}
	return first[0] == '{', nil
}
