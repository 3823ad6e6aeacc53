#!/bin/bash
# Training and scoring against what they compete with, in one run and in turns, on BENCH_ROWS rows
# (1,000,000) of 20 numbers:
#   training          beside SQL that sums the same columns, and export (COPY BINARY) + scikit-learn
#   saleshub.logit_score   beside the same model as an SQL expression and as PL/pgSQL, each by CASE
#                     and by arrays; PL/pgSQL as one expression and as a statement for each feature
# Given is the time passed and the CPU time of the backend, in milliseconds: medians of BENCH_ROUNDS
# turns. All ways of scoring are first held against each other to 1e-12.
# shellcheck source=bench/common.bash
. "$(dirname "$0")/common.bash"

rows=${BENCH_ROWS:-1000000}
python=${PYTHON:-/usr/bin/python3}
"$python" -c 'import sklearn' 2>/dev/null || {
	say "${0##*/}: scikit-learn is not installed: apt-get install python3-sklearn"
	exit 1
}
scratch bench_score
sql -c 'CREATE SCHEMA bench' >/dev/null
sql -v rows="$rows" -v turns="$rounds" -f "$(dirname "$0")/score.sql" >"$work/took"

began=$(date +%s%N)
columns=$(seq -f 'f%g' -s ', ' 1 20)
sql -c "COPY (SELECT won::float8, $columns FROM bench.numbers) TO STDOUT (FORMAT binary)" >"$work/rows"
exported=$(date +%s%N)
"$python" "$(dirname "$0")/score.py" "$work/rows" >"$work/fitted"
ended=$(date +%s%N)

awk -F'|' -v rows="$rows" -v export_ms="$(((exported - began) / 1000000))" \
	-v fit_ms="$(((ended - exported) / 1000000))" '
$1 == "took" { ms[$2] = $3; cpu[$2] = $4; order[++n] = $2 }
function ratio(name, a, b) { printf "%-46s %6.2f by the clock, %6.2f by CPU\n", name, ms[a] / ms[b], cpu[a] / cpu[b] }
END {
	printf "%d rows; ms by the clock, ms of CPU\n", rows
	for (i = 1; i <= n; i++)
		printf "  %-12s %8d %8d\n", order[i], ms[order[i]], cpu[order[i]]
	printf "  %-12s %8d (export %d, fit %d)\n", "scikit-learn", export_ms + fit_ms, export_ms, fit_ms
	ratio("training / sums of the same columns (<= 1.2)", "training", "sums")
	printf "%-46s %6.1f by the clock\n", "export + scikit-learn / training (>= 10)", (export_ms + fit_ms) / ms["training"]
	ratio("SQL by arrays / logit_score (>= 3.5)", "sql_array", "score")
	ratio("SQL by CASE / logit_score (>= 3.5)", "sql_case", "score")
	ratio("PL/pgSQL, one expression, arrays (>= 9)", "one_array", "score")
	ratio("PL/pgSQL, one expression, CASE (>= 9)", "one_case", "score")
	ratio("PL/pgSQL, by feature, arrays (>= 9)", "steps_array", "score")
	ratio("PL/pgSQL, by feature, CASE (>= 9)", "steps_case", "score")
}' "$work/took"
