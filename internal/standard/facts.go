package standard

import (
	"cmp"
	"context"
	"encoding/hex"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/tree"
)

// A mediaCount counts the files of one media type.
type mediaCount struct {
	media string
	files int64
	bytes int64
	exts  []string // extensions that such files have, at most 20
}

// facts are what one pass over the rows tells.
type facts struct {
	formats     []*mediaCount // the most files first
	first, last time.Time     // of the files' times
	variables   []string      // names of columns, each once
	tables      []*table
}

// A table is a file whose columns are known.
type table struct {
	path, media  string
	size         int64
	sha256       string
	names, types []string
	delimiter    string
	noHeader     bool
}

// files yields the regular files.
func (d *document) files(ctx context.Context, f func(*catalog.Entry) error) error {
	for e, err := range d.db.Entries(ctx, "") {
		if err != nil {
			return err
		}
		if e.Type == tree.File && e.Path != "" {
			if err := f(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// facts makes the pass.
func (d *document) facts(ctx context.Context) (*facts, error) {
	f := &facts{}
	byMedia := map[string]*mediaCount{}
	seen := map[string]bool{}
	err := d.files(ctx, func(e *catalog.Entry) error {
		media := mediaType(e)
		m := byMedia[media]
		if m == nil {
			if len(byMedia) >= maxFormats {
				media = octets
				m = byMedia[media]
			}
			if m == nil {
				m = &mediaCount{media: media}
				byMedia[media] = m
			}
		}
		m.files++
		m.bytes += e.Size
		if ext := extension(e.Path); len(m.exts) < 20 && !slices.Contains(m.exts, ext) {
			m.exts = append(m.exts, ext)
		}
		if f.first.IsZero() || e.ModTime.Before(f.first) {
			f.first = e.ModTime
		}
		if e.ModTime.After(f.last) {
			f.last = e.ModTime
		}
		if len(f.tables) < maxTables || len(f.variables) < maxVariables {
			f.addTable(e, seen)
		}
		return nil
	})
	for _, m := range byMedia {
		slices.Sort(m.exts)
		f.formats = append(f.formats, m)
	}
	slices.SortFunc(f.formats, func(a, b *mediaCount) int {
		return cmp.Or(cmp.Compare(b.files, a.files), cmp.Compare(a.media, b.media))
	})
	return f, err
}

func (f *facts) addTable(e *catalog.Entry, seen map[string]bool) {
	t := tableOf(e)
	if t == nil {
		return
	}
	if len(f.tables) < maxTables {
		f.tables = append(f.tables, t)
	}
	if t.noHeader {
		return
	}
	for _, name := range t.names {
		if len(f.variables) < maxVariables && !seen[name] {
			seen[name] = true
			f.variables = append(f.variables, name)
		}
	}
}

// tableOf returns the table that e is, or nil.
func tableOf(e *catalog.Entry) *table {
	if !strings.Contains(e.Meta, `"csv.columns"`) {
		return nil
	}
	names := catalog.ParseStrings(e.Value("csv.columns"))
	if len(names) == 0 {
		return nil
	}
	t := &table{
		path: e.Path, media: mediaType(e), size: e.Size, sha256: hex.EncodeToString(e.SHA256[:]),
		names: names[:min(len(names), maxColumns)], types: catalog.ParseStrings(e.Value("csv.types")),
		delimiter: e.Value("csv.delimiter"), noHeader: e.Value("csv.header") == "false",
	}
	return t
}

// typ returns the type of a column: boolean, integer, number, date, datetime
// or string.
func (t *table) typ(i int) string {
	if i < len(t.types) {
		return t.types[i]
	}
	return ""
}

const octets = "application/octet-stream"

// mediaType returns what the catalog has for e, or what its name suggests.
func mediaType(e *catalog.Entry) string {
	if t := e.Value("mime.type"); t != "" && len(t) < 200 && strings.Count(t, "/") == 1 && !strings.ContainsAny(t, "\"\\\n\r") {
		return t
	}
	ext := extension(e.Path)
	for pair := range strings.FieldsSeq(mediaTypes) {
		if name, media, _ := strings.Cut(pair, "="); name == ext {
			return media
		}
	}
	if slices.Contains([]string{"README", "CHANGES", "LICENSE", "LICENCE", "COPYING", "AUTHORS", "NOTICE"}, path.Base(e.Path)) {
		return "text/plain"
	}
	return octets
}

// extension returns the extension of a path in lower case, with that before
// .gz, or "".
func extension(p string) string {
	name := strings.ToLower(path.Base(p))
	ext := path.Ext(name)
	if len(ext) > 20 || ext == name {
		return ""
	}
	if ext == ".gz" {
		if inner := path.Ext(strings.TrimSuffix(name, ext)); inner != "" && len(inner) <= 20 {
			return inner + ext
		}
	}
	return ext
}

// mediaTypes are those of the extensions that data has most.
const mediaTypes = `.csv=text/csv .tsv=text/tab-separated-values .txt=text/plain .md=text/markdown .json=application/json
	.jsonl=application/x-ndjson .xml=application/xml .html=text/html .yaml=application/yaml .yml=application/yaml .pdf=application/pdf
	.png=image/png .jpg=image/jpeg .jpeg=image/jpeg .tif=image/tiff .tiff=image/tiff .gif=image/gif .svg=image/svg+xml .webp=image/webp
	.wav=audio/wav .mp3=audio/mpeg .mp4=video/mp4 .zip=application/zip .gz=application/gzip .nii.gz=application/gzip .tsv.gz=application/gzip
	.csv.gz=application/gzip .tar=application/x-tar .tar.gz=application/gzip .parquet=application/vnd.apache.parquet .h5=application/x-hdf5
	.nc=application/x-netcdf .dcm=application/dicom .geojson=application/geo+json .cff=application/yaml .py=text/x-python .jsonld=application/ld+json`

// summary is a sentence about what there is.
func (d *document) summary(f *facts) string {
	s := "The dataset has " + count(d.ds.Files, "file") + " (" + size(d.ds.Bytes) + ")"
	for i, m := range f.formats[:min(3, len(f.formats))] {
		sep := ", "
		if i == 0 {
			sep = ", among them "
		}
		s += sep + count(m.files, "file") + " of type " + m.media
	}
	return s + "."
}

// description returns the description, which has the least and the most
// characters that search engines take.
func (d *document) description(f *facts) string {
	const least, most = 50, 5000
	s := d.ds.Description
	if len([]rune(s)) < least {
		s = strings.TrimSpace(s + "\n\n" + d.summary(f))
	}
	return cut(s, most)
}
