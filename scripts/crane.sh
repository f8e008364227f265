#!/usr/bin/env bash
# The registry client crane, which Debian has not.
#
#   crane.sh build   build it into .tools, once
#   crane.sh path    print where it is
#
# Exit code 77: not possible here; the last line on stderr says why.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
GO=${GO:-go}
module=github.com/google/go-containerregistry version=v0.22.1
build_time=${CRANE_BUILD_TIME:-300} # seconds; two idle cores need half a minute
program=$PWD/.tools/crane-$version

skip() { echo "$*" >&2; exit 77; }

case ${1:-} in
  path) [ -x "$program" ] || skip "crane $version is not built (scripts/crane.sh build)" ;;
  build)
    [ -x "$program" ] && exit 0
    command -v "$GO" >/dev/null || skip "$GO is not installed"
    made=$(mktemp -d) || exit 1
    trap 'rm -rf "$made"' EXIT
    GOBIN=$made GOFLAGS= GOWORK=off CGO_ENABLED=0 timeout "$build_time" \
      "$GO" install -trimpath -ldflags "-s -w" "$module/cmd/crane@$version" >"$made/log" 2>&1 ||
      skip "cannot build crane $version within $build_time s: $(tail -n 1 "$made/log" | cut -c1-200)"
    # Beside and renamed: somebody may start it right now.
    mkdir -p .tools && cp "$made/crane" "$program.$$" && mv "$program.$$" "$program" || exit 1
    ;;
  *) echo "usage: crane.sh build|path" >&2; exit 2 ;;
esac
[ "$1" = build ] || echo "$program"
