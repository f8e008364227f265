#!/usr/bin/env bash
# The current registry program of the distribution project, which Debian has not.
#
#   registry.sh build   build it into .tools, once
#   registry.sh path    print where it is
#
# Exit code 77: not possible here; the last line on stderr says why.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
export GO=${GO:-go} module=github.com/distribution/distribution/v3 version=v3.1.2
build_time=${REGISTRY_BUILD_TIME:-300} # seconds; two idle cores need a minute and a half
program=$PWD/.tools/registry-$version

skip() { echo "$*" >&2; exit 77; }

# "go install" refuses modules with exclude lines, so a module of our own requires this one.
make_program() {
  export GOFLAGS=-mod=mod GOWORK=off CGO_ENABLED=0
  "$GO" mod init wrapper &&
    "$GO" get "$module/cmd/registry@$version" &&
    "$GO" build -trimpath -ldflags "-s -w" -o registry "$module/cmd/registry"
}
export -f make_program

case ${1:-} in
  path) [ -x "$program" ] || skip "distribution $version is not built (scripts/registry.sh build)" ;;
  build)
    [ -x "$program" ] && exit 0
    command -v "$GO" >/dev/null || skip "$GO is not installed"
    wrapper=$(mktemp -d) || exit 1
    trap 'rm -rf "$wrapper"' EXIT
    (cd "$wrapper" && timeout "$build_time" bash -c make_program) >"$wrapper/log" 2>&1 ||
      skip "cannot build distribution $version within $build_time s: $(tail -n 1 "$wrapper/log" | cut -c1-200)"
    # Beside and renamed: somebody may start it right now.
    mkdir -p .tools && cp "$wrapper/registry" "$program.$$" && mv "$program.$$" "$program" || exit 1
    ;;
  *) echo "usage: registry.sh build|path" >&2; exit 2 ;;
esac
[ "$1" = build ] || echo "$program"
