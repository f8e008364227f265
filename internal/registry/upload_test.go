package registry_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/data-containers/cdb/internal/registry"
	"github.com/data-containers/cdb/internal/registrytest"
)

// chunk is the size of pieces in tests.
const chunk = 256 * kib

// A blob comes to every kind of registry, in pieces and in one go, and once.
func TestUpload(t *testing.T) {
	each(t, registries, func(t *testing.T, start func(testing.TB, ...registrytest.Option) *registrytest.Registry) {
		f := newFixture(t, start(t), nil)
		for name, data := range map[string][]byte{
			"empty": {}, "a byte": {7}, "one piece": random(chunk, 1), "a piece and a byte": random(chunk+1, 2), "pieces": random(5*chunk+1234, 3),
		} {
			how, err := f.upload(t, data)
			if how != registry.Uploaded || err != nil || !has(t, f.upstream, "a/b", data) {
				t.Errorf("%s: %q, %v", name, how, err)
			}
			f.Reset()
			how, err = f.upload(t, data)
			if how != registry.Existed || err != nil || f.Count(registrytest.Upload) != 0 {
				t.Errorf("%s again: %q, %v", name, how, err)
			}
		}
		how, err := f.upload(t, random(3*chunk, 4))
		if patches := f.Count(registrytest.UploadPatch); how != registry.Uploaded || err != nil || patches != 3 {
			t.Errorf("three pieces: %q, %v, %d PATCH requests", how, err, patches)
		}
	})
}

