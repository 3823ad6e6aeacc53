#!/bin/bash
# How well search ranks: the Cranfield collection (cran.all.1400, cran.qry and cranqrel) as notes,
# its questions asked through crm.search() as they are written, judged by nDCG@10 with gains of 4 to
# 1, beside Xapian's BM25 with the English stemmer and ts_rank_cd of any of the words. The
# organisation is rolled back.
#   bench/search_quality.sh <folder> [<database url>]
# The role must be a superuser on this machine. Exits non-zero below 0.40, or below Xapian, on the
# odd queries, by which no setting was chosen. Called without a folder, CRANFIELD_DATA names it, or
# nothing is done.
# shellcheck source=bench/common.bash
. "$(dirname "$0")/common.bash"

folder=${1:-${CRANFIELD_DATA:-}}
given folder "$folder"
/usr/bin/python3 -c 'import xapian' 2>/dev/null || {
	say "${0##*/}: Xapian is not installed: apt-get install python3-xapian"
	exit 1
}

collection()
{
	/usr/bin/python3 "$(dirname "$0")/search_quality.py" "$1" "$folder"
}

chmod 755 "$work"
collection documents >"$work/documents.tsv"
collection queries >"$work/queries.tsv"
{
	collection xapian
	sql ${2:+-d "$2"} -F ' ' -v folder="$work" -f "$(dirname "$0")/search_quality.sql"
} >"$work/runs"
collection judge <"$work/runs"
