#!/bin/bash
# Events of statements that make many records wait packed. The server is killed (-9) while packs
# wait and while they are being moved: each event is there exactly once, in the order of its
# statement, under dense positions, and says the fields of its record.
# shellcheck source=test/tap/server.bash disable=SC2154
. "$SCRATCH/server.bash"
new_server
org=$(sql -c "SELECT crm.org_create('Packs', 'Ann', 'ann@packs.example') ->> 'org_id'")

# leads mark count: made by one statement
leads()
{
	sql -c "INSERT INTO crm.lead (org_id, last_name, source, email, title)
		SELECT '$org', 'P' || n, '$1', CASE WHEN n % 2 = 0 THEN '$1' || n || '@packs.example' END,
			CASE WHEN n % 3 = 0 THEN 'Head' END FROM generate_series(1, $2) n"
}

# hold statement: another session has what it locks until it is let go
hold()
{
	coproc holder { "$PG_BIN/psql" -X -q -A -t -h "$sock" -U postgres -d saleshub 2>&1; }
	holder_in=${holder[1]} holder_out=${holder[0]} holder_pid=$!
	printf 'BEGIN;\n%s;\n\\echo held\n' "$1" >&"$holder_in"
	while read -r line <&"$holder_out"; do
		[[ $line != held ]] || return 0
	done
	echo 'Bail out! the lock is not held'
	exit 1
}

let_go()
{
	exec {holder_in}>&-
	wait "$holder_pid" 2>/dev/null || true
}

kill_server()
{
	kill -9 "$(head -1 "$data/postmaster.pid")"
	let_go
	start_server
	until_sql 'SELECT 1' 1 >/dev/null
}

waiting='SELECT sum(events), count(*), count(ids) FROM saleshub.outbox'
moving="SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'saleshub worker' AND wait_event_type = 'Lock'"
until_sql 'SELECT count(*) FROM saleshub.outbox' 0 >/dev/null

hold "SELECT pg_advisory_xact_lock(hashtextextended('saleshub.publish', 0))"
leads first 600
leads single 1
leads second 40
ok "$(sql -c "$waiting")" '641|5|4' 'packs wait, of at most 250 events'
kill_server
ok "$(until_sql 'SELECT count(*) FROM saleshub.outbox' 0)" 0 'those that waited when the server was killed are published'

hold 'SELECT FROM saleshub.event_state FOR UPDATE'
leads third 300
ok "$(until_sql "$moving" t)" t 'the worker has taken packs out and waits for positions'
kill -9 "$(sql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'saleshub worker'")"
let_go
ok "$(until_sql 'SELECT count(*) FROM saleshub.outbox' 0)" 0 'those that a killed worker was moving are published'

hold 'SELECT FROM saleshub.event_state FOR UPDATE'
leads fourth 300
ok "$(until_sql "$moving" t)" t 'once more'
kill_server
ok "$(until_sql 'SELECT count(*) FROM saleshub.outbox' 0)" 0 'those of a killed server, too'

sql -c "BEGIN" -c "INSERT INTO crm.lead (org_id, last_name, source) SELECT '$org', 'gone', 'gone' FROM generate_series(1, 300)" -c 'ROLLBACK'
leads last 32
until_sql 'SELECT count(*) FROM saleshub.outbox' 0 >/dev/null

sql <<-SQL
	CREATE VIEW public.told AS SELECT l.source, e.gseq, e.changed, e.version, e.at, c.change_id, c.changed AS was, c.version AS was_version, c.at AS was_at
	FROM crm.lead l JOIN crm.change_log c ON c.org_id = l.org_id AND c.entity = 'lead' AND c.entity_id = l.lead_id AND c.op = 'insert'
	LEFT JOIN saleshub.event_log e ON e.org_id = l.org_id AND e.entity_id = l.lead_id AND e.type = 'lead.created';
SQL
ok "$(sql -c 'SELECT count(*), count(gseq), count(DISTINCT gseq), count(DISTINCT change_id) FROM public.told')" '1273|1273|1273|1273' 'each lead has exactly one event of its creation'
ok "$(sql -c "SELECT count(*) FROM saleshub.event_log WHERE type = 'lead.created'")" 1273 'and there is none of what was rolled back'
ok "$(sql -c 'SELECT count(*) = max(gseq), count(DISTINCT gseq) = count(*), max(gseq) = (SELECT top FROM saleshub.event_state) FROM saleshub.event_log')" 't|t|t' 'positions are dense up to the top'
ok "$(sql -c 'SELECT count(*) FROM (SELECT row_number() OVER (ORDER BY gseq) - row_number() OVER (ORDER BY change_id) AS off FROM public.told) x WHERE off <> 0')" 0 'in the order in which the leads were made'
ok "$(sql -c 'SELECT count(*) FROM public.told WHERE version <> was_version OR at <> was_at
	OR ARRAY(SELECT f FROM unnest(changed) f ORDER BY f) <> ARRAY(SELECT f FROM jsonb_object_keys(was) f ORDER BY f)')" 0 'each says the fields of its lead'
ok "$(sql -c 'SELECT count(DISTINCT changed) >= 4 FROM public.told')" t 'which differ'
done_testing
