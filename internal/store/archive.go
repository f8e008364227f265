package store

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	maxMembers    = 1_000_000
	maxMemberName = 1024     // longer names cannot matter
	maxNameBytes  = 64 << 20 // of all names together
)

// An Archive is a tar file with images: an OCI archive, a docker-archive (of
// "docker save", old and new), or both in one as ArchiveTarget writes it. It
// is read where it lies, nothing is unpacked. It may be used from several
// goroutines; its blobs can be read until Close.
type Archive struct {
	place   string
	file    io.Closer
	r       io.ReaderAt
	members map[string]member
	entries []ocispec.Descriptor // index.json, nil for a docker-archive
	docker  []dockerImage        // manifest.json where there is no index.json

	mu     sync.Mutex
	blobs  map[digest.Digest]archiveBlob // of docker-archives
	hashes map[int64]digest.Digest       // of members, by offset
}

var _ Source = (*Archive)(nil)

// member is a file in the archive or a link to one.
type member struct {
	offset, size int64
	link         string // cleaned path of another member
}

// OpenArchive opens the archive in the file path. Only tar headers and
// index.json or manifest.json are read.
func OpenArchive(path string) (*Archive, error) {
	f, size, err := openRegular(path)
	if err != nil {
		return nil, fmt.Errorf("open archive: %w", err)
	}
	a, err := newArchive(f, size, fmt.Sprintf("archive %q", path))
	if err != nil {
		f.Close()
		return nil, err
	}
	a.file = f
	return a, nil
}

func newArchive(r io.ReaderAt, size int64, place string) (*Archive, error) {
	a := &Archive{
		place:   place,
		r:       r,
		members: map[string]member{},
		blobs:   map[digest.Digest]archiveBlob{},
		hashes:  map[int64]digest.Digest{},
	}
	head := make([]byte, min(size, 512))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, a.wrap(err)
	}
	if c := compression(head); c != "" {
		return nil, a.wrap(fmt.Errorf("it is compressed with %s; decompress it first, blobs cannot be found in it otherwise", c))
	}
	if err := a.readHeaders(size); err != nil {
		return nil, a.wrap(err)
	}
	if err := a.readLists(); err != nil {
		return nil, a.wrap(err)
	}
	return a, nil
}

func (a *Archive) wrap(err error) error {
	return fmt.Errorf("open %s: %w", a.place, err)
}

// compression names the compression that data begins with, "" for none.
func compression(data []byte) string {
	for _, c := range []struct{ name, magic string }{
		{"gzip", "\x1f\x8b"}, {"zstd", "\x28\xb5\x2f\xfd"}, {"bzip2", "BZh"}, {"xz", "\xfd7zXZ\x00"}, {"lz4", "\x04\x22\x4d\x18"},
	} {
		if bytes.HasPrefix(data, []byte(c.magic)) {
			return c.name
		}
	}
	return ""
}

// readHeaders remembers where each member lies. The reader seeks over bodies.
func (a *Archive) readHeaders(size int64) error {
	s := io.NewSectionReader(a.r, 0, size)
	t := tar.NewReader(s)
	names := 0
	for n := 0; ; n++ {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("it is cut off: %w", err)
		}
		if err != nil {
			return err
		}
		if n == maxMembers {
			return fmt.Errorf("it has more than %d members", maxMembers)
		}
		offset, err := s.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if h.Typeflag == tar.TypeReg && (h.Size < 0 || h.Size > size-offset) {
			return fmt.Errorf("it is cut off in member %q: %w", h.Name, io.ErrUnexpectedEOF)
		}
		if names += len(h.Name) + len(h.Linkname); names > maxNameBytes {
			return fmt.Errorf("its names are longer than %d bytes in total", maxNameBytes)
		}
		if err := a.add(h, offset); err != nil {
			return err
		}
	}
}

