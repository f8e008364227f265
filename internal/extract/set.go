package extract

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Words of a selection that are no formats.
const (
	basic   = "basic"   // nothing beyond size and digest
	usual   = "default" // all but those on request
	all     = "all"
	mime    = "mime" // the key mime.type
	gps     = "gps"  // in records: Options.GPS
	persons = "identifying"
)

// mediaTypeVersion is raised whenever a file gets another mime.type though its
// format has stayed the same.
const mediaTypeVersion = 1

// A Set is what a build extracts: formats, external extractors and contexts.
// Once complete it may be used by several goroutines at once.
type Set struct {
	opts      Options
	mime      bool
	formats   []*Format
	externals []External
	contexts  []*ContextFormat
	heads     sync.Pool // of *[HeadSize]byte, for large files
}

// NewSet returns the set that a list of words selects, each of which may be
// several with commas between them: the names of formats and contexts, "mime"
// for the media type, "default", "all", "basic" for none, and "-NAME" to drop
// one. An empty list, and one that begins with a word to drop, begins with the
// default. The error is an [UnknownError].
func NewSet(list []string, opts Options) (*Set, error) {
	all := universe(opts)
	on := map[string]bool{}
	words := splitWords(list)
	if len(words) == 0 || words[0][0] == '-' {
		words = append([]string{usual}, words...)
	}
	for _, word := range words {
		name, drop := strings.CutPrefix(word, "-")
		names, err := all.named(name)
		if err != nil {
			return nil, err
		}
		if name == basic {
			clear(on)
		}
		for _, n := range names {
			on[n] = !drop
		}
	}
	return all.only(on), nil
}

func splitWords(list []string) []string {
	var words []string
	for _, item := range list {
		for word := range strings.SplitSeq(item, ",") {
			if word = strings.TrimSpace(word); word != "" {
				words = append(words, word)
			}
		}
	}
	return words
}

// universe returns the set of all there is.
func universe(opts Options) *Set {
	return &Set{opts: opts, mime: true, formats: Formats(opts), contexts: Contexts(opts)}
}

// An UnknownError is about a word that selects nothing.
type UnknownError struct {
	Word  string
	Known []string
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("extract %q: known are %s; extractors of your own are FILE.py:NAME, FILE.wasm or 'exec: COMMAND'",
		e.Word, strings.Join(e.Known, ", "))
}

// Names returns all that words can select, without those in place of several.
func Names() []string {
	s := universe(Options{})
	names, _ := s.named(all) // a word that is known
	return names
}

// Own returns a function that says if cdb makes a key of metadata itself: a
// format, or a convention on datasets. It may be called by several goroutines.
func Own() func(key string) bool {
	namespaces := map[string]bool{"extract": true}
	for _, f := range Formats(Options{}) {
		namespaces[f.Name] = true
	}
	for _, c := range Contexts(Options{}) {
		for _, n := range c.Namespaces {
			namespaces[n] = true
		}
	}
	return func(key string) bool {
		namespace, _, dotted := strings.Cut(key, ".")
		return dotted && namespaces[namespace] || slices.Contains(reservedKeys(), key)
	}
}

// named returns the names that a word stands for.
func (s *Set) named(word string) ([]string, error) {
	requested := map[string]bool{mime: false}
	for _, f := range s.formats {
		requested[f.Name] = f.OnRequest
	}
	for _, c := range s.contexts {
		requested[c.Name] = c.OnRequest
	}
	names := slices.Sorted(maps.Keys(requested))
	switch word {
	case basic:
		return nil, nil
	case all:
		return names, nil
	case usual:
		return slices.DeleteFunc(names, func(n string) bool { return requested[n] }), nil
	}
	if _, ok := requested[word]; !ok {
		return nil, &UnknownError{word, append([]string{basic, usual, all}, names...)}
	}
	return []string{word}, nil
}

// only returns what of the set is on.
func (s *Set) only(on map[string]bool) *Set {
	out := &Set{opts: s.opts, mime: on[mime]}
	for _, f := range s.formats {
		if on[f.Name] {
			out.formats = append(out.formats, f)
		}
	}
	for _, c := range s.contexts {
		if on[c.Name] {
			out.contexts = append(out.contexts, c)
		}
	}
	return out
}

// Add adds external extractors to a set that nobody uses yet. They come in the
// order in which they are added.
func (s *Set) Add(externals ...External) { s.externals = append(s.externals, externals...) }

// AddContexts adds contexts beside those that the set was selected from.
func (s *Set) AddContexts(contexts ...*ContextFormat) { s.contexts = append(s.contexts, contexts...) }

// Empty says if nothing is extracted.
func (s *Set) Empty() bool {
	return !s.mime && len(s.formats)+len(s.externals)+len(s.contexts) == 0
}

// String returns the set as a catalog records it: names with their versions,
// sorted, then the options; "" for the empty set. Sets with the same string
// say the same of the same files.
func (s *Set) String() string {
	var words []string
	if s.mime {
		words = append(words, fmt.Sprintf("%s@%d", mime, mediaTypeVersion))
	}
	for _, f := range s.formats {
		words = append(words, fmt.Sprintf("%s@%d", f.Name, f.Version))
	}
	for _, c := range s.contexts {
		words = append(words, fmt.Sprintf("%s@%d", c.Name, c.Version))
	}
	for _, x := range s.externals {
		words = append(words, x.Name()+"@"+x.Version())
	}
	slices.Sort(words)
	// A format may stand for several, each of which matches other files.
	words = slices.Compact(words)
	if len(words) == 0 {
		return ""
	}
	if s.opts.GPS {
		words = append(words, gps)
	}
	if s.opts.Identifying {
		words = append(words, persons)
	}
	return strings.Join(words, ",")
}

// ParseSet returns the set of this release that comes next to a recorded one.
// External extractors, and names that this release does not know, are not in
// it, so its string may differ.
//
// What opts allow beyond the recorded options does not count.
func ParseSet(recorded string, opts Options) *Set {
	opts.GPS, opts.Identifying = false, false
	words := splitWords([]string{recorded})
	for _, word := range words {
		opts.GPS = opts.GPS || word == gps
		opts.Identifying = opts.Identifying || word == persons
	}
	all := universe(opts)
	on := map[string]bool{}
	for _, word := range words {
		name, _, versioned := strings.Cut(word, "@")
		if names, err := all.named(name); err == nil && versioned {
			for _, n := range names {
				on[n] = true
			}
		}
	}
	return all.only(on)
}

// Missing returns the names in a recorded set that this one has not.
func (s *Set) Missing(recorded string) []string {
	here := map[string]bool{}
	for _, word := range splitWords([]string{s.String()}) {
		name, _, _ := strings.Cut(word, "@")
		here[name] = true
	}
	var names []string
	for _, word := range splitWords([]string{recorded}) {
		if name, _, versioned := strings.Cut(word, "@"); versioned && !here[name] {
			names = append(names, name)
		}
	}
	return names
}
