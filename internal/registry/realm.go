package registry

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"sync"
)

// The auth library sends no credentials to a token server at a private
// address: a registry of the world could else have them sent into the network
// of whoever uses it. But a registry that is in that network itself, such as a
// GitLab of one's own, has its token server there too. So of a registry at a
// private address the realm is given to the library under the registry's own
// name, and requests to it go where it really is.

// realmPath begins the paths that stand for realms.
const realmPath = "/.cdb/realm/"

// A realmTransport is the transport of one registry.
type realmTransport struct {
	*http.Transport

	mu      sync.Mutex
	realms  []*url.URL
	private *bool // that the registry is; nil if it has not been asked yet
}

var realmParameter = regexp.MustCompile(`(?i)\brealm="([^"]*)"`)

// RoundTrip implements http.RoundTripper.
func (t *realmTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if to := t.realm(req.URL); to != nil {
		req = req.Clone(req.Context())
		real := *to
		real.RawQuery = req.URL.RawQuery
		req.URL, req.Host = &real, ""
	}
	resp, err := t.Transport.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	challenges := resp.Header.Values("WWW-Authenticate")
	for i, c := range challenges {
		challenges[i] = realmParameter.ReplaceAllStringFunc(c, func(p string) string {
			realm, err := url.Parse(realmParameter.FindStringSubmatch(p)[1])
			if err != nil || realm.Hostname() == req.URL.Hostname() || realm.Scheme != "https" && realm.Scheme != "http" || !t.isPrivate(req.Context(), req.URL.Hostname()) {
				return p
			}
			stand := url.URL{Scheme: realm.Scheme, Host: req.URL.Host, Path: realmPath + strconv.Itoa(t.remember(realm)), RawQuery: realm.RawQuery}
			return `realm="` + stand.String() + `"`
		})
	}
	return resp, nil
}

// remember returns the number of a realm.
func (t *realmTransport) remember(realm *url.URL) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	const most = 100 // a registry has one
	for i, r := range t.realms {
		if *r == *realm || i == most {
			return i
		}
	}
	t.realms = append(t.realms, realm)
	return len(t.realms) - 1
}

// realm returns what a URL stands for, nil if only for itself.
func (t *realmTransport) realm(u *url.URL) *url.URL {
	if len(u.Path) <= len(realmPath) || u.Path[:len(realmPath)] != realmPath {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	i, err := strconv.Atoi(u.Path[len(realmPath):])
	if err != nil || i < 0 || i >= len(t.realms) {
		return nil
	}
	return t.realms[i]
}

// isPrivate says if the registry is on this machine or in a private network.
func (t *realmTransport) isPrivate(ctx context.Context, host string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.private == nil {
		private := isPrivate(ctx, host)
		t.private = &private
	}
	return *t.private
}

func isPrivate(ctx context.Context, host string) bool {
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(addrs) == 0 {
		return false
	}
	for _, a := range addrs {
		a = a.Unmap()
		if !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !sharedSpace().Contains(a) {
			return false
		}
	}
	return true
}

// sharedSpace are the addresses of carriers' own networks (RFC 6598).
func sharedSpace() netip.Prefix { return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10) }
