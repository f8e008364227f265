package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/data-containers/cdb/internal/registry"
	"github.com/data-containers/cdb/internal/registrytest"
)

const blobSize = 600 * kib

// Whatever happens on the way, a stream brings the bytes that were asked for.
func TestStream(t *testing.T) {
	type test struct {
		kind  registrytest.Kind
		fault registrytest.Fault
		times int // 0: always
	}
	get := registrytest.BlobGet
	each(t, map[string]test{
		"nothing wrong":         {get, registrytest.Delay(0), 1},
		"hang up":               {get, registrytest.HangUp(), 3},
		"answer lost":           {get, registrytest.LoseAnswer(), 2},
		"cut":                   {get, registrytest.CutResponse(100 * kib), 3},
		"cut always":            {get, registrytest.CutResponse(100 * kib), 0},
		"cut at once":           {get, registrytest.CutResponse(0), 4},
		"reset":                 {get, registrytest.ResetResponse(90_001), 3},
		"truncated":             {get, registrytest.Truncate(70_000), 0},
		"429":                   {get, registrytest.RetryAfter(429, 0), 3},
		"503":                   {get, registrytest.Status(503), 4},
		"502 with a page":       {get, registrytest.HTML(502), 2},
		"500":                   {get, registrytest.Status(500), 2},
		"range ignored":         {get, registrytest.IgnoreRange(), 0},
		"range ignored once":    {get, registrytest.IgnoreRange(), 1},
		"wrong range":           {get, registrytest.WrongContentRange(), 0},
		"wrong range once":      {get, registrytest.WrongContentRange(), 1},
		"wrong digest said":     {get, registrytest.WrongDigest(), 0},
		"no length":             {get, registrytest.SetHeader("Content-Length", ""), 0},
		"another total unknown": {get, registrytest.SetHeader("Accept-Ranges", "none"), 0},
	}, func(t *testing.T, c test) {
		f := newFixture(t, registrytest.Referrers(t), nil)
		data := random(blobSize, 1)
		desc := f.put(t, data)
		b := must(f.repo.Blob(t.Context(), desc))(t)
		defer b.Close()
		for _, part := range [][2]int64{{0, blobSize}, {1000, blobSize - 1000}, {300_001, 200_000}, {blobSize - 1, 1}, {5, 0}} {
			rule := f.Inject(c.kind, c.fault, registrytest.Times(c.times))
			got, err := readAll(t.Context(), b, part[0], part[1])
			if err != nil || !bytes.Equal(got, data[part[0]:part[0]+part[1]]) {
				t.Errorf("bytes %v: %d, %v", part, len(got), err)
			}
			rule.Remove()
		}
		if b.Size() != blobSize {
			t.Errorf("size %d", b.Size())
		}
	})
}