// Whatever goes wrong on the way to a registry, the blob is there in the end,
// right, and not much of it was sent in vain.
func TestUploadFaults(t *testing.T) {
	const pieces = 6
	type test struct {
		kind  registrytest.Kind
		fault registrytest.Fault
		limit []registrytest.Limit
		most  int64 // pieces that may be sent, in all
	}
	upstreams := map[string]*registrytest.Registry{}
	for name, start := range registries {
		t.Run("start "+name, func(sub *testing.T) {
			start(sub) // it skips where it cannot be had
			upstreams[name] = start(t)
		})
	}
	var seed atomic.Uint64
	post, patch, put, get := registrytest.UploadPost, registrytest.UploadPatch, registrytest.UploadPut, registrytest.UploadGet
	times, after := registrytest.Times, registrytest.After
	limits := func(l ...registrytest.Limit) []registrytest.Limit { return l }
	each(t, map[string]test{
		"POST: hang up":              {post, registrytest.HangUp(), limits(times(2)), pieces},
		"POST: answer lost":          {post, registrytest.LoseAnswer(), limits(times(2)), pieces},
		"POST: 429":                  {post, registrytest.RetryAfter(429, 0), limits(times(2)), pieces},
		"POST: 503":                  {post, registrytest.Status(503), limits(times(3)), pieces},
		"PATCH: hang up":             {patch, registrytest.HangUp(), limits(after(2), times(2)), pieces + 2},
		"PATCH: answer lost":         {patch, registrytest.LoseAnswer(), limits(after(1), times(2)), pieces + 1},
		"PATCH: the last lost":       {patch, registrytest.LoseAnswer(), limits(after(pieces-1), times(1)), pieces + 1},
		"PATCH: cut":                 {patch, registrytest.CutRequest(100_000), limits(after(1), times(3)), pieces + 3},
		"PATCH: cut at once":         {patch, registrytest.CutRequest(0), limits(after(3), times(3)), pieces + 3},
		"PATCH: every other cut":     {patch, registrytest.CutRequest(130_000), limits(registrytest.When(everyOther())), 2 * pieces},
		"PATCH: 429":                 {patch, registrytest.RetryAfter(429, 0), limits(after(2), times(2)), pieces + 2},
		"PATCH: 503 with a date":     {patch, registrytest.RetryAfterDate(503, time.Second), limits(after(2), times(1)), pieces + 1},
		"PATCH: 500":                 {patch, registrytest.Status(500), limits(after(2), times(2)), pieces + 2},
		"PATCH: 502 with a page":     {patch, registrytest.HTML(502), limits(after(4), times(2)), pieces + 2},
		"PATCH: 416":                 {patch, registrytest.Status(416), limits(after(2), times(1)), pieces + 1},
		"PATCH: the session ends":    {patch, registrytest.Status(404), limits(after(4), times(1)), pieces + 1},
		"PATCH: no Range":            {patch, registrytest.SetHeader("Range", ""), nil, pieces},
		"PATCH: a wrong Range":       {patch, registrytest.SetHeader("Range", "0-1000"), limits(after(1), times(1)), pieces + 2},
		"PATCH: Range of too much":   {patch, registrytest.SetHeader("Range", "0-99999999"), limits(after(1), times(1)), pieces + 2},
		"PATCH: nonsense Range":      {patch, registrytest.SetHeader("Range", "bytes */"), nil, pieces},
		"PATCH: no Location":         {patch, registrytest.SetHeader("Location", ""), limits(after(1), times(1)), pieces + 2},
		"the session is forgotten":   {registrytest.Upload, registrytest.DropUpload(3 * chunk), limits(times(1)), pieces + 4},
		"status: 500":                {registrytest.Upload, registrytest.Status(500), limits(registrytest.When(patchOrGet(3, 4, 5))), pieces + 3},
		"status: lost":               {get, registrytest.LoseAnswer(), limits(times(1)), pieces},
		"PUT: 503":                   {put, registrytest.Status(503), limits(times(2)), pieces},
		"PUT: 429":                   {put, registrytest.RetryAfter(429, 0), limits(times(2)), pieces},
		"PUT: hang up":               {put, registrytest.HangUp(), limits(times(2)), pieces},
		"PUT: the session ends":      {put, registrytest.Status(404), limits(times(1)), 2 * pieces},
		"PUT: another digest":        {put, registrytest.Answer(400, `{"errors":[{"code":"DIGEST_INVALID"}]}`), limits(times(1)), 2 * pieces},
		"no pieces: 416":             {patch, registrytest.NoChunks(416), nil, pieces + 1},
		"no pieces: 400":             {patch, registrytest.NoChunks(400), nil, pieces + 1},
		"no pieces: 405":             {patch, registrytest.NoChunks(405), nil, pieces + 1},
		"no PATCH":                   {patch, registrytest.Status(405), nil, pieces + 1},
		"small pieces":               {patch, registrytest.ChunkMax(100_000), nil, pieces + 1},
		"large pieces":               {registrytest.Upload, registrytest.ChunkMin(500_000), nil, pieces},
		"HEAD: 403":                  {registrytest.BlobHead, registrytest.Status(403), nil, pieces},
		"HEAD: 405":                  {registrytest.BlobHead, registrytest.Status(405), nil, pieces},
		"HEAD: 500":                  {registrytest.BlobHead, registrytest.Status(500), nil, pieces},
		"HEAD: hang up":              {registrytest.BlobHead, registrytest.HangUp(), limits(times(3)), pieces},
		"everything now and then":    {registrytest.Any, registrytest.Status(503), limits(registrytest.When(everyThird())), 2 * pieces},
		"everything hangs up":        {registrytest.Any, registrytest.HangUp(), limits(registrytest.When(everyThird())), 2 * pieces},
		"answers are lost by thirds": {registrytest.Any, registrytest.LoseAnswer(), limits(registrytest.When(everyThird())), 3 * pieces},
	}, func(t *testing.T, c test) {
		for name, upstream := range upstreams {
			f := newFixture(t, upstream, nil)
			rule := f.Inject(c.kind, c.fault, c.limit...)
			data := random((pieces-1)*chunk+1000, seed.Add(1))
			how, err := f.upload(t, data)
			rule.Remove()
			// Where an upload is forgotten when its connection breaks, it never
			// ends if they break all the time.
			if name == "distribution 2" && c.most >= 2*pieces && err != nil {
				wantError(t, err, "the upload session is lost")
				continue
			}
			if how != registry.Uploaded || err != nil || !has(t, f.upstream, "a/b", data) {
				t.Errorf("%s: %q, %v", name, how, err)
			}
			most := c.most
			if name == "distribution 2" {
				most *= 3 // it forgets uploads whose connection broke
			}
			if sum := f.Totals(registrytest.Any); sum.Received > most*chunk {
				t.Errorf("%s: %d bytes were sent for %d", name, sum.Received, len(data))
			}
		}
	})
}

func everyOther() func(*http.Request) bool { return every(2) }
func everyThird() func(*http.Request) bool { return every(3) }

