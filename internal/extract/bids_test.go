package extract_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/data-containers/cdb/internal/extract"
)

const bidsRoot = `{"Name": "A set", "BIDSVersion": "1.11.1"}`

// bidsFormat returns the context format of BIDS.
func bidsFormat(t testing.TB, opts extract.Options) *extract.ContextFormat {
	t.Helper()
	all := extract.Contexts(opts)
	i := slices.IndexFunc(all, func(f *extract.ContextFormat) bool { return f.Name == "bids" })
	if i < 0 {
		t.Fatal("no context bids")
	}
	return all[i]
}

// bidsDataset is files in memory as a build shows them.
func bidsDataset(files map[string]string) *extract.Dataset {
	paths := slices.Sorted(maps.Keys(files))
	return &extract.Dataset{
		Paths: func(context.Context) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for _, p := range paths {
					if !yield(p, nil) {
						return
					}
				}
			}
		},
		Open: func(_ context.Context, path string) (io.ReadCloser, error) {
			text, ok := files[path]
			if !ok {
				return nil, fmt.Errorf("open %q: there is none", path)
			}
			return io.NopCloser(strings.NewReader(text)), nil
		},
	}
}

// prepareBIDS prepares a dataset that must be free of warnings.
func prepareBIDS(t testing.TB, files map[string]string) extract.Context {
	t.Helper()
	c, err := bidsFormat(t, extract.Options{}).Prepare(t.Context(), bidsDataset(files))
	if err != nil || c == nil {
		t.Fatalf("context %v, warning %v", c, err)
	}
	return c
}

// bidsMeta returns what a context says of a file as JSON, "" for nothing.
func bidsMeta(c extract.Context, path string) string {
	if m := c.Meta(path); m != nil {
		return string(m.AppendJSON(nil))
	}
	return ""
}

