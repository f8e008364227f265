package registrytest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/registrytest"
)

const size = 200_000

func TestProxyCounts(t *testing.T) {
	f := newFixture(t, size)
	want(t, f.get(t, "Range: bytes=0-99", "Authorization: Basic xyz"), http.StatusPartialContent)
	want(t, f.get(t), http.StatusOK)
	want(t, request(t, f.Client(), http.MethodHead, f.blob(), nil), http.StatusOK)
	want(t, request(t, f.Client(), http.MethodGet, f.URL+"/v2/", nil), http.StatusOK)
	got := f.Totals(registrytest.BlobGet)
	if got.Requests != 2 || got.Sent != size+100 || got.Received != 0 || got.HeadSent < 200 || got.HeadRecv < 200 {
		t.Errorf("totals of GET: %+v", got)
	}
	if n := f.Count(registrytest.Blob); n != 3 {
		t.Errorf("%d requests of blobs, want 3", n)
	}
	first := f.Requests(registrytest.Any)[0]
	if first.Range != "bytes=0-99" || first.Authorization != "Basic" || first.Repo != "a/b" || first.Reference != f.digest ||
		first.Status != http.StatusPartialContent || first.Took == 0 || first.Header.Get("Authorization") != "" {
		t.Errorf("the first request: %+v", first)
	}
	if lines := strings.Count(f.Log(), "\n"); lines != 4 {
		t.Errorf("the log has %d lines, want 4:\n%s", lines, f.Log())
	}
	f.Reset()
	if n := f.Count(registrytest.Any); n != 0 {
		t.Errorf("%d requests after a reset", n)
	}
}

// What an answer looks like that a fault has changed or replaced.
func TestAnswers(t *testing.T) {
	f := newFixture(t, size)
	header := func(key, value string) func(answer) bool {
		return func(a answer) bool { return a.header.Get(key) == value }
	}
	whole := func(a answer) bool { return bytes.Equal(a.body, f.content) }
	jsonError := func(code string) func(answer) bool {
		return func(a answer) bool {
			return strings.Contains(string(a.body), `"code":"`+code+`"`) && json.Valid(a.body)
		}
	}
	for name, c := range map[string]struct {
		fault  registrytest.Fault
		fields []string
		status int
		check  func(answer) bool
	}{
		"429":      {registrytest.RetryAfter(429, 3*time.Second), nil, 429, header("Retry-After", "3")},
		"503 date": {registrytest.RetryAfterDate(503, time.Minute), nil, 503, soon},
		"500":      {registrytest.Status(500), nil, 500, jsonError("UNKNOWN")},
		"401":      {registrytest.Status(401), nil, 401, jsonError("UNAUTHORIZED")},
		"HTML":     {registrytest.HTML(502), nil, 502, func(a answer) bool { return bytes.Contains(a.body, []byte("<html>")) }},
		"answer":   {registrytest.Answer(418, "x", "X-Y: z"), nil, 418, header("X-Y", "z")},
		"ignored":  {registrytest.IgnoreRange(), []string{"Range: bytes=1-2"}, 200, whole},
		"moved":    {registrytest.WrongContentRange(), []string{"Range: bytes=1-2"}, 206, header("Content-Range", fmt.Sprintf("bytes 2-3/%d", size))},
		"digest":   {registrytest.WrongDigest(), nil, 200, header("Docker-Content-Digest", registrytest.Digest([]byte("another")))},
		"removed":  {registrytest.SetHeader("Docker-Content-Digest", ""), nil, 200, header("Docker-Content-Digest", "")},
		"short":    {registrytest.Shorten(10), nil, 200, func(a answer) bool { return bytes.Equal(a.body, f.content[:10]) }},
		"flipped": {registrytest.Flip(70_000), []string{"Range: bytes=60000-79999"}, 206, func(a answer) bool {
			a.body[10_000] ^= 1
			return bytes.Equal(a.body, f.content[60_000:80_000])
		}},
		"flipped elsewhere": {registrytest.Flip(7), []string{"Range: bytes=8-20"}, 206, func(a answer) bool { return bytes.Equal(a.body, f.content[8:21]) }},
	} {
		rule := f.Inject(registrytest.BlobGet, c.fault, registrytest.Once())
		if got := want(t, f.get(t, c.fields...), c.status); !c.check(got) {
			t.Errorf("%s: %v: %.100q", name, got.header, got.body)
		}
		if got := want(t, f.get(t), http.StatusOK); !whole(got) {
			t.Errorf("%s: the fault happens twice", name)
		}
		if rule.Hits() != 1 {
			t.Errorf("%s: %d hits", name, rule.Hits())
		}
	}
}

