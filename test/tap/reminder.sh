#!/bin/bash
# Reminders: the worker wakes when one is due, and fires each once, in the order of their times,
# also while many sessions fire them at the same time, roll back, and put them off.
# shellcheck disable=SC2034
conf='max_connections = 30
fsync = off'
# shellcheck source=test/tap/server.bash disable=SC2154
. "$SCRATCH/server.bash"
new_server
org=$(sql -c "SELECT crm.org_create('Remind', 'Ann', 'ann@remind.example')->>'org_id'")
export PGOPTIONS="-c saleshub.org_id=$org"
member=$(sql -c 'SELECT member_id FROM crm.member')

# Due in 1.5 s: told then, not a second later, when the worker would look in any case.
until_sql "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'saleshub worker'" 1 >/dev/null
for wait in 300 700 1100; do
	sql -c "INSERT INTO crm.activity (type, subject, owner_id, reminders) VALUES ('task', 'soon $wait', '$member',
		jsonb_build_array(jsonb_build_object('at', now() + interval '$wait ms')))"
done
ok "$(until_sql "SELECT count(*) FROM crm.reminder WHERE state = 'fired'" 3)" 3 'what is due is told'
ok "$(sql -c "SELECT bool_and(fired_at - remind_at BETWEEN '0' AND '200 ms') FROM crm.reminder")" t 'in time'
ok "$(until_sql "SELECT count(*) FROM saleshub.event_log WHERE type = 'reminder.due'" 3)" 3 'as events'
ok "$(sql -c "SELECT DISTINCT entity || ' ' || (entity_id = '$member') || ' ' || (data ? 'activity_id') FROM saleshub.event_log WHERE type = 'reminder.due'")" \
	'reminder true true' 'for the member'

# A thousand that become due while eight sessions and the worker fire them.
sql -c "INSERT INTO crm.activity (type, subject, owner_id, reminders) SELECT 'task', 'many ' || n, '$member',
	jsonb_build_array(jsonb_build_object('at', now() + interval '1 s' + (n * 7919 % 1000) * interval '2 ms'))
	FROM generate_series(1, 1000) n"
sql <<-'SQL'
	CREATE PROCEDURE public.fire(salt float) LANGUAGE plpgsql AS $$
	DECLARE
	    until_ timestamptz := clock_timestamp() + interval '4 s';
	    n bigint;
	BEGIN
	    PERFORM setseed(salt);
	    WHILE clock_timestamp() < until_ LOOP
	        SELECT fired INTO n FROM saleshub.remind(50);
	        IF n > 0 AND random() < 0.3 THEN
	            ROLLBACK;
	        ELSE
	            COMMIT;
	        END IF;
	        -- somebody holds one for a while: it is skipped and comes a little later
	        IF random() < 0.02 THEN
	            PERFORM FROM crm.reminder WHERE state = 'scheduled' ORDER BY random() LIMIT 1 FOR UPDATE;
	            PERFORM pg_sleep(0.02);
	            COMMIT;
	        END IF;
	        PERFORM pg_sleep(random() * 0.01);
	    END LOOP;
	END
	$$;
SQL
pids=()
for n in $(seq 8); do
	sql -c "CALL public.fire($n / 10.0)" >"$SCRATCH/$n.out" 2>&1 &
	pids+=($!)
done
failed_sessions=0
for n in "${pids[@]}"; do
	wait "$n" || failed_sessions=$((failed_sessions + 1))
done
ok "$failed_sessions" 0 'no session failed'
ok "$(until_sql "SELECT count(*) FROM crm.reminder WHERE state = 'scheduled'" 0)" 0 'all were fired'
ok "$(until_sql "SELECT count(*) FROM saleshub.event_log WHERE type = 'reminder.due'" 1003)" 1003 'each one'
ok "$(sql -c "SELECT count(DISTINCT data ->> 'reminder_id') FROM saleshub.event_log WHERE type = 'reminder.due'")" 1003 'exactly once'
ok "$(sql -c "SELECT count(*) FROM (SELECT gseq, at, (data ->> 'remind_at')::timestamptz AS due, max((data ->> 'remind_at')::timestamptz) OVER (ORDER BY gseq) AS latest FROM saleshub.event_log WHERE type = 'reminder.due') e WHERE due < latest - interval '1.2 s'")" 0 \
	'none long after a later one'
ok "$(sql -c "SELECT count(*) FROM (SELECT at, (data ->> 'remind_at')::timestamptz AS due, lag((data ->> 'remind_at')::timestamptz) OVER (PARTITION BY at ORDER BY gseq) AS before FROM saleshub.event_log WHERE type = 'reminder.due') e WHERE due < before")" 0 \
	'those of one go in the order of their times'

# What came due while the server was down is told when it is back.
sql -c "INSERT INTO crm.activity (type, subject, owner_id, reminders) VALUES ('task', 'down', '$member',
	jsonb_build_array(jsonb_build_object('at', now() + interval '500 ms')))"
"$PG_BIN/pg_ctl" -D "$data" -m immediate stop >/dev/null
sleep 1
start_server
ok "$(until_sql "SELECT count(*) FROM saleshub.event_log WHERE type = 'reminder.due'" 1004)" 1004 'also after a crash'
done_testing
