#!/bin/bash
# Sixteen sessions insert leads while members join, leave, are absent and come back: nobody gets a
# lead after the commit of an absence, and between two changes the weights hold exactly. Then many
# sessions do what is due at once, each thing once.
# shellcheck disable=SC2034
conf='max_connections = 40
fsync = off'
# shellcheck source=test/tap/server.bash disable=SC2154
. "$SCRATCH/server.bash"
new_server
org=$(sql -c "SELECT crm.org_create('Absence', 'Ann', 'ann@absence.example')->>'org_id'")
export PGOPTIONS="-c saleshub.org_id=$org"
sql <<-'SQL'
	INSERT INTO crm.member (name, email, role)
	SELECT n, n || '@absence.example', 'rep' FROM unnest(ARRAY['one', 'two', 'three', 'four']) n;
	UPDATE crm.routing_pool_member p SET weight = CASE m.name WHEN 'one' THEN 1 WHEN 'two' THEN 2 WHEN 'three' THEN 3 ELSE 4 END
	  FROM crm.member m WHERE m.org_id = p.org_id AND m.member_id = p.member_id;
	-- Who was away from when to when: set after the absence is committed, and ended before it is.
	CREATE TABLE public.away (member_id uuid, from_turn bigint, to_turn bigint);
	CREATE TABLE public.stop (n int);
	CREATE PROCEDURE public.work(salt float) LANGUAGE plpgsql AS $$
	BEGIN
	    PERFORM setseed(salt);
	    WHILE NOT EXISTS (SELECT FROM public.stop) LOOP
	        INSERT INTO crm.lead (last_name) SELECT 'lead' FROM generate_series(1, 1 + (random() * 3)::int);
	        IF random() < 0.2 THEN
	            ROLLBACK;
	        ELSE
	            COMMIT;
	        END IF;
	    END LOOP;
	END
	$$;
	-- The turns of the pool say what came before and after: its row lock orders all of it.
	CREATE PROCEDURE public.change(rounds int) LANGUAGE plpgsql AS $$
	DECLARE
	    who uuid;
	    here bigint;
	BEGIN
	    PERFORM setseed(0.3);
	    FOR n IN 1 .. rounds LOOP
	        SELECT member_id INTO who FROM crm.member WHERE role = 'rep' ORDER BY random() LIMIT 1;
	        CASE n % 3
	            WHEN 0 THEN UPDATE crm.member SET active = false WHERE member_id = who;
	            WHEN 1 THEN INSERT INTO crm.absence (member_id, starts_at, ends_at) VALUES (who, now() - interval '1 hour', now() + interval '1 hour');
	            ELSE UPDATE crm.routing_pool_member SET active = false WHERE member_id = who;
	        END CASE;
	        COMMIT;
	        -- Whoever holds the lock now may have read the members before the commit; the next did not.
	        PERFORM FROM crm.routing_pool WHERE org_id = saleshub.org_id() FOR UPDATE;
	        SELECT turn INTO here FROM crm.routing_pool WHERE org_id = saleshub.org_id();
	        INSERT INTO public.away VALUES (who, here, NULL);
	        COMMIT;
	        PERFORM pg_sleep(0.1);
	        PERFORM FROM crm.routing_pool WHERE org_id = saleshub.org_id() FOR UPDATE;
	        UPDATE public.away SET to_turn = (SELECT turn FROM crm.routing_pool WHERE org_id = saleshub.org_id()) WHERE to_turn IS NULL;
	        UPDATE crm.member SET active = true WHERE member_id = who;
	        DELETE FROM crm.absence WHERE member_id = who;
	        UPDATE crm.routing_pool_member SET active = true WHERE member_id = who;
	        COMMIT;
	        PERFORM pg_sleep(0.1);
	    END LOOP;
	END
	$$;
SQL
pids=()
for n in $(seq 16); do
	sql -c "CALL public.work($n / 20.0)" >"$SCRATCH/$n.out" 2>&1 &
	pids+=($!)
done
sql -c 'CALL public.change(12)' || touch "$SCRATCH/failed"
sql -c 'INSERT INTO public.stop VALUES (1)'
failed_sessions=0
for n in "${pids[@]}"; do
	wait "$n" || failed_sessions=$((failed_sessions + 1))