func soon(a answer) bool {
	at, err := http.ParseTime(a.header.Get("Retry-After"))
	return err == nil && time.Until(at) > 50*time.Second && time.Until(at) < 70*time.Second
}

// Connections that end too early are errors for the client, over HTTP/1.1, TLS and HTTP/2.
func TestCutAnswers(t *testing.T) {
	for name, opts := range map[string][]registrytest.Option{
		"plain": nil, "TLS": {registrytest.WithTLS()}, "HTTP/2": {registrytest.WithTLS(), registrytest.WithHTTP2()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, size, opts...)
			for _, c := range []struct {
				fault registrytest.Fault
				least int // bytes that arrive
			}{
				{registrytest.HangUp(), 0}, {registrytest.LoseAnswer(), 0}, {registrytest.CutResponse(0), 0},
				{registrytest.CutResponse(100_000), 100_000}, {registrytest.Truncate(100_000), 100_000}, {registrytest.ResetResponse(1000), 0},
			} {
				rule := f.Inject(registrytest.BlobGet, c.fault, registrytest.Once())
				// A client tries a GET again by itself when a connection that it kept turns out to be closed.
				f.Client().CloseIdleConnections()
				got := f.get(t)
				if got.err == nil {
					t.Errorf("%v: no error; status %d, %d bytes", c.fault, got.status, len(got.body))
				}
				if len(got.body) < c.least && name != "HTTP/2" || len(got.body) > max(c.least, 1000) {
					t.Errorf("%v: %d bytes arrive, want %d", c.fault, len(got.body), c.least)
				}
				if rule.Hits() != 1 {
					t.Errorf("%v: %d hits", c.fault, rule.Hits())
				}
			}
			want(t, f.get(t), http.StatusOK)
		})
	}
}

func TestLimits(t *testing.T) {
	f := newFixture(t, 100)
	statuses := func(address string, n int) (list []int) {
		for range n {
			list = append(list, request(t, f.Client(), http.MethodGet, address, nil).status)
		}
		return list
	}
	f.Inject(registrytest.Blob, registrytest.Status(503), registrytest.After(1), registrytest.Times(2))
	if got := fmt.Sprint(statuses(f.blob(), 5)); got != "[200 503 503 200 200]" {
		t.Errorf("after one, two times: %s", got)
	}
	f.Clear()
	f.Inject(registrytest.Any, registrytest.Status(503), registrytest.Of("sha256:other"))
	rule := f.Inject(registrytest.BlobGet, registrytest.Status(504), registrytest.Of(f.digest),
		registrytest.When(func(r *http.Request) bool { return r.Header.Get("Range") == "" }))
	want(t, f.get(t), 504)
	want(t, f.get(t, "Range: bytes=0-1"), http.StatusPartialContent)
	rule.Remove()
	want(t, f.get(t), http.StatusOK)
	f.Clear()
	f.Inject(registrytest.CatalogGet, registrytest.Status(401))
	if got := fmt.Sprint(statuses(f.URL+"/v2/_catalog", 1), statuses(f.URL+"/v2/a/b/tags/list", 1)); got != "[401] [404]" {
		t.Errorf("catalog and tags: %s", got)
	}
}

func TestSlowAnswers(t *testing.T) {
	f := newFixture(t, 10_000)
	for _, fault := range []registrytest.Fault{
		registrytest.Trickle(50_000), registrytest.Stall(5000, 150*time.Millisecond), registrytest.Delay(150 * time.Millisecond),
	} {
		f.Inject(registrytest.BlobGet, fault, registrytest.Once())
		begin := time.Now()
		got := want(t, f.get(t), http.StatusOK)
		if took := time.Since(begin); took < 140*time.Millisecond || !bytes.Equal(got.body, f.content) {
			t.Errorf("%v: %d bytes in %v", fault, len(got.body), took)
		}
	}
	f.Inject(registrytest.Upload, registrytest.TrickleRequest(50_000), registrytest.After(1), registrytest.Once())
	begin := time.Now()
	want(t, request(t, f.Client(), http.MethodPatch, start(t, f.Client(), f.URL, ""), f.content), http.StatusAccepted)
	if took := time.Since(begin); took < 140*time.Millisecond {
		t.Errorf("a slow upload took %v only", took)
	}
	// A stall ends with the test, or with the client, and the counts do not wait for it.
	f.Inject(registrytest.BlobGet, registrytest.Stall(100, time.Hour))
	client := f.Client()
	client.Timeout = 50 * time.Millisecond
	if got := request(t, client, http.MethodGet, f.blob(), nil); got.err == nil || len(got.body) != 100 {
		t.Errorf("stall: %d bytes, error %v", len(got.body), got.err)
	}
}

