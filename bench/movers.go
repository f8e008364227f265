package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// A mover brings images from a layout to a registry, and from there to a folder.
type mover struct {
	tool
	once bool // takes so long that one run has to do
	// load brings an image to where push takes it from, and is not measured; nil: from the layout.
	load func(ctx context.Context, n *network, layout, ref string) error
	push func(ctx context.Context, n *network, layout, ref string) (usage, error)
	// pull brings an image into the folder out, or into where unload removes it from.
	pull   func(ctx context.Context, n *network, ref, out string) (usage, error)
	unload func(ctx context.Context, n *network) error
}

// allMovers are all of them, the reference first.
func (b *bench) allMovers() []*mover {
	return []*mover{b.cdbMover(), b.skopeoMover(), craneMover(), b.dockerMover()}
}

// cdbRemote is a command line of the cdb to be measured that speaks to a
// registry; all that it keeps lies below home.
func (b *bench) cdbRemote(ctx context.Context, home string, args ...string) *exec.Cmd {
	c := command(ctx, append([]string{b.cdb, "-q", "--plain-http"}, args...)...)
	c.Env = append(os.Environ(), "CDB_STORE="+filepath.Join(home, "store"), "CDB_CACHE="+filepath.Join(home, "cache"))
	return c
}

func (b *bench) cdbMover() *mover {
	m := &mover{tool: tool{name: "cdb", note: "`cdb push`, `cdb pull` into a store; what it pulls is checked and on the disk (fsync) before it ends"}}
	m.push = func(ctx context.Context, _ *network, layout, ref string) (usage, error) {
		home, err := os.MkdirTemp(b.work, "cdb")
		if err != nil {
			return usage{}, err
		}
		defer os.RemoveAll(home)
		return measure(b.cdbRemote(ctx, home, "push", "oci:"+layout, ref))
	}
	m.pull = func(ctx context.Context, _ *network, ref, out string) (usage, error) {
		return measure(b.cdbRemote(ctx, out, "pull", ref))
	}
	return m
}

func (b *bench) skopeoMover() *mover {
	skopeo := func(ctx context.Context, args ...string) *exec.Cmd {
		c := command(ctx, append([]string{"skopeo", "--insecure-policy", "copy", "-q", "--all", "--preserve-digests"}, args...)...)
		c.Env = append(os.Environ(), "TMPDIR="+b.work)
		return c
	}
	m := &mover{tool: tool{name: "skopeo copy", needs: []string{"skopeo"}, note: "from and to an OCI layout"}}
	m.push = func(ctx context.Context, _ *network, layout, ref string) (usage, error) {
		return measure(skopeo(ctx, "--dest-tls-verify=false", "oci:"+layout, "docker://"+ref))
	}
	m.pull = func(ctx context.Context, _ *network, ref, out string) (usage, error) {
		return measure(skopeo(ctx, "--src-tls-verify=false", "docker://"+ref, "oci:"+out))
	}
	return m
}

func craneMover() *mover {
	program := ""
	m := &mover{tool: tool{name: "crane", note: "`crane push`, `crane pull --format oci`"}}
	m.start = func(ctx context.Context, _ *daemon) error {
		_, err := output(exec.CommandContext(ctx, "scripts/crane.sh", "build"))
		if err == nil {
			program, err = output(exec.CommandContext(ctx, "scripts/crane.sh", "path"))
		}
		return err
	}
	m.push = func(ctx context.Context, _ *network, layout, ref string) (usage, error) {
		return measure(command(ctx, program, "push", "--insecure", layout, ref))
	}
	m.pull = func(ctx context.Context, _ *network, ref, out string) (usage, error) {
		return measure(command(ctx, program, "pull", "--insecure", "--format", "oci", ref, out))
	}
	return m
}

