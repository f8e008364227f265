package catalog

import (
	"slices"
	"strings"
)

// An About is what people say of a dataset beyond title, description,
// licence, version and author. Names and meanings are those of schema.org.
type About struct {
	Creators      []Person
	Contact       Person
	Publisher     string   // its name
	Keywords      []string // in the order given
	Identifiers   []string // DOIs as https://doi.org/…, others as they are
	URL           string   // of the landing page
	Source        []string // what the data was made from, or where from
	Funding       []string // who paid, under which number
	References    []string // what describes or uses the data
	Citation      string   // how the dataset wants to be cited
	Rights        string   // the terms, where License cannot say it: text or a URL
	DateCreated   string   // dates of ISO 8601: a year, a month, a day or a time
	DatePublished string
	DateModified  string
	Languages     []string // as in BCP 47
	Spatial       []string // places
	Temporal      string   // a period, as in ISO 8601: START/END
	ConformsTo    []string // IRIs of standards that the dataset follows

	// Origins says where each word came from: its key in table dataset to the
	// name of a file in the dataset. A word that has none was given to the
	// build.
	Origins map[string]string
}

// A Person is somebody, or an organisation.
type Person struct {
	Name        string // complete, such as "Ada Lovelace" or "Lovelace, A."
	Given       string
	Family      string
	Affiliation string
	ORCID       string // sixteen digits in groups of four
	Email       string
}

// IsZero says if nothing is known of p.
func (p Person) IsZero() bool { return p == Person{} }

// parts are the fields of p with their keys in JSON.
func (p *Person) parts() []struct {
	key   string
	value *string
} {
	return []struct {
		key   string
		value *string
	}{
		{"name", &p.Name}, {"given", &p.Given}, {"family", &p.Family},
		{"affiliation", &p.Affiliation}, {"orcid", &p.ORCID}, {"email", &p.Email},
	}
}

// String returns p in the form that [ParsePerson] reads.
func (p Person) String() string {
	s := p.Name
	if p.Email != "" {
		s += " <" + p.Email + ">"
	}
	if p.ORCID != "" {
		s += " (" + p.ORCID + ")"
	}
	return strings.TrimSpace(s)
}

// ParsePerson reads "NAME <EMAIL> (ORCID)", where all but the name may be
// missing. What is in parentheses and no ORCID is an affiliation.
func ParsePerson(s string) Person {
	var p Person
	cut := func(open, end string) string {
		i := strings.LastIndex(s, open)
		if i < 0 {
			return ""
		}
		inner, after, ok := strings.Cut(s[i+len(open):], end)
		if !ok {
			return ""
		}
		s = s[:i] + after
		return strings.TrimSpace(inner)
	}
	note := cut("(", ")")
	p.Email = cut("<", ">")
	if p.ORCID = ParseORCID(note); p.ORCID == "" {
		p.Affiliation = note
	}
	p.Name = strings.Join(strings.Fields(s), " ")
	return p
}

// ParseORCID finds an ORCID in s, which may be a URL: its sixteen digits in
// groups of four if the last, a check digit (ISO 7064 MOD 11-2), is right, or
// "".
func ParseORCID(s string) string {
	s = strings.TrimRight(strings.TrimSpace(s), "/")
	if i := strings.LastIndexByte(s, '/'); i >= 0 {
		s = s[i+1:]
	}
	s = strings.TrimSpace(strings.TrimPrefix(strings.ToUpper(s), "ORCID:"))
	if len(s) != 19 {
		return ""
	}
	sum := 0
	for i := range len(s) {
		c := s[i]
		switch {
		case i%5 == 4 && c == '-':
		case i == 18 && (c == 'X' || '0' <= c && c <= '9'):
			if c != "0123456789X"[(12-sum%11)%11] {
				return ""
			}
		case i%5 != 4 && '0' <= c && c <= '9':
			sum = (sum + int(c-'0')) * 2 % 11
		default:
			return ""
		}
	}
	return s
}

