package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// MaxManifest is the size in bytes of the largest manifest that is read or
// sent: what registries take.
const MaxManifest = 4 << 20

// Media types that manifests are asked for by.
var manifestTypes = [...]string{
	ocispec.MediaTypeImageIndex,
	ocispec.MediaTypeImageManifest,
	"application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.docker.distribution.manifest.v2+json",
}

// A Repository is one repository of a registry.
type Repository struct {
	Host string // as users write it
	Name string // without the host

	c    *Client
	host *host
	auth *auth.Client
}

// Repository returns a repository. Nothing is asked of the registry yet.
func (c *Client) Repository(hostName, name string) (*Repository, error) {
	h, err := c.host(hostName)
	if err != nil {
		return nil, err
	}
	r := &Repository{Host: hostName, Name: name, c: c, host: h}
	r.auth = &auth.Client{
		Client:     h.http,
		Cache:      auth.NewCache(),
		ClientID:   "cdb",
		Credential: c.credential(hostName, name),
	}
	r.auth.SetUserAgent(c.opts.UserAgent)
	return r, nil
}

// String is HOST/NAME.
func (r *Repository) String() string { return r.Host + "/" + r.Name }

// url returns the URL of something in the repository.
func (r *Repository) url(format string, args ...any) *url.URL {
	return r.host.base(r.Name + "/" + fmt.Sprintf(format, args...))
}

// pulling and pushing say what a token has to allow.
func (r *Repository) pulling(ctx context.Context) context.Context {
	return auth.WithScopesForHost(ctx, r.host.addr, auth.ScopeRepository(r.Name, auth.ActionPull))
}

func (r *Repository) pushing(ctx context.Context) context.Context {
	return auth.WithScopesForHost(ctx, r.host.addr, auth.ScopeRepository(r.Name, auth.ActionPull, auth.ActionPush))
}

// Manifest returns the manifest or index that ref (a tag or a digest) stands
// for, and its descriptor. The bytes have been compared with the digest.
func (r *Repository) Manifest(ctx context.Context, ref string) (ocispec.Descriptor, []byte, error) {
	desc, data, err := r.manifest(ctx, ref)
	if err != nil {
		return ocispec.Descriptor{}, nil, fmt.Errorf("get manifest %s of %s: %w", ref, r, err)
	}
	return desc, data, nil
}

func (r *Repository) manifest(ctx context.Context, ref string) (desc ocispec.Descriptor, data []byte, err error) {
	for try := 1; ; try++ {
		resp, err := r.do(r.pulling(ctx), &request{
			method: http.MethodGet,
			url:    r.url("manifests/%s", ref),
			header: http.Header{"Accept": {strings.Join(manifestTypes[:], ", ")}},
		})
		if err != nil {
			return desc, nil, err
		}
		if resp.StatusCode != http.StatusOK {
			return desc, nil, statusError(resp)
		}
		data, err := io.ReadAll(io.LimitReader(resp.Body, MaxManifest+1))
		if err == nil && resp.ContentLength >= 0 && int64(len(data)) < min(resp.ContentLength, MaxManifest) {
			err = io.ErrUnexpectedEOF
		}
		resp.Body.Close()
		if err == nil {
			desc, err = describe(ref, resp.Header, data)
			if err == nil {
				return desc, data, nil
			}
		}
		if ctx.Err() != nil {
			return desc, nil, ctx.Err()
		}
		if try >= r.c.opts.Attempts || errors.Is(err, errTooLong) || errors.Is(err, ErrDamaged) && try > 1 || !worthRetrying(err) {
			return desc, nil, err
		}
		if err := r.rest(ctx, try); err != nil {
			return desc, nil, err
		}
	}
}

// rest waits before another try.
func (r *Repository) rest(ctx context.Context, try int) error {
	d, err := r.pause(nil, try)
	if err != nil {
		return err
	}
	return sleep(ctx, d)
}

var errTooLong = fmt.Errorf("it is longer than %d bytes", MaxManifest)

// describe checks a manifest against what was asked for, and what the
// registry says of it.
func describe(ref string, h http.Header, data []byte) (ocispec.Descriptor, error) {
	if len(data) > MaxManifest {
		return ocispec.Descriptor{}, errTooLong
	}
	d := digest.FromBytes(data)
	for _, want := range []string{ref, h.Get("Docker-Content-Digest")} {
		if w := digest.Digest(want); w.Validate() == nil {
			if got := w.Algorithm().FromBytes(data); got != w {
				return ocispec.Descriptor{}, fmt.Errorf("%w: its digest is %s instead of %s", ErrDamaged, got, w)
			}
			d = w
		}
	}
	mediaType, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	if mediaType == "application/json" || mediaType == "text/plain" {
		mediaType = ""
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}, nil
}

// PutManifest uploads a manifest or an index under ref, a tag or its digest.
// It says if the registry keeps referrers: what it answers for a manifest that
// has a subject.
func (r *Repository) PutManifest(ctx context.Context, ref, mediaType string, data []byte) (referrers bool, err error) {
	if len(data) > MaxManifest {
		return false, fmt.Errorf("put manifest %s to %s: %w", ref, r, errTooLong)
	}
	resp, err := r.do(r.pushing(ctx), &request{
		method:  http.MethodPut,
		url:     r.url("manifests/%s", ref),
		header:  http.Header{"Content-Type": {mediaType}},
		body:    func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
		size:    int64(len(data)),
		patient: true,
	})
	if err == nil && resp.StatusCode != http.StatusCreated && resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusAccepted {
		err = statusError(resp)
	}
	if err != nil {
		return false, fmt.Errorf("put manifest %s to %s: %w", ref, r, err)
	}
	closeBody(resp)
	return resp.Header.Get("OCI-Subject") != "", nil
}

// HasManifest says if the repository has a manifest.
func (r *Repository) HasManifest(ctx context.Context, d digest.Digest) (bool, error) {
	return r.has(ctx, "manifests", d)
}

// HasBlob says if the repository has a blob.
func (r *Repository) HasBlob(ctx context.Context, d digest.Digest) (bool, error) {
	return r.has(ctx, "blobs", d)
}

func (r *Repository) has(ctx context.Context, kind string, d digest.Digest) (bool, error) {
	if err := d.Validate(); err != nil {
		return false, fmt.Errorf("look for %q in %s: %w", d, r, err)
	}
	resp, err := r.do(r.pulling(ctx), &request{
		method: http.MethodHead,
		url:    r.url("%s/%s", kind, d),
		header: http.Header{"Accept": {strings.Join(manifestTypes[:], ", ")}},
	})
	if err != nil {
		return false, fmt.Errorf("look for %s in %s: %w", d, r, err)
	}
	closeBody(resp)
	switch resp.StatusCode {
	case http.StatusOK:
		return true, nil
	case http.StatusUnauthorized:
		return false, fmt.Errorf("look for %s in %s: %w", d, r, &StatusError{Method: http.MethodHead, URL: place(resp.Request.URL), Status: resp.StatusCode})
	}
	// Registries differ in what they say of what is not there, or cannot be
	// asked about (storage that is redirected to knows no HEAD): it is sent.
	return false, nil
}