done
ok "$failed_sessions" 0 'no session failed'
ok "$(ls "$SCRATCH/failed" 2>/dev/null)" '' 'nor did who changes the members'
# The log is written in the order of the turns: a turn is a place in it.
turns="SELECT member_id, row_number() OVER (ORDER BY assignment_id) AS place FROM crm.assignment_log WHERE member_id IS NOT NULL"
echo "# $(sql -c "SELECT count(*) || ' leads, ' || (SELECT count(*) || ' changes over ' || sum(to_turn - from_turn) || ' leads' FROM public.away) FROM crm.lead")"
ok "$(sql -c "SELECT turn = (SELECT count(*) FROM crm.assignment_log) AND turn = (SELECT count(*) FROM crm.lead) FROM crm.routing_pool")" t 'every lead took one turn'
ok "$(sql -c "SELECT sum(to_turn - from_turn) > 100 FROM public.away")" t 'many leads came while somebody was away'
ok "$(sql -c "WITH log AS ($turns) SELECT count(*) FROM public.away a JOIN log t ON t.member_id = a.member_id AND t.place > a.from_turn AND t.place <= a.to_turn")" 0 \
	'nobody got a lead who was away'
ok "$(sql -c "WITH log AS ($turns), share AS (
	SELECT a.from_turn, p.member_id, p.weight, (a.to_turn - a.from_turn) AS n, sum(p.weight) OVER (PARTITION BY a.from_turn) AS total,
	       (SELECT count(*) FROM log t WHERE t.member_id = p.member_id AND t.place > a.from_turn AND t.place <= a.to_turn) AS got
	  FROM public.away a JOIN crm.routing_pool_member p ON p.member_id <> a.member_id)
	SELECT count(*) FROM share WHERE abs(got - n * weight::numeric / total) >= 2")" 0 'and the others shared by their weights, to within a lead or two at the ends'

# What is due, by eight sessions at once while others write.
sql <<-'SQL'
	SELECT crm.sla_put('{"policies": [{"name": "soon", "target_minutes": 60, "max_hops": 3, "calendar": "always"}]}') IS NOT NULL;
	INSERT INTO crm.lead (last_name) SELECT 'due' FROM generate_series(1, 200);
	UPDATE crm.sla_timer SET due_at = now();
SQL
pids=()
for n in $(seq 8); do
	sql -c "DO \$\$ BEGIN FOR i IN 1 .. 100 LOOP PERFORM saleshub.sla_run(20); COMMIT; EXIT WHEN NOT EXISTS (SELECT FROM crm.sla_timer WHERE state = 'running' AND due_at <= now()); END LOOP; END \$\$" >"$SCRATCH/due$n.out" 2>&1 &
	pids+=($!)
done
sql -c "INSERT INTO crm.lead (last_name) SELECT 'meanwhile' FROM generate_series(1, 50)" >/dev/null
failed_sessions=0
for n in "${pids[@]}"; do
	wait "$n" || failed_sessions=$((failed_sessions + 1))
done
ok "$failed_sessions" 0 'no session failed at what was due'
# A run waits for nobody: what was locked whenever they looked is left for the next.
for ((n = 0; n < 100; n++)); do
	[[ $(sql -c "SELECT count(*) FROM crm.sla_timer WHERE state = 'running' AND due_at <= now()") != 0 ]] || break
	sql -c "SELECT saleshub.sla_run(20)" >/dev/null
done
ok "$(grep -l WARNING "$SCRATCH"/due*.out | wc -l)" 0 'nor warned'
ok "$(sql -c "SELECT count(*), count(DISTINCT entity_id) FROM (SELECT entity_id FROM saleshub.outbox WHERE type = 'lead.sla_breached' UNION ALL SELECT entity_id FROM saleshub.event_log WHERE type = 'lead.sla_breached') e")" '200|200' \
	'each was due once'
ok "$(sql -c "SELECT count(*), bool_and(l.owner_id <> t.member_id), count(n.hop) FROM crm.sla_timer t JOIN crm.lead l USING (org_id, lead_id) JOIN crm.sla_timer n ON n.lead_id = t.lead_id AND n.hop = 1 AND n.member_id = l.owner_id WHERE t.state = 'breached'")" '200|t|200' \
	'and went to somebody else'
done_testing
