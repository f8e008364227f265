package extract

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/bep/imagemeta"
)

// Bounds of EXIF: tags that are looked at, and the size of each.
const (
	maxExifTags    = 1000
	maxExifTagSize = 4 << 10
)

func exifKeys() []Key {
	return []Key{
		{"exif.make", "string", "", "maker of the camera"},
		{"exif.model", "string", "", "model of the camera"},
		{"exif.lens", "string", "", "model of the lens"},
		{"exif.software", "string", "", "program that wrote it"},
		{"exif.datetime", "string", "", "when it was taken, as 2006-01-02T15:04:05, with the offset from UTC where it is known"},
		{"exif.exposure", "number", "s", "exposure time"},
		{"exif.aperture", "number", "", "f-number"},
		{"exif.iso", "integer", "", "sensitivity"},
		{"exif.focal_length", "number", "mm", "focal length of the lens"},
		{"exif.orientation", "integer", "", "1 to 8, 1 for upright"},
		{"exif.artist", "string", "", "who made it"},
		{"exif.copyright", "string", "", "whose it is"},
		{"exif.gps.latitude", "number", "degrees", "where it was taken, north is positive; on request only"},
		{"exif.gps.longitude", "number", "degrees", "where it was taken, east is positive; on request only"},
		{"exif.gps.altitude", "number", "m", "height above the sea; on request only"},
	}
}

// exifNames are the tags of EXIF that are looked at (EXIF 3.0, section 4.6).
var exifNames = map[string]bool{
	"Make": true, "Model": true, "LensModel": true, "Software": true, "Artist": true, "Copyright": true,
	"ModifyDate": true, "DateTime": true, "DateTimeOriginal": true, "OffsetTime": true, "OffsetTimeOriginal": true,
	"ExposureTime": true, "FNumber": true, "ISO": true, "FocalLength": true, "Orientation": true,
}

var exifGPSNames = map[string]bool{
	"GPSLatitude": true, "GPSLatitudeRef": true, "GPSLongitude": true, "GPSLongitudeRef": true,
	"GPSAltitude": true, "GPSAltitudeRef": true,
}

// exif reads a block of EXIF, which has the form of a TIFF file. EXIF is
// often damaged by programs that copy it; what can be read is kept, and the
// rest is no cause for a warning about the image.
func (r imageReader) exif(b []byte, m *Meta) {
	r.exifFrom(bytes.NewReader(b), imagemeta.TIFF, m)
}

func (r imageReader) exifFrom(rs io.ReadSeeker, format imagemeta.ImageFormat, m *Meta) imagemeta.ImageConfig {
	tags := map[string]any{}
	res, _ := imagemeta.Decode(imagemeta.Options{
		R: rs, ImageFormat: format, Sources: imagemeta.EXIF | imagemeta.CONFIG,
		LimitNumTags: maxExifTags, LimitTagSize: maxExifTagSize,
		ShouldHandleTag: func(t imagemeta.TagInfo) bool {
			return exifNames[t.Tag] && (t.Namespace == "IFD0" || t.Namespace == "IFD0/ExifIFDP") ||
				r.gps && exifGPSNames[t.Tag] && strings.HasPrefix(t.Namespace, "IFD0/GPS")
		},
		HandleTag: func(t imagemeta.TagInfo) error {
			if _, ok := tags[t.Tag]; !ok {
				tags[t.Tag] = t.Value
			}
			return nil
		},
	})
	setExif(tags, m)
	return res.ImageConfig
}

func setExif(tags map[string]any, m *Meta) {
	for _, t := range []struct{ key, tag string }{
		{"make", "Make"}, {"model", "Model"}, {"lens", "LensModel"}, {"software", "Software"},
	} {
		m.SetString("exif."+t.key, exifText(tags[t.tag]))
	}
	date, offset := exifText(tags["DateTimeOriginal"]), exifText(tags["OffsetTimeOriginal"])
	if date == "" {
		offset = exifText(tags["OffsetTime"])
		if date = exifText(tags["ModifyDate"]); date == "" {
			date = exifText(tags["DateTime"])
		}
	}
	m.SetString("exif.datetime", exifTime(date, offset))
	for _, t := range []struct{ key, tag string }{
		{"exposure", "ExposureTime"}, {"aperture", "FNumber"}, {"focal_length", "FocalLength"},
	} {
		if v, ok := exifNumber(tags[t.tag]); ok && v > 0 {
			m.Set("exif."+t.key, v)
		}
	}
	if v, ok := exifNumber(tags["ISO"]); ok && v > 0 {
		m.Set("exif.iso", int64(v))
	}
	if v, ok := exifNumber(tags["Orientation"]); ok && v >= 1 && v <= 8 {
		m.Set("exif.orientation", int64(v))
	}
	m.SetString("exif.artist", exifText(tags["Artist"]))
	m.SetString("exif.copyright", exifText(tags["Copyright"]))
	setGPS(tags, m)
}

func setGPS(tags map[string]any, m *Meta) {
	lat, ok := exifNumber(tags["GPSLatitude"])
	long, ok2 := exifNumber(tags["GPSLongitude"])
	if ok && ok2 && lat >= 0 && lat <= 90 && long >= 0 && long <= 180 {
		if strings.HasPrefix(exifText(tags["GPSLatitudeRef"]), "S") {
			lat = -lat
		}
		if strings.HasPrefix(exifText(tags["GPSLongitudeRef"]), "W") {
			long = -long
		}
		m.Set("exif.gps.latitude", lat)
		m.Set("exif.gps.longitude", long)
	}
	if alt, ok := exifNumber(tags["GPSAltitude"]); ok {
		if ref, _ := exifNumber(tags["GPSAltitudeRef"]); ref == 1 {
			alt = -alt
		}
		m.Set("exif.gps.altitude", alt)
	}
}

func exifText(v any) string {
	s, _ := v.(string)
	return cleanText([]byte(s))
}

// exifNumber returns a number of any of the types that imagemeta has.
func exifNumber(v any) (float64, bool) {
	switch v := v.(type) {
	case interface{ Float64() float64 }:
		return v.Float64(), true
	case float64:
		return v, true
	case float32:
		return float64(v), true
	case uint8:
		return float64(v), true
	case uint16:
		return float64(v), true
	case uint32:
		return float64(v), true
	case int:
		return float64(v), true
	case int32:
		return float64(v), true
	case string:
		f, err := strconv.ParseFloat(v, 64)
		return f, err == nil
	}
	return 0, false
}

// exifTime turns "2006:01:02 15:04:05" and "+02:00" into ISO 8601, "" if it
// is no time.
func exifTime(date, offset string) string {
	t, err := time.Parse("2006:01:02 15:04:05", date)
	if err != nil {
		return ""
	}
	if z, err := time.Parse("-07:00", offset); err == nil {
		return t.Format("2006-01-02T15:04:05") + z.Format("Z07:00")
	}
	return t.Format("2006-01-02T15:04:05")
}
