package registry

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

const (
	sessionAge = 24 * time.Hour // for which uploads under way are remembered
	mostKnown  = 5              // repositories that are remembered of a blob
)

// A state is what is remembered from one process to the next: uploads under
// way, and which repositories have a blob. Losing it costs time alone.
type state struct{ dir string }

func (c *Client) state() state { return state{c.opts.StateDir} }

// A note is what the state knows of one blob at one registry.
type note struct {
	Digest  string    `json:"digest"`
	Known   []string  `json:"known,omitempty"`   // repositories, the latest first
	Repo    string    `json:"repo,omitempty"`    // of the upload under way
	Session string    `json:"session,omitempty"` // where its next piece goes
	Time    time.Time `json:"time"`
}

func (s state) path(d digest.Digest, r *Repository) string {
	sum := sha256.Sum256([]byte(r.Host + "\n" + d.String()))
	return filepath.Join(s.dir, hex.EncodeToString(sum[:16])+".json")
}

func (s state) read(d digest.Digest, r *Repository) (n note) {
	if s.dir == "" {
		return note{}
	}
	data, err := os.ReadFile(s.path(d, r))
	if err != nil || len(data) > 64<<10 || json.Unmarshal(data, &n) != nil || n.Digest != d.String() {
		return note{}
	}
	return n
}

func (s state) write(d digest.Digest, r *Repository, n note) {
	if s.dir == "" {
		return
	}
	n.Digest, n.Time = d.String(), time.Now().UTC()
	data, err := json.Marshal(n)
	if err != nil || os.MkdirAll(s.dir, 0o700) != nil {
		return
	}
	temp := filepath.Join(s.dir, "tmp-"+rand.Text())
	// A session is as good as a key to the upload.
	if err := os.WriteFile(temp, data, 0o600); err == nil {
		err = os.Rename(temp, s.path(d, r))
		if err == nil {
			return
		}
	}
	os.Remove(temp)
}

// session returns the place of the next piece of an upload under way.
func (s state) session(d digest.Digest, r *Repository) *url.URL {
	n := s.read(d, r)
	if n.Session == "" || n.Repo != r.Name || time.Since(n.Time) > sessionAge {
		return nil
	}
	u, err := url.Parse(n.Session)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil
	}
	return u
}

// keep remembers an upload under way.
func (s state) keep(d digest.Digest, r *Repository, session *url.URL) {
	n := s.read(d, r)
	n.Repo, n.Session = r.Name, session.String()
	s.write(d, r, n)
}

// forget forgets it.
func (s state) forget(d digest.Digest, r *Repository) {
	if n := s.read(d, r); n.Session != "" {
		n.Repo, n.Session = "", ""
		s.write(d, r, n)
	}
}

// remember notes that a repository has a blob.
func (s state) remember(d digest.Digest, r *Repository) {
	n := s.read(d, r)
	if len(n.Known) > 0 && n.Known[0] == r.Name {
		return
	}
	known := append([]string{r.Name}, slices.DeleteFunc(n.Known, func(k string) bool { return k == r.Name })...)
	n.Known = known[:min(len(known), mostKnown)]
	s.write(d, r, n)
}

// known returns repositories of the same registry that had a blob.
func (s state) known(d digest.Digest, r *Repository) []string { return s.read(d, r).Known }
