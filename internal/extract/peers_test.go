package extract_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/data-containers/cdb/internal/extract"
)

// sciencePeer has pydicom, nibabel, SciPy and h5py describe the files that
// their own tests bring, in lines of JSON: path, then keys as they are here.
const sciencePeer = `
import glob, json, os, sys, warnings
warnings.simplefilter("ignore")
import logging; logging.disable()

def files(module, pattern):
    return sorted(glob.glob(os.path.join(os.path.dirname(module.__file__), pattern), recursive=True))

def dicom():
    import pydicom
    keys = dict(modality="Modality", manufacturer="Manufacturer", rows="Rows", columns="Columns", photometric="PhotometricInterpretation",
        bits_allocated="BitsAllocated", slice_thickness="SliceThickness", echo_time="EchoTime", series_number="SeriesNumber",
        frames="NumberOfFrames", patient_id="PatientID", series_description="SeriesDescription", pixel_spacing="PixelSpacing")
    for path in files(pydicom, "data/test_files/*.dcm"):
        try:
            d = pydicom.dcmread(path, stop_before_pixels=True)
        except Exception:
            continue
        out = {}
        for key, word in keys.items():
            try:
                v = d.get(word)
            except Exception: continue
            if v is None or v == "" or v == []: continue
            if key == "pixel_spacing": v = [float(x) for x in v]
            elif key in ("slice_thickness", "echo_time"): v = float(v)
            elif key in ("series_number", "frames", "rows", "columns", "bits_allocated"):
                try: v = int(v)
                except ValueError: continue
            else: v = str(v).strip()
            out[key] = v
        yield path, out

def nifti():
    import nibabel
    for path in files(nibabel, "tests/data/*.nii*") + files(nibabel, "tests/data/nifti?.hdr"):
        with nibabel.openers.ImageOpener(path) as f:
            head = f.read(540)
        h = (nibabel.Nifti2Header if head[4:7] in (b"n+2", b"ni2") else nibabel.Nifti1Header)(head[:540 if head[4:7] in (b"n+2", b"ni2") else 348], check=False)
        out = dict(shape=list(h.get_data_shape()), data_type=str(h.get_data_dtype().name), qform_code=int(h["qform_code"]), sform_code=int(h["sform_code"]))
        if out["qform_code"] or out["sform_code"]:
            out["orientation"] = "".join(nibabel.aff2axcodes(h.get_best_affine()))
        yield path, out

def matlab():
    import scipy.io, scipy.io.matlab
    for path in files(scipy.io.matlab, "tests/data/*.mat"):
        try:
            names = scipy.io.whosmat(path, chars_as_strings=False)
        except Exception:
            continue
        with open(path, "rb") as f:
            if f.read(10) != b"MATLAB 5.0": continue
        yield path, dict(variables=[dict(name=n, shape=list(s)) for n, s, _ in names if n != "__function_workspace__"])

def hdf5():
    import h5py, nibabel
    for path in [p for p in files(nibabel, "tests/data/*.mnc") + sys.argv[1:] if h5py.is_hdf5(p)]:
        with h5py.File(path) as f:
            out = []
            f.visititems(lambda name, o: out.append(dict(path="/" + name, shape=list(o.shape))) if isinstance(o, h5py.Dataset) and o.shape is not None else None)
        yield path, dict(datasets=sorted(out, key=lambda o: o["path"].split("/"))) if out else {}

for peer in dicom, nifti, matlab, hdf5:
    try:
        for path, out in peer():
            print(json.dumps(dict(peer=peer.__name__, path=path, keys=out)))
    except ImportError as e:
        print(json.dumps(dict(peer=peer.__name__, missing=str(e))))
`

// What the libraries that everybody uses say of their own test files is what
// is said here.
func TestPeers(t *testing.T) {
	const python = "/usr/bin/python3" // of the system, for which the packages are
	if _, err := os.Stat(python); err != nil {
		t.Skip("no python3 of the system")
	}
	args := []string{"-c", sciencePeer}
	fixtures, _ := filepath.Glob("testdata/*.h5")
	out, err := exec.Command(python, append(args, fixtures...)...).Output()
	if err != nil {
		t.Fatalf("run the peers: %v", err)
	}
	counts := map[string]int{}
	missing := ""
	dec := json.NewDecoder(bytes.NewReader(out))
	for dec.More() {
		var line struct {
			Peer, Path, Missing string
			Keys                map[string]any
		}
		if err := dec.Decode(&line); err != nil {
			t.Fatal(err)
		}
		if line.Missing != "" {
			missing += line.Peer + ": " + line.Missing + "; "
			continue
		}
		counts[line.Peer]++
		comparePeer(t, line.Path, line.Keys)
	}
	t.Logf("files compared: %v", counts)
	if missing != "" && os.Getenv("CDB_TEST_REQUIRE") == "1" {
		t.Error(missing)
	} else if missing != "" {
		t.Skip(missing)
	}
}

func comparePeer(t *testing.T, path string, want map[string]any) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Not recognised, as it is no DICOM without being told so.
	if filepath.Base(path) == "no_meta.dcm" {
		return
	}
	_, m, _ := scienceRun(t, scienceFile(path, data), extract.Options{Identifying: true})
	var got map[string]any
	if err := json.Unmarshal(m.AppendJSON(nil), &got); err != nil {
		t.Fatal(err)
	}
	for key, value := range want {
		if g := peerForm(got[key], value); fmt.Sprint(g) != fmt.Sprint(value) {
			t.Errorf("%s: %s is %v, the peer says %v", filepath.Base(path), key, g, value)
		}
	}
}

// peerForm leaves of objects in a list what the peer tells.
func peerForm(got, want any) any {
	list, ok := got.([]any)
	wanted, _ := want.([]any)
	if !ok || len(wanted) == 0 {
		return got
	}
	first, ok := wanted[0].(map[string]any)
	if !ok {
		return got
	}
	list = slices.Clone(list)
	for i, e := range list {
		object, _ := e.(map[string]any)
		cut := map[string]any{}
		for key := range first {
			cut[key] = object[key]
		}
		list[i] = cut
	}
	return list
}
