// Package image is the make-up of a data container as an OCI image: which
// layers it has, which labels and annotations, and how its parts are found
// again. It knows manifests, not the bytes of layers.
package image

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/pack"
)

// Names of labels and annotations of our own. Labels are those of the image
// config; the manifest has the same as annotations. The rest annotate layers.
const (
	annotationPrefix = "io.github.data-containers.cdb."

	LabelFormat = annotationPrefix + "format" // of the image: "1"
	LabelPrefix = annotationPrefix + "prefix" // the folder of the data
	LabelFiles  = annotationPrefix + "files"  // the number of regular files
	LabelBytes  = annotationPrefix + "bytes"  // the sum of their sizes
	LabelDigest = annotationPrefix + "digest" // the dataset digest
	// LabelCatalog lists the layers of the catalog by their numbers, from 0:
	// the base and its deltas, oldest first.
	LabelCatalog = annotationPrefix + "catalog"

	AnnotationRole  = annotationPrefix + "role"  // "entrypoint", "data" or "catalog"
	AnnotationTable = annotationPrefix + "table" // OFFSET:SIZE:SHA256 of a pack's frame table
)

// Format is the version of the image format that this release writes.
const Format = "1"

// Paths in the image, as tar has them.
const (
	EntrypointPath = "entrypoint"
	CatalogDir     = ".cdb"
	CatalogPath    = ".cdb/catalog.db"
)

// A Role is what a layer is for.
type Role string

// The roles of layers, in the order of layers.
const (
	RoleEntrypoint Role = "entrypoint"
	RoleData       Role = "data"
	RoleCatalog    Role = "catalog"
)

// A Layer is one layer of a data container.
type Layer struct {
	ocispec.Descriptor
	DiffID digest.Digest
	Role   Role
}

// NewLayer returns the layer for a finished pack.
func NewLayer(info *pack.Info, role Role) Layer {
	l := Layer{
		Descriptor: ocispec.Descriptor{
			MediaType:   info.MediaType,
			Digest:      info.Digest,
			Size:        info.Size,
			Annotations: map[string]string{AnnotationRole: string(role)},
		},
		DiffID: info.DiffID,
		Role:   role,
	}
	if role == RoleCatalog {
		l.Annotations[AnnotationTable] = formatLocation(info.Location)
	}
	return l
}

// DataLayer returns the layer of a pack that a catalog knows.
func DataLayer(p *catalog.Pack) Layer {
	return Layer{
		Descriptor: ocispec.Descriptor{
			MediaType:   p.MediaType,
			Digest:      digest.Digest(p.Digest),
			Size:        p.Size,
			Annotations: map[string]string{AnnotationRole: string(RoleData)},
		},
		DiffID: digest.Digest(p.DiffID),
		Role:   RoleData,
	}
}

// ConfigOptions are what an image has beside its dataset.
type ConfigOptions struct {
	Arch   string // as in GOARCH
	User   string // numeric UID:GID
	Volume bool   // declare the data folder a volume
}

// Labels returns the labels of the config and annotations of the manifest
// that describe ds and its layers: the one place where they come from. What
// the user says in a label stands before what the files of the dataset say.
func Labels(ds *catalog.Dataset, layers []Layer) map[string]string {
	labels := map[string]string{}
	maps.Copy(labels, ds.Labels)
	for k, v := range map[string]string{
		ocispec.AnnotationCreated: ds.Created.UTC().Format(time.RFC3339),
		LabelFormat:               Format,
		LabelPrefix:               ds.Prefix,
		LabelFiles:                strconv.FormatInt(ds.Files, 10),
		LabelBytes:                strconv.FormatInt(ds.Bytes, 10),
		LabelDigest:               ds.Digest,
		LabelCatalog:              catalogLayers(layers),
	} {
		if v != "" {
			labels[k] = v
		}
	}
	for _, w := range []struct{ key, value, word string }{
		{ocispec.AnnotationTitle, ds.Title, "title"},
		{ocispec.AnnotationDescription, ds.Description, "description"},
		{ocispec.AnnotationLicenses, ds.License, "license"},
		{ocispec.AnnotationVersion, ds.Version, "version"},
		{ocispec.AnnotationAuthors, ds.Authors(), authorsWord(ds)},
		{ocispec.AnnotationURL, doiURL(ds), "identifiers"},
		{ocispec.AnnotationURL, ds.URL, "url"},
		{ocispec.AnnotationSource, firstURL(ds.Source), "source"},
		{ocispec.AnnotationVendor, ds.Publisher, "publisher"},
	} {
		_, given := ds.Labels[w.key]
		if w.value != "" && !(given && ds.Origins[w.word] != "") {
			labels[w.key] = short(w.value)
		}
	}
	return labels
}

