package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
)

// A corpus is a folder to be packed.
type corpus struct {
	part, name, about string
	path              string
	write             func(ctx context.Context, dir string) error

	files, bytes int64 // of regular files, counted
}

// buildCorpora are the folders that all tools pack.
func (b *bench) buildCorpora() []corpus {
	list := []corpus{
		b.goTree(),
		b.smallFiles(100_000),
	}
	if !b.quick {
		list = append(list, b.bigFile(b.scaled(2<<30)))
	}
	return list
}

func (b *bench) goTree() corpus {
	c := corpus{part: "go", name: "Go tree", write: copyGoTree,
		about: "a copy of GOROOT as it is distributed: sources, tests, documents and programs, in one folder"}
	c.path = filepath.Join(b.dir, "go-"+goVersion())
	if b.tiny {
		c.path += "-tiny"
		c.write = func(ctx context.Context, dir string) error {
			return copyTree(ctx, filepath.Join(goRoot(), "src", "encoding"), dir)
		}
	}
	return c
}

func (b *bench) smallFiles(n int64) corpus {
	n = b.scaled(n)
	return corpus{part: "small", name: thousands(n) + " small files",
		about: "JSON and CSV of 0 to 4 KiB, 1,000 in each folder",
		path:  filepath.Join(b.dir, fmt.Sprintf("small-%d", n)),
		write: func(ctx context.Context, dir string) error { return writeMany(ctx, dir, n, smallText) }}
}

func (b *bench) bigFile(size int64) corpus {
	return corpus{part: "big", name: "one file of " + binary(size),
		about: "random bytes, which no compression makes smaller",
		path:  filepath.Join(b.dir, fmt.Sprintf("big-%d", size)),
		write: func(ctx context.Context, dir string) error { return writeRandom(ctx, dir, size) }}
}

// tinyFiles are n files for questions, of some bytes each.
func (b *bench) tinyFiles(n int64) corpus {
	if n != 2 {
		n = b.scaled(n)
	}
	c := corpus{part: "query", name: thousands(n) + " files", about: "some bytes each, 1,000 in each folder",
		path:  filepath.Join(b.dir, fmt.Sprintf("tiny-%d", n)),
		write: func(ctx context.Context, dir string) error { return writeMany(ctx, dir, n, tinyText) }}
	if n == 1_000_000 && b.million != "" {
		c.path, c.write = b.million, nil
	}
	return c
}

// ensure makes the corpus unless it is there, and counts it. One that is there
// is complete: it got its name last.
func (b *bench) ensure(ctx context.Context, c *corpus) error {
	_, err := os.Stat(c.path)
	if errors.Is(err, fs.ErrNotExist) && c.write != nil {
		say("making %s", c.name)
		part := c.path + ".part"
		if err := os.RemoveAll(part); err != nil {
			return fmt.Errorf("make corpus: %w", err)
		}
		err = c.write(ctx, part)
		if err == nil {
			err = os.Rename(part, c.path)
		}
		if err != nil {
			os.RemoveAll(part)
			return fmt.Errorf("make corpus of %s: %w", c.name, err)
		}
	} else if err != nil {
		return fmt.Errorf("find corpus of %s: %w", c.name, err)
	}
	return c.count(ctx)
}

func (c *corpus) count(ctx context.Context) error {
	c.files, c.bytes = 0, 0
	return filepath.WalkDir(c.path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		c.files++
		c.bytes += info.Size()
		return ctx.Err()
	})
}

// copyGoTree copies the whole Go distribution, wherever its links lead.
func copyGoTree(ctx context.Context, dir string) error {
	return copyTree(ctx, goRoot(), dir)
}

func copyTree(ctx context.Context, from, to string) error {
	_, err := output(exec.CommandContext(ctx, "cp", "-rL", "--preserve=timestamps", "--", from, to))
	return err
}

// writeMany writes n files, 1,000 in a folder, each with what text writes.
func writeMany(ctx context.Context, dir string, n int64, text func(w *bytes.Buffer, rng *rand.Rand, i int64) string) error {
	rng := rand.New(rand.NewPCG(2020, uint64(n)))
	var buf bytes.Buffer
	folder := ""
	for i := range n {
		if i%1000 == 0 {
			folder = filepath.Join(dir, fmt.Sprintf("part-%05d", i/1000))
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return err
			}
		}
		buf.Reset()
		ending := text(&buf, rng, i)
		if err := ctx.Err(); err != nil {
			return err
		}
		name := filepath.Join(folder, fmt.Sprintf("measurement_%07d%s", i, ending))
		if err := os.WriteFile(name, buf.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// smallText writes up to 4 KiB of JSON or CSV, and returns the ending of the
// name.
func smallText(w *bytes.Buffer, rng *rand.Rand, i int64) string {
	size := rng.IntN(4097)
	format, ending := "%d,site-%02d,%.3f,%.4f,%t\n", ".csv"
	if i%2 == 0 {
		format, ending = `{"id": %d, "site": "site-%02d", "celsius": %.3f, "flow": %.4f, "ok": %t}`+"\n", ".json"
	}
	for w.Len() < size {
		fmt.Fprintf(w, format, i*1000+int64(w.Len()), rng.IntN(40), rng.Float64()*40-10, rng.ExpFloat64(), rng.IntN(20) != 0)
	}
	w.Truncate(size)
	return ending
}

func tinyText(w *bytes.Buffer, _ *rand.Rand, i int64) string {
	fmt.Fprintf(w, "{\"id\": %d}\n", i)
	return ".json"
}

// writeRandom writes one file that does not compress.
func writeRandom(ctx context.Context, dir string, size int64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "random.bin"))
	if err != nil {
		return err
	}
	defer f.Close()
	random := rand.NewChaCha8([32]byte([]byte("cdb bench: the same bytes always")))
	w := bufio.NewWriterSize(f, 1<<20)
	for left := size; left > 0 && err == nil; {
		n := min(left, 1<<20)
		if _, err = io.CopyN(w, random, n); err == nil {
			err = ctx.Err()
		}
		left -= n
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Close()
	}
	return err
}
