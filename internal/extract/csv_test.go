package extract_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/data-containers/cdb/internal/extract"
)

func TestCSV(t *testing.T) {
	tests := []struct{ name, path, data, want string }{
		{"plain", "a.csv", "a,b\n1,x\n3,y\n",
			`csv {"delimiter": ",", "header": true, "rows": 2, "width": 2, "columns": ["a", "b"], "types": ["integer", "string"], ` +
				`"stats": [{"name": "a", "type": "integer", "missing": 0, "min": 1, "max": 3}, {"name": "b", "type": "string", "missing": 0, "min": "x", "max": "y"}]}`},
		{"no newline at the end, CRLF, BOM", "a.CSV", "\ufeffa,b\r\n1,x\r\n3,y",
			`csv {"delimiter": ",", "header": true, "rows": 2, "width": 2, "columns": ["a", "b"], "types": ["integer", "string"], ` +
				`"stats": [{"name": "a", "type": "integer", "missing": 0, "min": 1, "max": 3}, {"name": "b", "type": "string", "missing": 0, "min": "x", "max": "y"}]}`},
		{"header alone", "a.tsv", "id\tage\n",
			`csv {"delimiter": "\t", "header": true, "rows": 0, "width": 2, "columns": ["id", "age"], "types": ["null", "null"], ` +
				`"stats": [{"name": "id", "type": "null", "missing": 0}, {"name": "age", "type": "null", "missing": 0}]}`},
		{"UTF-16", "a.csv", "\xff\xfea\x00,\x00b\x00\n\x00",
			`csv {"encoding": "utf-16le"} read table: its text is UTF-16; save it as UTF-8 to have it described`},
		{"open quote", "a.csv", "a,b\n1,\"x\n3,y\n",
			`csv {"delimiter": ",", "header": true, "rows": 1, "width": 2, "columns": ["a", "b"], "types": ["integer", "string"], ` +
				`"stats": [{"name": "a", "type": "integer", "missing": 0, "min": 1, "max": 1}, {"name": "b", "type": "string", "missing": 0, "min": "x\n3,y", "max": "x\n3,y"}]} ` +
				`read table: a quote that opens in row 1 is never closed`},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, tableJSON(t, tt.path, []byte(tt.data))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// What is no table for sure is none.
func TestNoTable(t *testing.T) {
	for path, data := range map[string]string{
		"fruits/avocado.txt": "avocado!\n", "README": "Dear all,\nhello, world\nbye, world\n", "empty.csv": "", "empty.txt": "",
		"binary.csv": "a,b\x00\n1,2\n", "prose.txt": "One, two.\nThree, four.\nFive, six.\nSeven, eight.\n",
		"code.py": "a,b = 1,2\nc,d = 3,4\ne,f = 5,6\n", "numbers.txt": "1\n2\n3\n4\n", "two.txt": "a,b\n1,2\n",
		"md.txt": "| a | b |\n|---|---|\n| x | y |\n| v | w |\n", "names.gz": "a,b\n1,2\n3,4\n", "spaces.txt": "0 1 2\n3 4 5\n6 7 8\n",
	} {
		if got := tableJSON(t, path, []byte(data)); got != "none" {
			t.Errorf("%s: %s", path, got)
		}
	}
}

// One fact of a table each.
func TestCSVFacts(t *testing.T) {
	wide := strings.Repeat("c,", 2500) + "c\n"
	tests := []struct{ path, data, key, want string }{
		{"t.txt", "id\tname\n1\tx\n2\ty\n", "delimiter", "\t"},
		{"table", "id;name\n1;x\n2;y\n", "delimiter", ";"},
		{"t.csv", "id|name\n1|x, y\n2|y\n", "delimiter", "|"},
		{"t.csv", "sep=;\na;b,c\n1;2,3\n", "columns", "[a b,c]"},
		{"t.csv", "x;y\n1,5;2,5\n3,5;7,25\n", "types", "[number number]"},
		{"t.csv", "x;y\n1,5;2,5\n3,5;7,25\n", "stats", "[map[max:3.5 min:1.5 missing:0 name:x type:number] map[max:7.25 min:2.5 missing:0 name:y type:number]]"},
		{"t.csv", "1,x\n2,y\n", "columns", "[column1 column2]"},
		{"t.csv", "1,x\n2,y\n", "header", "false"},
		{"t.csv", "1,x\n2,y\n", "rows", "2"},
		{"t.csv", "name,town\nAnn,Rome\nBo,Oslo\n", "header", "true"},
		{"t.csv", "Ann,Ann\nBo,Oslo\n", "header", "false"},
		{"t.csv", "country,2000,2001,2002\nX,1,2,3\nY,3,4,5\n", "header", "true"},
		{"t.csv", "\"x\",\"y\"\n\"r1\",1,2\n\"r2\",3,4\n", "columns", "[ x y]"},
		{"t.csv", "\"x\",\"y\"\n\"r1\",1,2\n\"r2\",3,4\n", "ragged", "<nil>"},
		{"t.tsv", "# made by x\n# on a day\na\tb\n1\t2\n", "comments", "2"},
		{"t.tsv", "# made by x\n# on a day\na\tb\n1\t2\n", "columns", "[a b]"},
		{"t.tsv", "##meta\n#chrom\tpos\nchr1\t5\nchr2\t6\n", "columns", "[chrom pos]"},
		{"t.tsv", "##meta\n#chrom\tpos\nchr1\t5\nchr2\t6\n", "rows", "2"},
		{"t.tsv", "##meta\n#chrom\tpos\nchr1\t5\nchr2\t6\n", "comments", "1"},
		{"t.csv", "a,b\n1,2,3\n4\n5,6\n", "ragged", "2"},
		{"t.csv", "a,b\n1,2,3\n4\n5,6\n", "stats", "[map[max:5 min:1 missing:0 name:a type:integer] map[max:6 min:2 missing:1 name:b type:integer]]"},
		{"t.csv", "a,b\n\n1,2\n\r\n3,4\n\n", "rows", "2"},
		{"t.csv", "a\r1\r2\r3\r", "rows", "3"},
		{"t.csv", "a,b\n\"x\ny\",\"say \"\"hi\"\"\"\n", "stats", "[map[max:x\ny min:x\ny missing:0 name:a type:string] map[max:say \"hi\" min:say \"hi\" missing:0 name:b type:string]]"},
		{"t.csv", "a,b\n5\" disk,1\n", "stats", "[map[max:5\" disk min:5\" disk missing:0 name:a type:string] map[max:1 min:1 missing:0 name:b type:integer]]"},
		{"t.csv", "a\n caf\xe9 \n", "stats", "[map[max:café min:café missing:0 name:a type:string]]"},
		{"t.csv", "a\n caf\xe9 \n", "encoding", "iso-8859-1"},
		{"t.csv", "a\n\x93caf\xe9\x94\n", "encoding", "windows-1252"},
		{"t.csv", "a\ncafé\n", "encoding", "<nil>"},
		{"t.csv", "a,b\n" + strings.Repeat("é", 300) + ",1\n", "stats", "[map[max:" + strings.Repeat("é", 100) + " min:" + strings.Repeat("é", 100) + " missing:0 name:a type:string] map[max:1 min:1 missing:0 name:b type:integer]]"},
		{"t.csv", wide + wide, "width", "2501"},
	}
	for _, tt := range tests {
		m := tableMeta(t, "csv", tt.path, []byte(tt.data))
		if got := fmt.Sprint(m[tt.key]); got != tt.want {
			t.Errorf("%s %.40q: %s is %s, not %s", tt.path, tt.data, tt.key, got, tt.want)
		}
	}
	if m := tableMeta(t, "csv", "t.csv", []byte(wide+wide)); len(m["columns"].([]any)) != 2000 {
		t.Errorf("%d columns are described, not 2000", len(m["columns"].([]any)))
	}
}

// The type of a column is the least that holds all values.
func TestColumnTypes(t *testing.T) {
	tests := []struct{ values, want string }{
		{"true,FALSE,NA", "boolean"}, {"0,1,", "integer 0 1"}, {"1,n/a,NaN,null,-7", "integer -7 1"}, {"1,2.5", "number 1.0 2.5"},
		{"true,1", "string 1 true"}, {"-1.5e3,.5,5.,+3", "number -1500.0 5.0"}, {"9223372036854775807", "integer 9223372036854775807 9223372036854775807"},
		{"9223372036854775808", "number 9.223372036854776e+18 9.223372036854776e+18"}, {"inf,-Inf,1.5", "number 1.5 1.5"}, {"007,008", "string 007 008"},
		{"0,0.0,-0", "number 0.0 0.0"}, {"1 000", "string 1 000 1 000"}, {"0x1f", "string 0x1f 0x1f"}, {"1_000", "string 1_000 1_000"}, {"-,1", "string - 1"},
		{"1e,1", "string 1 1e"}, {".,1", "string . 1"}, {"1.2.3", "string 1.2.3 1.2.3"}, {"2007-11-11,2006-01-02", "date 2006-01-02 2007-11-11"},
		{"2007-02-30", "string 2007-02-30 2007-02-30"}, {"2024-02-29", "date 2024-02-29 2024-02-29"},
		{"2024-01-01T10:00:00Z,2024-01-01T11:30:00+02:00,2024-01-02", "datetime 2024-01-01T11:30:00+02:00 2024-01-02"},
		{"2024-01-01 10:00,2024-01-01 09:59:59.5", "datetime 2024-01-01 09:59:59.5 2024-01-01 10:00"}, {"2024-01-01T25:00", "string 2024-01-01T25:00 2024-01-01T25:00"},
		{"2024-01-01,5", "string 2024-01-01 5"}, {",NA,", "null"}, {"abcdefgh,abcdefg,abcdefghi", "string abcdefg abcdefghi"}, {"b,a,ab", "string a b"},
		{"3521418059.923445,0.1", "number 0.1 3521418059.923445"}, {"1e400", "number"}, {"123456789012345678.5", "number 1.2345678901234568e+17 1.2345678901234568e+17"},
	}
	for _, tt := range tests {
		data := "k,name\n"
		for i, v := range strings.Split(tt.values, ",") {
			data += fmt.Sprintf("%d,%s\n", i, v)
		}
		stat := tableMeta(t, "csv", "t.csv", []byte(data))["stats"].([]any)[1].(map[string]any)
		got := fmt.Sprint(stat["type"])
		if stat["min"] != nil {
			got += fmt.Sprintf(" %v %v", stat["min"], stat["max"])
		}
		if got != tt.want {
			t.Errorf("%s: %q, not %q", tt.values, got, tt.want)
		}
	}
}

// The scanner agrees with encoding/csv on what that takes.
func TestCSVAgainstLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	words := []string{"a", "bc", "1", "2.5", "x,y", "q\"q", "line\nbreak", " ", "é", "2020-01-01", "long " + strings.Repeat("z", 500)}
	for range 100 {
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		w.UseCRLF = r.IntN(2) == 0
		width := 2 + r.IntN(4)
		head := make([]string, width)
		for i := range head {
			head[i] = fmt.Sprintf("h%d", i)
		}
		w.Write(head)
		for range r.IntN(150) {
			row := make([]string, width)
			for i := range row {
				row[i] = words[r.IntN(len(words))]
			}
			w.Write(row)
		}
		w.Flush()
		all, err := csv.NewReader(bytes.NewReader(b.Bytes())).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		m := tableMeta(t, "csv", "x.csv", b.Bytes())
		if fmt.Sprint(m["rows"]) != fmt.Sprint(len(all)-1) || fmt.Sprint(m["width"]) != fmt.Sprint(width) || m["ragged"] != nil {
			t.Fatalf("%v rows, %v columns, %v ragged; want %d and %d:\n%q", m["rows"], m["width"], m["ragged"], len(all)-1, width, b.String())
		}
		for i := range width {
			least := ""
			for _, row := range all[1:] {
				v := strings.TrimSpace(row[i])
				if v != "" && (least == "" || v < least) {
					least = v
				}
			}
			stat := m["stats"].([]any)[i].(map[string]any)
			if stat["type"] == "string" && stat["min"] != least[:min(len(least), 100)] {
				t.Fatalf("column %d: min %q, want %q", i, stat["min"], least)
			}
		}
	}
}

func TestCSVRealData(t *testing.T) {
	m := tableMeta(t, "csv", "penguins.csv", tableShared(t, "penguins/penguins.csv"))
	want := map[string]any{
		"delimiter": ",", "header": true, "rows": json.Number("344"), "width": json.Number("8"),
		"columns": []any{"species", "island", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "sex", "year"},
		"types":   []any{"string", "string", "number", "number", "integer", "integer", "string", "integer"},
	}
	stats := m["stats"].([]any)
	delete(m, "stats")
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("penguins.csv (-want +got):\n%s", diff)
	}
	for i, want := range []string{
		"map[max:Gentoo min:Adelie missing:0 name:species type:string]", "map[max:Torgersen min:Biscoe missing:0 name:island type:string]",
		"map[max:59.6 min:32.1 missing:2 name:bill_length_mm type:number]", "map[max:21.5 min:13.1 missing:2 name:bill_depth_mm type:number]",
		"map[max:231 min:172 missing:2 name:flipper_length_mm type:integer]", "map[max:6300 min:2700 missing:2 name:body_mass_g type:integer]",
		"map[max:male min:female missing:11 name:sex type:string]", "map[max:2009 min:2007 missing:0 name:year type:integer]",
	} {
		if got := fmt.Sprint(stats[i]); got != want {
			t.Errorf("penguins.csv: %s, not %s", got, want)
		}
	}
	m = tableMeta(t, "csv", "penguins_raw.csv", tableShared(t, "penguins/penguins_raw.csv"))
	if got := fmt.Sprintf("%v %v %v", m["rows"], m["width"], m["stats"].([]any)[8]); got != "344 17 map[max:2009-12-01 min:2007-11-09 missing:0 name:Date Egg type:date]" {
		t.Errorf("penguins_raw.csv: %s", got)
	}
	m = tableMeta(t, "csv", "gdp.csv", tableShared(t, "gdp/gdp.csv"))
	if got := fmt.Sprintf("%v %v %v", m["rows"], m["columns"], m["types"]); got != "13979 [Country Name Country Code Year Value] [string string integer number]" {
		t.Errorf("gdp.csv: %s", got)
	}
	m = tableMeta(t, "csv", "participants.tsv", tableShared(t, "ds005/participants.tsv"))
	if got := fmt.Sprintf("%v %v %v %v", m["delimiter"], m["rows"], m["columns"], m["types"]); got != "\t 16 [participant_id sex age] [string string integer]" {
		t.Errorf("participants.tsv: %s", got)
	}
}

