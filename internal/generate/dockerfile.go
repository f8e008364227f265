package generate

import (
	"encoding/json"
	"fmt"
	"strings"
)

// An Image is what a Dockerfile makes: paths are relative to the build
// context, with slashes.
type Image struct {
	Generator string
	Source    string // the generated file
	Data      string // the folder or the file that was described
	IsFile    bool   // Data is a single file
	Prefix    string // the folder of the data in the image
	Title     string
}

// Dockerfile returns the text of a Dockerfile in two stages: one compiles the
// program, the other has it, and the data, and nothing else.
func Dockerfile(i Image) (string, error) {
	for _, s := range []string{i.Source, i.Data, i.Prefix, i.Title} {
		// Some of them steer COPY, whatever the quotes around them.
		if k := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune("\\\"'`$*?[]", r) }); k >= 0 {
			return "", fmt.Errorf("name %q in a Dockerfile: %q cannot be written there; choose another name", s, s[k:k+1])
		}
	}
	to := strings.TrimSuffix(i.Prefix, "/") + "/"
	if i.IsFile {
		to += i.Data[strings.LastIndexByte(i.Data, '/')+1:]
	}
	return fmt.Sprintf(`# Written by %[1]s. In the folder of this file:
#   docker build -t NAME .
#   docker run --rm NAME -ls

FROM golang:1.26 AS build
WORKDIR /build
COPY %[2]s
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /entrypoint entrypoint.go

FROM scratch
LABEL org.opencontainers.image.title=%[3]s
LABEL org.opencontainers.image.description="A data container made by %[1]s"
COPY %[4]s
COPY --from=build /entrypoint /entrypoint
USER 65532:65532
ENTRYPOINT ["/entrypoint"]
`, i.Generator, list(i.Source, "entrypoint.go"), list(i.Title)[1:len(list(i.Title))-1], list(i.Data, to)), nil
}

// list returns words in the form of JSON, which may hold spaces.
func list(words ...string) string {
	for i, w := range words {
		q, _ := json.Marshal(w) // a string always can be
		words[i] = string(q)
	}
	return "[" + strings.Join(words, ", ") + "]"
}
