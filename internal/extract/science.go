package extract

// scienceFormats returns the formats of this group, the most particular first.
func scienceFormats(Options) []*Format {
	return []*Format{}
}
