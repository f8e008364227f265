#!/usr/bin/env bash
# Measures cdb beside other tools; tools that are not installed are named and left out. As root it measures Docker,
# too, with a private daemon, and registries over a slow line, and installs restic, skopeo, docker-registry and Docker
# if it can. Input stays in ${TMPDIR:-/tmp}/cdb-bench for the next time: about 9 GiB, most of it 1,100,000 small files.
# While it runs, outputs take up to 16 GiB and 1,200,000 inodes more. --ten-million DIR measures 10,000,000 files in
# DIR, too, and makes them if DIR is absent: 10,010,000 inodes and 5 GiB that stay, and up to 10 GiB of outputs.
# --only registry measures registries alone: less than half an hour on two cores, a few minutes with --quick.
#
#   bench.sh [--quick] [--million DIR] [--ten-million DIR] [--write docs/benchmarks.md] ...   (bench.sh --help shows all)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ "$(id -u)" = 0 ] && ! command -v restic >/dev/null && command -v apt-get >/dev/null; then
  # Without it the bench says so and goes on.
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends restic; } </dev/null >/dev/null 2>&1 || true
fi
if [ "$(id -u)" = 0 ]; then
  scripts/install-clients.sh >/dev/null || true # docker, skopeo, docker-registry
fi
${GO:-go} build -buildvcs=false -o bin/bench ./bench
exec bin/bench --cdb bin/cdb "$@"
