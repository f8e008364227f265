package query_test

import (
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/catalog"
)

// queries is a dataset with queries that have names.
func queries(t testing.TB) *fixture {
	dir := writeFiles(t, map[string]string{"avocado.txt": "avocado!\n", "tomato.txt": "tomato!\n", "fig.md": "fig"})
	return catalogOf(t, dir, catalog.WriterOptions{}, map[string]string{"fig.md": `{"kind": "07", "n": 5}`}, catalog.Dataset{
		Labels: map[string]string{},
		Queries: map[string]catalog.NamedQuery{
			"big":     {Description: "Large files\nand more", Where: "size > 5", Order: "size", Desc: true, Limit: 1},
			"formats": {SQL: "SELECT name FROM files ORDER BY name"},
			"larger":  {SQL: "SELECT name FROM files WHERE size > :min AND name LIKE :like ORDER BY name"},
			"kind":    {SQL: "SELECT name FROM files WHERE meta ->> 'kind' = :k OR meta ->> 'n' = :k"},
			"by-size": {Metric: "size"},
			"newer":   {Description: "of a newer cdb"},
			"broken":  {SQL: "SELECT absent FROM files"},
		},
	})
}

func TestNamed(t *testing.T) {
	f := queries(t)
	for args, want := range map[string]string{
		"-q big -ls":                                "/data/avocado.txt\n",
		"-q big -ls -limit 5":                       "/data/avocado.txt\n/data/tomato.txt\n",
		"-q big -limit 5 -count":                    "2\n",
		"-q big -ls -format csv":                    "path\n/data/avocado.txt\n",
		"-q big -ls -order sha256 -limit 5":         "/data/tomato.txt\n/data/avocado.txt\n",
		"-q by-size -ls":                            "/data/fig.md\n/data/tomato.txt\n/data/avocado.txt\n",
		"-q formats -format csv":                    "name\navocado.txt\nfig.md\ntomato.txt\n",
		"-q formats -format csv -limit 1":           "name\navocado.txt\n",
		"-q larger -p min=8 -p like=% -format csv":  "name\navocado.txt\n",
		"-q larger -p min=2 -p like=f% -format csv": "name\nfig.md\n",
		"-q kind -p k=07 -format csv":               "name\nfig.md\n",
		"-q kind -p k=5 -format csv":                "name\nfig.md\n",
		"-q kind -p k=x'OR'1'='1 -format csv":       "name\n",
	} {
		if got := f.run(strings.Fields(args)...); got != (result{want, "", 0}) {
			t.Errorf("%q:\n%+v\nwant\n%+v", args, got, want)
		}
	}
	for args, want := range map[string]string{
		"-q nothing":                        `query "nothing": there is none of this name; known are big, broken, by-size, formats, kind, larger, newer`,
		"-q larger":                         `the parameter "min" has no value: give -p min=VALUE`,
		"-q larger -p min=1":                `the parameter "like" has no value`,
		"-q formats -p min=1":               `there is no parameter "min": the query has none`,
		"-q larger -p mun=1":                `there is no parameter "mun"; known are min, like`,
		"-q newer":                          `a newer cdb may know more of it`,
		"-q broken":                         `no such column: absent`,
		"-q formats -max-rows 1":            "-max-rows raises it",
		"-q formats -ls":                    `-ls cannot be combined with query "formats"`,
		"-q big -max-rows 1":                "use -limit",
		"-q big -p x=1":                     `query "big" has no parameters`,
		"-q formats -export /tmp/nowhere/x": `-export cannot be combined with query "formats"`,
	} {
		if got := f.run(strings.Fields(args)...); got.code == 0 || !strings.Contains(got.err, want) {
			t.Errorf("%q: %+v\nwant %s", args, got, want)
		}
	}
}

func TestNamedIsTold(t *testing.T) {
	f := queries(t)
	help := f.run("-h").err
	for _, line := range []string{"\nQueries of this dataset\n", "\n  -q big            Large files\n", "\n  -q formats        SELECT name"} {
		if !strings.Contains(help, line) {
			t.Errorf("-h has no %q:\n%s", line, help)
		}
	}
	if info := f.run("-info").out; !strings.Contains(info, "Query big:") || !strings.Contains(info, "Large files\n") {
		t.Errorf("-info:\n%s", info)
	}
	if info := f.run("-info", "-format", "json").out; !strings.Contains(info, `"big": {"description": "Large files\nand more", "where": "size > 5", "order": "size", "desc": true, "limit": 1}`) {
		t.Errorf("-info -format json:\n%s", info)
	}
	if help := fruit(t).run("-h").err; strings.Contains(help, "Queries of this dataset") {
		t.Error("-h speaks of queries where there are none")
	}
}