// ParseDOI finds a DOI in s, which may be one, with or without "doi:", or a
// URL of a resolver, and returns it as 10.PREFIX/SUFFIX, or "".
func ParseDOI(s string) string {
	s = strings.TrimSpace(s)
	lower := strings.ToLower(s)
	for _, prefix := range []string{"https://doi.org/", "http://doi.org/", "https://dx.doi.org/", "http://dx.doi.org/", "doi.org/", "doi:"} {
		if strings.HasPrefix(lower, prefix) {
			s = strings.TrimSpace(s[len(prefix):])
			break
		}
	}
	prefix, suffix, ok := strings.Cut(s, "/")
	digits, ok2 := strings.CutPrefix(prefix, "10.")
	if !ok || !ok2 || suffix == "" || len(digits) < 4 || strings.Trim(digits, "0123456789.") != "" || strings.ContainsAny(suffix, " \t\r\n") {
		return ""
	}
	return s
}

// doiResolver begins the URL of a DOI.
const doiResolver = "https://doi.org/"

// Identifier returns s as an element of About.Identifiers.
func Identifier(s string) string {
	if doi := ParseDOI(s); doi != "" {
		return doiResolver + doi
	}
	return strings.TrimSpace(s)
}

// DOI returns the first DOI among the identifiers, or "".
func (a *About) DOI() string {
	for _, id := range a.Identifiers {
		if doi := ParseDOI(id); doi != "" {
			return doi
		}
	}
	return ""
}

// People returns who made the dataset: the creators, or else the author.
func (ds *Dataset) People() []Person {
	if len(ds.Creators) > 0 || ds.Author == "" {
		return ds.Creators
	}
	return []Person{ParsePerson(ds.Author)}
}

// Authors returns the author, or else the names of the creators.
func (ds *Dataset) Authors() string {
	if ds.Author != "" {
		return ds.Author
	}
	var names []string
	for i := range ds.Creators {
		names = append(names, ds.Creators[i].Name)
	}
	return strings.Join(names, ", ")
}

// A word is one thing that is said of a dataset.
type word struct {
	key   string // in table dataset
	name  string // for people
	value any    // *string, *[]string, *Person or *[]Person
}

// words are all things that are said of a dataset, in the order that people
// read them in.
func (ds *Dataset) words() []word {
	return []word{
		{"title", "Title", &ds.Title},
		{"description", "Description", &ds.Description},
		{"version", "Version", &ds.Version},
		{"author", "Author", &ds.Author},
		{"creators", "Creators", &ds.Creators},
		{"license", "License", &ds.License},
		{"rights", "Rights", &ds.Rights},
		{"identifiers", "Identifiers", &ds.Identifiers},
		{"url", "URL", &ds.URL},
		{"publisher", "Publisher", &ds.Publisher},
		{"contact", "Contact", &ds.Contact},
		{"keywords", "Keywords", &ds.Keywords},
		{"citation", "Citation", &ds.Citation},
		{"date_created", "Data created", &ds.DateCreated},
		{"date_published", "Published", &ds.DatePublished},
		{"date_modified", "Modified", &ds.DateModified},
		{"source", "Source", &ds.Source},
		{"funding", "Funding", &ds.Funding},
		{"references", "References", &ds.References},
		{"languages", "Languages", &ds.Languages},
		{"spatial", "Places", &ds.Spatial},
		{"temporal", "Period", &ds.Temporal},
		{"conforms_to", "Conforms to", &ds.ConformsTo},
	}
}

// originKey begins the keys of table dataset that hold Origins.
const originKey = "origin:"

// said says if w has a value.
func (w word) said() bool {
	switch v := w.value.(type) {
	case *string:
		return *v != ""
	case *[]string:
		return len(*v) > 0
	case *Person:
		return !v.IsZero()
	case *[]Person:
		return len(*v) > 0
	}
	return false
}

// set copies the value of another word of the same key.
func (w word) set(from word) {
	switch v := w.value.(type) {
	case *string:
		*v = *from.value.(*string)
	case *[]string:
		*v = slices.Clone(*from.value.(*[]string))
	case *Person:
		*v = *from.value.(*Person)
	case *[]Person:
		*v = slices.Clone(*from.value.(*[]Person))
	}
}

// encode returns the value of w as table dataset has it: strings as they are,
// all else as JSON.
func (w word) encode() string {
	if !w.said() {
		return ""
	}
	switch v := w.value.(type) {
	case *string:
		return *v
	case *[]string:
		return string(appendArray(nil, *v, AppendString))
	case *Person:
		return string(v.appendJSON(nil))
	case *[]Person:
		return string(appendArray(nil, *v, func(b []byte, p Person) []byte { return p.appendJSON(b) }))
	}
	return ""
}

