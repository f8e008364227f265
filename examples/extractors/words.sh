#!/bin/sh
# Speaks JSON Lines in shell and jq: counts the words of each file.
while IFS= read -r question; do
	file=$(printf '%s\n' "$question" | jq -r .file)
	words=$(wc -w <"$file") || words=null
	printf '%s\n' "$question" | jq -c --argjson words "$words" '{id, meta: {words: $words}}'
done
