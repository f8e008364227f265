package extract

import (
	"bytes"
	"context"
	"slices"
	"strings"
)

// Limits of sidecars.
const (
	maxBIDSSidecar = 1 << 20  // bytes of a file
	maxBIDSText    = 16 << 10 // bytes of JSON that sidecars say of one file
	maxBIDSKeys    = 200      // that they say of one file, those of nested objects among them
	maxBIDSArray   = 16       // elements; SliceTiming has more and says little in a query
	// maxBIDSSets is how many sets of entities the sidecars of one suffix in
	// one folder may have, as each file is asked for each.
	maxBIDSSets = 32
)

// What is held for a sidecar and for one of its members, in bytes, beside
// their text.
const (
	bidsSidecarCost = 256
	bidsMemberCost  = 128
)

// A rawJSON is a value in the form that a catalog has it.
type rawJSON string

// A bidsMember is a member of a sidecar. Sidecars share equal ones, as most
// of a dataset's differ in a few values.
type bidsMember struct {
	key   string // "sidecar.RepetitionTime"
	value any    // a rawJSON, boxed once
	size  int    // of both in JSON, in bytes
	keys  int    // those of nested objects counted
	table bool   // it describes a column, if it is about a table
}

// A bidsSidecar is what is kept of a JSON file.
type bidsSidecar struct {
	members []*bidsMember
	omitted int // members that are left out
}

// A bidsShelf is the sidecars of one folder and suffix.
type bidsShelf struct {
	sets []*bidsSet // few entities first
}

// A bidsSet is the sidecars with the same entities, found by their values.
type bidsSet struct {
	entities []string // short names, sorted
	sidecars map[string]*bidsSidecar
}

// key returns the values that n has for the entities of the set, in buf; nil
// if it has not all of them.
func (s *bidsSet) key(buf []byte, n *bidsName) []byte {
	for _, e := range s.entities {
		v := n.get(e)
		if v == "" {
			return nil
		}
		buf = append(append(buf, v...), '_')
	}
	return append(buf, '.')
}

// sidecars reads all sidecars that may apply to a file.
func (l *bidsLoader) sidecars(ctx context.Context) error {
	for _, f := range l.json {
		if !f.dataset.suffixes[f.suffix] {
			continue
		}
		s, err := l.sidecar(ctx, f.path)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil && !f.dataset.shelve(f, s) {
			err = errBIDSSets
		}
		if l.warn(f.path, err); err == errBIDSBudget {
			return nil
		}
	}
	return nil
}

func (d *bidsDataset) shelve(f bidsFile, s *bidsSidecar) bool {
	bySuffix := d.sidecars[f.folder]
	if bySuffix == nil {
		bySuffix = map[string]*bidsShelf{}
		d.sidecars[f.folder] = bySuffix
	}
	shelf := bySuffix[f.suffix]
	if shelf == nil {
		shelf = &bidsShelf{}
		bySuffix[f.suffix] = shelf
	}
	var entities []string
	for _, p := range f.pairs {
		entities = append(entities, p.short)
	}
	slices.Sort(entities)
	order := func(set *bidsSet, e []string) int {
		if n := len(set.entities) - len(e); n != 0 {
			return n
		}
		return slices.Compare(set.entities, e)
	}
	i, ok := slices.BinarySearchFunc(shelf.sets, entities, order)
	if !ok {
		if len(shelf.sets) == maxBIDSSets {
			return false
		}
		shelf.sets = slices.Insert(shelf.sets, i, &bidsSet{entities, map[string]*bidsSidecar{}})
	}
	set := shelf.sets[i]
	key := string(set.key(nil, &f.bidsName))
	if _, there := set.sidecars[key]; !there { // run-1 and run-01 are the same
		set.sidecars[key] = s
	}
	return true
}

// sidecar reads what is kept of a JSON file.
func (l *bidsLoader) sidecar(ctx context.Context, path string) (*bidsSidecar, error) {
	text, err := l.read(ctx, path, maxBIDSSidecar)
	if err != nil {
		return nil, err
	}
	m, err := ParseMeta(bytes.TrimPrefix(text, []byte("\uFEFF")))
	if err != nil {
		return nil, err
	}
	s := &bidsSidecar{}
	if !l.spend(bidsSidecarCost + len(path)) {
		return nil, errBIDSBudget
	}
	size, keys := 0, 0
	for i, k := range m.keys {
		v, ok := l.trim(k, m.values[i], true)
		if !ok {
			continue
		}
		member := newBIDSMember(k, v)
		if member == nil || size+member.size > maxBIDSText || keys+member.keys > maxBIDSKeys {
			s.omitted++
			continue
		}
		size, keys = size+member.size, keys+member.keys
		if member = l.intern(member); member == nil {
			return nil, errBIDSBudget
		}
		s.members = append(s.members, member)
	}
	return s, nil
}

