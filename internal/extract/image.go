package extract

import (
	"errors"
	"fmt"
)

// maxSide is the width or height beyond which an image is not believed. The
// largest scans of slides and mosaics of satellites have some millions.
const maxSide = 1 << 26

// imageFormat describes raster images by their headers; pixels are never
// decoded. Where a picture was taken is told only on request.
func imageFormat(opts Options) *Format {
	read := imageReader{gps: opts.GPS}
	return &Format{
		Name:    "image",
		Version: 1,
		Keys:    imageKeys(),
		Match:   func(f *File) bool { return imageKind(f) != "" },
		Tail:    true, // writers of TIFF put the directory at the end
		Extract: read.extract,
	}
}

func imageKeys() []Key {
	keys := []Key{
		{"format", "string", "", "png, jpeg, gif, webp, bmp, tiff, heif or avif"},
		{"width", "integer", "pixels", "columns, of the first page or frame"},
		{"height", "integer", "pixels", "rows, of the first page or frame"},
		{"channels", "integer", "", "samples of a pixel as stored; an index into a palette is one"},
		{"bits", "integer", "bits", "size of a sample"},
		{"frames", "integer", "", "frames of an animation (GIF, PNG, WebP)"},
		{"pages", "integer", "", "directories of a TIFF file"},
	}
	keys = append(keys, tiffKeys()...)
	return append(keys, exifKeys()...)
}

// imageKind returns the name of the kind of image that f is, or "".
func imageKind(f *File) string {
	switch {
	case f.hasMagic(0, "\x89PNG\r\n\x1a\n"):
		return "png"
	case f.hasMagic(0, "\xff\xd8\xff"):
		return "jpeg"
	case f.hasMagic(0, "GIF87a"), f.hasMagic(0, "GIF89a"):
		return "gif"
	case f.hasMagic(0, "RIFF") && f.hasMagic(8, "WEBP"):
		return "webp"
	case isBMP(f.Head):
		return "bmp"
	case isTIFF(f.Head):
		return "tiff"
	case f.hasMagic(4, "ftyp"):
		return heifBrand(f.Head)
	}
	return ""
}

type imageReader struct{ gps bool }

func (r imageReader) extract(f *File, m *Meta) error {
	kind := imageKind(f)
	m.Set("format", kind)
	m.SetMediaType("image/" + kind)
	var err error
	switch kind {
	case "png":
		err = r.png(f, m)
	case "jpeg":
		err = r.jpeg(f, m)
	case "gif":
		err = r.gif(f, m)
	case "webp":
		err = r.webp(f, m)
	case "bmp":
		err = r.bmp(f, m)
	case "tiff":
		err = r.tiff(f, m)
	case "heif", "avif":
		err = r.heif(f, m)
	}
	return reading(kind+" image", unlessBeyond(err))
}

// setSize sets width and height, unless they are absurd.
func setSize(m *Meta, width, height uint64) error {
	if width == 0 || height == 0 || width > maxSide || height > maxSide {
		return fmt.Errorf("absurd size of %d × %d pixels", width, height)
	}
	m.Set("width", int64(width))
	m.Set("height", int64(height))
	return nil
}

// setSamples sets channels and bits of a sample where they are plausible.
func setSamples(m *Meta, channels, bits int) {
	if channels > 0 {
		m.Set("channels", channels)
	}
	if bits > 0 {
		m.Set("bits", bits)
	}
}

var errNoSize = errors.New("no size is found")
