-- How soon leads are answered: timers in working time, what ends them, and what happens when they are due.
\set VERBOSITY terse
\set QUIET on
SET client_min_messages = warning;
SET timezone = 'UTC';
SELECT saleshub.install() IS NOT NULL AS installed;
SELECT crm.org_create('SLA test', 'Ann', 'ann@sla.example') ->> 'org_id' AS org \gset
SELECT set_config('saleshub.org_id', :'org', false) = :'org' AS context;
INSERT INTO crm.member (name, email, role, timezone) VALUES ('ada', 'ada@sla.example', 'rep', 'Europe/Berlin'),
    ('bob', 'bob@sla.example', 'rep', 'America/New_York'), ('cat', 'cat@sla.example', 'rep', 'Australia/Lord_Howe');
CREATE FUNCTION pg_temp.id(who text) RETURNS uuid LANGUAGE sql AS $$
    SELECT member_id FROM crm.member WHERE org_id = saleshub.org_id() AND name = who
$$;
CREATE FUNCTION pg_temp.lead(who text) RETURNS uuid LANGUAGE sql AS $$
    SELECT lead_id FROM crm.lead WHERE org_id = saleshub.org_id() AND last_name = who
$$;
-- The timers of a lead, oldest first.
CREATE FUNCTION pg_temp.timers(who text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', m.name, t.hop, t.state, t.end_reason), ', ' ORDER BY t.sla_timer_id)
      FROM crm.sla_timer t JOIN crm.member m USING (org_id, member_id) WHERE t.lead_id = pg_temp.lead(who)
$$;
CREATE PROCEDURE pg_temp.act(who text, name text, kind text, extra jsonb DEFAULT '{}') LANGUAGE plpgsql AS $$
BEGIN
    PERFORM crm.activity_create(jsonb_build_object('type', kind, 'subject', kind, 'owner_id', pg_temp.id(name), 'done_at', saleshub.utc(clock_timestamp()),
        'links', jsonb_build_array(jsonb_build_object('type', 'lead', 'id', pg_temp.lead(who)))) || extra);
END
$$;
CREATE FUNCTION pg_temp.faults(sql text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
BEGIN
    EXECUTE sql;
    RETURN NEXT 'none';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN QUERY SELECT concat_ws(' ', SQLSTATE, e ->> 'pointer', e ->> 'code') FROM jsonb_array_elements(CASE WHEN detail LIKE '{%' THEN detail::jsonb -> 'errors' END) e ORDER BY 1;
    IF NOT FOUND THEN
        RETURN NEXT SQLSTATE;
    END IF;
END
$$;

-- Without policies there are no timers.
INSERT INTO crm.lead (last_name) VALUES ('before');
SELECT count(*) AS timers FROM crm.sla_timer WHERE org_id = :'org';
SELECT crm.lead_sla_get(pg_temp.lead('before')) AS none;

-- Policies: the first that fits.
SELECT routing_pool_id AS pool FROM crm.routing_pool WHERE org_id = :'org' \gset
SELECT * FROM pg_temp.faults($$SELECT crm.sla_put('{"policies": [{"name": "x", "target_minutes": 0, "notify_minutes": 5, "grades": ["F"], "calendar": "mine"},
    {"name": "y", "target_minutes": 10, "notify_minutes": 10, "pool_id": "00000000-0000-0000-0000-000000000000", "rule_id": "00000000-0000-0000-0000-000000000000",
     "id": "00000000-0000-0000-0000-000000000000"}]}')$$);
SELECT jsonb_path_query_array(crm.sla_put(jsonb_build_object('policies', jsonb_build_array(
    '{"name": "off", "target_minutes": 1, "active": false}'::jsonb,
    '{"name": "hot", "target_minutes": 30, "notify_minutes": 10, "grades": ["A", "B", "C", "D"], "max_hops": 2, "calendar": "always"}'::jsonb,
    jsonb_build_object('name', 'pool', 'target_minutes', 240, 'pool_id', :'pool', 'max_hops', 1),
    '{"name": "rest", "target_minutes": 480}'::jsonb))), '$.policies[*].name') AS policies;
SELECT * FROM pg_temp.faults(format('DELETE FROM crm.routing_pool WHERE routing_pool_id = %L', :'pool'));
SELECT crm.routing_calendars_put('{"calendars": [{"name": "week", "hours": [{"day": 1, "from": "09:00", "to": "17:00"}, {"day": 2, "from": "09:00", "to": "17:00"},
    {"day": 3, "from": "09:00", "to": "17:00"}, {"day": 4, "from": "09:00", "to": "17:00"}, {"day": 5, "from": "09:00", "to": "17:00"}]}]}') #>> '{calendars,0,id}' AS week \gset
