package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxDockerImages bounds the configs read to find an image by its digest.
const maxDockerImages = 1000

// dockerImage is an element of manifest.json.
type dockerImage struct {
	Config   string
	RepoTags []string `json:",omitempty"`
	Layers   []string
}

// readDocker reads manifest.json.
func (a *Archive) readDocker() error {
	data, err := a.readFile("manifest.json")
	if errors.Is(err, ErrNotFound) {
		return errors.New("it has neither index.json nor manifest.json: it is no image archive, or it is cut off")
	}
	if err != nil {
		return err
	}
	images := []dockerImage{}
	if err := json.Unmarshal(data, &images); err != nil {
		return fmt.Errorf("manifest.json is damaged: %w", err)
	}
	if len(images) > maxDockerImages {
		return fmt.Errorf("it has %d images, at most %d are possible", len(images), maxDockerImages)
	}
	a.docker = append([]dockerImage{}, images...)
	return nil
}

// resolveDocker makes manifests for the images that may be meant, and looks
// among them as in an index.json.
func (a *Archive) resolveDocker(ctx context.Context, name string) (ocispec.Descriptor, error) {
	none := ocispec.Descriptor{}
	_, _, byDigest := cutDigest(name)
	var entries []ocispec.Descriptor
	for _, image := range a.docker {
		if err := ctx.Err(); err != nil {
			return none, err
		}
		desc := ocispec.Descriptor{}
		if byDigest || len(a.docker) == 1 || image.hasTag(name) {
			var err error
			if desc, err = a.convert(ctx, image); err != nil {
				return none, fmt.Errorf("read image %q of %s: %w", image.RepoTags, a.place, err)
			}
		} else {
			// Not read, but told apart from others.
			desc.Digest = digest.FromString(image.Config)
		}
		entries = append(entries, image.named(desc)...)
	}
	return resolve(ctx, a, a.place, entries, name)
}

// hasTag says if name may mean the image.
func (i dockerImage) hasTag(name string) bool {
	return name == "" || slices.ContainsFunc(i.RepoTags, func(ref string) bool {
		_, tag := cutTag(ref)
		return ref == name || tag == name || normalise(ref) == normalise(name)
	})
}

// named returns the descriptor once for each name of the image.
func (i dockerImage) named(desc ocispec.Descriptor) []ocispec.Descriptor {
	if len(i.RepoTags) == 0 {
		return []ocispec.Descriptor{desc}
	}
	var all []ocispec.Descriptor
	for _, ref := range i.RepoTags {
		d := desc
		d.Annotations = map[string]string{ocispec.AnnotationRefName: ref, annotationFullName: normalise(ref)}
		all = append(all, d)
	}
	return all
}

// convert makes a manifest for the image. Layers that are plain tars have
// their diffID as digest, so nothing has to be hashed.
func (a *Archive) convert(ctx context.Context, image dockerImage) (ocispec.Descriptor, error) {
	none := ocispec.Descriptor{}
	config, err := a.readFile(image.Config)
	if err != nil {
		return none, err
	}
	var parsed ocispec.Image
	if err := json.Unmarshal(config, &parsed); err != nil {
		return none, fmt.Errorf("config %q is damaged: %w", image.Config, err)
	}
	ids := parsed.RootFS.DiffIDs
	if len(ids) != len(image.Layers) {
		return none, fmt.Errorf("config %q has %d layers, manifest.json %d", image.Config, len(ids), len(image.Layers))
	}
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    a.keep(ocispec.MediaTypeImageConfig, config),
		Layers:    []ocispec.Descriptor{},
	}
	for i, name := range image.Layers {
		layer, err := a.convertLayer(ctx, name, ids[i])
		if err != nil {
			return none, fmt.Errorf("layer %q: %w", name, err)
		}
		manifest.Layers = append(manifest.Layers, layer)
	}
	data, err := encode(manifest)
	if err != nil {
		return none, err
	}
	return a.keep(ocispec.MediaTypeImageManifest, data), nil
}

// keep serves data as a blob.
func (a *Archive) keep(mediaType string, data []byte) ocispec.Descriptor {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.blobs[desc.Digest] = archiveBlob{bytes.NewReader(data)}
	return desc
}

// convertLayer describes a layer. A compressed one, which Docker does not
// write but others do, has to be hashed.
func (a *Archive) convertLayer(ctx context.Context, name string, diffID digest.Digest) (ocispec.Descriptor, error) {
	none := ocispec.Descriptor{}
	if err := diffID.Validate(); err != nil {
		return none, fmt.Errorf("diffID %q: %w", diffID, err)
	}
	m, ok := a.find(name)
	if !ok {
		return none, ErrNotFound
	}
	b := a.section(m)
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: diffID, Size: m.size}
	head := make([]byte, min(m.size, 8))
	_, err := b.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return none, err
	}
	c := compression(head)
	if c == "gzip" || c == "zstd" {
		if desc.Digest, err = a.hashMember(ctx, m); err != nil {
			return none, err
		}
		desc.MediaType = ocispec.MediaTypeImageLayer + "+" + c
	} else if c != "" {
		return none, fmt.Errorf("it is compressed with %s, which OCI images do not know", c)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.blobs[desc.Digest] = b
	return desc, nil
}

// hashMember hashes a member once, however often it is named.
func (a *Archive) hashMember(ctx context.Context, m member) (digest.Digest, error) {
	a.mu.Lock()
	d, ok := a.hashes[m.offset]
	a.mu.Unlock()
	if ok {
		return d, nil
	}
	d, err := hash(ctx, a.section(m))
	if err != nil {
		return "", err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hashes[m.offset] = d
	return d, nil
}

// hash reads a blob and returns its digest.
func hash(ctx context.Context, b Blob) (digest.Digest, error) {
	h := digest.SHA256.Digester()
	buf := make([]byte, 1<<20)
	for at := int64(0); at < b.Size(); {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := b.ReadAt(buf, at)
		h.Hash().Write(buf[:n])
		at += int64(n)
		if err != nil && !(err == io.EOF && at == b.Size()) {
			return "", err
		}
	}
	return h.Digest(), nil
}