// trim returns a value without what is never told: what identifies a person,
// unless that is asked for, and long arrays within it. ok is false for a
// value of which nothing may be told. A long array that is a value of the
// sidecar itself becomes nil here, which newBIDSMember leaves out.
func (l *bidsLoader) trim(key string, value any, top bool) (v any, ok bool) {
	if !l.identifying && l.persons[key] {
		return nil, false
	}
	switch v := value.(type) {
	case []any:
		if len(v) > maxBIDSArray {
			return bidsLong{}, top
		}
		list := make([]any, 0, len(v))
		for _, x := range v {
			x, ok := l.trim("", x, false)
			if !ok {
				return bidsLong{}, top
			}
			list = append(list, x)
		}
		return list, true
	case *Meta:
		m := &Meta{}
		for i, k := range v.keys {
			if x, ok := l.trim(k, v.values[i], false); ok {
				m.Set(k, x)
			}
		}
		return m, true
	}
	return value, true
}

// bidsLong is in the place of an array that is too long to be told.
type bidsLong struct{}

// newBIDSMember returns a member; nil if it is too large.
func newBIDSMember(key string, value any) *bidsMember {
	if _, long := value.(bidsLong); long || key == "" || len(key) > maxBIDSColumn {
		return nil
	}
	text := string(appendValue(nil, value))
	m := &bidsMember{
		key: "sidecar." + key, value: rawJSON(text), keys: bidsCountKeys(value),
		size: len(`"sidecar.": , `) + bidsCost(key) + len(text),
	}
	_, m.table = value.(*Meta)
	return m
}

// bidsCountKeys counts a member with this value and those in it.
func bidsCountKeys(value any) int {
	n := 1
	switch v := value.(type) {
	case []any:
		for _, x := range v {
			n += bidsCountKeys(x) - 1
		}
	case *Meta:
		for i := range v.keys {
			n += bidsCountKeys(v.values[i])
		}
	}
	return n
}

// intern returns the member that is like m, and pays for a new one; nil if
// there is too much already.
func (l *bidsLoader) intern(m *bidsMember) *bidsMember {
	if !l.spend(8) {
		return nil
	}
	id := m.key + "\x00" + string(m.value.(rawJSON))
	if known := l.members[id]; known != nil {
		return known
	}
	if !l.spend(bidsMemberCost + 2*len(id)) {
		return nil
	}
	l.members[id] = m
	return m
}

// set sets what all sidecars say that apply to a file, those in the folders
// of the dataset from its root down to the file: the inheritance principle.
func (d *bidsDataset) setSidecars(m *Meta, p *bidsPlace) {
	var buf [256]byte
	var first *bidsSidecar
	var more []*bidsSidecar
	d.folders(p.folder, func(folder string) {
		shelf := d.sidecars[folder][p.suffix]
		if shelf == nil {
			return
		}
		for _, set := range shelf.sets {
			key := set.key(buf[:0], &p.bidsName)
			s := set.sidecars[string(key)]
			switch {
			case key == nil || s == nil:
			case first == nil:
				first = s
			default:
				more = append(more, s)
			}
		}
	})
	if first == nil {
		return
	}
	members, omitted := first.members, first.omitted
	if more != nil {
		members, omitted = mergeBIDS(first, more)
	}
	table := p.extension == ".tsv" || p.extension == ".tsv.gz"
	size, keys := 0, 0
	for _, x := range members {
		if table && x.table {
			continue
		}
		if size+x.size > maxBIDSText || keys+x.keys > maxBIDSKeys {
			omitted++
			continue
		}
		size, keys = size+x.size, keys+x.keys
		m.Set(x.key, x.value)
	}
	if omitted > 0 {
		m.Set("bids.omitted", omitted)
	}
}

// mergeBIDS puts sidecars together; later ones count more.
func mergeBIDS(first *bidsSidecar, more []*bidsSidecar) (members []*bidsMember, omitted int) {
	members, omitted = slices.Clone(first.members), first.omitted
	at := make(map[string]int, len(members))
	for i, x := range members {
		at[x.key] = i
	}
	for _, s := range more {
		omitted += s.omitted
		for _, x := range s.members {
			if i, ok := at[x.key]; ok {
				members[i] = x
				continue
			}
			at[x.key] = len(members)
			members = append(members, x)
		}
	}
	return members, omitted
}

// folders calls f for the root of the dataset and each folder from there down
// to this one.
func (d *bidsDataset) folders(folder string, f func(folder string)) {
	f(d.root)
	for at := len(d.root); at < len(folder); {
		n := strings.IndexByte(folder[at+1:], '/')
		if n < 0 {
			f(folder)
			return
		}
		at += n + 1
		f(folder[:at])
	}
}

// bidsPersons returns keys that tools write into sidecars that nobody made
// anonymous. They identify a person, or the visit of one.
func bidsPersons() []string {
	return []string{
		"AccessionNumber", "AcquisitionDateTime", "OperatorsName", "OtherPatientIDs", "OtherPatientNames", "PatientAddress",
		"PatientBirthDate", "PatientBirthName", "PatientBirthTime", "PatientID", "PatientMotherBirthName", "PatientName",
		"PatientTelephoneNumbers", "PerformingPhysicianName", "PhysiciansOfRecord", "ReferringPhysicianName",
		"RequestingPhysician", "SeriesInstanceUID", "StudyID", "StudyInstanceUID",
	}
}

// bidsString returns a member of m that is a string, else "".
func bidsString(m *Meta, key string) string {
	s, _ := m.Get(key).(string)
	return s
}
