package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// A keeper is a tool that is given one version of a folder after the other.
type keeper struct {
	tool
	grows bool   // is asked for every version of a folder that grows
	whole bool   // writes everything each time, and is asked for the last one alone
	cache string // folder of the change cache, of cdb alone
	// keep makes a version of src.
	keep func(ctx context.Context, src string) (version, error)
	// forget removes all versions and whatever else could make the next one cheaper.
	forget func(ctx context.Context) error
	// kept returns the bytes of all versions; nil if only the last one is there.
	kept func() (int64, error)
}

// A version is what one version took. Its Output is what was written for it.
type version struct {
	usage
	data, catalog int64   // shares of Output, of cdb alone
	packs         int     // data layers of the image
	dead          float64 // share of the bytes in them that the version does not need
	deadKnown     bool    // cdb tells of dead bytes
}

// allKeepers are all tools that versions are measured with, the reference first.
func (b *bench) allKeepers() []*keeper {
	return []*keeper{
		b.cdbKeeper(reference, "gzip"),
		b.cdbKeeper("cdb build (zstd)", "zstd"),
		b.resticKeeper(),
		dockerKeeper("docker build", "0", "the classic builder with its cache, client and daemon"),
		dockerKeeper("docker build (BuildKit)", "1", "with its cache, client and daemon"),
		b.pipeKeeper(),
	}
}

// cdbKeeper builds into a store and with a change cache of its own.
func (b *bench) cdbKeeper(name, compression string) *keeper {
	home := filepath.Join(b.work, "keep-cdb-"+compression)
	store := filepath.Join(home, "store")
	command := func(ctx context.Context, args ...string) *exec.Cmd {
		c := b.cdbCommand(ctx, args...)
		c.Env = append(c.Env, "CDB_STORE="+store, "CDB_CACHE="+filepath.Join(home, "cache"))
		return c
	}
	k := &keeper{tool: tool{name: name}, grows: compression == "gzip", cache: filepath.Join(home, "cache")}
	k.forget = func(context.Context) error { return os.RemoveAll(home) }
	k.kept = func() (int64, error) { return treeBytes(filepath.Join(store, "blobs")) }
	k.keep = func(ctx context.Context, src string) (version, error) {
		before, err := sizes(store)
		if err != nil {
			return version{}, err
		}
		syscall.Sync()
		u, err := measure(command(ctx, "build", "-q", "--compression", compression, "-t", imageName, src))
		if err != nil {
			return version{}, err
		}
		after, err := sizes(store)
		if err != nil {
			return version{}, err
		}
		return describeVersion(ctx, u, command(ctx, "info", imageName, "--json"), store, before, after)
	}
	return k
}

// describeVersion finds out what a build has written, from the files of the
// store before and after it and from what info tells of the image.
func describeVersion(ctx context.Context, u usage, info *exec.Cmd, store string, before, after map[string]int64) (version, error) {
	v := version{usage: u}
	added := map[string]int64{}
	for name, size := range after {
		if _, old := before[name]; !old {
			added[filepath.Base(name)] = size
			v.Output += size
		}
	}
	text, err := output(info)
	if err != nil {
		return v, err
	}
	return v, v.describeLayers([]byte(text), added)
}

// describeLayers takes from what info says which of the added blobs are what,
// how many data layers there are, and what of their bytes is dead.
func (v *version) describeLayers(info []byte, added map[string]int64) error {
	var image struct {
		Layers []struct {
			Role, Digest  string
			TarSize, Live *int64 // not known by every cdb
		}
	}
	if err := json.Unmarshal(info, &image); err != nil {
		return fmt.Errorf("what cdb info says: %w", err)
	}
	var all, live int64
	v.deadKnown = true
	for _, l := range image.Layers {
		size := added[strings.TrimPrefix(l.Digest, "sha256:")]
		switch l.Role {
		case "catalog":
			v.catalog += size
		case "data":
			v.data += size
			v.packs++
			if v.deadKnown = v.deadKnown && l.TarSize != nil && l.Live != nil; v.deadKnown {
				all, live = all+*l.TarSize, live+*l.Live
			}
		}
	}
	if all > 0 {
		v.dead = float64(all-live) / float64(all)
	}
	return nil
}

