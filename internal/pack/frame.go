package pack

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A compressor makes frames. It is for one goroutine.
type compressor struct {
	kind Compression
	gzip *gzip.Writer
	zstd *zstd.Encoder
}

func newCompressor(c Compression) (*compressor, error) {
	k := &compressor{kind: c}
	var err error
	switch c {
	case Gzip:
		// Level 1: level 6 needs 2.3 times the CPU for 14 % fewer bytes.
		k.gzip, err = gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	case Zstd:
		k.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithZeroFrames(true))
	}
	return k, err
}

// frame appends raw, compressed, to dst. What does not shrink is stored: both
// formats have blocks for that.
func (k *compressor) frame(dst, raw []byte) ([]byte, error) {
	switch k.kind {
	case Gzip:
		buf := bytes.NewBuffer(dst)
		k.gzip.Reset(buf)
		if _, err := k.gzip.Write(raw); err != nil {
			return nil, err
		}
		if err := k.gzip.Close(); err != nil {
			return nil, err
		}
		return buf.Bytes(), nil
	case Zstd:
		return k.zstd.EncodeAll(raw, dst), nil
	}
	return append(dst, raw...), nil
}

// A decompressor is the inverse. It is for one goroutine.
type decompressor struct {
	kind Compression
	gzip *gzip.Reader
	zstd *zstd.Decoder
}

func newDecompressor(c Compression) (*decompressor, error) {
	k := &decompressor{kind: c}
	var err error
	if c == Zstd {
		k.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxFrameSize))
	}
	return k, err
}

// errFrameSize says that a frame holds more or less than its place allows.
var errFrameSize = errors.New("frame has the wrong length")

// frame decompresses packed into dst, whose length is that of the frame.
func (k *decompressor) frame(dst, packed []byte) error {
	switch k.kind {
	case Gzip:
		return k.gunzip(dst, packed)
	case Zstd:
		out, err := k.zstd.DecodeAll(packed, dst[:0])
		if err != nil {
			return fmt.Errorf("decompress frame: %w", err)
		}
		if len(out) != len(dst) || len(out) > 0 && &out[0] != &dst[0] {
			return errFrameSize
		}
		return nil
	}
	if len(packed) != len(dst) {
		return errFrameSize
	}
	copy(dst, packed)
	return nil
}

func (k *decompressor) gunzip(dst, packed []byte) error {
	src := bytes.NewReader(packed)
	var err error
	if k.gzip == nil {
		k.gzip, err = gzip.NewReader(src)
	} else {
		err = k.gzip.Reset(src)
	}
	if err != nil {
		return fmt.Errorf("decompress frame: %w", err)
	}
	if _, err := io.ReadFull(k.gzip, dst); err != nil {
		return fmt.Errorf("decompress frame: %w", err)
	}
	// Reading on checks the frame's checksum, and that it ends here.
	if n, err := k.gzip.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		return errors.Join(errFrameSize, err)
	}
	return nil
}

// Decompress returns the tar stream of a whole blob, however it is framed.
func Decompress(blob io.Reader, c Compression) (io.ReadCloser, error) {
	switch c {
	case Gzip:
		r, err := gzip.NewReader(blob)
		if err != nil {
			return nil, fmt.Errorf("decompress: %w", err)
		}
		return r, nil
	case Zstd:
		r, err := zstd.NewReader(blob, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, fmt.Errorf("decompress: %w", err)
		}
		return r.IOReadCloser(), nil
	}
	return io.NopCloser(blob), nil
}
