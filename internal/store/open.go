package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Config says where the places are that references do not name.
type Config struct {
	// Root is the folder of the local store, see DefaultRoot.
	Root string
	// DockerHost is a value of DOCKER_HOST; "" is the usual socket.
	DockerHost string
	// TempDir takes images on their way to and from Docker; "" is the
	// system's folder for temporary files.
	TempDir string
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
		return opened(OpenLocal(c.Root))(name)
	case TransportOCI:
		return opened(OpenLayout(r.Path))(name)
	case TransportOCIArchive, TransportDockerArchive:
		return opened(OpenArchive(r.Path))(name)
	case TransportDockerDaemon:
		return opened(OpenDaemon(ctx, c.DockerHost, name, c.TempDir))("")
	}
	return nil, "", unsupported("read", r)
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
	what := "images of registries are"
	if r.Transport == TransportSIF {
		what = "SIF files are"
	}
	return fmt.Errorf("%s %q: %w: %s not supported by this release of cdb; use a layout (oci:DIR) or an archive (FILE.tar)", verb, r, errors.ErrUnsupported, what)
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
// (all three write the same kind of archive), docker-daemon:NAME[:TAG], or ""
// for the local store. name and tag are what the image is called where dest
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
	}
	return nil, unsupported("write", r)
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
		if err == nil && transport == TransportDockerDaemon {
			// Without a tag in dest the one given elsewhere counts.
			_, r.Tag = cutTag(rest)
		}
		return r, err
	}
	if strings.HasSuffix(dest, ".tar") {
		return Ref{Transport: TransportOCIArchive, Path: dest}, nil
	}
	return Ref{}, errors.New("give oci:DIR[:TAG], FILE.tar, oci-archive:FILE or docker-daemon:NAME[:TAG]; a name for the local store is given with -t")
}
