#!/bin/bash
# What invalidates a cached answer and what does not: by any client, in any way of writing.
# A fill and its check are done as the gateway does them.
# shellcheck disable=SC2034
conf='max_prepared_transactions = 5'
# shellcheck source=test/tap/server.bash disable=SC2154
. "$SCRATCH/server.bash"
new_server
sql -c 'CREATE TABLE public.note (a int)' -c 'GRANT SELECT ON public.note TO saleshub_user'
a=$(sql -c "SELECT crm.org_create('A', 'Ann', 'ann@a.example')->>'org_id'")
b=$(sql -c "SELECT crm.org_create('B', 'Bob', 'bob@b.example')->>'org_id'")
member=$(sql -c "SELECT member_id FROM crm.member WHERE org_id = '$a'")
session=$(sql -c "SELECT saleshub.session_open('$a', '$member', '127.0.0.1', 'test', 'test', 3600)->>'session_id'")

# fill query: prints boot,asof,slots and whether it may be stored, and the session's slots.
fill()
{
	sql -U saleshub_gateway <<-SQL
		\set QUIET on
		BEGIN ISOLATION LEVEL ${2:-READ COMMITTED};
		SELECT boot, asof, session_slot, member_slot FROM saleshub.ctx('$a', '$session', 'test', true, 5000, true) \gset
		SELECT count(*) AS ignored FROM ($1) q \gset
		SELECT encode(slots, 'hex') AS slots, cacheable FROM saleshub.finish() \gset
		COMMIT;
		\echo :boot :asof :slots :cacheable :session_slot :member_slot
	SQL
}

# check boot asof slots...: 1 when the answer may still be served
check()
{
	sql -U saleshub_gateway -c "SELECT get_byte(saleshub.cache_check(int8send($1) || int8send($2)
		|| int2send((length('$3') / 8)::int2) || decode('$3', 'hex')), 0)"
}

# after statement expected name: fills with a read of leads, deals and the note, then writes.
after()
{
	local entry
	read -r -a entry < <(fill "SELECT FROM crm.lead UNION ALL SELECT FROM crm.deal UNION ALL SELECT FROM public.note")
	sql -c "$1" >/dev/null
	ok "$(check "${entry[@]:0:3}")" "$2" "$3"
}

read -r -a entry < <(fill 'SELECT FROM crm.lead')
ok "${entry[3]}" t 'a read may be stored'
ok "$(check "${entry[@]:0:3}")" 1 'and is valid at first'
ok "$(fill 'SELECT FROM crm.lead' 'REPEATABLE READ' | cut -d' ' -f4)" f 'under REPEATABLE READ it may not be stored'

after "INSERT INTO crm.lead (org_id, last_name) VALUES ('$a', 'New')" 0 'an insert invalidates'
after "UPDATE crm.lead SET title = 'Boss' WHERE org_id = '$a'" 0 'an update invalidates'
after "UPDATE crm.lead SET title = title WHERE org_id = '$a'" 1 'an update that changes nothing does not'
after "INSERT INTO crm.lead (org_id, last_name) VALUES ('$b', 'Other')" 1 "another organisation's rows do not"
after "INSERT INTO crm.company (org_id, name) VALUES ('$a', 'Firm')" 1 'a table that was not read does not'
after "BEGIN; UPDATE crm.lead SET title = 'Never'; ROLLBACK" 1 'what was rolled back does not'
after "DELETE FROM crm.lead WHERE org_id = '$a'" 0 'a delete invalidates'
after "COPY crm.lead (org_id, last_name) FROM PROGRAM 'echo $a,Copied' (FORMAT csv)" 0 'COPY invalidates'
after "INSERT INTO public.note VALUES (1)" 0 'a table without our triggers invalidates'
after "COPY public.note FROM PROGRAM 'echo 1'" 0 'COPY into it too'
after "TRUNCATE public.note" 0 'TRUNCATE too'
after "SET session_replication_role = replica; INSERT INTO crm.lead (org_id, last_name, lead_id) VALUES ('$a', 'Quiet', crm.uuid_v7())" 0 'also when triggers do not fire'
after "ALTER TABLE crm.lead ADD COLUMN extra int" 0 'DDL invalidates'
after "CREATE TEMP TABLE mine (a int)" 1 'a temporary table does not'
after "ANALYZE crm.lead" 1 'ANALYZE does not'
after "SELECT saleshub.touch('all')" 0 "touch('all') invalidates"
after "BEGIN; INSERT INTO crm.lead (org_id, last_name) VALUES ('$b', 'Prepared'); PREPARE TRANSACTION 'p'" 1 'PREPARE TRANSACTION makes nothing visible'
after "COMMIT PREPARED 'p'" 0 'COMMIT PREPARED does'
after "ALTER TABLE crm.lead DROP COLUMN extra" 0 'the test cleans up'

