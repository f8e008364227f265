package registry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/data-containers/cdb/internal/registry"
	"github.com/data-containers/cdb/internal/registrytest"
)

func collect[T any](seq iter.Seq2[T, error]) (all []T, err error) {
	for v, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
	return all, nil
}

// Manifests come back as they were put, by tag and by digest.
func TestManifest(t *testing.T) {
	each(t, registries, func(t *testing.T, start func(testing.TB, ...registrytest.Option) *registrytest.Registry) {
		f := newFixture(t, start(t), nil)
		f.put(t, []byte("{}"))
		doc := toJSON(t, ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromString("{}"), Size: 2}, Layers: []ocispec.Descriptor{}})
		doc = bytes.Replace(doc, []byte(`"schemaVersion":0`), []byte(`"schemaVersion":2`), 1)
		for _, ref := range []string{"v1", digest.FromBytes(doc).String()} {
			if _, err := f.repo.PutManifest(t.Context(), ref, ocispec.MediaTypeImageManifest, doc); err != nil {
				t.Fatal(err)
			}
			desc, data, err := f.repo.Manifest(t.Context(), ref)
			if err != nil || !bytes.Equal(data, doc) || desc.Digest != digest.FromBytes(doc) || desc.MediaType != ocispec.MediaTypeImageManifest || desc.Size != int64(len(doc)) {
				t.Errorf("%s: %+v, %v", ref, desc, err)
			}
		}
		if ok, err := f.repo.HasManifest(t.Context(), digest.FromBytes(doc)); !ok || err != nil {
			t.Errorf("has: %v, %v", ok, err)
		}
		if ok, err := f.repo.HasManifest(t.Context(), digest.FromString("none")); ok || err != nil {
			t.Errorf("has none: %v, %v", ok, err)
		}
		_, _, err := f.repo.Manifest(t.Context(), "none")
		wantError(t, err, "get manifest none of "+f.Host+"/a/b", "404")
		if !errors.Is(err, registry.ErrNotFound) {
			t.Error(err)
		}
		if tags, err := collect(f.repo.Tags(t.Context())); err != nil || !slices.Equal(tags, []string{"v1"}) {
			t.Errorf("tags %v, %v", tags, err)
		}
	})
}

// A manifest is compared with its digest, and comes in spite of mishaps.
func TestManifestFaults(t *testing.T) {
	doc := append(append([]byte(`{"schemaVersion":2,"x":"`), bytes.Repeat([]byte("x"), 50_000)...), `"}`...)
	type test struct {
		fault registrytest.Fault
		limit []registrytest.Limit
		tag   string // what it says if asked for by tag; "" for all is well
		dig   string // … by digest
	}
	once := []registrytest.Limit{registrytest.Times(2)}
	each(t, map[string]test{
		"503":               {registrytest.Status(503), once, "", ""},
		"hang up":           {registrytest.HangUp(), once, "", ""},
		"cut":               {registrytest.CutResponse(1000), once, "", ""},
		"truncated":         {registrytest.Truncate(1000), once, "", ""},
		"flipped once":      {registrytest.Flip(100), []registrytest.Limit{registrytest.Once()}, "", ""},
		"flipped":           {registrytest.Flip(100), nil, "damaged", "damaged"},
		"shortened":         {registrytest.Shorten(100), nil, "damaged", "damaged"},
		"another digest":    {registrytest.WrongDigest(), nil, "damaged", "damaged"},
		"no digest":         {registrytest.SetHeader("Docker-Content-Digest", ""), nil, "", ""},
		"nonsense digest":   {registrytest.SetHeader("Docker-Content-Digest", "sha256:x"), nil, "", ""},
		"another manifest":  {registrytest.Answer(200, "{}"), nil, "", "damaged"},
		"no end":            {registrytest.Answer(200, strings.Repeat("x", registry.MaxManifest+1)), nil, "longer", "longer"},
		"a page":            {registrytest.HTML(200), nil, "", "damaged"},
		"always cut":        {registrytest.CutResponse(1000), nil, "EOF", "EOF"},
		"denied":            {registrytest.Status(403), nil, "403", "403"},
		"unknown":           {registrytest.Status(404), nil, "404", "404"},
		"rate limit":        {registrytest.RetryAfter(429, 0), once, "", ""},
		"redirect, refused": {registrytest.Answer(301, "", "Location: ftp://x/"), nil, "redirect refused", "redirect refused"},
	}, func(t *testing.T, c test) {
		f := newFixture(t, registrytest.Referrers(t), nil)
		f.upstream.PutManifest(t, "a/b", "v1", ocispec.MediaTypeImageManifest, doc)
		for ref, want := range map[string]string{"v1": c.tag, digest.FromBytes(doc).String(): c.dig} {
			rule := f.Inject(registrytest.ManifestGet, c.fault, c.limit...)
			_, data, err := f.repo.Manifest(t.Context(), ref)
			rule.Remove()
			if want != "" {
				wantError(t, err, want, "get manifest")
			} else if err != nil {
				t.Errorf("%s: %v", ref, err)
			} else if !bytes.Equal(data, doc) && strings.HasPrefix(ref, "sha256:") {
				t.Errorf("%s: other bytes", ref)
			}
		}
		if n := f.Count(registrytest.Any); n > 20 {
			t.Errorf("%d requests", n)
		}
	})
	f := newFixture(t, registrytest.Referrers(t), nil)
	_, err := f.repo.PutManifest(t.Context(), "v1", ocispec.MediaTypeImageManifest, make([]byte, registry.MaxManifest+1))
	wantError(t, err, "longer")
}

