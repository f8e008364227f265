package image

import (
	"encoding/json"
	"strconv"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Summary is what the annotations of a data container tell of it.
type Summary struct {
	Digest      string
	Title       string
	Description string
	Version     string
	License     string
	Files       int64
	Bytes       int64     // of all files
	Created     time.Time // zero if it is not told
}

// Summarize reads the annotations of the manifest or index root. It says if
// they are those of a data container.
func Summarize(root ocispec.Descriptor, doc []byte) (Summary, bool) {
	var m struct {
		Annotations map[string]string `json:"annotations"`
	}
	if json.Unmarshal(doc, &m) != nil || m.Annotations[LabelFormat] == "" {
		return Summary{}, false
	}
	a := m.Annotations
	s := Summary{
		Digest:      root.Digest.String(),
		Title:       a[ocispec.AnnotationTitle],
		Description: a[ocispec.AnnotationDescription],
		Version:     a[ocispec.AnnotationVersion],
		License:     a[ocispec.AnnotationLicenses],
	}
	// What is not told well is not told.
	s.Files, _ = strconv.ParseInt(a[LabelFiles], 10, 64)
	s.Bytes, _ = strconv.ParseInt(a[LabelBytes], 10, 64)
	s.Created, _ = time.Parse(time.RFC3339, a[ocispec.AnnotationCreated])
	return s, true
}
