#!/usr/bin/env bash
# Everything CI checks. Each check runs even when one before it failed; the last lines say what failed, and what was
# skipped and why. As root on Debian it installs the container clients that the end-to-end tests speak to, and the
# readers of scientific formats that extraction is compared with.
#
#   FUZZTIME             per fuzz target (default 3s; all together at most 90 s)
#   CDB_TEST_REQUIRE=1   a client that is not there fails the tests instead of skipping them
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
exec </dev/null
export GO=${GO:-go} ENTRYPOINT_BUDGET=${ENTRYPOINT_BUDGET:-8000000} FUZZTIME=${FUZZTIME:-3s}
export HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
tools=$PWD/.tools
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
skips=$work/skips failures=$work/failures
: >"$skips" >"$failures"

skipped() { echo "$*" >>"$skips"; }

# check NAME COMMAND...: run it, time it, note it if it fails
check() {
  local name=$1 begin=$SECONDS
  shift
  echo "== $name"
  if "$@"; then
    echo "   ok, $((SECONDS - begin)) s"
  else
    echo "   FAILED, $((SECONDS - begin)) s"
    echo "$name" >>"$failures"
  fi
}

formatted() {
  local bad
  bad=$(find . -name '*.go' -not -path './.git/*' -print0 | xargs -0r gofmt -l) || return 1
  [ -z "$bad" ] || { printf 'not formatted: %s\n' $bad; return 1; }
}

# install_tool MODULE@VERSION: into .tools, once for each version
install_tool() {
  local name=${1%@*} stamp
  name=${name##*/}
  stamp=$tools/$name-${1##*@}
  [ -e "$stamp" ] && return
  GOBIN=$tools timeout 300 $GO install "$1" >"$work/$name.log" 2>&1 && touch "$stamp"
}

static_check() {
  if ! install_tool honnef.co/go/tools/cmd/staticcheck@v0.8.2; then
    skipped "staticcheck: cannot be installed ($(tail -n 1 "$work/staticcheck.log"))"
    return
  fi
  "$tools/staticcheck" ./...
}

vulnerabilities() {
  if ! install_tool golang.org/x/vuln/cmd/govulncheck@v1.8.0; then
    skipped "govulncheck: cannot be installed ($(tail -n 1 "$work/govulncheck.log"))"
    return
  fi
  local code
  timeout 120 "$tools/govulncheck" ./... >"$work/vuln.log" 2>&1
  code=$?
  # 0: none; 3: some found; anything else: it could not ask its database
  case $code in
    0) ;;
    3) cat "$work/vuln.log"; return 1 ;;
    124) skipped "govulncheck: no answer from its database within two minutes" ;;
    *) skipped "govulncheck: $(grep -v '^$' "$work/vuln.log" | tail -n 1 | cut -c1-200)" ;;
  esac
}

# go_test LOG ARGUMENTS...: go test -v with only the result lines shown as they come; when it fails, the rest too.
# Every skipped test lands in the list with its reason.
go_test() {
  local log=$work/$1 code
  shift
  $GO test -v "$@" 2>&1 | tee "$log" | awk '/^(ok|FAIL)[ \t]/ || /^ *--- FAIL/ { print "   " $0; fflush() }'
  code=${PIPESTATUS[0]}
  if [ "$code" != 0 ]; then
    grep -vE '^ *(=== (RUN|PAUSE|CONT|NAME)|--- (PASS|SKIP)|PASS$|ok[ 	]|\?[ 	])' "$log"
  fi
  reasons "$log" >>"$skips"
  return "$code"
}

# reasons LOG: "reason: test, test" for what a verbose log of go test shows as skipped
reasons() {
  awk '
    /^=== (RUN|CONT|NAME)/ { current = $3; next }
    /^ +[A-Za-z0-9_]+\.go:[0-9]+: / { sub(/^ +[^ ]+ /, ""); said[current] = $0; next }
    /^ *--- SKIP: / {
      why = ($3 in said) ? said[$3] : "no reason given"
      if (!(why in tests)) order[++n] = why
      tests[why] = tests[why] (tests[why] == "" ? "" : ", ") $3
    }
    END { for (i = 1; i <= n; i++) print tests[order[i]] ": " order[i] }
  ' "$1"
}

units() {
  local race=-race
  if ! command -v "$($GO env CC)" >/dev/null 2>&1; then
    race=
    skipped "race detector: there is no C compiler; the tests ran without it"
  elif [ "$($GO env CGO_ENABLED)" = 0 ]; then
    race=
    skipped "race detector: CGO_ENABLED=0; the tests ran without it"
  fi
  go_test units.log $race -timeout 25m $($GO list ./... | grep -v '/e2e$')
}

end_to_end() {
  CDB=$PWD/bin/cdb go_test e2e.log -count=1 -timeout 20m ./e2e/
}

sizes() {
  local f size code=0
  for f in cmd/cdb/entrypoints/linux-amd64 cmd/cdb/entrypoints/linux-arm64; do
    size=$(stat -c %s "$f") || return 1
    echo "   $f: $size bytes of $ENTRYPOINT_BUDGET"
    [ "$size" -le "$ENTRYPOINT_BUDGET" ] || { echo "   larger than its budget"; code=1; }
  done
  return $code
}

command -v "$GO" >/dev/null || { echo "test.sh: $GO is not installed" >&2; exit 1; }
$GO version

if [ "$(uname -s)" = Linux ]; then
  echo "== clients and readers"
  scripts/install-clients.sh | while IFS= read -r line; do skipped "$line"; done
  scripts/install-readers.sh | while IFS= read -r line; do skipped "$line"; done
fi
echo "== registry"
scripts/registry.sh build 2>"$work/registry.log" || skipped "distribution v3: $(tail -n 1 "$work/registry.log")"
echo "== validators"
scripts/install-validators.sh | while IFS= read -r line; do skipped "$line"; done
check gofmt formatted
check build make --no-print-directory build
check "entrypoint size" sizes
check "go vet" $GO vet ./...
check staticcheck static_check
check govulncheck vulnerabilities
check documents scripts/docs-check.sh
check "unit tests" units
check "end-to-end tests" end_to_end
check fuzz scripts/fuzz.sh "$FUZZTIME" 90

echo
if [ -s "$skips" ]; then
  echo "Skipped:"
  sort -u "$skips" | sed 's/^/  /'
else
  echo "Skipped: nothing"
fi
if [ -s "$failures" ]; then
  echo "FAILED: $(paste -sd, "$failures" | sed 's/,/, /g')"
  exit 1
fi
echo "All checks passed in $SECONDS s."
