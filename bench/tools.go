package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// A tool packs a folder.
type tool struct {
	name   string
	note   string   // what the numbers include, "" if that is plain
	needs  []string // programs
	daemon bool     // needs a Docker daemon

	// start is called once before the first run; docker is nil if daemon is false.
	start func(ctx context.Context, docker *daemon) error
	// run packs src into out, which is not there yet, and is what is measured.
	run func(ctx context.Context, src, out string) (usage, error)
	// size is the size of the output where it is not in out.
	size func(ctx context.Context) (int64, error)
	// clean removes what run left outside of out.
	clean func(ctx context.Context) error
}

// reference is the tool that others are compared with, the first one.
const reference = "cdb build (gzip)"

// allTools are all tools, the reference first.
func (b *bench) allTools() []*tool {
	return []*tool{
		b.cdbTool(reference, "gzip"),
		b.cdbTool("cdb build (zstd)", "zstd"),
		b.cdbTool("cdb build (none)", "none"),
		b.cdbDaemonTool(),
		dockerTool("docker build", "0", "the classic builder, client and daemon"),
		dockerTool("docker build (BuildKit)", "1", "client and daemon"),
		b.buildahTool(),
		pipeTool(pigz, []string{"pigz", "-1", "-c"}),
		pipeTool("tar \\| zstd -1 -T0", []string{"zstd", "-1", "-T0", "-q", "-c"}),
		squashTool(),
	}
}

// cdbCommand is a command line of the cdb to be measured, with a store and a
// change cache of its own.
func (b *bench) cdbCommand(ctx context.Context, args ...string) *exec.Cmd {
	c := command(ctx, append([]string{b.cdb}, args...)...)
	c.Env = append(os.Environ(), "CDB_STORE="+filepath.Join(b.work, "store"), "CDB_CACHE="+filepath.Join(b.work, "cache"))
	return c
}

func (b *bench) cdbTool(name, compression string) *tool {
	return &tool{name: name, run: func(ctx context.Context, src, out string) (usage, error) {
		syscall.Sync()
		return measure(b.cdbCommand(ctx, "build", "-q", "--compression", compression, src, "-o", "oci:"+out))
	}}
}

// pipeTool is tar and a compressor.
func pipeTool(name string, compressor []string) *tool {
	return &tool{name: name, needs: []string{"tar", compressor[0]},
		run: func(ctx context.Context, src, out string) (usage, error) {
			f, err := os.Create(out)
			if err != nil {
				return usage{}, err
			}
			defer f.Close()
			syscall.Sync()
			last := command(ctx, compressor...)
			last.Stdout = f
			return measure(command(ctx, "tar", "-C", src, "-cf", "-", "."), last)
		}}
}

func squashTool() *tool {
	return &tool{name: "mksquashfs -comp zstd", needs: []string{"mksquashfs"},
		run: func(ctx context.Context, src, out string) (usage, error) {
			syscall.Sync()
			return measure(command(ctx, "mksquashfs", src, out, "-comp", "zstd", "-noappend", "-no-progress"))
		}}
}

// buildahTool works in a store of its own, with the overlay driver if it can.
func (b *bench) buildahTool() *tool {
	home := filepath.Join(b.work, "buildah")
	driver := "overlay"
	buildah := func(ctx context.Context, args ...string) *exec.Cmd {
		c := command(ctx, append([]string{"buildah", "--root", filepath.Join(home, "root"),
			"--runroot", filepath.Join(home, "run"), "--storage-driver", driver}, args...)...)
		c.Env = append(os.Environ(), "BUILDAH_ISOLATION=chroot", "TMPDIR="+home,
			"CONTAINERS_STORAGE_CONF="+filepath.Join(home, "storage.conf"))
		return c
	}
	policy := filepath.Join(home, "policy.json")
	pack := func(ctx context.Context, src, out string) (usage, error) {
		return sequence(
			buildah(ctx, "from", "--name", "bench", "--signature-policy", policy, "scratch"),
			buildah(ctx, "copy", "-q", "bench", src, "/data"),
			buildah(ctx, "commit", "-q", "--signature-policy", policy, "bench", "oci:"+out))
	}
	clean := func(ctx context.Context) error {
		_, err := output(buildah(ctx, "rm", "-a"))
		return err
	}
	t := &tool{name: "buildah", note: "from, copy, commit", needs: []string{"buildah"}, clean: clean}
	t.start = func(ctx context.Context, _ *daemon) error {
		if err := writeFiles(home, map[string]string{
			"policy.json": `{"default": [{"type": "insecureAcceptAnything"}]}`, "storage.conf": "",
			"trial/file": "trial",
		}); err != nil {
			return err
		}
		b.stops = append(b.stops, func() { unmountBelow(home) })
		var err error
		for _, driver = range []string{"overlay", "vfs"} {
			_, err = pack(ctx, filepath.Join(home, "trial"), filepath.Join(home, "trial-"+driver))
			clean(ctx)
			if err == nil {
				t.note += "; storage driver " + driver
				return nil
			}
		}
		return err
	}
	t.run = func(ctx context.Context, src, out string) (usage, error) {
		syscall.Sync()
		return pack(ctx, src, out)
	}
	return t
}

// writeFiles writes files of the given texts into dir.
func writeFiles(dir string, texts map[string]string) error {
	for name, text := range texts {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// unmountBelow unmounts all file systems below dir, the last one first.
func unmountBelow(dir string) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		say("unmount below %s: %v", dir, err)
		return
	}
	points := []string{}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			points = append([]string{fields[1]}, points...)
		}
	}
	for _, p := range points {
		if _, err := output(exec.Command("umount", p)); err != nil {
			say("unmount: %v", fmt.Errorf("%s: %w", p, err))
		}
	}
}
