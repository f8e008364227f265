package extract_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"iter"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/extract"
)

// bidsReal prepares a real dataset and returns the paths of its files.
func bidsReal(t *testing.T, name string) (dir string, paths []string, c extract.Context) {
	t.Helper()
	dir = filepath.Join(scienceData, name)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no real data beside the checkout: %v", err)
	}
	root := os.DirFS(dir)
	err := fs.WalkDir(root, ".", func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			paths = append(paths, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(paths)
	c, err = bidsFormat(t, extract.Options{}).Prepare(t.Context(), &extract.Dataset{
		Paths: func(context.Context) iter.Seq2[string, error] {
			return func(yield func(string, error) bool) {
				for _, p := range paths {
					if !yield(p, nil) {
						return
					}
				}
			}
		},
		Open: func(_ context.Context, p string) (io.ReadCloser, error) { return root.Open(p) },
	})
	if err != nil || c == nil {
		t.Fatalf("context %v, warning %v", c, err)
	}
	return dir, paths, c
}

// What is said of real files is what a plain reading of names and tables
// finds, file by file.
func TestBIDSData(t *testing.T) {
	for _, name := range []string{"ds005", "ds000117", "eeg_matchingpennies", "micr_SEM"} {
		t.Run(name, func(t *testing.T) {
			dir, paths, c := bidsReal(t, name)
			rows := map[string]map[string]string{}
			lines := strings.Split(string(readFile(t, dir, "participants.tsv")), "\n")
			header := strings.Split(strings.TrimSpace(lines[0]), "\t")
			for _, line := range lines[1:] {
				row := map[string]string{}
				for i, cell := range strings.Split(strings.TrimRight(line, "\r"), "\t") {
					row[header[i]] = cell
				}
				rows[row["participant_id"]] = row
			}
			entity := func(p, key string) string {
				m := regexp.MustCompile(`(?:^|_)` + key + `-([0-9A-Za-z]+)(?:_|$)`).FindStringSubmatch(path.Base(p))
				if m == nil {
					return ""
				}
				return m[1]
			}
			said := 0
			for _, p := range paths {
				m := c.Meta(p)
				sub := entity(p, "sub")
				if m == nil {
					if sub != "" || entity(p, "task") != "" {
						t.Errorf("%s says nothing", p)
					}
					continue
				}
				said++
				for long, short := range map[string]string{"subject": "sub", "session": "ses", "task": "task", "acquisition": "acq", "processing": "proc", "sample": "sample"} {
					if got, _ := m.Get("bids." + long).(string); got != entity(p, short) {
						t.Errorf("%s: bids.%s %q", p, long, got)
					}
				}
				run, _ := strconv.ParseInt(entity(p, "run"), 10, 64)
				if got, _ := m.Get("bids.run").(int64); got != run {
					t.Errorf("%s: bids.run %d", p, got)
				}
				for column, cell := range rows["sub-"+sub] {
					if column == "participant_id" {
						continue
					}
					var want any = cell
					if n, err := strconv.ParseInt(cell, 10, 64); err == nil {
						want = n
					} else if cell == "n/a" {
						want = nil
					}
					if got := m.Get("participants." + column); got != want {
						t.Errorf("%s: participants.%s is %v, want %v", p, column, got, want)
					}
				}
				checkInherited(t, dir, p, m)
			}
			if said < len(paths)/3 { // stimuli and surfaces say nothing
				t.Errorf("%d of %d files say something", said, len(paths))
			}
		})
	}
}

// checkInherited compares the sidecar of a file with all JSON files in the
// folders from its dataset down to it, tried one by one.
func checkInherited(t *testing.T, dir, p string, m *extract.Meta) {
	t.Helper()
	if strings.HasSuffix(p, ".json") || strings.HasSuffix(p, ".tsv") {
		return
	}
	root := "."
	if parts := strings.Split(p, "/"); parts[0] == "derivatives" {
		root = path.Join(parts[:2]...)
	} else if parts[0] == "sourcedata" {
		root = parts[0]
	}
	split := func(p string) (suffix string, parts []string) {
		base, _, _ := strings.Cut(path.Base(p), ".")
		parts = strings.Split(base, "_")
		for i, x := range parts[:len(parts)-1] {
			key, value, _ := strings.Cut(x, "-")
			if key == "run" || key == "echo" {
				x = key + "-" + strings.TrimLeft(value, "0")
			}
			parts[i] = x
		}
		return parts[len(parts)-1], parts[:len(parts)-1]
	}
	suffix, parts := split(p)
	want := map[string]json.RawMessage{}
	for folder := path.Dir(p); ; folder = path.Dir(folder) {
		found, err := filepath.Glob(filepath.Join(dir, folder, "*_"+suffix+".json"))
		if err != nil {
			t.Fatal(err)
		}
		// Those with more entities count more, and those found before most.
		slices.SortFunc(found, func(a, b string) int { return strings.Count(b, "_") - strings.Count(a, "_") })
		for _, f := range found {
			_, needs := split(f)
			if slices.ContainsFunc(needs, func(n string) bool { return !slices.Contains(parts, n) }) {
				continue
			}
			var o map[string]json.RawMessage
			if err := json.Unmarshal(readFile(t, f), &o); err != nil {
				t.Fatal(err)
			}
			for k, v := range o {
				if _, there := want[k]; !there {
					want[k] = v
				}
			}
		}
		if folder == root || folder == "." {
			break
		}
	}
	omitted := 0
	for k, v := range want {
		var list []any
		if json.Unmarshal(v, &list) == nil && len(list) > 16 {
			omitted++
			continue
		}
		one := &extract.Meta{}
		one.Set("v", m.Get("sidecar."+k))
		var got, wanted any
		_ = json.Unmarshal([]byte(strings.TrimSuffix(strings.TrimPrefix(string(one.AppendJSON(nil)), `{"v": `), "}")), &got)
		_ = json.Unmarshal(v, &wanted)
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(wanted)
		if !bytes.Equal(g, w) {
			t.Errorf("%s: sidecar.%s is %s, want %s", p, k, g, w)
		}
	}
	got := 0
	for _, k := range m.Keys() {
		if strings.HasPrefix(k, "sidecar.") {
			got++
		}
	}
	if n, _ := m.Get("bids.omitted").(int); got != len(want)-omitted || n < omitted {
		t.Errorf("%s: %d members of sidecars and %d omitted, want %d and %d", p, got, n, len(want)-omitted, omitted)
	}
}

// Every path with a subject that the validator takes has keys.
func TestBIDSValidator(t *testing.T) {
	const python = "/usr/bin/python3" // of the system, for which the packages are
	if err := exec.Command(python, "-c", "import bids_validator").Run(); err != nil {
		t.Skip("bids_validator: not installed for the python3 of the system")
	}
	const program = `import sys, bids_validator
v = bids_validator.BIDSValidator()
for line in sys.stdin:
    print(int(v.is_bids("/" + line.rstrip("\n"))))`
	for _, name := range []string{"ds005", "ds000117", "eeg_matchingpennies", "micr_SEM"} {
		t.Run(name, func(t *testing.T) {
			_, paths, c := bidsReal(t, name)
			cmd := exec.Command(python, "-c", program)
			cmd.Stdin, cmd.Stderr = strings.NewReader(strings.Join(paths, "\n")), os.Stderr
			out, err := cmd.Output()
			answers := strings.Fields(string(out))
			if err != nil || len(answers) != len(paths) {
				t.Fatalf("%d answers about %d paths: %v", len(answers), len(paths), err)
			}
			checked := 0
			for i, p := range paths {
				// Of what is not a name of BIDS, the validator takes files at
				// the root, and anything in folders that it does not look into.
				top, _, nested := strings.Cut(p, "/")
				if answers[i] != "1" || !nested || slices.Contains([]string{"code", "derivatives", "sourcedata", "stimuli"}, top) {
					continue
				}
				if checked++; c.Meta(p) == nil {
					t.Errorf("%s says nothing", p)
				}
			}
			if checked == 0 {
				t.Error("the validator took none")
			}
			t.Logf("%d paths", checked)
		})
	}
}

func readFile(t *testing.T, parts ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
