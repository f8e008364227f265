package extract

import (
	"slices"
	"strings"
)

// maxBIDSEntities is how many entities one name may have.
const maxBIDSEntities = 40

// A bidsEntity is a kind of key-value pair in the names of BIDS files.
type bidsEntity struct {
	short, long string
	key         string // "bids.subject"
	order       int    // its place in a name
	index       bool   // its values are integers, maybe with zeros before them
}

// bidsEntities returns the entities of BIDS 1.11.1 in the order in which a
// name has them (the specification's appendix "Entities").
func bidsEntities() []bidsEntity {
	list := []bidsEntity{
		{short: "sub", long: "subject"}, {short: "tpl", long: "template"}, {short: "ses", long: "session"},
		{short: "cohort", long: "cohort"}, {short: "sample", long: "sample"}, {short: "task", long: "task"},
		{short: "tracksys", long: "tracksys"}, {short: "acq", long: "acquisition"}, {short: "nuc", long: "nucleus"},
		{short: "voi", long: "volume"}, {short: "ce", long: "ceagent"}, {short: "trc", long: "tracer"},
		{short: "stain", long: "stain"}, {short: "rec", long: "reconstruction"}, {short: "dir", long: "direction"},
		{short: "run", long: "run", index: true}, {short: "mod", long: "modality"},
		{short: "echo", long: "echo", index: true}, {short: "flip", long: "flip", index: true},
		{short: "inv", long: "inversion", index: true}, {short: "mt", long: "mtransfer"}, {short: "part", long: "part"},
		{short: "proc", long: "processing"}, {short: "hemi", long: "hemisphere"}, {short: "space", long: "space"},
		{short: "split", long: "split", index: true}, {short: "recording", long: "recording"},
		{short: "chunk", long: "chunk", index: true}, {short: "atlas", long: "atlas"}, {short: "seg", long: "segmentation"},
		{short: "scale", long: "scale"}, {short: "res", long: "resolution"}, {short: "den", long: "density"},
		{short: "label", long: "label"}, {short: "desc", long: "description"},
	}
	for i := range list {
		list[i].key, list[i].order = "bids."+list[i].long, i
	}
	return list
}

// bidsDatatypes returns the folders that say of what kind the files in them
// are.
func bidsDatatypes() []string {
	return []string{"anat", "beh", "dwi", "eeg", "emg", "fmap", "func", "ieeg", "meg", "micr", "motion", "mrs", "nirs", "perf", "pet"}
}

// A bidsGrammar is how names are read. It does not change.
type bidsGrammar struct {
	entities  map[string]*bidsEntity // by short name
	taken     map[string]bool        // what a word of a derivative's own must not be
	datatypes map[string]bool
}

func newBIDSGrammar() *bidsGrammar {
	g := &bidsGrammar{entities: map[string]*bidsEntity{}, taken: map[string]bool{}, datatypes: map[string]bool{}}
	for _, e := range bidsEntities() {
		g.entities[e.short] = &e
		g.taken[e.long] = true
	}
	for _, w := range []string{"datatype", "suffix", "extension", "dataset", "warning"} {
		g.taken[w] = true
	}
	for _, d := range bidsDatatypes() {
		g.datatypes[d] = true
	}
	return g
}

// A bidsName is a name taken apart.
type bidsName struct {
	pairs             []bidsPair // in the order of the name
	suffix, extension string     // the extension begins with a dot or is ""
}

type bidsPair struct {
	*bidsEntity
	value string // of an index without the zeros before it
}

// get returns the value of an entity by its short name, "" for none.
func (n *bidsName) get(short string) string {
	for i := range n.pairs {
		if n.pairs[i].short == short {
			return n.pairs[i].value
		}
	}
	return ""
}

