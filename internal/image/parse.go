package image

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/data-containers/cdb/internal/pack"
)

// ErrNoDataContainer is wrapped by errors about images that cdb did not
// build.
var ErrNoDataContainer = errors.New("not a data container")

// MaxDocument is the size in bytes of the largest manifest, index or config
// that is read: what registries take.
const MaxDocument = 4 << 20

// Media types that Docker used before OCI.
const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// A Fetcher returns the bytes of a small blob. It need not verify them.
type Fetcher func(ctx context.Context, desc ocispec.Descriptor) ([]byte, error)

// An Image is a data container as its manifest and config describe it.
type Image struct {
	Root     ocispec.Descriptor // what was asked for: an index or a manifest
	Manifest ocispec.Descriptor // the manifest that was chosen
	Platform ocispec.Platform
	Layers   []Layer
	Labels   map[string]string
	Config   ocispec.ImageConfig
	// Platforms are those of all manifests that an index names.
	Platforms []ocispec.Platform
}

// Parse reads the documents of the image root. Of an index it takes the
// manifest for linux and arch, else any for linux: they share the data. Every
// document is checked against its digest.
func Parse(ctx context.Context, fetch Fetcher, root ocispec.Descriptor, arch string) (*Image, error) {
	return ParseWith(ctx, fetch, root, arch, func(*ocispec.Manifest) {})
}

// ParseWith is Parse, and calls seen with the manifest before the config is
// fetched: where that takes time, other things can be fetched meanwhile.
func ParseWith(ctx context.Context, fetch Fetcher, root ocispec.Descriptor, arch string, seen func(*ocispec.Manifest)) (*Image, error) {
	img, layers, diffIDs, err := parse(ctx, fetch, root, arch, seen)
	if err != nil {
		return nil, err
	}
	if err := img.setLayers(layers, diffIDs); err != nil {
		return nil, fmt.Errorf("image %s: %w", root.Digest, err)
	}
	return img, nil
}

// ParseAny is Parse for the image of anybody: its layers, from the lowest up,
// have no roles.
func ParseAny(ctx context.Context, fetch Fetcher, root ocispec.Descriptor, arch string) (*Image, error) {
	img, layers, diffIDs, err := parse(ctx, fetch, root, arch, func(*ocispec.Manifest) {})
	if err != nil {
		return nil, err
	}
	if len(layers) != len(diffIDs) {
		return nil, fmt.Errorf("image %s: %d layers for %d diffIDs", root.Digest, len(layers), len(diffIDs))
	}
	for i, d := range layers {
		img.Layers = append(img.Layers, Layer{Descriptor: d, DiffID: diffIDs[i]})
	}
	return img, nil
}

// parse is ParseWith without the roles of layers.
func parse(ctx context.Context, fetch Fetcher, root ocispec.Descriptor, arch string, seen func(*ocispec.Manifest)) (*Image, []ocispec.Descriptor, []digest.Digest, error) {
	img := &Image{Root: root, Manifest: root}
	if root.MediaType == ocispec.MediaTypeImageIndex || root.MediaType == dockerIndex {
		var index ocispec.Index
		if err := document(ctx, fetch, root, &index); err != nil {
			return nil, nil, nil, err
		}
		var err error
		if img.Manifest, err = choose(&index, arch); err != nil {
			return nil, nil, nil, fmt.Errorf("image %s: %w", root.Digest, err)
		}
		for _, m := range index.Manifests {
			if m.Platform != nil {
				img.Platforms = append(img.Platforms, *m.Platform)
			}
		}
	}
	var m ocispec.Manifest
	if err := document(ctx, fetch, img.Manifest, &m); err != nil {
		return nil, nil, nil, err
	}
	if m.Config.MediaType != ocispec.MediaTypeImageConfig && m.Config.MediaType != "application/vnd.docker.container.image.v1+json" {
		return nil, nil, nil, fmt.Errorf("image %s: %w: its config is %q", root.Digest, ErrNoDataContainer, m.Config.MediaType)
	}
	seen(&m)
	var config ocispec.Image
	if err := document(ctx, fetch, m.Config, &config); err != nil {
		return nil, nil, nil, err
	}
	img.Platform, img.Labels, img.Config = config.Platform, config.Config.Labels, config.Config
	if len(img.Platforms) == 0 {
		img.Platforms = []ocispec.Platform{config.Platform}
	}
	return img, m.Layers, config.RootFS.DiffIDs, nil
}

// Blobs returns all that the image root is made of, each once: of an index the
// blobs of all its manifests, then what names them.
func Blobs(ctx context.Context, fetch Fetcher, root ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	var blobs []ocispec.Descriptor
	seen := map[digest.Digest]bool{}
	add := func(descs ...ocispec.Descriptor) {
		for _, d := range descs {
			if !seen[d.Digest] {
				seen[d.Digest] = true
				blobs = append(blobs, d)
			}
		}
	}
	manifests := []ocispec.Descriptor{root}
	if root.MediaType == ocispec.MediaTypeImageIndex || root.MediaType == dockerIndex {
		var index ocispec.Index
		if err := document(ctx, fetch, root, &index); err != nil {
			return nil, err
		}
		manifests = index.Manifests
	}
	for _, desc := range manifests {
		var m ocispec.Manifest
		if err := document(ctx, fetch, desc, &m); err != nil {
			return nil, err
		}
		add(m.Layers...)
		add(m.Config, desc)
	}
	add(root)
	return blobs, nil
}

