#!/usr/bin/env bash
# Installs, on Debian as root, the container clients that the end-to-end tests speak to, and what extractors of users are
# written with: Python, jq, and a C compiler for WebAssembly.
# Does nothing when all are there; asks the package index once when some are missing.
# Prints a line "client: reason" on stdout for each that cannot be had; the exit code is 0 then too,
# because the tests of a missing client skip and say so.
set -uo pipefail

# program:package, in the order of their weight
wanted=(
  dockerd:docker.io
  docker:docker.io
  containerd:containerd
  ctr:containerd
  runc:runc
  docker-compose:docker-compose
  podman:podman
  conmon:conmon
  skopeo:skopeo
  buildah:buildah
  umoci:umoci
  busybox:busybox-static
  docker-registry:docker-registry
  python3:python3
  jq:jq
  clang:clang
  wasm-ld:lld
)
# files that recommended packages would bring: without a policy skopeo and podman refuse to load anything
policy=/etc/containers/policy.json
# files of packages without a program: what C needs for WebAssembly
wasi=/usr/include/wasm32-wasi/stdio.h

export PATH="$PATH:/usr/sbin:/sbin"

missing_packages() {
  local pair
  for pair in "${wanted[@]}"; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || echo "${pair##*:}"
  done | sort -u
  [ -e "$policy" ] || echo golang-github-containers-common
  [ -e "$wasi" ] || echo wasi-libc libclang-rt-dev-wasm32
}

packages=$(missing_packages)
[ -n "$packages" ] || exit 0

reason=
if [ "$(id -u)" != 0 ]; then
  reason="not installed, and installing it needs root"
elif ! command -v apt-get >/dev/null 2>&1; then
  reason="not installed, and there is no apt-get to install it with"
fi

if [ -z "$reason" ]; then
  export DEBIAN_FRONTEND=noninteractive
  # A package must not start its service here: the tests start a daemon of their own.
  guard=$(mktemp -d) || exit 1
  trap 'rm -rf "$guard"; [ -n "${made_policy_rc:-}" ] && rm -f /usr/sbin/policy-rc.d' EXIT
  if [ ! -e /usr/sbin/policy-rc.d ]; then
    made_policy_rc=1
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d
  fi
  log=$guard/log
  echo "install-clients: installing" $packages >&2
  install() { apt-get install -y -q --no-install-recommends "$@" </dev/null >>"$log" 2>&1; }
  if ! apt-get update -q </dev/null >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    reason="the package index cannot be reached"
  elif ! install $packages; then
    # One bad package must not cost the others: try each alone.
    for p in $packages; do install "$p" || { echo "install-clients: cannot install $p" >&2; tail -n 3 "$log" >&2; }; done
    reason="apt-get could not install its package"
  fi
fi

for pair in "${wanted[@]}"; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || echo "${pair%%:*}: ${reason:-its package ${pair##*:} does not bring it}"
done
exit 0
