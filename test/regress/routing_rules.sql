-- Routing: rules, pools and their methods, and everything that keeps a lead from a member.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.org_create('Rules test', 'Ann', 'ann@rules.example') ->> 'org_id' AS org \gset
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS context;
INSERT INTO crm.member (name, email, role, timezone)
VALUES ('ada', 'ada@rules.example', 'rep', 'America/New_York'), ('bob', 'bob@rules.example', 'rep', 'Europe/Berlin'),
       ('cat', 'cat@rules.example', 'rep', 'Australia/Lord_Howe'), ('dan', 'dan@rules.example', 'manager', 'UTC');
SET ROLE saleshub_user;
CREATE FUNCTION pg_temp.id(who text) RETURNS uuid LANGUAGE sql STABLE
    RETURN (SELECT member_id FROM crm.member WHERE name = who AND org_id = saleshub.org_id());
CREATE FUNCTION pg_temp.new(n integer, lead jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    names text;
BEGIN
    WITH new AS (INSERT INTO crm.lead (last_name, email, company_name, country, state, city, employees, postal_code)
                 SELECT coalesce(lead ->> 'last_name', 'lead'), lead ->> 'email', lead ->> 'company_name', lead ->> 'country', lead ->> 'state', lead ->> 'city',
                        (lead ->> 'employees')::integer, lead ->> 'postal_code' FROM generate_series(1, n)
                 RETURNING lead_id, owner_id)
    SELECT string_agg(coalesce(m.name, '-'), ' ' ORDER BY new.lead_id) INTO names
      FROM new LEFT JOIN crm.member m ON m.member_id = new.owner_id;
    RETURN names;
END
$$;
-- The reasons of the newest entry of the log.
CREATE FUNCTION pg_temp.why() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT a.reason || ': ' || string_agg(m.name || ' ' || coalesce(c ->> 'reason', 'may'), ', ' ORDER BY m.name)
      FROM (SELECT * FROM crm.assignment_log WHERE org_id = saleshub.org_id() ORDER BY assignment_id DESC LIMIT 1) a,
           jsonb_array_elements(a.candidates) c JOIN crm.member m ON m.member_id = (c ->> 'member_id')::uuid
     GROUP BY a.reason $$;
CREATE FUNCTION pg_temp.faults(sql text) RETURNS TABLE (pointer text, code text) LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE sql;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN QUERY SELECT e ->> 'pointer', e ->> 'code' FROM jsonb_array_elements(detail::jsonb -> 'errors') e;
END
$$;

-- Pools: created, changed, read, removed.
SELECT crm.routing_pool_create(jsonb_build_object('name', 'Big', 'method', 'least_recently_assigned', 'position', 5, 'members',
           jsonb_build_array(jsonb_build_object('member_id', pg_temp.id('ada')), jsonb_build_object('member_id', pg_temp.id('bob'))))) ->> 'id' AS big \gset
SELECT crm.routing_pool_create('{"name": "Balance", "method": "load_balance", "position": 6}') ->> 'id' AS balance \gset
SELECT jsonb_array_length(crm.routing_pool_update(:'balance', jsonb_build_object('members',
           jsonb_build_array(jsonb_build_object('member_id', pg_temp.id('cat')), jsonb_build_object('member_id', pg_temp.id('dan'))))) -> 'members') AS members;
SELECT p ->> 'name' AS name, p ->> 'method' AS method, jsonb_array_length(p -> 'members') AS members FROM jsonb_array_elements(crm.routing_pool_list() -> 'data') p;
SELECT * FROM pg_temp.faults($$SELECT crm.routing_pool_create('{"method": "fair", "members": [{"weight": 2000}], "colour": "red"}')$$);
SELECT * FROM pg_temp.faults($$SELECT crm.routing_pool_create('{"name": "big", "members": [{"member_id": "00000000-0000-0000-0000-000000000000"}]}')$$);

-- Rules: the first that holds names the pool; when none does, the first pool gets the lead.
SELECT * FROM pg_temp.faults($$SELECT crm.routing_rules_put('{"rules": [{"name": "x", "predicate": {"field": "size", "op": ">", "value": 1}, "pool_id": "00000000-0000-0000-0000-000000000000"}, {"id": 1}]}')$$);
SELECT jsonb_array_length(crm.routing_rules_put(jsonb_build_object('rules', jsonb_build_array(
    jsonb_build_object('name', 'Large', 'predicate', '{"field": "employees", "op": ">=", "value": 1000}'::jsonb, 'pool_id', :'big'),
    jsonb_build_object('name', 'Middle', 'predicate', '{"field": "employees", "op": ">=", "value": 100}'::jsonb, 'pool_id', :'balance'),
    jsonb_build_object('name', 'Off', 'active', false, 'predicate', '{"field": "last_name", "op": "not_null"}'::jsonb, 'pool_id', :'big')))) -> 'rules') AS rules;
SELECT pg_temp.new(4, '{"employees": 5000}') AS large;
SELECT pg_temp.why();
SELECT pg_temp.new(4, '{"employees": 500}') AS middle;
SELECT pg_temp.why();
SELECT pg_temp.new(4, '{"employees": 5}') AS small;
SELECT pool.name, log.reason, count(*) FROM crm.assignment_log log JOIN crm.routing_pool pool ON pool.routing_pool_id = log.pool_id GROUP BY pool.name, log.reason ORDER BY 1;
SELECT crm.lead_route(lead_id, true) ->> 'rule' AS rule FROM crm.lead WHERE employees = 500 LIMIT 1;
-- In one transaction and through a rollback, rules and pools in turn.
BEGIN;
SELECT pg_temp.new(1, '{"employees": 5000}') || ' ' || pg_temp.new(1, '{"employees": 500}') || ' ' || pg_temp.new(1, '{"employees": 5000}') AS mixed;
SAVEPOINT s;
SELECT crm.routing_rules_put('{"rules": []}') -> 'rules' AS rules;
SELECT pg_temp.new(1, '{"employees": 5000}') IN ('ada', 'bob', 'cat', 'dan') AS default_pool;
ROLLBACK TO s;
SELECT crm.routing_pool_update(:'big', '{"active": false}') ->> 'active' AS active;
SELECT pg_temp.new(1, '{"employees": 5000}') AS nobody;
SELECT reason FROM crm.assignment_log ORDER BY assignment_id DESC LIMIT 1;
ROLLBACK;
SELECT pg_temp.new(2, '{"employees": 5000}') AS large_again;
DO $$ BEGIN PERFORM crm.routing_pool_delete(routing_pool_id) FROM crm.routing_pool WHERE name = 'Big'; EXCEPTION WHEN foreign_key_violation THEN RAISE WARNING 'in use'; END $$;

-- Load balance: most room first, also within one statement.
SELECT crm.routing_member_put(pg_temp.id('cat'), '{"capacity": 4}') ->> 'capacity' AS cat, crm.routing_member_put(pg_temp.id('dan'), '{"capacity": 40}') ->> 'capacity' AS dan;
UPDATE crm.lead SET status = 'unqualified';
SELECT pg_temp.new(11, '{"employees": 500}') AS middle;
-- Capacity: full is full, and a lead closed makes room.
UPDATE crm.lead SET status = 'unqualified';
SELECT crm.routing_member_put(pg_temp.id('cat'), '{"capacity": 2}') ->> 'capacity' AS cat, crm.routing_member_put(pg_temp.id('dan'), '{"capacity": 1}') ->> 'capacity' AS dan;
SELECT pg_temp.new(4, '{"employees": 500}') AS middle;
SELECT pg_temp.why();
UPDATE crm.lead SET status = 'unqualified' WHERE owner_id = pg_temp.id('dan');
SELECT pg_temp.new(2, '{"employees": 500}') AS middle;
-- Quota of the day.
SELECT crm.routing_member_put(pg_temp.id('ada'), '{"daily_quota": 2}') ->> 'daily_quota' AS ada;
SELECT pg_temp.new(2, '{"employees": 5000}') AS large;
SELECT pg_temp.why();
SELECT crm.routing_member_put(pg_temp.id('ada'), '{}') -> 'daily_quota' AS ada;

-- Skills and territories: the closest place wins, and who serves none serves every place.
SELECT crm.routing_rules_put(jsonb_build_object('rules', jsonb_build_array(
    jsonb_build_object('name', 'German', 'skills', '["German", " sql "]'::jsonb, 'predicate', '{"field": "country", "op": "=", "value": "DE"}'::jsonb, 'pool_id', :'big')))) #> '{rules,0,skills}' AS skills;
SELECT pg_temp.new(1, '{"country": "DE"}') AS nobody;
SELECT pg_temp.why();
SELECT crm.routing_member_put(pg_temp.id('bob'), '{"skills": ["SQL", "german", "German"]}') -> 'skills' AS skills;
SELECT pg_temp.new(2, '{"country": "DE"}') AS speaks_german;
SELECT pg_temp.why();
SELECT crm.routing_rules_put('{"rules": []}') -> 'rules' AS rules;
SELECT count(crm.routing_member_put(pg_temp.id(w.name), w.body::jsonb)) FROM (VALUES
    ('ada', '{"territories": [{"country": "US"}]}'), ('bob', '{"territories": [{"country": "US", "state": "California"}, {"country": "DE"}]}'),
    ('cat', '{"territories": [{"country": "US", "state": "California", "city": "San Diego"}]}'), ('dan', '{}')) AS w (name, body);
SELECT pg_temp.new(2, '{"country": "US", "city": "Boston"}') AS us;
SELECT pg_temp.new(2, '{"country": "US", "city": "Fresno", "state": "california"}') AS state;
SELECT pg_temp.new(2, '{"country": "US", "city": "san diego"}') AS city;
SELECT pg_temp.why();
SELECT pg_temp.new(2, '{"country": "FR"}') AS elsewhere;
SELECT pg_temp.why();
-- The next closest takes over for who is away; absence gives way when it is over.
SELECT crm.routing_member_put(pg_temp.id('cat'), jsonb_build_object('territories', '[{"country": "US", "state": "California", "city": "San Diego"}]'::jsonb,
    'absences', jsonb_build_array(jsonb_build_object('starts_at', now() - interval '1 hour', 'ends_at', now() + interval '1 day')))) #>> '{absences,0,note}' IS NULL AS away;
SELECT pg_temp.new(2, '{"country": "US", "city": "San Diego"}') AS state;
SELECT pg_temp.why();
UPDATE crm.absence SET ends_at = now() WHERE member_id = pg_temp.id('cat');
SELECT pg_temp.new(2, '{"country": "US", "city": "San Diego"}') AS city;
-- Postal codes are closer than the city, the longer the closer; * is every country, and the farthest.
SELECT count(crm.routing_member_put(pg_temp.id(w.name), w.body::jsonb)) FROM (VALUES
    ('ada', '{"territories": [{"country": "*"}, {"country": "DE", "city": "Berlin"}]}'),
    ('bob', '{"territories": [{"country": "DE", "postal_from": "10", "postal_to": "14"}, {"country": "GB", "postal_from": "sw1"}]}'),
    ('cat', '{"territories": [{"country": "de", "postal_from": "10115"}, {"country": "DE", "state": "Berlin"}]}'),
    ('dan', '{"territories": [{"country": "DE"}]}')) AS w (name, body);
SELECT place, pg_temp.new(1, place::jsonb) AS goes_to FROM unnest(ARRAY[
    '{"country": "DE", "postal_code": "10115", "city": "Berlin"}', '{"country": "DE", "postal_code": "14999", "city": "Berlin"}',
    '{"country": "DE", "postal_code": "D-15000", "city": "Berlin"}', '{"country": "DE", "city": "Berlin", "state": "Berlin"}', '{"country": "DE", "state": "berlin"}',
    '{"country": "DE", "city": "Bonn"}', '{"country": "GB", "postal_code": "SW1A 2AA"}', '{"country": "GB", "postal_code": "N1 9GU"}', '{}']) place;
SELECT crm.routing_members_get() #> '{members}' @> '[{"name": "bob", "territories": [{"country": "GB", "postal_from": "SW1", "postal_to": "SW1"}]}]' AS shown;
SELECT * FROM pg_temp.faults(format($$SELECT crm.routing_member_put(%L, '{"territories": [{"country": "5"}, {"country": "DE", "postal_to": "1"},
    {"country": "DE", "postal_from": "20", "postal_to": "10"}, {"country": "DE", "postal_from": "20", "postal_to": "300"}]}')$$, pg_temp.id('ada')));
SELECT * FROM pg_temp.faults(format($$SELECT crm.routing_member_put(%L, '{"capacity": -1, "calendar_id": 5, "territories": [{}]}')$$, pg_temp.id('ada')));
SELECT * FROM pg_temp.faults(format($$SELECT crm.routing_member_put(%L, '{"calendar_id": %I, "absences": [{"starts_at": "2030-01-02T00:00:00Z", "ends_at": "2030-01-01T00:00:00Z"}]}')$$, pg_temp.id('ada'), :'org'));
SELECT count(crm.routing_member_put(member_id, '{}')) FROM crm.member WHERE role <> 'admin';

-- The owner of what is open at the company comes first, takes no turn, and must be there.
INSERT INTO crm.company (name, domain, owner_id) VALUES ('Initech', 'initech.example', pg_temp.id('ada'));
INSERT INTO crm.contact (last_name, email, company_id, owner_id) SELECT 'Lumbergh', 'bill@initech.example', company_id, pg_temp.id('bob') FROM crm.company WHERE name = 'Initech';
SELECT sum(turn) AS before FROM crm.routing_pool \gset
SELECT pg_temp.new(3, '{"email": "milton@initech.example"}') AS contact, pg_temp.new(1, '{"company_name": "INITECH"}') AS by_name;
SELECT pg_temp.why(), sum(turn) - :before AS turns FROM crm.routing_pool;
SELECT crm.deal_create(jsonb_build_object('name', 'Printers', 'company_id', (SELECT company_id FROM crm.company WHERE name = 'Initech'), 'owner_id', pg_temp.id('cat'))) ->> 'status' AS status;
SELECT pg_temp.new(2, '{"email": "peter@initech.example"}') AS deal;
RESET ROLE;
UPDATE crm.member SET active = false WHERE org_id = :'org' AND name = 'cat';
INSERT INTO crm.absence (org_id, member_id, starts_at, ends_at) VALUES (:'org', pg_temp.id('bob'), now() - interval '1 day', now() + interval '1 day');
SET ROLE saleshub_user;
SELECT pg_temp.new(6, '{"email": "samir@initech.example"}') !~ 'bob|cat' AS others_only;
SELECT pg_temp.why();
RESET ROLE;
UPDATE crm.member SET active = true WHERE org_id = :'org' AND name = 'cat';
DELETE FROM crm.absence WHERE org_id = :'org';
SET ROLE saleshub_user;

-- Working hours: closed all week is skipped; the next to open gets it where the pool says so.
SELECT * FROM pg_temp.faults($$SELECT crm.routing_calendars_put('{"calendars": [{"name": "x", "timezone": "Mars/Base", "hours": [{"day": 1, "from": "17:00", "to": "09:00"}, {"day": 2, "from": "09:00", "to": "12:00"}, {"day": 2, "from": "11:00", "to": "24:00"}, {"day": 3, "from": "9 am!", "to": "10:00"}]}]}')$$);
SELECT jsonb_array_length(crm.routing_calendars_put(jsonb_build_object('calendars', jsonb_build_array(
    jsonb_build_object('name', 'never', 'hours', '[]'::jsonb),
    jsonb_build_object('name', 'always', 'hours', (SELECT jsonb_agg(jsonb_build_object('day', d, 'from', '00:00', 'to', '24:00')) FROM generate_series(1, 7) d)),
    jsonb_build_object('name', 'tomorrow', 'timezone', 'UTC', 'hours', jsonb_build_array(jsonb_build_object('day', extract(isodow FROM now() AT TIME ZONE 'UTC' + interval '1 day'), 'from', '00:00', 'to', '24:00'))),
    jsonb_build_object('name', 'later', 'timezone', 'UTC', 'hours', jsonb_build_array(jsonb_build_object('day', extract(isodow FROM now() AT TIME ZONE 'UTC' + interval '3 days'), 'from', '00:00', 'to', '24:00')))))) -> 'calendars') AS calendars;
CREATE FUNCTION pg_temp.works(who text, calendar text) RETURNS boolean LANGUAGE sql AS $$
    SELECT crm.routing_member_put(pg_temp.id(who), jsonb_build_object('calendar_id', (SELECT routing_calendar_id FROM crm.routing_calendar WHERE name = calendar))) IS NOT NULL $$;
SELECT pg_temp.works('ada', 'never') AND pg_temp.works('bob', 'always') AND pg_temp.works('cat', 'tomorrow') AND pg_temp.works('dan', 'later') AS set;
SELECT pg_temp.new(2, '{}') AS at_work;
SELECT pg_temp.why();
SELECT pg_temp.works('bob', 'later') AS set;
SELECT pg_temp.new(1, '{}') AS nobody;
SELECT pg_temp.why();
SELECT crm.routing_pool_update(routing_pool_id, '{"outside_hours": "next_open"}') ->> 'outside_hours' AS mode FROM crm.routing_pool WHERE is_default;
SELECT pg_temp.new(2, '{}') AS first_to_open;
SELECT pg_temp.why();

-- A day of changed clocks in three zones: work begins and ends by the clock on the wall, and the
-- time between passes as it does.
CREATE TEMP VIEW hours AS SELECT (SELECT jsonb_agg(jsonb_build_object('day', d, 'from', '09:00', 'to', '17:00')) FROM generate_series(1, 5) d) AS office,
    (SELECT jsonb_agg(jsonb_build_object('day', d, 'from', '00:00', 'to', '24:00')) FROM generate_series(1, 7) d) AS always,
    '[{"day": 6, "from": "22:00", "to": "24:00"}, {"day": 7, "from": "00:00", "to": "06:00"}]'::jsonb AS night;
CREATE TEMP TABLE switch (zone text, what text, friday date);
INSERT INTO switch VALUES ('America/New_York', 'spring', '2026-03-06'), ('America/New_York', 'autumn', '2026-10-30'),
    ('Europe/Berlin', 'spring', '2026-03-27'), ('Europe/Berlin', 'autumn', '2026-10-23'),
    ('Australia/Lord_Howe', 'autumn', '2026-04-03'), ('Australia/Lord_Howe', 'spring', '2026-10-02');
SELECT zone, what, due AT TIME ZONE zone AS due_local, due - start AS passed
  FROM switch, hours, LATERAL (SELECT (friday + time '16:30') AT TIME ZONE zone AS start) s,
       LATERAL crm.business_add(start, '4 hours', office, '{}', zone) AS due ORDER BY 1, 2;
SELECT zone, what, crm.business_add((friday + time '16:30') AT TIME ZONE zone, '4 hours', office, ARRAY[friday + 3], zone) AT TIME ZONE zone AS after_a_holiday
  FROM switch, hours ORDER BY 1, 2;
SELECT zone, what, saleshub.business_opens((friday + time '17:00') AT TIME ZONE zone, office, '{}', zone) AT TIME ZONE zone AS opens,
       crm.business_add((friday + 1 + time '12:00') AT TIME ZONE zone, '7 hours', night, '{}', zone) AT TIME ZONE zone AS night_shift,
       crm.business_add((friday + 1 + time '12:00') AT TIME ZONE zone, '36 hours', always, '{}', zone) - (friday + 1 + time '12:00') AT TIME ZONE zone AS always
  FROM switch, hours ORDER BY 1, 2;
-- It never runs backwards, and minutes add up, over the whole of a weekend.
SELECT zone, what, bool_and(due > before) AS forward, bool_and(due = step) AS adds_up
  FROM (SELECT zone, what, lag(due) OVER (PARTITION BY zone, what ORDER BY m) AS before, due,
               crm.business_add(crm.business_add(start, make_interval(mins => m - 45), always, '{}', zone), '45 minutes', always, '{}', zone) AS step
          FROM switch, hours, generate_series(45, 3600, 45) m, LATERAL (SELECT (friday + time '23:10') AT TIME ZONE zone AS start) s,
               LATERAL crm.business_add(start, make_interval(mins => m), always, '{}', zone) AS due) x
 WHERE before IS NOT NULL GROUP BY zone, what ORDER BY 1, 2;
SELECT crm.business_add('2026-01-01', '1 hour', '[]') AS never, crm.business_add('2026-01-01', '1 hour', NULL) = '2026-01-01'::timestamptz + interval '1 hour' AS no_hours;

-- Reps change nothing of this; other organisations see nothing of it.
RESET ROLE;
SET saleshub.member_role = 'rep';
SET ROLE saleshub_user;
CREATE FUNCTION pg_temp.failure(sql text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE sql;
    RETURN 'no failure';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$;
SELECT pg_temp.failure(format('SELECT crm.routing_member_put(%L, ''{}'')', pg_temp.id('ada'))) AS member, pg_temp.failure($$SELECT crm.routing_pool_create('{"name": "Mine"}')$$) AS pool,
       pg_temp.failure($$SELECT crm.routing_calendars_put('{"calendars": []}')$$) AS calendars,
       pg_temp.failure($$INSERT INTO crm.absence (member_id, starts_at, ends_at) VALUES (pg_temp.id('ada'), now(), now() + interval '1 day')$$) AS absence,
       pg_temp.failure(format($$INSERT INTO crm.routing_rule (name, predicate, routing_pool_id) VALUES ('x', '{"field": "email", "op": "not_null"}', %L)$$, :'big')) AS rule,
       pg_temp.failure('SELECT saleshub.routing_members(NULL, NULL)') AS machinery;
RESET ROLE;
RESET saleshub.member_role;
SELECT crm.org_create('Rules other', 'Bob', 'bob@rules.example') ->> 'org_id' AS other \gset
SELECT set_config('saleshub.org_id', :'other', false) = :'other' AS context;
SET ROLE saleshub_user;
SELECT (SELECT count(*) FROM crm.routing_rule) AS rules, (SELECT count(*) FROM crm.routing_calendar) AS calendars, (SELECT count(*) FROM crm.routing_member) AS members,
       (SELECT count(*) FROM crm.routing_territory) AS territories, (SELECT count(*) FROM crm.absence) AS absences, pg_temp.failure(format('SELECT crm.routing_pool_get(%L)', :'big')) AS pool;
