package main

import (
	"bytes"
	"context"
	endian "encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// goSource is the source of Go where it is installed.
func (b *bench) goSource() corpus {
	c := corpus{part: "extract", name: "Go source", about: "GOROOT/src, where it is installed", path: filepath.Join(goRoot(), "src")}
	if b.tiny {
		c.path = filepath.Join(c.path, "encoding")
	}
	return c
}

// bidsSets are the BIDS data sets in the folder of real data.
func (b *bench) bidsSets() []string {
	found, _ := filepath.Glob(filepath.Join(b.data, "*", "dataset_description.json")) // the pattern is right
	for i, name := range found {
		found[i] = filepath.Dir(name)
	}
	return found
}

// bidsCopy is all sets in one folder.
func (b *bench) bidsCopy(sets []string) corpus {
	return corpus{part: "extract", name: "BIDS sets", about: "real ones, whose images are empty: sidecars and tables",
		path: filepath.Join(b.dir, "bids"),
		write: func(ctx context.Context, dir string) error {
			for _, set := range sets {
				if err := os.CopyFS(filepath.Join(dir, filepath.Base(set)), os.DirFS(set)); err != nil {
					return err
				}
			}
			return ctx.Err()
		}}
}

// bidsMany is the sidecars and tables of the first subject of each set, again
// and again.
func (b *bench) bidsMany(sets []string) corpus {
	n := b.scaled(20_000)
	return corpus{part: "extract", name: thousands(n) + " BIDS files", about: "sidecars and tables of one subject of each set, under many subjects",
		path: filepath.Join(b.dir, fmt.Sprintf("bids-%d", n)),
		write: func(ctx context.Context, dir string) error {
			files, err := subjectFiles(sets)
			if err != nil {
				return err
			}
			for i := range n {
				f := files[i%int64(len(files))]
				subject := fmt.Sprintf("sub-x%05d", i/int64(len(files)))
				name := filepath.Join(dir, strings.ReplaceAll(f.rel, f.subject, subject))
				err := os.MkdirAll(filepath.Dir(name), 0o755)
				if err == nil {
					err = os.WriteFile(name, f.data, 0o644)
				}
				if err != nil {
					return err
				}
				if err := ctx.Err(); err != nil {
					return err
				}
			}
			return nil
		}}
}

// A subjectFile is a file of a subject of a BIDS set.
type subjectFile struct {
	rel, subject string
	data         []byte
}

func subjectFiles(sets []string) ([]subjectFile, error) {
	var files []subjectFile
	for _, set := range sets {
		subjects, _ := filepath.Glob(filepath.Join(set, "sub-*")) // the pattern is right
		if len(subjects) == 0 {
			continue
		}
		subject := filepath.Base(subjects[0])
		err := filepath.WalkDir(subjects[0], func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || !slices.Contains([]string{".json", ".tsv"}, filepath.Ext(name)) {
				return err
			}
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(filepath.Dir(set), name)
			files = append(files, subjectFile{rel, subject, data})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("the BIDS sets have no sidecars and tables of subjects")
	}
	return files, nil
}

// niftiFiles are images of the size that real ones have.
func (b *bench) niftiFiles() corpus {
	n, size := int64(32), b.scaled(8<<20)
	return corpus{part: "extract", name: fmt.Sprintf("%d NIfTI images of %s", n, binary(size)), about: "a header and noise of 12 bits",
		path: filepath.Join(b.dir, fmt.Sprintf("nifti-%d-%d", n, size)),
		write: func(ctx context.Context, dir string) error {
			rng := rand.New(rand.NewPCG(2020, uint64(size)))
			for i := range n {
				name := filepath.Join(dir, fmt.Sprintf("sub-%02d", i+1), "func", fmt.Sprintf("sub-%02d_task-rest_bold.nii", i+1))
				err := os.MkdirAll(filepath.Dir(name), 0o755)
				if err == nil {
					err = os.WriteFile(name, niftiImage(rng, size), 0o644)
				}
				if err != nil {
					return err
				}
				if err := ctx.Err(); err != nil {
					return err
				}
			}
			return nil
		}}
}

// niftiImage is a NIfTI-1 file of about size bytes: 16-bit voxels in volumes
// of 64 × 64 × 32.
func niftiImage(rng *rand.Rand, size int64) []byte {
	volumes := max(size/(64*64*32*2), 1)
	b := make([]byte, 352, 352+volumes*64*64*32*2)
	le := endian.LittleEndian
	le.PutUint32(b, 348)
	for i, n := range []int16{4, 64, 64, 32, int16(volumes), 1, 1, 1} {
		le.PutUint16(b[40+2*i:], uint16(n))
	}
	le.PutUint16(b[70:], 4)           // int16
	le.PutUint16(b[72:], 16)          // bits
	le.PutUint32(b[80:], 0x40400000)  // 3 mm
	le.PutUint32(b[84:], 0x40400000)  // 3 mm
	le.PutUint32(b[88:], 0x40400000)  // 3 mm
	le.PutUint32(b[92:], 0x40000000)  // 2 s
	le.PutUint32(b[108:], 0x43b00000) // the data begin at 352
	b[123] = 2 | 8                    // mm, s
	copy(b[344:], "n+1\x00")
	for range volumes * 64 * 64 * 32 {
		b = le.AppendUint16(b, uint16(rng.IntN(1<<12)))
	}
	return b
}

// How many files of a format are looked for, and how much of them is copied.
const (
	mostSpecimens  = 100
	largeSpecimen  = 8 << 20
	specimenCopies = 2000
	specimenBytes  = 32 << 20
)

// findSpecimens finds files of each format: among those that come with Go,
// the real data, the test data of this project, and some that it writes. It
// lets cdb itself say what they are.
func (b *bench) findSpecimens(ctx context.Context) (map[string][]string, error) {
	dir := filepath.Join(b.work, "specimens")
	if err := writeFiles(dir, specimenTexts()); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "image.nii"), niftiImage(rand.New(rand.NewPCG(1, 2)), 1<<18), 0o644); err != nil {
		return nil, err
	}
	found := map[string][]string{}
	for _, root := range []string{dir, filepath.Join("internal", "extract", "testdata"), b.data, filepath.Join(goRoot(), "src")} {
		if !exists(root) {
			continue
		}
		if err := b.specimensIn(ctx, root, found); err != nil {
			return nil, fmt.Errorf("find files of each format in %s: %w", root, err)
		}
	}
	return found, nil
}

