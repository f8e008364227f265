package registrytest

import (
	"fmt"
	"net/http"
	"strings"
)

// Kind is what a request asks of a registry. As a pattern, a kind stands also for those that begin with it: Blob for
// BlobGet and BlobHead, Any for all.
type Kind string

// The kinds of requests. Mount is an upload POST that asks for a blob of another repository; StorageGet and
// StorageHead go to the storage host, TokenGet to the token server.
const (
	Any            Kind = ""
	Ping           Kind = "ping"
	Manifest       Kind = "manifest"
	ManifestGet    Kind = "manifest GET"
	ManifestHead   Kind = "manifest HEAD"
	ManifestPut    Kind = "manifest PUT"
	ManifestDelete Kind = "manifest DELETE"
	Blob           Kind = "blob"
	BlobGet        Kind = "blob GET"
	BlobHead       Kind = "blob HEAD"
	BlobDelete     Kind = "blob DELETE"
	Upload         Kind = "upload"
	UploadPost     Kind = "upload POST"
	UploadPatch    Kind = "upload PATCH"
	UploadPut      Kind = "upload PUT"
	UploadGet      Kind = "upload GET"
	UploadDelete   Kind = "upload DELETE"
	Mount          Kind = "mount POST"
	ReferrersGet   Kind = "referrers GET"
	TagsGet        Kind = "tags GET"
	CatalogGet     Kind = "catalog GET"
	Token          Kind = "token"
	TokenGet       Kind = "token GET"
	TokenPost      Kind = "token POST"
	StorageAny     Kind = "storage"
	StorageGet     Kind = "storage GET"
	StorageHead    Kind = "storage HEAD"
	Other          Kind = "other"
)

// covers says whether k, as a pattern, stands for kind.
func (k Kind) covers(kind Kind) bool { return strings.HasPrefix(string(kind), string(k)) }

// target is what the path of a request names.
type target struct {
	Kind      Kind
	Repo      string
	Reference string // tag or digest of a manifest, digest of a blob
	Session   string // of an upload
}

// parseTarget reads a path of the distribution specification.
func parseTarget(r *http.Request) target {
	path, ok := strings.CutPrefix(r.URL.Path, "/v2")
	path = strings.TrimPrefix(path, "/")
	switch {
	case !ok:
		return target{Kind: Other}
	case path == "":
		return target{Kind: Ping}
	case path == "_catalog":
		return target{Kind: "catalog " + Kind(r.Method)}
	}
	parts := strings.Split(strings.TrimSuffix(path, "/"), "/")
	n := len(parts)
	is := func(fromEnd int, name string) bool { return n > fromEnd && parts[n-fromEnd] == name }
	repo := func(tail int) string { return strings.Join(parts[:n-tail], "/") }
	method := Kind(" " + r.Method)
	switch {
	case is(2, "blobs") && is(1, "uploads"):
		kind := "upload" + method
		if r.URL.Query().Has("mount") {
			kind = "mount" + method
		}
		return target{Kind: kind, Repo: repo(2)}
	case is(3, "blobs") && is(2, "uploads"):
		return target{Kind: "upload" + method, Repo: repo(3), Session: parts[n-1]}
	case is(2, "blobs"):
		return target{Kind: "blob" + method, Repo: repo(2), Reference: parts[n-1]}
	case is(2, "manifests"):
		return target{Kind: "manifest" + method, Repo: repo(2), Reference: parts[n-1]}
	case is(2, "referrers"):
		return target{Kind: "referrers" + method, Repo: repo(2), Reference: parts[n-1]}
	case is(2, "tags") && is(1, "list"):
		return target{Kind: "tags" + method, Repo: repo(2)}
	}
	return target{Kind: Other}
}

// contentRange returns the first and last byte that a chunk says to be: "a-b", or "bytes a-b/size" as some write it.
func contentRange(r *http.Request) (first, last int64, ok bool) {
	value := strings.TrimPrefix(r.Header.Get("Content-Range"), "bytes ")
	n, err := fmt.Sscanf(value, "%d-%d", &first, &last)
	return first, last, n == 2 && err == nil
}
