package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Limits of a BIDS dataset as a whole.
const (
	maxBIDSDatasets    = 10_000
	maxBIDSDescription = 1 << 20   // bytes of dataset_description.json
	maxBIDSMemory      = 256 << 20 // bytes held of tables and sidecars, about
	maxBIDSWarnings    = 8
	maxBIDSDepth       = 64 // folders; deeper ones are not looked at
)

const bidsDescription = "dataset_description.json"

// What a file that is too much is left out for.
var (
	errBIDSBudget = fmt.Errorf("it and all after it are left out: tables and sidecars have more than %d MiB", maxBIDSMemory>>20)
	errBIDSSets   = fmt.Errorf("it is left out: the sidecars of its folder and suffix have more than %d sets of entities", maxBIDSSets)
)

// bidsFormat is the Brain Imaging Data Structure, BIDS 1.11.1
// (https://bids-specification.readthedocs.io): names that say what was
// recorded, tables about subjects, sessions, samples and scans, and JSON
// sidecars that are inherited from folder to folder.
func bidsFormat(opts Options) *ContextFormat {
	return &ContextFormat{
		Name: "bids", Version: 1,
		Namespaces: []string{"bids", "participants", "sessions", "samples", "scans", "sidecar"},
		Keys:       bidsKeys(),
		Prepare: func(ctx context.Context, ds *Dataset) (Context, error) {
			return prepareBIDS(ctx, ds, opts.Identifying)
		},
	}
}

func bidsKeys() []Key {
	var keys []Key
	for _, e := range bidsEntities() {
		k := Key{Name: e.key, Type: "string", Doc: "the entity " + e.short + "- of the name"}
		if e.index {
			k.Type = "integer"
		}
		keys = append(keys, k)
	}
	return append(keys,
		Key{Name: "bids.*", Type: "string", Doc: "other entities of the names of derivatives, such as from- and to-"},
		Key{Name: "bids.datatype", Type: "string", Doc: "the folder that says the kind of data: anat, func, eeg …"},
		Key{Name: "bids.suffix", Type: "string", Doc: "the last part of the name: bold, T1w, events …"},
		Key{Name: "bids.extension", Type: "string", Doc: "from the first dot on: .nii.gz; that of a folder which is one recording ends in /"},
		Key{Name: "bids.dataset", Type: "string", Doc: "raw, study, sourcedata, or the name of the derivative: its folder, at the root its Name"},
		Key{Name: "bids.omitted", Type: "integer", Doc: "members of sidecars left out: arrays of more than 16 elements, and what is too much"},
		Key{Name: "bids.warning", Type: "string", Doc: "why there are no other keys"},
		Key{Name: "participants.*", Type: "string or number", Doc: "the columns of participants.tsv for the subject"},
		Key{Name: "sessions.*", Type: "string or number", Doc: "the columns of the subject's sessions.tsv for the session"},
		Key{Name: "samples.*", Type: "string or number", Doc: "the columns of samples.tsv for the sample of the subject"},
		Key{Name: "scans.*", Type: "string or number", Doc: "the columns of scans.tsv for the file"},
		Key{Name: "sidecar.*", Type: "any", Doc: "the members of all JSON sidecars that apply to the file"},
	)
}

// A bidsContext is the BIDS datasets in a dataset.
type bidsContext struct {
	grammar  *bidsGrammar
	datasets map[string]*bidsDataset // by root
}

// A bidsDataset is a folder with a description, or one in which BIDS keeps
// derivatives or sources of the dataset around it.
type bidsDataset struct {
	root   string // "" or a path
	name   string
	loose  bool         // its names are those of a derivative
	around *bidsDataset // nil for none

	participants *bidsTable            // by subject
	samples      *bidsTable            // by subject and sample
	sessions     map[string]*bidsTable // by subject, then by session
	scans        map[string]*bidsTable // by folder, then by the path from there
	sidecars     map[string]map[string]*bidsShelf
	suffixes     map[string]bool // of files that sidecars may apply to
}

// add adds a dataset, unless there are too many.
func (c *bidsContext) add(d *bidsDataset) bool {
	if len(c.datasets) == maxBIDSDatasets {
		return false
	}
	d.sessions, d.scans = map[string]*bidsTable{}, map[string]*bidsTable{}
	d.sidecars, d.suffixes = map[string]map[string]*bidsShelf{}, map[string]bool{}
	c.datasets[d.root] = d
	return true
}

// find returns the innermost dataset that a path is in, nil for none or if
// the path is hidden.
func (c *bidsContext) find(path string) (found *bidsDataset) {
	found = c.datasets[""]
	if path != "" && path[0] == '.' {
		return nil
	}
	for i, depth := 0, 0; ; depth++ {
		n := strings.IndexByte(path[i:], '/')
		if n < 0 {
			return found
		}
		if i += n; depth == maxBIDSDepth || i+1 < len(path) && path[i+1] == '.' {
			return nil
		}
		if d := c.datasets[path[:i]]; d != nil {
			found = d
		}
		i++
	}
}