// specimensIn adds the files below root to those that were found.
func (b *bench) specimensIn(ctx context.Context, root string, found map[string][]string) error {
	layout := filepath.Join(b.work, "specimens-image")
	defer os.RemoveAll(layout)
	if _, err := output(b.cdbCommand(ctx, "build", "-q", root, "-o", "oci:"+layout, "--extract", "all", "--prefix", "/")); err != nil {
		return err
	}
	text, err := output(b.cdbCommand(ctx, "query", layout, "-format", "jsonl", "-sql",
		fmt.Sprintf("select path, meta from files where meta is not null and size between 1 and %d order by path", largeSpecimen)))
	if err != nil {
		return err
	}
	names := formatNames()
	for line := range strings.Lines(text) {
		var row struct{ Path, Meta string }
		var keys map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(row.Meta), &keys); err != nil {
			return fmt.Errorf("metadata of %s: %w", row.Path, err)
		}
		for key := range keys {
			format, _, _ := strings.Cut(key, ".")
			if slices.Contains(names, format) && len(found[format]) < mostSpecimens {
				found[format] = append(found[format], filepath.Join(root, row.Path))
				break
			}
		}
	}
	return nil
}

// copyOften copies files again and again, each into a folder of its own, as
// formats look at names.
func (b *bench) copyOften(ctx context.Context, files []string, dir string) error {
	bytes := int64(0)
	for i := range int(b.scaled(specimenCopies)) {
		name := files[i%len(files)]
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, fmt.Sprintf("%02d", i/100), fmt.Sprintf("%02d", i%100))
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(name)), data, 0o644); err != nil {
			return err
		}
		if bytes += int64(len(data)); bytes >= specimenBytes && i >= len(files)-1 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// specimenTexts are files of formats that are text, some 20 KiB each, by name.
