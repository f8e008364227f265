package extract

import "slices"

// Options say what formats may tell beyond what is harmless.
type Options struct {
	// GPS lets images tell where they were taken.
	GPS bool
	// Identifying lets formats tell what identifies a person, such as the
	// patient of a DICOM file.
	Identifying bool
	// TempDir is where external extractors get files that have no name on
	// this machine; default that of the system.
	TempDir string
}

// Formats returns all formats, the most particular first: the first that
// matches a file describes it.
func Formats(opts Options) []*Format {
	return slices.Concat(scienceFormats(opts), mediaFormats(opts), tableFormats(opts), compressedFormats())
}