// resticKeeper backs up into a repository of its own.
func (b *bench) resticKeeper() *keeper {
	home := filepath.Join(b.work, "keep-restic")
	repository := filepath.Join(home, "repository")
	restic := func(ctx context.Context, args ...string) *exec.Cmd {
		c := command(ctx, append([]string{"restic", "-q", "-r", repository, "--cache-dir", filepath.Join(home, "cache")}, args...)...)
		c.Env = append(os.Environ(), "RESTIC_PASSWORD="+imageName)
		return c
	}
	k := &keeper{grows: true, tool: tool{name: "restic backup", needs: []string{"restic"},
		note: "encrypts what it writes; its repository is made before, and not measured"}}
	k.forget = func(context.Context) error { return os.RemoveAll(home) }
	k.kept = func() (int64, error) { return treeBytes(repository) }
	k.keep = func(ctx context.Context, src string) (version, error) {
		if _, err := os.Stat(repository); errors.Is(err, fs.ErrNotExist) {
			if _, err := output(restic(ctx, "init")); err != nil {
				return version{}, err
			}
		}
		before, err := sizes(repository)
		if err != nil {
			return version{}, err
		}
		syscall.Sync()
		u, err := measure(restic(ctx, "backup", "--host", imageName, src))
		if err != nil {
			return version{}, err
		}
		after, err := sizes(repository)
		for name, size := range after {
			if _, old := before[name]; !old {
				u.Output += size
			}
		}
		return version{usage: u}, err
	}
	return k
}

// dockerKeeper builds the same two lines again and again, with the cache.
func dockerKeeper(name, buildkit, note string) *keeper {
	k := &keeper{tool: *dockerTool(name, buildkit, note), whole: true}
	var d *daemon
	file, last := "", ""
	trial := k.start
	k.start = func(ctx context.Context, docker *daemon) error {
		d = docker
		file = filepath.Join(d.dir, "trial"+buildkit, "Dockerfile")
		return trial(ctx, docker)
	}
	k.forget = func(ctx context.Context) error {
		if last == "" {
			return nil
		}
		last = ""
		return d.forget(ctx)
	}
	k.keep = func(ctx context.Context, src string) (version, error) {
		syscall.Sync()
		u, err := d.measure(d.build(ctx, buildkit, file, src))
		if err != nil {
			return version{}, err
		}
		id, err := output(d.docker(ctx, "image", "inspect", "-f", "{{.Id}}", imageName))
		if err == nil && id != last {
			last = id
			u.Output, err = d.imageSize(ctx)
		}
		return version{usage: u}, err
	}
	return k
}

// pipeKeeper writes everything anew each time.
func (b *bench) pipeKeeper() *keeper {
	out := filepath.Join(b.work, "keep.tar.zst")
	t := pipeTool("tar \\| zstd -1 -T0", []string{"zstd", "-1", "-T0", "-q", "-c"})
	k := &keeper{tool: *t, whole: true}
	k.forget = func(context.Context) error { return os.RemoveAll(out) }
	k.keep = func(ctx context.Context, src string) (version, error) {
		u, err := t.run(ctx, src, out)
		if err != nil {
			return version{}, err
		}
		info, err := os.Stat(out)
		if err == nil {
			u.Output = info.Size()
		}
		return version{usage: u}, err
	}
	return k
}

// sizes are the sizes of all regular files below dir by their paths; none if
// there is no dir. Locks and lists that are written over are no part of a version.
func sizes(dir string) (map[string]int64, error) {
	list := map[string]int64{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name == dir {
			return fs.SkipAll
		}
		if err != nil || !d.Type().IsRegular() || filepath.Dir(name) == dir {
			return err
		}
		info, err := d.Info()
		if err == nil {
			list[name] = info.Size()
		}
		return err
	})
	return list, err
}