SELECT crm.routing_member_put(pg_temp.id('bob'), jsonb_build_object('calendar_id', :'week')) IS NOT NULL AS set;
UPDATE crm.routing_pool SET outside_hours = 'next_open' WHERE org_id = :'org';
INSERT INTO crm.lead (last_name, phone, email) VALUES ('hot', '+12025550101', 'x@firm.example');
INSERT INTO crm.lead (last_name, owner_id) VALUES ('byhand', pg_temp.id('bob'));
INSERT INTO crm.lead (last_name) VALUES ('cool');
SELECT l.last_name, t.policy, t.state, t.target_seconds, t.notify_at = t.due_at - interval '10 minutes' AS notify,
       t.due_at = crm.business_add(t.assigned_at, make_interval(secs => t.target_seconds), CASE WHEN m.name = 'bob' AND t.calendar = 'member' THEN c.hours END, '{}', m.timezone) AS due_right
  FROM crm.sla_timer t JOIN crm.lead l USING (org_id, lead_id) JOIN crm.member m ON m.member_id = t.member_id
  JOIN crm.routing_calendar c ON c.routing_calendar_id = :'week' ORDER BY t.sla_timer_id;
SELECT s - 'due_at' - 'assignments' AS state, s ->> 'due_at' = s #>> '{assignments,0,due_at}' AS due, jsonb_array_length(s -> 'assignments') AS timers
  FROM crm.lead_sla_get(pg_temp.lead('hot')) s;

SELECT r #>> '{sla,policy}' AS policy, r #> '{sla,max_hops}' AS hops, (r #>> '{sla,due_at}')::timestamptz = now() + interval '30 minutes' AS due
  FROM crm.lead_route(pg_temp.lead('hot'), true) r;
-- The first response: a call, e-mail or meeting of the owner, done, not coming in; not a note.
UPDATE crm.routing_pool SET outside_hours = 'skip' WHERE org_id = :'org';
UPDATE crm.lead SET owner_id = pg_temp.id('ada') WHERE org_id = :'org' AND last_name IN ('hot', 'cool');
SELECT pg_temp.timers('hot') ~ 'ada 0 running$' AS ada_has_it;
CALL pg_temp.act('hot', 'ada', 'note');
CALL pg_temp.act('hot', 'ada', 'task');
CALL pg_temp.act('hot', 'bob', 'call');
CALL pg_temp.act('hot', 'ada', 'email', '{"direction": "inbound"}');
CALL pg_temp.act('hot', 'ada', 'call', '{"done_at": "2020-01-01T00:00:00Z"}');
CALL pg_temp.act('hot', 'ada', 'call', '{"done_at": null}');
SELECT pg_temp.timers('hot') ~ 'ada 0 running$' AS still_running;
UPDATE crm.sla_timer SET assigned_at = now() - interval '7 minutes', counted_from = now() - interval '7 minutes' WHERE lead_id = pg_temp.lead('hot') AND state = 'running';
UPDATE crm.activity SET done_at = now() WHERE org_id = :'org' AND done_at IS NULL;
SELECT pg_temp.timers('hot') ~ 'ada 0 met responded$' AS met;
SELECT round(response_seconds) AS seconds, responded_at <= now() AS at, activity_id IS NOT NULL AS by FROM crm.sla_timer WHERE lead_id = pg_temp.lead('hot') AND state = 'met';
CALL pg_temp.act('hot', 'ada', 'meeting');
SELECT count(*) AS one_response FROM crm.sla_timer WHERE lead_id = pg_temp.lead('hot') AND responded_at IS NOT NULL;

-- Time stands still while the lead is nurtured.
UPDATE crm.sla_timer SET assigned_at = now() - interval '60 minutes', counted_from = now() - interval '60 minutes' WHERE lead_id = pg_temp.lead('cool') AND state = 'running';
UPDATE crm.lead SET status = 'nurturing' WHERE org_id = :'org' AND last_name = 'cool';
SELECT state, due_at, round(used_seconds / 60) AS used FROM crm.sla_timer WHERE lead_id = pg_temp.lead('cool') ORDER BY sla_timer_id DESC LIMIT 1;
UPDATE crm.sla_timer SET counted_from = now() - interval '1 day' WHERE lead_id = pg_temp.lead('cool') AND state = 'paused';
UPDATE crm.lead SET status = 'working' WHERE org_id = :'org' AND last_name = 'cool';
SELECT state, round(extract(epoch FROM due_at - now()) / 60) AS left FROM crm.sla_timer WHERE lead_id = pg_temp.lead('cool') ORDER BY sla_timer_id DESC LIMIT 1;
CALL pg_temp.act('cool', 'ada', 'email');
SELECT round(response_seconds / 60) AS minutes FROM crm.sla_timer WHERE lead_id = pg_temp.lead('cool') AND state = 'met';

