#!/bin/bash
# kill -9 of the postmaster and of its processes under load: nothing acknowledged is lost, each
# committed change has its event exactly once under dense positions, and the sums equal the rows.
# shellcheck source=test/tap/server.bash disable=SC2154
. "$SCRATCH/server.bash"

# Inserts leads one by one until the server goes away; writes down each one acknowledged.
writer()
{
	local id=0
	while sql -c "INSERT INTO crm.lead (org_id, last_name, source) VALUES ('$org', '$1-$id', 'crash')" 2>/dev/null; do
		echo "$1-$id" >>"$SCRATCH/acked"
		id=$((id + 1))
	done
}

acked()
{
	[[ -f $SCRATCH/acked ]] && wc -l <"$SCRATCH/acked" || echo 0
}

wait_for_acks()
{
	local goal=$(($(acked) + $1))
	for _ in $(seq 600); do
		(($(acked) < goal)) || return 0
		sleep 0.05
	done
}

new_server
org=$(sql -c "SELECT crm.org_create('Crash', 'Ann', 'ann@crash.example')->>'org_id'")

for victim in postmaster checkpointer worker postmaster; do
	for writer in 1 2 3; do
		writer "$victim-$RANDOM-$writer" &
	done
	wait_for_acks 150
	case $victim in
		postmaster) kill -9 "$(head -1 "$data/postmaster.pid")" ;;
		checkpointer) kill -9 "$(sql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")" ;;
		worker) kill -9 "$(sql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'saleshub worker'")" ;;
	esac
	wait
	[[ $victim != postmaster ]] || start_server
	until_sql 'SELECT 1' 1 >/dev/null
done

sql -c "SELECT last_name FROM crm.lead WHERE source = 'crash'" | sort >"$SCRATCH/found"
sort "$SCRATCH/acked" >"$SCRATCH/acked.sorted"
ok "$(comm -23 "$SCRATCH/acked.sorted" "$SCRATCH/found" | wc -l)" 0 "nothing of $(acked) acknowledged leads is lost"
ok "$(until_sql 'SELECT count(*) FROM saleshub.outbox' 0)" 0 'the worker came back and published everything'
ok "$(sql -c "SELECT count(*) FROM crm.lead l WHERE l.source = 'crash' AND 1 <> (SELECT count(*)
	FROM saleshub.event_log e WHERE e.org_id = l.org_id AND e.entity_id = l.lead_id AND e.type = 'lead.created')")" 0 'each lead has exactly one event of its creation'
ok "$(sql -c 'SELECT count(*) = max(gseq) AND count(DISTINCT gseq) = count(*) FROM saleshub.event_log')" t 'positions are dense'
ok "$(sql -c 'SELECT top = (SELECT max(gseq) FROM saleshub.event_log) FROM saleshub.event_state')" t 'the top is the last event'
ok "$(sql -c 'SELECT count(*) FROM saleshub.rollup_check()')" 0 'the sums equal the rows'

done_testing
