package extract_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/data-containers/cdb/internal/extract"
)

func TestParquet(t *testing.T) {
	tests := []struct{ file, want string }{
		{"typed", `{"rows": 15, "row_groups": 3, "width": 18, "columns": ["id", "name", "score", "ok", "when", "day", "small", "u", "raw", "dec", "home.city", "home.zip", ` +
			`"home.tags.list.element", "map.key_value.key", "map.key_value.value", "uuid", "kind", "doc"], "types": ["int64", "string", "double", "boolean", "timestamp(us)", "date", ` +
			`"int8", "uint32", "binary", "decimal(10,2)", "string", "int32", "string", "string", "int32", "uuid", "enum", "json"], "codecs": ["gzip", "none", "snappy", "zstd"], ` +
			`"uncompressed": 4491, "metadata": ["origin", "pandas"], "created_by": "cdb version 1(build abc)"}`},
		{"alltypes_plain", `{"rows": 8, "row_groups": 1, "width": 11, "columns": ["id", "bool_col", "tinyint_col", "smallint_col", "int_col", "bigint_col", "float_col", "double_col", ` +
			`"date_string_col", "string_col", "timestamp_col"], "types": ["int32", "boolean", "int32", "int32", "int32", "int64", "float", "double", "binary", "binary", "int96"], ` +
			`"codecs": ["none"], "uncompressed": 671, "created_by": "impala version 1.3.0-INTERNAL (build 8a48ddb1eff84592b3fc06bc6f51ec120e1fffc9)"}`},
		{"list_columns", `{"rows": 3, "row_groups": 1, "width": 2, "columns": ["int64_list.list.item", "utf8_list.list.item"], "types": ["int64", "string"], "codecs": ["snappy"], ` +
			`"uncompressed": 215, "metadata": ["pandas", "ARROW:schema"], "created_by": "parquet-cpp version 1.5.1-SNAPSHOT"}`},
		{"nested_maps.snappy", `{"rows": 6, "row_groups": 1, "width": 5, "columns": ["a.key_value.key", "a.key_value.value.key_value.key", "a.key_value.value.key_value.value", "b", "c"], ` +
			`"types": ["string", "int32", "boolean", "int32", "double"], "codecs": ["snappy"], "uncompressed": 325, "metadata": ["org.apache.spark.sql.parquet.row.metadata"], ` +
			`"created_by": "parquet-mr version 1.8.2 (build c6522788629e590a53eb79874b95f6c3ff11f16c)"}`},
		{"null_columns", `{"rows": 4, "row_groups": 1, "width": 2, "columns": ["name", "value"], "types": ["string", "null"], "codecs": ["snappy"], "uncompressed": 135, ` +
			`"metadata": ["ARROW:schema"], "created_by": "parquet-cpp-arrow version 21.0.0"}`},
	}
	for _, tt := range tests {
		got := tableJSON(t, tt.file, tableFixture(t, "parquet/"+tt.file+".parquet"))
		if diff := cmp.Diff("parquet "+tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.file, diff)
		}
	}
}

// The footer of a large file is in its tail; one that is not is a warning.
func TestParquetLarge(t *testing.T) {
	small := tableFixture(t, "parquet/typed.parquet")
	large := append(append(append([]byte(nil), small[:4]...), make([]byte, 3<<20)...), small[4:]...)
	if got := tableMeta(t, "parquet", "x.parquet", large); fmt.Sprintf("%v %v", got["rows"], got["width"]) != "15 18" {
		t.Errorf("large file: %v", got)
	}
	binary.LittleEndian.PutUint32(large[len(large)-8:], 1<<20)
	if got := tableJSON(t, "x.parquet", large); !strings.HasPrefix(got, "parquet {} read Parquet footer of 1048576 bytes: it lies beyond") {
		t.Errorf("footer of 1 MiB: %s", got)
	}
	binary.LittleEndian.PutUint32(large[len(large)-8:], 3<<20)
	if got := tableJSON(t, "x.parquet", large); !strings.HasPrefix(got, "parquet {} read Parquet footer: its 3145728 bytes are more than is looked at") {
		t.Errorf("footer of 3 MiB: %s", got)
	}
	binary.LittleEndian.PutUint32(large[len(large)-8:], 1<<31)
	if got := tableJSON(t, "x.parquet", large); got != "parquet {} read Parquet footer: its 2147483648 bytes are more than the file has" {
		t.Errorf("footer of 2 GiB: %s", got)
	}
}

func TestParquetDamage(t *testing.T) {
	file := func(footer string) []byte {
		b := append([]byte("PAR1"), footer...)
		return append(binary.LittleEndian.AppendUint32(b, uint32(len(footer))), "PAR1"...)
	}
	for want, data := range map[string][]byte{
		"there is none; the file is cut short":     []byte("PAR1abcdefgh"),
		"it is encrypted":                          append([]byte("PARE...."), "\x00\x00\x00\x00PARE"...),
		"it ends too early":                        file("\x15"),
		"it has no schema":                         file("\x00"),
		"nested deeper than 64":                    file("\x1c" + strings.Repeat("\x1c", 100)),
		"a value of type 15":                       file("\x1f"),
		"its schema has more than 131072 elements": file("\x29\xfc" + string(binary.AppendUvarint(nil, 200_000)) + strings.Repeat("\x00", 200_000)),
		"its schema is no tree":                    file("\x29\x2c\x00\x00\x00"),
	} {
		if got := tableJSON(t, "x.parquet", data); !strings.HasSuffix(got, "read Parquet footer: "+want) {
			t.Errorf("%s, not %s", got, want)
		}
	}
}

// Every truncation of the footer, with a length that fits, is a warning.
func TestParquetTruncated(t *testing.T) {
	data := tableFixture(t, "parquet/typed.parquet")
	tableTruncations(t, "parquet", "x.parquet", data, 1<<20)
	size := int(binary.LittleEndian.Uint32(data[len(data)-8:]))
	footer := data[len(data)-8-size : len(data)-8]
	for n := range footer {
		cut := append(append([]byte("PAR1"), footer[:n]...), 0, 0, 0, 0, 'P', 'A', 'R', '1')
		binary.LittleEndian.PutUint32(cut[len(cut)-8:], uint32(n))
		if got := tableJSON(t, "x.parquet", cut); !strings.Contains(got, "read Parquet footer") {
			t.Fatalf("footer cut to %d of %d bytes: %s", n, size, got)
		}
	}
}

func FuzzParquet(f *testing.F) {
	for _, name := range []string{"list_columns", "nested_maps.snappy"} {
		data := tableFixture(f, "parquet/"+name+".parquet")
		size := int(binary.LittleEndian.Uint32(data[len(data)-8:]))
		f.Add(data[len(data)-8-size : len(data)-8])
	}
	f.Fuzz(func(t *testing.T, footer []byte) {
		var b bytes.Buffer
		b.WriteString("PAR1")
		b.Write(footer)
		b.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(footer))))
		b.WriteString("PAR1")
		for _, format := range extract.Formats(extract.Options{}) {
			if format.Name == "parquet" {
				tableDescribe(t, format, "x", b.Bytes(), 0)
			}
		}
	})
}
