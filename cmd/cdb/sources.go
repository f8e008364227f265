package main

import (
	"strings"

	"github.com/spf13/pflag"

	cdb "github.com/data-containers/cdb"
)

const sourcesHelp = `SRC is a folder; an archive (tar, also compressed with gzip, zstd or bzip2; or
NAME.zip), which is unpacked; any other file; an image (docker://REF, oci:DIR and
so on, or the name of one in the local store): of a data container its data, of
any other all its files; or https://HOST/FILE#sha256=HEX, where HEX is the digest
that the file must have. Several sources become one tree: folders of the same
name are one, but no two may have the same file. --add PATH=SRC puts a source
into a folder of the data. What is unpacked lies in the folder for temporary
files as long as the build runs.`

// sourceFlags say beside the arguments where data comes from.
type sourceFlags struct {
	add      []string
	noUnpack bool
	recipe   string
}

func (s *sourceFlags) flags(f *pflag.FlagSet) {
	// The path comes first as it hardly ever holds a "=", which may well be
	// in a file name or URL.
	f.StringArrayVar(&s.add, "add", nil, "put a source into a folder of the data: `PATH=SRC`; may be repeated")
	f.BoolVar(&s.noUnpack, "no-unpack", false, "take archives as the files that they are")
	f.StringVarP(&s.recipe, "recipe", "f", "", "the recipe to follow: `FILE` (default cdb.yaml, where there is no SRC)")
}

// sources returns those of a command line.
func (s *sourceFlags) sources(args []string) ([]cdb.Source, error) {
	var list []cdb.Source
	add := func(to, arg string) error {
		src, err := cdb.ParseSource(arg)
		src.To, src.Keep = to, s.noUnpack
		if err == nil {
			err = src.Check()
		}
		if err != nil {
			return usagef("build: %v", err)
		}
		list = append(list, src)
		return nil
	}
	for _, arg := range args {
		if err := add("", arg); err != nil {
			return nil, err
		}
	}
	for _, a := range s.add {
		to, arg, ok := strings.Cut(a, "=")
		if !ok || arg == "" {
			return nil, usagef("build: --add %q: give PATH=SRC, such as tables=gdp.csv", a)
		}
		if err := add(to, arg); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// skipBase is what the paths of skipped entries are relative to.
func skipBase(sources []cdb.Source) string {
	if len(sources) == 1 && sources[0].To == "" {
		return sources[0].Path
	}
	return ""
}
