#!/bin/bash
# Fifty sessions convert one lead at once: one conversion, forty-nine replays. Fifty leads of one
# company and of two people: one company, two contacts.
# shellcheck disable=SC2034
conf='max_connections = 80
fsync = off'
# shellcheck source=test/tap/server.bash disable=SC2154
. "$SCRATCH/server.bash"
new_server
org=$(sql -c "SELECT crm.org_create('Fifty', 'Ann', 'ann@fifty.example')->>'org_id'")
export PGOPTIONS="-c saleshub.org_id=$org"
sql -c "INSERT INTO crm.lead (last_name, email, company_name) VALUES ('Doe', 'doe@fifty.example', 'Fifty Ltd.')" \
	-c "INSERT INTO crm.lead (last_name, email, company_name) SELECT 'P' || n % 2, 'p' || n % 2 || '@many.example', 'Many, Inc.' FROM generate_series(1, 50) n" \
	-c "CREATE TABLE public.gate (n int, lead uuid)" -c "GRANT SELECT ON public.gate TO saleshub_user"

# All sessions wait at a lock until the last one is there.
race()
{
	local n pids=() query=$1
	sql -c "INSERT INTO public.gate SELECT row_number() OVER (ORDER BY lead_id), lead_id FROM crm.lead WHERE $query" >/dev/null
	coproc gate { "$PG_BIN/psql" -X -q -A -t -h "$sock" -U postgres -d saleshub; }
	echo "SELECT pg_advisory_lock(50);" >&"${gate[1]}"
	until_sql "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 50 AND granted" 1 >/dev/null
	for n in $(seq 50); do
		sql -c "SET ROLE saleshub_user" -c "SELECT pg_advisory_lock_shared(50)" \
			-c "SELECT crm.lead_convert(lead)->>'replayed' FROM public.gate WHERE n = least($n, (SELECT count(*) FROM public.gate))" \
			>"$SCRATCH/$n.out" 2>&1 &
		pids+=($!)
	done
	until_sql "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 50 AND NOT granted" 50 >/dev/null
	echo "SELECT pg_advisory_unlock(50);" >&"${gate[1]}"
	for n in "${pids[@]}"; do
		wait "$n" || true
	done
	eval "exec ${gate[1]}>&-"
	sql -c "TRUNCATE public.gate"
}

# answers word: how many sessions got it
answers()
{
	cat "$SCRATCH"/[0-9]*.out | grep -cx "$1" || true
}

race "last_name = 'Doe'"
ok "$(answers false) converted, $(answers true) replayed" '1 converted, 49 replayed' 'fifty sessions, one lead'
ok "$(grep -l ERROR "$SCRATCH"/[0-9]*.out | wc -l)" 0 'no session failed'
ok "$(sql -c "SELECT (SELECT count(*) FROM crm.conversion), (SELECT count(*) FROM crm.company), (SELECT count(*) FROM crm.contact), (SELECT count(*) FROM crm.deal)")" \
	'1|1|1|1' 'one of each'
race "last_name LIKE 'P_'"
ok "$(answers false) converted, $(answers true) replayed" '50 converted, 0 replayed' 'fifty sessions, fifty leads of one company'
ok "$(grep -l ERROR "$SCRATCH"/[0-9]*.out | wc -l)" 0 'no session failed, none was a victim of a deadlock'
ok "$(sql -c "SELECT (SELECT count(*) FROM crm.conversion), (SELECT count(*) FROM crm.company), (SELECT count(*) FROM crm.contact), (SELECT count(*) FROM crm.deal)")" \
	'51|2|3|51' 'one company, two people, fifty deals'
ok "$(until_sql "SELECT count(*) FROM saleshub.event_log WHERE type = 'lead.converted'" 51)" 51 'one event a conversion'
done_testing
