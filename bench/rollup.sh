#!/bin/bash
# What exact figures cost and what they save, in a database of its own, everything in turns and each
# figure the median of its rounds. "bare" is a table like crm.activity with its indexes and no
# trigger, "full" one with all triggers of crm.activity (versions, history, events, search) but the
# rollups; each without figures (none), with a row trigger that brings the row of sums up to date
# (row), and with our deltas (deltas) while another session folds them without a pause.
#   single rows of BENCH_CLIENTS (16) writers of one organisation, all into one group
#   BENCH_BULK (200000) rows by one statement, nearly each a group of its own
#   sums of BENCH_READ (1000000) activities, from them and from the rollups
# Exits non-zero when the sums are not those of the rows. The judged ratios are of the bare tables,
# where there is nothing else that the cost of figures could hide behind.
# shellcheck source=bench/common.bash
. "$(dirname "$0")/common.bash"
need pgbench postgresql-contrib

clients=${BENCH_CLIENTS:-16}
bulk=${BENCH_BULK:-200000}
read=${BENCH_READ:-1000000}
scratch saleshub_bench_rollup
sql -f "$(dirname "$0")/rollup.sql"
org=$(sql -c 'SELECT org_id FROM crm.org')
export PGOPTIONS="-c saleshub.org_id=$org"

# --- single rows ---

# Folds without a pause until it is told to stop.
fold_on()
{
	while [[ -e $work/folding ]]; do
		echo 'SELECT saleshub.fold();'
	done | sql >"$work/folded" &
	folder=$!
}

# How many locks were waited for at so many moments, looked at every 20 ms; "moments waits"
watch_locks()
{
	sql -F ' ' -c "DO \$\$
		DECLARE
		    moments int := 0;
		    waits int := 0;
		BEGIN
		    WHILE clock_timestamp() < now() + interval '$seconds seconds' LOOP
		        PERFORM pg_sleep(0.02);
		        moments := moments + 1;
		        waits := waits + (SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype <> 'extend');
		    END LOOP;
		    PERFORM set_config('bench.seen', moments || ' ' || waits, false);
		END \$\$" -c "SELECT current_setting('bench.seen')"
}

# writers <table>: adds "tps, CPU microseconds a row, moments, waits" to its file
writers()
{
	local before after
	printf "INSERT INTO bench.%s (type, subject) VALUES ('call', 'Bench');\n" "$1" >"$work/script.sql"
	watch_locks >"$work/locks" &
	watcher=$!
	before=$(backend_ms)
	pgbench -n -M prepared -c "$clients" -j 2 -T "$seconds" -f "$work/script.sql" >"$work/out" 2>"$work/err" || {
		cat "$work/err" >&2
		exit 1
	}
	after=$(backend_ms)
	wait "$watcher"
	awk -v ms=$((after - before)) -v locks="$(<"$work/locks")" '/actually processed/ { n = $NF + 0 }
		/^tps/ { tps = $3 } END { print tps, ms * 1000 / n, locks }' "$work/out" >>"$work/$1"
}

field()
{
	awk -v f="$2" '{ print $f }' "$work/$1"
}

# ratios <file> <file>: the median of the ratios of their numbers, line by line
ratios()
{
	paste -d ' ' "$1" "$2" | awk '{ print $1 / $2 }' | median
}

# of <field> <table> <table>: the same of a field of their rounds
of()
{
	ratios <(field "$2" "$1") <(field "$3" "$1")
}

touch "$work/folding"
fold_on
for ((round = 0; round <= rounds; round++)); do
	for table in {bare,full}_{none,row,deltas}; do
		writers "$table"
		# the first writes of a fresh table are slower than all that follow
		((round > 0)) || rm "$work/$table"
	done
done
rm "$work/folding"
wait "$folder"

printf '%-12s %10s %12s %12s %22s\n' "$clients writers" 'rows/s' "rows/s:none" 'CPU µs/row' 'lock waits/moments'
for table in {bare,full}_{none,row,deltas}; do
	printf '%-12s %10.0f %12.2f %12.0f %22s\n' "$table" "$(field "$table" 1 | median)" \
		"$(of 1 "$table" "${table%_*}_none")" "$(field "$table" 2 | median)" \
		"$(awk '{ m += $3; w += $4 } END { print w "/" m }' "$work/$table")"
done
for kind in bare full; do
	printf '%s: deltas are %.2f of none, %.2f times the row trigger; CPU %.2f of none\n' "$kind" \
		"$(of 1 ${kind}_deltas ${kind}_none)" "$(of 1 ${kind}_deltas ${kind}_row)" \
		"$(of 2 ${kind}_deltas ${kind}_none)"
done
printf 'folded meanwhile: %d deltas in %d transactions\n' \
	"$(awk '{ n += $1 } END { print n }' "$work/folded")" "$(awk '$1 > 0' "$work/folded" | wc -l)"

