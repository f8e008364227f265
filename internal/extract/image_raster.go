package extract

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxChunks bounds the chunks, segments or blocks that are looked at.
const maxChunks = 1 << 16

// png reads the chunks of PNG up to its pixels and, in a file that is whole,
// those behind them (PNG specification, third edition, section 11).
func (r imageReader) png(f *File, m *Meta) error {
	channels := map[byte]int{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
	off := int64(8)
	for range maxChunks {
		head, err := f.span(off, 8)
		if err != nil {
			return err
		}
		n, kind := int64(binary.BigEndian.Uint32(head)), string(head[4:])
		if off == 8 && (kind != "IHDR" || n != 13) {
			return errors.New("the first chunk is no header")
		}
		switch kind {
		case "IHDR":
			b, err := f.span(off+8, n)
			if err != nil {
				return err
			}
			if err := setSize(m, uint64(binary.BigEndian.Uint32(b)), uint64(binary.BigEndian.Uint32(b[4:]))); err != nil {
				return err
			}
			setSamples(m, channels[b[9]], int(b[8]))
		case "acTL":
			b, err := f.span(off+8, 4)
			if err != nil {
				return err
			}
			m.Set("frames", int64(binary.BigEndian.Uint32(b)))
		case "eXIf":
			b, err := f.span(off+8, n)
			if err != nil {
				return err
			}
			r.exif(b, m)
		case "IEND":
			return nil
		}
		off += 12 + n
	}
	return nil
}

// jpeg reads the segments of JPEG up to the pixels (ITU T.81, annex B).
func (r imageReader) jpeg(f *File, m *Meta) error {
	off := int64(2)
	for range maxChunks {
		b, err := f.span(off, 2)
		if err != nil {
			return err
		}
		if b[0] != 0xff {
			return fmt.Errorf("no marker at offset %d", off)
		}
		marker := b[1]
		switch {
		case marker == 0xff: // fill
			off++
			continue
		case marker == 0x01, marker >= 0xd0 && marker <= 0xd8: // no length
			off += 2
			continue
		case marker == 0xd9, marker == 0xda: // end of image, pixels
			if m.Get("width") == nil {
				return errNoSize
			}
			return nil
		}
		if b, err = f.span(off+2, 2); err != nil {
			return err
		}
		n := int64(binary.BigEndian.Uint16(b))
		if n < 2 {
			return fmt.Errorf("a segment of %d bytes", n)
		}
		if b, err = f.span(off+4, n-2); err != nil {
			return err
		}
		if err := r.jpegSegment(marker, b, m); err != nil {
			return err
		}
		off += 2 + n
	}
	return errNoSize
}

func (r imageReader) jpegSegment(marker byte, b []byte, m *Meta) error {
	switch {
	case marker == 0xe1 && len(b) > 6 && string(b[:6]) == "Exif\x00\x00":
		r.exif(b[6:], m)
	case marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc:
		if len(b) < 6 {
			return io.ErrUnexpectedEOF
		}
		height, width := binary.BigEndian.Uint16(b[1:]), binary.BigEndian.Uint16(b[3:])
		if height == 0 && width > 0 { // it follows the first scan (DNL)
			m.Set("width", int64(width))
		} else if err := setSize(m, uint64(width), uint64(height)); err != nil {
			return err
		}
		setSamples(m, int(b[5]), int(b[0]))
	}
	return nil
}

// gif reads the header of GIF89a and counts the frames of a file that is seen
// whole.
func (imageReader) gif(f *File, m *Meta) error {
	b, err := f.span(6, 7)
	if err != nil {
		return err
	}
	width, height := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:])
	if err := setSize(m, uint64(width), uint64(height)); err != nil {
		return err
	}
	setSamples(m, 1, int(b[4]>>4&7)+1)
	if !f.Whole() {
		return nil
	}
	off := 13 + colourTable(b[4])
	for frames := 0; ; {
		if off >= len(f.Head) {
			return io.ErrUnexpectedEOF
		}
		switch f.Head[off] {
		case 0x3b: // trailer
			m.Set("frames", frames)
			return nil
		case 0x21: // extension
			off += 2
		case 0x2c: // image
			if off+10 > len(f.Head) {
				return io.ErrUnexpectedEOF
			}
			frames++
			off += 11 + colourTable(f.Head[off+9])
		default:
			return fmt.Errorf("an unknown block at offset %d", off)
		}
		for off < len(f.Head) && f.Head[off] != 0 { // sub-blocks
			off += 1 + int(f.Head[off])
		}
		off++
	}
}

