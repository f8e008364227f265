package main

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A change is what was done to a folder, once or several times.
type change struct{ files, bytes, folders int64 }

func (c change) plus(d change) change {
	return change{c.files + d.files, c.bytes + d.bytes, c.folders + d.folders}
}

// touched notes a file of size bytes in the folder dir; files come folder by folder.
func (c *change) touched(dir string, size int64, last *string) {
	c.files++
	c.bytes += size
	if dir != *last {
		*last = dir
		c.folders++
	}
}

// grownFolder begins the names of the folders that grow makes.
const grownFolder = "added-"

// eachFile calls f for the regular files below dir that grow did not make, in
// the order of their paths. It holds no list of them: that would show as the
// memory of whatever is measured next.
func eachFile(ctx context.Context, dir string, f func(i int64, name string) error) error {
	i := int64(0)
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case d.IsDir() && strings.HasPrefix(d.Name(), grownFolder):
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		i++
		return f(i-1, name)
	})
}

// percent is the hundredth part of n files, but one at least.
func percent(n int64) int64 { return max(n/100, 1) }

// changeRun adds a line to many of the n files below dir, which lie one behind
// the other, so in few folders. Other rounds change others.
func changeRun(ctx context.Context, dir string, n, many int64, round int) (change, error) {
	first := rand.New(rand.NewPCG(1, uint64(round))).Int64N(n - many + 1)
	return changeFiles(ctx, dir, round, func(i int64) bool { return i >= first && i < first+many })
}

// changeSome adds a line to one in a hundred of the n files, all over the tree.
func changeSome(ctx context.Context, dir string, n int64, round int) (change, error) {
	rng := rand.New(rand.NewPCG(2, uint64(round)))
	step := max(n/percent(n), 1)
	next := rng.Int64N(step)
	return changeFiles(ctx, dir, round, func(i int64) bool {
		chosen := i%step == next
		if i%step == step-1 {
			next = rng.Int64N(step)
		}
		return chosen
	})
}

func changeFiles(ctx context.Context, dir string, round int, chosen func(i int64) bool) (change, error) {
	var done change
	last := ""
	err := eachFile(ctx, dir, func(i int64, name string) error {
		if !chosen(i) {
			return nil
		}
		size, err := addLine(name, fmt.Sprintf("changed in round %d\n", round))
		done.touched(filepath.Dir(name), size, &last)
		return err
	})
	if err != nil {
		return done, fmt.Errorf("change files: %w", err)
	}
	return done, nil
}

// addLine makes a file longer, in place, and returns its new size.
func addLine(name, line string) (int64, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if _, err := f.WriteString(line); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), f.Close()
}

// grow adds a folder with one file for each hundred of the n files that dir had
// at first: copies of some of them, each with a line more, so that no tool has
// seen them.
func grow(ctx context.Context, dir string, n int64, version int) (change, error) {
	to := filepath.Join(dir, fmt.Sprintf("%s%03d", grownFolder, version))
	if err := os.Mkdir(to, 0o755); err != nil {
		return change{}, fmt.Errorf("add files: %w", err)
	}
	step := max(n/percent(n), 1)
	done := change{folders: 1}
	err := eachFile(ctx, dir, func(i int64, name string) error {
		if (i+int64(version))%step != 0 || done.files == percent(n) {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		text = fmt.Appendf(text, "added in version %d, file %d\n", version, i)
		done.files++
		done.bytes += int64(len(text))
		return os.WriteFile(filepath.Join(to, fmt.Sprintf("%06d-%s", i, filepath.Base(name))), text, 0o644)
	})
	if err != nil {
		return done, fmt.Errorf("add files: %w", err)
	}
	return done, nil
}

// settleTime is for how long a file has to stay as it is before its time stamps
// tell that it did not change.
const settleTime = 2500 * time.Millisecond

// settle waits until all files are old enough.
func settle(ctx context.Context) error {
	select {
	case <-time.After(settleTime):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