func every(k int) func(*http.Request) bool {
	n := 0
	var mu sync.Mutex
	return func(*http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		n++
		return n%k == 0
	}
}

// patchOrGet is true for the requests of an upload with these numbers.
func patchOrGet(numbers ...int) func(*http.Request) bool {
	n := 0
	var mu sync.Mutex
	return func(r *http.Request) bool {
		if r.Method != http.MethodPatch && r.Method != http.MethodGet {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		n++
		for _, want := range numbers {
			if n == want {
				return true
			}
		}
		return false
	}
}

// What a registry does not take is a clear error, after a few requests, and
// says nothing that is secret.
func TestUploadFails(t *testing.T) {
	type test struct {
		kind  registrytest.Kind
		fault registrytest.Fault
		parts []string
		is    error
	}
	each(t, map[string]test{
		"denied":             {registrytest.UploadPost, registrytest.Status(403), []string{"403", "upload blob sha256:", "a/b"}, registry.ErrDenied},
		"no such repository": {registrytest.UploadPost, registrytest.Status(404), []string{"404"}, registry.ErrNotFound},
		"full":               {registrytest.UploadPatch, registrytest.Status(507), []string{"507"}, nil},
		"always 503":         {registrytest.UploadPatch, registrytest.Status(503), []string{"503"}, nil},
		"down":               {registrytest.Upload, registrytest.HangUp(), []string{"POST"}, nil},
		"too large":          {registrytest.Upload, registrytest.SizeCap(2 * chunk), []string{"too large", "1310720 bytes"}, registry.ErrTooLarge},
		"later":              {registrytest.UploadPatch, registrytest.RetryAfter(503, time.Hour), []string{"1h0m0s"}, nil},
		"PUT later":          {registrytest.UploadPut, registrytest.RetryAfter(503, time.Hour), []string{"1h0m0s"}, nil},
		"PUT denied":         {registrytest.UploadPut, registrytest.Status(403), []string{"403"}, registry.ErrDenied},
		"another digest":     {registrytest.UploadPut, registrytest.WrongDigest(), []string{"the registry says that it got sha256:"}, registry.ErrDamaged},
		"to a file":          {registrytest.UploadPost, registrytest.SetHeader("Location", "file:///x"), []string{"redirect refused"}, nil},
		"to nowhere":         {registrytest.UploadPost, registrytest.SetHeader("Location", ""), []string{"names no place"}, nil},
	}, func(t *testing.T, c test) {
		f := newFixture(t, registrytest.Referrers(t), nil)
		f.Inject(c.kind, c.fault)
		within(t, time.Minute, func() {
			_, err := f.upload(t, random(5*chunk, 1))
			wantError(t, err, c.parts...)
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is not %v", err, c.is)
			}
		})
		if n := f.Count(registrytest.Any); n > 120 {
			t.Errorf("%d requests", n)
		}
	})
}

// What is known not to be taken is not sent.
func TestLimits(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]int64{
		"ghcr.io": 10e9, "public.ecr.aws": 10_000 << 20, "123.dkr.ecr.eu-west-1.amazonaws.com": 52_000 << 20,
		"lab.azurecr.io": 200 << 30, "quay.io": 20e9, "localhost:5000": 0, "docker.io": 0, "ghcr.io.example.org": 0,
	} {
		if got := registry.Limits(host).Layer; got != want {
			t.Errorf("%s: %d, want %d", host, got, want)
		}
	}
	c := newClient(t, options(t))
	r := repository(t, c, "ghcr.io", "a/b")
	_, err := r.Upload(t.Context(), ocispec.Descriptor{Digest: digest.FromString("x"), Size: 11e9}, contentOf(nil), registry.UploadOptions{})
	wantError(t, err, "11000000000 bytes", "ghcr.io", "10000000000")
	if !errors.Is(err, registry.ErrTooLarge) {
		t.Error(err)
	}
}