func specimenTexts() map[string]string {
	rng := rand.New(rand.NewPCG(2020, 1))
	lines := func(n int, line func(i int) string) string {
		var w strings.Builder
		for i := range n {
			w.WriteString(line(i))
		}
		return w.String()
	}
	bases := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "ACGT"[rng.IntN(4)]
		}
		return string(b)
	}
	fitsCards := fmt.Sprintf("%-80s%-80s%-80s%-80s%-80s%-80s", "SIMPLE  =                    T", "BITPIX  =                   16",
		"NAXIS   =                    2", "NAXIS1  =                  100", "NAXIS2  =                  100", "END")
	return map[string]string{
		"a.fasta": lines(50, func(i int) string { return fmt.Sprintf(">seq%d\n%s\n%s\n%s\n", i, bases(70), bases(70), bases(33)) }),
		"a.fastq": lines(100, func(i int) string {
			return fmt.Sprintf("@read%d\n%s\n+\n%s\n", i, bases(100), strings.Repeat("I", 100))
		}),
		"a.vcf": "##fileformat=VCFv4.2\n##contig=<ID=20,length=62435964>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tNA1\tNA2\n" +
			lines(500, func(i int) string { return fmt.Sprintf("20\t%d\t.\tA\tG\t29\tPASS\tNS=3\tGT\t0|0\t1|0\n", 1000+i) }),
		"a.sam": "@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:ref\tLN:45000\n" +
			lines(200, func(i int) string {
				return fmt.Sprintf("r%d\t0\tref\t%d\t30\t50M\t*\t0\t0\t%s\t*\n", i, i+1, bases(50))
			}),
		"a.jsonl": lines(200, func(i int) string {
			return fmt.Sprintf("{\"id\": %d, \"site\": \"s%02d\", \"x\": %.3f}\n", i, i%40, rng.Float64())
		}),
		"a.geojson": `{"type": "FeatureCollection", "features": [` + lines(100, func(i int) string {
			return fmt.Sprintf(`{"type": "Feature", "properties": {"n": %d}, "geometry": {"type": "Point", "coordinates": [%.4f, %.4f]}},`,
				i, rng.Float64()*180, rng.Float64()*90)
		}) + `{"type": "Feature", "properties": null, "geometry": null}]}`,
		"a.ipynb": `{"nbformat": 4, "nbformat_minor": 5, "metadata": {"language_info": {"name": "python"}}, "cells": [` +
			lines(50, func(i int) string {
				return fmt.Sprintf(`{"cell_type": "code", "execution_count": %d, "metadata": {}, "outputs": [], "source": ["x = %d\n"]},`, i, i)
			}) + `{"cell_type": "markdown", "metadata": {}, "source": ["The end."]}]}`,
		"a.yaml":       lines(300, func(i int) string { return fmt.Sprintf("key%d:\n  name: value %d\n  list: [1, 2, 3]\n", i, i) }),
		"b/zarr.json":  `{"zarr_format": 3, "node_type": "group", "attributes": {"title": "none"}}`,
		"a.fits":       fitsCards + strings.Repeat(" ", 2880-len(fitsCards)) + strings.Repeat("\x00\x07", 100*100) + strings.Repeat("\x00", 160),
		"a.edf":        edfText(),
		"a.vhdr":       "Brain Vision Data Exchange Header File Version 1.0\n\n[Common Infos]\nDataFile=a.eeg\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels=2\nSamplingInterval=2000\n\n[Binary Infos]\nBinaryFormat=INT_16\n\n[Channel Infos]\nCh1=Fp1,,0.5\nCh2=Fp2,,0.5\n",
		"a.svg":        `<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"></svg>`,
		"a.csv":        "id,site,celsius\n" + lines(800, func(i int) string { return fmt.Sprintf("%d,site-%02d,%.3f\n", i, i%40, rng.Float64()*40) }),
		"compressed.7": "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + bases(2000),
	}
}

// edfText is a recording of two signals, one record of 100 samples each.
func edfText() string {
	var w bytes.Buffer
	fmt.Fprintf(&w, "%-8s%-80s%-80s%-8s%-8s%-8d%-44s%-8d%-8s%-4d", "0", "X X X X", "Startdate X X X X", "01.01.20", "12.00.00", 768, "", 1, "1", 2)
	for _, field := range []struct {
		width int
		text  string
	}{{16, "EEG"}, {80, "AgAgCl"}, {8, "uV"}, {8, "-100"}, {8, "100"}, {8, "-2048"}, {8, "2047"}, {80, ""}, {8, "100"}, {32, ""}} {
		for range 2 {
			fmt.Fprintf(&w, "%-*s", field.width, field.text)
		}
	}
	w.Write(make([]byte, 400))
	return w.String()
}
