-- Leads that nobody got: why, since when, and that they never wait while somebody could take them.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.org_create('Queue test', 'Ann', 'ann@queue.example') ->> 'org_id' AS org \gset
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS context;
INSERT INTO crm.member (name, email, role, timezone)
SELECT n, n || '@queue.example', 'rep', 'Europe/Berlin' FROM unnest(ARRAY['ada', 'bob', 'cat']) n;
CREATE FUNCTION pg_temp.id(who text) RETURNS uuid LANGUAGE sql AS $$
    SELECT member_id FROM crm.member WHERE org_id = saleshub.org_id() AND name = who
$$;
CREATE FUNCTION pg_temp.lead(who text) RETURNS uuid LANGUAGE sql AS $$
    SELECT lead_id FROM crm.lead WHERE org_id = saleshub.org_id() AND last_name = who
$$;
CREATE VIEW pg_temp.waiting AS
    SELECT l.last_name, q.kind, q.reason,
           (SELECT string_agg(coalesce(m.name, '?') || ' ' || (c ->> 'reason'), ', ' ORDER BY m.name)
              FROM jsonb_array_elements(q.candidates) c LEFT JOIN crm.member m ON m.member_id = (c ->> 'member_id')::uuid) AS why,
           q.pool_id IS NOT NULL AS pool, q.next_try_at
      FROM crm.routing_queue q JOIN crm.lead l USING (org_id, lead_id)
     WHERE q.org_id = saleshub.org_id() ORDER BY q.since, q.lead_id;
CREATE FUNCTION pg_temp.owners() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(l.last_name || ' ' || coalesce(m.name, '-'), ', ' ORDER BY l.lead_id)
      FROM crm.lead l LEFT JOIN crm.member m ON m.member_id = l.owner_id
     WHERE l.org_id = saleshub.org_id() AND l.status = 'new' AND l.deleted_at IS NULL
