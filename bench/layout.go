package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// A document is an index or a manifest of an OCI layout, as far as it matters here.
type document struct {
	Manifests []descriptor `json:"manifests"`
	Layers    []descriptor `json:"layers"`
}

type descriptor struct {
	Digest   string `json:"digest"`
	Platform struct {
		Architecture string `json:"architecture"`
	} `json:"platform"`
}

// unpackEnds unpacks the first and the last layer of the image in a layout,
// the entrypoint and the catalog, into the folder to.
func unpackEnds(layout, to string) error {
	layers, err := layersOf(layout)
	if err != nil {
		return fmt.Errorf("read layout: %w", err)
	}
	for _, l := range []descriptor{layers[0], layers[len(layers)-1]} {
		if err := unpackLayer(blobPath(layout, l), to); err != nil {
			return fmt.Errorf("unpack layer %s: %w", l.Digest, err)
		}
	}
	return nil
}

// layersOf follows indexes to the manifest for this machine.
func layersOf(layout string) ([]descriptor, error) {
	name := filepath.Join(layout, "index.json")
	for range 4 {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var doc document
		if err := json.Unmarshal(text, &doc); err != nil {
			return nil, err
		}
		if len(doc.Layers) > 0 {
			return doc.Layers, nil
		}
		if len(doc.Manifests) == 0 {
			break
		}
		next := doc.Manifests[0]
		for _, m := range doc.Manifests {
			if m.Platform.Architecture == runtime.GOARCH {
				next = m
			}
		}
		name = blobPath(layout, next)
	}
	return nil, errors.New("it holds no image")
}

func blobPath(layout string, d descriptor) string {
	return filepath.Join(layout, "blobs", "sha256", filepath.Base(strings.TrimPrefix(d.Digest, "sha256:")))
}

// unpackLayer writes the regular files of a gzip-compressed layer.
func unpackLayer(blob, to string) error {
	root, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := os.Open(blob)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil && h.Typeflag == tar.TypeReg {
			err = unpackFile(root, h, r)
		}
		if err != nil {
			return err
		}
	}
}

func unpackFile(root *os.Root, h *tar.Header, r io.Reader) error {
	name := filepath.Clean(strings.TrimPrefix(h.Name, "/"))
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, h.FileInfo().Mode().Perm()|0o400)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, r); err != nil {
		return err
	}
	return f.Close()
}

// tarLayer writes the folder src as one gzip-compressed layer into a layout.
// diffID is the digest of the tar.
func tarLayer(ctx context.Context, src, layout string) (layer descriptorOf, diffID string, err error) {
	blobs := filepath.Join(layout, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return layer, "", err
	}
	f, err := os.CreateTemp(blobs, "layer")
	if err != nil {
		return layer, "", err
	}
	defer f.Close()
	packed, plain := sha256.New(), sha256.New()
	z, err := gzip.NewWriterLevel(io.MultiWriter(f, packed), gzip.BestSpeed)
	if err != nil {
		return layer, "", err
	}
	tar := command(ctx, "tar", "-C", src, "--transform", "s,^\\.,data,", "-cf", "-", ".")
	tar.Stdout = io.MultiWriter(z, plain)
	var said tail
	tar.Stderr = &said
	if err := tar.Run(); err != nil {
		return layer, "", fmt.Errorf("tar: %w: %s", err, said.gist())
	}
	if err := z.Close(); err != nil {
		return layer, "", err
	}
	info, err := f.Stat()
	if err != nil {
		return layer, "", err
	}
	layer = descriptorOf{"application/vnd.oci.image.layer.v1.tar+gzip", fmt.Sprintf("sha256:%x", packed.Sum(nil)), info.Size()}
	return layer, fmt.Sprintf("sha256:%x", plain.Sum(nil)), os.Rename(f.Name(), blobPath(layout, descriptor{Digest: layer.Digest}))
}

// digestOf is the digest of a blob.
func digestOf(text []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(text)) }