func TestCSVTruncated(t *testing.T) {
	data := "\ufeff# c\nid,name,when\n1,\"a \"\"b\"\"\",2020-01-01\r\n2.5,,NA\n\"3\",é,2021-01-01T00:00Z\n"
	tableTruncations(t, "csv", "a.csv", []byte(data), 1<<20)
}

func FuzzCSV(f *testing.F) {
	for _, s := range []string{"a,b\n1,x\n", "a;b\r\n1,5;\"x\"\"y\"\n", "sep=|\na|b\n", "#a\tb\n1\t2\n", "\xff\xfea", "a\r1\r", "\"", "x\n\xe9\n", "1,2\n3,2020-01-01T00:00:00.5+01:00\n"} {
		f.Add([]byte(s), uint8(0))
	}
	f.Fuzz(func(t *testing.T, data []byte, name uint8) {
		tableFuzz(t, []string{"a.csv", "a.tsv", "a.txt", "a"}[name%4], data)
	})
}

func BenchmarkCSV(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var text bytes.Buffer
	text.WriteString("id,species,length,when,mass,count,note\n")
	for i := range 40_000 {
		fmt.Fprintf(&text, "%d,%s,%.1f,2020-%02d-%02d,%.4f,%d,%s\n", i, []string{"Adelie", "Gentoo", "Chinstrap"}[r.IntN(3)],
			r.Float64()*60, 1+r.IntN(12), 1+r.IntN(28), r.Float64()*1e4, r.IntN(5000), "some words of no great length"[:r.IntN(29)])
	}
	for name, data := range map[string][]byte{"mixed": text.Bytes(), "numbers": numberTable(r)} {
		b.Run(name, func(b *testing.B) {
			format := tableFormat(tableFile("a.csv", data), false)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				s := format.Stream(tableFile("a.csv", data))
				for p := data; len(p) > 0; p = p[min(len(p), 256<<10):] {
					s.Write(p[:min(len(p), 256<<10)])
				}
				if err := s.Finish(&extract.Meta{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func numberTable(r *rand.Rand) []byte {
	b := []byte("a,b,c,d,e\n")
	for range 50_000 {
		b = fmt.Appendf(b, "%.3f,%d,%.2f,%.5f,%d\n", r.NormFloat64()*100, r.IntN(1e6), r.NormFloat64(), r.Float64(), r.IntN(10))
	}
	return b
}
