#!/bin/bash
# kill -9 of the postmaster and of backends under load: nothing acknowledged is lost, each
# committed change has its event exactly once under dense positions, and the sums equal the rows.
set -euo pipefail
data=$SCRATCH/crash sock=$SCRATCH
n=0 failed=0

ok()
{
	n=$((n + 1))
	if [[ $1 == "$2" ]]; then
		echo "ok $n - $3"
	else
		failed=1
		echo "not ok $n - $3"
		printf '# expected: %s\n# got: %s\n' "$2" "$1"
	fi
}

sql()
{
	"$PG_BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$sock" -U postgres -d saleshub "$@"
}

start()
{
	# A killed postmaster leaves children that must go first.
	for _ in $(seq 300); do
		if "$PG_BIN/pg_ctl" -D "$data" -l "$SCRATCH/log.txt" -w start >/dev/null 2>&1; then
			return
		fi
		sleep 0.1
	done
	echo 'Bail out! the server does not start again'
	exit 1
}

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

"$PG_BIN/initdb" -D "$data" -A trust -U postgres --no-locale -E UTF8 >/dev/null
trap '"$PG_BIN/pg_ctl" -D "$data" -m immediate stop >/dev/null 2>&1 || true' EXIT
cat >>"$data/postgresql.conf" <<-CONF
	listen_addresses = ''
	unix_socket_directories = '$sock'
	shared_preload_libraries = 'saleshub'
	saleshub.databases = 'saleshub'
CONF
start
"$PG_BIN/createdb" -h "$sock" -U postgres saleshub
sql -c 'CREATE EXTENSION saleshub' -c 'SELECT saleshub.install()' >/dev/null
org=$(sql -c "SELECT crm.org_create('Crash', 'Ann', 'ann@crash.example')->>'org_id'")

for victim in postmaster backend worker postmaster; do
	for writer in 1 2 3; do
		writer "$victim-$RANDOM-$writer" &
	done
	wait_for_acks 150
	case $victim in
		postmaster) kill -9 "$(head -1 "$data/postmaster.pid")" ;;
		backend) sql -c "SELECT pg_backend_pid()" >/dev/null
			kill -9 "$(sql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")" ;;
		worker) kill -9 "$(sql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'saleshub worker'")" ;;
	esac
	wait
	[[ $victim != postmaster ]] || start
	for _ in $(seq 300); do
		! sql -c 'SELECT 1' >/dev/null 2>&1 || break
		sleep 0.1
	done
done

sql -c "SELECT last_name FROM crm.lead WHERE source = 'crash'" | sort >"$SCRATCH/found"
sort "$SCRATCH/acked" >"$SCRATCH/acked.sorted"
ok "$(comm -23 "$SCRATCH/acked.sorted" "$SCRATCH/found" | wc -l)" 0 "nothing of $(acked) acknowledged leads is lost"
for _ in $(seq 200); do
	[[ $(sql -c 'SELECT count(*) FROM saleshub.outbox') != 0 ]] || break
	sleep 0.1
done
ok "$(sql -c 'SELECT count(*) FROM saleshub.outbox')" 0 'the worker came back and published everything'
ok "$(sql -c "SELECT count(*) FROM crm.lead l WHERE l.source = 'crash' AND 1 <> (SELECT count(*)
	FROM saleshub.event_log e WHERE e.org_id = l.org_id AND e.entity_id = l.lead_id AND e.type = 'lead.created')")" 0 'each lead has exactly one event of its creation'
ok "$(sql -c 'SELECT count(*) = max(gseq) AND count(DISTINCT gseq) = count(*) FROM saleshub.event_log')" t 'positions are dense'
ok "$(sql -c 'SELECT top = (SELECT max(gseq) FROM saleshub.event_log) FROM saleshub.event_state')" t 'the top is the last event'
ok "$(sql -c 'SELECT count(*) FROM saleshub.rollup_check()')" 0 'the sums equal the rows'

echo "1..$n"
exit "$failed"
