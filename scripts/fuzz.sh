#!/usr/bin/env bash
# Runs every fuzz target for some time: fuzz.sh [TIME [TOTAL]], TIME per target (default 3s), TOTAL at most in
# seconds (default: no limit). Each target gets at least a second.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
GO=${GO:-go}
each=${1:-3s}
total=${2:-0}

# "package-folder target" a line
targets=$(grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed -E 's#/[^/]*:func # #' | sort -u)
if [ -z "$targets" ]; then
  echo "no fuzz target"
  exit 0
fi
if [ "$total" -gt 0 ]; then
  n=$(printf '%s\n' "$targets" | wc -l)
  share=$((total / n))
  [ "$share" -ge 1 ] || share=1
  [ "${each%s}" -le "$share" ] || each=${share}s
fi
# fuzz TIME DIR TARGET
fuzz() { $GO test -run '^$' -fuzz "^$3\$" -fuzztime "$1" -fuzzminimizetime 5x "$2" </dev/null 2>&1; }

failed=0
while read -r dir target; do
  echo "$dir $target ($each)"
  out=$(fuzz "$each" "$dir" "$target") && continue
  # The end of its time can catch the fuzzer in the midst of an input, or of making one smaller, which it then reports
  # as a failure. A number of inputs instead of a time has no such end, and an input that was kept as failing is among
  # them: what really fails fails again.
  case $out in
    *"context deadline exceeded"* | *"while minimizing: EOF"*) out=$(fuzz 200x "$dir" "$target") && continue ;;
  esac
  printf '%s\n' "$out"
  failed=1
done <<<"$targets"
exit $failed
