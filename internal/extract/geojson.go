package extract

import (
	"bytes"
	"math"
	"slices"
)

func geojsonFormat() *Format {
	return &Format{
		Name:      "geojson",
		Version:   1,
		MediaType: "application/geo+json",
		Keys: []Key{
			{"type", "string", "", "type of the whole: FeatureCollection, Feature or that of a geometry"},
			{"features", "integer", "", "number of features"},
			{"geometries", "array of string", "", "types of the geometries"},
			{"bbox", "array of number", "degrees", "west, south, east and north of all coordinates"},
			{"properties", "array of object", "", "each property of the features, the first 1000: name, types, count (features that have it)"},
		},
		Match:  matchGeoJSON,
		Stream: func(f *File) Stream { return newJSONStream(f, newGeoSummary(), 8) },
	}
}

// matchGeoJSON takes objects with a type of RFC 7946 and what belongs to it.
func matchGeoJSON(f *File) bool {
	b := afterMark(f.Head)
	if len(b) == 0 || b[0] != '{' {
		return false
	}
	if f.HasSuffix(".geojson") {
		return true
	}
	if !f.HasSuffix(".json") {
		return false
	}
	b = b[:min(len(b), jsonSample)]
	if !bytes.Contains(b, []byte(`"type"`)) { // it spares most files another scan
		return false
	}
	s := newGeoSummary()
	scanner := jsonScanner{handler: s, capture: 1}
	if scanner.scan(b) != nil {
		return false
	}
	return s.typ != "" && s.member
}

// isGeometry says if t is a type of geometry (RFC 7946, section 1.4).
func isGeometry(t string) bool {
	return slices.Contains([]string{"Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection"}, t)
}

// What the value of the last key of GeoJSON is.
const (
	geoOther = iota
	geoType
	geoCoordinates
	geoProperties
)

// A geoSummary describes GeoJSON.
type geoSummary struct {
	typ        string
	member     bool // features, geometry, geometries or coordinates was at the top
	last       int  // see above
	features   int64
	geometries []string
	coords     int // depth of the coordinates that are open, -1 for none
	props      int // depth of the properties that are open, -1 for none
	axis       int // of the next number of a position
	low, high  [2]float64
	properties jsonFields
}

func newGeoSummary() *geoSummary {
	inf := math.Inf(1)
	return &geoSummary{coords: -1, props: -1, low: [2]float64{inf, inf}, high: [2]float64{-inf, -inf}}
}

func (s *geoSummary) key(depth int, text []byte) {
	if s.props >= 0 {
		if depth == s.props+1 {
			s.properties.key(text)
		}
		return
	}
	s.last = geoOther
	switch string(text) {
	case "type":
		s.last = geoType
	case "coordinates":
		s.last = geoCoordinates
	case "properties":
		if depth == 1 || depth == 3 {
			s.last = geoProperties
		}
	}
	if depth == 1 && !s.member {
		for _, k := range []string{"features", "geometry", "geometries", "coordinates"} {
			s.member = s.member || bytes.Equal(text, []byte(k))
		}
	}
}

func (s *geoSummary) value(depth int, t jsonType, text []byte) {
	switch {
	case s.props >= 0:
		if depth == s.props+1 {
			s.properties.value(t)
		}
	case s.coords >= 0:
		if t == jsonInteger || t == jsonNumber {
			s.position(text)
		} else {
			s.axis = 0
		}
	case s.last == geoType && t == jsonString:
		s.addType(depth, string(text))
	case s.last == geoCoordinates && t == jsonArray:
		s.coords, s.axis = depth, 0
	case s.last == geoProperties && t == jsonObject:
		s.props = depth
		s.properties.record()
	}
	s.last = geoOther
}

func (s *geoSummary) addType(depth int, t string) {
	known := isGeometry(t) || t == "Feature" || t == "FeatureCollection"
	if depth == 1 && known {
		s.typ = t
	}
	if t == "Feature" {
		s.features++
	}
	if isGeometry(t) && !slices.Contains(s.geometries, t) {
		s.geometries = append(s.geometries, t)
	}
}

// position takes one number of a position: x, y, and what may follow.
func (s *geoSummary) position(text []byte) {
	if s.axis < 2 {
		v := parseNumber(text, 0)
		x := v.number
		if v.kind == isInteger {
			x = float64(v.integer)
		}
		s.low[s.axis], s.high[s.axis] = min(s.low[s.axis], x), max(s.high[s.axis], x)
	}
	s.axis++
}

func (s *geoSummary) end(depth int) {
	if depth == s.coords {
		s.coords = -1
	}
	if depth == s.props {
		s.props = -1
	}
	s.axis = 0
}

func (s *geoSummary) summarize(_ *jsonScanner, m *Meta) {
	m.SetString("type", s.typ)
	m.Set("features", s.features)
	slices.Sort(s.geometries)
	if len(s.geometries) > 0 {
		m.Set("geometries", s.geometries)
	}
	if box := []float64{s.low[0], s.low[1], s.high[0], s.high[1]}; !slices.ContainsFunc(box, func(x float64) bool { return math.IsInf(x, 0) }) {
		m.Set("bbox", box)
	}
	s.properties.set(m, "properties")
}
