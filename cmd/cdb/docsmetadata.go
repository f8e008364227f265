package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/data-containers/cdb/internal/extract"
)

// writeMetadataDocs prints all keys that a build can find.
func writeMetadataDocs(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`# Metadata

Every key that ` + "`cdb build`" + ` can find of a file, and by what. This page is made from
the extractors by ` + "`make docs`" + `.

A file is described by the first format that recognises it, by its content and then
by its name; the formats are below in the order in which they are asked. Contexts
describe files by the layout of the whole dataset. ` + "`--extract`" + ` selects among them:
names, ` + "`default`" + `, ` + "`all`" + `, ` + "`basic`" + ` for nothing, ` + "`-NAME`" + ` to drop one. The version of
each that was used is recorded in the catalog; where it is another one now, a build
reads files again.

## Of every file

`)
	writeKeys(&b, "", []extract.Key{
		{Name: "size", Type: "integer", Unit: "bytes", Doc: "always there"},
		{Name: "sha256", Type: "string", Doc: "digest of the bytes, in hexadecimal; always there"},
		{Name: "mime.type", Type: "string", Doc: "media type, unless that is plain text or unknown; the selection mime"},
		{Name: extract.WarningsKey, Type: "array of string", Doc: "why there is less metadata than there could be"},
	})
	written := map[string]bool{}
	formats := extract.Formats(extract.Options{GPS: true, Identifying: true})
	for _, f := range formats {
		if written[f.Name] {
			continue
		}
		written[f.Name] = true
		var types []string
		var keys []extract.Key
		seen := map[string]bool{}
		for _, same := range formats { // one name may stand for several kinds of files
			if same.Name != f.Name {
				continue
			}
			if t := same.MediaType; t != "" && !seen["type "+t] {
				seen["type "+t] = true
				types = append(types, "`"+t+"`")
			}
			for _, k := range same.Keys {
				if !seen[k.Name] {
					seen[k.Name] = true
					keys = append(keys, k)
				}
			}
		}
		what := selected(f.OnRequest)
		if len(types) > 0 {
			what = strings.Join(types, ", ") + "; " + what
		}
		fmt.Fprintf(&b, "\n## %s\n\nFormat, version %d: %s.\n\n", f.Name, f.Version, what)
		writeKeys(&b, f.Name+".", keys)
	}
	for _, c := range extract.Contexts(extract.Options{}) {
		fmt.Fprintf(&b, "\n## %s\n\nContext, version %d: %s.\n\n", c.Name, c.Version, selected(c.OnRequest))
		writeKeys(&b, "", c.Keys)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func selected(onRequest bool) string {
	if onRequest {
		return "on request"
	}
	return "by default"
}

// writeKeys prints a table of keys.
func writeKeys(b *strings.Builder, prefix string, keys []extract.Key) {
	if len(keys) == 0 {
		b.WriteString("It has no keys of its own.\n")
		return
	}
	b.WriteString("| key | type | unit | |\n| --- | --- | --- | --- |\n")
	for _, k := range keys {
		fmt.Fprintf(b, "| `%s%s` | %s | %s | %s |\n", prefix, k.Name, k.Type, k.Unit, strings.ReplaceAll(k.Doc, "|", `\|`))
	}
}