// parse takes a name apart; ok is false for one that BIDS does not know. A
// loose name is that of a derivative: its entities come in any order, others
// than those of the specification ("from", "to") among them, and it needs no
// suffix.
func (g *bidsGrammar) parse(name string, loose bool) (n bidsName, ok bool) {
	base := name
	if i := strings.IndexByte(name, '.'); i >= 0 {
		base, n.extension = name[:i], name[i:]
	}
	if base == "" || n.extension == "." {
		return n, false
	}
	for order := -1; ; {
		part, rest, more := strings.Cut(base, "_")
		key, value, paired := strings.Cut(part, "-")
		if !paired {
			n.suffix = part
			return n, !more && bidsLabel(part)
		}
		p, ok := g.pair(key, value, loose)
		if !ok || n.get(p.short) != "" || len(n.pairs) == maxBIDSEntities || !loose && p.order < order {
			return n, false
		}
		if n.pairs == nil {
			n.pairs = make([]bidsPair, 0, 6)
		}
		n.pairs, order = append(n.pairs, p), p.order
		if !more {
			return n, loose // without a suffix
		}
		base = rest
	}
}

func (g *bidsGrammar) pair(key, value string, loose bool) (p bidsPair, ok bool) {
	if p.bidsEntity, ok = g.entities[key]; !ok {
		if !loose || g.taken[key] || !bidsWord(key) {
			return p, false
		}
		p.bidsEntity = &bidsEntity{short: key, long: key, key: "bids." + key}
	}
	if !p.index {
		p.value = value
		return p, bidsLabel(value)
	}
	for len(value) > 1 && value[0] == '0' {
		value = value[1:]
	}
	p.value = value
	return p, value != "" && len(value) <= 18 && strings.Trim(value, "0123456789") == ""
}

// bidsLabel says if s is a label: letters and digits, and plus signs.
func bidsLabel(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '+' {
			return false
		}
	}
	return s != ""
}

func bidsWord(s string) bool {
	for i := range len(s) {
		if s[i] < 'a' || s[i] > 'z' {
			return false
		}
	}
	return s != ""
}

// A bidsPlace is a file of a dataset, or the folder that is one recording and
// has the file in it.
type bidsPlace struct {
	bidsName
	path     string // of what has the name
	folder   string // that has it
	datatype string // "" for none
}

// locate finds what of a path below root has a BIDS name: the file, or a
// folder such as sub-01_task-rest_meg.ds around it, whose extension ends in a
// slash, as in the schema of BIDS.
func (g *bidsGrammar) locate(path, root string, loose bool) (p bidsPlace, ok bool) {
	start := 0
	if root != "" {
		start = len(root) + 1
	}
	last := strings.LastIndexByte(path, '/') + 1
	for from := start; from < last; {
		n := strings.IndexByte(path[from:], '/')
		if name := path[from : from+n]; strings.HasPrefix(name, "sub-") && strings.IndexByte(name, '_') > 0 {
			if p.bidsName, ok = g.parse(name, false); ok && p.isRecording() {
				p.extension += "/"
				p.path, p.folder = path[:from+n], path[:max(from-1, 0)]
				p.datatype = g.datatype(p.folder)
				return p, true
			}
		}
		from += n + 1
	}
	p.path, p.folder = path, path[:max(last-1, 0)]
	if p.bidsName, ok = g.parse(path[last:], loose); !ok || p.extension == "" {
		return p, false
	}
	p.datatype = g.datatype(p.folder)
	return p, true
}

// isRecording says if a folder with this name is one recording: those of CTF,
// MEF3 and Zarr have extensions, those of BTi and KIT have none.
func (n *bidsName) isRecording() bool {
	if n.extension == "" {
		return n.suffix == "meg"
	}
	return slices.Contains([]string{".ds", ".mefd", ".zarr", ".ome.zarr"}, n.extension)
}

func (g *bidsGrammar) datatype(folder string) string {
	if name := folder[strings.LastIndexByte(folder, '/')+1:]; g.datatypes[name] {
		return name
	}
	return ""
}