# counted <rows>: whether the rollups counted so many
counted()
{
	local n
	n=$(sql -c "SELECT sum(n) FROM (SELECT n FROM saleshub.rollup WHERE fact = 'activity_created' UNION ALL
		SELECT n FROM saleshub.rollup_delta WHERE fact = 'activity_created') r")
	[[ $n == "$1" ]] || {
		say "of $1 rows the rollups counted $n"
		exit 1
	}
}
written=$(sql -c 'SELECT (SELECT count(*) FROM bench.bare_deltas) + (SELECT count(*) FROM bench.full_deltas)')
counted "$written"

# --- many rows by one statement ---

# milliseconds <statement>
milliseconds()
{
	printf '\\timing on\n%s;\n' "$1" | sql | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
}

for ((round = 0; round < rounds; round++)); do
	for table in bare_none bare_deltas full_none full_deltas; do
		sql -c "TRUNCATE bench.$table" -c 'CHECKPOINT'
		milliseconds "INSERT INTO bench.$table (org_id, type, subject, created_at, owner_id)
			SELECT * FROM bench.activities($bulk)" >>"$work/bulk_$table"
	done
done
for kind in bare full; do
	printf '%d rows by one statement, %s: none %.0f ms, deltas %.0f ms, ratio %.2f\n' "$bulk" "$kind" \
		"$(median <"$work/bulk_${kind}_none")" "$(median <"$work/bulk_${kind}_deltas")" \
		"$(ratios "$work/bulk_${kind}_deltas" "$work/bulk_${kind}_none")"
done

counted $((written + 2 * rounds * bulk))

# --- reading ---

say "making $read activities"
sql <<SQL
SET client_min_messages = warning;
DROP TABLE $(printf 'bench.%s, ' {bare,full}_{none,row,deltas})bench.upserted;
SET session_replication_role = replica;
INSERT INTO crm.activity (org_id, type, subject, created_at, owner_id) SELECT * FROM bench.activities($read);
RESET session_replication_role;
TRUNCATE saleshub.rollup, saleshub.rollup_delta, saleshub.rollup_level;
SELECT saleshub.rollup_rebuild() \g /dev/null
-- what waits to be folded
INSERT INTO crm.activity (org_id, type, subject, created_at, owner_id)
SELECT a.* FROM bench.activities(2000) a;
VACUUM ANALYZE crm.activity, saleshub.rollup, saleshub.rollup_level, saleshub.rollup_delta;
SQL
printf '%d activities; rows of sums: %s\n' "$read" "$(sql -c "SELECT format('%s by quarter hour, %s not folded, %s by day and month',
	(SELECT count(*) FROM saleshub.rollup), (SELECT count(*) FROM saleshub.rollup_delta),
	(SELECT count(*) FROM saleshub.rollup_level))")"

# reading <name> <statement from the rows> <statement from the rollups>
reading()
{
	rm -f "$work/rows" "$work/sums"
	diff <(sql -c "$2 ORDER BY 1, 2") <(sql -c "$3 ORDER BY 1, 2") >/dev/null || {
		say "$1: the rollups say something else than the rows"
		exit 1
	}
	for ((round = 0; round < rounds; round++)); do
		tps 1 "$2;" >>"$work/rows"
		tps 1 "$3;" >>"$work/sums"
	done
	printf '%-34s from rows %8.2f ms, from rollups %6.2f ms, ratio %.0f\n' "$1" \
		"$(awk '{ print 1000 / $1 }' "$work/rows" | median)" "$(awk '{ print 1000 / $1 }' "$work/sums" | median)" \
		"$(ratios "$work/sums" "$work/rows")"
}

# rows <unit> <from> <to>: counts by time and type, of the activities
rows()
{
	printf "SELECT date_trunc('%s', a.created_at, 'UTC'), a.type, count(*) FROM crm.activity a
		WHERE a.org_id = '%s' AND a.deleted_at IS NULL AND a.created_at >= '%s' AND a.created_at < '%s'
		GROUP BY 1, 2" "$1" "$org" "$2" "$3"
}

# sums <unit> <from> <to>: the same of the rollups
sums()
{
	printf "SELECT r.bucket, r.label, r.n FROM saleshub.rollup_read('{activity_created}', '%s', '%s',
		ARRAY(SELECT generate_series(timestamptz '%s', timestamptz '%s' - interval '1 second', '1 %s')), '{label}') r" \
		"$2" "$3" "$2" "$3" "$1"
}

reading '31 days by day and type' "$(rows day 2025-03-01Z 2025-04-01Z)" "$(sums day 2025-03-01Z 2025-04-01Z)"
reading 'the year by day and type' "$(rows day 2025-01-01Z 2026-01-01Z)" "$(sums day 2025-01-01Z 2026-01-01Z)"
reading 'the year by month and type' "$(rows month 2025-01-01Z 2026-01-01Z)" "$(sums month 2025-01-01Z 2026-01-01Z)"
reading 'the year by type' \
	"SELECT a.type, count(*) FROM crm.activity a WHERE a.org_id = '$org' AND a.deleted_at IS NULL
		AND a.created_at >= '2025-01-01Z' AND a.created_at < '2026-01-01Z' GROUP BY 1" \
	"SELECT r.label, r.n FROM saleshub.rollup_read('{activity_created}', '2025-01-01Z', '2026-01-01Z', by_ => '{label}') r"