// Meta implements Context.
func (c *bidsContext) Meta(path string) *Meta {
	d := c.find(path)
	if d == nil {
		return nil
	}
	p, ok := c.grammar.locate(path, d.root, d.loose)
	if !ok || len(p.pairs) == 0 && !d.nameless(&p) {
		return nil
	}
	m := newMeta(16)
	for i := range p.pairs {
		e := &p.pairs[i]
		if e.index {
			n, _ := strconv.ParseInt(e.value, 10, 64) // of at most 18 digits
			m.Set(e.key, n)
			continue
		}
		m.Set(e.key, e.value)
	}
	m.SetString("bids.datatype", p.datatype)
	m.SetString("bids.suffix", p.suffix)
	m.SetString("bids.extension", p.extension)
	m.Set("bids.dataset", d.name)
	d.setTables(m, &p)
	if p.extension != ".json" {
		d.setSidecars(m, &p)
	}
	return m
}

// nameless says if a name without entities is one of BIDS: of a table or its
// description, or of a sidecar of everything with its suffix.
func (d *bidsDataset) nameless(p *bidsPlace) bool {
	if p.folder != d.root {
		return false
	}
	if p.extension == ".json" {
		return p.suffix == "sessions" || p.suffix == "scans" || d.suffixes[p.suffix]
	}
	return p.extension == ".tsv" && (p.suffix == "participants" || p.suffix == "samples")
}

// setTables sets what tables say of a file. A dataset without a table about
// its subjects has that of the dataset around it.
func (d *bidsDataset) setTables(m *Meta, p *bidsPlace) {
	if subject := p.get("sub"); subject != "" {
		session, sample := p.get("ses"), p.get("sample")
		sampled := sample == ""
		seen, visited := false, session == ""
		for x := d; x != nil && !(seen && visited && sampled); x = x.around {
			seen = seen || x.participants.set(m, subject)
			visited = visited || x.sessions[subject].set(m, session)
			sampled = sampled || x.samples != nil && x.samples.set(m, bidsSample(subject, sample))
		}
	}
	if len(d.scans) == 0 {
		return
	}
	d.folders(p.folder, func(folder string) {
		if t := d.scans[folder]; t != nil {
			t.set(m, strings.TrimPrefix(p.path[len(folder):], "/"))
		}
	})
}

// A bidsLoader reads what a dataset says of its files.
type bidsLoader struct {
	*Dataset
	context     *bidsContext
	identifying bool
	persons     map[string]bool
	found       []bidsFile // tables
	json        []bidsFile // sidecars, maybe
	members     map[string]*bidsMember
	left        int // bytes that may still be held
	warnings    []string
	unsaid      int // warnings beyond these
}

// A bidsFile is a file to be read.
type bidsFile struct {
	bidsPlace
	dataset *bidsDataset
}

func prepareBIDS(ctx context.Context, ds *Dataset, identifying bool) (Context, error) {
	l := &bidsLoader{
		Dataset: ds, identifying: identifying, persons: map[string]bool{}, members: map[string]*bidsMember{}, left: maxBIDSMemory,
		context: &bidsContext{newBIDSGrammar(), map[string]*bidsDataset{}},
	}
	for _, k := range bidsPersons() {
		l.persons[k] = true
	}
	for _, step := range []func(context.Context) error{l.datasets, l.files, l.tables, l.sidecars} {
		if err := step(ctx); err != nil {
			return nil, err
		}
		if len(l.context.datasets) == 0 {
			return nil, l.warning()
		}
	}
	return l.context, l.warning()
}

// datasets finds all datasets with a description. Those around others come
// first.
func (l *bidsLoader) datasets(ctx context.Context) error {
	var roots []string
	for p, err := range l.Paths(ctx) {
		if err != nil {
			return err
		}
		if strings.HasSuffix(p, bidsDescription) && path.Base(p) == bidsDescription && len(roots) <= maxBIDSDatasets {
			roots = append(roots, strings.TrimSuffix(p[:len(p)-len(bidsDescription)], "/"))
		}
	}
	slices.Sort(roots)
	for _, root := range roots {
		p := path.Join(root, bidsDescription)
		around := l.context.find(p)
		if strings.HasPrefix(p, ".") || strings.Contains(p, "/.") {
			continue
		}
		text, err := l.read(ctx, p, maxBIDSDescription)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var m *Meta
		if err == nil {
			m, err = ParseMeta(bytes.TrimPrefix(text, []byte("\uFEFF")))
		}
		if l.warn(p, err); err != nil {
			continue
		}
		name, version := bidsString(m, "Name"), bidsString(m, "BIDSVersion")
		if version == "" && (name == "" || around == nil) {
			continue
		}
		d := &bidsDataset{root: root, name: "raw", around: around}
		kind := strings.ToLower(bidsString(m, "DatasetType"))
		switch {
		case kind == "study":
			d.name = kind
		case kind == "derivative", around != nil && strings.HasPrefix(root[len(around.root):]+"/", bidsBelow(around, "derivatives")):
			d.loose, d.name = true, path.Base(root)
			if root == "" {
				d.name = name
			}
		}
		if !l.context.add(d) {
			l.warn(p, fmt.Errorf("it is left out, and others: there are more than %d datasets", maxBIDSDatasets))
			return nil
		}
	}
	return nil
}

