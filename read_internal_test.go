package cdb

import (
	"testing"
	"time"

	"github.com/data-containers/cdb/internal/scan"
)

// A file that changed just before it was opened may change again, while it is
// read, and have the same times all the same.
func TestShowsChanges(t *testing.T) {
	start := time.Date(2024, 5, 1, 12, 0, 10, 300_000_000, time.UTC)
	tests := []struct {
		name string
		ago  time.Duration
		want bool
	}{
		{"just now", 0, false},
		{"in the future", -time.Hour, false},
		{"within a tick", 10 * time.Millisecond, false},
		{"while a long write may last", 90 * time.Millisecond, false},
		{"before", 150 * time.Millisecond, true},
		{"in this second, as far as whole seconds tell", 300 * time.Millisecond, false},
		{"in the last second", 1300 * time.Millisecond, false},
		{"whole seconds ago", 3300 * time.Millisecond, true},
	}
	for _, tt := range tests {
		st := scan.Stat{ChangeTime: start.Add(-tt.ago)}
		if got := showsChanges(st, start); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}