$$;
CREATE FUNCTION pg_temp.left() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN (SELECT count(*) FROM crm.routing_queue q WHERE q.org_id = saleshub.org_id());
END
$$;
CREATE FUNCTION pg_temp.failure(sql text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE sql;
    RETURN 'none';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN concat_ws(' ', SQLSTATE, nullif(detail, '')::jsonb ->> 'code');
END
$$;

-- Everybody has a reason to be left out. Each reason ends in its own way.
SELECT crm.routing_member_put(pg_temp.id('ada'), '{"capacity": 0}') IS NOT NULL
   AND crm.routing_member_put(pg_temp.id('bob'), '{"daily_quota": 0}') IS NOT NULL AS set;
UPDATE crm.member SET active = false WHERE org_id = :'org' AND name = 'cat';
INSERT INTO crm.lead (last_name) VALUES ('first'), ('second');
INSERT INTO crm.lead (last_name, owner_id) VALUES ('owned', pg_temp.id('ada'));
SELECT last_name, kind, reason, why, pool FROM pg_temp.waiting;
SELECT saleshub.routing_run(only_org => :'org');
SELECT next_try_at <= now() + interval '1 hour' AND next_try_at > now() AS later FROM pg_temp.waiting;
SELECT count(*) AS logged FROM crm.assignment_log WHERE org_id = :'org';
SELECT count(*) AS nothing_to_do FROM saleshub.routing_orgs() o WHERE o = :'org';
-- capacity is raised
SELECT crm.routing_member_put(pg_temp.id('ada'), '{"capacity": 2}') IS NOT NULL AS set;
SELECT saleshub.routing_run(only_org => :'org');
SELECT pg_temp.owners();
-- a lead of hers closes
UPDATE crm.lead SET status = 'unqualified' WHERE org_id = :'org' AND last_name = 'owned';
SELECT saleshub.routing_run(only_org => :'org');
SELECT pg_temp.owners();
SELECT count(*) AS waiting FROM pg_temp.waiting;
-- somebody becomes active
INSERT INTO crm.lead (last_name) VALUES ('third');
SELECT saleshub.routing_run(only_org => :'org');
UPDATE crm.member SET active = true WHERE org_id = :'org' AND name = 'cat';
SELECT saleshub.routing_run(only_org => :'org'), pg_temp.owners();
-- an absence ends by time alone
INSERT INTO crm.absence (member_id, starts_at, ends_at)
VALUES (pg_temp.id('cat'), now() - interval '1 day', clock_timestamp() + interval '1500 ms');
INSERT INTO crm.lead (last_name) VALUES ('fourth');
SELECT saleshub.routing_run(only_org => :'org');
SELECT why, next_try_at < now() + interval '2 seconds' AS soon FROM pg_temp.waiting;
SELECT saleshub.routing_run(only_org => :'org'), (SELECT count(*) FROM saleshub.routing_wake WHERE org_id = :'org') AS wakes;
SELECT pg_sleep(1.5);
SELECT saleshub.routing_run(only_org => :'org'), pg_temp.owners();
-- skill, territory, pool, rule
SELECT crm.routing_member_put(pg_temp.id('cat'), '{"territories": [{"country": "FR"}]}') IS NOT NULL AS set;
SELECT crm.routing_rules_put(jsonb_build_object('rules', jsonb_build_array(jsonb_build_object('name', 'web', 'skills', '["german"]'::jsonb,
    'predicate', '{"field": "source", "op": "=", "value": "web"}'::jsonb, 'pool_id', routing_pool_id)))) IS NOT NULL AS set FROM crm.routing_pool WHERE org_id = :'org';
INSERT INTO crm.lead (last_name, country, source) VALUES ('fifth', 'DE', NULL), ('sixth', 'FR', 'web');
SELECT saleshub.routing_run(only_org => :'org');
SELECT last_name, why FROM pg_temp.waiting;
SELECT crm.routing_member_put(pg_temp.id('cat'), '{"territories": [{"country": "FR"}, {"country": "*"}]}') IS NOT NULL AS set;
SELECT saleshub.routing_run(only_org => :'org'), pg_temp.owners();
SELECT crm.routing_member_put(pg_temp.id('cat'), '{"skills": ["German"]}') IS NOT NULL AS set;
SELECT saleshub.routing_run(only_org => :'org'), pg_temp.left();
UPDATE crm.routing_pool SET active = false WHERE org_id = :'org';
INSERT INTO crm.lead (last_name) VALUES ('seventh');
SELECT saleshub.routing_run(only_org => :'org');
SELECT last_name, reason, pool FROM pg_temp.waiting;
UPDATE crm.routing_pool SET active = true WHERE org_id = :'org';
SELECT saleshub.routing_run(only_org => :'org'), pg_temp.left();
-- the lead itself changes
SELECT crm.routing_member_put(pg_temp.id('cat'), '{"territories": [{"country": "FR"}]}') IS NOT NULL AS set;
INSERT INTO crm.lead (last_name) VALUES ('eighth');
SELECT saleshub.routing_run(only_org => :'org');
UPDATE crm.lead SET country = 'FR' WHERE org_id = :'org' AND last_name = 'eighth';
SELECT saleshub.routing_run(only_org => :'org'), pg_temp.left();

-- Out of the queue: deleted, closed, given; back into it: restored, open again, owner taken away.
INSERT INTO crm.lead (last_name) VALUES ('ninth');
UPDATE crm.lead SET deleted_at = now() WHERE org_id = :'org' AND last_name = 'ninth';
SELECT count(*) AS waiting FROM pg_temp.waiting;
UPDATE crm.lead SET deleted_at = NULL WHERE org_id = :'org' AND last_name = 'ninth';
SELECT count(*) AS waiting FROM pg_temp.waiting;
UPDATE crm.lead SET status = 'unqualified' WHERE org_id = :'org' AND last_name = 'ninth';
SELECT count(*) AS waiting FROM pg_temp.waiting;
UPDATE crm.lead SET status = 'new' WHERE org_id = :'org' AND last_name = 'ninth';
SELECT count(*) AS waiting FROM pg_temp.waiting;
UPDATE crm.lead SET owner_id = pg_temp.id('ada') WHERE org_id = :'org' AND last_name = 'ninth';
SELECT count(*) AS waiting FROM pg_temp.waiting;
SELECT reason, by_hand, (SELECT name FROM crm.member m WHERE m.member_id = a.member_id) FROM crm.assignment_log a
 WHERE lead_id = pg_temp.lead('ninth') ORDER BY assignment_id;
UPDATE crm.lead SET owner_id = NULL WHERE org_id = :'org' AND last_name = 'ninth';
SELECT last_name, reason FROM pg_temp.waiting;
DELETE FROM crm.routing_queue WHERE org_id = :'org';
UPDATE crm.lead SET status = 'unqualified' WHERE org_id = :'org';

-- In order of age, or of the score; and a run is bounded.
SELECT crm.routing_member_put(pg_temp.id(n), '{"capacity": 0}') IS NOT NULL AS set FROM unnest(ARRAY['ada', 'bob', 'cat']) n;
INSERT INTO crm.lead (last_name, phone) VALUES ('cold', NULL), ('warm', '+12025550100'), ('cool', NULL);
SELECT saleshub.routing_run(only_org => :'org');
SELECT crm.routing_setting_put('{"queue_order": "score", "points": {"A": 9, "E": 3}}');
SELECT crm.routing_member_put(pg_temp.id('ada'), '{"capacity": 1}') IS NOT NULL AS set;
SELECT saleshub.routing_run(only_org => :'org'), pg_temp.owners();
SELECT crm.routing_setting_put('{}', '"1"');
SELECT pg_temp.failure($$SELECT crm.routing_setting_put('{}', '"1"')$$), pg_temp.failure($$SELECT crm.routing_setting_put('{"points": {"F": 1, "A": 0}}')$$);
SELECT crm.routing_member_put(pg_temp.id('bob'), '{}') IS NOT NULL AS set;
SELECT saleshub.routing_run(1, :'org'), pg_temp.owners();
SELECT saleshub.routing_run(1, :'org'), pg_temp.owners();
SELECT saleshub.routing_run(1, :'org'), count(*) AS left FROM saleshub.routing_orgs() o WHERE o = :'org';

-- A capacity in points.
UPDATE crm.lead SET status = 'unqualified' WHERE org_id = :'org';
SELECT crm.routing_setting_put('{"points": {"E": 3, "D": 5}}') -> 'points' AS points;
SELECT crm.routing_member_put(pg_temp.id('ada'), '{"capacity": 7, "capacity_unit": "points"}') -> 'capacity_unit' AS unit;
SELECT crm.routing_member_put(pg_temp.id('bob'), '{"capacity": 0}') IS NOT NULL AS set;
SELECT crm.routing_member_put(pg_temp.id('cat'), '{"capacity": 0}') IS NOT NULL AS set;
INSERT INTO crm.lead (last_name, phone) VALUES ('three', NULL), ('six', NULL), ('nine', NULL);
SELECT pg_temp.owners();
SELECT why FROM pg_temp.waiting;
SELECT saleshub.routing_run(only_org => :'org');
UPDATE crm.lead SET status = 'unqualified' WHERE org_id = :'org' AND last_name = 'six';
SELECT saleshub.routing_run(only_org => :'org'), pg_temp.owners();

-- Who sees the queue, and takes from it.
UPDATE crm.lead SET status = 'unqualified' WHERE org_id = :'org';
SELECT crm.routing_member_put(pg_temp.id('ada'), '{"capacity": 0}') IS NOT NULL AS set;
INSERT INTO crm.lead (last_name, company_name, email) SELECT 'w' || n, 'Firm', 'w' || n || '@queue.example' FROM generate_series(1, 5) n;
UPDATE crm.routing_queue SET kind = 'manager' WHERE lead_id = pg_temp.lead('w5');
INSERT INTO crm.member (name, email, role) VALUES ('dan', 'dan@queue.example', 'rep'), ('mia', 'mia@queue.example', 'manager');
DELETE FROM crm.routing_pool_member WHERE member_id IN (pg_temp.id('dan'), pg_temp.id('mia'));
SELECT pg_temp.id('ada') AS ada, pg_temp.id('dan') AS dan, pg_temp.id('mia') AS mia, pg_temp.id('bob') AS bob,
       pg_temp.lead('w1') AS w1, pg_temp.lead('w2') AS w2, pg_temp.lead('w5') AS w5 \gset
SET saleshub.member_id = :'mia'; SET saleshub.member_role = 'manager';
SET ROLE saleshub_user;
SELECT e #>> '{lead,last_name}' AS lead, e ->> 'kind' AS kind, e ->> 'reason' AS reason, jsonb_array_length(e -> 'candidates') AS candidates,
       (e ->> 'age_seconds')::int < 60 AS young FROM jsonb_array_elements(crm.routing_queue_list() -> 'data') e;
SELECT crm.routing_queue_list(limit_ => 2) AS page \gset
SELECT jsonb_path_query_array(:'page', '$.data[*].lead.last_name') AS one,
       jsonb_path_query_array(crm.routing_queue_list(limit_ => 2, cursor_ => :'page'::jsonb ->> 'next_cursor'), '$.data[*].lead.last_name') AS two;
SELECT jsonb_path_query_array(crm.routing_queue_list(kind => 'manager'), '$.data[*].lead.last_name') AS manager, pg_temp.failure($$SELECT crm.routing_queue_list(kind => 'x')$$);
RESET ROLE;
SET saleshub.member_id = :'ada'; SET saleshub.member_role = 'rep';
SET ROLE saleshub_user;
SELECT jsonb_path_query_array(crm.routing_queue_list(), '$.data[*].lead.last_name') AS ada_sees;
SELECT crm.routing_claim(:'w1') ->> 'owner_id' = :'ada' AS mine;
SELECT pg_temp.failure(format('SELECT crm.routing_claim(%L)', :'w1')) AS again, pg_temp.failure(format('SELECT crm.routing_claim(%L)', :'w5')) AS managers_only,
       pg_temp.failure('SELECT crm.routing_claim(crm.uuid_v7())') AS unknown, pg_temp.failure('UPDATE crm.routing_queue SET reason = reason') AS written,
       pg_temp.failure('SELECT saleshub.routing_run()') AS run, pg_temp.failure('SELECT crm.lead_route_batch()') AS batch;
RESET ROLE;
SET saleshub.member_id = :'dan';
SET ROLE saleshub_user;
SELECT jsonb_array_length(crm.routing_queue_list() -> 'data') AS dan_sees, pg_temp.failure(format('SELECT crm.routing_claim(%L)', :'w2')) AS of_no_pool;
RESET ROLE;
SET saleshub.member_role = 'readonly'; SET saleshub.member_id = :'bob';
SET ROLE saleshub_user;
SELECT pg_temp.failure(format('SELECT crm.routing_claim(%L)', :'w2')) AS readonly;
RESET ROLE;
-- what a lead says, only who sees it
UPDATE crm.org SET settings = settings || '{"visibility": {"rep": {"lead": "own"}}}' WHERE org_id = :'org';
SET saleshub.member_role = 'rep'; SET saleshub.member_id = :'bob';
SET ROLE saleshub_user;
SELECT DISTINCT e -> 'lead' AS lead, e ? 'lead_id' AS id FROM jsonb_array_elements(crm.routing_queue_list() -> 'data') e;
SELECT crm.routing_claim(:'w2') ->> 'last_name' AS claimed;
RESET ROLE;
RESET saleshub.member_id; RESET saleshub.member_role;
UPDATE crm.org SET settings = settings - 'visibility' WHERE org_id = :'org';
SELECT set_config('saleshub.org_id', crm.org_create('Queue other', 'Bo', 'bo@queue.example') ->> 'org_id', false) IS NOT NULL AS other;
SET ROLE saleshub_user;
SELECT jsonb_array_length(crm.routing_queue_list() -> 'data') AS others_see, (SELECT count(*) FROM crm.routing_queue) AS rows;
RESET ROLE;
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS context;

-- A batch by hand: the best first.
UPDATE crm.lead SET status = 'unqualified' WHERE org_id = :'org' AND owner_id IS NOT NULL;
UPDATE crm.lead SET phone = '+12025550199' WHERE org_id = :'org' AND last_name = 'w4';
SELECT crm.routing_member_put(pg_temp.id('ada'), '{"capacity": 2}') IS NOT NULL AS set;
SELECT r - 'results' AS sums, jsonb_path_query_array(r, '$.results[*].reason') AS reasons FROM crm.lead_route_batch('{"limit": 2}') r;
SELECT pg_temp.owners();
SELECT crm.lead_route_batch(jsonb_build_object('ids', jsonb_build_array(pg_temp.lead('w5')))) - 'results' AS sums;
SELECT pg_temp.failure($$SELECT crm.lead_route_batch('{"limit": 0, "x": 1}')$$);

-- Least recently assigned counts what is given by hand.
UPDATE crm.lead SET status = 'unqualified' WHERE org_id = :'org';
DELETE FROM crm.routing_rule WHERE org_id = :'org';
UPDATE crm.routing_pool SET method = 'least_recently_assigned' WHERE org_id = :'org';
SELECT crm.routing_member_put(pg_temp.id(n), '{}') IS NOT NULL AS set FROM unnest(ARRAY['ada', 'bob', 'cat']) n;
INSERT INTO crm.lead (last_name) VALUES ('r1'), ('r2'), ('r3');
INSERT INTO crm.lead (last_name, owner_id) SELECT 'hand', owner_id FROM crm.lead WHERE last_name = 'r1' AND org_id = :'org';
UPDATE crm.lead SET owner_id = (SELECT owner_id FROM crm.lead WHERE last_name = 'r2' AND org_id = :'org') WHERE org_id = :'org' AND last_name = 'hand';
INSERT INTO crm.lead (last_name) VALUES ('r4');
INSERT INTO crm.lead (last_name) VALUES ('r5');
SELECT (SELECT owner_id FROM crm.lead WHERE lead_id = pg_temp.lead('r4')) = (SELECT owner_id FROM crm.lead WHERE lead_id = pg_temp.lead('r3')) AS third_waited_longest,
       (SELECT owner_id FROM crm.lead WHERE lead_id = pg_temp.lead('r5')) = (SELECT owner_id FROM crm.lead WHERE lead_id = pg_temp.lead('r1')) AS then_the_first;
UPDATE crm.routing_pool SET method = 'weighted_round_robin' WHERE org_id = :'org';

-- Whatever changes: after the run nobody waits who could be taken.
UPDATE crm.lead SET status = 'unqualified' WHERE org_id = :'org';
SELECT routing_pool_id AS pool FROM crm.routing_pool WHERE org_id = :'org' \gset
SELECT crm.routing_calendars_put('{"calendars": [{"name": "never", "hours": []}, {"name": "always", "timezone": "UTC", "hours": [{"day": 1, "from": "00:00", "to": "24:00"}, {"day": 2, "from": "00:00", "to": "24:00"}, {"day": 3, "from": "00:00", "to": "24:00"}, {"day": 4, "from": "00:00", "to": "24:00"}, {"day": 5, "from": "00:00", "to": "24:00"}, {"day": 6, "from": "00:00", "to": "24:00"}, {"day": 7, "from": "00:00", "to": "24:00"}]}]}') IS NOT NULL AS set;
INSERT INTO crm.routing_pool (name, position) VALUES ('Second', 5);
INSERT INTO crm.routing_pool_member (routing_pool_id, member_id) SELECT routing_pool_id, pg_temp.id('bob') FROM crm.routing_pool WHERE name = 'Second' AND org_id = :'org';
CREATE PROCEDURE pg_temp.change(step integer) LANGUAGE plpgsql AS $$
DECLARE
    who uuid := pg_temp.id((ARRAY['ada', 'bob', 'cat'])[1 + floor(random() * 3)::int]);
    one uuid := (SELECT lead_id FROM crm.lead WHERE org_id = saleshub.org_id() AND status = 'new' ORDER BY random() LIMIT 1);
BEGIN
    CASE floor(random() * 19)::int
    WHEN 0 THEN UPDATE crm.member SET active = random() < 0.7 WHERE org_id = saleshub.org_id() AND member_id = who;
    WHEN 1 THEN INSERT INTO crm.absence (member_id, starts_at, ends_at)
                VALUES (who, now() - interval '1 hour', clock_timestamp() + random() * interval '60 ms');
    WHEN 2 THEN DELETE FROM crm.absence WHERE org_id = saleshub.org_id() AND member_id = who;
    WHEN 3, 4, 5 THEN PERFORM crm.routing_member_put(who, jsonb_build_object(
            'capacity', (ARRAY['0', '2', '7', 'null'])[1 + floor(random() * 4)::int]::jsonb,
            'daily_quota', (ARRAY['3', '20', 'null', 'null'])[1 + floor(random() * 4)::int]::jsonb,
            'skills', (ARRAY['["german"]', '[]'])[1 + floor(random() * 2)::int]::jsonb,
            'territories', (ARRAY['[{"country": "DE"}]', '[]', '[{"country": "US", "postal_from": "10", "postal_to": "20"}]'])[1 + floor(random() * 3)::int]::jsonb,
            'calendar_id', (SELECT to_jsonb(routing_calendar_id) FROM crm.routing_calendar WHERE org_id = saleshub.org_id() AND random() < 0.3 ORDER BY random() LIMIT 1)));
    WHEN 6 THEN UPDATE crm.routing_pool SET active = random() < 0.7 WHERE org_id = saleshub.org_id();
    WHEN 7 THEN PERFORM crm.routing_rules_put(jsonb_build_object('rules', (
            SELECT coalesce(jsonb_agg(jsonb_build_object('name', 'r', 'pool_id', routing_pool_id,
                       'skills', (ARRAY['["german"]', '[]'])[1 + floor(random() * 2)::int]::jsonb,
                       'predicate', jsonb_build_object('field', 'source', 'op', '=', 'value', (ARRAY['web', 'fair'])[1 + floor(random() * 2)::int]))), '[]')
              FROM crm.routing_pool WHERE org_id = saleshub.org_id() AND random() < 0.7)));
    WHEN 8 THEN UPDATE crm.routing_pool_member SET active = random() < 0.7 WHERE org_id = saleshub.org_id() AND member_id = who;
    WHEN 9, 12, 13 THEN UPDATE crm.lead SET status = 'unqualified' WHERE org_id = saleshub.org_id() AND status = 'new' AND (lead_id = one OR random() < 0.3);
    WHEN 10 THEN UPDATE crm.lead SET owner_id = NULL WHERE org_id = saleshub.org_id() AND lead_id = one;
    WHEN 11 THEN UPDATE crm.lead SET country = (ARRAY['DE', 'US', NULL])[1 + step % 3], postal_code = '15000' WHERE org_id = saleshub.org_id() AND lead_id = one;
    ELSE INSERT INTO crm.lead (last_name, source, country, postal_code)
         SELECT 'p' || n, (ARRAY['web', 'fair', NULL])[1 + n % 3], (ARRAY['DE', 'US', 'FR'])[1 + n % 3], '15' || n FROM generate_series(1, 2) n;
    END CASE;
END
$$;
CREATE TEMP TABLE outcome (step integer, waiting bigint, given bigint, could bigint);
CREATE PROCEDURE pg_temp.many(steps integer) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM setseed(0.33);
    FOR turn IN 1 .. steps LOOP
        CALL pg_temp.change(turn);
        COMMIT;
        -- Time passes between the run and the look at it only where no absence ends.
        IF EXISTS (SELECT FROM crm.absence WHERE org_id = saleshub.org_id() AND ends_at > now()) THEN
            PERFORM pg_sleep(0.07);
            COMMIT;
        END IF;
        INSERT INTO outcome (step, given) VALUES (turn, saleshub.routing_run(1000, saleshub.org_id()));
        COMMIT;
        UPDATE outcome o SET waiting = n.waiting, could = n.could
          FROM (SELECT count(*) AS waiting, count(*) FILTER (WHERE crm.lead_route(q.lead_id, true) ->> 'owner_id' IS NOT NULL) AS could
                  FROM crm.routing_queue q WHERE q.org_id = saleshub.org_id() AND q.kind = 'waiting') n
         WHERE o.step = turn;
        COMMIT;
    END LOOP;
END
$$;
CALL pg_temp.many(200);
SELECT count(*) AS steps, sum(could) AS waiting_in_vain, sum(given) > 0 AS some_given, sum(waiting) > 50 AS many_waited FROM outcome;
SELECT count(*) AS without_entry FROM crm.lead l
 WHERE l.org_id = :'org' AND l.owner_id IS NULL AND l.deleted_at IS NULL AND l.status IN ('new', 'working', 'nurturing', 'qualified')
   AND NOT EXISTS (SELECT FROM crm.routing_queue q WHERE q.org_id = l.org_id AND q.lead_id = l.lead_id);
SELECT count(*) AS owned_in_queue FROM crm.routing_queue q JOIN crm.lead l USING (org_id, lead_id) WHERE l.owner_id IS NOT NULL;