# In a transaction that is still open the answer stays; it falls before the commit is acknowledged.
read -r -a entry < <(fill 'SELECT FROM crm.lead')
coproc open { "$PG_BIN/psql" -X -q -A -t -h "$sock" -U postgres -d saleshub; }
echo "BEGIN; UPDATE crm.lead SET title = 'Open' WHERE org_id = '$a'; SELECT 'updated';" >&"${open[1]}"
read -r -u "${open[0]}" _
ok "$(check "${entry[@]:0:3}")" 1 'an open transaction does not invalidate'
echo "COMMIT; SELECT 'committed';" >&"${open[1]}"
read -r -u "${open[0]}" _
ok "$(check "${entry[@]:0:3}")" 0 'its commit does'
echo '\q' >&"${open[1]}"
# shellcheck disable=SC2154
wait "$open_PID" || true

# Rollups: their readers are invalidated by changes of rows, not by the worker's folding.
sql -c 'SELECT saleshub.run_maintenance()' >/dev/null
rollups='SELECT FROM saleshub.rollup UNION ALL SELECT FROM saleshub.rollup_delta'
sql -c "INSERT INTO crm.lead (org_id, last_name) VALUES ('$a', 'Counted')"
read -r -a entry < <(fill "$rollups")
sql -c 'SELECT saleshub.run_maintenance()' >/dev/null
ok "$(check "${entry[@]:0:3}")" 1 'folding does not invalidate a figure'
sql -c "INSERT INTO crm.lead (org_id, last_name) VALUES ('$a', 'Counted too')"
ok "$(check "${entry[@]:0:3}")" 0 'a row that counts does'

# Sessions ride along.
read -r -a entry < <(fill 'SELECT FROM crm.lead')
slots=$(printf '%08x%08x' "${entry[4]}" "${entry[5]}")
ok "$(check "${entry[@]:0:2}" "$slots")" 1 'a session is valid'
sql -c "UPDATE saleshub.session SET revoked_at = now() WHERE session_id = '$session'" -c "SELECT saleshub.touch('s:$session')" >/dev/null
ok "$(check "${entry[@]:0:2}" "$slots")" 0 'until it is revoked'
ok "$(fill 'SELECT FROM crm.lead' 2>&1 | grep -c 'the session has ended')" 1 'then ctx() refuses it'

# A restart is another boot.
"$PG_BIN/pg_ctl" -D "$data" -m fast -w stop >/dev/null
start_server
ok "$(check "${entry[@]:0:3}")" 0 'nothing survives a restart'

# Events of two-phase transactions are published as well.
sql -c "BEGIN; INSERT INTO crm.lead (org_id, last_name) VALUES ('$a', 'Two'); PREPARE TRANSACTION 'q'" -c "COMMIT PREPARED 'q'"
ok "$(until_sql "SELECT count(*) FROM saleshub.event_log e JOIN crm.lead l ON l.org_id = e.org_id AND l.lead_id = e.entity_id WHERE l.last_name = 'Two'" 1)" 1 'a prepared transaction has its event'
done_testing
