#!/bin/bash
# Finds the duplicates of the FEBRL data sets (dataset1.csv to dataset3.csv) as contacts, through
# the keys and the comparison that the product uses, and compares them with the truth in rec_id.
# The contacts are written into an organisation of their own and rolled back. Then misspelt names
# of companies, which are made up, are sought by the keys of companies.
#   bench/febrl.sh <folder> [<database url>]
# The role must be a superuser. Exits non-zero below F1 0.99 or above 2 candidates a record.
# Called without a folder, FEBRL_DATA names it, or nothing is done.
# shellcheck source=bench/common.bash
. "$(dirname "$0")/common.bash"

folder=${1:-${FEBRL_DATA:-}}
given folder "$folder"
folder=$(cd "$folder" && pwd)

measure()
{
	sed "s|@FILE@|${folder//\'/\'\'}/$1|" "$(dirname "$0")/febrl.sql" | sql ${2:+-d "$2"} -F ' '
}

bad=0
for set in dataset1 dataset2 dataset3; do
	measure "$set.csv" "${2:-}" >"$work/out"
	read -r records pairs candidates found right < <(tail -n 1 "$work/out")
	awk -v set="$set" -v n="$records" -v pairs="$pairs" -v c="$candidates" -v found="$found" \
		-v right="$right" 'BEGIN {
			p = right / found; r = right / pairs; f = 2 * p * r / (p + r)
			printf "%s: records %d, true pairs %d, candidates a record %.2f, ", set, n, pairs, c / n
			printf "precision %.4f, recall %.4f, F1 %.4f\n", p, r, f
			exit !(f >= 0.99 && c / n <= 2)
		}' || bad=1
done
IFS='|' read -r line enough < <(sql ${2:+-d "$2"} -f "$(dirname "$0")/company.sql")
echo "$line"
[[ $enough == t ]] || bad=1
exit "$bad"
