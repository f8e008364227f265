package extract

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"
)

// mediaEXIF makes a block of EXIF as a camera does: two directories, one with
// the place.
func mediaEXIF() []byte {
	var b mediaTIFF
	b.order = binary.BigEndian
	return b.file(
		mediaTag{271, 2, "Cam\x00"}, mediaTag{272, 2, "Model 1 \x00"}, mediaTag{274, 3, []uint16{6}},
		mediaTag{305, 2, "Firmware 1\x00"},
		mediaTag{306, 2, "2020:01:02 03:04:05\x00"}, mediaTag{315, 2, "A. Person\x00"}, mediaTag{33432, 2, "CC0\x00"},
		mediaTag{0x8769, 4, []mediaTag{
			{0x829a, 5, []uint32{1, 250}}, {0x829d, 5, []uint32{28, 10}}, {0x8827, 3, []uint16{400}},
			{0x9003, 2, "2019:12:31 23:59:58\x00"}, {0x9011, 2, "+02:00\x00"},
			{0x920a, 5, []uint32{50, 1}}, {0xa434, 2, "50mm F1.8\x00"},
		}},
		mediaTag{0x8825, 4, []mediaTag{
			{1, 2, "S\x00"}, {2, 5, []uint32{33, 1, 51, 1, 36, 1}}, {3, 2, "E\x00"}, {4, 5, []uint32{151, 1, 12, 1, 0, 1}},
			{5, 1, "\x00"}, {6, 5, []uint32{585, 10}},
		}},
	)
}

const (
	mediaEXIFJSON = `"exif.make": "Cam", "exif.model": "Model 1", "exif.lens": "50mm F1.8", "exif.software": "Firmware 1", ` +
		`"exif.datetime": "2019-12-31T23:59:58+02:00", "exif.exposure": 0.004, "exif.aperture": 2.8, "exif.focal_length": 50.0, ` +
		`"exif.iso": 400, "exif.orientation": 6, "exif.artist": "A. Person", "exif.copyright": "CC0"`
	mediaGPSJSON = `, "exif.gps.latitude": -33.86, "exif.gps.longitude": 151.2, "exif.gps.altitude": 58.5`
)

// A mediaTag is an entry of a TIFF directory: text, numbers, or a directory.
type mediaTag struct {
	id, kind uint16
	value    any
}

type mediaTIFF struct {
	order interface {
		binary.ByteOrder
		binary.AppendByteOrder
	}
	big  bool
	data []byte
}

func (t *mediaTIFF) file(tags ...mediaTag) []byte {
	mark := "II"
	if t.order == binary.AppendByteOrder(binary.BigEndian) {
		mark = "MM"
	}
	t.data = append(t.data, mark...)
	if t.big {
		t.data = t.order.AppendUint16(t.order.AppendUint16(t.order.AppendUint16(t.data, 43), 8), 0)
		t.data = t.order.AppendUint64(t.data, 16)
	} else {
		t.data = t.order.AppendUint32(t.order.AppendUint16(t.data, 42), 8)
	}
	t.directory(tags)
	return t.data
}

// page links another directory from the end of the last one.
func (t *mediaTIFF) page(tags ...mediaTag) []byte {
	last := len(t.data)
	copy(t.data[t.link():], t.offset(nil, last))
	t.directory(tags)
	return t.data
}

func (t *mediaTIFF) offset(b []byte, n int) []byte {
	if t.big {
		return t.order.AppendUint64(b, uint64(n))
	}
	return t.order.AppendUint32(b, uint32(n))
}

// link returns where the last link of the chain of directories is.
func (t *mediaTIFF) link() int {
	f := tiffFile{f: mediaFile("", t.data), order: t.order, big: t.big}
	off, _ := f.firstDirectory()
	for {
		n, start, _ := f.entries(off)
		_, entry, _ := f.layout()
		next, _ := f.next(off)
		if next == 0 {
			return int(start + n*entry)
		}
		off = next
	}
}

// directory appends a directory and the values of its entries.
func (t *mediaTIFF) directory(tags []mediaTag) {
	countSize, entry, width := 2, 12, 4
	if t.big {
		countSize, entry, width = 8, 20, 8
	}
	start := len(t.data)
	values := start + countSize + len(tags)*entry + width
	t.data = append(t.data, make([]byte, values-start)...)
	if t.big {
		t.order.PutUint64(t.data[start:], uint64(len(tags)))
	} else {
		t.order.PutUint16(t.data[start:], uint16(len(tags)))
	}
	for i, tag := range tags {
		e := t.data[start+countSize+i*entry:]
		t.order.PutUint16(e, tag.id)
		t.order.PutUint16(e[2:], tag.kind)
		value, count := t.value(tag)
		if sub, ok := tag.value.([]mediaTag); ok {
			value, count = t.offset(nil, len(t.data)), 1
			t.directory(sub)
			e = t.data[start+countSize+i*entry:]
		} else if len(value) > width {
			off := len(t.data)
			t.data = append(t.data, value...)
			e = t.data[start+countSize+i*entry:]
			value = t.offset(nil, off)
		}
		if t.big {
			t.order.PutUint64(e[4:], uint64(count))
		} else {
			t.order.PutUint32(e[4:], uint32(count))
		}
		copy(e[entry-width:entry], value)
	}
}