func TestBIDSNames(t *testing.T) {
	files := map[string]string{"dataset_description.json": bidsRoot}
	for name, want := range map[string]string{
		"sub-01/anat/sub-01_T1w.nii.gz": `{"bids.subject": "01", "bids.datatype": "anat", "bids.suffix": "T1w", "bids.extension": ".nii.gz", "bids.dataset": "raw"}`,
		"sub-a+B/ses-1/func/sub-a+B_ses-1_task-rest_acq-x_dir-AP_run-002_echo-1_part-mag_bold.json": `{"bids.subject": "a+B", "bids.session": "1", "bids.task": "rest", "bids.acquisition": "x", ` +
			`"bids.direction": "AP", "bids.run": 2, "bids.echo": 1, "bids.part": "mag", "bids.datatype": "func", "bids.suffix": "bold", "bids.extension": ".json", "bids.dataset": "raw"}`,
		"task-rest_bold.json":   `{"bids.task": "rest", "bids.suffix": "bold", "bids.extension": ".json", "bids.dataset": "raw"}`,
		"sub-01/sub-01_x.tsv":   `{"bids.subject": "01", "bids.suffix": "x", "bids.extension": ".tsv", "bids.dataset": "raw"}`,
		"x/sub-1_run-000_m.txt": `{"bids.subject": "1", "bids.run": 0, "bids.suffix": "m", "bids.extension": ".txt", "bids.dataset": "raw"}`,
		"micr/sub-1_sample-A_hemi-L_chunk-10_SEM.ome.tif": `{"bids.subject": "1", "bids.sample": "A", "bids.hemisphere": "L", "bids.chunk": 10, "bids.datatype": "micr", "bids.suffix": "SEM", ` +
			`"bids.extension": ".ome.tif", "bids.dataset": "raw"}`,
		"sub-1/meg/sub-1_task-a_meg.ds/hz.ds/sub-9_x.txt": `{"bids.subject": "1", "bids.task": "a", "bids.datatype": "meg", "bids.suffix": "meg", "bids.extension": ".ds/", "bids.dataset": "raw"}`,
		"sub-1/meg/sub-1_meg/c,rfhp0.1Hz":                 `{"bids.subject": "1", "bids.datatype": "meg", "bids.suffix": "meg", "bids.extension": "/", "bids.dataset": "raw"}`,
		"sub-1_ses-2/anat/sub-1_ses-2_T1w.nii":            `{"bids.subject": "1", "bids.session": "2", "bids.datatype": "anat", "bids.suffix": "T1w", "bids.extension": ".nii", "bids.dataset": "raw"}`,
		"derivatives/p/sub-1_desc-x_res-2_space-M_bold.nii": `{"bids.subject": "1", "bids.description": "x", "bids.resolution": "2", "bids.space": "M", "bids.suffix": "bold", ` +
			`"bids.extension": ".nii", "bids.dataset": "p"}`,
		"derivatives/p/anat/sub-1_from-T1w_to-M_mode-image_xfm.h5": `{"bids.subject": "1", "bids.from": "T1w", "bids.to": "M", "bids.mode": "image", "bids.datatype": "anat", "bids.suffix": "xfm", ` +
			`"bids.extension": ".h5", "bids.dataset": "p"}`,
		"derivatives/p/sub-1.html":          `{"bids.subject": "1", "bids.extension": ".html", "bids.dataset": "p"}`,
		"derivatives/q.txt":                 "",
		"derivatives/p/sub-1_suffix-2_x.y":  "",
		"derivatives/p/sub-1_session-2_x.y": "",
		"sourcedata/sub-1/sub-1_T1w.dcm":    `{"bids.subject": "1", "bids.suffix": "T1w", "bids.extension": ".dcm", "bids.dataset": "sourcedata"}`,

		"README": "", "CHANGES": "", "dataset_description.json": "", "README.md": "", "code/run.py": "", "sub-1": "",
		"sub-01/anat/sub-01_T1w":                            "", // no extension
		"sub-01/anat/sub-01_T1w.":                           "",
		"sub-01/anat/sub-01.nii":                            "", // no suffix
		"sub-01/anat/sub-01_ses-1.nii":                      "",
		"sub-01/anat/T1w_sub-01.nii":                        "",
		"sub-01/anat/sub-01_T1w_T2w.nii":                    "",
		"sub-01/anat/sub-01__T1w.nii":                       "",
		"sub-01/anat/_T1w.nii":                              "",
		"sub-01/anat/sub-_T1w.nii":                          "",
		"sub-01/anat/sub-0-1_T1w.nii":                       "",
		"sub-01/anat/sub-01_T1-w.nii":                       "",
		"sub-01/anat/sub-01_T1wé.nii":                       "",
		"sub-01/anat/sub-01_foo-1_T1w.nii":                  "", // not an entity
		"sub-01/anat/ses-1_sub-01_T1w.nii":                  "", // not their order
		"sub-01/anat/sub-01_sub-01_T1.nii":                  "",
		"sub-01/anat/sub-01_run-1a_T1.nii":                  "", // not an integer
		"sub-01/anat/sub-01_run--1_T1.nii":                  "",
		"sub-01/anat/sub-01_run-1234567890123456789_T1.nii": "",
		".git/sub-01_T1w.nii":                               "",
		"sub-01/.heudiconv/sub-01_T1w.nii":                  "",
		"sub-01/.sub-01_T1w.nii":                            "",
		strings.Repeat("d/", 100) + "sub-01_T1w.nii":        "",
		"sub-01_" + strings.Repeat("x", 1000) + ".nii":      `{"bids.subject": "01", "bids.suffix": "` + strings.Repeat("x", 1000) + `", "bids.extension": ".nii", "bids.dataset": "raw"}`,
	} {
		t.Run(name[:min(len(name), 60)], func(t *testing.T) {
			if _, ok := files[name]; !ok {
				files[name] = "" // it is there
			}
			defer func() {
				if name != "dataset_description.json" {
					delete(files, name)
				}
			}()
			if strings.HasSuffix(name, ".json") && name != "dataset_description.json" {
				files[name] = "{}"
			}
			if d := cmp.Diff(want, bidsMeta(prepareBIDS(t, files), name)); d != "" {
				t.Error(d)
			}
		})
	}
}

