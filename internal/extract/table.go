package extract

// tableFormats returns the formats of this group, the most particular first.
func tableFormats(Options) []*Format {
	return []*Format{parquetFormat(), arrowFormat(), sqliteFormat(), notebookFormat(), geojsonFormat(), jsonlFormat(), jsonFormat(), yamlFormat(), csvFormat(), textFormat()}
}
