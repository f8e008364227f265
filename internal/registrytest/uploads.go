package registrytest

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// upload is what the proxy knows of an upload session.
type upload struct {
	size int64 // bytes that the registry has taken
	dead bool
	last bool // a chunk below the minimum came: only the last may be
}

// session returns what is known of the upload of a request.
func (x *exchange) session() *upload {
	p := x.p
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.uploads[x.to.Session]
	if u == nil {
		u = &upload{}
		p.uploads[x.to.Session] = u
	}
	return u
}

// taken is the number of bytes that the upload of a request has already.
func (x *exchange) taken() int64 {
	u := x.session()
	x.p.mu.Lock()
	defer x.p.mu.Unlock()
	return u.size
}

// noteUpload keeps the size of an upload, which the registry tells in its answer.
func (p *Proxy) noteUpload(x *exchange, res *http.Response) {
	if x.to.Session == "" || res.StatusCode != http.StatusAccepted && res.StatusCode != http.StatusNoContent {
		return
	}
	var last int64
	if n, _ := fmt.Sscanf(res.Header.Get("Range"), "0-%d", &last); n != 1 {
		return
	}
	u := x.session()
	p.mu.Lock()
	defer p.mu.Unlock()
	if u.size = last + 1; last == 0 && x.r.ContentLength != 1 {
		u.size = 0 // "0-0" says that one byte is there, or none
	}
}

// NoChunks refuses PATCH requests that have a Content-Range, with the status (400, 405, 416): for UploadPatch.
// Streams without one, and a PUT of everything, still work. Status does that for every PATCH.
func NoChunks(status int) Fault {
	f := Status(status)
	f.name = fmt.Sprintf("no chunks: %d", status)
	f.when = func(x *exchange) bool { return x.r.Header.Get("Content-Range") != "" }
	return f
}

// ChunkMax refuses chunks with a Content-Range of more than n bytes with 416, as GHCR does: for UploadPatch.
func ChunkMax(n int64) Fault {
	f := Status(http.StatusRequestedRangeNotSatisfiable)
	f.name = fmt.Sprintf("chunks of at most %d bytes", n)
	f.when = func(x *exchange) bool {
		first, last, ok := contentRange(x.r)
		return ok && last-first+1 > n
	}
	return f
}

// ChunkMin says in the answer to the POST how small a chunk may be, and refuses with 400 a chunk that follows a
// smaller one: for Upload.
func ChunkMin(n int64) Fault {
	return Fault{
		name: fmt.Sprintf("chunks of at least %d bytes", n),
		answer: func(x *exchange) bool {
			if x.to.Kind != UploadPatch {
				return false
			}
			u := x.session()
			x.p.mu.Lock()
			refused := u.last
			first, last, ok := contentRange(x.r)
			u.last = ok && last-first+1 < n
			x.p.mu.Unlock()
			if refused {
				x.refuse(http.StatusBadRequest, "SIZE_INVALID")
			}
			return refused
		},
		response: func(x *exchange, res *http.Response) {
			if x.to.Kind == UploadPost {
				res.Header.Set("OCI-Chunk-Min-Length", strconv.FormatInt(n, 10))
			}
		},
	}
}

// DropUpload forgets an upload that has n bytes: from then on it is answered with 404, whatever the limits of the
// rule: for Upload. Each upload that is dropped counts once.
func DropUpload(n int64) Fault {
	f := Fault{name: fmt.Sprintf("drop the upload at %d bytes", n)}
	f.when = func(x *exchange) bool { // the lock is held
		if x.to.Session == "" || x.p.uploads[x.to.Session] == nil {
			return false
		}
		u := x.p.uploads[x.to.Session]
		return !u.dead && u.size >= n
	}
	f.answer = func(x *exchange) bool {
		u := x.session()
		x.p.mu.Lock()
		u.dead = true
		x.p.mu.Unlock()
		x.refuse(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
		return true
	}
	return f
}

// refuseUpload answers requests to uploads that were dropped.
func (p *Proxy) refuseUpload(x *exchange) bool {
	p.mu.Lock()
	u := p.uploads[x.to.Session]
	dead := u != nil && u.dead
	p.mu.Unlock()
	if dead {
		x.refuse(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
	}
	return dead
}

// SizeCap refuses blobs of more than n bytes with 413: at once where the length is known, else when the byte comes
// that is too many: for Upload.
func SizeCap(n int64) Fault {
	f := Fault{name: fmt.Sprintf("blobs of at most %d bytes", n)}
	tooLarge := func(x *exchange) bool {
		x.refuse(http.StatusRequestEntityTooLarge, "SIZE_INVALID")
		return true
	}
	f.answer = func(x *exchange) bool {
		if x.to.Kind == UploadGet || x.to.Kind == UploadDelete {
			return false
		}
		return x.taken()+x.r.ContentLength > n && tooLarge(x)
	}
	f.request = func(x *exchange, out *http.Request) {
		if out.Body == http.NoBody {
			return
		}
		wrapBody(&out.Body, &capper{r: out.Body, left: n - x.taken(), over: func() { x.tooLarge.Store(true) }})
	}
	return f
}

// capper fails with the byte that is too many.
type capper struct {
	r    io.Reader
	left int64
	over func()
}

func (c *capper) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if c.left -= int64(n); c.left < 0 {
		c.over()
		return 0, errCut
	}
	return n, err
}

// RefuseMount answers a mount with 202 and an upload, as registries do that cannot mount: for Mount.
func RefuseMount() Fault {
	return Fault{name: "refuse the mount", request: func(x *exchange, out *http.Request) { dropMount(out) }}
}

func dropMount(out *http.Request) {
	query := out.URL.Query()
	query.Del("mount")
	query.Del("from")
	out.URL.RawQuery = query.Encode()
}