func TestTokens(t *testing.T) {
	f := newFixture(t, 1000, registrytest.WithTokenAuth(registrytest.Tokens{
		User: "user", Password: "secret", IdentityToken: "identity", AnonymousPull: true, Uses: 2,
	}))
	got := want(t, f.get(t), http.StatusUnauthorized)
	wanted := fmt.Sprintf(`Bearer realm="%s/token",service=%q,scope="repository:a/b:pull"`, f.URL, f.Host)
	if challenge := got.header.Get("WWW-Authenticate"); challenge != wanted {
		t.Errorf("challenge %s, want %s", challenge, wanted)
	}
	bearer := "Authorization: Bearer " + token(t, f.Proxy, "repository:a/b:pull,push", "")
	upload := f.URL + "/v2/a/b/blobs/uploads/"
	got = want(t, request(t, f.Client(), http.MethodPost, upload, nil, bearer), http.StatusUnauthorized)
	if challenge := got.header.Get("WWW-Authenticate"); !strings.HasSuffix(challenge, `scope="repository:a/b:pull,push",error="insufficient_scope"`) {
		t.Errorf("challenge of an upload: %s", challenge)
	}
	want(t, f.get(t, bearer), http.StatusOK)
	got = want(t, f.get(t, bearer), http.StatusUnauthorized)
	if challenge := got.header.Get("WWW-Authenticate"); !strings.HasSuffix(challenge, `error="invalid_token"`) {
		t.Errorf("challenge after the last use: %s", challenge)
	}
	bearer = "Authorization: Bearer " + token(t, f.Proxy, "repository:a/b:pull,push", "user:secret")
	want(t, request(t, f.Client(), http.MethodPost, upload, nil, bearer), http.StatusAccepted)
	f.ExpireTokens()
	want(t, f.get(t, bearer), http.StatusUnauthorized)
	want(t, request(t, f.Client(), http.MethodGet, f.URL+"/token?service=x", nil, "Authorization: Basic dXNlcjpiYWQ="), http.StatusUnauthorized)
	for grant, status := range map[string]int{
		"grant_type=refresh_token&refresh_token=identity": http.StatusOK, "grant_type=password&username=user&password=secret": http.StatusOK,
		"grant_type=refresh_token&refresh_token=bad": http.StatusBadRequest, "grant_type=password&username=user&password=bad": http.StatusBadRequest,
	} {
		body := grant + "&client_id=test&service=" + f.Host + "&scope=repository:a/b:pull"
		want(t, request(t, f.Client(), http.MethodPost, f.URL+"/token", []byte(body), "Content-Type: application/x-www-form-urlencoded"), status)
	}
	if get, post := f.Count(registrytest.TokenGet), f.Count(registrytest.TokenPost); get != 3 || post != 4 {
		t.Errorf("%d and %d requests to the token server, want 3 and 4", get, post)
	}
}

func TestTokensExpire(t *testing.T) {
	f := newFixture(t, 1000, registrytest.WithTokenAuth(registrytest.Tokens{AnonymousPull: true, TTL: 200 * time.Millisecond, ExpiresIn: time.Hour}))
	bearer := "Authorization: Bearer " + token(t, f.Proxy, "repository:a/b:pull", "")
	f.Inject(registrytest.BlobGet, registrytest.Status(503), registrytest.Once())
	want(t, f.get(t), http.StatusUnauthorized) // the fault is kept for a request that is let in
	want(t, f.get(t, bearer), http.StatusServiceUnavailable)
	want(t, f.get(t, bearer), http.StatusOK)
	time.Sleep(220 * time.Millisecond)
	want(t, f.get(t, bearer), http.StatusUnauthorized)
	bearer = "Authorization: Bearer " + token(t, f.Proxy, "repository:a/b:pull", "")
	f.Inject(registrytest.BlobGet, registrytest.ExpireToken(), registrytest.Once())
	want(t, f.get(t, bearer), http.StatusUnauthorized)
	want(t, f.get(t, bearer), http.StatusUnauthorized)
}

