package extract_test

import (
	"encoding/binary"
	"testing"

	"github.com/data-containers/cdb/internal/extract"
)

const vcf = "##fileformat=VCFv4.2\n##reference=GRCh38.fa\n##contig=<ID=chr1,length=5>\n##contig=<ID=chr2>\n" +
	"##INFO=<ID=DP,Number=1,Type=Integer,Description=\"Depth\">\n##FORMAT=<ID=GT,Number=1>\n" +
	"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tJane\tJoe\nchr1\t1\t.\tA\tC\t.\t.\tDP=1\tGT\t0/1\t1/1\n"

const sam = "@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:chr1\tLN:5\n@SQ\tSN:chr2\tLN:6\n@RG\tID:1\tSM:Jane\tPL:ILLUMINA\n@PG\tID:bwa.1\tPN:bwa\tCL:bwa x\n"

// bamFile is a BAM without alignments.
func bamFile() []byte {
	le := binary.LittleEndian
	b := le.AppendUint32([]byte("BAM\x01"), uint32(len(sam)))
	b = le.AppendUint32(append(b, sam...), 2)
	return gzipped(b)
}

func TestGenomics(t *testing.T) {
	const vcfJSON = `{"version": "4.2", "reference": "GRCh38.fa", "samples": 2, "contigs": 2, "info": ["DP"], "format": ["GT"], "compressed": `
	const samJSON = `"version": "1.6", "sort_order": "coordinate", "read_groups": 1, "platforms": ["ILLUMINA"], "programs": ["bwa"]`
	scienceTable(t, []scienceCase{
		{name: "vcf", path: "a", data: []byte(vcf), format: "vcf", want: vcfJSON + "false}"},
		{name: "vcf.gz", path: "a.vcf.gz", data: gzipped([]byte(vcf)), format: "vcf", want: vcfJSON + "true}"},
		{name: "vcf, identifying", path: "a", data: []byte(vcf), opts: extract.Options{Identifying: true}, format: "vcf",
			want: `{"version": "4.2", "reference": "GRCh38.fa", "samples": 2, "sample_names": ["Jane", "Joe"], "contigs": 2, "info": ["DP"], "format": ["GT"], "compressed": false}`},
		{name: "vcf, cut short", path: "a.vcf", data: []byte(vcf[:100]), format: "vcf", warning: "cut short"},
		{name: "sam", path: "a", data: []byte(sam), format: "sam", want: `{"variant": "SAM", ` + samJSON + `, "references": 2}`},
		{name: "bam", path: "a.bam", data: bamFile(), format: "sam", want: `{"variant": "BAM", ` + samJSON + `, "references": 2}`},
		{name: "bam, identifying", path: "a.bam", data: bamFile(), opts: extract.Options{Identifying: true}, format: "sam",
			want: `{"variant": "BAM", ` + samJSON + `, "samples": ["Jane"], "references": 2}`},
		{name: "no bam", path: "a.bam", data: gzipped([]byte("hello")), format: "sam", want: "{}", warning: "no BAM header"},
		{name: "fasta", path: "a.fa", data: []byte(";old\n>one\r\nACGT\r\nAC GT\r\n>two\n>three\nA"), format: "fasta",
			want: `{"records": 3, "residues": 9, "shortest": 0, "longest": 8}`},
		{name: "fasta by name alone", path: "a.fa", data: []byte("hello"), format: ""},
		{name: "fastq", path: "a.fq", data: []byte("@r1\nACGT\n+\n@@@@\n@r2\r\nAC\r\n+r2\r\n>>\r\n\n"), format: "fastq",
			want: `{"records": 2, "bases": 6, "shortest": 2, "longest": 4}`},
		{name: "fastq without newline", path: "a.fastq", data: []byte("@r1\nACGT\n+\nIIII"), format: "fastq",
			want: `{"records": 1, "bases": 4, "shortest": 4, "longest": 4}`},
		{name: "fastq, cut short", path: "a.fastq", data: []byte("@r1\nACGT\n+\nIIII\n@r2\nAC"), format: "fastq",
			want: `{"records": 1, "bases": 4, "shortest": 4, "longest": 4}`, warning: "cut short"},
		{name: "fastq, wrong", path: "a.fastq", data: []byte("@r1\nACGT\n+\nIII\n"), format: "fastq", want: `{"records": 0, "bases": 0}`, warning: "four lines"},
	})
}

func TestGenomicsTruncated(t *testing.T) {
	scienceTruncate(t, "x.vcf", []byte(vcf))
	scienceTruncate(t, "x.vcf.gz", gzipped([]byte(vcf)))
	scienceTruncate(t, "x.sam", []byte(sam))
	scienceTruncate(t, "x.bam", bamFile())
	scienceTruncate(t, "x.fa", []byte(">one\nACGT\n>two\nA\n"))
	scienceTruncate(t, "x.fq", []byte("@r1\nACGT\n+\nIIII\n@r2\nAC\n+\nII\n"))
}

func FuzzVCF(f *testing.F) { scienceFuzz(f, "x.vcf.gz", []byte(vcf), gzipped([]byte(vcf))) }

func FuzzSAM(f *testing.F) { scienceFuzz(f, "x.bam", []byte(sam), bamFile()) }

func FuzzFASTA(f *testing.F) { scienceFuzz(f, "x.fa", []byte(">one\nACGT\n>two\nA\n")) }

func FuzzFASTQ(f *testing.F) { scienceFuzz(f, "x.fq", []byte("@r1\nACGT\n+\nIIII\n@r2\nAC\n+\nII\n")) }
