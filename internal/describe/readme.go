package describe

import (
	"regexp"
	"slices"
	"strings"

	"github.com/data-containers/cdb/internal/catalog"
)

// maxAbstract is how much of a paragraph becomes a description, in
// characters: as much as search engines take.
const maxAbstract = 5000

// readReadme reads the title and the first paragraph of a README in Markdown,
// reStructuredText or plain text, and the dataset card that may stand before
// them (YAML between lines of dashes, as Hugging Face has it).
func readReadme(b []byte) (*catalog.Dataset, error) {
	text := clean(string(b[:min(len(b), maxText)]))
	ds := &catalog.Dataset{}
	var err error
	if rest, ok := strings.CutPrefix(text, "---\n"); ok {
		if card, after, ok := strings.Cut(rest, "\n---\n"); ok {
			text = after
			err = readCard(ds, card)
		}
	}
	r := &readme{title: ds.Title}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines) && r.abstract == ""; i++ {
		next := ""
		if i+1 < len(lines) {
			next = lines[i+1]
		}
		i += r.line(lines[i], next)
	}
	r.end()
	ds.Title, ds.Description = r.title, r.abstract
	return ds, err
}

// readCard reads a dataset card.
func readCard(ds *catalog.Dataset, card string) error {
	v, err := parseYAML([]byte(card))
	if err != nil {
		return err
	}
	ds.Title = line(v.get("pretty_name").text())
	ds.Languages = v.get("language").texts()
	ds.Keywords = v.get("tags").texts()
	if licenses := v.get("license").texts(); len(licenses) == 1 {
		ds.License = LicenseID(licenses[0])
	}
	return nil
}

// A readme is what was found so far.
type readme struct {
	title, abstract string
	paragraph       []string
	fence           string // that a block of code ends with
	comment         bool
}

// line takes one line, and says how many of those behind it are used up.
func (r *readme) line(s, next string) int {
	trimmed := strings.TrimSpace(s)
	switch {
	case r.fence != "":
		if strings.HasPrefix(trimmed, r.fence) {
			r.fence = ""
		}
		return 0
	case r.comment || strings.HasPrefix(trimmed, "<!--"):
		r.comment = !strings.Contains(trimmed, "-->")
		return 0
	case strings.HasPrefix(trimmed, "```") || strings.HasPrefix(trimmed, "~~~"):
		r.end()
		r.fence = trimmed[:3]
		return 0
	case trimmed == "":
		r.end()
		return 0
	case isRule(trimmed): // above a heading of reStructuredText, or a break
		r.end()
		return 0
	case strings.HasPrefix(trimmed, "#"):
		r.end()
		r.heading(strings.Trim(trimmed, "# \t"))
		return 0
	case len(r.paragraph) == 0 && isRule(strings.TrimSpace(next)):
		r.heading(trimmed)
		return 1
	}
	r.paragraph = append(r.paragraph, trimmed)
	return 0
}

// isRule says if a line is an underline: one character, again and again.
func isRule(s string) bool {
	return len(s) >= 3 && strings.ContainsRune("=-~^*\"'`+#", rune(s[0])) && strings.Trim(s, s[:1]) == ""
}

// heading takes a heading for the title unless it is one that any README has.
func (r *readme) heading(s string) {
	s = line(plain(s))
	generic := []string{"readme", "overview", "introduction", "about", "description", "summary", "abstract", "dataset", "data", "details",
		"contents", "table of contents", "background", "general information", "details related to access to the data"}
	if r.title == "" && s != "" && !slices.Contains(generic, strings.Trim(strings.ToLower(s), ".:")) {
		r.title = s
	}
}

// end takes a paragraph for the abstract if it is prose: a few words with
// letters, no badges, lists, tables or directives.
func (r *readme) end() {
	lines := r.paragraph
	r.paragraph = nil
	if len(lines) == 0 || r.abstract != "" {
		return
	}
	first := lines[0]
	for _, mark := range []string{"|", "- ", "* ", "+ ", "1. ", "..", ":", "<", "![", "[!["} {
		if strings.HasPrefix(first, mark) {
			return
		}
	}
	s := line(plain(strings.Join(lines, " ")))
	if len(strings.Fields(s)) < 4 {
		return
	}
	if runes := []rune(s); len(runes) > maxAbstract {
		s = string(runes[:maxAbstract-1]) + "…"
	}
	r.abstract = s
}

// plain takes the marks of Markdown and reStructuredText out of a text.
func plain(s string) string {
	for _, re := range []struct{ pattern, with string }{
		{`!\[[^\]]*\]\([^)]*\)`, ""},
		{`\[([^\]]+)\]\([^)]*\)`, "$1"},
		{"`([^`<]+) ?<[^>]*>`_+", "$1"},
		{"`+([^`]+)`+_*", "$1"},
		{`\*\*([^*]+)\*\*`, "$1"},
		{`\*([^*]+)\*`, "$1"},
		{`</?[a-zA-Z][a-zA-Z0-9]*(\s[^>]*)?/?>`, ""},
	} {
		s = regexp.MustCompile(re.pattern).ReplaceAllString(s, re.with)
	}
	return s
}