// maxLabel is the length of a label that comes from the files of a dataset, in
// bytes: registries take documents of a few megabytes, and labels are in three.
const maxLabel = 4096

// short cuts a label that is too long.
func short(s string) string {
	if len(s) <= maxLabel {
		return s
	}
	return strings.ToValidUTF8(s[:maxLabel-len("…")], "") + "…"
}

// authorsWord returns the word that the authors are made of.
func authorsWord(ds *catalog.Dataset) string {
	if ds.Author != "" {
		return "author"
	}
	return "creators"
}

// doiURL returns the URL of the dataset's DOI, or "".
func doiURL(ds *catalog.Dataset) string {
	if doi := ds.DOI(); doi != "" {
		return catalog.Identifier(doi)
	}
	return ""
}

// firstURL returns the first URL of a list, or "".
func firstURL(list []string) string {
	for _, s := range list {
		if strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") {
			return s
		}
	}
	return ""
}

// Config returns the bytes of the image config.
func Config(ds *catalog.Dataset, layers []Layer, opts ConfigOptions) ([]byte, error) {
	created := ds.Created.UTC()
	img := ocispec.Image{
		Created:  &created,
		Platform: ocispec.Platform{Architecture: opts.Arch, OS: "linux"},
		Config: ocispec.ImageConfig{
			User:       opts.User,
			Entrypoint: []string{"/" + EntrypointPath},
			WorkingDir: "/",
			Labels:     Labels(ds, layers),
		},
		RootFS: ocispec.RootFS{Type: "layers"},
	}
	if opts.Volume {
		img.Config.Volumes = map[string]struct{}{ds.Prefix: {}}
	}
	for _, l := range layers {
		img.RootFS.DiffIDs = append(img.RootFS.DiffIDs, l.DiffID)
		img.History = append(img.History, ocispec.History{Created: &created, CreatedBy: "cdb build: " + string(l.Role)})
	}
	return json.Marshal(img)
}

// Manifest returns the bytes of the manifest. It has no artifactType: with
// one, CRI-O takes an image for an artifact.
func Manifest(ds *catalog.Dataset, config ocispec.Descriptor, layers []Layer) ([]byte, error) {
	m := ocispec.Manifest{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		MediaType:   ocispec.MediaTypeImageManifest,
		Config:      config,
		Annotations: Labels(ds, layers),
	}
	for _, l := range layers {
		m.Layers = append(m.Layers, l.Descriptor)
	}
	return json.Marshal(m)
}

// Index returns the bytes of the image index over the manifests of several
// architectures, whose layers have the same places.
func Index(ds *catalog.Dataset, layers []Layer, manifests []ocispec.Descriptor) ([]byte, error) {
	return json.Marshal(ocispec.Index{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		MediaType:   ocispec.MediaTypeImageIndex,
		Manifests:   manifests,
		Annotations: Labels(ds, layers),
	})
}

// Describe returns the descriptor of a document.
func Describe(mediaType string, doc []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(doc), Size: int64(len(doc))}
}

// catalogLayers returns the value of LabelCatalog.
func catalogLayers(layers []Layer) string {
	var numbers []string
	for i, l := range layers {
		if l.Role == RoleCatalog {
			numbers = append(numbers, strconv.Itoa(i))
		}
	}
	return strings.Join(numbers, ",")
}

// formatLocation returns loc as it stands in an annotation.
func formatLocation(loc pack.Location) string {
	return fmt.Sprintf("%d:%d:%x", loc.Offset, loc.Size, loc.SHA256)
}
