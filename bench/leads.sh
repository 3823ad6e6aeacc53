#!/bin/bash
# Trains a model on the X Education leads (Leads.csv) by the functions of the extension alone and
# measures it on leads it has not seen, those whose number is divisible by five. What was only known
# after the outcome (tags, quality, profile, the asymmetrique scores, the last notable activity) is
# not among the features. Everything is rolled back.
#   bench/leads.sh <Leads.csv> [<database url>]
# Exits non-zero below AUC 0.897, above ECE 0.02 or above log loss 0.395.
# Called without a file, LEADS_DATA names it, or nothing is done.
# shellcheck source=bench/common.bash
. "$(dirname "$0")/common.bash"

file=${1:-${LEADS_DATA:-}}
given file "$file"
file=$(realpath "$file")

sed "s|@FILE@|${file//\'/\'\'}|" "$(dirname "$0")/leads.sql" | sql ${2:+-d "$2"} -F ' ' >"$work/out"
tail -n 1 "$work/out" | awk '{
	printf "rows %d, AUC %.4f, log loss %.4f, Brier %.4f, ECE10 %.4f, training %d ms\n", $1, $2, $3, $4, $5, $6
	exit !($2 >= 0.897 && $3 <= 0.395 && $5 <= 0.02)
}'
