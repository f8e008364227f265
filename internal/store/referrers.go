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
	var list []ocispec.Descriptor
	for _, e := range index.Manifests {
		if !isManifest(e.MediaType) {
			continue
		}
		data, err := readDocument(ctx, l, e)
		if err != nil {
			return nil, fmt.Errorf("list referrers in %s: %w", l.place, err)
		}
		doc, err := parseDocument(data)
		if err != nil {
			return nil, fmt.Errorf("list referrers in %s: %s: %w", l.place, e.Digest, err)
		}
		if doc.Subject == nil || doc.Subject.Digest != d {
			continue
		}
		e.Annotations = maps.Clone(doc.Annotations)
		list = append(list, e)
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
	u, err := w.Create(ctx)
	if err != nil {
		return err
	}
	defer u.Abort()
	if _, err := u.Write(data); err != nil {
		return err
	}
	if err := u.Commit(ctx, desc.Digest, int64(len(data))); err != nil {
		return err
	}
	desc.Annotations = maps.Clone(desc.Annotations)
	if desc.Annotations == nil {
		desc.Annotations = map[string]string{}
	}
	desc.Annotations[annotationSubject] = subject.String()
	return w.update(ctx, func(index *ocispec.Index) error {
		index.Manifests = slices.DeleteFunc(index.Manifests, func(d ocispec.Descriptor) bool { return d.Digest == desc.Digest })
		index.Manifests = append(index.Manifests, desc)
		return nil
	})
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
