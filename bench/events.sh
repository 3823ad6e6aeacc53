#!/bin/bash
# What it costs a writer to tell others: rows without events, with NOTIFY for each row, and with our
# triggers (version, history and outbox; the worker notifies). Single-row inserts.
# shellcheck source=bench/common.bash
. "$(dirname "$0")/common.bash"
need pgbench postgresql-contrib

cleanups+=('sql -c "DROP SCHEMA IF EXISTS bench CASCADE" 2>/dev/null')
sql <<'SQL'
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS bench CASCADE;
CREATE SCHEMA bench;
CREATE TABLE bench.silent (LIKE crm.company INCLUDING ALL);
CREATE TABLE bench.notifying (LIKE crm.company INCLUDING ALL);
CREATE TABLE bench.captured (LIKE crm.company INCLUDING ALL);
CREATE FUNCTION bench.notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('bench', json_build_object('id', NEW.company_id, 'org', NEW.org_id)::text);
    RETURN NULL;
END
$$;
CREATE TRIGGER notify AFTER INSERT ON bench.notifying FOR EACH ROW EXECUTE FUNCTION bench.notify();
SELECT saleshub.capture_on('bench.captured', 'bench', 'company_id');
SQL

insert()
{
	printf "INSERT INTO bench.%s (org_id, name) VALUES ('00000000-0000-7000-8000-000000000001', 'Bench');" "$1"
}

# the first writes of a fresh table are slower than all that follow
for table in silent notifying captured; do
	tps 8 "$(insert "$table")" >/dev/null
done
printf '%8s %12s %12s %12s %14s %14s %18s\n' clients silent notify captured notify/silent \
	captured/silent captured/notify
for clients in 1 8 32; do
	contest "$clients" silent notifying captured
	printf '%8d %12.0f %12.0f %12.0f %14s %14s %18s\n' "$clients" "${best[silent]}" \
		"${best[notifying]}" "${best[captured]}" "$(ratio "${best[notifying]}" "${best[silent]}")" \
		"$(ratio "${best[captured]}" "${best[silent]}")" \
		"$(ratio "${best[captured]}" "${best[notifying]}")"
done
sql -c "DELETE FROM saleshub.outbox WHERE entity = 'bench';
	DELETE FROM saleshub.event_log WHERE entity = 'bench'; DELETE FROM crm.change_log WHERE entity = 'bench'"
