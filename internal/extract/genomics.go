package extract

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	genomicsHead     = 256 << 10 // of a compressed file that is decompressed
	genomicsMaxNames = 1000
)

// vcfFormat is the header of the Variant Call Format, plain or compressed
// (https://samtools.github.io/hts-specs). Samples are people, so they are
// counted, and named on request alone.
func vcfFormat(opts Options) *Format {
	return &Format{
		Name:      "vcf",
		Version:   1,
		MediaType: "text/x-vcf",
		Keys: []Key{
			{Name: "version", Type: "string", Doc: "as 4.2"},
			{Name: "samples", Type: "integer", Doc: "number of samples"},
			{Name: "sample_names", Type: "array of string", Doc: "identifying, on request alone"},
			{Name: "contigs", Type: "integer", Doc: "number of contigs that the header names"},
			{Name: "info", Type: "array of string", Doc: "IDs of the INFO fields"},
			{Name: "format", Type: "array of string", Doc: "IDs of the FORMAT fields"},
			{Name: "reference", Type: "string", Doc: "the reference, as the header has it"},
			{Name: "compressed", Type: "boolean", Doc: "the file is gzip or BGZF"},
			{Name: "partial", Type: "boolean", Doc: "true if not all of the header was in reach"},
		},
		Match: func(f *File) bool {
			return bytes.HasPrefix(f.Head, []byte("##fileformat=VCF")) || f.HasSuffix(".vcf.gz", ".vcf.bgz") && isGzip(f.Head)
		},
		Extract: func(f *File, m *Meta) error { return extractVCF(f, m, opts.Identifying) },
	}
}

func isGzip(b []byte) bool { return len(b) > 1 && b[0] == 0x1f && b[1] == 0x8b }

func extractVCF(f *File, m *Meta, identifying bool) error {
	b, zipped := f.Head, isGzip(f.Head)
	if zipped {
		m.SetMediaType("application/gzip")
		var err error
		if b, err = gunzipHead(f, genomicsHead); err != nil && len(b) == 0 {
			return fmt.Errorf("decompress the header: %w", err)
		}
	}
	if !bytes.HasPrefix(b, []byte("##fileformat=VCF")) {
		return errors.New("it has no VCF header")
	}
	contigs, ended := 0, false
	ids := map[string][]string{}
	for line := range bytes.Lines(b) {
		if !bytes.HasPrefix(line, []byte("##")) {
			ended = line[0] != '#' || line[len(line)-1] == '\n' || f.Whole() && !zipped
			if ended && line[0] == '#' {
				setVCFSamples(m, line, identifying)
			}
			break
		}
		key, value, _ := strings.Cut(headerText(line[2:]), "=")
		switch key {
		case "fileformat":
			m.SetString("version", strings.TrimPrefix(value, "VCFv"))
		case "reference":
			m.SetString("reference", value)
		case "contig":
			contigs++
		case "INFO", "FORMAT":
			if id := vcfID(value); id != "" && len(ids[key]) < genomicsMaxNames {
				ids[key] = append(ids[key], id)
			}
		}
	}
	m.Set("contigs", contigs)
	for _, key := range []string{"INFO", "FORMAT"} {
		if ids[key] != nil {
			m.Set(strings.ToLower(key), ids[key])
		}
	}
	m.Set("compressed", zipped)
	if !ended && (len(b) == genomicsHead || !f.Whole()) {
		m.Set("partial", true)
	} else if !ended {
		return errors.New("the header has no line #CHROM: it is cut short")
	}
	return nil
}

// vcfID returns the ID of <ID=…,Number=…>.
func vcfID(value string) string {
	s, ok := strings.CutPrefix(value, "<ID=")
	if !ok {
		return ""
	}
	return s[:strings.IndexAny(s+",", ",>")]
}

// setVCFSamples reads the line #CHROM, after whose ninth column samples are.
func setVCFSamples(m *Meta, line []byte, identifying bool) {
	columns := bytes.Count(line, []byte{'\t'}) + 1
	m.Set("samples", max(columns-9, 0))
	if !identifying || columns < 10 {
		return
	}
	var names []string
	for i, name := range bytes.SplitN(bytes.TrimSpace(line), []byte{'\t'}, genomicsMaxNames+10) {
		if i >= 9 && i < genomicsMaxNames+9 {
			names = append(names, headerText(name))
		}
	}
	m.Set("sample_names", names)
}