// colourTable returns the size of the colour table that flags of GIF announce.
func colourTable(flags byte) int {
	if flags&0x80 == 0 {
		return 0
	}
	return 3 << (flags&7 + 1)
}

// webp reads the chunks of WebP (RFC 9649).
func (r imageReader) webp(f *File, m *Meta) error {
	off, frames := int64(12), 0
	for range maxChunks {
		head, err := f.span(off, 8)
		if err != nil {
			if off >= f.Size && m.Get("width") != nil {
				break
			}
			return err
		}
		n := int64(binary.LittleEndian.Uint32(head[4:]))
		b := f.upTo(off+8, min(n, 10))
		switch string(head[:4]) {
		case "VP8X", "VP8 ", "VP8L":
			if err := webpSize(string(head[:4]), b, m); err != nil {
				return err
			}
		case "ANMF":
			frames++
			m.Set("frames", frames)
		case "EXIF":
			b, err := f.span(off+8, n)
			if err != nil {
				return err
			}
			if len(b) > 6 && string(b[:6]) == "Exif\x00\x00" { // some writers copy that of JPEG
				b = b[6:]
			}
			r.exif(b, m)
		}
		off += 8 + n + n&1
	}
	return nil
}

// webpSize reads the size from the first ten bytes of a chunk.
func webpSize(kind string, b []byte, m *Meta) error {
	if m.Get("width") != nil { // of the canvas, or of a frame before
		return nil
	}
	if len(b) < 5 || kind != "VP8L" && len(b) < 10 {
		return io.ErrUnexpectedEOF
	}
	channels, width, height := 3, uint64(0), uint64(0)
	switch kind {
	case "VP8X":
		width = 1 + uint64(b[4]) + uint64(b[5])<<8 + uint64(b[6])<<16
		height = 1 + uint64(b[7]) + uint64(b[8])<<8 + uint64(b[9])<<16
		if b[0]&0x10 != 0 {
			channels = 4
		}
	case "VP8 ":
		width = uint64(binary.LittleEndian.Uint16(b[6:]) & 0x3fff)
		height = uint64(binary.LittleEndian.Uint16(b[8:]) & 0x3fff)
	case "VP8L":
		bits := binary.LittleEndian.Uint32(b[1:])
		width, height = uint64(bits&0x3fff)+1, uint64(bits>>14&0x3fff)+1
		if bits>>28&1 != 0 {
			channels = 4
		}
	}
	setSamples(m, channels, 8)
	return setSize(m, width, height)
}

func isBMP(b []byte) bool {
	if len(b) < 18 || b[0] != 'B' || b[1] != 'M' {
		return false
	}
	switch binary.LittleEndian.Uint32(b[14:]) {
	case 12, 16, 40, 52, 56, 64, 108, 124: // sizes of headers that there are
		return true
	}
	return false
}

// bmp reads the header of a Windows or OS/2 bitmap.
func (imageReader) bmp(f *File, m *Meta) error {
	b := f.upTo(14, 40)
	var width, height int32
	var bits uint16
	switch {
	case len(b) >= 12 && binary.LittleEndian.Uint32(b) == 12:
		width, height = int32(binary.LittleEndian.Uint16(b[4:])), int32(binary.LittleEndian.Uint16(b[6:]))
		bits = binary.LittleEndian.Uint16(b[10:])
	case len(b) >= 16 && binary.LittleEndian.Uint32(b) > 12:
		width, height = int32(binary.LittleEndian.Uint32(b[4:])), int32(binary.LittleEndian.Uint32(b[8:]))
		bits = binary.LittleEndian.Uint16(b[14:])
	default:
		return io.ErrUnexpectedEOF
	}
	if height < 0 { // from the top down
		height = -height
	}
	switch bits {
	case 1, 2, 4, 8:
		setSamples(m, 1, int(bits))
	case 24, 32:
		setSamples(m, int(bits/8), 8)
	case 16:
		setSamples(m, 3, 0)
	}
	return setSize(m, uint64(max(width, 0)), uint64(max(height, 0)))
}
