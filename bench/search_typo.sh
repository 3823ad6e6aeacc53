#!/bin/bash
# How often search finds a person whose name was typed with one random edit: the names of a FEBRL
# data set as contacts, a thousand of them misspelt and sought through crm.search(). The organisation
# is rolled back.
#   bench/search_typo.sh <folder with dataset4a.csv> [<database url>]
# The role must be a superuser on this machine. Exits non-zero when fewer than 95 % are among the
# first three. Called without a folder, FEBRL_DATA names it, or nothing is done.
# shellcheck source=bench/common.bash
. "$(dirname "$0")/common.bash"

folder=${1:-${FEBRL_DATA:-}}
given folder "$folder"
chmod 755 "$work"
cp "$folder/dataset4a.csv" "$work/names.csv"
chmod 644 "$work/names.csv"
sql ${2:+-d "$2"} -F ' ' -v file="$work/names.csv" -f "$(dirname "$0")/search_typo.sql" >"$work/out"
read -r people asked found first median slow < <(head -n 1 "$work/out")
printf '%d of %d misspelt names found among the first three of %d people, %d as the first; %s ms, p99 %s ms\n' \
	"$found" "$asked" "$people" "$first" "$median" "$slow"
[[ -z ${BENCH_VERBOSE:-} ]] || tail -n +2 "$work/out"
((found * 100 >= asked * 95))