// Lists are read page by page.
func TestPages(t *testing.T) {
	each(t, registries, func(t *testing.T, start func(testing.TB, ...registrytest.Option) *registrytest.Registry) {
		f := newFixture(t, start(t), nil)
		f.put(t, []byte("{}"))
		doc := []byte(`{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageManifest + `","config":{"mediaType":"` + ocispec.MediaTypeImageConfig +
			`","digest":"` + digest.FromString("{}").String() + `","size":2},"layers":[]}`)
		var want []string
		for i := range 25 {
			tag := fmt.Sprintf("t%02d", i)
			f.upstream.PutManifest(t, "a/b", tag, ocispec.MediaTypeImageManifest, doc)
			want = append(want, tag)
		}
		for i := range 5 {
			f.upstream.PutBlob(t, fmt.Sprintf("c%d", i), []byte("{}"))
			f.upstream.PutManifest(t, fmt.Sprintf("c%d", i), "v1", ocispec.MediaTypeImageManifest, doc)
		}
		tags, err := collect(f.repo.Tags(t.Context()))
		if slices.Sort(tags); err != nil || !slices.Equal(tags, want) { // distribution 2 has no order
			t.Errorf("tags %v, %v", tags, err)
		}
		repos, err := collect(f.client.Repositories(t.Context(), f.Host))
		slices.Sort(repos)
		if err != nil || !slices.Equal(repos, []string{"a/b", "c0", "c1", "c2", "c3", "c4"}) {
			t.Errorf("repositories %v, %v", repos, err)
		}
	})
}

// Links between pages, as registries send them, and as none should.
func TestLinks(t *testing.T) {
	page := func(tags string, link string) registrytest.Fault {
		fields := []string{"Content-Type: application/json"}
		if link != "" {
			fields = append(fields, "Link: "+link)
		}
		return registrytest.Answer(200, `{"tags":[`+tags+`]}`, fields...)
	}
	type test struct {
		first registrytest.Fault
		want  string
		err   string
	}
	each(t, map[string]test{
		"path":         {page(`"a"`, `</v2/a/b/tags/list?n=1&last=a>; rel="next"`), "a b", ""},
		"relative":     {page(`"a"`, `<list?last=a>; rel=next`), "a b", ""},
		"absolute":     {page(`"a"`, `<http://HOST/v2/a/b/tags/list?last=a>; rel="next"`), "a", ""},
		"elsewhere":    {page(`"a"`, `<http://example.org/v2/a/b/tags/list>; rel="next"`), "a", ""},
		"itself":       {page(`"a"`, `</v2/a/b/tags/list?n=1000>; rel="next"`), "a b", ""},
		"other rel":    {page(`"a"`, `</v2/a/b/tags/list?last=a>; rel="prev"`), "a", ""},
		"nonsense":     {page(`"a"`, `<<<>>;;,,`), "a", ""},
		"null":         {registrytest.Answer(200, `{"tags":null}`), "", ""},
		"no JSON":      {registrytest.HTML(200), "", "no list"},
		"wrong types":  {registrytest.Answer(200, `{"tags":{"a":1}}`), "", "no list"},
		"not found":    {registrytest.Status(404), "", "404"},
		"unauthorized": {registrytest.Status(401), "", "401"},
	}, func(t *testing.T, c test) {
		f := newFixture(t, registrytest.Referrers(t), nil)
		f.Inject(registrytest.TagsGet, c.first, registrytest.Once())
		f.Inject(registrytest.TagsGet, page(`"b"`, ""), registrytest.After(0))
		tags, err := collect(f.repo.Tags(t.Context()))
		if got := strings.Join(tags, " "); got != c.want || (err != nil) != (c.err != "") {
			t.Errorf("%q, %v", got, err)
		}
		if c.err != "" {
			wantError(t, err, c.err, "list tags of")
		}
	})
	t.Run("endless", func(t *testing.T) {
		f := newFixture(t, registrytest.Referrers(t), nil)
		f.Inject(registrytest.TagsGet, page(`"a"`, `</v2/a/b/tags/list?n=1000>; rel="next"`))
		if tags, err := collect(f.repo.Tags(t.Context())); err != nil || len(tags) > 2 {
			t.Errorf("%d tags, %v", len(tags), err)
		}
	})
}

// What refers to a manifest is kept by the API for it, or under a tag.
func TestReferrers(t *testing.T) {
	for name, start := range registries {
		for _, api := range []bool{true, false} {
			if !api && name != "referrers" {
				continue // those have none
			}
			t.Run(fmt.Sprint(name, api), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, start(t), nil)
				if !api {
					f.Inject(registrytest.ReferrersGet, registrytest.NoReferrers())
				}
				f.put(t, []byte("{}"))
				config := ocispec.Descriptor{MediaType: ocispec.MediaTypeEmptyJSON, Digest: digest.FromString("{}"), Size: 2}
				subject := digest.FromString("the image")
				if list, _, err := f.repo.Referrers(t.Context(), subject); err != nil || len(list) > 0 {
					t.Fatalf("%v, %v", list, err)
				}
				var want []string
				types := map[digest.Digest]string{}
				for i := range 3 {
					m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: fmt.Sprint("application/x", i), Config: config,
						Layers: []ocispec.Descriptor{config}, Subject: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: subject, Size: 9}}
					m.SchemaVersion = 2
					doc := toJSON(t, m)
					desc := descriptor(doc)
					desc.MediaType, desc.ArtifactType = m.MediaType, m.ArtifactType
					for range 2 { // a second time changes nothing
						if err := f.repo.AddReferrer(t.Context(), subject, desc, doc); err != nil {
							t.Fatal(err)
						}
					}
					want = append(want, desc.Digest.String())
					types[desc.Digest] = m.ArtifactType
				}
				list, hasAPI, err := f.repo.Referrers(t.Context(), subject)
				var got []string
				for _, d := range list {
					got = append(got, d.Digest.String())
					if !hasAPI && d.ArtifactType != types[d.Digest] { // else the registry's, and this one errs
						t.Errorf("%s: type %q", d.Digest, d.ArtifactType)
					}
				}
				slices.Sort(got)
				slices.Sort(want)
				if err != nil || !slices.Equal(got, want) || hasAPI != (api && name == "referrers") {
					t.Errorf("%v (API %v), %v, want %v", got, hasAPI, err, want)
				}
				if _, _, err := f.repo.Manifest(t.Context(), registry.ReferrersTag(subject)); (err == nil) == hasAPI {
					t.Errorf("tag: %v", err)
				}
			})
		}
	}
}

