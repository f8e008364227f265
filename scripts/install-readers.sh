#!/usr/bin/env bash
# Installs, on Debian as root, the readers of scientific formats, and of BIDS names, that internal/extract is compared
# with.
# Does nothing when all are there. Prints a line "reader: reason" on stdout for each that cannot be had; the exit code
# is 0 then too, because the test of a missing reader skips and says so.
set -uo pipefail

packages=()
for module in bids_validator h5py nibabel pydicom scipy; do
  /usr/bin/python3 -c "import $module" >/dev/null 2>&1 || packages+=("python3-${module//_/-}")
done
[ ${#packages[@]} -gt 0 ] || exit 0

reason=
if [ "$(id -u)" != 0 ]; then
  reason="not installed, and installing it needs root"
elif ! command -v apt-get >/dev/null 2>&1; then
  reason="not installed, and there is no apt-get to install it with"
else
  export DEBIAN_FRONTEND=noninteractive
  echo "install-readers: installing ${packages[*]}" >&2
  if ! { apt-get update -q && apt-get install -y -q --no-install-recommends "${packages[@]}"; } </dev/null >/dev/null 2>&1; then
    reason="apt-get could not install it"
  fi
fi
[ -z "$reason" ] || for p in "${packages[@]}"; do echo "$p: $reason"; done
exit 0
