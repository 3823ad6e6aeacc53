# shellcheck shell=bash
# What the measurements share. Figures of one run stand side by side; only their ratios mean
# anything, since the machine is shared and loud.
set -euo pipefail
shopt -s inherit_errexit

seconds=${BENCH_SECONDS:-2}
rounds=${BENCH_ROUNDS:-3}
work=$(mktemp -d)
cleanups=('rm -rf "$work"')
trap 'for c in "${cleanups[@]}"; do eval "$c"; done' EXIT

say()
{
	printf '%s\n' "$*" >&2
}

need()
{
	command -v "$1" >/dev/null || {
		say "${0##*/}: $1 is not installed: apt-get install ${2:-$1}"
		exit 1
	}
}

# given <what> <path>: without data to measure by, a script says how it is called and does nothing
given()
{
	[[ -z $2 ]] || return 0
	sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2
	say "skipped: no $1 given"
	exit 0
}

sql()
{
	psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"
}

# tps <clients> <script text> [pgbench options]: transactions a second
tps()
{
	local clients=$1 text=$2
	shift 2
	printf '%s\n' "$text" >"$work/script.sql"
	pgbench -n -M prepared -c "$clients" -j 2 -T "$seconds" -f "$work/script.sql" "$@" 2>"$work/err" |
		sed -n 's/^tps = \([0-9.]*\).*/\1/p' | grep . || {
		cat "$work/err" >&2
		return 1
	}
}

# contest <clients> <variant>...: what insert prints for each variant, in turns; the best round of
# each ends up in best[variant]
contest()
{
	local clients=$1 round variant got
	shift
	best=()
	for ((round = 0; round < rounds; round++)); do
		for variant; do
			got=$(tps "$clients" "$(insert "$variant")")
			best[$variant]=$(printf '%s\n' "$got" "${best[$variant]:-0}" | sort -g | tail -n 1)
		done
	done
}
declare -A best

# scratch <database>: a database of our own with SalesHub in it, gone at the end; from here on sql
# and pgbench work there. Its tables are not served by the worker.
scratch()
{
	export PGDATABASE=$1
	psql -X -q -d postgres -c 'SET client_min_messages = warning' \
		-c "DROP DATABASE IF EXISTS $1" -c "CREATE DATABASE $1"
	cleanups+=("psql -X -q -d postgres -c 'DROP DATABASE IF EXISTS $1 WITH (FORCE)'")
	sql -c 'SET client_min_messages = warning' -c 'CREATE EXTENSION saleshub CASCADE' \
		-c 'SELECT saleshub.install()' >/dev/null
}

# backend_ms: CPU milliseconds of the backends that have ended, all together; for a second witness on
# a machine that others use. Nothing when the server runs elsewhere.
backend_ms()
{
	local postmaster
	postmaster=$(sql -c "SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)")
	awk -v hz="$(getconf CLK_TCK)" '{ printf "%d", ($16 + $17) * 1000 / hz }' "/proc/$postmaster/stat" 2>/dev/null || echo 0
}

# median: of the numbers of standard input
median()
{
	sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

ratio()
{
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'
}
