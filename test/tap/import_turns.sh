#!/bin/bash
# An import takes the turns of a routing pool without waiting for it, and yet they are exact: over
# its leads and those of others, with a worker killed, a member who leaves, a stop in the middle.
# shellcheck disable=SC2034
conf='fsync = off
max_worker_processes = 12
max_prepared_transactions = 5'
# shellcheck source=test/tap/server.bash disable=SC2154
. "$SCRATCH/server.bash"
new_server
made=$(sql -c "SELECT crm.org_create('Turns', 'Ann', 'ann@turns.example')")
org=$(sql -c "SELECT '$made'::jsonb ->> 'org_id'") ann=$(sql -c "SELECT '$made'::jsonb ->> 'member_id'")
export PGOPTIONS="-c saleshub.org_id=$org -c saleshub.member_id=$ann -c saleshub.member_role=admin"
sql <<-'SQL'
	INSERT INTO crm.member (name, email, role) VALUES ('five', 'five@turns.example', 'rep'),
	    ('three', 'three@turns.example', 'rep'), ('two', 'two@turns.example', 'rep');
	UPDATE crm.routing_pool_member p SET weight = CASE m.name WHEN 'five' THEN 5 WHEN 'three' THEN 3 ELSE 2 END
	  FROM crm.member m WHERE m.org_id = p.org_id AND m.member_id = p.member_id;
	-- Some rows are wrong, some mean the record of the row before, some come with an owner.
	CREATE FUNCTION public.file(name text, rows integer, width integer) RETURNS bytea LANGUAGE sql AS $$
	    SELECT convert_to(E'email,website,owner,employees\n' || string_agg(format(E'%s%s@turns.example,%s,%s,%s\n', name, n,
	        rpad('https://x.example/', width, 'wide'), CASE WHEN n % 10 = 7 THEN 'ann@turns.example' END,
	        CASE WHEN n % 100 = 3 THEN 'many' ELSE '5' END), '' ORDER BY n, t), 'UTF8')
	    FROM generate_series(1, rows) n, generate_series(1, CASE WHEN n % 50 = 0 THEN 2 ELSE 1 END) t $$;
	CREATE FUNCTION public.put(name text, rows integer, width integer, batch integer, dry_run boolean DEFAULT false) RETURNS uuid
	LANGUAGE sql AS $$
	    SELECT (crm.import_create('leads', public.file(name, rows, width), jsonb_build_object(
	        'match', '{"key": "email"}'::jsonb, 'batch', batch), dry_run) ->> 'id')::uuid $$;
	-- A share of new leads one by one or a few, some of them rolled back.
	CREATE PROCEDURE public.work(share integer) LANGUAGE plpgsql AS $$
	DECLARE
	    lot integer;
	    done integer := 0;
	BEGIN
	    WHILE done < share LOOP
	        lot := least(1 + done % 3, share - done);
	        BEGIN
	            INSERT INTO crm.lead (last_name) SELECT 'undone' FROM generate_series(1, lot);
	            RAISE SQLSTATE 'ZZ000';
	        EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
	            NULL;
	        END;
	        INSERT INTO crm.lead (last_name) SELECT 'live' FROM generate_series(1, lot);
	        IF done % 7 = 0 AND random() < 0.5 THEN
	            ROLLBACK;
	        ELSE
	            COMMIT;
	            done := done + lot;
	        END IF;
	    END LOOP;
	END
	$$;
SQL

put()
{
	sql -c 'SET ROLE saleshub_user' -c "SELECT public.put($1)"
}

state()
{
	echo "SELECT state FROM crm.import WHERE import_id = '$1'"
}

shares()
{
	sql -c "SELECT string_agg(name || ' ' || n, ', ' ORDER BY name) FROM (SELECT m.name, count(*) AS n FROM crm.lead l JOIN crm.member m ON m.member_id = l.owner_id WHERE m.name <> 'Ann' GROUP BY m.name) s"
}

# turns of the pool, its state, entries of the log without a turn, turns not yet added
pool()
{
	sql -c "SELECT (SELECT count(*) FROM crm.assignment_log) - (SELECT turn FROM crm.routing_pool), (SELECT string_agg(current::text, ' ' ORDER BY weight) FROM crm.routing_pool_member WHERE weight > 1), (SELECT count(*) FROM saleshub.import_turn)"
}

