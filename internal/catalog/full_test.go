package catalog_test

import (
	"errors"
	"fmt"
	"testing"

	"zombiezen.com/go/sqlite"

	"github.com/data-containers/cdb/internal/catalog"
)

// A full disk is told from all else.
func TestIsFull(t *testing.T) {
	tests := []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("something else"), false},
		{sqlite.ResultConstraint.ToError(), false},
		{sqlite.ResultFull.ToError(), true},
		{fmt.Errorf("finish catalog: %w", sqlite.ResultFull.ToError()), true},
	}
	for _, tt := range tests {
		if got := catalog.IsFull(tt.err); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.err, got, tt.want)
		}
	}
}