// A blob of another repository is mounted, if the registry does so.
func TestMount(t *testing.T) {
	each(t, registries, func(t *testing.T, start func(testing.TB, ...registrytest.Option) *registrytest.Registry) {
		f := newFixture(t, start(t), nil)
		data := random(2*chunk, 1)
		f.upstream.PutBlob(t, "other/place", data)
		how, err := f.upload(t, data, "none/here", "other/place")
		if how != registry.Mounted || err != nil || !has(t, f.upstream, "a/b", data) {
			// A registry that has it not in the first opens an upload at once.
			if how, err = f.upload(t, random(chunk, 9)); err != nil {
				t.Errorf("%q, %v", how, err)
			}
		}
		second := random(2*chunk, 2)
		f.upstream.PutBlob(t, "other/place", second)
		f.Reset()
		how, err = f.upload(t, second, "other/place")
		if sum := f.Totals(registrytest.Any); how != registry.Mounted || err != nil || sum.Received != 0 || !has(t, f.upstream, "a/b", second) {
			t.Errorf("%q, %v, %+v", how, err, sum)
		}
		// Where the client sent it itself, it remembers.
		third := random(2*chunk, 3)
		if _, err := f.upload(t, third); err != nil {
			t.Fatal(err)
		}
		to := repository(t, f.client, f.Host, "c/d")
		how, err = to.Upload(t.Context(), descriptor(third), contentOf(third), registry.UploadOptions{})
		if how != registry.Mounted || err != nil {
			t.Errorf("%q, %v", how, err)
		}
		f.Inject(registrytest.Mount, registrytest.RefuseMount())
		to = repository(t, f.client, f.Host, "e/f")
		how, err = to.Upload(t.Context(), descriptor(third), contentOf(third), registry.UploadOptions{From: []string{"a/b"}})
		if how != registry.Uploaded || err != nil || !has(t, f.upstream, "e/f", third) {
			t.Errorf("without a mount: %q, %v", how, err)
		}
		f.Inject(registrytest.Mount, registrytest.Status(400))
		to = repository(t, f.client, f.Host, "g/h")
		how, err = to.Upload(t.Context(), descriptor(third), contentOf(third), registry.UploadOptions{From: []string{"a/b"}})
		if how != registry.Uploaded || err != nil || !has(t, f.upstream, "g/h", third) {
			t.Errorf("mount refused: %q, %v", how, err)
		}
	})
}

// failingContent is content that a process reads until it is killed.
type failingContent struct {
	content
	until int64
	cut   func()
}

func (c failingContent) ReadAt(p []byte, off int64) (int, error) {
	if off >= c.until {
		c.cut()
		return 0, errors.New("killed")
	}
	return c.content.ReadAt(p[:min(int64(len(p)), c.until-off)], off)
}

// An upload that ended in the middle, with its process, is gone on with by
// another client that has the same folder for such notes.
func TestResumeUpload(t *testing.T) {
	each(t, registries, func(t *testing.T, start func(testing.TB, ...registrytest.Option) *registrytest.Registry) {
		f := newFixture(t, start(t), nil)
		data := random(10*chunk, 1)
		dir := t.TempDir()
		for i, until := range []int64{4*chunk + 1000, 8 * chunk} {
			opts := options(t)
			opts.StateDir = dir
			ctx, cancel := context.WithCancel(t.Context())
			_, err := repository(t, newClient(t, opts), f.Host, "a/b").Upload(ctx, descriptor(data), failingContent{contentOf(data), until, cancel}, registry.UploadOptions{})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("upload %d: %v", i, err)
			}
			checkPrivate(t, dir)
		}
		opts := options(t)
		opts.StateDir = dir
		f.Reset()
		var sum counter
		how, err := repository(t, newClient(t, opts), f.Host, "a/b").Upload(t.Context(), descriptor(data), contentOf(data), registry.UploadOptions{Sent: sum.sent})
		if how != registry.Uploaded || err != nil || !has(t, f.upstream, "a/b", data) || sum.n.Load() != 10*chunk {
			t.Errorf("%q, %v, %d counted", how, err, sum.n.Load())
		}
		sent := f.Totals(registrytest.Upload).Received
		if lost := strings.Contains(t.Name(), "distribution_2"); sent > 3*chunk && !lost || sent > 10*chunk {
			t.Errorf("%d bytes were sent again", sent)
		}
	})
}

// checkPrivate looks at the notes of uploads under way: nobody else may read
// them.
func checkPrivate(t *testing.T, dir string) {
	t.Helper()
	files := must(filepath.Glob(filepath.Join(dir, "*")))(t)
	if len(files) == 0 {
		t.Error("nothing is noted")
	}
	for _, f := range files {
		info := must(os.Stat(f))(t)
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %v", f, info.Mode())
		}
	}
}

