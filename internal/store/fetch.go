package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/opencontainers/go-digest"
)

// maxRedirects is how many redirects a download follows.
const maxRedirects = 10

// maxFetch is the size in bytes of the largest download: a server that never
// stops must not fill the disk for ever.
const maxFetch = 1 << 40

// answerTime is how long a server may take to answer; its bytes may take
// longer.
const answerTime = time.Minute

// A Proxy says by which proxy a request goes, as in http.Transport.
type Proxy = func(*http.Request) (*url.URL, error)

// FetchOptions say how Fetch works.
type FetchOptions struct {
	Proxy Proxy         // nil is none
	Count func(n int64) // is called with the numbers of bytes as they come, if not nil
}

// CheckURL says if s is what Fetch can download: http or https with a host.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return err
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return fmt.Errorf("URL %q: must begin with https:// or http:// and a host", s)
	}
	return nil
}

// Fetch downloads address into w, and fails unless the digest of the bytes, of
// SHA-256, is want. So they are not to be used before it returns. A redirect
// never leads from https to anything else.
func Fetch(ctx context.Context, address string, want digest.Digest, w io.Writer, opts FetchOptions) error {
	err := fetch(ctx, address, want, w, opts)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("download %s: %w", redacted(address), err)
	}
	return nil
}

// redacted is the address without a password.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "URL"
	}
	return u.Redacted()
}

func fetch(ctx context.Context, address string, want digest.Digest, w io.Writer, opts FetchOptions) error {
	if err := CheckURL(address); err != nil {
		return err
	}
	if err := want.Validate(); err != nil || want.Algorithm() != digest.SHA256 {
		return fmt.Errorf("digest %q: must be sha256: and 64 hexadecimal digits", want)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "cdb")
	client := fetchClient(opts.Proxy)
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // the address is named already
		}
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the server says %s", res.Status)
	}
	count := opts.Count
	if count == nil {
		count = func(int64) {}
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, sum, countWriter(count)), io.LimitReader(res.Body, maxFetch+1))
	if err != nil {
		return err
	}
	if n > maxFetch {
		return fmt.Errorf("it has more than %d bytes", int64(maxFetch))
	}
	if got := digest.NewDigest(digest.SHA256, sum); got != want {
		return fmt.Errorf("its %d bytes have the digest %s, not %s as you said: the file was changed, or the digest is that of another one", n, got, want)
	}
	return nil
}

// fetchClient returns a client that takes bytes as they are: compression for
// the way would hide what the digest is of.
func fetchClient(proxy Proxy) *http.Client {
	dialer := &net.Dialer{Timeout: 30 * time.Second}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                 proxy,
			DialContext:           dialer.DialContext,
			TLSHandshakeTimeout:   30 * time.Second,
			ResponseHeaderTimeout: answerTime,
			DisableCompression:    true,
			ForceAttemptHTTP2:     true,
		},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("more than %d redirects", maxRedirects)
			}
			if err := CheckURL(req.URL.String()); err != nil {
				return fmt.Errorf("redirect: %w", err)
			}
			if via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https" {
				return fmt.Errorf("it redirects from https to %s", req.URL.Redacted())
			}
			return nil
		},
	}
}
