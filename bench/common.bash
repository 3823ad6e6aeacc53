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

ratio()
{
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'
}