# 9011 rows, of which 91 are wrong and 901 have an owner: 8019 to be shared out, and 981 live ones
sql -c 'BEGIN' -c 'SELECT FROM crm.routing_pool FOR NO KEY UPDATE' -c "PREPARE TRANSACTION 'held'"
id=$(put "'a', 9011, 200, 27")
ok "$(until_sql "SELECT sum(rows) > 500 FROM crm.import_progress" t)" t 'an import does not wait for the pool'
kill -KILL "$(sql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'saleshub import' LIMIT 1")"
ok "$(until_sql "SELECT pg_postmaster_start_time() IS NOT NULL" t)" t 'the server is back after a worker was killed'
ok "$(until_sql "SELECT sum(rows) > 3000 FROM crm.import_progress" t)" t 'and the import goes on'
ok "$(sql -c "SELECT count(*) = 2 FROM saleshub.import_turn")" t 'each part has turns of its own'
ok "$(sql -c "SELECT turn FROM crm.routing_pool")" 0 'and none of the pool'
ok "$(sql -c "SET lock_timeout = '50ms'" -c "INSERT INTO crm.lead (last_name) VALUES ('waits')" 2>&1 | grep -c 'lock timeout')" 1 'while others wait'
sql -c "ROLLBACK PREPARED 'held'"
pids=()
for n in 1 2 3; do
	sql -c "CALL public.work(327)" >"$SCRATCH/$n.out" 2>&1 &
	pids+=($!)
done
failed_sessions=0
for n in "${pids[@]}"; do
	wait "$n" || failed_sessions=$((failed_sessions + 1))
done
ok "$failed_sessions" 0 'leads of others come in between'
ok "$(until_sql "$(state "$id")" 'done')" 'done' 'the import ends'
ok "$(sql -c "SELECT c ->> 'create', c ->> 'update', c ->> 'error' FROM (SELECT crm.import_get('$id') -> 'counts' AS c) x")" '8920|180|91' 'some rows were wrong, some came twice'
ok "$(shares)" 'five 4500, three 2700, two 1800' 'all leads together are shared as the weights say'
ok "$(pool)" '0|0 0 0|0' 'every turn is one of the pool'

# Who leaves gets nothing from the next batch on; the others share what there is.
before=$(sql -c 'SELECT count(*) FROM crm.lead')
id=$(put "'b', 9000, 200, 27")
ok "$(until_sql "SELECT sum(rows) > 1000 FROM crm.import_progress" t)" t 'another import'
sql -c "UPDATE crm.member SET active = false WHERE name = 'two'"
batches=$(sql -c "SELECT string_agg((batch + 2)::text, ',' ORDER BY part) FROM saleshub.import_part WHERE import_id = '$id'")
ok "$(until_sql "SELECT bool_and(batch >= ('{$batches}'::integer[])[part + 1]) FROM saleshub.import_part WHERE import_id = '$id'" t)" t 'goes on while a member leaves'
mine="SELECT count(*) FROM crm.lead l JOIN crm.member m ON m.member_id = l.owner_id WHERE m.name = 'two'"
had=$(sql -c "$mine")
ok "$(until_sql "$(state "$id")" 'done')" 'done' 'it ends'
ok "$(sql -c "$mine")" "$had" 'who left got no more leads'
ok "$(sql -c "SELECT (SELECT count(*) FROM crm.lead) - $before")" 8910 'all rows are in'
ok "$(sql -c "SELECT abs(count(*) FILTER (WHERE m.name = 'five') * 3 - count(*) FILTER (WHERE m.name = 'three') * 5) <= 16 FROM crm.lead l JOIN crm.member m ON m.member_id = l.owner_id WHERE l.email LIKE 'b%'")" t 'the others share as their weights say'
ok "$(pool | cut -d'|' -f1,3)" '0|0' 'every turn is one of the pool'
sql -c 'BEGIN' -c "INSERT INTO crm.lead (last_name) SELECT 'later' FROM generate_series(1, 800)" -c COMMIT
# The sum of what is open is what the member who left leaves it: less than a round of each of two parts.
# Of the other two the one with more is next and pays 8, so they end no further apart than that.
ok "$(sql -c "SELECT CASE WHEN max(current) - min(current) <= 8 AND abs(sum(current)) < 20 THEN 't' ELSE string_agg(current::text, ' ') END FROM crm.routing_pool_member p JOIN crm.member m USING (org_id, member_id) WHERE m.active AND p.weight > 2")" t 'what is left open evens out'

# A stop in the middle
sql -c "UPDATE crm.member SET active = true WHERE name = 'two'"
id=$(put "'c', 9000, 200, 27")
ok "$(until_sql "SELECT sum(rows) > 1000 FROM crm.import_progress" t)" t 'a third one'
ok "$(sql -c 'SET ROLE saleshub_user' -c "SELECT crm.import_cancel('$id') ->> 'state'")" cancelled 'is stopped'
ok "$(until_sql "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'saleshub import'" 0)" 0 'workers leave it'
ok "$(pool | cut -d'|' -f1,3)" '0|0' 'its turns are those of the pool'

# What is only rehearsed
sql -c 'BEGIN' -c 'SELECT FROM crm.routing_pool FOR NO KEY UPDATE' -c "PREPARE TRANSACTION 'held'"
ok "$(sql -c "SET lock_timeout = '50ms'" -c "SELECT public.put('d', 60, 10, 20, true) IS NOT NULL")" t 'a dry run waits for nobody'
ok "$(sql -c 'SELECT count(*) FROM saleshub.import_turn')" 0 'and takes no turns'
sql -c "ROLLBACK PREPARED 'held'"
done_testing