// choose picks a manifest of an index.
func choose(index *ocispec.Index, arch string) (ocispec.Descriptor, error) {
	linux := slices.DeleteFunc(slices.Clone(index.Manifests), func(d ocispec.Descriptor) bool {
		return d.Platform == nil || d.Platform.OS != "linux" ||
			d.MediaType != ocispec.MediaTypeImageManifest && d.MediaType != dockerManifest
	})
	if len(linux) == 0 {
		return ocispec.Descriptor{}, fmt.Errorf("%w: it has no manifest for linux", ErrNoDataContainer)
	}
	for _, d := range linux {
		if d.Platform.Architecture == arch {
			return d, nil
		}
	}
	return linux[0], nil
}

// document fetches, checks and decodes a document.
func document(ctx context.Context, fetch Fetcher, desc ocispec.Descriptor, doc any) error {
	if desc.Size > MaxDocument {
		return fmt.Errorf("read %s: a document of %d bytes", desc.Digest, desc.Size)
	}
	if err := desc.Digest.Validate(); err != nil {
		return fmt.Errorf("read document %q: %w", desc.Digest, err)
	}
	b, err := fetch(ctx, desc)
	if err != nil {
		return fmt.Errorf("read %s: %w", desc.Digest, err)
	}
	if desc.Digest.Algorithm().FromBytes(b) != desc.Digest {
		return fmt.Errorf("read %s: digest does not match", desc.Digest)
	}
	if err := json.Unmarshal(b, doc); err != nil {
		return fmt.Errorf("read %s: %w", desc.Digest, err)
	}
	return nil
}

// setLayers finds the roles of layers.
func (img *Image) setLayers(descs []ocispec.Descriptor, diffIDs []digest.Digest) error {
	if img.Labels[LabelFormat] == "" {
		return fmt.Errorf("%w: it has no label %s", ErrNoDataContainer, LabelFormat)
	}
	if img.Labels[LabelFormat] != Format {
		return fmt.Errorf("image format %q, this release reads %q; use a newer cdb", img.Labels[LabelFormat], Format)
	}
	if len(descs) != len(diffIDs) || len(descs) < 2 {
		return fmt.Errorf("%d layers for %d diffIDs", len(descs), len(diffIDs))
	}
	for i, d := range descs {
		role := RoleData
		if i == 0 {
			role = RoleEntrypoint
		}
		img.Layers = append(img.Layers, Layer{Descriptor: d, DiffID: diffIDs[i], Role: role})
	}
	numbers, ok := catalogNumbers(img.Labels[LabelCatalog], len(descs))
	if !ok {
		return fmt.Errorf("label %s: %q names no layers", LabelCatalog, img.Labels[LabelCatalog])
	}
	for _, i := range numbers {
		img.Layers[i].Role = RoleCatalog
	}
	return nil
}

// catalogNumbers reads the value of LabelCatalog for an image of n layers.
func catalogNumbers(label string, n int) (numbers []int, ok bool) {
	for number := range strings.SplitSeq(label, ",") {
		i, err := strconv.Atoi(number)
		if err != nil || i < 1 || i >= n || slices.Contains(numbers, i) {
			return nil, false
		}
		numbers = append(numbers, i)
	}
	return numbers, true
}

// CatalogLayers returns the layers that the annotations of a manifest call
// those of the catalog. They are a hint: the labels of the config decide.
func CatalogLayers(m *ocispec.Manifest) []ocispec.Descriptor {
	numbers, _ := catalogNumbers(m.Annotations[LabelCatalog], len(m.Layers))
	var layers []ocispec.Descriptor
	for _, i := range numbers {
		layers = append(layers, m.Layers[i])
	}
	return layers
}

// Catalog returns the layers that hold the catalog: the base and its deltas,
// oldest first.
func (img *Image) Catalog() []Layer {
	var layers []Layer
	for _, l := range img.Layers {
		if l.Role == RoleCatalog {
			layers = append(layers, l)
		}
	}
	return layers
}

// TableLocation returns where the frame table of l lies, if its annotations
// say it.
func (l *Layer) TableLocation() (*pack.Location, bool) {
	offset, rest, ok := strings.Cut(l.Annotations[AnnotationTable], ":")
	size, sum, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 {
		return nil, false
	}
	var loc pack.Location
	var err error
	if loc.Offset, err = strconv.ParseInt(offset, 10, 64); err != nil {
		return nil, false
	}
	if loc.Size, err = strconv.ParseInt(size, 10, 64); err != nil {
		return nil, false
	}
	b, err := hex.DecodeString(sum)
	if err != nil || len(b) != len(loc.SHA256) {
		return nil, false
	}
	copy(loc.SHA256[:], b)
	return &loc, true
}
