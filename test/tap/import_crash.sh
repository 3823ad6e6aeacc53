#!/bin/bash
# Large imports are left to workers: what one that is killed has not done is done when it is back,
# nothing twice; a dry run, an undo and a stop of that size; a member who may not any more.
# shellcheck disable=SC2034
conf='fsync = off
max_worker_processes = 12'
# shellcheck source=test/tap/server.bash disable=SC2154
. "$SCRATCH/server.bash"
new_server
made=$(sql -c "SELECT crm.org_create('Large', 'Ann', 'ann@large.example')")
org=$(sql -c "SELECT '$made'::jsonb ->> 'org_id'") ann=$(sql -c "SELECT '$made'::jsonb ->> 'member_id'")
export PGOPTIONS="-c saleshub.org_id=$org -c saleshub.member_id=$ann -c saleshub.member_role=admin"
rows=4000 lines=4200

# Every twentieth row means the record of the row before it; those come in the order of lines.
sql <<-SQL
	CREATE TABLE public.file AS SELECT convert_to(E'email,website,title\n' || string_agg(format(
		E'p%s@large.example,%s,%s\n', n, rpad('https://' || n || '.example/', 300, 'a-file-that-is-larger-than-what-is-done-at-once'), t), '' ORDER BY n, t), 'UTF8') AS bytes
	FROM generate_series(1, $rows) n, generate_series(1, CASE WHEN n % 20 = 0 THEN 2 ELSE 1 END) t;
	GRANT SELECT ON public.file TO saleshub_user;
	CREATE FUNCTION public.put(dry_run boolean, batch integer, force boolean DEFAULT true) RETURNS uuid LANGUAGE sql AS \$\$
		SELECT (crm.import_create('leads', bytes, jsonb_build_object('match', '{"key": "email"}'::jsonb, 'batch', batch, 'force', force),
			dry_run) ->> 'id')::uuid FROM public.file \$\$;
SQL
ok "$(sql -c 'SELECT octet_length(bytes) > 1048576 FROM public.file')" t 'the file is large'

put()
{
	sql -c 'SET ROLE saleshub_user' -c "SELECT public.put($1, $2)"
}

state()
{
	echo "SELECT state FROM crm.import WHERE import_id = '$1'"
}

# rows, records, whether any address comes twice, and whose line was the last
records()
{
	sql -c "SELECT count(*), count(DISTINCT email), count(*) FILTER (WHERE title <> CASE WHEN split_part(email, '@', 1) ~ '^p[0-9]*[02468]0\$' THEN '2' ELSE '1' END) FROM crm.lead WHERE deleted_at IS NULL"
}

counts()
{
	sql -c "SELECT c ->> 'rows', c ->> 'create', c ->> 'update', c ->> 'error' FROM (SELECT crm.import_get('$1') -> 'counts' AS c) x"
}

dry=$(put true 2000)
ok "$(until_sql "$(state "$dry")" planned)" planned 'a worker does the dry run'
ok "$(counts "$dry")" "$lines|$rows|200|0" 'its counts are exact'
ok "$(records)" '0|0|0' 'and it leaves nothing'

id=$(put false 100)
ok "$(until_sql "SELECT count(*) = 2 FROM pg_stat_activity WHERE backend_type = 'saleshub import'" t)" t 'two workers import'
ok "$(until_sql "SELECT sum(rows) > 1000 FROM crm.import_progress" t)" t 'and get on'
kill -KILL "$(sql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'saleshub import' LIMIT 1")"
ok "$(until_sql "SELECT pg_postmaster_start_time() IS NOT NULL" t)" t 'the server is back'
ok "$(grep -c 'terminated by signal 9' "$SCRATCH/server.log")" 1 'after a worker was killed'
ok "$(until_sql "$(state "$id")" 'done')" 'done' 'workers go on with it'
ok "$(counts "$id")" "$lines|$rows|200|0" 'every row counts once'
ok "$(records)" "$rows|$rows|0" 'every record is there once, as its last line says'
ok "$(until_sql "SELECT count(*) FROM saleshub.event_log WHERE type = 'lead.created'" "$rows")" "$rows" 'one event a record'
ok "$(sql -c 'SELECT count(*) FROM saleshub.rollup_check()' 2>/dev/null || echo 0)" 0 'rollups are exact'

ok "$(sql -c 'SET ROLE saleshub_user' -c "SELECT crm.import_undo('$id') ->> 'state'")" undoing 'workers take it back'
ok "$(until_sql "$(state "$id")" undone)" undone 'until nothing is left'
ok "$(sql -c "SELECT undo ->> 'deleted', undo ->> 'kept' FROM crm.import WHERE import_id = '$id'")|$(records)" "$rows|0|0|0|0" 'all of it'

id=$(put false 50)
ok "$(until_sql "SELECT sum(rows) > 200 FROM crm.import_progress" t)" t 'another one is under way'
ok "$(sql -c 'SET ROLE saleshub_user' -c "SELECT crm.import_cancel('$id') ->> 'state'")" cancelled 'it is stopped'
ok "$(until_sql "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'saleshub import'" 0)" 0 'workers leave it'
ok "$(sql -c "SELECT (SELECT sum(created) FROM saleshub.import_part WHERE import_id = '$id') = (SELECT count(*) FROM crm.lead WHERE deleted_at IS NULL)")" t 'what is there is what it counts'
sql -c 'SET ROLE saleshub_user' -c "SELECT crm.import_undo('$id')" >/dev/null
ok "$(until_sql "$(state "$id")" undone)" undone 'what it did is taken back'

sql -c "ALTER SYSTEM SET saleshub.import_workers = 0" -c 'SELECT pg_reload_conf()' >/dev/null
ok "$(until_sql "SHOW saleshub.import_workers" 0)" 0 'no workers for a while'
id=$(put false 2000)
sql -c "UPDATE crm.member SET role = 'readonly' WHERE member_id = '$ann'"
sql -c "ALTER SYSTEM RESET saleshub.import_workers" -c 'SELECT pg_reload_conf()' >/dev/null
ok "$(until_sql "$(state "$id")" failed)" failed 'an import fails when its member may not any more'
ok "$(records)" '0|0|0' 'and writes nothing'
done_testing
