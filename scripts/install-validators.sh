#!/usr/bin/env bash
# Installs the validators of metadata standards that the tests of internal/standard ask: xmllint and node by apt (as root
# on Debian), libraries of RO-Crate and Frictionless Data by npm into .tools/validators.
# Does nothing when all are there. Prints a line "validator: reason" on stdout for each that cannot be had; the exit code
# is 0 then too, because its tests skip and say so.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
modules=(ro-crate@3.7.2 datapackage@1.1.10)
dir=$PWD/.tools/validators

packages=
command -v xmllint >/dev/null 2>&1 || packages+=" libxml2-utils"
command -v node >/dev/null 2>&1 || packages+=" nodejs"
command -v npm >/dev/null 2>&1 || packages+=" npm"
reason=
if [ -n "$packages" ]; then
  if [ "$(id -u)" != 0 ]; then
    reason="not installed, and installing it needs root"
  elif ! command -v apt-get >/dev/null 2>&1; then
    reason="not installed, and there is no apt-get to install it with"
  else
    export DEBIAN_FRONTEND=noninteractive
    echo "install-validators: installing$packages" >&2
    log=$(mktemp) || exit 1
    trap 'rm -f "$log"' EXIT
    apt-get update -q </dev/null >"$log" 2>&1
    # one bad package must not cost the others
    for p in $packages; do
      apt-get install -y -q --no-install-recommends "$p" </dev/null >>"$log" 2>&1 || reason="apt-get could not install it"
    done
    [ -z "$reason" ] || tail -n 3 "$log" >&2
  fi
fi
for p in xmllint node npm; do
  command -v "$p" >/dev/null 2>&1 || echo "$p: ${reason:-its package does not bring it}"
done
command -v npm >/dev/null 2>&1 || exit 0

stamp=$dir/$(printf '%s-' "${modules[@]}" | tr '/' '_')done
[ -e "$stamp" ] && exit 0
mkdir -p "$dir" || exit 1
[ -e "$dir/package.json" ] || echo '{"private": true}' >"$dir/package.json"
if timeout 300 npm install --prefix "$dir" --no-audit --no-fund --ignore-scripts --loglevel=error "${modules[@]}" </dev/null >&2; then
  touch "$stamp"
else
  for m in "${modules[@]}"; do echo "${m%@*}: npm could not install it"; done
fi
exit 0
