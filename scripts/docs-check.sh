#!/usr/bin/env bash
# Checks the documents: every relative link of a Markdown file leads to a file that is there.
# (That the generated documents are up to date is checked by the Go tests.)
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
failed=0
while IFS= read -r doc; do
  # outside fenced blocks and inline code, the target of [text](target "title")
  while IFS= read -r link; do
    link=${link%%#*}
    case $link in
      '' | *://* | mailto:*) continue ;;
    esac
    if [ ! -e "$(dirname "$doc")/$link" ]; then
      echo "$doc: broken link $link"
      failed=1
    fi
  done < <(awk '/^ *```/ { fenced = !fenced; next } !fenced' "$doc" | sed 's/`[^`]*`//g' |
    grep -oE '\]\([^) ]+' | sed 's/^](//')
done < <(find . -name '*.md' -not -path './.git/*' -not -path './.tools/*' -not -path '*/testdata/*')
exit $failed
