package registry_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"

	"github.com/data-containers/cdb/internal/registry"
)

func TestContentRange(t *testing.T) {
	for s, want := range map[string][3]int64{
		"bytes 0-9/10": {0, 9, 10}, "bytes 5-5/*": {5, 5, -1}, "bytes 9223372036854775806-9223372036854775807/*": {9223372036854775806, 9223372036854775807, -1},
	} {
		if first, last, total, ok := registry.ContentRange(s); !ok || [3]int64{first, last, total} != want {
			t.Errorf("%q: %d %d %d %v", s, first, last, total, ok)
		}
	}
	for _, s := range []string{"", "bytes", "bytes ", "bytes */10", "bytes 1-0/10", "bytes -1-3/10", "bytes 0-9", "bytes=0-9/10", "items 0-9/10",
		"bytes 0-9/x", "bytes a-b/c", "bytes 0--1/5", "bytes 0-9223372036854775808/*", "bytes 0-9/", "bytes 0 - 9/10"} {
		if first, last, total, ok := registry.ContentRange(s); ok {
			t.Errorf("%q: %d %d %d", s, first, last, total)
		}
	}
}

func TestUploadedRange(t *testing.T) {
	for s, want := range map[string]int64{"0-9": 10, "0-0": 0, "0--1": 0, "bytes=0-99": 100, "0-4611686018427387902": 4611686018427387903} {
		if n, ok := registry.UploadedRange(s); !ok || n != want {
			t.Errorf("%q: %d, %v", s, n, ok)
		}
	}
	for _, s := range []string{"", "0", "1-9", "0-", "-9", "a-b", "0--2", "0-99999999999999999999", "00-9", "0-9-10", "bytes 0-9"} {
		if n, ok := registry.UploadedRange(s); ok {
			t.Errorf("%q: %d", s, n)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for s, want := range map[string]time.Duration{
		"0": 0, "120": 2 * time.Minute, "Fri, 02 Jan 2026 03:05:05 GMT": time.Minute, "Fri, 02 Jan 2026 03:00:00 GMT": 0,
		"Friday, 02-Jan-26 03:04:35 GMT": 30 * time.Second,
	} {
		if d, ok := registry.RetryAfter(s, now); !ok || d != want {
			t.Errorf("%q: %v, %v", s, d, ok)
		}
	}
	for _, s := range []string{"", "-1", "1.5", "soon", "99999999999999999999", "0x10"} {
		if d, ok := registry.RetryAfter(s, now); ok {
			t.Errorf("%q: %v", s, d)
		}
	}
}

func TestNextLink(t *testing.T) {
	at := must(url.Parse("https://r.test/v2/_catalog?n=10"))(t)
	for header, want := range map[string]string{
		`</v2/_catalog?last=x&n=10>; rel="next"`:        "https://r.test/v2/_catalog?last=x&n=10",
		`<_catalog?last=x>;rel=next`:                    "https://r.test/v2/_catalog?last=x",
		`<https://r.test:443/v2/y>; rel="next"`:         "https://r.test:443/v2/y",
		`<http://r.test/v2/y>; rel="next"`:              "https://r.test/v2/y",
		`</v2/a>; rel="prev", </v2/b>; rel="next"`:      "https://r.test/v2/b",
		`<https://other.test/v2/y>; rel="next"`:         "",
		`<http://other.test/v2/y>; rel="next"`:          "",
		`<https://r.test:8443/v2/y>; rel="next"`:        "",
		`<file:///etc/passwd>; rel="next"`:              "",
		`</v2/a>; rel="prev"`:                           "",
		`</v2/a`:                                        "",
		``:                                              "",
		`<%zz>; rel="next"`:                             "",
		`</v2/a>`:                                       "",
		`<https://user:s3cret@r.test/v2/y>; rel="next"`: "https://r.test/v2/y",
	} {
		got := ""
		if u := registry.NextLink(at, header); u != nil {
			got = u.String()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}

func answer(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)),
		Request: &http.Request{Method: "GET", URL: &url.URL{Scheme: "https", Host: "r.test", Path: "/v2/x", RawQuery: "sig=s3cret", User: url.UserPassword("me", "s3cret")}},
	}
}

func TestStatusError(t *testing.T) {
	for body, want := range map[string]string{
		``:                               "GET https://r.test/v2/x: 400 Bad Request",
		`{"errors":[]}`:                  "GET https://r.test/v2/x: 400 Bad Request",
		`<html>`:                         "GET https://r.test/v2/x: 400 Bad Request",
		`{"errors":[{"code":"DENIED"}]}`: "GET https://r.test/v2/x: 400 Bad Request: DENIED",
		`{"errors":[{"code":"A","message":"why\nnot"},{"code":"B"}]}`: "GET https://r.test/v2/x: 400 Bad Request: A: why not",
	} {
		if err := registry.StatusErrorOf(answer(400, body)); err.Error() != want {
			t.Errorf("%s: %q, want %q", body, err, want)
		}
	}
	for status, is := range map[int]error{404: registry.ErrNotFound, 401: registry.ErrDenied, 403: registry.ErrDenied, 413: registry.ErrTooLarge} {
		if err := registry.StatusErrorOf(answer(status, "")); !errors.Is(err, is) {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestIsLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "127.0.0.1": true, "127.9.9.9:1": true, "[::1]:5000": true, "::1": true,
		"example.org": false, "localhost.example.org": false, "10.0.0.1:5000": false, "": false, "[::2]:1": false,
	} {
		if registry.IsLoopback(host) != want {
			t.Errorf("%q", host)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-9/10", "bytes 5-5/*", "bytes */10", "", "bytes 9-1/4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		first, last, total, ok := registry.ContentRange(s)
		if ok && (first < 0 || last < first || total < -1) {
			t.Errorf("%q: %d-%d/%d", s, first, last, total)
		}
	})
}

func FuzzUploadedRange(f *testing.F) {
	for _, s := range []string{"0-9", "0-0", "bytes=0-5", "", "0--1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n, ok := registry.UploadedRange(s); ok && n < 0 {
			t.Errorf("%q: %d", s, n)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"0", "120", "Fri, 02 Jan 2026 03:05:05 GMT", "-1", ""} {
		f.Add(s)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := registry.RetryAfter(s, now); ok && d < 0 {
			t.Errorf("%q: %v", s, d)
		}
	})
}

func FuzzNextLink(f *testing.F) {
	for _, s := range []string{`</v2/_catalog?last=x&n=10>; rel="next"`, `<http://r.test/v2/y>; rel="next"`, `<<>>`, `<//other/x>; rel="next"`, ""} {
		f.Add(s)
	}
	at := &url.URL{Scheme: "https", Host: "r.test", Path: "/v2/_catalog"}
	f.Fuzz(func(t *testing.T, s string) {
		if u := registry.NextLink(at, s); u != nil && (u.Scheme != "https" || !strings.EqualFold(u.Hostname(), "r.test") || u.Port() != "" && u.Port() != "443" || u.User != nil) {
			t.Errorf("%q: %s", s, u)
		}
	})
}

func FuzzStatusError(f *testing.F) {
	f.Add(400, []byte(`{"errors":[{"code":"A","message":"why\nnot"}]}`))
	f.Add(200, []byte("<html>\x1b[31m"))
	f.Add(500, bytes.Repeat([]byte(`{"errors":[`), 1000))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		msg := registry.StatusErrorOf(answer(status, string(body))).Error()
		if strings.ContainsAny(msg, "\x00\x1b\n\r") || strings.Contains(msg, "s3cret") || len(msg) > 3*registry.MaxMessage {
			t.Errorf("%d bytes: %q", len(msg), msg)
		}
		if utf8.Valid(body) && !utf8.ValidString(msg) {
			t.Errorf("not UTF-8: %q", msg)
		}
	})
}

func FuzzDescribe(f *testing.F) {
	f.Add("v1", "", "application/json", []byte("{}"))
	f.Add(digest.FromString("{}").String(), digest.FromString("{}").String(), "application/vnd.oci.image.index.v1+json; charset=utf-8", []byte("{}"))
	f.Add("sha512:x", "sha256:y", "", []byte{})
	f.Fuzz(func(t *testing.T, ref, said, mediaType string, data []byte) {
		desc, err := registry.Describe(ref, http.Header{"Docker-Content-Digest": {said}, "Content-Type": {mediaType}}, data)
		if err != nil {
			return
		}
		if desc.Size != int64(len(data)) || desc.Digest.Algorithm().FromBytes(data) != desc.Digest {
			t.Errorf("%+v", desc)
		}
		if d := digest.Digest(ref); d.Validate() == nil && d.Algorithm().FromBytes(data) != d {
			t.Errorf("%s was taken for %s", digest.FromBytes(data), ref)
		}
	})
}
