package cdb

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Another table about participants gives files other rows and leaves them in
// their packs.
func TestBIDSVersions(t *testing.T) {
	dir := writeTree(t, map[string][]byte{
		"dataset_description.json":       []byte(`{"Name": "A set", "BIDSVersion": "1.11.1"}`),
		"participants.tsv":               []byte("participant_id\tage\nsub-01\t31\nsub-02\t40\n"),
		"T1w.json":                       []byte(`{"EchoTime": 0.03}`),
		"sub-01/anat/sub-01_T1w.nii":     []byte("1"),
		"sub-02/anat/sub-02_T1w.nii":     noise(2 << 20),
		"sub-02/anat/sub-02_other-1.nii": []byte("2"),
	})
	settle(t, dir)
	opts := storeOptions(t, "set")
	opts.Extract = []string{"bids"}
	of := func(subject, age, echo string) string {
		return `{"bids.subject": "` + subject + `", "bids.datatype": "anat", "bids.suffix": "T1w", "bids.extension": ".nii", "bids.dataset": "raw", ` +
			`"participants.age": ` + age + `, "sidecar.EchoTime": ` + echo + `}`
	}
	want := map[string]string{
		"T1w.json":                   `{"bids.suffix": "T1w", "bids.extension": ".json", "bids.dataset": "raw"}`,
		"participants.tsv":           `{"bids.suffix": "participants", "bids.extension": ".tsv", "bids.dataset": "raw"}`,
		"sub-01/anat/sub-01_T1w.nii": of("01", "31", "0.03"),
		"sub-02/anat/sub-02_T1w.nii": of("02", "40", "0.03"),
	}
	var before map[string]string
	for _, change := range []struct{ path, text, age, echo string }{
		{"", "", "40", "0.03"},
		{"participants.tsv", "participant_id\tage\nsub-01\t31\nsub-02\t41\n", "41", "0.03"},
		{"sub-02/sub-02_T1w.json", `{"EchoTime": 0.04}`, "41", "0.04"},
	} {
		if change.path != "" {
			if err := os.WriteFile(filepath.Join(dir, change.path), []byte(change.text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if filepath.Ext(change.path) == ".json" {
			want[change.path] = `{"bids.subject": "02", "bids.suffix": "T1w", "bids.extension": ".json", "bids.dataset": "raw", "participants.age": 41}`
		}
		want["sub-02/anat/sub-02_T1w.nii"] = of("02", change.age, change.echo)
		opts.Progress = &Progress{}
		res, err := Build(t.Context(), dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, metaOf(t, res.Ref, opts.Places)); d != "" {
			t.Error(d)
		}
		after := places(t, res.Ref, opts.Places)
		for name := range before {
			if (before[name] != after[name]) != (name == change.path) {
				t.Errorf("%s lies at %s, then at %s", name, before[name], after[name])
			}
		}
		before = after
	}
}
