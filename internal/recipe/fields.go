package recipe

// A kind is what the value of a key may be.
type kind int

const (
	text    kind = iota // a string or a number, not empty
	texts               // a list of text, or one of it
	flag                // true or false
	count               // a whole number, not negative
	words               // keys of the user's own with text, which may be empty
	object              // keys of the table
	objects             // a list of objects, or of text
	named               // keys of the user's own with objects, or with text
	person              // an object or text
)

// A field is a key.
type field struct {
	name string
	kind kind
	doc  string   // a sentence
	enum []string // of text: all values
	// fields are those of objects, and short the one that text alone stands
	// for.
	fields []field
	short  string
}

// fields are the keys of a recipe.
func fields() []field {
	return []field{
		{name: "name", kind: text, doc: "NAME[:TAG] of the image, as -t."},
		{name: "sources", kind: objects, short: "src", fields: sourceFields(),
			doc: "Where data comes from: SRC as on the command line, or keys. Paths are relative to the folder of the recipe."},
		{name: "exclude", kind: texts, doc: "Patterns of what is left out, in the syntax of .gitignore, relative to each source."},
		{name: "extract", kind: texts, doc: "What is extracted from files, as --extract."},
		{name: "dataset", kind: object, fields: datasetFields(), doc: "What is said of the dataset."},
		{name: "labels", kind: words, doc: "Labels of the image."},
		{name: "queries", kind: named, short: "sql", fields: queryFields(),
			doc: "Questions with a name, for -q of the entrypoint: SQL, or keys."},
		{name: "packing", kind: object, fields: packingFields(), doc: "How the image is made."},
	}
}

func sourceFields() []field {
	return []field{
		{name: "path", kind: text, doc: "A folder, an archive or another file."},
		{name: "image", kind: text, doc: "An image: of a data container its data, of any other all its files."},
		{name: "url", kind: text, doc: "The address of a file, with http or https. It needs a digest."},
		{name: "digest", kind: text, doc: "sha256: and the hex digest of the file."},
		{name: "to", kind: text, doc: "The folder of the dataset that the data is put into."},
		{name: "folder", kind: text, doc: "The only folder of the source to take."},
		{name: "exclude", kind: texts, doc: "Patterns beside those of the recipe."},
		{name: "unpack", kind: flag, doc: "Whether an archive is unpacked, which is the default."},
	}
}

func datasetFields() []field {
	return []field{
		{name: "title", kind: text, doc: "Its title."},
		{name: "description", kind: text, doc: "What it is, in some sentences."},
		{name: "license", kind: text, doc: "Its licence, an SPDX expression such as CC-BY-4.0."},
		{name: "version", kind: text, doc: "Its version."},
		{name: "author", kind: text, doc: "Who made it, in a line."},
		{name: "creators", kind: objects, short: "text", fields: personFields(), doc: "Those who made it."},
		{name: "publisher", kind: text, doc: "Who publishes it."},
		{name: "contact", kind: person, short: "text", fields: personFields(), doc: "Whom to ask."},
		{name: "keywords", kind: texts, doc: "Words that it is found by."},
		{name: "doi", kind: text, doc: "Its DOI."},
		{name: "url", kind: text, doc: "The address of its web page."},
		{name: "derived-from", kind: texts, doc: "URLs or words for what it was made from."},
		{name: "published", kind: text, doc: "The date that it was published, such as 2026-11-25."},
		{name: "describe", kind: flag, doc: "Whether files in the data such as README describe it, too, which is the default."},
	}
}

func personFields() []field {
	return []field{
		{name: "name", kind: text, doc: "The name."},
		{name: "email", kind: text, doc: "The address."},
		{name: "orcid", kind: text, doc: "The ORCID, such as 0000-0002-1825-0097."},
	}
}

func queryFields() []field {
	return []field{
		{name: "description", kind: text, doc: "What it answers; the first line is in the help."},
		{name: "sql", kind: text, doc: "A statement that reads. It may have parameters :NAME."},
		{name: "get", kind: text, doc: "Files with this path, as -get."},
		{name: "text", kind: text, doc: "Files with these words, as -text."},
		{name: "where", kind: text, doc: "Files for which this is true, as -where."},
		{name: "metric", kind: text, doc: "As -metric."},
		{name: "search", kind: text, doc: "As -search."},
		{name: "order", kind: text, doc: "The metric to order by, as -order."},
		{name: "desc", kind: flag, doc: "From the end."},
		{name: "limit", kind: count, doc: "At most so many files."},
	}
}

func packingFields() []field {
	return []field{
		{name: "compression", kind: text, enum: []string{"gzip", "zstd", "none"}, doc: "Of layers."},
		{name: "prefix", kind: text, doc: "The folder of the data in the image."},
		{name: "arch", kind: texts, doc: "Architectures that the image runs on."},
		{name: "text", kind: flag, doc: "Whether there is a full-text index, which is the default."},
		{name: "preserve", kind: flag, doc: "Whether owners, modes, nanoseconds and extended attributes are kept."},
		{name: "volume", kind: flag, doc: "Whether the data folder is declared a volume."},
		{name: "strict", kind: flag, doc: "Whether what cannot be read is an error, instead of being left out."},
	}
}

// otherNames are keys that people try, and what is meant.
func otherNames() map[string]string {
	return map[string]string{
		"tag": "name", "image": "name", "source": "sources", "src": "sources", "from": "sources", "ignore": "exclude",
		"excludes": "exclude", "extractors": "extract", "metadata": "dataset", "label": "labels", "query": "queries", "pack": "packing",
		"licence": "license", "authors": "creators", "creator": "creators", "keyword": "keywords", "homepage": "url", "website": "url",
		"file": "path", "dir": "path", "sha256": "digest", "checksum": "digest", "target": "to", "subfolder": "folder",
		"mail": "email", "statement": "sql", "compress": "compression",
	}
}