// What cannot be had is a clear error, after a few requests.
func TestStreamFails(t *testing.T) {
	type test struct {
		fault registrytest.Fault
		parts []string
		is    error
	}
	each(t, map[string]test{
		"hang up":    {registrytest.HangUp(), []string{"read blob sha256:"}, nil},
		"cut":        {registrytest.CutResponse(10), []string{"EOF"}, nil},
		"404":        {registrytest.Status(404), []string{"404", "/v2/a/b/blobs/sha256:"}, registry.ErrNotFound},
		"403":        {registrytest.Status(403), []string{"403"}, registry.ErrDenied},
		"401":        {registrytest.Status(401), []string{"401"}, registry.ErrDenied},
		"503":        {registrytest.Status(503), []string{"503"}, nil},
		"come later": {registrytest.RetryAfter(503, time.Hour), []string{"1h0m0s"}, nil},
		"a web page": {registrytest.HTML(404), []string{"404"}, registry.ErrNotFound},
		"shortened":  {registrytest.Shorten(1000), []string{"damaged", "1000 bytes"}, registry.ErrDamaged},
		"redirected in a circle": {registrytest.Answer(307, "", "Location: /v2/a/b/blobs/"+digest.FromString("").String()),
			[]string{"redirect refused"}, nil},
		"redirected to a file":  {registrytest.Answer(307, "", "Location: file:///etc/passwd"), []string{"redirect refused"}, nil},
		"redirected to nowhere": {registrytest.Answer(302, ""), []string{"redirect refused"}, nil},
		"a message that steers": {registrytest.Answer(400, `{"errors":[{"code":"A\u001b[31m","message":"\u001b]0;x\u0007hello"}]}`), []string{"hello"}, nil},
	}, func(t *testing.T, c test) {
		f := newFixture(t, registrytest.Referrers(t), nil)
		desc := f.put(t, random(blobSize, 1))
		f.Inject(registrytest.BlobGet, c.fault)
		b := must(f.repo.Blob(t.Context(), desc))(t)
		defer b.Close()
		within(t, time.Minute, func() {
			_, err := readAll(t.Context(), b, 0, blobSize)
			wantError(t, err, c.parts...)
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is not %v", err, c.is)
			}
			if strings.Contains(err.Error(), "\x1b") {
				t.Errorf("%q steers the terminal", err)
			}
		})
		if n := f.Count(registrytest.Any); n > 40 {
			t.Errorf("%d requests", n)
		}
	})
}

// A registry on which nothing moves, or hardly anything, is given up.
func TestStall(t *testing.T) {
	type test struct {
		fault registrytest.Fault
		times int
	}
	each(t, map[string]test{
		"before the answer": {registrytest.Delay(time.Minute), 2},
		"in the middle":     {registrytest.Stall(200*kib, time.Minute), 2},
		"always":            {registrytest.Stall(0, time.Minute), 0},
		"trickle":           {registrytest.Trickle(2000), 2},
		"trickle always":    {registrytest.Trickle(20), 0},
	}, func(t *testing.T, c test) {
		f := newFixture(t, registrytest.Referrers(t), func(o *registry.Options) { o.Stall, o.Attempts = 700*time.Millisecond, 3 })
		data := random(blobSize, 1)
		desc := f.put(t, data)
		f.Inject(registrytest.BlobGet, c.fault, registrytest.Times(c.times))
		b := must(f.repo.Blob(t.Context(), desc))(t)
		defer b.Close()
		within(t, time.Minute, func() {
			got, err := readAll(t.Context(), b, 0, blobSize)
			switch {
			case c.times == 0:
				wantError(t, err, "nothing came for too long")
			case err != nil || !bytes.Equal(got, data):
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	})
}

// Who reads slowly does not lose the connection.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	f := newFixture(t, registrytest.Referrers(t), func(o *registry.Options) { o.Stall = 300 * time.Millisecond })
	data := random(16*mib, 1)
	desc := f.put(t, data)
	b := must(f.repo.Blob(t.Context(), desc))(t)
	s := must(b.Stream(t.Context(), 0, desc.Size))(t)
	defer s.Close()
	buf := make([]byte, 1000)
	must(io.ReadFull(s, buf))(t)
	time.Sleep(time.Second)
	rest := must(io.ReadAll(s))(t)
	if !bytes.Equal(append(buf, rest...), data) {
		t.Error("other bytes")
	}
	if n := f.Count(registrytest.BlobGet); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// A connection that breaks is gone on with where it broke.
func TestResumeRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t, registrytest.Referrers(t), nil)
	data := random(4*mib, 1)
	desc := f.put(t, data)
	f.Inject(registrytest.BlobGet, registrytest.CutResponse(mib))
	b := must(f.repo.Blob(t.Context(), desc))(t)
	if got, err := readAll(t.Context(), b, 0, desc.Size); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if sum := f.Totals(registrytest.BlobGet); sum.Requests != 4 || sum.Sent > desc.Size+4*64*kib {
		t.Errorf("it took %+v", sum)
	}
}

// A read at an offset is one closed range.
func TestReadAt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, registrytest.Referrers(t), nil)
	data := random(blobSize, 1)
	b := must(f.repo.Blob(t.Context(), f.put(t, data)))(t)
	p := make([]byte, 1000)
	if n, err := b.ReadAt(p, 500); n != 1000 || err != nil || !bytes.Equal(p, data[500:1500]) {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := b.ReadAt(p, blobSize-10); n != 10 || err != io.EOF || !bytes.Equal(p[:10], data[blobSize-10:]) {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if n, err := b.ReadAt(p, blobSize); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d, %v", n, err)
	}
	if _, err := b.ReadAt(p, -1); err == nil {
		t.Error("before the beginning")
	}
	if n, err := b.ReadAt(nil, 3); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
	var ranges []string
	for _, r := range f.Requests(registrytest.BlobGet) {
		ranges = append(ranges, r.Range)
	}
	if got := strings.Join(ranges, " "); got != "bytes=500-1499 bytes=614390-614399" {
		t.Errorf("ranges %s", got)
	}
}

