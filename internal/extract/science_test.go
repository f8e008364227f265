package extract_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/extract"
)

// The documentation is made of what formats say of themselves.
func TestScienceKeys(t *testing.T) {
	names := map[string]bool{}
	word := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	types := regexp.MustCompile(`^(array of )?(string|integer|number|boolean|object)$`)
	for _, name := range []string{"nifti", "analyze", "mgh", "dicom", "fits", "netcdf", "hdf5", "zarr", "npy", "npz", "matlab",
		"edf", "brainvision", "fif", "vcf", "sam", "fasta", "fastq"} {
		i := slices.IndexFunc(scienceTold, func(f *extract.Format) bool { return f.Name == name })
		if i < 0 {
			t.Errorf("no format %s", name)
			continue
		}
		f := scienceTold[i]
		if names[name] || f.Version < 1 || f.MediaType == "" || (f.Extract == nil) == (f.Stream == nil) || len(f.Keys) == 0 {
			t.Errorf("%s is incomplete", name)
		}
		names[name] = true
		keys := map[string]bool{}
		for _, k := range f.Keys {
			if keys[k.Name] || !word.MatchString(k.Name) || !types.MatchString(k.Type) || k.Doc == "" {
				t.Errorf("%s: key %+v", name, k)
			}
			keys[k.Name] = true
		}
	}
}

// Most files are of no format here, and are told apart in no time.
func TestScienceMatchesNothing(t *testing.T) {
	for _, data := range []string{"", "a", "hello, world\n", "a,b\n1,2\n", "{}", "\x89PNG\r\n\x1a\n", "\x1f\x8b", "PK\x03\x04", "\x00\x00\x00\x00"} {
		for _, path := range []string{"x", "x.csv", "x.gz", "x.img", "x.hdr", "x.dcm", "x.txt", "x.json"} {
			for _, f := range scienceTold {
				if f.Match(scienceFile(path, []byte(data))) && slices.Contains([]string{"nifti", "analyze", "dicom", "hdf5", "sam", "vcf", "edf"}, f.Name) {
					t.Errorf("%s matches %q in %s", f.Name, data, path)
				}
			}
		}
	}
}

func BenchmarkScienceMatch(b *testing.B) {
	f := scienceFile("data/table.csv", make([]byte, 3<<10))
	for b.Loop() {
		for _, format := range scienceTold {
			if format.Match(f) {
				b.Fatal(format.Name)
			}
		}
	}
}

func BenchmarkScienceExtract(b *testing.B) {
	for _, name := range []string{"nifti/example4d.nii.gz", "nifti/0.dcm", "small-cdf1.nc", "new.h5", "many.h5", "plain.npz", "packed.mat"} {
		b.Run(name, func(b *testing.B) {
			var data []byte
			if strings.Contains(name, "/") {
				data = scienceReal(b, name)
			} else {
				data = scienceFixture(b, name)
			}
			f := scienceFile(name, data)
			format := scienceFormat(f, extract.Options{})
			b.ReportAllocs()
			for b.Loop() {
				if err := format.Extract(f, &extract.Meta{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
