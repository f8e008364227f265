package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"
)

const (
	maxPage  = 16 << 20 // bytes of a page of a list
	maxPages = 100_000
)

// Repositories yields the names of the repositories of a registry, where it
// lists them. The error wraps ErrNotFound or ErrDenied where it does not.
func (c *Client) Repositories(ctx context.Context, hostName string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		r, err := c.Repository(hostName, "")
		if err != nil {
			yield("", err)
			return
		}
		ctx := auth.WithScopesForHost(ctx, r.host.addr, auth.ScopeRegistryCatalog)
		first := r.host.base("_catalog")
		first.RawQuery = "n=1000"
		for page, err := range pages(r, ctx, first, func(p *struct{ Repositories []string }) []string { return p.Repositories }) {
			if err != nil {
				yield("", fmt.Errorf("list repositories of %s: %w", hostName, err))
				return
			}
			if !yield(page, nil) {
				return
			}
		}
	}
}

// Tags yields the tags of the repository.
func (r *Repository) Tags(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		first := r.url("tags/list")
		first.RawQuery = "n=1000"
		for tag, err := range pages(r, r.pulling(ctx), first, func(p *struct{ Tags []string }) []string { return p.Tags }) {
			if err != nil {
				err = fmt.Errorf("list tags of %s: %w", r, err)
			}
			if !yield(tag, err) || err != nil {
				return
			}
		}
	}
}

// Referrers returns the manifests whose subject is d, from the API for them or,
// where the registry has none, from the index under the tag that stands for it
// (distribution-spec, "Listing Referrers"). api says which.
func (r *Repository) Referrers(ctx context.Context, d digest.Digest) (list []ocispec.Descriptor, api bool, err error) {
	list, api, err = r.referrers(ctx, d)
	if err != nil {
		return nil, false, fmt.Errorf("list referrers of %s in %s: %w", d, r, err)
	}
	return list, api, nil
}

func (r *Repository) referrers(ctx context.Context, d digest.Digest) (list []ocispec.Descriptor, api bool, err error) {
	if err := d.Validate(); err != nil {
		return nil, false, err
	}
	first := r.url("referrers/%s", d)
	for m, err := range pages(r, r.pulling(ctx), first, func(p *ocispec.Index) []ocispec.Descriptor { return p.Manifests }) {
		if err != nil {
			var status *StatusError
			if errors.As(err, &status) && status.Status >= 400 && status.Status < 500 && !errors.Is(err, ErrDenied) || errors.Is(err, errNoList) {
				list, err = r.taggedReferrers(ctx, d)
				return list, false, err
			}
			return nil, false, err
		}
		list = append(list, m)
	}
	return list, true, checkDigests(list)
}

// referrersTag is the tag that stands for the referrers of d.
func referrersTag(d digest.Digest) string {
	return d.Algorithm().String() + "-" + d.Encoded()
}

func (r *Repository) taggedReferrers(ctx context.Context, d digest.Digest) ([]ocispec.Descriptor, error) {
	_, data, err := r.manifest(ctx, referrersTag(d))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fmt.Errorf("index %s: %w", referrersTag(d), err)
	}
	return index.Manifests, checkDigests(index.Manifests)
}

func checkDigests(list []ocispec.Descriptor) error {
	for _, m := range list {
		if m.Digest.Validate() != nil {
			return fmt.Errorf("%w: digest %q", ErrDamaged, printable(m.Digest.String()))
		}
	}
	return nil
}

// AddReferrer uploads a manifest that has a subject, and enters it in the
// index of referrers where the registry keeps none itself. desc is that of the
// manifest, with its artifact type and annotations.
func (r *Repository) AddReferrer(ctx context.Context, subject digest.Digest, desc ocispec.Descriptor, data []byte) error {
	keeps, err := r.PutManifest(ctx, desc.Digest.String(), desc.MediaType, data)
	if err != nil {
		return err
	}
	// The header alone has been sent by registries without the API.
	list, api, err := r.Referrers(ctx, subject)
	if err != nil || keeps && api || api && slices.ContainsFunc(list, func(d ocispec.Descriptor) bool { return d.Digest == desc.Digest }) {
		return err
	}
	if list, err = r.taggedReferrers(ctx, subject); err != nil {
		return fmt.Errorf("list referrers of %s in %s: %w", subject, r, err)
	}
	list = slices.DeleteFunc(list, func(d ocispec.Descriptor) bool { return d.Digest == desc.Digest })
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: append(list, desc)}
	index.SchemaVersion = 2
	doc, err := json.Marshal(index)
	if err != nil {
		return err
	}
	_, err = r.PutManifest(ctx, referrersTag(subject), ocispec.MediaTypeImageIndex, doc)
	return err
}

// errNoList says that an answer is no list.
var errNoList = errors.New("the answer is no list")

// pages yields the items of a list that comes in pages.
func pages[P, T any](r *Repository, ctx context.Context, next *url.URL, items func(*P) []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		seen := map[string]bool{}
		for range maxPages {
			page := new(P)
			link, err := r.page(ctx, next, page)
			if err != nil {
				yield(none, err)
				return
			}
			for _, it := range items(page) {
				if !yield(it, nil) {
					return
				}
			}
			if link == nil || seen[link.String()] {
				return
			}
			seen[link.String()] = true
			next = link
		}
	}
}

// page reads one page, and returns where the next one is, nil for nowhere.
func (r *Repository) page(ctx context.Context, at *url.URL, doc any) (*url.URL, error) {
	resp, err := r.do(ctx, &request{method: http.MethodGet, url: at, header: http.Header{"Accept": {"application/json, " + ocispec.MediaTypeImageIndex}}})
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, statusError(resp)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	if len(data) > maxPage {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", errNoList, maxPage)
	}
	if err := json.Unmarshal(data, doc); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoList, err)
	}
	return nextLink(at, resp.Header.Get("Link")), nil
}

// nextLink reads the header Link (RFC 8288): <URL>; rel="next". A link to
// another registry is none.
func nextLink(at *url.URL, header string) *url.URL {
	for part := range strings.SplitSeq(header, ",") {
		target, params, ok := strings.Cut(part, ">")
		target, isLink := strings.CutPrefix(strings.TrimSpace(target), "<")
		if !ok || !isLink || !strings.Contains(params, "next") {
			continue
		}
		next, err := at.Parse(target)
		if err != nil {
			return nil
		}
		if next.Scheme == "http" && at.Scheme == "https" && next.Hostname() == at.Hostname() {
			next.Scheme, next.Host = at.Scheme, at.Host
		}
		next.User = nil
		if sameOrigin(next, at) {
			return next
		}
	}
	return nil
}
