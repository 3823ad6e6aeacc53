#!/bin/bash
# The model of the cache protocol holds in every reachable state, and each of its mutants is caught.
# A model that was checked before in this tree is not checked again.
cd "$(dirname "$0")/../.." || exit 1
command -v spin >/dev/null || {
	echo 'spin is not installed (scripts/packages check)'
	exit 1
}
stamp=build/model.ok
sum=$(cat test/model/cache.pml "$0" | cksum)
[[ -f $stamp && $(<"$stamp") = "$sum" ]] && exit 0

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p build
bad=0

# Prints what spin and the search say of the model with these definitions.
search()
{
	local dir=$scratch/$1
	shift
	mkdir -p "$dir"
	cp test/model/cache.pml "$dir/"
	(
		cd "$dir" || exit
		spin -a "$@" cache.pml >spin.out 2>&1 && cc -O2 -w -DSAFETY -DMEMLIM=2000 -o pan pan.c &&
			timeout 50 ./pan -m100000 -w24 >pan.out 2>&1
		cat spin.out pan.out
	)
}

holds()
{
	local out
	out=$(search "$@")
	if ! grep -q 'errors: 0' <<<"$out" || grep -qE 'not completed|too small|MEMLIM bound' <<<"$out"; then
		printf 'the model does not hold, or was not searched to its end: %s\n%s\n' "$*" "$out"
		bad=1
	fi
}

caught()
{
	local out
	out=$(search "$@")
	if ! grep -qE 'errors: [1-9]' <<<"$out" || ! grep -q 'assertion violated' <<<"$out"; then
		printf 'the mutant is not caught: %s\n%s\n' "$*" "$out"
		bad=1
	fi
}

holds whole
holds crash -DCRASH
for mutant in NO_MARK STAMP_LATE STAMP_EARLY UNCHECKED CHECK_EARLY SEQ_FIRST; do
	caught "$mutant" "-D$mutant"
done
caught SAME_BOOT -DCRASH -DSAME_BOOT
((bad)) || echo "$sum" >"$stamp"
exit "$bad"