-- Told before it is due, once.
INSERT INTO crm.lead (last_name, phone, email) VALUES ('due', '+12025550102', 'y@firm.example');
SELECT pg_temp.timers('due') ~ '^(ada|cat) 0 running$' AS running;
UPDATE crm.sla_timer SET notify_at = now() WHERE lead_id = pg_temp.lead('due');
SELECT saleshub.sla_run(only_org => :'org'), saleshub.sla_run(only_org => :'org');
SELECT type, entity, data ->> 'policy' AS policy, data ? 'due_at' AS due FROM saleshub.outbox WHERE org_id = :'org' AND type LIKE 'lead.sla%' ORDER BY outbox_id;
-- Due: once an event, and the next who has not had it; at last admins and managers.
SELECT crm.routing_member_put(pg_temp.id('bob'), '{}') IS NOT NULL AS set;
SELECT owner_id AS first FROM crm.lead WHERE lead_id = pg_temp.lead('due') \gset
UPDATE crm.sla_timer SET due_at = now() WHERE lead_id = pg_temp.lead('due') AND state = 'running';
SELECT saleshub.sla_run(only_org => :'org'), saleshub.sla_run(only_org => :'org');
SELECT count(*) AS events FROM saleshub.outbox WHERE org_id = :'org' AND type = 'lead.sla_breached';
SELECT owner_id <> :'first' AS another, owner_id AS second FROM crm.lead WHERE lead_id = pg_temp.lead('due') \gset
SELECT :'another' AS another, (SELECT count(*) FROM crm.sla_timer WHERE lead_id = pg_temp.lead('due') AND hop = 1 AND state = 'running') AS next_hop;
UPDATE crm.sla_timer SET due_at = now() WHERE lead_id = pg_temp.lead('due') AND state = 'running';
SELECT saleshub.sla_run(only_org => :'org');
SELECT owner_id NOT IN (:'first', :'second') AS a_third FROM crm.lead WHERE lead_id = pg_temp.lead('due');
UPDATE crm.sla_timer SET due_at = now() WHERE lead_id = pg_temp.lead('due') AND state = 'running';
SELECT saleshub.sla_run(only_org => :'org');
SELECT l.owner_id, q.kind, q.reason FROM crm.lead l JOIN crm.routing_queue q USING (org_id, lead_id) WHERE l.lead_id = pg_temp.lead('due');
SELECT saleshub.routing_run(only_org => :'org') AS not_tried_again;
SELECT count(*) AS assignments, count(DISTINCT member_id) AS members, bool_and(state = 'breached') AS all_breached FROM crm.sla_timer WHERE lead_id = pg_temp.lead('due');
SELECT s -> 'state' AS state, s #> '{queue,kind}' AS kind FROM crm.lead_sla_get(pg_temp.lead('due')) s;
-- by hand it starts anew, and a late response is noted
UPDATE crm.lead SET owner_id = :'first' WHERE org_id = :'org' AND last_name = 'due';
SELECT hop, state FROM crm.sla_timer WHERE lead_id = pg_temp.lead('due') ORDER BY sla_timer_id DESC LIMIT 1;
UPDATE crm.sla_timer SET due_at = now() - interval '1 second' WHERE lead_id = pg_temp.lead('due') AND state = 'running';
SELECT name AS first_name FROM crm.member WHERE member_id = :'first' \gset
CALL pg_temp.act('due', :'first_name', 'call');
SELECT state, responded_at IS NOT NULL AS responded, breached_at IS NOT NULL AS late, end_reason FROM crm.sla_timer WHERE lead_id = pg_temp.lead('due') ORDER BY sla_timer_id DESC LIMIT 1;
SELECT count(*) AS events FROM saleshub.outbox WHERE org_id = :'org' AND type = 'lead.sla_breached';
SELECT saleshub.sla_run(only_org => :'org') AS nothing_left;
-- nobody else
INSERT INTO crm.lead (last_name, phone, email) VALUES ('alone', '+12025550103', 'z@firm.example');
UPDATE crm.member SET active = false WHERE org_id = :'org' AND role = 'rep' AND member_id <> (SELECT owner_id FROM crm.lead WHERE lead_id = pg_temp.lead('alone'));
UPDATE crm.sla_timer SET due_at = now() WHERE lead_id = pg_temp.lead('alone');
SELECT saleshub.sla_run(only_org => :'org');
SELECT q.kind, q.reason, (SELECT string_agg(c ->> 'reason', ', ' ORDER BY c ->> 'reason') FROM jsonb_array_elements(q.candidates) c) AS why
  FROM crm.routing_queue q WHERE lead_id = pg_temp.lead('alone');
