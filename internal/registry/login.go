package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"sync"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// errCredentials says that credentials cannot be read. That does not change by
// itself.
var errCredentials = errors.New("credentials")

// credential finds the credentials of a repository: under its name, that of
// what it lies in (as Podman has it), or that of its host, in the first file
// that has any.
func (c *Client) credential(hostName, name string) auth.CredentialFunc {
	addr := apiHost(hostName)
	var mu sync.Mutex
	var known *auth.Credential // helpers are programs: once is enough
	find := func(ctx context.Context) (auth.Credential, error) {
		for _, file := range c.opts.AuthFiles {
			cred, err := lookUp(ctx, file, hostName, name)
			if err != nil || cred != auth.EmptyCredential {
				return cred, err
			}
		}
		return auth.EmptyCredential, nil
	}
	return func(ctx context.Context, hostport string) (auth.Credential, error) {
		if hostport != addr {
			return auth.EmptyCredential, nil
		}
		mu.Lock()
		defer mu.Unlock()
		if known == nil {
			cred, err := find(ctx)
			if err != nil {
				return cred, fmt.Errorf("%w: %w", errCredentials, err)
			}
			known = &cred
		}
		return *known, nil
	}
}

func lookUp(ctx context.Context, file, hostName, name string) (auth.Credential, error) {
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return auth.EmptyCredential, nil
	}
	store, err := credentials.NewStore(file, credentials.StoreOptions{})
	if err != nil {
		return auth.EmptyCredential, fmt.Errorf("read credentials in %q: %w", file, err)
	}
	var keys []string // the longest first
	for p := name; p != "" && p != "."; p = path.Dir(p) {
		keys = append(keys, hostName+"/"+p)
	}
	keys = append(keys, credentials.ServerAddressFromRegistry(hostName))
	if hostName == "docker.io" {
		keys = append(keys, hostName)
	}
	for _, key := range keys {
		cred, err := store.Get(ctx, key)
		if err != nil {
			return auth.EmptyCredential, fmt.Errorf("read credentials of %s in %q: %w", hostName, file, err)
		}
		if cred != auth.EmptyCredential {
			return cred, nil
		}
	}
	return auth.EmptyCredential, nil
}

// Login tries credentials at a registry and, if it takes them, keeps them in
// the first of Options.AuthFiles, or where that says (a credential helper).
func (c *Client) Login(ctx context.Context, hostName, user, password string) error {
	if err := c.login(ctx, hostName, user, password); err != nil {
		return fmt.Errorf("log in to %s: %w", hostName, err)
	}
	return nil
}

func (c *Client) login(ctx context.Context, hostName, user, password string) error {
	store, err := c.authStore()
	if err != nil {
		return err
	}
	r, err := c.Repository(hostName, "")
	if err != nil {
		return err
	}
	cred := auth.Credential{Username: user, Password: password}
	r.auth.Credential = func(_ context.Context, hostport string) (auth.Credential, error) {
		if hostport == r.host.addr {
			return cred, nil
		}
		return auth.EmptyCredential, nil
	}
	resp, err := r.do(ctx, &request{method: http.MethodGet, url: r.host.base("")})
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return statusError(resp)
	}
	closeBody(resp)
	return store.Put(ctx, credentials.ServerAddressFromRegistry(hostName), cred)
}

// Logout forgets the credentials of a registry. It says if there were any.
func (c *Client) Logout(ctx context.Context, hostName string) (bool, error) {
	store, err := c.authStore()
	if err != nil {
		return false, fmt.Errorf("log out of %s: %w", hostName, err)
	}
	key := credentials.ServerAddressFromRegistry(hostName)
	cred, err := store.Get(ctx, key)
	if err == nil && cred != auth.EmptyCredential {
		err = store.Delete(ctx, key)
	}
	if err != nil {
		return false, fmt.Errorf("log out of %s: %w", hostName, err)
	}
	return cred != auth.EmptyCredential, nil
}

// authStore opens the file that credentials are written to.
func (c *Client) authStore() (credentials.Store, error) {
	if len(c.opts.AuthFiles) == 0 {
		return nil, errors.New("no file for credentials is known; set HOME or DOCKER_CONFIG, or give --authfile")
	}
	file := c.opts.AuthFiles[0]
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, err
	}
	return credentials.NewStore(file, credentials.StoreOptions{AllowPlaintextPut: true})
}