// token asks the token server of a proxy, with "user:password" or without.
func token(t *testing.T, p *registrytest.Proxy, scope, userinfo string) string {
	t.Helper()
	address, err := url.Parse(p.URL + "/token?service=" + p.Host + "&scope=" + url.QueryEscape(scope))
	if err != nil {
		t.Fatal(err)
	}
	if user, password, ok := strings.Cut(userinfo, ":"); ok {
		address.User = url.UserPassword(user, password)
	}
	got := want(t, request(t, p.Client(), http.MethodGet, address.String(), nil), http.StatusOK)
	var answer struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(got.body, &answer); err != nil || answer.Token == "" {
		t.Fatalf("token: %v: %s", err, got.body)
	}
	return answer.Token
}

func TestStorage(t *testing.T) {
	f := newFixture(t, size, registrytest.WithStorage(registrytest.Storage{TTL: 300 * time.Millisecond, Uses: 3}), registrytest.WithTLS())
	got := want(t, f.get(t), http.StatusTemporaryRedirect)
	address := got.header.Get("Location")
	if !strings.HasPrefix(address, "https://"+f.StorageHost+"/") || f.StorageHost == f.Host || !strings.Contains(address, "exp=") {
		t.Fatalf("redirect to %s, storage host %s", address, f.StorageHost)
	}
	from := func(method string, fields ...string) answer {
		return request(t, f.Client(), method, address, nil, fields...)
	}
	got = want(t, from(http.MethodGet, "Range: bytes=10-19"), http.StatusPartialContent)
	if !bytes.Equal(got.body, f.content[10:20]) {
		t.Errorf("range from storage: %x", got.body)
	}
	want(t, from(http.MethodHead), http.StatusForbidden)
	f.Inject(registrytest.StorageGet, registrytest.Status(503), registrytest.Once())
	want(t, from(http.MethodGet), http.StatusServiceUnavailable)
	want(t, from(http.MethodGet), http.StatusOK)
	got = want(t, from(http.MethodGet), http.StatusForbidden) // used three times
	if !bytes.Contains(got.body, []byte("<Error>")) {
		t.Errorf("error of the storage host: %s", got.body)
	}
	address = f.get(t).header.Get("Location")
	f.ExpireStorage()
	want(t, from(http.MethodGet), http.StatusForbidden)
	address = f.get(t).header.Get("Location")
	time.Sleep(320 * time.Millisecond)
	want(t, from(http.MethodGet), http.StatusForbidden)
	address = f.get(t).header.Get("Location")
	f.TolerateCredentials()
	want(t, from(http.MethodGet, "Authorization: Bearer x"), http.StatusBadRequest)
	requests := f.StorageRequests()
	if len(requests) != 8 || requests[7].Authorization != "Bearer" || requests[0].Reference != f.digest {
		t.Errorf("%d requests to storage; %+v", len(requests), requests)
	}
	want(t, request(t, f.Client(), http.MethodGet, f.URL+"/v2/a/b/blobs/"+registrytest.Digest(nil), nil), http.StatusNotFound)
	want(t, request(t, f.Client(), http.MethodHead, f.blob(), nil), http.StatusOK)
}

