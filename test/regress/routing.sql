-- Routing: whose turn it is, exactly, whatever is rolled back; and why.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.org_create('Routing test', 'Ann', 'ann@routing.example') ->> 'org_id' AS org \gset
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS context;

-- Without members nobody gets the lead, and the log says so.
INSERT INTO crm.lead (last_name) VALUES ('early') RETURNING owner_id;
SELECT reason, member_id, candidates FROM crm.assignment_log WHERE org_id = :'org';

-- Reps and managers join the default pool, others do not.
INSERT INTO crm.member (org_id, name, email, role)
VALUES (:'org', 'five', 'five@routing.example', 'rep'), (:'org', 'three', 'three@routing.example', 'manager'),
       (:'org', 'two', 'two@routing.example', 'readonly'), (:'org', 'admin', 'admin@routing.example', 'admin');
SELECT m.name FROM crm.routing_pool_member p JOIN crm.member m USING (org_id, member_id)
 WHERE p.org_id = :'org' ORDER BY m.name;
UPDATE crm.member SET role = 'rep' WHERE org_id = :'org' AND name = 'two';
SET ROLE saleshub_user;
SELECT routing_pool_id AS pool FROM crm.routing_pool \gset
SELECT jsonb_array_length(crm.pool_member_add(:'pool', member_id, weight) #> '{pools,0,members}') AS members
  FROM crm.member JOIN (VALUES ('five', 5), ('three', 3), ('two', 2)) AS w (name, weight) USING (name)
 ORDER BY name;
SELECT name FROM crm.routing_pool_member p JOIN crm.member USING (org_id, member_id) ORDER BY p.weight DESC;

CREATE VIEW pg_temp.state AS
    SELECT m.name, p.weight, p.current, p.last_turn
      FROM crm.routing_pool_member p JOIN crm.member m USING (org_id, member_id)
     WHERE p.org_id = saleshub.org_id() ORDER BY p.weight DESC, m.name;
CREATE FUNCTION pg_temp.turns(n integer, kind text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    names text;
BEGIN
    WITH new AS (INSERT INTO crm.lead (last_name, source) SELECT kind || i, kind FROM generate_series(1, n) i
                 RETURNING lead_id, owner_id)
    SELECT string_agg(coalesce(m.name, '-'), ' ' ORDER BY new.lead_id) INTO names
      FROM new LEFT JOIN crm.member m ON m.member_id = new.owner_id;
    RETURN names;
END
$$;

-- The smooth order, the same in one statement and in many.
SELECT pg_temp.turns(10, 'first');
SELECT pg_temp.turns(10, 'again');
SELECT string_agg(pg_temp.turns(1, 'single' || i), ' ' ORDER BY i) FROM generate_series(1, 10) i;
SELECT * FROM pg_temp.state;
SELECT turn FROM crm.routing_pool;

-- A lead with an owner takes no turn.
INSERT INTO crm.lead (last_name, owner_id) SELECT 'owned', member_id FROM crm.member WHERE name = 'admin';
SELECT turn FROM crm.routing_pool;

-- A rollback gives the turns back: of a transaction, a savepoint, a failed statement.
BEGIN;
SELECT pg_temp.turns(3, 'undone');
ROLLBACK;
SELECT turn FROM crm.routing_pool;
BEGIN;
SELECT pg_temp.turns(1, 'kept');
SAVEPOINT s;
SELECT pg_temp.turns(4, 'undone');
ROLLBACK TO s;
SELECT pg_temp.turns(1, 'kept');
SAVEPOINT t;
SELECT pg_temp.turns(1, 'kept');
RELEASE t;
SELECT pg_temp.turns(7, 'kept');
COMMIT;
INSERT INTO crm.lead (last_name) VALUES ('a'), ('b'), (NULL);
SELECT turn FROM crm.routing_pool;
SELECT * FROM pg_temp.state;

-- Leads that another statement inserts while one is under way take turns in between.
CREATE FUNCTION pg_temp.inner_lead(n integer, fails boolean) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        INSERT INTO crm.lead (last_name, source) VALUES ('inner ' || n, 'nested');
        IF fails THEN
            RAISE SQLSTATE 'ZZ000';
        END IF;
    EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
        RETURN 'outer ' || n || ' alone';
    END;
    RETURN 'outer ' || n;
END
$$;
INSERT INTO crm.lead (last_name, source)
SELECT pg_temp.inner_lead(i, false), 'nested' FROM generate_series(1, 5) i;
SELECT string_agg(m.name, ' ' ORDER BY l.lead_id) AS turns, count(*) AS leads
  FROM crm.lead l JOIN crm.member m ON m.member_id = l.owner_id WHERE l.source = 'nested';
SELECT * FROM pg_temp.state;
INSERT INTO crm.lead (last_name, source)
SELECT pg_temp.inner_lead(i, i % 2 = 0), 'nested again' FROM generate_series(1, 20) i;
SELECT m.name, count(*) FROM crm.lead l JOIN crm.member m ON m.member_id = l.owner_id
 WHERE l.source LIKE 'nested%' GROUP BY m.name ORDER BY m.name;
SELECT * FROM pg_temp.state;
SELECT (SELECT turn FROM crm.routing_pool)
     = (SELECT count(*) FROM crm.assignment_log WHERE member_id IS NOT NULL) AS every_turn_is_logged;

-- A row that ON CONFLICT keeps out is not logged as assigned.
SELECT lead_id AS taken FROM crm.lead WHERE last_name = 'owned' \gset
INSERT INTO crm.lead (lead_id, last_name) VALUES (:'taken', 'conflict'), (crm.uuid_v7(), 'fits')
ON CONFLICT (org_id, lead_id) DO NOTHING;
SELECT count(*) AS logged FROM crm.assignment_log WHERE lead_id = :'taken';
SELECT count(*) AS logged FROM crm.assignment_log a JOIN crm.lead l USING (org_id, lead_id) WHERE l.last_name = 'fits';

-- COPY is routed too.
SELECT turn AS before FROM crm.routing_pool \gset
RESET ROLE;
COPY crm.lead (last_name, source) FROM stdin;
one	copy
two	copy
three	copy
\.
SET ROLE saleshub_user;
SELECT turn - :before AS turns FROM crm.routing_pool;

-- Ten thousand in one statement: exactly as the weights say.
INSERT INTO crm.lead (last_name, source) SELECT 'bulk', 'bulk' FROM generate_series(1, 10000);
SELECT m.name, count(*) FROM crm.lead l JOIN crm.member m ON m.member_id = l.owner_id
 WHERE l.source = 'bulk' GROUP BY m.name ORDER BY count(*) DESC;

-- Who is away gets nothing, with a reason, and starts from zero afterwards. What the others are
-- owed stays.
RESET ROLE;
UPDATE crm.member SET active = false WHERE org_id = :'org' AND name = 'five';
SET ROLE saleshub_user;
SELECT pg_temp.turns(10, 'away');
SELECT c ->> 'eligible' AS eligible, c ->> 'reason' AS reason, c ->> 'weight' AS weight
  FROM crm.assignment_log a JOIN crm.lead l USING (org_id, lead_id), jsonb_array_elements(a.candidates) c
 WHERE l.last_name = 'away1' ORDER BY 3 DESC;
SELECT name, current FROM pg_temp.state WHERE name = 'five';
RESET ROLE;
UPDATE crm.member SET active = true WHERE org_id = :'org' AND name = 'five';
SET ROLE saleshub_user;
SELECT pg_temp.turns(10, 'back') ~ 'five five five' AS flood;
UPDATE crm.routing_pool_member p SET active = false FROM crm.member m
 WHERE m.member_id = p.member_id AND m.name = 'three';
UPDATE crm.routing_pool_member p SET weight = 0 FROM crm.member m
 WHERE m.member_id = p.member_id AND m.name = 'two';
SELECT DISTINCT pg_temp.turns(1, 'alone' || i) FROM generate_series(1, 5) i;
RESET ROLE;
UPDATE crm.member SET role = 'readonly' WHERE org_id = :'org' AND name = 'five';
SET ROLE saleshub_user;
SELECT pg_temp.turns(1, 'nobody');
SELECT a.reason, a.member_id, (SELECT jsonb_agg(c - 'member_id' ORDER BY c ->> 'reason') FROM jsonb_array_elements(a.candidates) c) AS candidates
  FROM crm.assignment_log a JOIN crm.lead l USING (org_id, lead_id) WHERE l.last_name = 'nobody1';
RESET ROLE;
UPDATE crm.member SET role = 'rep' WHERE org_id = :'org' AND name = 'five';
SET ROLE saleshub_user;
UPDATE crm.routing_pool SET active = false;
SELECT pg_temp.turns(1, 'nopool');
SELECT a.reason, a.pool_id FROM crm.assignment_log a JOIN crm.lead l USING (org_id, lead_id) WHERE l.last_name = 'nopool1';
UPDATE crm.routing_pool SET active = true;

-- Asking for a lead: who would get it, and giving it.
UPDATE crm.routing_pool_member SET active = true, weight = 1;
SELECT lead_id AS lead FROM crm.lead WHERE last_name = 'nobody1' \gset
SELECT turn AS before FROM crm.routing_pool \gset
SELECT m.name AS would_get, r ->> 'rule' AS rule, r ->> 'reason' AS reason, jsonb_array_length(r -> 'candidates') AS candidates
  FROM (SELECT crm.lead_route(:'lead', true) AS r) x JOIN crm.member m ON m.member_id = (r ->> 'owner_id')::uuid \gset dry_
SELECT :'dry_rule' AS rule, :'dry_reason' AS reason, :dry_candidates AS candidates,
       turn = :before AS no_turn_taken, (SELECT owner_id IS NULL FROM crm.lead WHERE lead_id = :'lead') AS unowned,
       (SELECT count(*) FROM crm.assignment_log WHERE lead_id = :'lead') AS logged
  FROM crm.routing_pool;
SELECT m.name = :'dry_would_get' AS as_foretold, l.lead_id = :'lead' AS is_there
  FROM (SELECT crm.lead_route(:'lead') AS r) x JOIN crm.member m ON m.member_id = (r ->> 'owner_id')::uuid
  JOIN crm.lead l ON l.lead_id = :'lead';
SELECT owner_id IS NOT NULL AS owned, version FROM crm.lead WHERE lead_id = :'lead';
SELECT turn - :before AS turns FROM crm.routing_pool;
CREATE FUNCTION pg_temp.failure(sql text) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE sql;
    RETURN 'no failure';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$;
SELECT pg_temp.failure($$SELECT crm.lead_route('00000000-0000-0000-0000-000000000000')$$);
SELECT pg_temp.failure(format('SELECT crm.lead_convert(%L)', :'lead'));
SELECT pg_temp.failure(format('SELECT crm.lead_route(%L)', :'lead'));

-- Within one transaction: the state counts on in memory, the members are read by every statement.
UPDATE crm.routing_pool_member SET weight = CASE (SELECT name FROM crm.member m WHERE m.member_id = routing_pool_member.member_id)
    WHEN 'five' THEN 5 WHEN 'three' THEN 3 ELSE 2 END;
SELECT turn AS before FROM crm.routing_pool \gset
BEGIN;
SELECT length(pg_temp.turns(1, 'in' || i)) > 0 AS turn FROM generate_series(1, 3) i;
UPDATE crm.routing_pool_member SET active = false WHERE weight <> 2;
SELECT pg_temp.turns(2, 'two only');
SAVEPOINT s;
UPDATE crm.routing_pool_member SET active = true;
SELECT pg_temp.turns(4, 'undone') ~ 'five' AS five_is_back;
ROLLBACK TO s;
SELECT crm.lead_route(lead_id, true) ->> 'owner_id' = owner_id::text AS same_as_next
  FROM crm.lead WHERE last_name = 'two only1';
SELECT pg_temp.turns(2, 'two only');
INSERT INTO crm.routing_pool (name, position) VALUES ('First', 0);
INSERT INTO crm.routing_pool_member (routing_pool_id, member_id)
SELECT routing_pool_id, member_id FROM crm.routing_pool, crm.member WHERE routing_pool.name = 'First' AND member.name = 'admin';
SELECT pg_temp.turns(2, 'other pool');
UPDATE crm.routing_pool SET active = false WHERE name = 'First';
SELECT pg_temp.turns(1, 'first pool again');
COMMIT;
SELECT name, CASE name WHEN 'First' THEN turn ELSE turn - :before END AS turns FROM crm.routing_pool ORDER BY name;
DELETE FROM crm.routing_pool WHERE name = 'First';
UPDATE crm.routing_pool_member SET active = true, weight = 1;

-- What many leads of one statement have in common is stored once, and told of each.
INSERT INTO crm.lead (last_name) SELECT 'crowd' || n FROM generate_series(1, 120) n;
INSERT INTO crm.lead (last_name) SELECT 'couple' || n FROM generate_series(1, 2) n;
SELECT regexp_replace(l.last_name, '\d+', '') AS leads, count(*), count(a.candidates) AS own, count(DISTINCT a.assignment_candidates_id) AS shared,
       count(*) FILTER (WHERE told -> 'candidates' = coalesce(a.candidates, c.candidates) AND told ->> 'member_id' = l.owner_id::text
                              AND told ->> 'reason' = a.reason AND jsonb_array_length(told -> 'candidates') > 1) AS told
  FROM crm.lead l JOIN crm.assignment_log a USING (org_id, lead_id)
  LEFT JOIN crm.assignment_candidates c USING (org_id, assignment_candidates_id),
       LATERAL (SELECT crm.lead_assignments_get(l.lead_id) -> 'assignments' -> 0) t (told)
 WHERE l.last_name ~ '^(crowd|couple)\d' GROUP BY 1 ORDER BY 1;

-- Who may change what.
SELECT pg_temp.failure('UPDATE crm.routing_pool SET turn = 0');
SELECT pg_temp.failure('UPDATE crm.routing_pool_member SET current = 100');
SELECT pg_temp.failure(format('SELECT crm.pool_member_add(%L, %L, -1)', :'pool', :'lead'));
RESET ROLE;
SET saleshub.member_role = 'rep';
SET ROLE saleshub_user;
SELECT pg_temp.failure('UPDATE crm.routing_pool_member SET weight = 100');
SELECT pg_temp.failure('DELETE FROM crm.routing_pool_member');
SELECT pg_temp.failure('UPDATE crm.routing_pool SET active = false');
INSERT INTO crm.lead (last_name) VALUES ('by a rep') RETURNING owner_id IS NOT NULL AS owned;
RESET ROLE;
SET saleshub.member_role = 'readonly';
SET ROLE saleshub_user;
SELECT pg_temp.failure($$SELECT crm.lead_route((SELECT lead_id FROM crm.lead WHERE last_name = 'by a rep'))$$);
SELECT crm.lead_route((SELECT lead_id FROM crm.lead WHERE last_name = 'by a rep'), true) ->> 'reason' AS reason;
RESET ROLE;
RESET saleshub.member_role;
SELECT crm.org_create('Routing other', 'Bob', 'bob@routing.example') ->> 'org_id' AS other \gset
SELECT set_config('saleshub.org_id', :'other', false) = :'other' AS context;
SET ROLE saleshub_user;
SELECT pg_temp.failure(format('SELECT crm.lead_route(%L)', :'lead'));
SELECT pg_temp.failure(format('SELECT crm.lead_assignments_get(%L)', :'lead'));
SELECT count(*) AS shared FROM crm.assignment_candidates;
SELECT count(*) AS pools, (SELECT count(*) FROM crm.assignment_log) AS logged FROM crm.routing_pool;
