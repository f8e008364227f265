# make build   bin/cdb, with the entrypoints of both architectures inside
# make test    everything CI checks; the last lines say what was skipped and why
# make demo    a data container out of a real folder, and questions to it
# make bench   measurements beside other tools; BENCH="--quick" or other flags of scripts/bench.sh
# make fuzz    every fuzz target for FUZZTIME (30s)
# make docs    write the generated documents anew
# make clean   remove what the above made

GO ?= go
FUZZTIME ?= 30s
# Neither entrypoint may be larger than this many bytes.
ENTRYPOINT_BUDGET ?= 8000000

export GO ENTRYPOINT_BUDGET
export PATH := $(PATH):/usr/local/go/bin

entrypoints := cmd/cdb/entrypoints/linux-amd64 cmd/cdb/entrypoints/linux-arm64

# What a program is made of: Go files and the files embedded in them, no tests.
parts = go.mod go.sum $(wildcard *.go) $(shell find $(1) -type f ! -name '*_test.go' ! -path '*/testdata/*' \
	! -path '*/entrypoints/linux-*' ! -name '.*')

# Where git refuses to speak of this checkout (another owner's, or there is no git), do without the commit.
buildvcs = $(shell git status --porcelain >/dev/null 2>&1 || echo -buildvcs=false)

.DELETE_ON_ERROR:
.PHONY: build test demo bench fuzz docs clean

build: bin/cdb

bin/cdb: $(entrypoints) $(call parts,cmd/cdb internal)
	CGO_ENABLED=0 $(GO) build -trimpath $(buildvcs) -ldflags "-s -w" -o $@ ./cmd/cdb

# The same source gives the same bytes on every machine: no paths, no build id, no commit, the baseline instruction set.
cmd/cdb/entrypoints/linux-%: $(call parts,cmd/entrypoint internal)
	@mkdir -p $(@D)
	CGO_ENABLED=0 GOOS=linux GOARCH=$* GOAMD64=v1 GOARM64=v8.0 \
		$(GO) build -trimpath -buildvcs=false -ldflags "-s -w -buildid=" -o $@ ./cmd/entrypoint

test:
	scripts/test.sh

demo: build
	scripts/demo.sh

bench: build
	scripts/bench.sh $(BENCH)

fuzz:
	scripts/fuzz.sh $(FUZZTIME)

docs: build
	$(GO) generate ./...

clean:
	rm -rf bin .tools $(entrypoints)
