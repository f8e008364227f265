package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// resolve finds name among the entries of an index.json: a digest (or
// "anything@digest"), an abbreviated digest, a tag, a full name, the tag part
// of a full name, or "" for the only image.
func resolve(ctx context.Context, src Source, place string, entries []ocispec.Descriptor, name string) (ocispec.Descriptor, error) {
	if err := ctx.Err(); err != nil {
		return ocispec.Descriptor{}, err
	}
	if _, d, ok := cutDigest(name); ok {
		return resolveDigest(ctx, src, place, entries, d)
	}
	tests := []func(ocispec.Descriptor) bool{
		func(d ocispec.Descriptor) bool { return d.Annotations[ocispec.AnnotationRefName] == name },
		func(d ocispec.Descriptor) bool {
			full := cmp.Or(d.Annotations[annotationFullName], d.Annotations[ocispec.AnnotationRefName])
			return full != "" && normalise(full) == normalise(name)
		},
		func(d ocispec.Descriptor) bool {
			_, tag := cutTag(d.Annotations[ocispec.AnnotationRefName])
			return tag != "" && tag == name
		},
	}
	if name == "" {
		tests = []func(ocispec.Descriptor) bool{func(ocispec.Descriptor) bool { return true }}
	} else if hex, ok := strings.CutPrefix(name, "sha256:"); ok && isHex(hex) {
		tests = []func(ocispec.Descriptor) bool{
			func(d ocispec.Descriptor) bool { return strings.HasPrefix(string(d.Digest), name) },
		}
	}
	for _, match := range tests {
		d, n := pick(entries, match)
		if n == 1 {
			return d, nil
		}
		if n > 1 {
			return d, fmt.Errorf("find %s: %d different images match, say which one: %s", describe(place, name), n, listing(entries))
		}
	}
	return ocispec.Descriptor{}, notFound(place, name, entries)
}

// pick returns the first matching entry and how many different images match.
func pick(entries []ocispec.Descriptor, match func(ocispec.Descriptor) bool) (ocispec.Descriptor, int) {
	var found []ocispec.Descriptor
	for _, d := range entries {
		same := func(o ocispec.Descriptor) bool { return o.Digest == d.Digest }
		if match(d) && !slices.ContainsFunc(found, same) {
			found = append(found, d)
		}
	}
	if len(found) == 0 {
		return ocispec.Descriptor{}, 0
	}
	return found[0], len(found)
}

// resolveDigest also finds images that no name stands for (any more) as long
// as their blobs are there.
func resolveDigest(ctx context.Context, src Source, place string, entries []ocispec.Descriptor, d digest.Digest) (ocispec.Descriptor, error) {
	for _, e := range entries {
		if e.Digest == d {
			return e, nil
		}
	}
	none := ocispec.Descriptor{}
	data, err := readDocument(ctx, src, ocispec.Descriptor{Digest: d})
	if errors.Is(err, ErrNotFound) {
		return none, notFound(place, string(d), entries)
	}
	if err != nil {
		return none, err
	}
	doc, err := parseDocument(data)
	if err != nil || doc.mediaType() == "" {
		return none, fmt.Errorf("find %s: the blob is neither a manifest nor an index", describe(place, string(d)))
	}
	return ocispec.Descriptor{MediaType: doc.mediaType(), Digest: d, Size: int64(len(data))}, nil
}

func notFound(place, name string, entries []ocispec.Descriptor) error {
	if len(entries) == 0 {
		return fmt.Errorf("find %s: %w: there are no images", describe(place, name), ErrNotFound)
	}
	return fmt.Errorf("find %s: %w: there is %s", describe(place, name), ErrNotFound, listing(near(name, entries)))
}

func describe(place, name string) string {
	if name == "" {
		return "the image in " + place
	}
	return fmt.Sprintf("image %q in %s", name, place)
}

// near keeps the entries of the same repository as name, or all if there are none.
func near(name string, entries []ocispec.Descriptor) []ocispec.Descriptor {
	repository, _ := cutTag(name)
	var same []ocispec.Descriptor
	for _, d := range entries {
		if r, _ := cutTag(d.Annotations[ocispec.AnnotationRefName]); r == repository {
			same = append(same, d)
		}
	}
	if len(same) > 0 {
		return same
	}
	return entries
}

// listing names the entries, at most ten.
func listing(entries []ocispec.Descriptor) string {
	const most = 10
	var names []string
	for _, d := range entries[:min(len(entries), most)] {
		name := d.Annotations[ocispec.AnnotationRefName]
		if name == "" {
			name = string(d.Digest)
		}
		names = append(names, fmt.Sprintf("%q", name))
	}
	s := strings.Join(names, ", ")
	if more := len(entries) - most; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}