// decode is the inverse of encode. What is no JSON of the right form says
// nothing, as catalogs come from anywhere.
func (w word) decode(s string) {
	switch v := w.value.(type) {
	case *string:
		*v = s
	case *[]string:
		*v = ParseStrings(s)
	case *Person:
		*v = parsePerson(s)
	case *[]Person:
		elements(s, func(value string) bool {
			if p := parsePerson(value); !p.IsZero() {
				*v = append(*v, p)
			}
			return true
		})
	}
}

// rivals are words of which one makes the other superfluous.
func rivals(key string) []string {
	switch key {
	case "author", "creators":
		return []string{"author", "creators"}
	case "license", "rights":
		return []string{"license", "rights"}
	}
	return []string{key}
}

// Complete takes from other what ds does not say, and notes that it came from
// origin; "" is to keep the origins that other names.
func (ds *Dataset) Complete(other *Dataset, origin string) {
	words := map[string]word{}
	said := map[string]bool{}
	for _, w := range ds.words() {
		words[w.key], said[w.key] = w, w.said()
	}
	for _, w := range other.words() {
		taken := slices.ContainsFunc(rivals(w.key), func(k string) bool { return said[k] })
		if !w.said() || taken {
			continue
		}
		words[w.key].set(w)
		from := origin
		if from == "" {
			from = other.Origins[w.key]
		}
		if from != "" {
			if ds.Origins == nil {
				ds.Origins = map[string]string{}
			}
			ds.Origins[w.key] = from
		}
	}
}

// Given returns only what was given to a build, and did not come from the
// files of the dataset.
func (ds *Dataset) Given() *Dataset {
	given := &Dataset{}
	words := given.words()
	for i, w := range ds.words() {
		if ds.Origins[w.key] == "" {
			words[i].set(w)
		}
	}
	return given
}

// SameWords says if ds and other say the same.
func (ds *Dataset) SameWords(other *Dataset) bool {
	words := other.words()
	for i, w := range ds.words() {
		if w.encode() != words[i].encode() || ds.Origins[w.key] != other.Origins[w.key] {
			return false
		}
	}
	return true
}

// A Said is one thing that is said of a dataset, as text.
type Said struct {
	Key    string // in table dataset
	Name   string // for people
	Values []string
	List   bool // there can be several values
	// JSON is the value as JSON.
	JSON   string
	Origin string // the file it came from, if any
}

// Said returns all that is said of ds, in the order that people read it in.
func (ds *Dataset) Said() []Said {
	var all []Said
	for _, w := range ds.words() {
		if !w.said() {
			continue
		}
		s := Said{Key: w.key, Name: w.name, Origin: ds.Origins[w.key], JSON: w.encode()}
		switch v := w.value.(type) {
		case *string:
			s.Values, s.JSON = []string{*v}, string(AppendString(nil, *v))
		case *[]string:
			s.Values, s.List = *v, true
		case *Person:
			s.Values = []string{v.String()}
		case *[]Person:
			s.List = true
			for _, p := range *v {
				s.Values = append(s.Values, p.String())
			}
		}
		all = append(all, s)
	}
	return all
}

func (p *Person) appendJSON(b []byte) []byte {
	b = append(b, '{')
	for _, part := range p.parts() {
		if *part.value == "" {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ", "...)
		}
		b = append(AppendString(b, part.key), ": "...)
		b = AppendString(b, *part.value)
	}
	return append(b, '}')
}

func parsePerson(obj string) Person {
	var p Person
	members(obj, func(name, value string) bool {
		for _, part := range p.parts() {
			if part.key == name && value[0] == '"' {
				*part.value = unquote(value)
			}
		}
		return true
	})
	return p
}

func appendArray[T any](b []byte, list []T, add func([]byte, T) []byte) []byte {
	b = append(b, '[')
	for i, v := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = add(b, v)
	}
	return append(b, ']')
}

// ParseStrings returns the strings in a JSON array, such as the value of a
// metric; other elements are left out. Text that is no array has none.
func ParseStrings(array string) []string {
	var list []string
	elements(array, func(value string) bool {
		if value[0] == '"' {
			list = append(list, unquote(value))
		}
		return true
	})
	return list
}
