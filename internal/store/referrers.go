package store

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// annotationSubject marks an entry of index.json that is there because it
// refers to another manifest.
const annotationSubject = "io.github.data-containers.cdb.subject"

// Referrers returns the manifests of the layout whose subject is d: those that
// are entries of index.json, where other tools keep them too.
func (l *Layout) Referrers(ctx context.Context, d digest.Digest) ([]ocispec.Descriptor, error) {
	index, err := l.index()
	if err != nil {
		return nil, err
	}
	list, err := referrersAmong(ctx, l, index.Manifests, d)
	if err != nil {
		return nil, fmt.Errorf("list referrers in %s: %w", l.place, err)
	}
	return list, nil
}

// Referrers implements Referrer.
func (a *Archive) Referrers(ctx context.Context, d digest.Digest) ([]ocispec.Descriptor, error) {
	list, err := referrersAmong(ctx, a, a.entries, d)
	if err != nil {
		return nil, fmt.Errorf("list referrers in %s: %w", a.place, err)
	}
	return list, nil
}

// referrersAmong finds the manifests whose subject is d, and describes them as
// the distribution specification wants it: with their own type and
// annotations.
func referrersAmong(ctx context.Context, src Source, entries []ocispec.Descriptor, d digest.Digest) ([]ocispec.Descriptor, error) {
	var list []ocispec.Descriptor
	for _, e := range entries {
		if !isManifest(e.MediaType) {
			continue
		}
		data, err := readDocument(ctx, src, e)
		if err != nil {
			return nil, err
		}
		doc, err := parseDocument(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Digest, err)
		}
		if doc.Subject == nil || doc.Subject.Digest != d {
			continue
		}
		list = append(list, ocispec.Descriptor{
			MediaType: e.MediaType, Digest: e.Digest, Size: int64(len(data)),
			ArtifactType: doc.artifactType(), Annotations: maps.Clone(doc.Annotations),
		})
	}
	return list, nil
}

// Referrers implements Referrer.
func (l *Local) Referrers(ctx context.Context, d digest.Digest) ([]ocispec.Descriptor, error) {
	return l.layout.Referrers(ctx, d)
}

// AddReferrer implements ReferrerTarget: the manifest becomes an entry of
// index.json, without a name.
func (w *writer) AddReferrer(ctx context.Context, subject digest.Digest, desc ocispec.Descriptor, data []byte) error {
	if err := writeBlob(ctx, w, desc.Digest, data); err != nil {
		return err
	}
	desc = referrerEntry(desc, subject)
	return w.update(ctx, func(index *ocispec.Index) error {
		index.Manifests = slices.DeleteFunc(index.Manifests, func(d ocispec.Descriptor) bool { return d.Digest == desc.Digest })
		index.Manifests = append(index.Manifests, desc)
		return nil
	})
}

// writeBlob writes a small blob.
func writeBlob(ctx context.Context, t Target, d digest.Digest, data []byte) error {
	u, err := t.Create(ctx)
	if err != nil {
		return err
	}
	defer u.Abort()
	if _, err := u.Write(data); err != nil {
		return err
	}
	return u.Commit(ctx, d, int64(len(data)))
}

// referrerEntry is the entry of index.json for a manifest that refers to
// another one.
func referrerEntry(desc ocispec.Descriptor, subject digest.Digest) ocispec.Descriptor {
	desc.Annotations = maps.Clone(desc.Annotations)
	if desc.Annotations == nil {
		desc.Annotations = map[string]string{}
	}
	desc.Annotations[annotationSubject] = subject.String()
	return desc
}

// AddReferrer implements ReferrerTarget, before the image is published.
func (w *archiveWriter) AddReferrer(ctx context.Context, subject digest.Digest, desc ocispec.Descriptor, data []byte) error {
	if err := writeBlob(ctx, w, desc.Digest, data); err != nil {
		return err
	}
	w.referrers = append(w.referrers, referrerEntry(desc, subject))
	return nil
}

// named are the entries of an index.json that are images, not what refers to
// them.
func named(entries []ocispec.Descriptor) []ocispec.Descriptor {
	return slices.DeleteFunc(slices.Clone(entries), isReferrer)
}

func isReferrer(d ocispec.Descriptor) bool { return d.Annotations[annotationSubject] != "" }

// withoutOrphans drops the entries that refer to what no image names any more.
func withoutOrphans(entries []ocispec.Descriptor, kept map[digest.Digest]bool) []ocispec.Descriptor {
	return slices.DeleteFunc(slices.Clone(entries), func(d ocispec.Descriptor) bool {
		return isReferrer(d) && !kept[digest.Digest(d.Annotations[annotationSubject])]
	})
}