UPDATE crm.member SET active = true WHERE org_id = :'org' AND role = 'rep';
-- without hops it stays where it is
INSERT INTO crm.lead (last_name, owner_id) VALUES ('stays', pg_temp.id('ada'));
UPDATE crm.sla_timer SET due_at = now() WHERE lead_id = pg_temp.lead('stays');
SELECT saleshub.sla_run(only_org => :'org'), pg_temp.timers('stays'), (SELECT owner_id = pg_temp.id('ada') FROM crm.lead WHERE lead_id = pg_temp.lead('stays')) AS hers;
CALL pg_temp.act('stays', 'ada', 'call');
SELECT pg_temp.timers('stays'), (SELECT responded_at IS NOT NULL FROM crm.sla_timer WHERE lead_id = pg_temp.lead('stays')) AS responded;

-- Deleted, closed, converted: it stops; restored, open again, conversion undone: the rest is left.
INSERT INTO crm.lead (last_name, owner_id, company_name) VALUES ('gone', pg_temp.id('ada'), 'Gone Ltd');
UPDATE crm.sla_timer SET counted_from = now() - interval '80 minutes', assigned_at = now() - interval '80 minutes' WHERE lead_id = pg_temp.lead('gone');
UPDATE crm.lead SET deleted_at = now() WHERE org_id = :'org' AND last_name = 'gone';
SELECT state, end_reason, round(used_seconds / 60) AS used FROM crm.sla_timer WHERE lead_id = pg_temp.lead('gone');
UPDATE crm.lead SET deleted_at = NULL WHERE org_id = :'org' AND last_name = 'gone';
SELECT state, end_reason, round(extract(epoch FROM due_at - now()) / 60) AS left FROM crm.sla_timer WHERE lead_id = pg_temp.lead('gone');
SELECT crm.lead_convert(pg_temp.lead('gone')) ->> 'conversion_id' AS conversion \gset
SELECT pg_temp.timers('gone');
SELECT crm.conversion_undo(:'conversion') -> 'conflicts' AS conflicts;
SELECT pg_temp.timers('gone'), (SELECT round(extract(epoch FROM due_at - now()) / 60) FROM crm.sla_timer WHERE lead_id = pg_temp.lead('gone')) AS left;
UPDATE crm.lead SET status = 'unqualified' WHERE org_id = :'org' AND last_name = 'gone';
SELECT pg_temp.timers('gone');
UPDATE crm.lead SET status = 'new', owner_id = pg_temp.id('cat') WHERE org_id = :'org' AND last_name = 'gone';
SELECT pg_temp.timers('gone');
UPDATE crm.lead SET deleted_at = now() WHERE org_id = :'org' AND last_name = 'gone';
SELECT saleshub.rows_remove(:'org', 'lead', ARRAY[lead_id]) AS removed FROM crm.lead WHERE org_id = :'org' AND last_name = 'gone';
SELECT count(*) AS timers FROM crm.sla_timer t WHERE org_id = :'org' AND NOT EXISTS (SELECT FROM crm.lead l WHERE l.lead_id = t.lead_id);

