package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/data-containers/cdb/internal/blobcache"
	"github.com/data-containers/cdb/internal/registry"
)

// Config says where the places are that references do not name.
type Config struct {
	// Root is the folder of the local store, see DefaultRoot.
	Root string
	// DockerHost is a value of DOCKER_HOST; "" is the usual socket.
	DockerHost string
	// TempDir takes images on their way to and from Docker, and blobs on their
	// way to a registry; "" is the system's folder for temporary files.
	TempDir string
	// Registries is the client for registries; nil reaches none.
	Registries *registry.Client
	// Pieces keeps what was fetched from registries; nil keeps nothing.
	Pieces *blobcache.Cache
	// Sent, if not nil, counts bytes on their way to a registry.
	Sent func(int64)
}

// OpenSource opens the place that r is in, and returns the name to resolve
// there. Places that are not supported give an error that wraps
// errors.ErrUnsupported.
func (c Config) OpenSource(ctx context.Context, r Ref) (Source, string, error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	name := r.image()
	switch r.Transport {
	case TransportStore, "":
		return c.openStore(ctx, r)
	case TransportDocker:
		return opened(c.openRepository(r.Name))(name)
	case TransportOCI:
		return opened(OpenLayout(r.Path))(name)
	case TransportOCIArchive, TransportDockerArchive:
		return opened(OpenArchive(r.Path))(name)
	case TransportDockerDaemon:
		return opened(OpenDaemon(ctx, c.DockerHost, name, c.TempDir))("")
	}
	return nil, "", unsupported("read", r)
}

// openStore opens the local store or, if that has no such image and the name
// begins with a host, the registry.
func (c Config) openStore(ctx context.Context, r Ref) (Source, string, error) {
	name := r.image()
	local, err := OpenLocal(c.Root)
	hostName, _, _ := strings.Cut(r.Name, "/")
	if !isHost(hostName) || c.Registries == nil || hostName == r.Name {
		return opened(local, err)(name)
	}
	if err == nil {
		if _, err = local.Resolve(ctx, name); !errors.Is(err, ErrNotFound) {
			return local, name, nil // any other error comes again
		}
	}
	return opened(c.openRepository(r.Name))(name)
}

// opened makes the results of an Open function those of OpenSource; a failed
// open must not become a Source that is not nil.
func opened[S Source](src S, err error) func(string) (Source, string, error) {
	return func(name string) (Source, string, error) {
		if err != nil {
			return nil, "", err
		}
		return src, name, nil
	}
}

func unsupported(verb string, r Ref) error {
	return fmt.Errorf("%s %q: %w: SIF files are not supported by this release of cdb; use a layout (oci:DIR) or an archive (FILE.tar)", verb, r, errors.ErrUnsupported)
}

// image is the part of a reference that Resolve understands.
func (r Ref) image() string {
	s := r.Name
	if r.Name != "" && r.Tag != "" {
		s += ":"
	}
	s += r.Tag
	switch {
	case r.Digest == "":
		return s
	case s == "" || r.Name == "":
		return string(r.Digest)
	}
	return s + "@" + string(r.Digest)
}

// OpenTarget prepares writing an image to dest: oci:DIR[:TAG],
// oci-archive:FILE[:[NAME:]TAG], docker-archive:FILE[:[NAME:]TAG] or FILE.tar
// (all three write the same kind of archive), docker-daemon:NAME[:TAG],
// docker://HOST/NAME[:TAG] for a registry, or "" for the local store. name and tag are what the image is called where dest
// does not say so; name is needed by the local store alone, the default tag is
// "latest". arch, see ArchiveTarget, matters for archives.
func (c Config) OpenTarget(ctx context.Context, dest, name, tag, arch string) (Target, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if dest == "" {
		local, err := OpenLocal(c.Root)
		if err != nil {
			return nil, err
		}
		return local.Target(name, tag)
	}
	r, err := parseDest(dest)
	if err != nil {
		return nil, fmt.Errorf("read destination %q: %w", dest, err)
	}
	if r.Tag != "" {
		tag = r.Tag
	}
	if r.Name != "" {
		name = r.Name
	}
	switch r.Transport {
	case TransportOCI:
		return LayoutTarget(r.Path, tag, name)
	case TransportOCIArchive, TransportDockerArchive:
		return ArchiveTarget(r.Path, name, tag, arch)
	case TransportDockerDaemon:
		t, err := DaemonTarget(ctx, c.DockerHost, name, tag, c.TempDir)
		if err != nil {
			return nil, err
		}
		return t, nil
	case TransportDocker:
		t, err := c.remoteTarget(name, tag)
		if err != nil {
			return nil, err
		}
		return t, nil
	}
	return nil, unsupported("write", r)
}

// PushTarget prepares writing an image to the registry, under the name
// HOST/NAME and tag, while it is being built. With keep it goes into the local
// store too, under the same name.
func (c Config) PushTarget(ctx context.Context, name, tag string, keep bool) (Target, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	to, err := c.remoteTarget(name, tag)
	if err != nil {
		return nil, err
	}
	if !keep {
		return to, nil
	}
	local, err := OpenLocal(c.Root)
	if err != nil {
		return nil, err
	}
	t, err := local.Target(name, tag)
	if err != nil {
		return nil, err
	}
	return &pushTarget{t.(*writer), to}, nil
}

// parseDest reads a destination. Unlike an image it need not exist, so a plain
// word is no name but has to end in .tar.
func parseDest(dest string) (Ref, error) {
	transport, rest, _ := strings.Cut(dest, ":")
	switch transport {
	case TransportOCI, TransportOCIArchive, TransportDockerArchive, TransportDockerDaemon, TransportDocker, TransportSIF:
		r, err := parseRef(dest)
		if err == nil && r.Digest != "" {
			err = errors.New("a destination has no digest: that is what the build finds out")
		}
		if err == nil && (transport == TransportDockerDaemon || transport == TransportDocker) {
			// Without a tag in dest the one given elsewhere counts.
			_, r.Tag = cutTag(strings.TrimPrefix(rest, "//"))
		}
		return r, err
	}
	if strings.HasSuffix(dest, ".tar") {
		return Ref{Transport: TransportOCIArchive, Path: dest}, nil
	}
	return Ref{}, errors.New("give oci:DIR[:TAG], FILE.tar, oci-archive:FILE, docker-daemon:NAME[:TAG] or docker://HOST/NAME[:TAG]; a name for the local store is given with -t")
}
