package registrytest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Tokens is a token server: the registry asks for a Bearer token, which is had at another address for user and
// password, for an identity token, or by nobody in particular, and works for a while
// (https://distribution.github.io/distribution/spec/auth/token/ and .../oauth/).
type Tokens struct {
	User, Password string
	IdentityToken  string        // refresh token that is as good as user and password; empty: none is
	AnonymousPull  bool          // without credentials a token is given that can pull
	TTL            time.Duration // how long a token works; 0: until the test ends
	Uses           int           // how many requests it works for; 0: any number
	ExpiresIn      time.Duration // what a token says of itself; 0: TTL, or the 60 s that the protocol has as default
	NoPost         bool          // the OAuth2 form is not there (404): GET only
	Only           []string      // actions that the user may at most: "pull", "push", "delete"; nil: all
}

// WithTokenAuth lets in only who has a token.
func WithTokenAuth(t Tokens) Option { return func(s *settings) { s.tokens = &t } }

const tokenPath = "/token"

type tokenServer struct {
	Tokens
	p *Proxy

	mu    sync.Mutex
	given map[string]*token
}

type token struct {
	scopes  []scope
	expires time.Time // zero: never
	uses    int       // left; below 0: any number
}

// scope is something that can be done: "repository:a/b:pull,push".
type scope struct {
	kind, name string
	actions    []string
}

func (s scope) String() string { return s.kind + ":" + s.name + ":" + strings.Join(s.actions, ",") }

func newTokenServer(p *Proxy, t Tokens) *tokenServer {
	return &tokenServer{Tokens: t, p: p, given: map[string]*token{}}
}

// ExpireTokens ends all tokens that were given out until now.
func (p *Proxy) ExpireTokens() {
	p.tokens.mu.Lock()
	defer p.tokens.mu.Unlock()
	clear(p.tokens.given)
}

// ExpireToken ends the token of the request and answers 401 with a challenge, as if it had just expired.
func ExpireToken() Fault {
	return Fault{
		name: "expire the token",
		when: func(x *exchange) bool { return x.p.tokens != nil },
		answer: func(x *exchange) bool {
			s := x.p.tokens
			s.mu.Lock()
			delete(s.given, bearer(x.r))
			s.mu.Unlock()
			s.challenge(x, "invalid_token")
			return true
		},
	}
}

func bearer(r *http.Request) string {
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(value)
}

// needed returns what a request must be allowed to do; nil: nothing in particular.
func (x *exchange) needed() *scope {
	action := "pull"
	switch {
	case CatalogGet.covers(x.to.Kind):
		return &scope{"registry", "catalog", []string{"*"}}
	case x.to.Repo == "":
		return nil
	case x.r.Method == http.MethodDelete && !Upload.covers(x.to.Kind):
		return &scope{"repository", x.to.Repo, []string{"delete"}}
	case Upload.covers(x.to.Kind) || Mount.covers(x.to.Kind) || x.to.Kind == ManifestPut:
		return &scope{"repository", x.to.Repo, []string{"pull", "push"}}
	}
	return &scope{"repository", x.to.Repo, []string{action}}
}

// admit lets a request pass whose token is good for it, or answers it with a challenge.
func (s *tokenServer) admit(x *exchange) bool {
	s.mu.Lock()
	t := s.given[bearer(x.r)]
	good := t != nil && t.uses != 0 && (t.expires.IsZero() || time.Now().Before(t.expires))
	if good && t.uses > 0 {
		t.uses--
	}
	s.mu.Unlock()
	need := x.needed()
	switch {
	case !good && bearer(x.r) == "":
		s.challenge(x, "")
	case !good:
		s.challenge(x, "invalid_token")
	case need != nil && !t.allows(*need):
		s.challenge(x, "insufficient_scope")
	default:
		// Who may not read the other repository cannot mount from it: an upload it is then.
		from := scope{"repository", x.r.URL.Query().Get("from"), []string{"pull"}}
		if x.to.Kind == Mount && !t.allows(from) {
			dropMount(x.r)
		}
		return true
	}
	return false
}

