#!/bin/bash
# Rollups equal the rows in every snapshot while many sessions write, roll back and delete, and while
# the worker folds; and they still do after the server was killed in the middle.
# shellcheck source=test/tap/server.bash disable=SC2154
. "$SCRATCH/server.bash"

new_server
sql -c "SELECT crm.org_create('Busy', 'Bea', 'bea@busy.example', 'EUR')" >/dev/null
org=$(sql -c 'SELECT org_id FROM crm.org')
export PGOPTIONS="-c saleshub.org_id=$org"
sql -c "INSERT INTO crm.member (name, email, role) SELECT 'Rep ' || n, n || '@busy.example', 'rep' FROM generate_series(1, 5) n"

# One random step of one session; half of the sessions meet on the newest rows.
sql <<'SQL'
CREATE FUNCTION public.step(dice int, d float8) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    at constant timestamptz := timestamptz '2026-01-01 00:00+00' + d * interval '300 days';
    -- in one order everywhere, so that sessions wait for each other and do not deadlock
    a_lead constant uuid := (SELECT lead_id FROM crm.lead ORDER BY created_at DESC
                             OFFSET floor(d * 30) LIMIT 1);
    a_deal constant uuid := (SELECT deal_id FROM crm.deal ORDER BY created_at DESC
                             OFFSET floor(d * 30) LIMIT 1);
    a_task constant uuid := (SELECT activity_id FROM crm.activity ORDER BY created_at DESC
                             OFFSET floor(d * 30) LIMIT 1);
    owner constant uuid := (SELECT member_id FROM crm.member ORDER BY email
                            OFFSET floor(d * 5) LIMIT 1);
BEGIN
    CASE dice
    WHEN 0 THEN INSERT INTO crm.lead (last_name, source) VALUES ('l', 'web'), ('m', 'event');
    WHEN 1 THEN UPDATE crm.lead SET owner_id = owner, source = 'moved' WHERE lead_id = a_lead;
    WHEN 2 THEN UPDATE crm.lead SET deleted_at = CASE WHEN deleted_at IS NULL THEN now() END
                WHERE lead_id = a_lead;
    WHEN 3 THEN DELETE FROM crm.lead WHERE lead_id = a_lead;
    WHEN 4 THEN INSERT INTO crm.deal (name, amount, opened_at) VALUES ('d', d * 1000, at);
    WHEN 5 THEN UPDATE crm.deal SET status = CASE WHEN d < 0.5 THEN 'won' ELSE 'lost' END,
                                    closed_at = greatest(opened_at, at)
                WHERE deal_id = a_deal AND status = 'open';
    WHEN 6 THEN UPDATE crm.deal SET status = 'open' WHERE deal_id = a_deal AND status <> 'open';
    WHEN 7 THEN UPDATE crm.deal SET amount = amount + 0.01, owner_id = owner WHERE deal_id = a_deal;
    WHEN 8 THEN INSERT INTO crm.activity (type, subject, done_at) VALUES ('call', 's', at);
    WHEN 9 THEN UPDATE crm.activity SET done_at = CASE WHEN done_at IS NULL THEN at END, type = 'task'
                WHERE activity_id = a_task;
    ELSE DELETE FROM crm.activity WHERE activity_id = a_task;
    END CASE;
END
$$;
SQL
cat >"$SCRATCH/steps.sql" <<'PGBENCH'
\set dice random(0, 10)
\set other random(0, 10)
\set d random(0, 1000000) / 1000001.0
\set undo random(1, 4)
BEGIN;
SELECT public.step(:dice, :d);
SAVEPOINT s;
SELECT public.step(:other, :d);
\if :undo = 1
ROLLBACK TO s;
\endif
\if :undo = 2
ROLLBACK;
\else
COMMIT;
\endif
PGBENCH

"$PG_BIN/pgbench" -n -h "$sock" -U postgres -c 8 -j 2 -T 8 --max-tries=20 -f "$SCRATCH/steps.sql" \
	saleshub >"$SCRATCH/pgbench.log" 2>&1 &
load=$!
checked=0 wrong=0 unfolded=0
while kill -0 "$load" 2>/dev/null; do
	read -r differ waiting < <(sql -F ' ' -c "SELECT (SELECT count(*) FROM saleshub.rollup_check()),
		(SELECT count(*) FROM saleshub.rollup_delta)")
	checked=$((checked + 1))
	((differ == 0)) || wrong=$((wrong + 1))
	((waiting == 0)) || unfolded=$((unfolded + 1))
done
status=0
wait "$load" || status=$?
ok "$status" 0 'the sessions wrote without errors'
[[ $status = 0 ]] || sed 's/^/# /' "$SCRATCH/pgbench.log"
ok "$((checked > 20)) $((unfolded > 0))" '1 1' 'many snapshots were looked at, some with deltas to fold'
ok "$wrong" 0 'in each of them the rollups equalled the rows'
ok "$(until_sql 'SELECT count(*) FROM saleshub.rollup_delta' 0)" 0 'the worker folds everything'
ok "$(sql -c 'SELECT count(*) FROM saleshub.rollup_check()')" 0 'and the sums are the same'
ok "$(sql -c 'SELECT count(*) > 100 FROM crm.lead' -c "SELECT count(*) > 50 FROM crm.deal WHERE status <> 'open'" | tr '\n' ' ')" 't t ' 'there was something to count'

# killed in the middle of the next load
"$PG_BIN/pgbench" -n -h "$sock" -U postgres -c 8 -j 2 -T 20 --max-tries=20 -f "$SCRATCH/steps.sql" \
	saleshub >/dev/null 2>&1 &
load=$!
before=$(sql -c 'SELECT count(*) FROM crm.change_log')
until_sql "SELECT count(*) > $before + 500 FROM crm.change_log" t >/dev/null
kill -KILL "$(head -n 1 "$data/postmaster.pid")"
wait "$load" || true
start_server
ok "$(sql -c 'SELECT count(*) FROM saleshub.rollup_check()')" 0 'after a crash the rollups equal the rows'
ok "$(until_sql 'SELECT count(*) FROM saleshub.rollup_delta' 0)" 0 'the worker goes on folding'
ok "$(sql -c 'SELECT count(*) FROM saleshub.rollup_check()')" 0 'nothing is counted twice'

done_testing
