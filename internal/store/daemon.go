package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Daemon writes an image into a Docker daemon.
type Daemon struct {
	*archiveWriter
	engine *engine
	arch   string
	ref    string // NAME:TAG
}

var _ Target = (*Daemon)(nil)

// DaemonTarget prepares writing an image to the Docker daemon at host, a value
// of DOCKER_HOST; "" is unix:///var/run/docker.sock. The daemon is asked for
// its architecture at once, so a missing one is found out before the work. The
// image is collected in a file without name in the folder tempDir ("" means
// the system's) and sent on Publish. The reference that Publish returns pins
// the ID that Docker gave to the image.
func DaemonTarget(ctx context.Context, host, name, tag, tempDir string) (*Daemon, error) {
	if name == "" {
		return nil, errors.New("write to docker-daemon: the image needs a name (docker-daemon:NAME[:TAG])")
	}
	if tag == "" {
		tag = defaultTag
	}
	e, err := newEngine(host)
	if err != nil {
		return nil, err
	}
	d := &Daemon{engine: e, ref: name + ":" + tag}
	if d.arch, err = e.arch(ctx); err != nil {
		e.close()
		return nil, fmt.Errorf("write to docker-daemon: %w", err)
	}
	f, err := unnamedTemp(tempDir)
	if err != nil {
		e.close()
		return nil, fmt.Errorf("write to docker-daemon: %w", err)
	}
	d.archiveWriter = &archiveWriter{
		place:  "docker-daemon",
		f:      f,
		finish: func() error { return nil },
		drop: func() error {
			e.close()
			return f.Close()
		},
	}
	if err := d.begin(name, tag, d.arch); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Arch is the architecture of the daemon, in Go's words (amd64, arm64).
func (d *Daemon) Arch() string { return d.arch }

// Publish sends the image to the daemon.
func (d *Daemon) Publish(ctx context.Context, root ocispec.Descriptor) (string, error) {
	if _, err := d.archiveWriter.Publish(ctx, root); err != nil {
		return "", err
	}
	size := d.end + 2*blockSize
	if err := d.engine.load(ctx, io.NewSectionReader(d.f, 0, size), size); err != nil {
		return "", fmt.Errorf("load image %q into Docker: %w", d.ref, err)
	}
	id, err := d.engine.imageID(ctx, d.ref)
	if err != nil {
		return "", fmt.Errorf("look at loaded image %q: %w", d.ref, err)
	}
	if err := digest.Digest(id).Validate(); err != nil {
		return "", fmt.Errorf("look at loaded image %q: ID %q: %w", d.ref, id, err)
	}
	return TransportDockerDaemon + ":" + d.ref + "@" + id, nil
}

// OpenDaemon copies the image name (NAME[:TAG] or sha256:ID) from the Docker
// daemon at host into a file without name in tempDir, and opens that. Resolve
// it as "".
func OpenDaemon(ctx context.Context, host, name, tempDir string) (Source, error) {
	ref, err := daemonRef(name)
	if err != nil {
		return nil, err
	}
	e, err := newEngine(host)
	if err != nil {
		return nil, err
	}
	defer e.close()
	f, err := unnamedTemp(tempDir)
	if err != nil {
		return nil, fmt.Errorf("open docker-daemon image %q: %w", name, err)
	}
	a, err := fetchDaemon(ctx, e, ref, f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open docker-daemon image %q: %w", name, err)
	}
	return a, nil
}

// daemonRef checks what becomes part of a URL. With a digest, which is an ID,
// the name does not matter; without a tag Docker would send all of them.
func daemonRef(name string) (string, error) {
	r, err := parseNamed(TransportDockerDaemon, name)
	switch {
	case err != nil:
		return "", fmt.Errorf("read image name %q: %w", name, err)
	case r.Digest != "":
		return string(r.Digest), nil
	}
	return r.Name + ":" + r.Tag, nil
}

func fetchDaemon(ctx context.Context, e *engine, ref string, f *os.File) (*Archive, error) {
	if err := e.save(ctx, ref, f); err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	a, err := newArchive(f, info.Size(), fmt.Sprintf("docker-daemon image %q", ref))
	if err != nil {
		return nil, err
	}
	a.file = f
	return a, nil
}

// unnamedTemp makes a file that is gone when it is closed, however the
// process ends.
func unnamedTemp(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "cdb-image-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
