#!/bin/bash
# Sixteen sessions insert ten thousand leads, in statements of many sizes, and roll back at random:
# weights 5:3:2 give exactly 5000:3000:2000, and every Σw leads in a row are shared exactly.
# shellcheck disable=SC2034
conf='max_connections = 40
max_prepared_transactions = 5
fsync = off'
# shellcheck source=test/tap/server.bash disable=SC2154
. "$SCRATCH/server.bash"
new_server
org=$(sql -c "SELECT crm.org_create('Race', 'Ann', 'ann@race.example')->>'org_id'")
export PGOPTIONS="-c saleshub.org_id=$org"
sql <<-'SQL'
	INSERT INTO crm.member (name, email, role) VALUES ('five', 'five@race.example', 'rep'),
	    ('three', 'three@race.example', 'rep'), ('two', 'two@race.example', 'manager');
	UPDATE crm.routing_pool_member p SET weight = CASE m.name WHEN 'five' THEN 5 WHEN 'three' THEN 3 ELSE 2 END
	  FROM crm.member m WHERE m.org_id = p.org_id AND m.member_id = p.member_id;
	-- Counts on through rollbacks.
	CREATE SEQUENCE public.undone;
	-- One session's share: lots of 1 to 9 leads, of which about every third is rolled back in
	-- part (a block with a savepoint) and some with their whole transaction.
	CREATE PROCEDURE public.work(share int, salt float) LANGUAGE plpgsql AS $$
	DECLARE
	    lot int;
	    done int := 0;
	BEGIN
	    PERFORM setseed(salt);
	    WHILE done < share LOOP
	        lot := least(1 + (random() * 8)::int, share - done);
	        INSERT INTO crm.lead (last_name) SELECT 'lead' FROM generate_series(1, lot);
	        BEGIN
	            IF random() < 0.3 THEN
	                INSERT INTO crm.lead (last_name) SELECT 'undone' FROM generate_series(1, lot);
	                PERFORM nextval('public.undone');
                RAISE SQLSTATE 'ZZ000';
	            END IF;
	        EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
	            NULL;
	        END;
	        IF random() < 0.2 THEN
	            ROLLBACK;
	        ELSE
	            COMMIT;
	            done := done + lot;
	        END IF;
	    END LOOP;
	END
	$$;
SQL
pids=()
for n in $(seq 16); do
	sql -c "CALL public.work(625, $n / 20.0)" >"$SCRATCH/$n.out" 2>&1 &
	pids+=($!)
done
failed_sessions=0
for n in "${pids[@]}"; do
	wait "$n" || failed_sessions=$((failed_sessions + 1))
done
ok "$failed_sessions" 0 'no session failed'
share=$(sql -c "SELECT string_agg(name || ' ' || n, ', ' ORDER BY n DESC) FROM (SELECT m.name, count(*) AS n FROM crm.lead l JOIN crm.member m ON m.member_id = l.owner_id GROUP BY m.name) s")
echo "# $share"
undone=$(sql -c "SELECT last_value FROM public.undone")
echo "# $undone rollbacks"
ok "$((undone > 500))" 1 'much was rolled back'
ok "$share" 'five 5000, three 3000, two 2000' 'ten thousand leads are shared as the weights say'
ok "$(sql -c "SELECT turn, (SELECT sum(current) FROM crm.routing_pool_member), (SELECT count(*) FROM crm.assignment_log) FROM crm.routing_pool")" \
	'10000|0|10000' 'as many turns and entries of the log as leads'
sql -c BEGIN -c "INSERT INTO crm.lead (last_name) SELECT 'two phases' FROM generate_series(1, 10)" -c "PREPARE TRANSACTION 'routed'"
ok "$(sql -c "SET lock_timeout = '100ms'" -c "INSERT INTO crm.lead (last_name) VALUES ('waits')" 2>&1 | grep -c 'lock timeout')" 1 \
	'a prepared transaction keeps the turn'
sql -c "COMMIT PREPARED 'routed'"
ok "$(sql -c "SELECT turn, (SELECT count(*) FROM crm.lead) FROM crm.routing_pool")" '10010|10010' 'and has taken it when it commits'
done_testing