// A registry that reads no ranges is asked for all of a large blob once, and
// what comes is compared with the digest.
func TestNoRanges(t *testing.T) {
	type test struct {
		fault registrytest.Fault
		flip  bool
	}
	each(t, map[string]test{
		"ignored":           {registrytest.IgnoreRange(), false},
		"refused":           {registrytest.Status(416), false},
		"wrong":             {registrytest.WrongContentRange(), false},
		"nonsense":          {registrytest.SetHeader("Content-Range", "bytes */*"), false},
		"absent":            {registrytest.SetHeader("Content-Range", ""), false},
		"overflow":          {registrytest.SetHeader("Content-Range", "bytes 9223372036854775807-9223372036854775807/9223372036854775807"), false},
		"ignored, and lied": {registrytest.IgnoreRange(), true},
	}, func(t *testing.T, c test) {
		f := newFixture(t, registrytest.Referrers(t), nil)
		data := random(10*mib, 1)
		desc := f.put(t, data)
		f.Inject(registrytest.BlobGet, c.fault, registrytest.When(hasRange))
		if c.flip {
			f.Inject(registrytest.BlobGet, registrytest.Flip(5*mib+7))
		}
		b := must(f.repo.Blob(t.Context(), desc))(t)
		defer b.Close()
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				p := make([]byte, 10_000)
				off := int64(i%4+5) * mib
				_, err := b.ReadAt(p, off)
				if c.flip && err == nil {
					t.Errorf("at %d: no error", off)
				} else if c.flip {
					wantError(t, err, "damaged")
				} else if err != nil || !bytes.Equal(p, data[off:off+10_000]) {
					t.Errorf("at %d: %v", off, err)
				}
			})
		}
		group.Wait()
		if sum := f.Totals(registrytest.BlobGet); sum.Requests > 24 || !c.flip && sum.Sent > 100*mib {
			t.Errorf("it took %+v", sum)
		}
	})
}