// bidsBelow returns how a path in a folder of a dataset goes on after the
// dataset's root.
func bidsBelow(d *bidsDataset, folder string) string {
	if d.root == "" {
		return folder + "/"
	}
	return "/" + folder + "/"
}

// within returns the dataset of a path, and adds one for derivatives and
// sources that have no description.
func (l *bidsLoader) within(p string) *bidsDataset {
	d := l.context.find(p)
	if d == nil {
		return nil
	}
	rest := p[len(d.root):]
	if after, ok := strings.CutPrefix(rest, bidsBelow(d, "derivatives")); ok {
		if name, _, ok := strings.Cut(after, "/"); ok {
			x := &bidsDataset{root: p[:len(p)-len(after)+len(name)], name: name, loose: true, around: d}
			if strings.HasPrefix(name, "sub-") { // there is no folder for each pipeline
				x.root, x.name = p[:len(p)-len(after)-1], "derivatives"
			}
			if l.context.add(x) {
				return x
			}
		}
	}
	if after, ok := strings.CutPrefix(rest, bidsBelow(d, "sourcedata")); ok {
		x := &bidsDataset{root: p[:len(p)-len(after)-1], name: "sourcedata", around: d}
		if l.context.add(x) {
			return x
		}
	}
	return d
}

// files finds the tables and sidecars of all datasets.
func (l *bidsLoader) files(ctx context.Context) error {
	for p, err := range l.Paths(ctx) {
		if err != nil {
			return err
		}
		d := l.within(p)
		if d == nil {
			continue
		}
		place, ok := l.context.grammar.locate(p, d.root, d.loose)
		if !ok || place.suffix == "" {
			continue
		}
		switch place.extension {
		case ".json":
			if len(place.pairs) > 0 || place.folder == d.root {
				l.json = l.note(l.json, place, d)
			}
			continue
		case ".tsv":
			if d.isTable(&place) {
				l.found = l.note(l.found, place, d)
			}
		}
		if !d.suffixes[place.suffix] && l.spend(bidsRowCost+len(p)) {
			d.suffixes[place.suffix] = true
		}
	}
	return nil
}

// note puts a file on a list of those to be read.
func (l *bidsLoader) note(list []bidsFile, p bidsPlace, d *bidsDataset) []bidsFile {
	if !l.spend(bidsSidecarCost + len(p.path)) {
		l.warn(p.path, errBIDSBudget)
		return list
	}
	return append(list, bidsFile{p, d})
}

func (d *bidsDataset) isTable(p *bidsPlace) bool {
	switch p.suffix {
	case "participants", "samples":
		return len(p.pairs) == 0 && p.folder == d.root
	case "sessions":
		return p.get("sub") != ""
	case "scans":
		return len(p.pairs) > 0
	}
	return false
}

// read returns all of a file, which has at most limit bytes.
func (l *bidsLoader) read(ctx context.Context, path string, limit int64) ([]byte, error) {
	f, err := l.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("it is left out: it has more than %d MiB", limit>>20)
	}
	return text, err
}

// spend says if n more bytes may be held.
func (l *bidsLoader) spend(n int) bool {
	if l.left < n {
		return false
	}
	l.left -= n
	return true
}

func (l *bidsLoader) warn(path string, err error) {
	switch {
	case err == nil:
	case len(l.warnings) < maxBIDSWarnings:
		l.warnings = append(l.warnings, fmt.Sprintf("%q: %v", path, err))
	default:
		l.unsaid++
	}
}

// warning returns all warnings as one error.
func (l *bidsLoader) warning() error {
	if len(l.warnings) == 0 {
		return nil
	}
	text := strings.ReplaceAll(strings.Join(l.warnings, "; "), "\n", ", ")
	if l.unsaid > 0 {
		text += fmt.Sprintf("; and %d more", l.unsaid)
	}
	return errors.New(text)
}