func (t *mediaTIFF) value(tag mediaTag) (b []byte, count int) {
	switch v := tag.value.(type) {
	case string:
		return []byte(v), len(v)
	case []uint16:
		for _, n := range v {
			b = t.order.AppendUint16(b, n)
		}
		return b, len(v)
	case []uint32:
		for _, n := range v {
			b = t.order.AppendUint32(b, n)
		}
		if tag.kind == 5 {
			return b, len(v) / 2
		}
		return b, len(v)
	case []float64:
		b, _ = binary.Append(nil, t.order, v)
		return b, len(v)
	}
	return nil, 0
}

func mediaMust(b bytes.Buffer, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}

func mediaPNG(img image.Image) []byte {
	var b bytes.Buffer
	err := png.Encode(&b, img)
	return mediaMust(b, err)
}

func mediaJPEG(img image.Image) []byte {
	var b bytes.Buffer
	err := jpeg.Encode(&b, img, nil)
	return mediaMust(b, err)
}

// mediaInsert puts b into data at off.
func mediaInsert(data []byte, off int, b ...byte) []byte {
	return append(append(bytes.Clone(data[:off]), b...), data[off:]...)
}

func mediaPNGChunk(kind string, data []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	return append(append(append(b, kind...), data...), "CRC?"...)
}

