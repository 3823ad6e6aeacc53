#!/bin/bash
# A file has at most 700 lines; split by responsibility.
cd "$(dirname "$0")/../.." || exit 1
shopt -s nullglob
found=$(wc -l extension/*.[ch] gateway/*.[ch] gateway/web/*.js gateway/web/*.css sql/*/*.sql test/*/*.mjs \
	test/*/*.sql test/*/*.[ch] scripts/* 2>/dev/null | awk '$1 > 700 && $2 != "total" { print $2 ": " $1 " lines" }')
if [[ $found ]]; then
	printf '%s\n' "$found"
	exit 1
fi
