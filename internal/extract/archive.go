package extract

import (
	"errors"
	"fmt"
	"io"

	"github.com/data-containers/cdb/internal/pack"
)

// Bounds of compressed tar archives, in bytes: larger ones are named, but not
// decompressed to count their members.
const (
	maxTarPacked   = 64 << 20
	maxTarUnpacked = 1 << 30
)

// archiveFormat describes archives: how many members, and how large. Names of
// members are not told.
func archiveFormat() *Format {
	return &Format{
		Name:    "archive",
		Version: 1,
		Keys: []Key{
			{"format", "string", "", "zip, tar, tar.gz, tar.zst, tar.xz, tar.bz2, 7z or rar"},
			{"members", "integer", "", "files, folders and links within; of a compressed tar only up to 64 MiB; not of 7z and rar"},
			{"bytes", "integer", "bytes", "size of all files within, decompressed; where members are told"},
			{"encrypted", "boolean", "", "some members of a zip archive are encrypted"},
		},
		Match:  func(f *File) bool { return archiveKind(f) != "" },
		Stream: archiveStream,
	}
}

// isZip says if f begins as a zip archive does, an empty one included.
func isZip(f *File) bool { return f.hasMagic(0, "PK\x03\x04") || f.hasMagic(0, "PK\x05\x06") }

func archiveKind(f *File) string {
	switch {
	case isZip(f):
		return "zip"
	case f.hasMagic(0, "7z\xbc\xaf\x27\x1c"):
		return "7z"
	case f.hasMagic(0, "Rar!\x1a\x07"):
		return "rar"
	case isTar(f.Head):
		return "tar"
	}
	kind := compressedKind(f)
	switch {
	case kind == "gzip" && f.HasSuffix(".tar.gz", ".tgz"):
		return "tar.gz"
	case kind == "zstd" && f.HasSuffix(".tar.zst", ".tzst"):
		return "tar.zst"
	case kind == "xz" && f.HasSuffix(".tar.xz", ".txz"):
		return "tar.xz"
	case kind == "bzip2" && f.HasSuffix(".tar.bz2", ".tbz2", ".tbz"):
		return "tar.bz2"
	}
	return ""
}

// archiveTypes are the media types of archives.
var archiveTypes = map[string]string{
	"zip": "application/zip", "7z": "application/x-7z-compressed", "rar": "application/vnd.rar", "tar": "application/x-tar",
	"tar.gz": "application/gzip", "tar.zst": "application/zstd", "tar.xz": "application/x-xz", "tar.bz2": "application/x-bzip2",
}

func archiveStream(f *File) Stream {
	a := &archive{kind: archiveKind(f)}
	switch {
	case a.kind == "zip":
		a.Stream = &tailStream{path: f.Path, tail: make([]byte, 0, min(f.Size, 2*TailSize)), extract: extractZip}
	case a.kind == "tar":
		a.Stream = newTarCounter()
	case a.kind == "tar.gz" && f.Size <= maxTarPacked:
		a.Stream = newPackedTar(pack.Gzip)
	case a.kind == "tar.zst" && f.Size <= maxTarPacked:
		a.Stream = newPackedTar(pack.Zstd)
	default:
		a.Stream = nothing{}
	}
	return a
}

// An archive names its kind and hides what else its stream says.
type archive struct {
	kind string
	Stream
}

func (a *archive) Finish(m *Meta) error {
	m.Set("format", a.kind)
	m.SetMediaType(archiveTypes[a.kind])
	return reading(a.kind+" archive", a.Stream.Finish(m))
}

// nothing is a stream that nobody looks at.
type nothing struct{}

func (nothing) Write(p []byte) (int, error) { return len(p), nil }
func (nothing) Finish(*Meta) error          { return nil }

// A tailStream keeps the last TailSize bytes for a format that looks at them.
type tailStream struct {
	path    string
	size    int64
	tail    []byte
	extract func(f *File, m *Meta) error
}

func (s *tailStream) Write(p []byte) (int, error) {
	s.size += int64(len(p))
	n := len(p)
	p = p[max(0, n-TailSize):]
	if len(s.tail)+len(p) > 2*TailSize {
		s.tail = append(s.tail[:0], s.tail[len(s.tail)-TailSize:]...)
	}
	s.tail = append(s.tail, p...)
	return n, nil
}

func (s *tailStream) Finish(m *Meta) error {
	tail := s.tail[max(0, len(s.tail)-TailSize):]
	return unlessBeyond(s.extract(&File{Path: s.path, Size: s.size, Tail: tail}, m))
}

// A packedTar decompresses a tar archive while it comes, beside the build:
// what it cannot make sense of, it lets pass.
type packedTar struct {
	count *tarCounter
	pipe  *io.PipeWriter
	done  chan error
}

func newPackedTar(kind pack.Compression) *packedTar {
	r, w := io.Pipe()
	t := &packedTar{count: newTarCounter(), pipe: w, done: make(chan error, 1)}
	go func() {
		err := t.unpack(r, kind)
		_ = r.Close() // then Write goes on without it
		t.done <- err
	}()
	return t
}

func (t *packedTar) unpack(r io.Reader, kind pack.Compression) error {
	z, err := pack.Decompress(r, kind)
	if err != nil {
		return err
	}
	defer func() { _ = z.Close() }()
	buf := make([]byte, 64<<10)
	for total := int64(0); total <= maxTarUnpacked; {
		n, err := z.Read(buf)
		if total += int64(n); !t.count.feed(buf[:n]) || errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("its members are not counted: they are larger than %d bytes", int64(maxTarUnpacked))
}

func (t *packedTar) Write(p []byte) (int, error) {
	if _, err := t.pipe.Write(p); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		return 0, err
	}
	return len(p), nil
}

func (t *packedTar) Finish(m *Meta) error {
	_ = t.pipe.Close()
	if err := <-t.done; err != nil {
		return err // what was counted so far is of no use
	}
	return t.count.Finish(m)
}
