package registry_test

import (
	"context"
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/registry"
	"github.com/data-containers/cdb/internal/registrytest"
)

// Nothing runs on when everything has ended, however it did.
func TestNoGoroutinesLeft(t *testing.T) {
	f := newFixture(t, registrytest.Referrers(t), func(o *registry.Options) { o.Stall = 300 * time.Millisecond })
	data := random(4*mib, 1)
	desc := f.put(t, data)
	for _, fault := range []registrytest.Fault{
		registrytest.Delay(0), registrytest.CutResponse(mib), registrytest.Stall(mib, 2*time.Second), registrytest.IgnoreRange(), registrytest.HangUp(),
	} {
		rule := f.Inject(registrytest.Any, fault, registrytest.Times(2))
		b := must(f.repo.Blob(t.Context(), desc))(t)
		if _, err := readAll(t.Context(), b, 1, desc.Size-1); err != nil {
			t.Errorf("%v: %v", fault, err)
		}
		s := must(b.Stream(t.Context(), 0, desc.Size))(t)
		if _, err := s.Read(make([]byte, 10)); err != nil {
			t.Errorf("%v: %v", fault, err)
		}
		s.Close() // in the middle
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, _ = f.repo.Upload(ctx, descriptor(data[1:]), contentOf(data[1:]), registry.UploadOptions{})
		cancel()
		b.Close()
		rule.Remove()
	}
	f.client.Close()
	checkGoroutines(t)
}
