#!/bin/bash
# Every regress and isolation test has its expected output, and every expected output its test.
cd "$(dirname "$0")/../.." || exit 1
shopt -s nullglob
faults=0
declare -A names
for test in test/regress/*.sql test/isolation/*.spec; do
	name=$(basename "${test%.*}")
	if [[ ${names[$name]:-} ]]; then
		echo "$test and ${names[$name]} share the name $name and so the expected output"
		faults=1
	fi
	names[$name]=$test
	if [[ ! -f expected/$name.out ]]; then
		echo "$test: expected/$name.out is missing"
		faults=1
	fi
done
for out in expected/*; do
	name=$(basename "$out" .out)
	if [[ -z ${names[$name]:-} ]]; then
		echo "$out: there is no such test"
		faults=1
	fi
done
# A file that no runner looks for would never run.
for file in test/*/*; do
	[[ -f $file ]] || continue
	case $file in
		test/regress/*.sql | test/isolation/*.spec | test/pgtap/*.sql | test/tap/*.sh | test/tap/*.bash | test/tap/*.pl) ;;
		test/unit/*.[ch] | test/gateway/*.test.mjs | test/browser/*.test.mjs | test/fault/*.test.mjs) ;;
		test/lib/* | test/check/* | test/model/*.pml | test/fuzz/*.c | test/node_modules/*) ;;
		*)
			echo "$file: no runner looks for this name"
			faults=1
			;;
	esac
done
exit "$faults"
