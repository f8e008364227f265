// Package store is the places where images live: the local store, an OCI
// layout, one archive file, a registry, a Docker daemon. Each is read lazily, blob by
// blob and range by range, and written in one pass.
package store

import (
	"context"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/data-containers/cdb/internal/registry"
)

// ErrNotFound is wrapped by errors that say that a place has no such image or
// blob.
var ErrNotFound = registry.ErrNotFound

// A Blob is an open blob. Reads may come from several goroutines.
type Blob interface {
	io.ReaderAt
	io.Closer
	// Size is the length of the blob in bytes.
	Size() int64
}

// A Source is a place that images are read from.
type Source interface {
	// Resolve returns the descriptor of the manifest or index that name (a
	// tag, a digest, or "" where the place holds just one) stands for. The
	// error wraps ErrNotFound and lists what there is.
	Resolve(ctx context.Context, name string) (ocispec.Descriptor, error)
	// Open opens the blob with the digest of desc. Nothing is verified here:
	// readers check what they read.
	Open(ctx context.Context, desc ocispec.Descriptor) (Blob, error)
	Close() error
}

// A Target is a place that an image is written to. Blobs come first, then
// Publish makes the image visible; whatever was not published is gone (or
// garbage for the next collection) after Close.
type Target interface {
	// Create begins a blob whose digest and length are not known yet. A
	// target may refuse a second open upload.
	Create(ctx context.Context) (Upload, error)
	// Has says if the target holds the blob already.
	Has(ctx context.Context, d digest.Digest) (bool, error)
	// Publish gives the image whose manifest or index was written as blob
	// root its name, and returns the pinned reference to print.
	Publish(ctx context.Context, root ocispec.Descriptor) (string, error)
	// Close ends the use of the target and removes what is half-written.
	Close() error
}

// An Outputter is a Target that writes files. Whoever reads a folder to write
// it there must leave them out.
type Outputter interface {
	// Outputs returns the paths of the files and folders that are written.
	Outputs() []string
}

// An Upload is a blob while it is written.
type Upload interface {
	io.Writer
	// Rewind forgets everything behind the first size bytes.
	Rewind(size int64) error
	// Commit makes the blob durable under its digest. The caller computed
	// the digest from the same bytes; size must be what was written.
	Commit(ctx context.Context, d digest.Digest, size int64) error
	// Abort drops the blob. After Commit it does nothing.
	Abort() error
}
