-- What was done, how soon leads were answered, and who leads: by hand, in the past, and under the rights of who asks.
\set VERBOSITY terse
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET timezone = 'UTC';
SELECT saleshub.install() IS NOT NULL AS installed;

-- What a statement is refused for: SQLSTATE, message, and pointer or parameter with code of each error.
CREATE FUNCTION pg_temp.refused(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text;
    detail text;
    errors text;
BEGIN
    EXECUTE statement;
    RETURN 'not refused';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    IF detail LIKE '{%' THEN
        SELECT string_agg(concat(e ->> 'pointer', e ->> 'parameter', ' ', e ->> 'code'), ', ' ORDER BY e::text)
        INTO errors FROM jsonb_array_elements(detail::jsonb -> 'errors') e;
    END IF;
    RETURN concat(SQLSTATE, ' ', regexp_replace(message, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g'),
                  ' [' || errors || ']');
END;
$$;

-- Works as the member of that name.
CREATE FUNCTION pg_temp.enter(who text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('saleshub.org_id', m.org_id::text, false),
            set_config('saleshub.member_id', m.member_id::text, false),
            set_config('saleshub.member_role', m.role, false)
    FROM crm.member m WHERE m.email = who || '@doing.example';
    IF NOT FOUND THEN RAISE 'nobody is called %', who; END IF;
END;
$$;

SELECT crm.org_create('Doing', 'ann', 'ann@doing.example') ->> 'org_id' AS org \gset
SELECT crm.org_create('Elsewhere', 'zoe', 'zoe@doing.example') IS NOT NULL;
UPDATE crm.routing_pool SET active = false WHERE org_id = :'org';
INSERT INTO crm.member (org_id, name, email, role)
SELECT :'org', n, n || '@doing.example', r FROM (VALUES ('rob', 'rep'), ('rea', 'rep'), ('ron', 'rep'), ('ray', 'readonly')) v (n, r);
SELECT pg_temp.enter('ann');
CREATE FUNCTION pg_temp.id(who text) RETURNS uuid LANGUAGE sql AS $$
    SELECT member_id FROM crm.member WHERE org_id = saleshub.org_id() AND name = who
$$;
UPDATE crm.org SET settings = settings || '{"visibility": {"rep": {"deal": "own", "lead": "own", "activity": "own"}}}' WHERE org_id = :'org';
INSERT INTO crm.currency_rate (currency, valid_from, rate) VALUES ('EUR', '2026-01-01', 1.25);

-- Deals: rob wins 100 USD and 80 EUR (100 USD), loses one; rea wins 200 USD; ron none; one won before the period.
INSERT INTO crm.deal (name, stage_id, amount, currency, owner_id, opened_at, closed_at, source)
SELECT v.name, s.stage_id, v.amount, v.currency, pg_temp.id(v.who), '2025-12-01', v.closed, 'web'
FROM (VALUES ('one', 'Won', 100, 'USD', 'rob', '2026-01-10 12:00Z'::timestamptz), ('two', 'Won', 80, 'EUR', 'rob', '2026-01-20 12:00Z'),
             ('three', 'Lost', 999, 'USD', 'rob', '2026-01-21 12:00Z'), ('four', 'Won', 200, 'USD', 'rea', '2026-01-31 23:59:59Z'),
             ('five', 'Won', 5000, 'USD', 'ron', '2025-12-31 12:00Z')) v (name, stage, amount, currency, who, closed)
JOIN crm.stage s ON s.org_id = :'org' AND s.name = v.stage;

-- Activities about deal one unless said otherwise. Done, due, and when meetings begin.
CREATE PROCEDURE pg_temp.act(who text, kind text, about text, extra jsonb) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM crm.activity_create(jsonb_build_object('type', kind, 'subject', kind, 'owner_id', pg_temp.id(who), 'links', jsonb_build_array(
        jsonb_build_object('type', 'deal', 'id', (SELECT deal_id FROM crm.deal WHERE org_id = saleshub.org_id() AND name = about)))) || extra);
END
$$;
CALL pg_temp.act('rob', 'call', 'one', '{"done_at": "2026-01-02T10:00:00Z", "outcome": "reached", "due_at": "2026-01-02T09:00:00Z"}');
CALL pg_temp.act('rob', 'call', 'one', '{"done_at": "2026-01-03T10:00:00Z", "outcome": "reached", "due_at": "2026-01-03T11:00:00Z"}');
CALL pg_temp.act('rob', 'call', 'one', '{"done_at": "2026-01-03T12:00:00Z", "outcome": "missed"}');
CALL pg_temp.act('rob', 'email', 'two', '{"done_at": "2026-01-20T12:00:00Z"}');
CALL pg_temp.act('rob', 'email', 'two', '{"done_at": "2026-01-20T12:00:01Z"}');
CALL pg_temp.act('rea', 'meeting', 'four', '{"starts_at": "2026-01-05T09:00:00Z", "ends_at": "2026-01-05T10:00:00Z", "done_at": "2026-01-05T12:00:00Z"}');
CALL pg_temp.act('rea', 'meeting', 'four', '{"starts_at": "2026-01-06T09:00:00Z"}');
CALL pg_temp.act('rea', 'task', 'four', '{"due_at": "2026-01-07T09:00:00Z"}');
CALL pg_temp.act('rea', 'task', 'four', '{"due_at": "2026-01-08T09:00:00Z", "done_at": "2026-02-01T00:00:00Z"}');
CALL pg_temp.act('rea', 'note', 'four', '{"done_at": "2026-01-09T09:00:00Z"}');
CALL pg_temp.act('rea', 'call', 'four', '{"done_at": "2025-12-09T09:00:00Z"}');
SELECT date_trunc('milliseconds', clock_timestamp()) + interval '2 ms' AS before, pg_sleep(0.01) \gset
SET ROLE saleshub_user;

CREATE FUNCTION pg_temp.activity(group_by text DEFAULT NULL, as_of timestamptz DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', label, type, coalesce(outcome, '-'), 'done', done, 'due', due, 'overdue', overdue, 'booked', booked, 'held', held)
    FROM crm.report_activity('2026-01-01', '2026-02-01', group_by => group_by, as_of => as_of)
$$;
\echo -- the call of the third was in time; the task done in February was overdue in January and is done then
SELECT pg_temp.activity();
SELECT pg_temp.activity('owner') ORDER BY 1;
\echo -- touches: three calls for one, one e-mail for two (the other came after), a meeting and a call for four; 6 for 3
SELECT wins, touches, touches_per_win FROM crm.report_win_touches('2026-01-01', '2026-02-01');
SELECT label, wins, touches, touches_per_win FROM crm.report_win_touches('2026-01-01', '2026-02-01', 'owner') ORDER BY 1;

\echo -- rob and rea tie at 200; ron and ann have won nothing in January; ray cannot sell
SELECT rank, tied, member, value, won, lost, win_rate, activities, meetings FROM crm.report_leaderboard('2026-01-01', '2026-02-01');
SELECT rank, tied, member, round(value, 2) FROM crm.report_leaderboard('2026-01-01', '2026-02-01', 'won_amount', 'EUR');
SELECT rank, tied, member, value FROM crm.report_leaderboard('2026-01-01', '2026-02-01', 'win_rate');
SELECT rank, tied, member, value FROM crm.report_leaderboard('2026-01-01', '2026-02-01', 'activities');
SELECT rank, tied, member, value FROM crm.report_leaderboard('2026-01-01', '2026-02-01', 'meetings');
RESET ROLE;

-- Five timers by hand: answered in 100 and 300 s, late in 1000 s, given away, waiting; and one of a lead in the bin.
INSERT INTO crm.sla_policy (name, target_minutes, active) VALUES ('Fast', 10, false);
INSERT INTO crm.lead (last_name, source, owner_id, deleted_at)
SELECT 'L' || n, CASE WHEN n < 4 THEN 'web' END, pg_temp.id(CASE WHEN n < 3 THEN 'rob' ELSE 'rea' END), CASE n WHEN 6 THEN now() END FROM generate_series(1, 6) n;
INSERT INTO crm.sla_timer (lead_id, member_id, sla_policy_id, policy, calendar, pause_statuses, target_seconds, state, assigned_at, responded_at, response_seconds, breached_at, ended_at)
SELECT l.lead_id, l.owner_id, p.sla_policy_id, p.name, 'always', '{}', 600, v.state, '2026-01-10 10:00Z', v.responded, v.seconds, v.breached, v.ended
FROM (VALUES ('L1', 'met', '2026-01-10 10:01:40Z'::timestamptz, 100, NULL::timestamptz, '2026-01-10 10:01:40Z'::timestamptz),
             ('L2', 'met', '2026-01-10 10:05Z', 300, NULL, '2026-01-10 10:05Z'),
             ('L3', 'breached', '2026-01-10 10:16:40Z', 1000, '2026-01-10 10:10Z', '2026-01-10 10:10Z'),
             ('L4', 'stopped', NULL, NULL, NULL, '2026-01-10 10:02Z'), ('L5', 'paused', NULL, NULL, NULL, NULL),
             ('L6', 'met', '2026-01-10 10:01:40Z', 1, NULL, '2026-01-10 10:01:40Z')) v (lead, state, responded, seconds, breached, ended)
JOIN crm.lead l ON l.org_id = :'org' AND l.last_name = v.lead
CROSS JOIN crm.sla_policy p WHERE p.org_id = :'org';
CREATE FUNCTION pg_temp.response(group_by text DEFAULT NULL, as_of timestamptz DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', label, 'assigned', assigned, 'answered', answered, 'met', met, 'breached', breached, 'stopped', stopped,
                     'waiting', waiting, 'median', median_seconds, 'p90', p90_seconds, 'in time', in_time_rate)
    FROM crm.report_response('2026-01-01', '2026-02-01', group_by, as_of)
$$;
SET ROLE saleshub_user;
\echo -- median of 100, 300, 1000; nine tenths: 300 + 0.8 × 700; two of three in time
SELECT pg_temp.response();
SELECT pg_temp.response('owner') ORDER BY 1;
SELECT pg_temp.response('source');
SELECT pg_temp.response('policy');
\echo -- at 10:03 one had answered; at 10:12 one was late
SELECT pg_temp.response(NULL, '2026-01-10 10:03Z');
SELECT pg_temp.response(NULL, '2026-01-10 10:12Z');

\echo -- what is changed later, deleted or unlinked, was there before; a deal lost after all was won
SELECT crm.activity_delete(activity_id) FROM crm.activity WHERE outcome = 'missed';
SELECT crm.activity_update(activity_id, '{"links": []}') ->> 'subject' FROM crm.activity WHERE done_at = '2026-01-20 12:00Z';
SELECT crm.activity_update(activity_id, '{"outcome": "left word", "done_at": null}') ->> 'outcome' FROM crm.activity WHERE done_at = '2026-01-02 10:00Z';
SELECT crm.deal_stage(deal_id, jsonb_build_object('stage_id', (SELECT stage_id FROM crm.stage WHERE name = 'Lost'))) ->> 'status' FROM crm.deal WHERE name = 'four';
SELECT pg_temp.activity();
SELECT wins, touches FROM crm.report_win_touches('2026-01-01', '2026-02-01');
SELECT rank, tied, member, value, activities FROM crm.report_leaderboard('2026-01-01', '2026-02-01');
\echo -- and before:
SELECT pg_temp.activity(NULL, :'before');
SELECT wins, touches FROM crm.report_win_touches('2026-01-01', '2026-02-01', as_of => :'before');
SELECT rank, tied, member, value, activities FROM crm.report_leaderboard('2026-01-01', '2026-02-01', as_of => :'before');

\echo -- a rep: of its own only
RESET ROLE;
SELECT pg_temp.enter('rob');
SET ROLE saleshub_user;
SELECT pg_temp.activity();
SELECT wins, touches FROM crm.report_win_touches('2026-01-01', '2026-02-01');
SELECT rank, tied, member, value FROM crm.report_leaderboard('2026-01-01', '2026-02-01');
SELECT pg_temp.response();
\echo -- another organisation: nothing
RESET ROLE;
SELECT pg_temp.enter('zoe');
SET ROLE saleshub_user;
SELECT pg_temp.activity();
SELECT count(*) FROM crm.report_win_touches('2026-01-01', '2026-02-01');
SELECT rank, tied, member, value FROM crm.report_leaderboard('2026-01-01', '2026-02-01');
SELECT pg_temp.response();

\echo -- as HTTP gives it, in days of Tokyo, and what is refused
RESET ROLE;
SELECT pg_temp.enter('ann');
SET ROLE saleshub_user;
SELECT r FROM jsonb_array_elements(crm.report_activity_get('2026-01-02', '2026-01-06', 'Asia/Tokyo', 'day') -> 'rows') r;
SELECT jsonb_path_query_array(a, '$.columns[*].name'), a -> 'totals' FROM crm.report_activity_get('2026-01-01', '2026-02-01', 'UTC', as_of => saleshub.utc(:'before')) a;
SELECT a -> 'columns' -> 4, (a #> '{rows,0}') - 2, a -> 'totals' FROM crm.report_leaderboard_get('2026-01-01', '2026-02-01', 'UTC', currency => 'EUR') a;
SELECT a -> 'totals' FROM crm.report_response_get('2026-01-01', '2026-02-01', 'UTC') a;
SELECT pg_temp.refused($$SELECT crm.report_activity_get(to_ => '2026-01-01', bucket => 'day')$$);
SELECT pg_temp.refused($$SELECT crm.report_activity_get('x', bucket => 'hour', group_by => 'product')$$);
SELECT pg_temp.refused($$SELECT crm.report_leaderboard_get(metric => 'charm')$$);
SELECT pg_temp.refused($$SELECT crm.report_leaderboard_get(currency => 'ZZZ')$$);
SELECT pg_temp.refused($$SELECT crm.report_response_get(group_by => 'stage')$$);
\echo -- from whom the amount of deals is hidden, to them it is not told
RESET ROLE;
UPDATE crm.org SET settings = settings || '{"fields": {"rep": {"deal": {"amount": "hidden"}}}}' WHERE org_id = :'org';
SELECT pg_temp.enter('rob');
SET ROLE saleshub_user;
SELECT saleshub.hidden_fields('deal');
SELECT jsonb_path_query_array(a, '$.columns[*].name'), (a #> '{rows,0}') - 2, a -> 'totals' FROM crm.report_leaderboard_get('2026-01-01', '2026-02-01', 'UTC') a;
SELECT pg_temp.refused($$SELECT crm.report_leaderboard_get(metric => 'won_amount')$$);
SELECT crm.report_activity_get('2026-01-01', '2026-02-01', 'UTC') -> 'totals';
RESET ROLE;
DELETE FROM crm.sla_timer WHERE org_id = :'org';
