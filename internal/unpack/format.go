package unpack

import (
	"bytes"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/data-containers/cdb/internal/pack"
)

// A Format is a kind of archive.
type Format string

// The formats that are known; "" is no archive.
const (
	TarFormat      Format = "tar"
	TarGzipFormat  Format = "tar.gz"
	TarZstdFormat  Format = "tar.zst"
	TarBzip2Format Format = "tar.bz2"
	ZipFormat      Format = "zip"
)

// magics are the first bytes of compressed streams.
func magics() map[Format]string {
	return map[Format]string{
		TarGzipFormat:  "\x1f\x8b",
		TarZstdFormat:  "\x28\xb5\x2f\xfd",
		TarBzip2Format: "BZh",
	}
}

// ErrFormat is returned for archives of a format that is known by name only.
var ErrFormat = errors.New("archives of this format cannot be unpacked; unpack it with its own program first")

// Recognise tells from its content which kind of archive the file r is, "" for
// none. The name, with or without folders, matters for ZIP alone: documents
// and programs are ZIP files too (.xlsx, .npz, .jar), so only what is called
// .zip is taken for one. What has the name and the content of an archive that
// cannot be unpacked here is ErrFormat.
func Recognise(name string, r io.ReaderAt) (Format, error) {
	head := make([]byte, tarBlock)
	n, _ := r.ReadAt(head, 0)
	head = head[:n]
	if isTar(head) {
		return TarFormat, nil
	}
	if bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("PK\x05\x06")) {
		if strings.HasSuffix(strings.ToLower(name), ".zip") {
			return ZipFormat, nil
		}
		return "", nil
	}
	for format, magic := range magics() {
		if !strings.HasPrefix(string(head), magic) {
			continue
		}
		d, err := decompress(io.NewSectionReader(r, 0, 1<<62), format)
		if err != nil {
			return "", nil
		}
		defer d.Close()
		block := make([]byte, tarBlock)
		if _, err := io.ReadFull(d, block); err != nil || !isTar(block) {
			return "", nil
		}
		return format, nil
	}
	return "", unknownFormat(strings.ToLower(name), head)
}

// unknownFormat returns ErrFormat for what is an archive by name and content.
func unknownFormat(name string, head []byte) error {
	for suffix, magic := range map[string]string{
		".tar.xz": "\xfd7zXZ\x00", ".txz": "\xfd7zXZ\x00", ".7z": "7z\xbc\xaf\x27\x1c", ".rar": "Rar!\x1a\x07", ".tar.lz4": "\x04\x22\x4d\x18",
	} {
		if strings.HasSuffix(name, suffix) && strings.HasPrefix(string(head), magic) {
			return ErrFormat
		}
	}
	return nil
}

// tarBlock is the length of a tar header in bytes.
const tarBlock = 512

// isTar says if a block is a tar header, by its checksum, which every dialect
// has.
func isTar(block []byte) bool {
	if len(block) < tarBlock {
		return false
	}
	const from, to = 148, 156
	want, err := strconv.ParseUint(strings.Trim(string(block[from:to]), " \x00"), 8, 32)
	if err != nil {
		return false
	}
	var unsigned, signed int64
	for i, c := range block {
		if i >= from && i < to {
			c = ' '
		}
		unsigned += int64(c)
		signed += int64(int8(c))
	}
	return int64(want) == unsigned || int64(want) == signed
}

// decompress returns the tar stream of a compressed archive.
func decompress(r io.Reader, format Format) (io.ReadCloser, error) {
	switch format {
	case TarFormat:
		return io.NopCloser(r), nil
	case TarGzipFormat:
		return pack.Decompress(r, pack.Gzip)
	case TarZstdFormat:
		return pack.Decompress(r, pack.Zstd)
	case TarBzip2Format:
		return io.NopCloser(bzip2.NewReader(r)), nil
	}
	return nil, fmt.Errorf("archive of format %q: %w", format, errors.ErrUnsupported)
}

// Archive unpacks the file r of size bytes, of the given format.
func (f *Folder) Archive(ctx context.Context, r io.ReaderAt, size int64, format Format) error {
	if format == ZipFormat {
		return f.Zip(ctx, r, size)
	}
	d, err := decompress(io.NewSectionReader(r, 0, size), format)
	if err != nil {
		return err
	}
	defer d.Close()
	return f.Tar(ctx, d)
}
