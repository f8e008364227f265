package extract

// mediaFormats returns the formats of this group, the most particular first.
func mediaFormats() []*Format {
	return []*Format{}
}
