#!/usr/bin/env bash
# Makes a data container out of a folder (the sources of Go, unless another is named) and asks it questions.
# Needs no Docker: the image is an OCI layout in a temporary folder, which is removed at the end.
#
#   demo.sh [FOLDER]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cdb=$PWD/bin/cdb
folder=${1:-$(${GO:-go} env GOROOT)/src}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CDB_STORE=$work/store
image=oci:$work/layout:demo

say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
quoted() {
  case $1 in
    *[!A-Za-z0-9_./:=@-]*) printf " '%s'" "$1" ;;
    *) printf ' %s' "$1" ;;
  esac
}
# show COMMAND...: print it and run it; of a long answer the first lines
show() {
  local word n
  printf '$ cdb'
  for word in "$@"; do quoted "$word"; done
  echo
  "$cdb" "$@" >"$work/answer"
  head -n 8 "$work/answer" | cut -c1-160
  n=$(wc -l <"$work/answer")
  [ "$n" -le 8 ] || echo "... ($n lines)"
}

say "A folder becomes a data container: one pass over $(du -sh "$folder" | cut -f1) in $(find "$folder" -type f | wc -l) files"
begin=$SECONDS
show build "$folder" --title "Demo" -o "$image"
echo "($((SECONDS - begin)) s, $(du -sh "$work/layout" | cut -f1))"
some=$("$cdb" query "$image" -ls -where "size BETWEEN 100 AND 1000 AND (name LIKE '%.go' OR name LIKE '%.txt' OR name LIKE '%.md')" -limit 1)
[ -n "$some" ] || some=$("$cdb" query "$image" -ls -limit 1)

say "What is in it"
show query "$image" -info
show query "$image" -ls
say "One file: its metadata, and its bytes (only the frames it lies in are read)"
show query "$image" -get "$some"
show cat "$image" "$some"
say "Ordered by size, the largest first"
show query "$image" -metric size -desc -limit 5
say "Search: sizes with 4096 in them"
show query "$image" -metric size -search 4096
say "SQL"
show query "$image" -sql "SELECT dir, count(*) AS files, sum(size) AS bytes FROM files GROUP BY dir ORDER BY bytes DESC LIMIT 5"
say "Every byte is still what the catalog says"
show verify "$image"
