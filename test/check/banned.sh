#!/bin/bash
# Functions that nobody may call: unbounded, not thread safe, or with a better one at hand.
cd "$(dirname "$0")/../.." || exit 1
shopt -s nullglob
everywhere='strcpy|strcat|sprintf|vsprintf|strtok|gets|atoi|atol|alloca|system|popen|rand|localtime|gmtime'
extension='malloc|calloc|realloc|free|printf|exit'

# Prints the calls of these functions in C code without comments and strings.
calls()
{
	local names=$1 file
	shift
	for file in "$@"; do
		perl -0777 -pe 's{("(?:[^"\\\n]|\\.)*")|/\*.*?\*/|//[^\n]*}{
				my $text = $&; $text =~ s/[^\n]/ /g; $text }gse' "$file" |
			grep -nE "(^|[^A-Za-z0-9_>.])($names)[[:space:]]*\(" | sed "s|^|$file:|"
	done
}
found=$(
	calls "$everywhere" extension/*.[ch] gateway/*.[ch] test/unit/*.[ch]
	calls "$extension" extension/*.[ch]
)
if [[ $found ]]; then
	printf 'banned:\n%s\n' "$found"
	exit 1
fi
