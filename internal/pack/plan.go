package pack

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"math"
	"math/bits"

	"github.com/data-containers/cdb/internal/tree"
)

// PlanOptions say how large packs become. The zero value makes about 50 at
// the most.
type PlanOptions struct {
	Packs  int   // the number of packs aimed at, at the most; default 48
	Target int64 // the least size of tar stream aimed at, in bytes; default 256 MiB
	// Largest is the size of tar stream in bytes that no pack may exceed but
	// for a single larger file; 0 is none. There may be more packs then.
	Largest int64
}

// headerSize is what an entry takes in a tar beside its bytes, in bytes.
const headerSize = 512

// A Plan says at which entries packs begin.
type Plan struct {
	// Starts are the ordinals, from 0, of the entries that begin a pack. The
	// first is 0.
	Starts []int64
	// Target is the target size, in bytes of tar stream.
	Target int64
}

// NewPlan cuts a tree into packs. A cut depends on names and sizes near it
// and on nothing else, so a change in one place of the tree leaves the packs
// of other places as they are:
//
//   - A folder of less than an eighth of the target size is never cut: it is
//     one unit, as is each file outside of such folders.
//   - Before a unit a new pack begins if the current one has a quarter of the
//     target size, and a hash of the unit's path, as a number below 1, is less
//     than the unit's share of three quarters of the target size. (So packs
//     have about the target size in the mean.)
//   - A file of half the target size or more has a pack of its own.
//   - A pack that would exceed four times the target size, or what a pack may
//     have at the most, ends.
//
// The target size is a power of two, so it rarely changes as a dataset grows.
// It is doubled until there are not too many packs. entries is iterated
// several times.
func NewPlan(entries func() iter.Seq2[*tree.Entry, error], opts PlanOptions) (*Plan, error) {
	if opts.Packs == 0 {
		opts.Packs = 48
	}
	if opts.Target == 0 {
		opts.Target = 256 << 20
	}
	folders, err := folderSizes(entries())
	if err != nil {
		return nil, err
	}
	total := int64(0)
	if len(folders) > 0 {
		total = folders[0]
	}
	target := max(opts.Target, ceilPowerOfTwo(total/int64(opts.Packs)))
	for {
		most := 4 * target
		if opts.Largest > 0 {
			target, most = min(target, floorPowerOfTwo(opts.Largest)), min(most, opts.Largest)
		}
		p, err := cut(entries(), folders, target, most)
		if err != nil || len(p.Starts) <= opts.Packs+2 || target > math.MaxInt64/8 || opts.Largest > 0 && target > opts.Largest/2 {
			return p, err
		}
		target *= 2
	}
}

func ceilPowerOfTwo(n int64) int64 {
	if n <= 1 {
		return 1
	}
	return 1 << bits.Len64(uint64(n-1))
}

func floorPowerOfTwo(n int64) int64 { return 1 << (bits.Len64(uint64(n)) - 1) }

// tarSize returns what e takes in a tar, about.
func tarSize(e *tree.Entry) int64 {
	if e.Type != tree.File || e.Link != "" {
		return headerSize
	}
	return headerSize + (e.Size+headerSize-1)/headerSize*headerSize
}

// folderSizes returns the size of each folder with all in it, by the ordinal
// of the folder among folders.
func folderSizes(entries iter.Seq2[*tree.Entry, error]) ([]int64, error) {
	type open struct {
		path    string
		ordinal int
	}
	var sizes []int64
	var stack []open
	pop := func() {
		last := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if len(stack) > 0 {
			sizes[stack[len(stack)-1].ordinal] += sizes[last.ordinal]
		}
	}
	for e, err := range entries {
		if err != nil {
			return nil, err
		}
		for len(stack) > 0 && !tree.Within(e.Path, stack[len(stack)-1].path) {
			pop()
		}
		if e.Type == tree.Dir {
			stack = append(stack, open{e.Path, len(sizes)})
			sizes = append(sizes, 0)
		}
		if len(stack) > 0 {
			sizes[stack[len(stack)-1].ordinal] += tarSize(e)
		}
	}
	for len(stack) > 0 {
		pop()
	}
	return sizes, nil
}

// A cutter walks over units and decides where packs begin.
type cutter struct {
	target int64
	most   int64 // bytes of a pack
	starts []int64
	size   int64 // of the current pack
	alone  bool  // the current pack is one large file
}

func cut(entries iter.Seq2[*tree.Entry, error], folders []int64, target, most int64) (*Plan, error) {
	c := &cutter{target: target, most: most, starts: []int64{0}}
	var ordinal int64
	folder := 0
	unit, inUnit := "", false
	for e, err := range entries {
		if err != nil {
			return nil, err
		}
		size := tarSize(e)
		whole := false
		if e.Type == tree.Dir {
			whole = folders[folder] < target/8
			// A folder that may be cut counts nothing itself, as each of its
			// packs repeats it.
			size = 0
			if whole {
				size = folders[folder]
			}
			folder++
		}
		switch {
		case inUnit && tree.Within(e.Path, unit): // counted with its unit
		case whole:
			unit, inUnit = e.Path, true
			c.unit(e.Path, size, ordinal)
		default:
			inUnit = false
			c.unit(e.Path, size, ordinal)
		}
		ordinal++
	}
	return &Plan{Starts: c.starts, Target: target}, nil
}

// unit takes the next unit, which begins with entry number ordinal.
func (c *cutter) unit(path string, size, ordinal int64) {
	large := size >= c.target/2
	switch {
	case ordinal == 0:
	case large, c.alone, c.size+size > c.most, c.size >= c.target/4 && fraction(path) < float64(size)/(0.75*float64(c.target)):
		if c.size > 0 {
			c.starts = append(c.starts, ordinal)
			c.size = 0
		}
	}
	c.size += size
	c.alone = large
}

// fraction returns a hash of path as a number from 0 to 1.
func fraction(path string) float64 {
	sum := sha256.Sum256([]byte(path))
	return float64(binary.BigEndian.Uint64(sum[:])>>11) / (1 << 53)
}