func mediaRIFF(kind string, chunks ...string) []byte {
	body := kind
	for i := 0; i < len(chunks); i += 2 {
		body += chunks[i] + string(binary.LittleEndian.AppendUint32(nil, uint32(len(chunks[i+1])))) + chunks[i+1]
		if len(chunks[i+1])%2 != 0 {
			body += "\x00"
		}
	}
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

func mediaGIF() []byte {
	var b bytes.Buffer
	g := &gif.GIF{}
	for range 3 {
		g.Image = append(g.Image, image.NewPaletted(image.Rect(0, 0, 9, 7), color.Palette{color.Black, color.White}))
		g.Delay = append(g.Delay, 10)
	}
	err := gif.EncodeAll(&b, g)
	return mediaMust(b, err)
}

func mediaBMP(width, height int32, bits uint16) []byte {
	b := append([]byte("BM"), make([]byte, 12)...)
	b, _ = binary.Append(b, binary.LittleEndian, struct {
		Size          uint32
		Width, Height int32
		Planes, Bits  uint16
		Rest          [6]uint32
	}{40, width, height, 1, bits, [6]uint32{}})
	return append(b, make([]byte, 64)...)
}

const mediaOME = `<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">` +
	`<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="64" SizeY="32" SizeZ="5" SizeC="2" SizeT="3" ` +
	`PhysicalSizeX="0.25" PhysicalSizeXUnit="nm" PhysicalSizeY="0.25" PhysicalSizeZ="1"/></Image></OME>` + "\x00"

func imageFixtures() []mediaFixture {
	rgb := image.NewNRGBA(image.Rect(0, 0, 17, 5))
	opaque := image.NewRGBA(image.Rect(0, 0, 17, 5))
	for i := range opaque.Pix {
		opaque.Pix[i] = 255
	}
	jpg := mediaJPEG(opaque)
	exif := mediaEXIF()
	app1 := append(binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(8+len(exif))), "Exif\x00\x00"...)
	app1 = append(app1, exif...)
	plain := mediaTIFF{order: binary.LittleEndian}
	plain.file(mediaTag{256, 3, []uint16{64}}, mediaTag{257, 4, []uint32{32}}, mediaTag{258, 3, []uint16{16}},
		mediaTag{259, 3, []uint16{5}}, mediaTag{270, 2, mediaOME})
	plain.page(mediaTag{256, 3, []uint16{64}})
	big := mediaTIFF{order: binary.BigEndian, big: true}
	big.file(mediaTag{256, 4, []uint32{100000}}, mediaTag{257, 4, []uint32{50000}},
		mediaTag{258, 3, []uint16{32, 32, 32}}, mediaTag{277, 3, []uint16{3}}, mediaTag{339, 3, []uint16{3, 3, 3}},
		mediaTag{270, 2, "a mosaic\x00"}, mediaTag{33550, 12, []float64{30, 30, 0}},
		mediaTag{33922, 12, []float64{0, 0, 0, 399960, 5300040, 0}},
		mediaTag{34735, 3, []uint16{1, 1, 0, 3, 1024, 0, 1, 1, 1026, 34737, 12, 0, 3072, 0, 1, 32633}},
		mediaTag{34737, 2, "WGS 84 / UTM|\x00"})
	camera := mediaTIFF{order: binary.LittleEndian}
	camera.file(mediaTag{256, 3, []uint16{8}}, mediaTag{257, 3, []uint16{8}}, mediaTag{271, 2, "Scanner\x00"})
	circle := mediaTIFF{order: binary.LittleEndian}
	circle.file(mediaTag{256, 3, []uint16{8}}, mediaTag{257, 3, []uint16{8}})
	copy(circle.data[circle.link():], []byte{8, 0, 0, 0})
	return []mediaFixture{
		{"png rgba", "a.png", mediaPNG(rgb), `{"format": "png", "width": 17, "height": 5, "channels": 4, "bits": 8}`, "image/png", ""},
		{"png grey 16", "a", mediaPNG(image.NewGray16(image.Rect(0, 0, 3, 2))), `{"format": "png", "width": 3, "height": 2, "channels": 1, "bits": 16}`, "image/png", ""},
		{"png animated, with exif", "a.png",
			mediaInsert(mediaPNG(opaque), 33, append(mediaPNGChunk("acTL", []byte{0, 0, 0, 4, 0, 0, 0, 0}), mediaPNGChunk("eXIf", exif)...)...),
			`{"format": "png", "width": 17, "height": 5, "channels": 3, "bits": 8, "frames": 4, ` + mediaEXIFJSON + `}`, "image/png", ""},
		{"png absurd", "a.png", append([]byte("\x89PNG\r\n\x1a\n"), mediaPNGChunk("IHDR", []byte("\xff\xff\xff\xff\xff\xff\xff\xff\x08\x02\x00\x00\x00"))...),
			`{"format": "png"}`, "image/png", "absurd size"},
		{"jpeg", "a.jpg", jpg, `{"format": "jpeg", "width": 17, "height": 5, "channels": 3, "bits": 8}`, "image/jpeg", ""},
		{"jpeg with exif", "a.jpg", mediaInsert(jpg, 2, app1...), `{"format": "jpeg", ` + mediaEXIFJSON + `, "width": 17, "height": 5, "channels": 3, "bits": 8}`, "image/jpeg", ""},
		{"jpeg cut", "a.jpg", jpg[:40], `{"format": "jpeg"}`, "image/jpeg", "cut short"},
		{"gif", "a.gif", mediaGIF(), `{"format": "gif", "width": 9, "height": 7, "channels": 1, "bits": 1, "frames": 3}`, "image/gif", ""},
		{"webp lossy", "a.webp", mediaRIFF("WEBP", "VP8 ", "\x30\x01\x00\x9d\x01\x2a\x40\x01\xf0\x00rest"),
			`{"format": "webp", "channels": 3, "bits": 8, "width": 320, "height": 240}`, "image/webp", ""},
		{"webp lossless", "a.webp", mediaRIFF("WEBP", "VP8L", "\x2f\x0f\xc0\x01\x10rest"),
			`{"format": "webp", "channels": 4, "bits": 8, "width": 16, "height": 8}`, "image/webp", ""},
		{"webp animated", "a.webp", mediaRIFF("WEBP", "VP8X", "\x12\x00\x00\x00\x63\x00\x00\x31\x00\x00", "ANMF", "frame", "ANMF", "frame", "EXIF", string(exif)),
			`{"format": "webp", "channels": 4, "bits": 8, "width": 100, "height": 50, "frames": 2, ` + mediaEXIFJSON + `}`, "image/webp", ""},
		{"bmp", "a.bmp", mediaBMP(12, -34, 24), `{"format": "bmp", "channels": 3, "bits": 8, "width": 12, "height": 34}`, "image/bmp", ""},
		{"tiff, ome", "a.ome.tif", plain.data, `{"format": "tiff", "width": 64, "height": 32, "channels": 1, "bits": 16, "compression": "lzw", ` +
			`"ome.type": "uint16", "ome.size_x": 64, "ome.size_y": 32, "ome.size_z": 5, "ome.size_c": 2, "ome.size_t": 3, ` +
			`"ome.physical_size_x": 0.25, "ome.physical_unit": "nm", "ome.physical_size_y": 0.25, "ome.physical_size_z": 1.0, "pages": 2}`, "image/tiff", ""},
		{"bigtiff, geo", "a.tif", big.data, `{"format": "tiff", "bigtiff": true, "width": 100000, "height": 50000, "channels": 3, "bits": 32, ` +
			`"compression": "none", "sample_format": "float", "description": "a mosaic", "geo.citation": "WGS 84 / UTM", "geo.epsg": 32633, ` +
			`"geo.pixel_scale": [30.0, 30.0], "geo.origin": [399960.0, 5300040.0], "pages": 1}`, "image/tiff", ""},
		{"tiff with exif", "a.tif", camera.data, `{"format": "tiff", "width": 8, "height": 8, "channels": 1, "bits": 1, "compression": "none", "exif.make": "Scanner", "pages": 1}`, "image/tiff", ""},
		{"tiff in a circle", "a.tif", circle.data, `{"format": "tiff", "width": 8, "height": 8, "channels": 1, "bits": 1, "compression": "none"}`, "image/tiff", "circle"},
		{"tiff, its directory at the end", "a.tif", mediaFarTIFF(), `{"format": "tiff", "width": 8, "height": 9, "channels": 1, "bits": 1, "compression": "none", "pages": 1}`, "image/tiff", ""},
		{"tiff, its directory in the midst", "a.tif", append(mediaFarTIFF(), make([]byte, 2<<20)...), `{"format": "tiff"}`, "image/tiff", ""},
		{"avif", "a.avif", mediaAVIF(), `{"format": "avif", "width": 2, "height": 2}`, "image/avif", ""},
	}
}