func (t *token) allows(need scope) bool {
	for _, action := range need.actions {
		if !slices.ContainsFunc(t.scopes, func(s scope) bool {
			return s.kind == need.kind && s.name == need.name && slices.Contains(s.actions, action)
		}) {
			return false
		}
	}
	return true
}

func (s *tokenServer) challenge(x *exchange, cause string) {
	value := fmt.Sprintf(`Bearer realm="%s://%s%s",service=%q`, s.p.scheme, x.r.Host, tokenPath, s.p.Host)
	if need := x.needed(); need != nil {
		value += fmt.Sprintf(",scope=%q", need)
	}
	if cause != "" {
		value += fmt.Sprintf(",error=%q", cause)
	}
	x.w.Header().Set("WWW-Authenticate", value)
	x.refuse(http.StatusUnauthorized, "")
}

// issue is the token server.
func (s *tokenServer) issue(x *exchange) {
	switch x.r.Method {
	case http.MethodGet:
		user, password, some := x.r.BasicAuth()
		if some && (user != s.User || password != s.Password) || !some && !s.AnonymousPull {
			x.w.Header().Set("WWW-Authenticate", `Basic realm="registrytest"`)
			x.refuse(http.StatusUnauthorized, "")
			return
		}
		query := x.r.URL.Query()
		s.give(x, query["scope"], some, query.Get("offline_token") == "true")
	case http.MethodPost:
		s.issueOAuth(x)
	default:
		x.refuse(http.StatusMethodNotAllowed, "")
	}
}

func (s *tokenServer) issueOAuth(x *exchange) {
	form := x.r.PostFormValue
	good := false
	switch {
	case s.NoPost:
		x.refuse(http.StatusNotFound, "")
		return
	case form("grant_type") == "password":
		good = form("username") == s.User && form("password") == s.Password
	case form("grant_type") == "refresh_token":
		good = s.IdentityToken != "" && form("refresh_token") == s.IdentityToken
	}
	if !good || form("service") != s.p.Host || form("client_id") == "" {
		x.w.Header().Set("Content-Type", "application/json")
		x.w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintln(x.w, `{"error":"invalid_grant"}`)
		return
	}
	s.give(x, x.r.PostForm["scope"], true, form("access_type") == "offline")
}

// give makes a token for what of the scopes may be had. A scope may hold several, apart by blanks.
func (s *tokenServer) give(x *exchange, asked []string, known, offline bool) {
	t := &token{uses: -1}
	if s.Uses > 0 {
		t.uses = s.Uses
	}
	says := s.ExpiresIn
	if s.TTL > 0 {
		t.expires = time.Now().Add(s.TTL)
		if says == 0 {
			says = s.TTL
		}
	}
	for _, text := range strings.Fields(strings.Join(asked, " ")) {
		if sc, ok := s.grantable(text, known); ok {
			t.scopes = append(t.scopes, sc)
		}
	}
	name := rand.Text()
	s.mu.Lock()
	s.given[name] = t
	s.mu.Unlock()
	answer := map[string]any{"token": name, "access_token": name, "issued_at": time.Now().UTC().Format(time.RFC3339)}
	if says > 0 {
		answer["expires_in"] = int(says.Seconds())
	}
	if offline && s.IdentityToken != "" {
		answer["refresh_token"] = s.IdentityToken
	}
	x.w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(x.w).Encode(answer)
}

func (s *tokenServer) grantable(text string, known bool) (scope, bool) {
	kind, rest, _ := strings.Cut(text, ":")
	at := strings.LastIndexByte(rest, ':')
	if at < 0 {
		return scope{}, false
	}
	var actions []string
	for _, action := range strings.Split(rest[at+1:], ",") {
		if (known || action == "pull") && (s.Only == nil || slices.Contains(s.Only, action)) {
			actions = append(actions, action)
		}
	}
	return scope{kind, rest[:at], actions}, len(actions) > 0
}