func (a *Archive) add(h *tar.Header, offset int64) error {
	name := clean(h.Name)
	m := member{offset: offset, size: h.Size}
	switch {
	case len(name) > maxMemberName || len(h.Linkname) > maxMemberName || isSparse(h):
		return nil
	case h.Typeflag == tar.TypeReg:
	case h.Typeflag == tar.TypeSymlink:
		m = member{link: clean(path.Join(path.Dir(name), h.Linkname))}
	case h.Typeflag == tar.TypeLink:
		m = member{link: clean(h.Linkname)}
	default:
		return nil
	}
	if _, ok := a.members[name]; ok {
		return fmt.Errorf("member %q is there twice", name)
	}
	a.members[name] = m
	return nil
}

// clean writes a member's path in the one way it is looked up.
func clean(name string) string {
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}

// isSparse says that the bytes of the member are not in one piece.
func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// find follows links.
func (a *Archive) find(name string) (member, bool) {
	const mostLinks = 8
	m, ok := a.members[clean(name)]
	for i := 0; ok && m.link != ""; i++ {
		if i == mostLinks {
			return member{}, false
		}
		m, ok = a.members[m.link]
	}
	return m, ok
}

// readLists reads index.json or, where there is none, manifest.json.
func (a *Archive) readLists() error {
	m, ok := a.find(ocispec.ImageIndexFile)
	if !ok {
		return a.readDocker()
	}
	if v, err := a.readFile("oci-layout"); err == nil {
		if err := checkLayoutVersion(v); err != nil {
			return err
		}
	} else if !errors.Is(err, ErrNotFound) {
		return err
	}
	data, err := a.read(m)
	if err != nil {
		return fmt.Errorf("read index.json: %w", err)
	}
	index, err := parseIndexFile(data)
	if err != nil {
		return fmt.Errorf("index.json is damaged: %w", err)
	}
	a.entries = index.Manifests
	return nil
}

func (a *Archive) readFile(name string) ([]byte, error) {
	m, ok := a.find(name)
	if !ok {
		return nil, fmt.Errorf("read %q: %w", name, ErrNotFound)
	}
	data, err := a.read(m)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	return data, nil
}

func (a *Archive) read(m member) ([]byte, error) {
	if m.size > maxDocument {
		return nil, fmt.Errorf("%d bytes are too many, at most %d", m.size, maxDocument)
	}
	data := make([]byte, m.size)
	if n, err := a.r.ReadAt(data, m.offset); n < len(data) {
		return nil, fmt.Errorf("cut off: %w", err)
	}
	return data, nil
}

// Resolve finds an image by tag, full name or digest; "" is the only image.
// An image of a docker-archive gets a manifest made from its config.
func (a *Archive) Resolve(ctx context.Context, name string) (ocispec.Descriptor, error) {
	if a.docker != nil {
		return a.resolveDocker(ctx, name)
	}
	return resolve(ctx, a, a.place, named(a.entries), name)
}

// Open opens a blob.
func (a *Archive) Open(ctx context.Context, desc ocispec.Descriptor) (Blob, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := checkDescriptor(desc); err != nil {
		return nil, fmt.Errorf("open blob in %s: %w", a.place, err)
	}
	b, ok := a.blob(desc.Digest)
	if !ok {
		return nil, fmt.Errorf("open blob %s in %s: %w", desc.Digest, a.place, ErrNotFound)
	}
	if err := checkSize(desc, b.Size()); err != nil {
		return nil, fmt.Errorf("open blob in %s: %w", a.place, err)
	}
	return b, nil
}

func (a *Archive) blob(d digest.Digest) (archiveBlob, bool) {
	a.mu.Lock()
	b, ok := a.blobs[d]
	a.mu.Unlock()
	if ok {
		return b, true
	}
	m, ok := a.find(blobPath(d))
	return a.section(m), ok
}

func (a *Archive) section(m member) archiveBlob {
	return archiveBlob{io.NewSectionReader(a.r, m.offset, m.size)}
}

// Close closes the file. Open blobs cannot be read any more.
func (a *Archive) Close() error {
	if a.file == nil {
		return nil
	}
	return a.file.Close()
}

// archiveBlob is a part of the archive file, or bytes in memory.
type archiveBlob struct{ sectionReader }

type sectionReader interface {
	io.ReaderAt
	Size() int64
}

var _ Blob = archiveBlob{}

func (archiveBlob) Close() error { return nil }
