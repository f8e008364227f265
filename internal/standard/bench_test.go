package standard_test

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/data-containers/cdb/internal/standard"
)

// What a document of a large dataset takes.
func BenchmarkWrite(b *testing.B) {
	files, meta := map[string]string{}, map[string]string{}
	const n = 100_000
	for i := range n {
		name := fmt.Sprintf("sub-%05d/func/sub-%05d_task-rest_bold%d.json", i/10, i/10, i%10)
		files[name] = ""
		meta[name] = `{"mime.type": "application/json", "json.keys": ["RepetitionTime", "EchoTime"], "json.depth": 2}`
	}
	db := catalogOf(b, everything(), files, meta)
	for _, format := range standard.Formats() {
		b.Run(format, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := standard.Write(context.Background(), io.Discard, db, format, standard.Options{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/file")
		})
	}
}