// mediaFarTIFF has its pixels before its directory, as many writers do.
func mediaFarTIFF() []byte {
	b := binary.LittleEndian.AppendUint32([]byte("II*\x00"), 3<<20)
	b = append(b, make([]byte, 3<<20-len(b))...)
	return append(b, "\x02\x00"+"\x00\x01\x03\x00\x01\x00\x00\x00\x08\x00\x00\x00"+"\x01\x01\x03\x00\x01\x00\x00\x00\x09\x00\x00\x00"+"\x00\x00\x00\x00"...)
}

// mediaAVIF is an image of four pixels.
func mediaAVIF() []byte {
	b, err := base64.StdEncoding.DecodeString("AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAADybWV0YQAAAAAAAAAoaGRscgAAAAAAAAAAcGljdAAAAAAAAAAAAAAAAGxpYmF2aWYAAAAADnBpdG0AAAAAAAEAAAAeaWxvYwAAAABEAAABAAEAAAABAAABGgAAAB0AAAAoaWluZgAAAAAAAQAAABppbmZlAgAAAAABAABhdjAxQ29sb3IAAAAAamlwcnAAAABLaXBjbwAAABRpc3BlAAAAAAAAAAIAAAACAAAAEHBpeGkAAAAAAwgICAAAAAxhdjFDgQ0MAAAAABNjb2xybmNseAACAAIAAYAAAAAXaXBtYQAAAAAAAAABAAEEAQKDBAAAACVtZGF0EgAKCBgANogQEAwgMg8f8D///8WfhwB8+ErK42A=")
	if err != nil {
		panic(err)
	}
	return b
}

func TestImage(t *testing.T) {
	mediaTest(t, imageFormat(Options{}), imageFixtures())
}

// Where a picture was taken is told on request alone.
func TestImageGPS(t *testing.T) {
	for _, fix := range imageFixtures() {
		if !strings.Contains(fix.want, mediaEXIFJSON) {
			continue
		}
		m, err := mediaRun(imageFormat(Options{GPS: true}), fix.path, fix.data)
		want := strings.Replace(fix.want, mediaEXIFJSON, mediaEXIFJSON+mediaGPSJSON, 1)
		if got := string(m.AppendJSON(nil)); got != want || err != nil {
			t.Errorf("%s: got %s, %v\nwant %s", fix.name, got, err, want)
		}
	}
}

// What is not an image is left alone.
func TestImageMatch(t *testing.T) {
	for _, s := range []string{"", "BM, a text about bitmaps of all sorts", "II", "GIF8", "RIFF\x00\x00\x00\x00WAVE", "\x00\x00\x00\x20ftypisom\x00\x00\x00\x00mif1"} {
		if imageFormat(Options{}).Match(mediaFile("a.png", []byte(s))) {
			t.Errorf("%q matches", s)
		}
	}
}

func FuzzImage(f *testing.F) {
	mediaFuzz(f, imageFormat(Options{GPS: true}), imageFixtures())
}
