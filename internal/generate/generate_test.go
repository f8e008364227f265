package generate_test

import (
	"go/format"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/data-containers/cdb/internal/generate"
)

// source runs a template over a dataset.
func source(t testing.TB, d *generate.Dataset, name, text string) string {
	t.Helper()
	tmpl, err := generate.Parse(name, text)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := generate.Print(&b, tmpl, d); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func object(path, metadata string) generate.File {
	return generate.File{Path: path, Type: "file", Metadata: metadata, Object: true}
}

func dataset(files ...generate.File) *generate.Dataset {
	slices.SortFunc(files, func(a, b generate.File) int { return strings.Compare(a.Path, b.Path) })
	return &generate.Dataset{Generator: "cdb test", Files: files, Metrics: generate.Metrics(files, "size")}
}

// What is written is formatted as gofmt has it, whatever is in it.
func TestIsFormatted(t *testing.T) {
	var many []generate.File
	for i := range 2000 {
		many = append(many, object(strconv.Itoa(i), `{"size": `+strconv.Itoa(i*7919%1000)+`}`))
	}
	for name, d := range map[string]*generate.Dataset{
		"nothing": dataset(),
		"odd":     dataset(object("a`\n\r\ufeff\xff\\\"", `{"b`+"`"+`": "\n"}`), object("\u202e", "{}")),
		"many":    dataset(many...),
	} {
		src := source(t, d, "", "")
		formatted, err := format.Source([]byte(src))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if string(formatted) != src {
			t.Errorf("%s: gofmt would change it", name)
		}
		for i, line := range strings.Split(src, "\n") {
			if len(line) > 160 {
				t.Errorf("%s: line %d has %d bytes", name, i+1, len(line))
			}
		}
	}
}

// Metrics order as the entrypoint does: by the kind of the value first, files
// without it left to come before all others, ties by path.
func TestMetrics(t *testing.T) {
	files := []generate.File{
		object("a", `{"v": 10}`), object("b", `{"v": 9}`), object("c", `{"v": "10"}`), object("d", `{"v": "9"}`),
		object("e", `{"v": null}`), object("f", `{"v": true}`), object("g", `{"w": 1, "w": 2}`), object("h", `{"v": [3, 1]}`),
		object("i", `{"v": {"x": 5, "y": "q"}}`), object("j", `{"v": -2500.0}`), {Path: "k", Metadata: `{"v": 1}`},
	}
	got := generate.Metrics(files, "size")
	want := []generate.Metric{{Name: "size"}, {Name: "v", Order: []int{4, 9, 1, 0, 2, 3, 5, 7, 8}}, {Name: "w", Order: []int{6}}}
	if !slices.EqualFunc(got, want, func(a, b generate.Metric) bool { return a.Name == b.Name && slices.Equal(a.Order, b.Order) }) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// A text of definitions changes the bundled template, any other replaces it,
// and errors say where.
func TestParse(t *testing.T) {
	d := dataset(object("a`b", `{"size": 1}`))
	got := source(t, d, "my.tmpl", "{{/* changes one thing */}}\n{{define \"usage\"}}\n  -mine{{end}}\n")
	if want := strings.Replace(source(t, d, "", ""), "print this help\n", "print this help\n  -mine\n", 1); got != want {
		t.Errorf("a definition gives\n%s", got)
	}
	got = source(t, d, "my.tmpl", "{{range .Files}}{{quote .Path}} {{json .Path}} {{.Metadata}}{{end}}{{range .Metrics}} {{.Name}}={{.Order}}{{end}}")
	if got != "\"a`b\" \"a`b\" {\"size\": 1} size=[0]" {
		t.Errorf("a template gives %q", got)
	}
	// A block may have the name of the file.
	if got := source(t, d, "usage", `{{define "usage"}}X{{end}}`); !strings.Contains(got, "helpX") {
		t.Error("a file called as a block is: its definitions are lost")
	}
	if _, err := generate.Parse("my.tmpl", "\n{{nothing}}"); err == nil || !strings.Contains(err.Error(), `my.tmpl":2`) {
		t.Errorf("a wrong template: %v", err)
	}
	tmpl, err := generate.Parse("my.tmpl", "\n\n{{.Nothing}}")
	if err != nil {
		t.Fatal(err)
	}
	if err := generate.Print(&strings.Builder{}, tmpl, d); err == nil || !strings.Contains(err.Error(), `my.tmpl":3`) {
		t.Errorf("a template that fails: %v", err)
	}
}

// What cannot be written in a Dockerfile is refused, and nothing steers it.
func TestDockerfile(t *testing.T) {
	good := generate.Image{Generator: "cdb test", Source: "my app/entrypoint.go", Data: "the data", Prefix: "/data", Title: "the data"}
	text, err := generate.Dockerfile(good)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"COPY [\"my app/entrypoint.go\", \"entrypoint.go\"]\n", "COPY [\"the data\", \"/data/\"]\n", "title=\"the data\"\n",
		"FROM golang:1.26 AS build\n", "\nFROM scratch\n", "ENTRYPOINT [\"/entrypoint\"]\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	good.Data, good.IsFile = "some/file.csv", true
	if text, err = generate.Dockerfile(good); err != nil || !strings.Contains(text, "COPY [\"some/file.csv\", \"/data/file.csv\"]\n") {
		t.Errorf("of a file: %v\n%s", err, text)
	}
	for _, name := range []string{"a\nRUN x", "a$HOME", "*", "a?", "[a]", "\"", "\\", "\xff", "é"} {
		bad := good
		bad.Data = name
		if text, err := generate.Dockerfile(bad); err == nil {
			t.Errorf("%q is written:\n%s", name, text)
		}
	}
}

// No name gets out of the literal that it is in, and each comes back.
func FuzzRows(f *testing.F) {
	f.Add("a`b", `{"size": 1}`)
	f.Add("\r\n\t\ufeff\x00\xff\\x41", "plain ` text\n")
	f.Add("`+os.Exit(1)+`", "\\")
	f.Fuzz(func(t *testing.T, path, metadata string) {
		literal := generate.Rows([]generate.File{{Path: path, Metadata: metadata}})
		text, err := strconv.Unquote(literal)
		if err != nil || literal[0] != '`' {
			t.Fatalf("%q: %v", literal, err)
		}
		if "`"+text+"`" != literal {
			t.Fatalf("the compiler reads %q as %q", literal, text)
		}
		line := strings.TrimSuffix(strings.TrimPrefix(text, "\n"), "\n")
		gotPath, gotMetadata, _ := strings.Cut(line, "\t")
		for _, pair := range [][2]string{{gotPath, path}, {gotMetadata, metadata}} {
			// The escapes are those of interpreted literals.
			back, err := strconv.Unquote(`"` + strings.ReplaceAll(pair[0], `"`, `\"`) + `"`)
			if err != nil || back != pair[1] {
				t.Errorf("%q becomes %q and back %q, %v", pair[1], pair[0], back, err)
			}
			for _, c := range []byte(pair[0]) {
				if c < ' ' || c > '~' || c == '`' {
					t.Errorf("%q holds byte %#x", pair[0], c)
				}
			}
		}
	})
}
