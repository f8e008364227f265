package extract

import "slices"

// Formats returns all formats, the most particular first: the first that
// matches a file describes it.
func Formats() []*Format {
	return slices.Concat(scienceFormats(), mediaFormats(), tableFormats())
}