// samFormat is the header of alignments, SAM and BAM
// (https://samtools.github.io/hts-specs).
func samFormat(opts Options) *Format {
	return &Format{
		Name:      "sam",
		Version:   1,
		MediaType: "text/x-sam",
		Keys: []Key{
			{Name: "variant", Type: "string", Doc: "SAM or BAM"},
			{Name: "version", Type: "string", Doc: "as 1.6"},
			{Name: "sort_order", Type: "string", Doc: "unsorted, queryname or coordinate"},
			{Name: "references", Type: "integer", Doc: "number of reference sequences"},
			{Name: "read_groups", Type: "integer", Doc: "number of read groups"},
			{Name: "platforms", Type: "array of string", Doc: "ILLUMINA …: PL of the read groups"},
			{Name: "programs", Type: "array of string", Doc: "names of the programs that made it"},
			{Name: "samples", Type: "array of string", Doc: "of the read groups; identifying, on request alone"},
			{Name: "partial", Type: "boolean", Doc: "true if not all of the header was in reach"},
		},
		Match: func(f *File) bool {
			return bytes.HasPrefix(f.Head, []byte("@HD\tVN:")) || f.HasSuffix(".bam") && isGzip(f.Head)
		},
		Extract: func(f *File, m *Meta) error { return extractSAM(f, m, opts.Identifying) },
	}
}

func extractSAM(f *File, m *Meta, identifying bool) error {
	if !isGzip(f.Head) {
		m.Set("variant", "SAM")
		m.Set("references", setSAM(m, f.Head, identifying))
		if last := bytes.LastIndexByte(f.Head, '\n'); !f.Whole() && (last < 0 || f.Head[bytes.LastIndexByte(f.Head[:last], '\n')+1] == '@') {
			m.Set("partial", true) // the last line is still of the header
		}
		return nil
	}
	m.SetMediaType("application/gzip")
	b, err := gunzipHead(f, genomicsHead)
	if len(b) < 12 || string(b[:4]) != "BAM\x01" {
		return errors.New("it has no BAM header")
	}
	m.Set("variant", "BAM")
	text := int64(binary.LittleEndian.Uint32(b[4:]))
	rest := b[8:]
	setSAM(m, rest[:min(text, int64(len(rest)))], identifying)
	switch {
	case text+4 <= int64(len(rest)):
		m.Set("references", int64(binary.LittleEndian.Uint32(rest[text:])))
	case len(b) == genomicsHead || !f.Whole():
		m.Set("partial", true)
	case err != nil:
		return fmt.Errorf("decompress the header: %w", err)
	default:
		return errors.New("the header goes beyond the end of the file: it is cut short")
	}
	return nil
}

// setSAM sets what the lines of a header say and returns the number of
// reference sequences in it.
func setSAM(m *Meta, b []byte, identifying bool) (references int) {
	groups := 0
	lists := map[string][]string{}
	add := func(key, value string) {
		if l := lists[key]; value != "" && len(l) < genomicsMaxNames && !slices.Contains(l[:min(len(l), 100)], value) {
			lists[key] = append(l, value)
		}
	}
	for line := range bytes.Lines(b) {
		if line[0] != '@' {
			break
		}
		fields := map[string]string{}
		kind, rest, _ := strings.Cut(headerText(line), "\t")
		for field := range strings.SplitSeq(rest, "\t") {
			if key, value, ok := strings.Cut(field, ":"); ok {
				fields[key] = value
			}
		}
		switch kind {
		case "@HD":
			m.SetString("version", fields["VN"])
			m.SetString("sort_order", fields["SO"])
		case "@SQ":
			references++
		case "@RG":
			groups++
			add("platforms", fields["PL"])
			add("samples", fields["SM"])
		case "@PG":
			add("programs", fields["PN"])
		}
	}
	m.Set("read_groups", groups)
	for _, key := range []string{"platforms", "programs", "samples"} {
		if l := lists[key]; l != nil && (key != "samples" || identifying) {
			m.Set(key, l)
		}
	}
	return references
}