-- What was not answered in time.
SELECT crm.sla_breach_list(limit_ => 2) AS page \gset
SELECT jsonb_array_length(:'page'::jsonb -> 'data') AS one, jsonb_array_length(crm.sla_breach_list(cursor_ => :'page'::jsonb ->> 'next_cursor') -> 'data') AS rest,
       jsonb_array_length(crm.sla_breach_list(to_ => now() - interval '1 day') -> 'data') AS before, jsonb_array_length(crm.sla_breach_list(member_id => pg_temp.id('ada')) -> 'data') > 0 AS hers,
       (:'page'::jsonb #> '{data,0}') ?& ARRAY['lead_id', 'member_id', 'due_at', 'breached_at', 'responded_at', 'response_seconds', 'policy', 'hop', 'state'] AS told;
-- Only of leads one sees; only admins and managers change policies; nobody sets timers.
UPDATE crm.org SET settings = settings || '{"visibility": {"rep": {"lead": "own"}}}' WHERE org_id = :'org';
SELECT pg_temp.id('ada') AS ada, pg_temp.lead('due') AS due \gset
SET saleshub.member_id = :'ada'; SET saleshub.member_role = 'rep';
SET ROLE saleshub_user;
SELECT count(*) AS foreign FROM crm.sla_timer t WHERE NOT EXISTS (SELECT FROM crm.lead l WHERE l.lead_id = t.lead_id);
SELECT * FROM pg_temp.faults($$SELECT crm.sla_put('{"policies": []}')$$);
SELECT * FROM pg_temp.faults('UPDATE crm.sla_timer SET due_at = now()');
SELECT * FROM pg_temp.faults('SELECT saleshub.sla_run()');
SELECT * FROM pg_temp.faults('SELECT crm.lead_sla_get(crm.uuid_v7())');
RESET ROLE;
RESET saleshub.member_id; RESET saleshub.member_role;

-- Working time by the clock on the wall, over the nights in which clocks change: from Friday 16:30
-- local, 60 minutes are due on Monday at 09:30; and a night shift of 00:00 to 04:00 is as long as it was.
SELECT zone, friday::date AS friday, crm.business_add((friday || ' 16:30')::timestamp AT TIME ZONE zone, '60 minutes', c.hours, '{}', zone) AT TIME ZONE zone AS due_local,
       round(extract(epoch FROM crm.business_add((friday || ' 16:30')::timestamp AT TIME ZONE zone, '60 minutes', c.hours, '{}', zone)
                          - ((friday || ' 16:30')::timestamp AT TIME ZONE zone)) / 3600, 1) AS hours_passed,
       round(crm.business_seconds(((friday::date + 2) || ' 00:00')::timestamp AT TIME ZONE zone, ((friday::date + 2) || ' 12:00')::timestamp AT TIME ZONE zone,
                            '[{"day": 7, "from": "00:00", "to": "04:00"}]', '{}', zone) / 60) AS night_minutes
  FROM (VALUES ('Europe/Berlin', '2026-03-27'), ('Europe/Berlin', '2026-10-23'), ('America/New_York', '2026-03-06'), ('America/New_York', '2026-10-30'),
               ('Australia/Lord_Howe', '2026-04-03'), ('Australia/Lord_Howe', '2026-10-02')) AS z (zone, friday), crm.routing_calendar c WHERE c.routing_calendar_id = :'week';
-- Timers begun there are due accordingly: the same span of Sunday nights, for members in these zones.
SELECT crm.routing_calendars_put(jsonb_build_object('calendars', jsonb_build_array(jsonb_build_object('id', :'week', 'name', 'nights', 'hours',
    (SELECT jsonb_agg(jsonb_build_object('day', d, 'from', '00:00', 'to', '04:00')) FROM generate_series(1, 7) d))))) IS NOT NULL AS set;
SELECT crm.routing_member_put(pg_temp.id(n), jsonb_build_object('calendar_id', :'week')) IS NOT NULL AS set FROM unnest(ARRAY['ada', 'bob', 'cat']) n;
SELECT m.name, m.timezone, w.at, crm.business_add(w.at::timestamp AT TIME ZONE m.timezone, interval '4 hours', h.hours, h.holidays, h.zone) AT TIME ZONE m.timezone AS due_local
  FROM (VALUES ('ada', '2026-03-28 23:00'), ('ada', '2026-10-24 23:00'), ('bob', '2026-03-07 23:00'), ('bob', '2026-10-31 23:00'), ('cat', '2026-04-04 23:00'), ('cat', '2026-10-03 23:00')) AS w (name, at)
  JOIN crm.member m ON m.name = w.name AND m.org_id = :'org', saleshub.sla_hours(m.org_id, m.member_id, :'pool', 'member') h ORDER BY m.name, w.at;
-- Adding and measuring are inverse, whatever the zone, the hours and the season.
SELECT setseed(0.5) IS NOT NULL AS seeded;
SELECT count(*) AS tried, count(*) FILTER (WHERE abs(crm.business_seconds(at, crm.business_add(at, secs * interval '1 second', hours, '{2026-04-06,2026-10-26}', zone), hours,
                                                                         '{2026-04-06,2026-10-26}', zone) - secs) > 0.001) AS wrong
  FROM (SELECT timestamptz '2026-01-01' + random() * interval '365 days' AS at, 1 + floor(random() * 200000) AS secs,
               (ARRAY['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe'])[1 + n % 3] AS zone,
               (ARRAY['[{"day": 1, "from": "09:00", "to": "17:30"}, {"day": 3, "from": "00:00", "to": "24:00"}, {"day": 7, "from": "01:15", "to": "02:45"}]',
                      '[{"day": 6, "from": "22:00", "to": "24:00"}, {"day": 7, "from": "00:00", "to": "03:00"}]'])[1 + n % 2]::jsonb AS hours
          FROM generate_series(1, 300) n) r;