// What is wrong with a blob is said before anything is asked.
func TestBlobInput(t *testing.T) {
	t.Parallel()
	f := newFixture(t, registrytest.Referrers(t), nil)
	_, err := f.repo.Blob(t.Context(), ocispec.Descriptor{Digest: "sha256:../../x", Size: 3})
	wantError(t, err, "digest")
	_, err = f.repo.Blob(t.Context(), ocispec.Descriptor{Digest: digest.FromString("x"), Size: -3})
	wantError(t, err, "-3")
	b := must(f.repo.Blob(t.Context(), descriptor([]byte("xyz"))))(t)
	for _, part := range [][2]int64{{-1, 1}, {0, 4}, {4, 0}, {1, -1}, {1 << 62, 1 << 62}} {
		if _, err := b.Stream(t.Context(), part[0], part[1]); err == nil {
			t.Errorf("part %v", part)
		}
	}
	if n := f.Count(registrytest.Any); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// A read ends with its context, whatever it waits for.
func TestCancelRead(t *testing.T) {
	each(t, map[string]registrytest.Fault{
		"answer": registrytest.Delay(time.Minute), "bytes": registrytest.Stall(1000, time.Minute),
		"another try": registrytest.RetryAfter(503, time.Minute), "slow bytes": registrytest.Trickle(10_000),
	}, func(t *testing.T, fault registrytest.Fault) {
		f := newFixture(t, registrytest.Referrers(t), nil)
		desc := f.put(t, random(blobSize, 1))
		f.Inject(registrytest.BlobGet, fault)
		b := must(f.repo.Blob(t.Context(), desc))(t)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(300*time.Millisecond, cancel)
		begin := time.Now()
		if _, err := readAll(ctx, b, 0, blobSize); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// Storage that the registry redirects to gets no credentials, and a signed
// address that has expired is asked for again.
func TestStorage(t *testing.T) {
	type test struct {
		storage registrytest.Storage
		faults  func(f *fixture)
	}
	each(t, map[string]test{
		"plain":        {registrytest.Storage{}, nil},
		"another host": {registrytest.Storage{Name: "localhost"}, nil},
		"302":          {registrytest.Storage{Code: 302}, nil},
		"one use":      {registrytest.Storage{Uses: 1}, nil},
		"short life":   {registrytest.Storage{TTL: 30 * time.Millisecond}, nil},
		"cut": {registrytest.Storage{Uses: 1}, func(f *fixture) {
			f.Inject(registrytest.StorageGet, registrytest.CutResponse(100*kib))
		}},
		"refused now and then": {registrytest.Storage{}, func(f *fixture) {
			f.Inject(registrytest.StorageGet, registrytest.Status(503), registrytest.Times(2))
			f.Inject(registrytest.StorageGet, registrytest.Status(403), registrytest.After(3), registrytest.Times(2))
		}},
		"ranges ignored": {registrytest.Storage{}, func(f *fixture) {
			f.Inject(registrytest.StorageGet, registrytest.IgnoreRange())
		}},
	}, func(t *testing.T, c test) {
		f := newFixture(t, registrytest.Referrers(t), func(o *registry.Options) {
			o.AuthFiles = []string{authFile(t, "", "me", "s3cret")}
		}, registrytest.WithStorage(c.storage), registrytest.WithBasicAuth("me", "s3cret"))
		data := random(blobSize, 1)
		desc := f.put(t, data)
		writeAuth(t, f.client, f.Host, "me", "s3cret")
		if c.faults != nil {
			c.faults(f)
		}
		b := must(f.repo.Blob(t.Context(), desc))(t)
		defer b.Close()
		for i := range int64(5) {
			p := make([]byte, 50_000)
			if _, err := b.ReadAt(p, i*100_000); err != nil || !bytes.Equal(p, data[i*100_000:][:50_000]) {
				t.Fatalf("at %d: %v", i*100_000, err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		got, err := readAll(t.Context(), b, 0, desc.Size)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("all: %d bytes, %v", len(got), err)
		}
		if len(f.StorageRequests()) == 0 {
			t.Error("nothing came from the storage")
		}
	})
}

// The address of the storage is asked for once, as long as it works.
func TestStorageOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, registrytest.Referrers(t), nil, registrytest.WithStorage(registrytest.Storage{}))
	data := random(blobSize, 1)
	b := must(f.repo.Blob(t.Context(), f.put(t, data)))(t)
	read := func() {
		t.Helper()
		p := make([]byte, 1000)
		if _, err := b.ReadAt(p, 5000); err != nil || !bytes.Equal(p, data[5000:6000]) {
			t.Fatal(err)
		}
	}
	for range 3 {
		read()
	}
	if asked := f.Count(registrytest.BlobGet); asked != 1 {
		t.Errorf("the registry was asked %d times", asked)
	}
	f.ExpireStorage()
	read()
	read()
	if asked := f.Count(registrytest.BlobGet); asked != 2 {
		t.Errorf("after the end of the address the registry was asked %d times", asked)
	}
}
