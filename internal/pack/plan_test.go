package pack_test

import (
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/data-containers/cdb/internal/pack"
	"github.com/data-containers/cdb/internal/tree"
)

type entries []*tree.Entry

func (es entries) all() iter.Seq2[*tree.Entry, error] {
	return func(yield func(*tree.Entry, error) bool) {
		for _, e := range es {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// dataset returns a tree of folders×files files of size bytes.
func dataset(folders, files int, size int64) entries {
	es := entries{{Type: tree.Dir}}
	for i := range folders {
		dir := fmt.Sprintf("sub-%04d", i)
		es = append(es, &tree.Entry{Type: tree.Dir, Path: dir})
		for j := range files {
			es = append(es, &tree.Entry{Type: tree.File, Path: fmt.Sprintf("%s/%04d", dir, j), Size: size})
		}
	}
	return es
}

func plan(t *testing.T, es entries, opts pack.PlanOptions) []int64 {
	t.Helper()
	p, err := pack.NewPlan(es.all, opts)
	if err != nil {
		t.Fatal(err)
	}
	return p.Starts
}

func TestPlanSizes(t *testing.T) {
	tests := []struct {
		name     string
		es       entries
		min, max int
	}{
		{"nothing but the root", dataset(0, 0, 0), 1, 1},
		{"small", dataset(10, 100, 1000), 1, 1},
		{"empty files", dataset(100, 1000, 0), 1, 1},
		{"8 GB in 1 MB files", dataset(80, 100, 1e6), 15, 50},
		{"a terabyte in 1 GB files", dataset(100, 10, 1e9), 15, 50},
		{"a terabyte in 100 MB files", dataset(100, 100, 1e8), 15, 50},
		{"1000 files of 100 GB", dataset(1, 1000, 1e11), 1, 50},
		{"one large file", append(dataset(0, 0, 0), &tree.Entry{Type: tree.File, Path: "x", Size: 1e10}), 1, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			starts := plan(t, tt.es, pack.PlanOptions{})
			if len(starts) < tt.min || len(starts) > tt.max || starts[0] != 0 || !slices.IsSorted(starts) {
				t.Errorf("%d packs: %v; want %d to %d", len(starts), starts, tt.min, tt.max)
			}
		})
	}
}

// A change in one place leaves the boundaries of other places where they
// were.
func TestPlanIsStable(t *testing.T) {
	opts := pack.PlanOptions{Target: 1 << 20}
	es := dataset(200, 100, 2000)
	names := func(es entries) map[string]bool {
		m := map[string]bool{}
		for _, i := range plan(t, es, opts) {
			m[es[i].Path] = true
		}
		return m
	}
	before := names(es)
	if len(before) < 20 {
		t.Fatalf("only %d packs", len(before))
	}
	at := len(es) / 2
	changed := slices.Insert(slices.Clone(es), at, &tree.Entry{Type: tree.File, Path: tree.Parent(es[at].Path) + "/0000new", Size: 5000})
	after := names(changed)
	lost := 0
	for name := range before {
		if !after[name] {
			lost++
		}
	}
	if lost > 1 {
		t.Errorf("%d of %d boundaries moved for one new file", lost, len(before))
	}
}

// Files of a small folder stay together.
func TestPlanKeepsFolders(t *testing.T) {
	es := dataset(500, 20, 3000)
	for _, i := range plan(t, es, pack.PlanOptions{Target: 1 << 20}) {
		if e := es[i]; e.Type != tree.Dir {
			t.Errorf("a pack begins within a folder, at %s", e.Path)
		}
	}
}
