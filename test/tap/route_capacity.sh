#!/bin/bash
# Eight sessions insert more leads than the members can take, through rules and pools in changing
# order, and roll back at random: nobody ever gets more than the capacity, every place is filled,
# and who left or is away gets nothing.
# shellcheck disable=SC2034
conf='max_connections = 30
fsync = off'
# shellcheck source=test/tap/server.bash disable=SC2154
. "$SCRATCH/server.bash"
new_server
org=$(sql -c "SELECT crm.org_create('Capacity', 'Ann', 'ann@capacity.example')->>'org_id'")
export PGOPTIONS="-c saleshub.org_id=$org"
sql <<-'SQL' >/dev/null
	INSERT INTO crm.member (name, email, role) SELECT n, n || '@capacity.example', 'rep'
	  FROM unnest('{ada,bob,cat,gone,away}'::text[]) n;
	INSERT INTO crm.routing_member (member_id, capacity)
	SELECT member_id, CASE name WHEN 'ada' THEN 70 WHEN 'bob' THEN 50 WHEN 'cat' THEN 30 END
	  FROM crm.member WHERE role = 'rep';
	UPDATE crm.member SET active = false WHERE name = 'gone';
	INSERT INTO crm.absence (member_id, starts_at, ends_at)
	SELECT member_id, now() - interval '1 day', now() + interval '1 day' FROM crm.member WHERE name = 'away';
	INSERT INTO crm.routing_pool (name, method, position) VALUES ('Balance', 'load_balance', 2);
	INSERT INTO crm.routing_pool_member (routing_pool_id, member_id)
	SELECT p.routing_pool_id, m.member_id FROM crm.routing_pool p, crm.member m
	 WHERE p.name = 'Balance' AND m.role = 'rep';
	INSERT INTO crm.routing_rule (name, predicate, routing_pool_id)
	SELECT 'web', '{"field": "source", "op": "=", "value": "web"}', routing_pool_id
	  FROM crm.routing_pool WHERE name = 'Balance';
	CREATE PROCEDURE public.work(salt float) LANGUAGE plpgsql AS $$
	BEGIN
	    PERFORM setseed(salt);
	    FOR i IN 1 .. 30 LOOP
	        INSERT INTO crm.lead (last_name, source)
	        SELECT 'lead', CASE WHEN random() < 0.5 THEN 'web' ELSE 'event' END
	          FROM generate_series(1, 1 + (random() * 3)::int);
	        INSERT INTO crm.lead (last_name, source) VALUES ('lead', 'web');
	        IF random() < 0.2 THEN
	            ROLLBACK;
	        ELSE
	            COMMIT;
	        END IF;
	    END LOOP;
	END
	$$;
SQL
pids=()
for n in $(seq 8); do
	sql -c "CALL public.work($n / 10.0)" >"$SCRATCH/$n.out" 2>&1 &
	pids+=($!)
done
failed_sessions=0
for n in "${pids[@]}"; do
	wait "$n" || failed_sessions=$((failed_sessions + 1))
done
ok "$failed_sessions" 0 'no session failed, whatever the order of pools'
ok "$(sql -c "SELECT string_agg(m.name || ' ' || n, ', ' ORDER BY m.name) FROM (SELECT owner_id, count(*) AS n FROM crm.lead WHERE owner_id IS NOT NULL GROUP BY 1) l JOIN crm.member m ON m.member_id = l.owner_id")" \
	'ada 70, bob 50, cat 30' 'everybody is filled to the capacity and not beyond'
ok "$(sql -c "SELECT count(*) > 100 FROM crm.lead WHERE owner_id IS NULL")" t 'the rest has no owner'
ok "$(sql -c "SELECT string_agg(DISTINCT m.name || ' ' || (c->>'reason'), ', ') FROM (SELECT candidates FROM crm.assignment_log ORDER BY assignment_id DESC LIMIT 1) a, jsonb_array_elements(a.candidates) c JOIN crm.member m ON m.member_id = (c->>'member_id')::uuid")" \
	'ada at capacity, away absent, bob at capacity, cat at capacity, gone member is not active' 'and the log says why'
done_testing
