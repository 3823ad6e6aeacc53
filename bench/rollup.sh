#!/bin/bash
# What exact figures cost: single-row inserts without rollups, with a counter row brought up to date
# by each row, and with our deltas; all clients hit the same counter. Then what they save: the
# dashboard against the same figures summed up from the rows.
# shellcheck source=bench/common.bash
. "$(dirname "$0")/common.bash"
need pgbench postgresql-contrib

cleanups+=('sql -c "DROP SCHEMA IF EXISTS bench CASCADE" 2>/dev/null')
sql <<'SQL'
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;
CREATE TABLE bench.plain (LIKE crm.activity INCLUDING ALL);
CREATE TABLE bench.counted (LIKE crm.activity INCLUDING ALL);
CREATE TABLE bench.rolled (LIKE crm.activity INCLUDING ALL);
CREATE TABLE bench.counter (org_id uuid, type text, n bigint, PRIMARY KEY (org_id, type));
CREATE FUNCTION bench.count() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO bench.counter AS c VALUES (NEW.org_id, NEW.type, 1)
    ON CONFLICT (org_id, type) DO UPDATE SET n = c.n + 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER count AFTER INSERT ON bench.counted FOR EACH ROW EXECUTE FUNCTION bench.count();
SELECT saleshub.rollup_on('bench.rolled', 'activity');
SQL

org=00000000-0000-7000-8000-000000000001
insert()
{
	printf "INSERT INTO bench.%s (org_id, type, subject) VALUES ('%s', 'call', 'Bench');" "$1" "$org"
}

# the first writes of a fresh table are slower than all that follow
for table in plain counted rolled; do
	tps 8 "$(insert "$table")" >/dev/null
done
printf '%8s %12s %12s %12s %14s %14s %18s\n' clients none counter deltas counter/none deltas/none \
	deltas/counter
for clients in 1 8 32; do
	contest "$clients" plain counted rolled
	printf '%8d %12.0f %12.0f %12.0f %14s %14s %18s\n' "$clients" "${best[plain]}" \
		"${best[counted]}" "${best[rolled]}" "$(ratio "${best[counted]}" "${best[plain]}")" \
		"$(ratio "${best[rolled]}" "${best[plain]}")" "$(ratio "${best[rolled]}" "${best[counted]}")"
done
kept=$(sql -c "SELECT sum(n) FROM (SELECT n, org_id FROM saleshub.rollup UNION ALL
	SELECT n, org_id FROM saleshub.rollup_delta) r WHERE org_id = '$org'")
rows=$(sql -c 'SELECT count(*) FROM bench.rolled')
echo "rows $rows, counted by rollups $kept"
sql -c "DELETE FROM saleshub.rollup_delta WHERE org_id = '$org'; DELETE FROM saleshub.rollup WHERE org_id = '$org'"
[[ $kept = "$rows" ]]

big=$(sql -c "SELECT org_id FROM crm.lead GROUP BY org_id ORDER BY count(*) DESC LIMIT 1")
if [[ $big ]]; then
	export PGOPTIONS="-c saleshub.org_id=$big"
	figures=$(tps 1 'SELECT crm.dashboard();')
	recompute=$(tps 1 "SELECT
		(SELECT jsonb_agg(x) FROM (SELECT date_trunc('month', created_at), count(*) FROM crm.lead
			WHERE org_id = saleshub.org_id() AND deleted_at IS NULL GROUP BY 1) x),
		(SELECT jsonb_agg(x) FROM (SELECT date_trunc('month', converted_at), count(*) FROM crm.lead
			WHERE org_id = saleshub.org_id() AND deleted_at IS NULL GROUP BY 1) x),
		(SELECT jsonb_agg(x) FROM (SELECT status, date_trunc('month', closed_at), count(*), sum(amount_base),
			sum(amount_base * probability), sum(extract(epoch FROM closed_at - opened_at))
			FROM crm.deal WHERE org_id = saleshub.org_id() AND deleted_at IS NULL GROUP BY 1, 2) x),
		(SELECT jsonb_agg(x) FROM (SELECT type, count(*), count(done_at) FROM crm.activity
			WHERE org_id = saleshub.org_id() AND deleted_at IS NULL GROUP BY 1) x);")
	printf 'dashboard a second: from rollups %.1f, from rows %.1f, ratio %s\n' "$figures" "$recompute" \
		"$(ratio "$figures" "$recompute")"
else
	say 'no leads: crm.sample_data() brings some for the dashboard part'
fi
