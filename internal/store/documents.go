package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	// Digests can be checked only if their hash is linked in.
	_ "crypto/sha256"
	_ "crypto/sha512"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// maxDocument bounds manifests, indexes and configs, as registries do.
	maxDocument = 4 << 20
	// maxIndexFile bounds index.json of a folder: some ten thousand images.
	maxIndexFile = 32 << 20
	// maxDepth bounds indexes within indexes.
	maxDepth = 8

	mediaTypeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	mediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"

	// annotationFullName is where containerd and Docker look for the name.
	annotationFullName = "io.containerd.image.name"

	layoutVersion = `{"imageLayoutVersion":"1.0.0"}`
)

// document is what manifests and indexes have in common: whatever they name.
type document struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	Manifests     []ocispec.Descriptor `json:"manifests"`
	Config        *ocispec.Descriptor  `json:"config"`
	Layers        []ocispec.Descriptor `json:"layers"`
	Subject       *ocispec.Descriptor  `json:"subject"`
	ArtifactType  string               `json:"artifactType"`
	Annotations   map[string]string    `json:"annotations"`
}

// children are the blobs the document names.
func (d *document) children() []ocispec.Descriptor {
	all := append([]ocispec.Descriptor(nil), d.Manifests...)
	if d.Config != nil {
		all = append(all, *d.Config)
	}
	return append(all, d.Layers...)
}

// artifactType is the type of what a manifest holds: that of its config where
// it states none (image-spec, "Guidelines for Artifact Usage").
func (d *document) artifactType() string {
	if d.ArtifactType == "" && d.Config != nil {
		return d.Config.MediaType
	}
	return d.ArtifactType
}

// mediaType is the stated type or the one the content gives away, "" if the
// document is neither a manifest nor an index.
func (d *document) mediaType() string {
	switch {
	case isIndex(d.MediaType), isManifest(d.MediaType):
		return d.MediaType
	case d.SchemaVersion != 2:
		return ""
	case d.Config != nil:
		return ocispec.MediaTypeImageManifest
	case d.Manifests != nil:
		return ocispec.MediaTypeImageIndex
	}
	return ""
}

func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == mediaTypeDockerList
}

func isManifest(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageManifest || mediaType == mediaTypeDockerManifest
}

// parseDocument reads a manifest or an index and checks every descriptor.
func parseDocument(data []byte) (*document, error) {
	var d document
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, err
	}
	for i, c := range d.children() {
		if err := checkDescriptor(c); err != nil {
			return nil, fmt.Errorf("descriptor %d: %w", i, err)
		}
	}
	return &d, nil
}

func checkDescriptor(d ocispec.Descriptor) error {
	if err := d.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %q: %w", d.Digest, err)
	}
	if d.Size < 0 {
		return fmt.Errorf("%s: negative size %d", d.Digest, d.Size)
	}
	return nil
}

// parseIndexFile reads index.json.
func parseIndexFile(data []byte) (*ocispec.Index, error) {
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, err
	}
	if index.SchemaVersion != 2 {
		return nil, fmt.Errorf("schemaVersion is %d, want 2", index.SchemaVersion)
	}
	for i, d := range index.Manifests {
		if err := checkDescriptor(d); err != nil {
			return nil, fmt.Errorf("manifest %d: %w", i, err)
		}
	}
	return &index, nil
}

func newIndex() *ocispec.Index {
	return &ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{},
	}
}

// checkLayoutVersion reads the file oci-layout.
func checkLayoutVersion(data []byte) error {
	var v ocispec.ImageLayout
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("read oci-layout: %w", err)
	}
	if !strings.HasPrefix(v.Version, "1.") {
		return fmt.Errorf("read oci-layout: layout version %q is not supported, want 1.x", v.Version)
	}
	return nil
}

// readAtMost reads r to its end and refuses more than limit bytes.
func readAtMost(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("longer than %d bytes", limit)
	}
	return data, err
}

// readDocument reads and verifies a small blob.
func readDocument(ctx context.Context, src Source, desc ocispec.Descriptor) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b, err := src.Open(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	if b.Size() > maxDocument {
		return nil, fmt.Errorf("read %s: %d bytes are too many for a manifest, at most %d", desc.Digest, b.Size(), maxDocument)
	}
	data, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", desc.Digest, err)
	}
	if got := desc.Digest.Algorithm().FromBytes(data); got != desc.Digest {
		return nil, fmt.Errorf("read %s: the bytes are damaged, they have digest %s", desc.Digest, got)
	}
	return data, nil
}

// walk calls visit for root, which has to be a manifest or an index, and for
// everything it names, parents first, each blob once. Manifests that an index names but src does not hold (an image of which
// only some platforms were copied) are left out.
func walk(ctx context.Context, src Source, root ocispec.Descriptor, visit func(ocispec.Descriptor, *document) error) error {
	w := walker{src: src, visit: visit, seen: map[visited]bool{}}
	return w.walk(ctx, root, 0)
}

type walker struct {
	src   Source
	visit func(ocispec.Descriptor, *document) error
	seen  map[visited]bool
}

// visited tells a blob from the same blob taken for a manifest.
type visited struct {
	digest   digest.Digest
	document bool
}

func (w *walker) walk(ctx context.Context, desc ocispec.Descriptor, depth int) error {
	isDocument := depth == 0 || isIndex(desc.MediaType) || isManifest(desc.MediaType)
	this := visited{desc.Digest, isDocument}
	if w.seen[this] {
		return nil
	}
	if depth > maxDepth {
		return fmt.Errorf("read %s: indexes are nested more than %d deep", desc.Digest, maxDepth)
	}
	if !isDocument {
		w.seen[this] = true
		return w.visit(desc, nil)
	}
	doc, err := w.document(ctx, desc)
	if depth > 0 && errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	w.seen[this] = true
	if err := w.visit(desc, doc); err != nil {
		return err
	}
	for _, c := range doc.children() {
		if err := w.walk(ctx, c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) document(ctx context.Context, desc ocispec.Descriptor) (*document, error) {
	data, err := readDocument(ctx, w.src, desc)
	if err != nil {
		return nil, err
	}
	doc, err := parseDocument(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", desc.Digest, err)
	}
	return doc, nil
}

// encode writes JSON as it is stored: no HTML escapes, no line break.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
