package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	cdb "github.com/data-containers/cdb"
	"github.com/data-containers/cdb/internal/catalog"
	"github.com/data-containers/cdb/internal/recipe"
)

// A recipeUse is a recipe on its way into the options of a build.
type recipeUse struct {
	*recipe.Recipe
	flags *pflag.FlagSet
	given map[string]bool // the flags on the command line
}

// useRecipe reads the recipe that --recipe names, or the one that is there if
// the command line names no source, and sets all flags that were not given.
// It returns nil if there is none.
func useRecipe(file string, found bool, flags *pflag.FlagSet) (*recipeUse, error) {
	if file == "" {
		if !found {
			return nil, nil
		}
		if _, err := os.Stat(recipe.Name); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		file = recipe.Name
	}
	r, err := recipe.Read(file)
	if err != nil {
		return nil, err
	}
	u := &recipeUse{Recipe: r, flags: flags, given: map[string]bool{}}
	flags.Visit(func(f *pflag.Flag) { u.given[f.Name] = true })
	return u, u.setFlags()
}

// sayAll prints all errors of a list but the last, which it returns.
func (a *app) sayAll(err error) error {
	list, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	errs := list.Unwrap()
	last := len(errs) - 1
	for _, e := range errs[:last] {
		a.talk.Warn("%v", e)
	}
	return errs[last]
}

// setFlags gives the flags their values.
func (u *recipeUse) setFlags() error {
	ds, p := &u.Dataset, &u.Packing
	var creators []string
	for _, c := range ds.Creators {
		creators = append(creators, c.String())
	}
	contact := ""
	if ds.Contact != nil {
		contact = ds.Contact.String()
	}
	var labels []string
	for _, k := range slices.Sorted(maps.Keys(u.Labels)) {
		if strings.Contains(k, "=") {
			return u.At("labels."+k, errors.New("a label has no = in its name"))
		}
		labels = append(labels, k+"="+u.Labels[k])
	}
	for _, s := range []struct {
		path, flag string
		values     []string
	}{
		{"name", "tag", one(u.Image)},
		{"exclude", "exclude", u.Exclude},
		{"extract", "extract", u.Extract},
		{"dataset.title", "title", one(ds.Title)},
		{"dataset.description", "description", one(strings.TrimRight(ds.Description, "\n"))},
		{"dataset.license", "license", one(ds.License)},
		{"dataset.version", "version", one(ds.Version)},
		{"dataset.author", "author", one(ds.Author)},
		{"dataset.creators", "creator", creators},
		{"dataset.publisher", "publisher", one(ds.Publisher)},
		{"dataset.contact", "contact", one(contact)},
		{"dataset.keywords", "keyword", ds.Keywords},
		{"dataset.doi", "doi", one(ds.DOI)},
		{"dataset.url", "url", one(ds.URL)},
		{"dataset.derived-from", "source", ds.DerivedFrom},
		{"dataset.published", "published", one(ds.Published)},
		{"dataset.describe", "no-describe", no(ds.Describe)},
		{"labels", "label", labels},
		{"packing.compression", "compression", one(p.Compression)},
		{"packing.prefix", "prefix", one(p.Prefix)},
		{"packing.arch", "arch", p.Arch},
		{"packing.text", "no-text", no(p.Text)},
		{"packing.preserve", "preserve", yes(p.Preserve)},
		{"packing.volume", "volume", yes(p.Volume)},
		{"packing.strict", "strict", yes(p.Strict)},
	} {
		if err := u.set(s.flag, s.values); err != nil {
			return u.At(s.path, err)
		}
	}
	return nil
}

// set sets a flag, unless the command line did. What adds up on the command
// line adds up here.
func (u *recipeUse) set(name string, values []string) error {
	if len(values) == 0 {
		return nil
	}
	adds := name == "exclude" || name == "label"
	if u.given[name] && !adds {
		return nil
	}
	f := u.flags.Lookup(name)
	if f == nil {
		return errors.New("this release of cdb does not know it yet")
	}
	if list, ok := f.Value.(pflag.SliceValue); ok {
		if adds {
			// The command line comes last, so it wins.
			values = append(slices.Clone(values), list.GetSlice()...)
		}
		return list.Replace(values)
	}
	return f.Value.Set(values[0])
}

// one is a list of s, unless that is empty.
func one(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func yes(b *bool) []string {
	if b == nil {
		return nil
	}
	return []string{strconv.FormatBool(*b)}
}

// no is for flags that say the opposite.
func no(b *bool) []string {
	if b == nil {
		return nil
	}
	return []string{strconv.FormatBool(!*b)}
}

// sources returns those of the recipe.
func (u *recipeUse) sources() ([]cdb.Source, error) {
	var list []cdb.Source
	for i := range u.Sources {
		src, err := u.source(&u.Sources[i])
		if err == nil {
			err = src.Check()
		}
		if err != nil {
			return nil, u.At(fmt.Sprintf("sources[%d]", i), err)
		}
		list = append(list, src)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: it names no sources, and neither does the command line", u.File)
	}
	return list, nil
}

func (u *recipeUse) source(s *recipe.Source) (cdb.Source, error) {
	src := cdb.Source{
		Path: s.Path, Image: s.Image, URL: s.URL, Digest: s.Digest, To: s.To, Folder: s.Folder, Exclude: s.Exclude,
		Keep: s.Unpack != nil && !*s.Unpack,
	}
	if s.Src != "" {
		var err error
		if src, err = cdb.ParseSource(s.Src); err != nil {
			return src, err
		}
	}
	if src.Path != "" {
		src.Path = u.rebase(src.Path)
	}
	transport, path, ok := strings.Cut(src.Image, ":")
	if ok && slices.Contains([]string{"oci", "oci-archive", "docker-archive", "sif"}, transport) {
		src.Image = transport + ":" + u.rebase(path)
	}
	return src, nil
}

// rebase returns a path that is relative to the folder of the recipe as one
// that is relative to this process. It never looks like the name of an image.
func (u *recipeUse) rebase(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	path = filepath.Join(filepath.Dir(u.File), path)
	if filepath.IsAbs(path) || path == "." || strings.HasPrefix(path, "../") {
		return path
	}
	return "./" + path
}

// queries returns the named queries.
func (u *recipeUse) queries() (map[string]catalog.NamedQuery, error) {
	named := map[string]catalog.NamedQuery{}
	for _, name := range slices.Sorted(maps.Keys(u.Queries)) {
		q := catalog.NamedQuery(u.Queries[name])
		err := catalog.CheckQueryName(name)
		if err == nil {
			err = q.Check()
		}
		if err != nil {
			return nil, u.At("queries."+name, err)
		}
		q.Description = strings.TrimRight(q.Description, "\n")
		named[name] = q
	}
	return named, nil
}