// Every entity of the specification has its long name, and the order counts.
func TestBIDSEntities(t *testing.T) {
	short := strings.Fields("sub tpl ses cohort sample task tracksys acq nuc voi ce trc stain rec dir run mod echo flip inv mt part proc " +
		"hemi space split recording chunk atlas seg scale res den label desc")
	long := strings.Fields("subject template session cohort sample task tracksys acquisition nucleus volume ceagent tracer stain reconstruction " +
		"direction run modality echo flip inversion mtransfer part processing hemisphere space split recording chunk atlas segmentation scale " +
		"resolution density label description")
	name := strings.Join(short, "-1_") + "-1_x.nii"
	c := prepareBIDS(t, map[string]string{"dataset_description.json": bidsRoot, name: ""})
	m := c.Meta(name)
	for i, key := range m.Keys()[:len(long)] {
		if key != "bids."+long[i] {
			t.Errorf("%s is called %s", short[i], key)
		}
		_, integer := m.Get(key).(int64)
		if want := slices.Contains([]string{"run", "echo", "flip", "inversion", "split", "chunk"}, long[i]); integer != want {
			t.Errorf("%s is an integer: %t", key, integer)
		}
	}
	for i := 1; i < len(short); i++ {
		if swapped := short[i] + "-1_" + short[i-1] + "-1_x.nii"; c.Meta(swapped) != nil {
			t.Errorf("%s has metadata", swapped)
		}
	}
	documented := map[string]string{}
	for _, k := range bidsFormat(t, extract.Options{}).Keys {
		if documented[k.Name] != "" || k.Doc == "" || k.Type == "" {
			t.Errorf("key %+v", k)
		}
		documented[k.Name] = k.Type
	}
	for _, key := range m.Keys() {
		if documented[key] == "" {
			t.Errorf("%s is not documented", key)
		}
	}
}

