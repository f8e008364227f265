package extract

func notebookFormat() *Format {
	return &Format{
		Name:      "notebook",
		Version:   1,
		MediaType: "application/x-ipynb+json",
		Keys: []Key{
			{"nbformat", "integer", "", "major version of the format"},
			{"cells", "integer", "", "number of cells"},
			{"code_cells", "integer", "", "cells of code"},
			{"markdown_cells", "integer", "", "cells of text"},
			{"language", "string", "", "programming language"},
			{"kernel", "string", "", "name of the kernel"},
		},
		Match: func(f *File) bool {
			b := afterMark(f.Head)
			return f.HasSuffix(".ipynb") && len(b) > 0 && b[0] == '{'
		},
		Stream: func(f *File) Stream { return newJSONStream(f, &notebookSummary{}, 3) },
	}
}

// A notebookSummary describes a Jupyter notebook: an object of "cells", an
// array, and "metadata".
type notebookSummary struct {
	path                  [4]string // the last keys at depth 1 to 3
	format                int64
	cells, code, markdown int64
	language, kernel      string
}

func (s *notebookSummary) key(depth int, text []byte) {
	if depth < len(s.path) && s.path[depth] != string(text) {
		s.path[depth] = string(text)
	}
}

func (s *notebookSummary) value(depth int, t jsonType, text []byte) {
	switch {
	case depth == 1 && s.path[1] == "nbformat" && t == jsonInteger:
		s.format = parseNumber(text, 0).integer
	case depth == 2 && s.path[1] == "cells":
		s.cells++
	case depth == 3 && s.path[1] == "cells" && s.path[3] == "cell_type":
		switch string(text) {
		case "code":
			s.code++
		case "markdown":
			s.markdown++
		}
	case depth == 3 && s.path[1] == "metadata" && t == jsonString:
		switch s.path[2] + "." + s.path[3] {
		case "language_info.name":
			s.language = jsonText(text)
		case "kernelspec.name":
			s.kernel = jsonText(text)
		case "kernelspec.language":
			if s.language == "" {
				s.language = jsonText(text)
			}
		}
	}
}

func (s *notebookSummary) end(depth int) {
	for d := depth + 1; d < len(s.path); d++ {
		s.path[d] = ""
	}
}

func (s *notebookSummary) summarize(_ *jsonScanner, m *Meta) {
	m.Set("nbformat", s.format)
	m.Set("cells", s.cells)
	m.Set("code_cells", s.code)
	m.Set("markdown_cells", s.markdown)
	m.SetString("language", s.language)
	m.SetString("kernel", s.kernel)
}