// A list of referrers that is damaged is an error, not an empty one.
func TestBadReferrers(t *testing.T) {
	each(t, map[string]struct {
		fault registrytest.Fault
		parts string
	}{
		"denied":         {registrytest.Status(401), "401"},
		"broken":         {registrytest.Status(500), "500"},
		"no digests":     {registrytest.Answer(200, `{"manifests":[{"digest":"x"}]}`), "digest"},
		"broken by path": {registrytest.Answer(200, `{"manifests":[{"digest":"sha256:../../../etc"}]}`), "digest"},
	}, func(t *testing.T, c struct {
		fault registrytest.Fault
		parts string
	}) {
		f := newFixture(t, registrytest.Referrers(t), nil)
		f.Inject(registrytest.ReferrersGet, c.fault)
		_, _, err := f.repo.Referrers(t.Context(), digest.FromString("x"))
		wantError(t, err, c.parts, "list referrers of sha256:")
	})
	t.Run("tag", func(t *testing.T) {
		f := newFixture(t, registrytest.Referrers(t), nil)
		f.Inject(registrytest.ReferrersGet, registrytest.NoReferrers())
		f.Inject(registrytest.ManifestGet, registrytest.Answer(200, `{"manifests":[{"digest":"../x"}]}`))
		_, _, err := f.repo.Referrers(t.Context(), digest.FromString("x"))
		wantError(t, err, "digest")
	})
}

func toJSON(t testing.TB, v any) []byte {
	t.Helper()
	return must(json.Marshal(v))(t)
}
