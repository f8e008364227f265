// Package pack is the data layer of a data container: a plain tar whose
// bytes are cut into frames, each compressed on its own. To every runtime it
// is an ordinary layer; to cdb any range of it can be read, and checked, by
// itself. The writer compresses in parallel with bounded memory, and what it
// writes depends on nothing but its input.
package pack

import (
	"crypto/sha256"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Compression is how the frames of a pack are compressed.
type Compression string

// The compressions a pack can have.
const (
	Gzip Compression = "gzip" // read by every client there is
	Zstd Compression = "zstd" // faster to read; Docker needs release 23 or newer
	None Compression = "none"
)

// MediaType returns the media type of a layer compressed with c.
func (c Compression) MediaType() string {
	switch c {
	case Gzip:
		return ocispec.MediaTypeImageLayerGzip
	case Zstd:
		return ocispec.MediaTypeImageLayerZstd
	}
	return ocispec.MediaTypeImageLayer
}

// ParseCompression returns the compression with this name.
func ParseCompression(name string) (Compression, error) {
	switch c := Compression(name); c {
	case Gzip, Zstd, None:
		return c, nil
	}
	return "", fmt.Errorf("compression %q: must be gzip, zstd or none", name)
}

// CompressionOf returns the compression of layers with this media type; those
// of Docker's older manifests are known too.
func CompressionOf(mediaType string) (Compression, error) {
	switch mediaType {
	case ocispec.MediaTypeImageLayerGzip, "application/vnd.docker.image.rootfs.diff.tar.gzip":
		return Gzip, nil
	case ocispec.MediaTypeImageLayerZstd:
		return Zstd, nil
	case ocispec.MediaTypeImageLayer, "application/vnd.docker.image.rootfs.diff.tar":
		return None, nil
	}
	return "", fmt.Errorf("layer media type %q: not one that cdb reads", mediaType)
}

// Frame sizes in bytes of tar stream.
const (
	DataFrameSize    = 1 << 20  // of data packs
	CatalogFrameSize = 64 << 10 // of the catalog layer: 16 pages of SQLite
	maxFrameSize     = 16 << 20 // that a reader accepts
)

// A Frame says where the compressed bytes of one frame lie and what they
// must be.
type Frame struct {
	Offset int64 // in the blob
	Size   int64 // compressed
	SHA256 [sha256.Size]byte
}