func TestBIDSTables(t *testing.T) {
	c := prepareBIDS(t, map[string]string{
		"dataset_description.json": bidsRoot,
		"participants.tsv": "\uFEFFsex\tparticipant_id\tage\tid\tx\ty\tz\tlong\ta.b\r\n" +
			"F\tsub-01\t31\t007\t-1.50\t1e3\t1e999\t12345678901234567890\t-\r\n\r\n" +
			"n/a\tsub-02\tn/a\t\t 2 \t+5\t1.\r\n" +
			"M\tsub-03\r\n" + "M\t04\t0\t0.5\t-0\t--1\t1-2\t1E-2\t" + "ü\tmore",
		"samples.tsv":                         "sample_id\tparticipant_id\tsample_type\nsample-A\tsub-01\ttissue\nsample-A\tsub-02\tcells\n",
		"sub-01/sub-01_sessions.tsv":          "session_id\tacq_time\nses-1\t2015-11-04T14:10:00\nses-2\tn/a\n",
		"sub-01/ses-1/sub-01_ses-1_scans.tsv": "filename\tquality\n./anat/sub-01_ses-1_T1w.nii\t3\nmeg/sub-01_ses-1_meg.ds\t4\n../../sub-01_x.txt\t5\n",
		"sub-01_x.txt":                        "",
	})
	name := func(m string) string {
		m = strings.NewReplacer(`{"bids.subject": `, "", `, "bids.datatype": "anat"`, "", `, "bids.datatype": "meg"`, "", `, "bids.suffix": "T1w"`, "",
			`, "bids.extension": ".nii"`, "", `, "bids.dataset": "raw"`, "").Replace(m)
		return strings.TrimSuffix(m, "}")
	}
	for path, want := range map[string]string{
		"sub-01/anat/sub-01_T1w.nii": `"01", "participants.sex": "F", "participants.age": 31, "participants.id": "007", "participants.x": -1.5, "participants.y": 1000.0, ` +
			`"participants.z": "1e999", "participants.long": "12345678901234567890", "participants.a.b": "-"`,
		"sub-02/anat/sub-02_T1w.nii": `"02", "participants.x": 2, "participants.y": "+5", "participants.z": "1."`,
		"sub-03/anat/sub-03_T1w.nii": `"03", "participants.sex": "M"`,
		"sub-04/anat/sub-04_T1w.nii": `"04", "participants.sex": "M", "participants.age": 0, "participants.id": 0.5, "participants.x": 0, "participants.y": "--1", "participants.z": "1-2", ` +
			`"participants.long": 0.01, "participants.a.b": "\u00fc"`,
		"sub-05/anat/sub-05_T1w.nii":                      `"05"`,
		"sub-03/sub-03_sample-A_T1w.nii":                  `"03", "bids.sample": "A", "participants.sex": "M"`,
		"sub-02/ses-1/anat/sub-02_ses-1_sample-A_T1w.nii": `"02", "bids.session": "1", "bids.sample": "A", "participants.x": 2, "participants.y": "+5", "participants.z": "1.", "samples.sample_type": "cells"`,
	} {
		if d := cmp.Diff(want, name(bidsMeta(c, path))); d != "" {
			t.Errorf("%s: %s", path, d)
		}
	}
	for path, want := range map[string][]any{
		"sub-01/ses-1/anat/sub-01_ses-1_T1w.nii":   {"2015-11-04T14:10:00", int64(3)},
		"sub-01/ses-1/anat/sub-01_ses-1_T1w.json":  {"2015-11-04T14:10:00", nil},
		"sub-01/ses-2/anat/sub-01_ses-2_T1w.nii":   {nil, nil},
		"sub-01/ses-1/meg/sub-01_ses-1_meg.ds/a/b": {"2015-11-04T14:10:00", int64(4)},
		"sub-01_x.txt": {nil, nil},
	} {
		m := c.Meta(path)
		if got := []any{m.Get("sessions.acq_time"), m.Get("scans.quality")}; !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	if got := bidsMeta(c, "participants.tsv"); got != `{"bids.suffix": "participants", "bids.extension": ".tsv", "bids.dataset": "raw"}` {
		t.Error(got)
	}
}

// Sidecars are inherited: from the root down, if their entities are among
// those of the file.
func TestBIDSSidecars(t *testing.T) {
	long := strings.Repeat("0, ", 16) + "0"
	c := prepareBIDS(t, map[string]string{
		"dataset_description.json":                       bidsRoot,
		"bold.json":                                      `{"A": "root", "Deep": {"er": {"x": [1.50, null]}}, "PatientName": "X", "SliceTiming": [` + long + `]}`,
		"task-rest_bold.json":                            `{"A": "task", "B": 1}`,
		"task-rest_run-1_bold.json":                      `{"B": 2, "C": true}`,
		"task-other_bold.json":                           `{"A": "other"}`,
		"T1w.json":                                       `{"A": "T1w"}`,
		"sub-01/sub-01_bold.json":                        `{"A": "subject", "D": [1, 2, 3], "Global": {"PatientID": 1, "Kept": 2, "Times": [` + long + `]}}`,
		"sub-01/func/sub-01_task-rest_run-01_bold.json":  `{"E": "own", "B": 3}`,
		"sub-01/func/sub-01_task-rest_run-01_bold.nii":   "",
		"sub-01/func/deeper/task-rest_bold.json":         `{"A": "deeper"}`,
		"task-rest_events.json":                          `{"onset": {"Description": "when"}, "StimulusPresentation": {"x": 1}, "TaskName": "rest", "Odd": [{"a": 1}]}`,
		"sub-01/func/sub-01_task-rest_run-01_events.tsv": "",
		"derivatives/p/sub-01_task-rest_bold.nii":        "",
	})
	sidecar := func(path string) string {
		m, out := c.Meta(path), &extract.Meta{}
		for _, k := range m.Keys() {
			if short, ok := strings.CutPrefix(k, "sidecar."); ok || k == "bids.omitted" {
				out.Set(short, m.Get(k))
			}
		}
		return string(out.AppendJSON(nil))
	}
	for path, want := range map[string]string{
		"sub-01/func/sub-01_task-rest_run-01_bold.nii":   `{"A": "subject", "Deep": {"er": {"x": [1.50, null]}}, "B": 3, "C": true, "D": [1, 2, 3], "Global": {"Kept": 2}, "E": "own", "bids.omitted": 1}`,
		"sub-01/func/sub-01_task-rest_run-1_bold.nii":    `{"A": "subject", "Deep": {"er": {"x": [1.50, null]}}, "B": 3, "C": true, "D": [1, 2, 3], "Global": {"Kept": 2}, "E": "own", "bids.omitted": 1}`,
		"sub-02/func/sub-02_task-rest_run-2_bold.nii":    `{"A": "task", "Deep": {"er": {"x": [1.50, null]}}, "B": 1, "bids.omitted": 1}`,
		"sub-02/func/sub-02_bold.nii":                    `{"A": "root", "Deep": {"er": {"x": [1.50, null]}}, "bids.omitted": 1}`,
		"sub-02/func/sub-02_T1w.nii":                     `{}`, // no file that was there has this suffix
		"sub-01/func/sub-01_task-rest_run-01_events.tsv": `{"TaskName": "rest", "Odd": [{"a": 1}]}`,
		"sub-01/func/sub-01_task-rest_run-01_bold.json":  `{}`,
		"derivatives/p/sub-01_task-rest_bold.nii":        `{}`,
		"sub-02/func/sub-02_task-rest_sbref.nii":         `{}`,
	} {
		if d := cmp.Diff(want, sidecar(path)); d != "" {
			t.Errorf("%s: %s", path, d)
		}
	}
	if got := bidsMeta(c, "bold.json"); got != `{"bids.suffix": "bold", "bids.extension": ".json", "bids.dataset": "raw"}` {
		t.Error(got)
	}
	all, err := bidsFormat(t, extract.Options{Identifying: true}).Prepare(t.Context(), bidsDataset(map[string]string{
		"dataset_description.json": bidsRoot, "sub-1_x.json": `{"PatientName": "X"}`, "sub-1_x.nii": "",
	}))
	if err != nil || all.Meta("sub-1_x.nii").Get("sidecar.PatientName") == nil {
		t.Errorf("%v", err)
	}
}

// What sidecars and tables say of one file is bounded.
func TestBIDSLimits(t *testing.T) {
	var many, header, row strings.Builder
	for i := range 300 {
		fmt.Fprintf(&many, `, "k%d": {"x": {"y": 1}}`, i)
		fmt.Fprintf(&header, "\tcolumn%d", i)
		row.WriteString("\t" + strings.Repeat("\x01", 20))
	}
	ctx := t.Context()
	c, err := bidsFormat(t, extract.Options{}).Prepare(ctx, bidsDataset(map[string]string{
		"dataset_description.json": bidsRoot,
		"participants.tsv":         "participant_id" + header.String() + "\nsub-1" + row.String() + "\n",
		"x.json":                   `{"Large": "` + strings.Repeat("a", 20<<10) + `"` + many.String() + `}`,
		"y.json":                   `{"Half": "` + strings.Repeat("a", 10<<10) + `"}`,
		"sub-1_y.json":             `{"Other": "` + strings.Repeat("a", 10<<10) + `"}`,
		"sub-1_x.nii":              "", "sub-1_y.nii": "",
	}))
	if err == nil || !strings.Contains(err.Error(), `"participants.tsv": it has more than 200 columns; the others are left out`) {
		t.Errorf("warning %v", err)
	}
	for path, omitted := range map[string]int{"sub-1_x.nii": 1 + 300 - 66, "sub-1_y.nii": 1} {
		m := c.Meta(path)
		if n := len(m.AppendJSON(nil)); m.Get("bids.omitted") != omitted || n > 28<<10 {
			t.Errorf("%s: %v omitted, %d bytes", path, m.Get("bids.omitted"), n)
		}
	}
}

func TestBIDSDatasets(t *testing.T) {
	const table = "participant_id\tage\nsub-1\t%d\n"
	files := map[string]string{
		"a/dataset_description.json":                bidsRoot,
		"a/participants.tsv":                        fmt.Sprintf(table, 1),
		"a/sub-1/sub-1_x.nii":                       "",
		"a/derivatives/p/sub-1_x.nii":               "",
		"a/derivatives/q/dataset_description.json":  `{"Name": "A pipeline"}`,
		"a/derivatives/q/participants.tsv":          fmt.Sprintf(table, 2),
		"a/derivatives/q/sub-1_x.nii":               "",
		"a/other/r/dataset_description.json":        `{"Name": "R", "BIDSVersion": "1.4.0", "DatasetType": "derivative"}`,
		"a/other/r/sub-1_x.nii":                     "",
		"a/sourcedata/raw/dataset_description.json": `{"Name": "R", "BIDSVersion": "1.4.0", "DatasetType": "raw"}`,
		"a/sourcedata/raw/participants.tsv":         fmt.Sprintf(table, 3),
		"a/sourcedata/raw/sub-1_x.nii":              "",
		"a/sourcedata/sub-1_x.nii":                  "",
		"b/dataset_description.json":                `{"Name": "B", "BIDSVersion": "1.4.0", "DatasetType": "study"}`,
		"b/derivatives/sub-1/sub-1_x.nii":           "",
		"b/sub-1_x.nii":                             "",
		"no/dataset_description.json":               `{"name": "of something else"}`,
		"no/sub-1_x.nii":                            "",
		"ab/sub-1_x.nii":                            "",
		".git/dataset_description.json":             bidsRoot,
		"sub-1_x.nii":                               "",
	}
	c := prepareBIDS(t, files)
	for path, want := range map[string][]any{
		"a/sub-1/sub-1_x.nii":             {"raw", int64(1)},
		"a/derivatives/p/sub-1_x.nii":     {"p", int64(1)},
		"a/derivatives/q/sub-1_x.nii":     {"q", int64(2)},
		"a/other/r/sub-1_x.nii":           {"r", int64(1)},
		"a/sourcedata/raw/sub-1_x.nii":    {"raw", int64(3)},
		"a/sourcedata/sub-1_x.nii":        {"sourcedata", int64(1)},
		"b/derivatives/sub-1/sub-1_x.nii": {"derivatives", nil},
		"b/sub-1_x.nii":                   {"study", nil},
	} {
		m := c.Meta(path)
		if m == nil {
			t.Errorf("%s says nothing", path)
		} else if got := []any{m.Get("bids.dataset"), m.Get("participants.age")}; !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	for _, path := range []string{"no/sub-1_x.nii", "ab/sub-1_x.nii", "sub-1_x.nii"} {
		if got := bidsMeta(c, path); got != "" {
			t.Errorf("%s: %s", path, got)
		}
	}
	root := prepareBIDS(t, map[string]string{"dataset_description.json": `{"Name": "fMRIPrep", "BIDSVersion": "1.4.0", "DatasetType": "derivative"}`, "sub-1.html": ""})
	if got := root.Meta("sub-1.html").Get("bids.dataset"); got != "fMRIPrep" {
		t.Errorf("dataset %v", got)
	}
}

// Damage is a warning that names the file; the rest is used.
func TestBIDSWarnings(t *testing.T) {
	good := map[string]string{
		"dataset_description.json": bidsRoot, "participants.tsv": "participant_id\tage\nsub-1\t5\n", "sub-1_x.json": `{"A": 1}`, "sub-1_x.nii": "",
	}
	for _, tc := range []struct{ path, text, want string }{
		{"dataset_description.json", "{", `"dataset_description.json": parse metadata: `},
		{"participants.tsv", "id\tage\n", `"participants.tsv": it has no column participant_id`},
		{"participants.tsv", "", `"participants.tsv": it has no column participant_id`},
		{"participants.tsv", "participant_id\tage\tage\nsub-1\t5\t6\n", `"participants.tsv": column 3 is left out: `},
		{"participants.tsv", "participant_id\tage\nsub-1\t5\nsub-1\t6\n", `"participants.tsv": line 3 is left out: "participant_id" is missing or there before`},
		{"participants.tsv", "participant_id\n" + strings.Repeat("x", 16<<20), `"participants.tsv": it is left out: it has more than 16 MiB`},
		{"sub-1_x.json", `{"A": NaN}`, `"sub-1_x.json": parse metadata: `},
		{"sub-1_x.json", `[]`, `"sub-1_x.json": parse metadata: it is no JSON object`},
		{"sub-1_x.json", `{"A": 1}` + strings.Repeat(" ", 1<<20), `"sub-1_x.json": it is left out: it has more than 1 MiB`},
	} {
		files := maps.Clone(good)
		files[tc.path] = tc.text
		c, err := bidsFormat(t, extract.Options{}).Prepare(t.Context(), bidsDataset(files))
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: warning %v", tc.path, err)
		}
		if none := tc.path == "dataset_description.json"; none != (c == nil) {
			t.Errorf("%s: context %v", tc.path, c)
		} else if !none && c.Meta("sub-1_x.nii").Get("bids.subject") != "1" {
			t.Errorf("%s: the rest is lost", tc.path)
		}
	}
	files := maps.Clone(good)
	for i := range 20 {
		files[fmt.Sprintf("sub-%d_x.json", i)] = "not"
	}
	_, err := bidsFormat(t, extract.Options{}).Prepare(t.Context(), bidsDataset(files))
	if err == nil || !strings.HasSuffix(err.Error(), "; and 12 more") {
		t.Errorf("warning %v", err)
	}
	if c, err := bidsFormat(t, extract.Options{}).Prepare(t.Context(), bidsDataset(map[string]string{"a": "", "sub-1_x.nii": ""})); c != nil || err != nil {
		t.Errorf("of no dataset: %v, %v", c, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ds := bidsDataset(good)
	open := ds.Open
	ds.Open = func(_ context.Context, path string) (io.ReadCloser, error) {
		cancel()
		return open(ctx, path)
	}
	if c, err := bidsFormat(t, extract.Options{}).Prepare(ctx, ds); c != nil || err != context.Canceled {
		t.Errorf("cancelled: %v, %v", c, err)
	}
}

// bidsSmall is a dataset in which all that is read has something to say.
func bidsSmall() map[string]string {
	return map[string]string{
		"dataset_description.json":            `{"Name": "é", "BIDSVersion": "1.11.1", "DatasetType": "raw"}`,
		"participants.tsv":                    "participant_id\tage\tx\r\nsub-01\t31\t1.5e2\r\nsub-02\tn/a\t-\r\n",
		"samples.tsv":                         "sample_id\tparticipant_id\tsample_type\nsample-A\tsub-01\ttissue\n",
		"sub-01/sub-01_sessions.tsv":          "session_id\tacq_time\nses-1\t2015-11-04T14:10:00\n",
		"sub-01/ses-1/sub-01_ses-1_scans.tsv": "filename\tq\nmicr/sub-01_ses-1_sample-A_SEM.png\t3\n",
		"SEM.json":                            `{"A": {"b": [1, 2.50, {"c": null}]}, "T": "\u00e9\ud800", "L": [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}`,
		"sub-01/ses-1/micr/sub-01_ses-1_sample-A_SEM.json":   `{"A": 1, "PatientID": 2}`,
		"sub-01/ses-1/micr/sub-01_ses-1_sample-A_SEM.png":    "",
		"derivatives/p/sub-01_from-a_to-b_desc-x_xfm.nii.gz": "",
	}
}

// A dataset of which any file is cut anywhere costs no more than a warning.
func TestBIDSTruncated(t *testing.T) {
	whole, format := bidsSmall(), bidsFormat(t, extract.Options{})
	for path, text := range whole {
		for n := range len(text) {
			files := maps.Clone(whole)
			files[path] = text[:n]
			checkBIDS(t, format, files)
		}
	}
}

// checkBIDS prepares files and looks at what is said of each of them.
func checkBIDS(t *testing.T, format *extract.ContextFormat, files map[string]string) {
	t.Helper()
	c, err := format.Prepare(t.Context(), bidsDataset(files))
	if err != nil && len(err.Error()) > 20<<10 {
		t.Fatalf("a warning of %d bytes", len(err.Error()))
	}
	if c == nil {
		return
	}
	for path := range files {
		m := c.Meta(path)
		if m == nil {
			continue
		}
		text := m.AppendJSON(nil)
		if len(text) > 60<<10+10*len(path) {
			t.Fatalf("%q: %d bytes", path, len(text))
		}
		if _, err := extract.ParseMeta(text); err != nil {
			t.Fatalf("%q: %v in %s", path, err, text)
		}
		for _, k := range m.Keys() {
			if name, _, _ := strings.Cut(k, "."); !slices.Contains(format.Namespaces, name) {
				t.Fatalf("%q: key %q", path, k)
			}
		}
	}
}

func FuzzBIDS(f *testing.F) {
	small := bidsSmall()
	f.Add("sub-01/ses-1/micr/sub-01_ses-1_sample-A_SEM.png", small["participants.tsv"], small["SEM.json"], small["dataset_description.json"])
	f.Add("derivatives/p/sub-01_from-a_to-b_desc-x_xfm.nii.gz", "participant_id\n", "{}", bidsRoot)
	f.Add("sub-01/meg/sub-01_meg.ds/x", "participant_id\ta\n01\t1\t2\n", `{"a": [[[]]]}`, bidsRoot)
	format := bidsFormat(f, extract.Options{})
	f.Fuzz(func(t *testing.T, path, table, sidecar, description string) {
		files := bidsSmall()
		for p := range files {
			switch {
			case strings.HasSuffix(p, ".tsv"):
				files[p] = table
			case p == "dataset_description.json":
				files[p] = description
			case strings.HasSuffix(p, ".json"):
				files[p] = sidecar
			}
		}
		files[path] = sidecar
		checkBIDS(t, format, files)
	})
}

// bidsMany is n files of a dataset that looks like a large real one.
func bidsMany(n int) (paths []string, files map[string]string) {
	files = map[string]string{"dataset_description.json": bidsRoot, "task-rest_bold.json": `{"RepetitionTime": 2.0, "TaskName": "rest", "FlipAngle": 90}`}
	var table strings.Builder
	table.WriteString("participant_id\tage\tsex\thandedness\tgroup\n")
	for sub := 0; len(paths) < n; sub++ {
		fmt.Fprintf(&table, "sub-%05d\t%d\tF\tright\tcontrol\n", sub, 20+sub%60)
		for ses := range 2 {
			for run := range 10 {
				base := fmt.Sprintf("sub-%05d/ses-%d/func/sub-%05d_ses-%d_task-rest_run-%02d_", sub, ses, sub, ses, run)
				paths = append(paths, base+"bold.nii.gz", base+"events.tsv")
			}
		}
	}
	files["participants.tsv"] = table.String()
	for _, p := range paths {
		files[p] = ""
	}
	return paths, files
}

func BenchmarkBIDSPrepare(b *testing.B) {
	_, files := bidsMany(100_000)
	ds, format := bidsDataset(files), bidsFormat(b, extract.Options{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := format.Prepare(b.Context(), ds); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(files)), "ns/file")
}

func BenchmarkBIDSMeta(b *testing.B) {
	paths, files := bidsMany(100_000)
	c := prepareBIDS(b, files)
	runtime.GC()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if c.Meta(paths[i%len(paths)]) == nil {
			b.Fatal(paths[i])
		}
		i++
	}
}
