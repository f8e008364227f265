package standard

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// writeMarkdown writes a data card for people.
func writeMarkdown(ctx context.Context, d *document) ([]string, error) {
	f, err := d.facts(ctx)
	if err != nil {
		return nil, err
	}
	ds, w := d.ds, d.out
	fmt.Fprintf(w, "# %s\n\n", inline(datasetTitle(ds)))
	if ds.Description != "" {
		fmt.Fprintf(w, "%s\n\n", prose(ds.Description))
	}
	w.WriteString("| | |\n| --- | --- |\n")
	row := func(name string, values ...string) {
		if s := strings.Join(values, "<br>"); s != "" {
			fmt.Fprintf(w, "| %s | %s |\n", name, s)
		}
	}
	row("Version", inline(ds.Version))
	row("Creators", each(ds.People(), markdownPerson)...)
	row("Licence", markdownLicense(ds))
	row("Identifier", each(ds.Identifiers, link)...)
	row("Page", link(ds.URL))
	row("Publisher", inline(ds.Publisher))
	if !ds.Contact.IsZero() {
		row("Contact", markdownPerson(ds.Contact))
	}
	row("Keywords", inline(strings.Join(ds.Keywords, ", ")))
	row("Created", inline(ds.DateCreated))
	row("Published", inline(ds.DatePublished))
	row("Modified", inline(ds.DateModified))
	row("Language", inline(strings.Join(ds.Languages, ", ")))
	row("Places", inline(strings.Join(ds.Spatial, ", ")))
	row("Period", inline(ds.Temporal))
	row("Made from", each(ds.Source, link)...)
	row("Funding", each(ds.Funding, inline)...)
	row("Conforms to", each(ds.ConformsTo, link)...)
	row("Size", inline(count(ds.Files, "file")+", "+size(ds.Bytes)))
	if !f.first.IsZero() {
		row("Files dated", f.first.UTC().Format(time.DateOnly)+" to "+f.last.UTC().Format(time.DateOnly))
	}
	row("Digest", "`"+ds.Digest+"`")
	if s := citation(ds); s != "" {
		fmt.Fprintf(w, "\n## How to cite\n\n%s\n", prose(s))
		writeBibTeX(d)
	}
	if len(ds.References) > 0 {
		w.WriteString("\n## References\n\n")
		for _, r := range ds.References {
			fmt.Fprintf(w, "- %s\n", link(r))
		}
	}
	writeContents(d, f)
	return nil, nil
}

// writeBibTeX writes an entry that bibliography programs read.
func writeBibTeX(d *document) {
	ds, w := d.ds, d.out
	var authors []string
	for _, p := range ds.People() {
		name := p.Name
		if p.Family != "" && p.Given != "" {
			name = p.Family + ", " + p.Given
		}
		authors = append(authors, name)
	}
	plain := func(s string) string {
		return strings.Join(strings.Fields(strings.NewReplacer("{", "(", "}", ")", "\\", "/", "`", "'", "%", `\%`, "&", `\&`, "#", `\#`).Replace(tree.Visible(s))), " ")
	}
	when := ""
	if ds.DatePublished != "" {
		when = year(ds)
	}
	fmt.Fprintf(w, "\n```bibtex\n@misc{%s,\n", strings.ReplaceAll(slug(datasetTitle(ds), 40), "/", "-"))
	for _, f := range [][2]string{
		{"author", strings.Join(authors, " and ")}, {"title", datasetTitle(ds)}, {"year", when}, {"publisher", ds.Publisher},
		{"version", ds.Version}, {"doi", ds.DOI()}, {"url", ds.URL},
	} {
		if f[1] != "" {
			fmt.Fprintf(w, "  %s = {%s},\n", f[0], plain(f[1]))
		}
	}
	w.WriteString("}\n```\n")
}

// writeContents writes tables of media types and of columns.
func writeContents(d *document, f *facts) {
	w := d.out
	if len(f.formats) > 0 {
		w.WriteString("\n## Files\n\n| type | files | bytes |\n| --- | ---: | ---: |\n")
		for _, m := range f.formats {
			fmt.Fprintf(w, "| %s | %d | %d |\n", inline(m.media), m.files, m.bytes)
		}
	}
	const most = 20
	for i, t := range f.tables[:min(most, len(f.tables))] {
		if i == 0 {
			w.WriteString("\n## Tables\n\n")
		}
		var columns []string
		for c, name := range t.names[:min(100, len(t.names))] {
			s := inline(name)
			if typ := t.typ(c); typ != "" && typ != "null" {
				s += " (" + inline(typ) + ")"
			}
			columns = append(columns, s)
		}
		if len(t.names) > 100 {
			columns = append(columns, "…")
		}
		fmt.Fprintf(w, "- %s: %s\n", inline(t.path), strings.Join(columns, ", "))
	}
	if n := len(f.tables) - most; n > 0 {
		fmt.Fprintf(w, "- … and more\n")
	}
}

func each[T any](list []T, f func(T) string) []string {
	var out []string
	for _, v := range list {
		out = append(out, f(v))
	}
	return out
}

func markdownPerson(p catalog.Person) string {
	s := inline(p.Name)
	if u := orcidURL(&p); u != "" {
		s = "[" + s + "](" + u + ")"
	}
	if p.Affiliation != "" {
		s += ", " + inline(p.Affiliation)
	}
	if p.Email != "" {
		s += " \\<" + inline(p.Email) + "\\>"
	}
	return s
}

func markdownLicense(ds *catalog.Dataset) string {
	text := inline(licenseText(ds))
	if u := licenseURL(ds); u != "" && text != "" {
		return "[" + text + "](" + u + ")"
	}
	return text
}

// link returns s as a link if it is a URL.
func link(s string) string {
	if !isURL(s) || strings.ContainsAny(s, "()") {
		return inline(s)
	}
	return "<" + strings.ReplaceAll(s, "|", "%7C") + ">"
}

// inline returns text as a piece of a line that means itself.
func inline(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", `\<`, ">", `\>`, "|", `\|`, "#", `\#`,
		"&", `\&`, "!", `\!`, "~", `\~`).Replace(tree.Visible(s))
}

// prose returns text of several paragraphs that means itself.
func prose(s string) string {
	var paragraphs []string
	for p := range strings.SplitSeq(s, "\n\n") {
		p = inline(p)
		// What begins a list or a heading in other places does not here.
		if p != "" && strings.ContainsAny(p[:1], "-+=0123456789") {
			if i := strings.IndexAny(p, "-+=.)"); i >= 0 && i < 10 {
				p = p[:i] + `\` + p[i:]
			}
		}
		if p != "" {
			paragraphs = append(paragraphs, p)
		}
	}
	return strings.Join(paragraphs, "\n\n")
}