// Notes that are damaged, or of somebody else, change nothing.
func TestBadNotes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, registrytest.Referrers(t), nil)
	dir := t.TempDir()
	opts := options(t)
	opts.StateDir = dir
	repo := repository(t, newClient(t, opts), f.Host, "a/b")
	for i, note := range []string{
		"", "{", "null", `{"digest":"sha256:x"}`, strings.Repeat("x", 100_000),
		`{"digest":"DIGEST","repo":"a/b","session":"http://HOST/v2/a/b/blobs/uploads/none","time":"TIME"}`,
		`{"digest":"DIGEST","repo":"a/b","session":"file:///etc/passwd","time":"TIME"}`,
		`{"digest":"DIGEST","repo":"a/b","session":"%zz","time":"TIME"}`,
		`{"digest":"DIGEST","repo":"a/b","session":"http://HOST/v2/a/b/blobs/uploads/none","time":"2001-01-01T00:00:00Z"}`,
		`{"digest":"DIGEST","known":["../x","","a/b","none/here"],"time":"TIME"}`,
	} {
		data := random(3*chunk, uint64(i))
		if _, err := repo.Upload(t.Context(), descriptor(data), contentOf(data), registry.UploadOptions{}); err != nil {
			t.Fatal(err)
		}
		files := must(filepath.Glob(filepath.Join(dir, "*.json")))(t)
		note = strings.NewReplacer("DIGEST", descriptor(data).Digest.String(), "HOST", f.Host, "TIME", time.Now().Format(time.RFC3339)).Replace(note)
		for _, name := range files {
			if err := os.WriteFile(name, []byte(note), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		to := repository(t, newClient(t, opts), f.Host, "b"+strconv.Itoa(i))
		if strings.Contains(note, `"repo":"a/b"`) {
			to = repo
			f.Inject(registrytest.BlobHead, registrytest.Status(404), registrytest.Once())
		}
		if how, err := to.Upload(t.Context(), descriptor(data), contentOf(data), registry.UploadOptions{}); err != nil || how == registry.Existed {
			t.Errorf("note %.80q: %q, %v", note, how, err)
		}
		os.RemoveAll(dir)
	}
}

// An upload ends with its context, whatever it waits for.
func TestCancelUpload(t *testing.T) {
	type test struct {
		kind  registrytest.Kind
		fault registrytest.Fault
	}
	each(t, map[string]test{
		"POST":        {registrytest.UploadPost, registrytest.Delay(time.Minute)},
		"PATCH":       {registrytest.UploadPatch, registrytest.Delay(time.Minute)},
		"PUT":         {registrytest.UploadPut, registrytest.Delay(time.Minute)},
		"another try": {registrytest.UploadPatch, registrytest.RetryAfter(429, time.Minute)},
		"slow bytes":  {registrytest.UploadPatch, registrytest.TrickleRequest(1000)},
		"HEAD":        {registrytest.BlobHead, registrytest.Delay(time.Minute)},
	}, func(t *testing.T, c test) {
		f := newFixture(t, registrytest.Referrers(t), func(o *registry.Options) { o.ChunkSize = 32 * mib })
		f.Inject(c.kind, c.fault)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(300*time.Millisecond, cancel)
		data := random(33*mib, 1)
		begin := time.Now()
		_, err := f.repo.Upload(ctx, descriptor(data), contentOf(data), registry.UploadOptions{})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A registry that takes nothing any more is given up.
func TestUploadStall(t *testing.T) {
	each(t, map[string]registrytest.Fault{
		"no answer": registrytest.Delay(time.Minute), "slow": registrytest.TrickleRequest(1000),
	}, func(t *testing.T, fault registrytest.Fault) {
		f := newFixture(t, registrytest.Referrers(t), func(o *registry.Options) {
			o.Stall, o.Attempts, o.ChunkSize = 500*time.Millisecond, 2, 24*mib
		})
		f.Inject(registrytest.UploadPatch, fault)
		within(t, time.Minute, func() {
			_, err := f.upload(t, random(25*mib, 1))
			wantError(t, err, "nothing came for too long")
		})
	})
}