func TestUploadRules(t *testing.T) {
	f := newFixture(t, 10)
	content := random(3000, 9)
	patch := func(at string, from, to int, fields ...string) answer {
		if len(fields) == 0 {
			fields = []string{"Content-Range: " + strconv.Itoa(from) + "-" + strconv.Itoa(to-1)}
		}
		return request(t, f.Client(), http.MethodPatch, at, content[from:to], fields...)
	}
	upload := func(query string) string { return start(t, f.Client(), f.URL, query) }
	next := func(got answer) string { return location(t, f.URL, want(t, got, http.StatusAccepted)) }

	f.Inject(registrytest.UploadPatch, registrytest.NoChunks(416))
	want(t, patch(upload(""), 0, 100), 416)
	want(t, patch(upload(""), 0, 100, "X: y"), http.StatusAccepted)
	f.Clear()

	f.Inject(registrytest.UploadPatch, registrytest.ChunkMax(1000))
	want(t, patch(patchOnce(next, patch, upload("")), 1000, 2001), 416)
	f.Clear()

	f.Inject(registrytest.Upload, registrytest.ChunkMin(1000))
	if got := request(t, f.Client(), http.MethodPost, f.URL+"/v2/a/b/blobs/uploads/", nil); got.header.Get("OCI-Chunk-Min-Length") != "1000" {
		t.Errorf("no minimum: %v", got.header)
	}
	at := next(patch(patchOnce(next, patch, upload("")), 1000, 1500))
	want(t, patch(at, 1500, 3000), http.StatusBadRequest)
	f.Clear()

	rule := f.Inject(registrytest.Upload, registrytest.DropUpload(1000), registrytest.Once())
	at = patchOnce(next, patch, upload(""))
	for range 2 {
		want(t, patch(at, 1000, 2000), http.StatusNotFound)
		want(t, request(t, f.Client(), http.MethodGet, at, nil), http.StatusNotFound)
	}
	want(t, patch(patchOnce(next, patch, upload("")), 1000, 2000), http.StatusAccepted)
	if rule.Hits() != 1 {
		t.Errorf("%d uploads dropped, want 1", rule.Hits())
	}
	f.Clear()

	f.Inject(registrytest.Upload, registrytest.SizeCap(2000))
	at = patchOnce(next, patch, upload(""))
	want(t, patch(at, 1000, 2001), http.StatusRequestEntityTooLarge)
	want(t, patch(at, 1000, 2000), http.StatusAccepted)
	want(t, request(t, f.Client(), http.MethodPut, commit(upload(""), registrytest.Digest(content)), content), http.StatusRequestEntityTooLarge)
}

// patchOnce sends the first 1000 bytes and returns where the upload goes on.
func patchOnce(next func(answer) string, patch func(string, int, int, ...string) answer, at string) string {
	return next(patch(at, 0, 1000))
}

// A stream whose length nobody knows is refused when it becomes too long.
func TestSizeCapOfStream(t *testing.T) {
	f := newFixture(t, 10)
	f.Inject(registrytest.Upload, registrytest.SizeCap(2000))
	for n, status := range map[int]int{2000: http.StatusAccepted, 2001: http.StatusRequestEntityTooLarge} {
		at := start(t, f.Client(), f.URL, "")
		body := struct{ *bytes.Reader }{bytes.NewReader(random(n, 1))} // http.NewRequest cannot see its length
		req, err := http.NewRequest(http.MethodPatch, at, body)
		if err != nil {
			t.Fatal(err)
		}
		res, err := f.Client().Do(req)
		if err != nil || res.StatusCode != status {
			t.Fatalf("stream of %d: %v, %v", n, res, err)
		}
		res.Body.Close()
	}
}

// An upload that is cut goes on where it was cut; one whose answer is lost has arrived.
func TestCutUploads(t *testing.T) {
	f := newFixture(t, 10)
	content := random(300_000, 5)
	at := start(t, f.Client(), f.URL, "")
	f.Inject(registrytest.UploadPatch, registrytest.CutRequest(100_000), registrytest.Once())
	if got := request(t, f.Client(), http.MethodPatch, at, content, "Content-Range: 0-299999"); got.err == nil {
		t.Fatalf("a cut upload: status %d", got.status)
	}
	// The registry may not know of the cut yet.
	var got answer
	for range 100 {
		if got = request(t, f.Client(), http.MethodGet, at, nil); got.status == http.StatusNoContent && got.header.Get("Range") == "0-99999" {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if got.header.Get("Range") != "0-99999" {
		t.Fatalf("state of the cut upload: %d, %v", got.status, got.header)
	}
	f.Inject(registrytest.UploadPatch, registrytest.LoseAnswer(), registrytest.Once())
	if got := request(t, f.Client(), http.MethodPatch, at, content[100_000:], "Content-Range: 100000-299999"); got.err == nil {
		t.Fatalf("a lost answer: status %d", got.status)
	}
	got = want(t, request(t, f.Client(), http.MethodGet, at, nil), http.StatusNoContent)
	if got.header.Get("Range") != "0-299999" {
		t.Fatalf("state after a lost answer: %v", got.header)
	}
	want(t, request(t, f.Client(), http.MethodPut, commit(at, registrytest.Digest(content)), nil), http.StatusCreated)
}
