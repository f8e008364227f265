#!/usr/bin/env bash
# Measures cdb beside other tools; tools that are not installed are named and left out. As root it measures Docker,
# too, with a private daemon. Input stays in ${TMPDIR:-/tmp}/cdb-bench for the next time: about 8 GiB, most of it
# 1,100,000 small files. While it runs, outputs take up to 8 GiB more.
#
#   bench.sh [--quick] [--million DIR] [--write docs/benchmarks.md] ...   (bench.sh --help shows all)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
${GO:-go} build -buildvcs=false -o bin/bench ./bench
exec bin/bench --cdb bin/cdb "$@"