// dockerMover has a daemon in each network, which compresses what it pushes and
// unpacks what it pulls.
func (b *bench) dockerMover() *mover {
	m := &mover{once: true, tool: tool{name: "docker", needs: []string{"docker", "dockerd", "containerd"},
		note: "`docker push` compresses the layers anew, `docker pull` unpacks them; client and daemon, one run"}}
	m.load = func(ctx context.Context, n *network, layout, ref string) error {
		if err := n.needDocker(ctx); err != nil {
			return err
		}
		c := b.cdbCommand(ctx, "copy", "-q", "oci:"+layout, "docker-daemon:"+ref)
		c.Env = append(c.Env, n.docker.env...)
		_, err := output(c)
		return err
	}
	m.push = func(ctx context.Context, n *network, _, ref string) (usage, error) {
		return n.docker.measure(n.docker.docker(ctx, "push", "-q", ref))
	}
	m.pull = func(ctx context.Context, n *network, ref, _ string) (usage, error) {
		if err := n.needDocker(ctx); err != nil {
			return usage{}, err
		}
		return n.docker.measure(n.docker.docker(ctx, "pull", "-q", ref))
	}
	m.unload = func(ctx context.Context, n *network) error {
		if n.docker == nil {
			return nil
		}
		_, err := output(n.docker.docker(ctx, "system", "prune", "-a", "-f"))
		return err
	}
	return m
}

// singleLayer writes a layout with an image of one layer that holds the folder
// src, as a build without cdb makes it.
func singleLayer(ctx context.Context, src, layout string) error {
	layer, diffID, err := tarLayer(ctx, src, layout)
	if err != nil {
		return fmt.Errorf("make an image of one layer: %w", err)
	}
	put := func(mediaType string, v any) (descriptorOf, error) {
		text, err := json.Marshal(v)
		if err != nil {
			return descriptorOf{}, err
		}
		d := descriptorOf{mediaType, digestOf(text), int64(len(text))}
		return d, os.WriteFile(blobPath(layout, descriptor{Digest: d.Digest}), text, 0o644)
	}
	config, err := put("application/vnd.oci.image.config.v1+json", map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{diffID}},
	})
	if err != nil {
		return fmt.Errorf("make an image of one layer: %w", err)
	}
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	manifest, err := put(manifestType, map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": []descriptorOf{layer}})
	if err == nil {
		var index []byte
		index, err = json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []descriptorOf{manifest}})
		if err == nil {
			err = writeFiles(layout, map[string]string{"index.json": string(index), "oci-layout": `{"imageLayoutVersion": "1.0.0"}`})
		}
	}
	if err != nil {
		return fmt.Errorf("make an image of one layer: %w", err)
	}
	return nil
}

// A descriptorOf is a descriptor as it is written.
type descriptorOf struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// pushed pushes an image with a mover, after loading it, into an empty or a
// used registry, and counts.
func (m *mover) pushed(ctx context.Context, n *network, layout, ref string) (transfer, error) {
	if m.load != nil {
		if err := m.load(ctx, n, layout, ref); err != nil {
			return transfer{}, err
		}
	}
	syscall.Sync()
	return n.observe(func() (usage, error) { return m.push(ctx, n, layout, ref) })
}

// pulled pulls an image into a folder that is removed again, and counts.
func (m *mover) pulled(ctx context.Context, n *network, ref string) (transfer, error) {
	out, err := os.MkdirTemp(n.work, "pull")
	if err != nil {
		return transfer{}, err
	}
	defer os.RemoveAll(out)
	syscall.Sync()
	return n.observe(func() (usage, error) { return m.pull(ctx, n, ref, filepath.Join(out, "out")) })
}

// forget removes what a mover keeps elsewhere.
func (m *mover) forget(ctx context.Context, n *network) error {
	if m.unload == nil {
		return nil
	}
	return m.unload(context.WithoutCancel(ctx), n)
}

// refTo is a reference to an image in a registry.
func refTo(host string, parts ...string) string { return host + "/bench/" + strings.Join(parts, "") }
