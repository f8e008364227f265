// Package registry is a client of the OCI distribution API, made for large
// blobs: it reads any range of one, goes on where a connection broke, and
// uploads what can be read again, from where the registry says it stopped.
// It trusts no registry: digests, lengths and ranges are checked, errors are
// read with a bound, and credentials go to the registry alone.
package registry

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options say how registries are reached. The zero value speaks https to all
// but loopback hosts, as nobody.
type Options struct {
	// PlainHTTP speaks http to all registries. A loopback host is asked what
	// it speaks.
	PlainHTTP bool
	// CAFiles are PEM files of certificate authorities to trust beside those
	// of the system.
	CAFiles []string
	// CertDirs are folders as Docker has them in /etc/docker/certs.d: below
	// HOST[:PORT] certificate authorities (*.crt) and the certificates and
	// keys of clients (*.cert, *.key).
	CertDirs []string
	// AuthFiles are the files that credentials are looked for in, in this
	// order, in the form of Docker's config.json. The first is written to.
	AuthFiles []string
	// Proxy is as in http.Transport; nil is none.
	Proxy func(*http.Request) (*url.URL, error)
	// StateDir is a folder that remembers uploads under way, and which
	// repositories have a blob; "" remembers nothing.
	StateDir string
	// TempDir takes blobs of registries that cannot read ranges.
	TempDir string
	// UserAgent is what the client calls itself.
	UserAgent string

	// Stall is for how long nothing may move before a request is given up
	// and tried again; default a minute.
	Stall time.Duration
	// Backoff is the first pause before another try, default 250 ms. Each
	// further one is twice as long, up to 10 s.
	Backoff time.Duration
	// Attempts is how often a request is tried, default 6.
	Attempts int
	// ChunkSize is the size in bytes of the pieces that large blobs are
	// uploaded in, default 64 MiB: what is lost at most when an upload goes
	// on.
	ChunkSize int64
}

// Sentinels that errors of this package wrap.
var (
	// ErrNotFound says that the registry has no such manifest, blob or
	// repository.
	ErrNotFound = errors.New("not found")
	// ErrDenied says that the registry wants other credentials.
	ErrDenied = errors.New("access denied")
	// ErrDamaged says that bytes are not those of their digest.
	ErrDamaged = errors.New("damaged on its way")
	// ErrTooLarge says that a registry does not take so large a blob.
	ErrTooLarge = errors.New("too large for the registry")
)

// A Client speaks to any number of registries. It may be used from several
// goroutines.
type Client struct {
	opts  Options
	roots *x509.CertPool // nil for those of the system

	mu    sync.Mutex
	hosts map[string]*host
}

// New returns a client.
func New(opts Options) (*Client, error) {
	opts.Stall = cmp.Or(opts.Stall, time.Minute)
	opts.Backoff = cmp.Or(opts.Backoff, 250*time.Millisecond)
	opts.Attempts = cmp.Or(opts.Attempts, 6)
	opts.ChunkSize = cmp.Or(opts.ChunkSize, 64<<20)
	opts.UserAgent = cmp.Or(opts.UserAgent, "cdb")
	c := &Client{opts: opts, hosts: map[string]*host{}}
	for _, name := range opts.CAFiles {
		if err := c.trust(&c.roots, name); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// trust adds the certificates of a PEM file to pool, and makes it if need be.
func (c *Client) trust(pool **x509.CertPool, name string) error {
	pem, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read certificates: %w", err)
	}
	if *pool == nil {
		if *pool, err = x509.SystemCertPool(); err != nil {
			*pool = x509.NewCertPool()
		}
	}
	if !(*pool).AppendCertsFromPEM(pem) {
		return fmt.Errorf("read certificates: %q holds none in PEM form", name)
	}
	return nil
}

// Close closes idle connections.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.hosts {
		h.http.CloseIdleConnections()
	}
}

// A host is one registry.
type host struct {
	c    *Client
	name string // as users write it
	addr string // as its API is reached
	http *http.Client

	once   sync.Once
	scheme string

	answered atomic.Bool // at least once
}

// apiHosts are the registries whose API is not where their name says.
func apiHost(name string) string {
	if name == "docker.io" || name == "index.docker.io" {
		return "registry-1.docker.io"
	}
	return name
}

func (c *Client) host(name string) (*host, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.hosts[name]; h != nil {
		return h, nil
	}
	config, err := c.tlsConfig(name)
	if err != nil {
		return nil, err
	}
	h := &host{c: c, name: name, addr: apiHost(name)}
	h.http = &http.Client{
		Transport: &realmTransport{Transport: &http.Transport{
			Proxy:                 c.opts.Proxy,
			DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:       config,
			TLSHandshakeTimeout:   15 * time.Second,
			ForceAttemptHTTP2:     true,
			MaxIdleConnsPerHost:   16,
			IdleConnTimeout:       90 * time.Second,
			ExpectContinueTimeout: time.Second,
			// Ranges and digests are of the bytes as they are.
			DisableCompression: true,
			WriteBufferSize:    64 << 10,
			ReadBufferSize:     64 << 10,
		}},
		// Requests of ours follow redirects themselves, as credentials must
		// not; those for tokens do not come below /v2/.
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if strings.HasPrefix(via[0].URL.Path, "/v2/") {
				return http.ErrUseLastResponse
			}
			if len(via) >= 10 {
				return errors.New("too many redirects")
			}
			return nil
		},
	}
	c.hosts[name] = h
	return h, nil
}

func (c *Client) tlsConfig(name string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.roots}
	for _, dir := range c.opts.CertDirs {
		if strings.ContainsAny(name, `/\`) {
			break
		}
		files, err := os.ReadDir(filepath.Join(dir, name))
		if err != nil {
			continue // most hosts have none
		}
		for _, f := range files {
			path := filepath.Join(dir, name, f.Name())
			switch filepath.Ext(path) {
			case ".crt":
				pool := config.RootCAs
				if pool == c.roots && pool != nil {
					pool = pool.Clone()
				}
				if err := c.trust(&pool, path); err != nil {
					return nil, err
				}
				config.RootCAs = pool
			case ".cert":
				pair, err := tls.LoadX509KeyPair(path, strings.TrimSuffix(path, ".cert")+".key")
				if err != nil {
					return nil, fmt.Errorf("read client certificate: %w", err)
				}
				config.Certificates = append(config.Certificates, pair)
			}
		}
	}
	return config, nil
}

// base returns the URL of the API, below which path lies.
func (h *host) base(path string) *url.URL {
	h.once.Do(func() {
		h.scheme = "https"
		if h.c.opts.PlainHTTP || isLoopback(h.addr) && !speaksTLS(h.addr) {
			h.scheme = "http"
		}
	})
	return &url.URL{Scheme: h.scheme, Host: h.addr, Path: "/v2/" + path}
}

// isLoopback says if a host is this machine.
func isLoopback(hostport string) bool {
	name, _, err := net.SplitHostPort(hostport)
	if err != nil {
		name = hostport
	}
	ip := net.ParseIP(strings.Trim(name, "[]"))
	return name == "localhost" || ip != nil && ip.IsLoopback()
}

// speaksTLS tries a handshake. A server that answers with something else
// speaks http.
func speaksTLS(hostport string) bool {
	if _, _, err := net.SplitHostPort(hostport); err != nil {
		hostport += ":443"
	}
	conn, err := net.DialTimeout("tcp", hostport, 5*time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	// Whom it is trusted by is found out later.
	err = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).Handshake()
	var alert tls.AlertError
	return err == nil || errors.As(err, &alert)
}
